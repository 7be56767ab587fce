"""One batch on its way down from noise to data."""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import informed, per_sample, residual_level
from monge.doors import like
from monge.errors import NumericalFailure
from monge.protocols import Denoiser
from monge.samplers.diffusion.linearisation import Linearisation
from monge.samplers.diffusion.solvers import ExponentialMultistep, Past, Rule, Solver, Step

Look = Callable[[Tensor, Tensor, float], Linearisation]
SLOPE = 7.0  # rho of Karras et al. (2022): steps crowd towards small sigma


class Trajectory(NamedTuple):
    """Samples, and the way they came.

    x: [n, *event]. sigma: [k] noise levels visited. y, x_hat: [k, n, *event] noisy samples at those levels and
    what the denoiser made of them. pilot_calls: what the pilot took, in rows of all calls.
    """

    x: Tensor
    sigma: Tensor
    y: Tensor
    x_hat: Tensor
    pilot_calls: int = 0


def noise_levels(steps: int, sigma_min: float, sigma_max: float) -> Float[Tensor, " steps"]:
    """Decreasing noise levels, evenly spaced in sigma^(1/7) (Karras et al. 2022, eq. 5); float64.

    >>> noise_levels(3, 1.0, 4.0)[[0, -1]]
    tensor([4., 1.], dtype=torch.float64)
    """
    ends = torch.tensor([sigma_max, sigma_min], dtype=torch.float64) ** (1 / SLOPE)
    grid: Tensor = (ends[0] + torch.linspace(0, 1, steps, dtype=torch.float64) * (ends[1] - ends[0])) ** SLOPE
    grid[0], grid[-1] = sigma_max, sigma_min if steps > 1 else sigma_max
    return grid


def answer(denoiser: Denoiser, y: Float[Tensor, "n *event"], sigma: Tensor) -> Float[Tensor, "n *event"]:
    """D(y, sigma), sigma one level or [n, 1, ...]; BadInput for what has not the shape of y."""
    return like(y, denoiser(y, sigma.reshape(-1).expand(len(y))))


class Descent:
    """Samples start .. start + n of a seed, from their noise; every level is one step, the last goes to sigma = 0.

    mean, linear: of the law, and the linear part of its denoiser; or look, which tells that part at each level from
    y, what the denoiser made of it, and sigma. trace: keep what was seen, for `trajectory`.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        solver: Solver,
        mean: Tensor,
        linear: Linearisation,
        *,
        alpha: float = 0.0,
        seed: int = 0,
        start: int = 0,
        trace: bool = False,
        look: Look | None = None,
        advance: progress.Advance = lambda *_: None,
    ) -> None:
        self.denoiser, self.solver, self.mean, self.linear, self.alpha = denoiser, solver, mean, linear, alpha
        self.seed, self.start, self.trace, self.advance = seed, start, trace, advance
        self.look = look
        self.blind = informed(denoiser).blind
        self.frames: list[tuple[Tensor, Tensor, Tensor]] = []

    def denoise(self, y: Tensor, sigma: Tensor) -> Tensor:
        self.advance(len(y))
        return answer(self.denoiser, y, sigma)

    def run(self, y: Tensor, grid: Float[Tensor, " k"]) -> Tensor:
        past: list[Past] = []
        mean = self.mean.to(y)
        rules: Iterable[Rule | None] = itertools.repeat(None, len(grid))
        if isinstance(self.solver, ExponentialMultistep) and not self.blind and self.look is None:
            rules = self.solver.plan(self.linear, grid, self.alpha, y.dtype)
        ends = [*grid.tolist()[1:], 0.0]
        for index, (level, level_next, rule) in enumerate(zip(grid.tolist(), ends, rules, strict=True)):
            sigma = y.new_full((1, *[1] * (y.ndim - 1)), level)
            sigma_next = torch.full_like(sigma, level_next)
            x_hat = self.denoise(y, sigma)
            if self.trace:
                self.frames.append((torch.tensor(level), y, x_hat))
            if self.look is not None:
                self.linear = self.look(y, x_hat, level)
            last = index + 1 == len(grid)
            if self.blind:
                # at least half of the planned way, in log sigma: a residual that is too small must not stop the walk
                least = math.sqrt(level * (level_next or grid[-1].item() / 2))
                sigma = per_sample(residual_level(x_hat, y), y).clamp_min(least)
            z = None
            if self.alpha > 0:
                shape = tuple(y.shape)
                z = rng.normal(shape, self.seed, "step", index, start=self.start, dtype=y.dtype, device=y.device)
            levels = sigma, sigma_next.expand_as(sigma)
            now = Step(y, x_hat, *levels, self.alpha, z, self.denoise, mean, self.linear, past, last, rule)
            y = self.solver.step(now)
            if self.solver.memory:
                past = [Past(now.log_sigma, now.q, now.v, now.predicted), *past][: self.solver.memory]
        if not y.isfinite().all():
            bad = int((~y.flatten(1).isfinite().all(1)).sum())
            raise NumericalFailure(
                f"{bad} of {len(y)} samples are not finite: the denoiser diverged; it must answer at every noise level "
                f"from {grid[0]:.3g} down to {grid[-1]:.3g}"
            )
        return y

    def trajectory(self, x: Tensor) -> Trajectory:
        sigma, y, x_hat = zip(*self.frames, strict=True)
        return Trajectory(x, torch.stack(sigma), torch.stack(y), torch.stack(x_hat))
