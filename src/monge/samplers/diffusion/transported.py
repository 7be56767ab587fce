"""The deterministic transport, alpha = 0: an exact likelihood and a latent (course, sections 5.3 and 6.2.2).

With l = log sigma the transport is dy/dl = y - D(y, e^l), and Liouville's equation (course (96)) gives along it

    log p_sigma_min(x) = log p_sigma_max(y_max) + int (d - div D) dl,

p_sigma_max being Gaussian to a precision that grows with sigma_max.
"""

import math
from collections.abc import Iterator
from typing import Any, TypedDict, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import progress
from monge.denoisers import informed, velocity_in_log
from monge.densities import Gaussian
from monge.doors import options, real, single, whole
from monge.errors import BadInput
from monge.protocols import Denoiser, LogProb
from monge.samplers.diffusion.scale import survey
from monge.samplers.transport import Integrated, derivable, integrate

RTOL, BATCH = 1e-5, 512


class Between(TypedDict, total=False):
    """What every walk between noise and data takes, as `log_prob` explains it."""

    sigma_min: float | None
    sigma_max: float | None
    moments: Gaussian | None
    rtol: float
    atol: float
    method: str
    gradients: str | None
    batch_size: int


@derivable
def log_prob(
    denoiser: Denoiser,
    x: Float[Tensor, "n *event"],
    *,
    probes: int | None = None,
    seed: int = 0,
    show: bool = False,
    **options: Unpack[Between],
) -> LogProb:
    """log p_sigma_min(x) by the change of variables along the transport, in nats.

    probes: None for the exact divergence (d products with the Jacobian per evaluation), or a number k >= 2 of
        Rademacher probes (Hutchinson); the error returned is then the standard error over probes. The integrator's own
        is not counted in it.
    sigma_min, sigma_max: unless given, .002 and 80 times the law's width, see `monge.samplers.diffusion.scale`.
    moments: mean and covariance of the data, for the Gaussian law at sigma_max; the denoiser's own if it has them.
    rtol, atol, method, gradients: of `monge.samplers.integrate`; 1e-5, tolerances of one step, relative and in units of
        the law's width; "dopri5"; and none. batch_size: of rows that are integrated together, 512.

    Raises BadInput for fewer than 2 probes and levels that do not rise, NumericalFailure if the integrator does not
    converge.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> law = Gaussian(torch.zeros(1), torch.eye(1))
    >>> x = torch.zeros(1, 1)
    >>> (log_prob(Oracle(law), x).value - law.log_prob(x).value).abs() < 1e-3
    tensor([True])
    """
    frame = _Frame(denoiser, x, options)
    values, errors = [], []
    with progress.bar("log-likelihood", len(frame.x), show=show) as advance:
        for first, y in frame.batches(frame.x):
            end, change, error, *_ = frame.flow(first, y, frame.levels, divergence=True, probes=probes, seed=seed)
            assert change is not None
            assert error is not None
            values.append(frame.rows(first, len(y))[1].noised(frame.levels[1]).log_prob(end).value + change)
            errors.append(error)
            advance(len(y))
    how = "exact divergence" if probes is None else f"Hutchinson divergence, {probes} probes"
    told = f"probability-flow ODE, {how}, rtol {frame.solver['rtol']:g}, the integrator's own error not counted"
    return LogProb(torch.cat(values), torch.cat(errors), told)


@derivable
def encode(denoiser: Denoiser, x: Float[Tensor, "n *event"], **options: Unpack[Between]) -> Float[Tensor, "n *event"]:
    """Latent z of x: the transport to sigma_max, whitened by the Gaussian law there; z ~ N(0, Id) if D is right.

    options: those of `log_prob` but for probes. Events are integrated `batch_size` at a time, each within the tolerance
    whoever it is integrated with.
    """
    frame = _Frame(denoiser, x, options)
    return frame.moments.noised(frame.levels[1]).whiten(frame.carry(frame.x))


@derivable
def decode(denoiser: Denoiser, z: Float[Tensor, "n *event"], **options: Unpack[Between]) -> Float[Tensor, "n *event"]:
    """x of a latent z: the inverse of `encode`."""
    frame = _Frame(denoiser, z, options, "z")
    return frame.carry(frame.moments.noised(frame.levels[1]).from_noise(frame.x), down=True)


class _Frame:
    """Of a denoiser: the law of all rows at the top, the levels between which it is asked, and the width of its law."""

    def __init__(self, denoiser: Denoiser, x: Tensor, given: Between, name: str = "x") -> None:
        options(given, Between.__annotations__, "the transport")
        x = single(real(x, name))
        if x.ndim < 2 or not len(x):
            raise BadInput(f"{name} must be [n, *event] with a row or more, not {list(x.shape)}")
        self.size = whole(given.get("batch_size", BATCH), "batch_size")
        self.x = x.clone() if x.is_inference() else x
        solver = {name: value for name, value in given.items() if name in ("rtol", "atol", "method", "gradients")}
        self.solver: dict[str, Any] = {"rtol": RTOL, **solver}
        self.denoiser, self.given = informed(denoiser), given.get("moments")
        moments, low, high = self.given or self.denoiser.moments, given.get("sigma_min"), given.get("sigma_max")
        found = survey(self.denoiser, tuple(x.shape[1:]), moments, low, high, dtype=x.dtype, device=x.device)
        self.moments, self.width, self.levels = found
        if not 0 < self.levels[0] < self.levels[1] < math.inf:
            raise BadInput(
                "noise levels need 0 < sigma_min < sigma_max < infinity, not sigma_min={:g}, sigma_max={:g}".format(
                    *self.levels
                )
            )

    def batches(self, y: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The rows, so many at a time, each time with the number of the first."""
        for i, some in enumerate(torch.split(y, self.size)):
            yield i * self.size, some

    def rows(self, first: int, n: int) -> tuple[Denoiser, Gaussian]:
        """The denoiser of rows first .. first + n, and their law."""
        own = self.denoiser.rows(first, n)
        return own, self.given or own.moments or self.moments

    def carry(self, y: Tensor, *, down: bool = False) -> Tensor:
        """y at the other end of the levels."""
        ends = self.levels[::-1] if down else self.levels
        return torch.cat([self.flow(first, some, ends).x for first, some in self.batches(y)])

    def flow(self, first: int, y: Tensor, sigmas: tuple[float, float], **more: Any) -> Integrated:
        """Carry rows first .. first + n, y [n, *event], between two noise levels; more: for `integrate`."""
        denoiser, law = self.rows(first, len(y))
        mean, width = law.mean.to(y), self.width
        field = DenoiserField(denoiser, mean, width)
        begin, end = (math.log(sigma / width) for sigma in sigmas)
        found = integrate(field, (y - mean) / width, begin, end, start=first, **self.solver, **more)
        return found._replace(x=mean + width * found.x)


class DenoiserField(nn.Module):
    """du/dl = (y - D(y, sigma)) / s in units of the law, y = m + s u and sigma = s e^l: no tolerance has a unit."""

    def __init__(self, denoiser: Denoiser, mean: Tensor, width: float) -> None:
        super().__init__()
        self.denoiser, self.mean, self.width = denoiser, mean, width

    def forward(self, u: Tensor, time: Tensor) -> Tensor:
        y = self.mean + self.width * u
        sigma = (self.width * time.double().exp()).to(u.dtype)
        return velocity_in_log(self.denoiser(y, sigma), y) / self.width
