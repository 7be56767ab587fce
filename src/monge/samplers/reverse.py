"""Reverse diffusion: from noise to data with a denoiser (course, section 6.2.2)."""

from typing import Any, Literal, NamedTuple, overload

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import part, per_sample, residual_level
from monge.errors import BadInput, NumericalFailure
from monge.linalg import DiagonalCovariance, Moments
from monge.protocols import Denoiser
from monge.samplers.solvers import ExponentialMultistep, Past, Solver, Step

FEW_CALLS = 6
BATCH_VALUES = 2**20  # values held at a time when no batch size is given
SLOPE = 7.0  # rho of Karras et al. (2022): steps crowd towards small sigma


class Trajectory(NamedTuple):
    """Samples, and the way they came.

    x: [n, *event]. sigma: [k] noise levels visited. y, x_hat: [k, n, *event] noisy samples at those levels and
    what the denoiser made of them.
    """

    x: Tensor
    sigma: Tensor
    y: Tensor
    x_hat: Tensor


def levels(steps: int, sigma_min: float, sigma_max: float) -> Float[Tensor, " steps"]:
    """Decreasing noise levels, evenly spaced in sigma^(1/7) (Karras et al. 2022, eq. 5); float64.

    >>> levels(3, 1.0, 4.0)[[0, -1]]
    tensor([4., 1.], dtype=torch.float64)
    """
    ends = torch.tensor([sigma_max, sigma_min], dtype=torch.float64) ** (1 / SLOPE)
    grid: Tensor = (ends[0] + torch.linspace(0, 1, steps, dtype=torch.float64) * (ends[1] - ends[0])) ** SLOPE
    grid[0], grid[-1] = sigma_max, sigma_min if steps > 1 else sigma_max
    return grid


@overload
def reverse_diffusion(
    denoiser: Denoiser, event_shape: tuple[int, ...], n: int, *args: Any, trace: Literal[True], **options: Any
) -> Trajectory: ...
@overload
def reverse_diffusion(
    denoiser: Denoiser, event_shape: tuple[int, ...], n: int, *args: Any, **options: Any
) -> Tensor: ...
@torch.no_grad()  # type: ignore[misc]  # the overloads name only what decides the type of the result
def reverse_diffusion(
    denoiser: Denoiser,
    event_shape: tuple[int, ...],
    n: int,
    nfe: int = 20,
    alpha: float = 0.0,
    sigma_min: float = 2e-3,
    sigma_max: float = 80.0,
    seed: int = 0,
    *,
    solver: Solver | None = None,
    moments: Moments | None = None,
    start: int = 0,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    trace: bool = False,
    show: bool = False,
) -> Tensor | Trajectory:
    """Draw n samples by running the noise clock backwards from sigma_max to sigma_min, then denoising once more.

    Follows, with y = x + sigma z (course (135), (140)), dy = (1 + alpha) sigma grad log p_sigma(y) |dsigma|
    + sqrt(2 alpha sigma |dsigma|) dW: a deterministic transport for alpha = 0, Anderson's reversed diffusion for
    alpha = 1. The score is read off the denoiser (142).

    denoiser: (y [n, *event], sigma [n]) -> E[x | y]. If it has `blind = True`, sigma is only a plan, and the noise
        level at each step is the one that its residual shows.
    nfe: denoiser calls per sample; never exceeded.
    solver: rule for one step; ExponentialMultistep unless given, of order 2; for fewer than 6 calls, whose steps are
        too long to extrapolate over, of order 1 and without moments, which is DDIM at alpha = 0.
    moments: mean and covariance of the data (the denoiser's own `.moments` if it has them). With them the walk
        starts at N(m, C + sigma_max^2) and not at N(0, sigma_max^2), and the default solver moves the Gaussian part
        of the law exactly, paying denoiser calls only for what is not Gaussian.
    start: index of the first sample: sample i of a seed is the same whatever n, the batch size and the way that the
        work is spread, for alpha > 0 too.
    trace: return the `Trajectory`.

    Raises BadInput for nfe < 1, alpha < 0, n < 1, or unless 0 < sigma_min < sigma_max; NumericalFailure if the
    denoiser returns values that are not finite.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> D = Oracle(Gaussian(torch.zeros(2), torch.eye(2)))
    >>> reverse_diffusion(D, (2,), 1000, nfe=10).std(0).round(decimals=1)
    tensor([1., 1.])
    """
    _check(n, nfe, alpha, sigma_min, sigma_max)
    zero = torch.zeros([1] * len(event_shape), dtype=dtype, device=device)  # broadcasts: no mean, no covariance
    nothing = Moments(zero, DiagonalCovariance(zero))
    few = solver is None and nfe < FEW_CALLS
    solver = solver or ExponentialMultistep(order=1 if few else 2)
    grid = levels(max(1, -(-nfe // solver.calls)), sigma_min, sigma_max)
    size = batch_size or max(1, BATCH_VALUES // max(1, int(torch.Size(event_shape).numel())))
    parts: list[Tensor] = []
    frames: list[Trajectory] = []
    with progress.bar("drawing samples", n * nfe, show=show) as advance:
        for first in range(0, n, size):
            rows = min(size, n - first)
            z = rng.normal((rows, *event_shape), seed, "start", start=start + first, dtype=dtype, device=device)
            own = part(denoiser, first, rows)
            gaussian = moments or getattr(own, "moments", None) or nothing
            y = gaussian.noised_sample(z, sigma_max)
            walk = _Walk(own, solver, nothing if few else gaussian, alpha, seed, start + first, trace, advance)
            parts.append(walk.run(y, grid))
            if trace:
                frames.append(walk.trajectory(parts[-1]))
    x = torch.cat(parts)
    if not trace:
        return x
    return Trajectory(
        x, frames[0].sigma, *(torch.cat(p, 1) for p in ([f.y for f in frames], [f.x_hat for f in frames]))
    )


def _check(n: int, nfe: int, alpha: float, sigma_min: float, sigma_max: float) -> None:
    if n < 1:
        raise BadInput(f"n must be at least 1 sample, not {n}")
    if nfe < 1:
        raise BadInput(f"nfe must be at least 1 denoiser call, not {nfe}")
    if not alpha >= 0:
        raise BadInput(f"alpha must be 0 (deterministic) or more, not {alpha}")
    if not 0 < sigma_min < sigma_max:
        raise BadInput(f"noise levels need 0 < sigma_min < sigma_max, not sigma_min={sigma_min}, sigma_max={sigma_max}")


class _Walk:
    """One batch on its way down."""

    def __init__(
        self,
        denoiser: Denoiser,
        solver: Solver,
        moments: Moments,
        alpha: float,
        seed: int,
        start: int,
        trace: bool,
        advance: progress.Advance,
    ) -> None:
        self.denoiser, self.solver, self.moments, self.alpha = denoiser, solver, moments, alpha
        self.seed, self.start, self.trace, self.advance = seed, start, trace, advance
        self.blind = bool(getattr(denoiser, "blind", False))
        self.frames: list[tuple[Tensor, Tensor, Tensor]] = []

    def denoise(self, y: Tensor, sigma: Tensor) -> Tensor:
        self.advance(len(y))
        return self.denoiser(y, sigma.reshape(-1).expand(len(y)))

    def run(self, y: Tensor, grid: Tensor) -> Tensor:
        past: list[Past] = []
        for index, level in enumerate(grid.tolist()):
            sigma = y.new_full((1, *[1] * (y.ndim - 1)), level)
            x_hat = self.denoise(y, sigma)
            if self.trace:
                self.frames.append((torch.tensor(level), y, x_hat))
            if index + 1 == len(grid):
                break
            sigma_next = torch.full_like(sigma, grid[index + 1].item())
            if self.blind:
                # at least half of the planned way, in log sigma: a residual that is too small must not stop the walk
                sigma = per_sample(residual_level(x_hat, y), y).maximum((sigma * sigma_next).sqrt())
            z = None
            if self.alpha > 0:
                z = rng.normal(
                    tuple(y.shape), self.seed, "step", index, start=self.start, dtype=y.dtype, device=y.device
                )
            now = Step(y, x_hat, sigma, sigma_next.expand_as(sigma), self.alpha, z, self.denoise, self.moments, past)
            y = self.solver.step(now)
            if self.solver.memory:
                past = [Past(sigma, now.residual), *past][: self.solver.memory]
        if not x_hat.isfinite().all():
            bad = int((~x_hat.flatten(1).isfinite().all(1)).sum())
            raise NumericalFailure(
                f"{bad} of {len(x_hat)} samples are not finite: the denoiser diverged; lower sigma_max or raise nfe"
            )
        return x_hat

    def trajectory(self, x: Tensor) -> Trajectory:
        sigma, y, x_hat = zip(*self.frames, strict=True)
        return Trajectory(x, torch.stack(sigma), torch.stack(y), torch.stack(x_hat))
