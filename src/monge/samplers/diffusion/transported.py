"""The deterministic transport, alpha = 0: an exact likelihood and a latent (course, sections 5.3 and 6.2.2).

With l = log sigma the transport is dy/dl = y - D(y, e^l), and Liouville's equation (course (96)) gives along it

    log p_sigma_min(x) = log p_sigma_max(y_max) + int (d - div D) dl,

p_sigma_max being Gaussian to a precision that grows with sigma_max.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import informed, velocity_in_log
from monge.densities import Gaussian
from monge.doors import real, single
from monge.errors import BadInput, NumericalFailure
from monge.protocols import Denoiser, LogProb
from monge.samplers.diffusion.scale import survey


class Tolerance(NamedTuple):
    """Error allowed to one step of the integrator (Dormand-Prince 5(4)): relative, and in widths of the law."""

    rtol: float = 1e-5
    atol: float = 1e-5


@torch.inference_mode(False)  # derivatives are taken within
def log_prob(
    denoiser: Denoiser,
    x: Float[Tensor, "n *event"],
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    moments: Gaussian | None = None,
    probes: int | None = None,
    seed: int = 0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    batch_size: int = 512,
    show: bool = False,
) -> LogProb:
    """log p_sigma_min(x) by the change of variables along the transport, in nats.

    sigma_min, sigma_max: unless given, .002 and 80 times the law's width, see `monge.samplers.diffusion.scale`.
    probes: None for the exact divergence (d products with the Jacobian per evaluation), or a number k >= 2 of
        Rademacher probes (Hutchinson); the error returned is then the standard error over probes. The integrator's own
        is not counted in it.
    moments: mean and covariance of the data, for the Gaussian law at sigma_max; the denoiser's own if it has them.
    rtol, atol: allowed to one step, relative, and in units of the law's width.

    Raises BadInput for fewer than 2 probes and levels that do not rise, NumericalFailure if the integrator does not
    converge.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> law = Gaussian(torch.zeros(1), torch.eye(1))
    >>> x = torch.zeros(1, 1)
    >>> (log_prob(Oracle(law), x).value - law.log_prob(x).value).abs() < 1e-3
    tensor([True])
    """
    x, tolerance = _events(x, batch_size), _tolerance(rtol, atol)
    if probes is not None and probes < 2:
        raise BadInput(f"Hutchinson's estimator needs at least 2 probes to state its error, not {probes}")
    frame = _Frame(denoiser, moments, x, sigma_min, sigma_max)
    values, errors = [], []
    with progress.bar("log-likelihood", len(x), show=show) as advance:
        for first in range(0, len(x), batch_size):
            y = x[first : first + batch_size]
            shape = (len(y), probes or 0, *y.shape[1:])
            signs = rng.uniform(shape, seed, "probes", start=first, dtype=y.dtype, device=y.device).sub(0.5).sign()
            end, change = frame.flow(first, y, frame.levels, tolerance, signs)
            total = frame.part(first, len(y))[1].noised(frame.levels[1]).log_prob(end).value[:, None] + change
            values.append(total.mean(1))
            errors.append(total.std(1) / math.sqrt(probes) if probes else torch.zeros_like(values[-1]))
            advance(len(y))
    how = "exact divergence" if probes is None else f"Hutchinson divergence, {probes} probes"
    told = f"probability-flow ODE, {how}, rtol {rtol:g}, the integrator's own error not counted"
    return LogProb(torch.cat(values), torch.cat(errors), told)


@torch.inference_mode(False)  # derivatives are taken within
def encode(
    denoiser: Denoiser,
    x: Float[Tensor, "n *event"],
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    moments: Gaussian | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    batch_size: int = 512,
) -> Float[Tensor, "n *event"]:
    """Latent z of x: the transport to sigma_max, whitened by the Gaussian law there; z ~ N(0, Id) if D is right.

    Levels and tolerances as those of `log_prob`. Events are integrated `batch_size` at a time, each within the
    tolerance whoever it is integrated with.
    """
    x = _events(x, batch_size)
    frame = _Frame(denoiser, moments, x, sigma_min, sigma_max)
    ends = frame.carry(x, _tolerance(rtol, atol), batch_size)
    return frame.moments.noised(frame.levels[1]).whiten(ends)


@torch.inference_mode(False)  # derivatives are taken within
def decode(
    denoiser: Denoiser,
    z: Float[Tensor, "n *event"],
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    moments: Gaussian | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    batch_size: int = 512,
) -> Float[Tensor, "n *event"]:
    """x of a latent z: the inverse of `encode`."""
    z = _events(z, batch_size, "z")
    frame = _Frame(denoiser, moments, z, sigma_min, sigma_max)
    start = frame.moments.noised(frame.levels[1]).from_noise(z)
    return frame.carry(start, _tolerance(rtol, atol), batch_size, down=True)


def _events(x: Tensor, batch_size: int, name: str = "x") -> Tensor:
    x = single(real(x, name))
    if x.ndim < 2 or not len(x):
        raise BadInput(f"{name} must be [n, *event] with a row or more, not {list(x.shape)}")
    if batch_size < 1:
        raise BadInput(f"a batch has 1 row or more, not {batch_size}")
    return x.clone() if x.is_inference() else x


def _tolerance(rtol: float, atol: float) -> Tolerance:
    if not (rtol > 0 and atol > 0):
        raise BadInput(f"rtol and atol must be above 0, not {rtol} and {atol}")
    return Tolerance(rtol, atol)


class _Frame:
    """Of a denoiser: the law of all rows at the top, the levels between which it is asked, and the width of its law."""

    def __init__(
        self, denoiser: Denoiser, given: Gaussian | None, x: Tensor, low: float | None, high: float | None
    ) -> None:
        self.denoiser, self.given = informed(denoiser), given
        moments = given or self.denoiser.moments
        found = survey(self.denoiser, tuple(x.shape[1:]), moments, low, high, dtype=x.dtype, device=x.device)
        self.moments, self.width, self.levels = found
        if not 0 < self.levels[0] < self.levels[1] < math.inf:
            raise BadInput(
                "noise levels need 0 < sigma_min < sigma_max < infinity, not sigma_min={:g}, sigma_max={:g}".format(
                    *self.levels
                )
            )

    def part(self, first: int, n: int) -> tuple[Denoiser, Gaussian]:
        """The denoiser of rows first .. first + n, and their law."""
        own = self.denoiser.rows(first, n)
        return own, self.given or own.moments or self.moments

    def carry(self, y: Tensor, tolerance: Tolerance, batch_size: int, *, down: bool = False) -> Tensor:
        """y at the other end of the levels, `batch_size` rows at a time."""
        ends = self.levels[::-1] if down else self.levels
        rows = torch.split(y, batch_size)
        return torch.cat([self.flow(i * batch_size, some, ends, tolerance, None)[0] for i, some in enumerate(rows)])

    def flow(
        self, first: int, y: Tensor, sigmas: tuple[float, float], tolerance: Tolerance, signs: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Carry rows first .. first + n, y [n, *event], between two noise levels; with `signs` [n, k, *event], also
        int (d - div D) dl, [n, max(k, 1)]: k = 0 means the exact divergence. In units of the law's width, about its
        mean, so that no tolerance has a unit."""
        from torchdiffeq import odeint

        denoiser, law = self.part(first, len(y))
        mean, width = law.mean.to(y), self.width
        columns = 0 if signs is None else max(1, signs.shape[1])

        def velocity(time: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            u, change = state
            time = time.clamp(*ends)  # a trial step may lead beyond
            sigma = (width * time.double().exp()).to(u.dtype).expand(len(u))
            with torch.enable_grad() if columns else torch.no_grad():
                y = (mean + width * u).detach().requires_grad_(columns > 0)
                field = velocity_in_log(denoiser(y, sigma), y)
            if signs is None:
                return field / width, change
            return field.detach() / width, _divergence(field, y, signs)

        def norm(state: tuple[Tensor, ...]) -> Tensor:
            # the largest, not the mean: every sample meets the tolerance, whoever shares its batch
            return torch.stack([part.abs().max() for part in state if part.numel()]).max()

        times = (torch.tensor(sigmas, dtype=torch.float64, device=y.device) / width).log().to(y.dtype)
        ends = float(times.min()), float(times.max())
        begin = ((y - mean) / width, y.new_zeros(len(y), columns))
        try:
            end, change = odeint(
                velocity,
                begin,
                times,
                rtol=tolerance.rtol,
                atol=tolerance.atol,
                method="dopri5",
                options={"norm": norm, "step_t": times[1:]},
            )
        except AssertionError as error:
            raise NumericalFailure(
                f"the transport between sigma = {sigmas[0]:g} and {sigmas[1]:g} did not converge ({error}): "
                "raise rtol and atol, or work in float64"
            ) from error
        if not end[-1].isfinite().all():
            raise NumericalFailure(
                "the transport left the real numbers: the denoiser returned values that are not finite"
            )
        return mean + width * end[-1], change[-1]


def _divergence(field: Tensor, y: Tensor, signs: Tensor) -> Float[Tensor, "n k"]:
    """div of field(y): exact if there are no signs, else one estimate e' J e per probe e."""

    def product(v: Tensor, last: bool) -> Tensor:
        (row,) = torch.autograd.grad(field, y, v, retain_graph=not last)
        return row

    n = len(y)
    if signs.shape[1]:
        k = signs.shape[1]
        return torch.stack(
            [(product(signs[:, i], i + 1 == k) * signs[:, i]).reshape(n, -1).sum(1) for i in range(k)], 1
        )
    size = y[0].numel()
    trace = y.new_zeros(n)
    for i in range(size):
        unit = torch.zeros_like(y).reshape(n, -1)
        unit[:, i] = 1
        trace += product(unit.reshape(y.shape), i + 1 == size).reshape(n, -1)[:, i]
    return trace[:, None]
