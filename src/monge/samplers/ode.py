"""The deterministic transport, alpha = 0: an exact likelihood and a latent (course, sections 5.3 and 6.2.2).

With l = log sigma the transport is dy/dl = y - D(y, e^l), and Liouville's equation (course (96)) gives along it

    log p_sigma_min(x) = log p_sigma_max(y_max) + int (d - div D) dl,

p_sigma_max being Gaussian to a precision that grows with sigma_max.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import part, velocity_in_log
from monge.errors import BadInput, NumericalFailure
from monge.linalg import DiagonalCovariance, Moments
from monge.protocols import Denoiser, LogProb

Field = Callable[[Tensor, Tensor], Tensor]


class Tolerance(NamedTuple):
    """Relative and absolute error allowed to one step of the integrator (Dormand-Prince 5(4))."""

    rtol: float = 1e-5
    atol: float = 1e-5


def log_prob(
    denoiser: Denoiser,
    x: Float[Tensor, "n *event"],
    *,
    sigma_min: float = 2e-3,
    sigma_max: float = 80.0,
    moments: Moments | None = None,
    probes: int | None = None,
    seed: int = 0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    batch_size: int = 512,
    show: bool = False,
) -> LogProb:
    """log p_sigma_min(x) by the change of variables along the transport, in nats.

    probes: None for the exact divergence (d products with the Jacobian per evaluation), or a number k >= 2 of
        Rademacher probes (Hutchinson); the error returned is then the standard error over probes.
    moments: mean and covariance of the data, for the Gaussian law at sigma_max; the denoiser's own if it has them.

    Raises BadInput for fewer than 2 probes, NumericalFailure if the integrator does not converge.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> law = Gaussian(torch.zeros(1), torch.eye(1))
    >>> x = torch.zeros(1, 1)
    >>> (log_prob(Oracle(law), x).value - law.log_prob(x).value).abs() < 1e-3
    tensor([True])
    """
    if not (rtol > 0 and atol > 0):
        raise BadInput(f"rtol and atol must be above 0, not {rtol} and {atol}")
    if probes is not None and probes < 2:
        raise BadInput(f"Hutchinson's estimator needs at least 2 probes to state its error, not {probes}")
    values, errors = [], []
    with progress.bar("log-likelihood", len(x), show=show) as advance:
        for first in range(0, len(x), batch_size):
            y = x[first : first + batch_size]
            shape = (len(y), probes or 0, *y.shape[1:])
            signs = rng.uniform(shape, seed, "probes", start=first, dtype=y.dtype, device=y.device).sub(0.5).sign()
            own = part(denoiser, first, len(y))
            end, change = _flow(own, y, (sigma_min, sigma_max), Tolerance(rtol, atol), signs)
            total = _moments(own, moments, y).log_prob(end, sigma_max)[:, None] + change
            values.append(total.mean(1))
            errors.append(total.std(1) / math.sqrt(probes) if probes else torch.zeros_like(values[-1]))
            advance(len(y))
    how = "exact divergence" if probes is None else f"Hutchinson divergence, {probes} probes"
    return LogProb(torch.cat(values), torch.cat(errors), f"probability-flow ODE, {how}, rtol {rtol:g}")


def encode(
    denoiser: Denoiser,
    x: Float[Tensor, "n *event"],
    *,
    sigma_min: float = 2e-3,
    sigma_max: float = 80.0,
    moments: Moments | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    batch_size: int = 512,
) -> Float[Tensor, "n *event"]:
    """Latent z of x: the transport to sigma_max, whitened by the Gaussian law there; z ~ N(0, Id) if D is right.

    Events are integrated `batch_size` at a time, each within the tolerance whoever it is integrated with.
    """
    ends = _carry(denoiser, x, (sigma_min, sigma_max), Tolerance(rtol, atol), batch_size)
    return _moments(denoiser, moments, x).whiten(ends, sigma_max)


def decode(
    denoiser: Denoiser,
    z: Float[Tensor, "n *event"],
    *,
    sigma_min: float = 2e-3,
    sigma_max: float = 80.0,
    moments: Moments | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    batch_size: int = 512,
) -> Float[Tensor, "n *event"]:
    """x of a latent z: the inverse of `encode`."""
    start = _moments(denoiser, moments, z).noised_sample(z, sigma_max)
    return _carry(denoiser, start, (sigma_max, sigma_min), Tolerance(rtol, atol), batch_size)


def _moments(denoiser: Denoiser, moments: Moments | None, x: Tensor) -> Moments:
    nothing = Moments(torch.zeros_like(x[0]), DiagonalCovariance(torch.zeros_like(x[0])))
    return moments or getattr(denoiser, "moments", None) or nothing


def _carry(denoiser: Denoiser, y: Tensor, sigmas: tuple[float, float], tolerance: Tolerance, batch_size: int) -> Tensor:
    """y at the second of two noise levels, `batch_size` rows at a time."""
    firsts = range(0, len(y), batch_size)
    rows = [y[first : first + batch_size] for first in firsts]
    owners = [part(denoiser, first, len(some)) for first, some in zip(firsts, rows, strict=True)]
    return torch.cat([_flow(own, some, sigmas, tolerance, None)[0] for own, some in zip(owners, rows, strict=True)])


def _flow(
    denoiser: Denoiser,
    y: Tensor,
    sigmas: tuple[float, float],
    tolerance: Tolerance,
    signs: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Carry y [n, *event] between two noise levels; with `signs` [n, k, *event], also int (d - div D) dl,
    [n, max(k, 1)]: k = 0 means the exact divergence.
    """
    from torchdiffeq import odeint

    columns = 0 if signs is None else max(1, signs.shape[1])

    def velocity(time: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, change = state
        sigma = time.exp().to(y.dtype).expand(len(y))
        with torch.enable_grad() if columns else torch.no_grad():
            y = y.detach().requires_grad_(columns > 0)
            field = velocity_in_log(denoiser(y, sigma), y)
        if signs is None:
            return field, change
        return field.detach(), _divergence(field, y, signs)

    def norm(state: tuple[Tensor, ...]) -> Tensor:
        # the largest, not the mean: every sample meets the tolerance, whoever shares its batch
        return torch.stack([part.abs().max() for part in state if part.numel()]).max()

    times = torch.tensor(sigmas, dtype=torch.float64, device=y.device).log().to(y.dtype)
    start = (y, y.new_zeros(len(y), columns))
    try:
        end, change = odeint(
            velocity,
            start,
            times,
            rtol=tolerance.rtol,
            atol=tolerance.atol,
            method="dopri5",
            options={"norm": norm},
        )
    except AssertionError as error:
        raise NumericalFailure(
            f"the transport between sigma = {sigmas[0]:g} and {sigmas[1]:g} did not converge ({error}): "
            "raise rtol and atol, or work in float64"
        ) from error
    if not end[-1].isfinite().all():
        raise NumericalFailure("the transport left the real numbers: the denoiser returned values that are not finite")
    return end[-1], change[-1]


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
