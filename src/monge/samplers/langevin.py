"""Langevin's steps: unadjusted, biased by their size, and Metropolis-adjusted, not biased."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monge.samplers.states import Info, State, chosen, noise, towards

OPTIMAL = 0.574  # acceptance of MALA that moves the farthest in many dimensions (Roberts and Rosenthal 1998)


@dataclass(frozen=True)
class Unadjusted:
    """x' = x + h grad log p(x) + sqrt(2 h) z (119, 122): what it leaves stationary differs from p by O(h)."""

    law: Any
    h: float = 0.1
    seed: int = 0
    adapted: ClassVar[tuple[str, ...]] = ()

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        energy, score = self.law.energy_and_score(x)
        return State(x, energy, score, steps)

    def step(self, state: State) -> tuple[State, Info]:
        assert state.score is not None
        x = state.x + self.h * state.score + math.sqrt(2 * self.h) * noise(state, self.seed, "langevin")
        new = self.start(x, state.steps + 1)
        bad = ~new.energy.isfinite()
        return new, Info(torch.ones_like(new.energy), bad)

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Unadjusted":
        return self


@dataclass(frozen=True)
class Adjusted:
    """The same proposal, accepted with probability min(1, p(y) q(x | y) / p(x) q(y | x)) (40-42).

    The warm-up tunes h to an acceptance of .574; all chains share it.
    """

    law: Any
    h: float = 0.1
    seed: int = 0
    adapted: ClassVar[tuple[str, ...]] = ("h",)

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        energy, score = self.law.energy_and_score(x)
        return State(x, energy, score, steps)

    def step(self, state: State) -> tuple[State, Info]:
        assert state.score is not None
        z = noise(state, self.seed, "langevin")
        x = state.x + self.h * state.score + math.sqrt(2 * self.h) * z
        proposed = self.start(x)
        assert proposed.score is not None
        back = (state.x - x - self.h * proposed.score).flatten(1).square().sum(1) / (4 * self.h)
        log_ratio = state.energy - proposed.energy - back + 0.5 * z.flatten(1).square().sum(1)
        new, probability = chosen(state, proposed, log_ratio, self.seed)
        return new, Info(probability, proposed.energy.isnan())

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Adjusted":
        return dataclasses.replace(self, h=towards(self.h, info, OPTIMAL, before.steps))
