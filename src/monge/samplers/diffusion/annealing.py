"""Walks to a posterior by guidance: x given y and the observation, and y of x at the next level."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import Guided
from monge.densities import Gaussian
from monge.errors import NumericalFailure
from monge.observations import Linear
from monge.samplers.diffusion.reverse import BATCH_VALUES


class Annealing:
    """From each level sigma to the next, t,

        y_t = x + (t / sigma) kept (y - x) + t sqrt(1 - kept^2) z,   kept = (t / sigma)^alpha,

    x the answer of a `Guided` denoiser at y, or, `drawn`, a draw of the Gaussian whose mean that is (`Guided.drawn`).
    With alpha = 1 and the answer it is the ancestral sampler of reverse diffusion (Ho et al. 2020), with alpha infinite
    all noise is new (DiffPIR, Zhu et al. 2023; of draws DAPS, Zhang et al. 2024, a Gibbs sampler of (x, y) where sigma
    falls). No step looks at another, nor at what is known of the law without the observation.
    """

    def __init__(self, guided: Guided, law: Gaussian, *, drawn: bool, alpha: float, seed: int) -> None:
        self.guided, self.law, self.drawn, self.alpha, self.seed = guided, law, drawn, alpha, seed

    def run(
        self, n: int, grid: Float[Tensor, " k"], options: dict[str, Any], advance: progress.Advance
    ) -> Float[Tensor, "n *event"]:
        """n samples at the end of falling levels. options: dtype and device of the samples.

        Raises NumericalFailure where some are not finite.
        """
        event_shape = tuple(self.law.event_shape)
        size = max(1, BATCH_VALUES // math.prod(event_shape))
        parts = [self._rows(first, min(size, n - first), grid, options, advance) for first in range(0, n, size)]
        x = torch.cat(parts)
        if not bool(x.isfinite().all()):
            bad = int((~x.flatten(1).isfinite().all(1)).sum())
            raise NumericalFailure(
                f"{bad} of {n} samples are not finite: the guided denoiser diverged; try another method"
            )
        return x

    def _rows(
        self, start: int, n: int, grid: Tensor, options: dict[str, Any], advance: progress.Advance
    ) -> Float[Tensor, "n *event"]:
        seen, event = self.guided.observation, tuple(self.law.event_shape)

        def unit(*address: Any, shape: tuple[int, ...] = event) -> Tensor:
            return rng.normal((n, *shape), self.seed, *address, start=start, **options)

        levels = grid.tolist()
        y = self.law.noised(levels[0]).from_noise(unit("start"))
        for index, (level, below) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True)):
            sigma = y.new_full((n,), level)
            if self.drawn and isinstance(seen, Linear):
                x = self.guided.drawn(y, sigma, unit("drawn", index), unit("seen", index, shape=(seen.size,)))
            else:
                x = self.guided(y, sigma)
            advance(n)
            kept = (below / level) ** self.alpha
            y = x + below / level * kept * (y - x)
            if kept < 1:
                y = y + below * math.sqrt(1 - kept**2) * unit("step", index)
        return y
