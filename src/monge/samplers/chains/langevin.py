"""Langevin's steps: unadjusted, biased by their size, and Metropolis-adjusted, not biased."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monge.samplers.chains.states import Info, State, chosen, each, near, noise, ready, towards

OPTIMAL = 0.574  # acceptance of MALA that moves the farthest in many dimensions (Roberts and Rosenthal 1998)
WIDER = 0.02  # by what share a step that is chosen here widens a law
NUDGE = 3.0  # of log h, at most, in one step of warm-up


@dataclass(frozen=True)
class Unadjusted:
    """x' = x + h grad log p(x) + sqrt(2 h) z (119, 122): what it leaves stationary differs from p by O(h).

    From E |x' - m|^2 = E |x - m|^2, E (x - m).(-grad log p) = d + h/2 E |grad log p|^2, where it is d under p: by the
    share h/2d E |grad log p|^2 the law is wider, along the directions that pull. h: None, tuned in the warm-up such
    that steps, by how much the score changes along them, widen the law by .02; one that would turn the score over is
    then not taken, and never one to where the energy is not a number: these are counted as divergent.
    """

    law: Any
    h: float | None = None
    seed: int = 0
    step_size: float = 0.1
    adapted: ClassVar[tuple[str, ...]] = ("step_size",)

    def __post_init__(self) -> None:
        if self.h is not None:
            object.__setattr__(self, "step_size", self.h)

    @property
    def given(self) -> dict[str, Any]:
        """What a file of a run must agree in."""
        return {"h": self.h}

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        energy, score = self.law.energy_and_score(x)
        return State(x, energy, score, steps)

    def step(self, state: State) -> tuple[State, Info]:
        assert state.score is not None
        h = self.step_size
        x = state.x + h * state.score + math.sqrt(2 * h) * noise(state, self.seed, "langevin")
        new = self.start(x, state.steps + 1)
        assert new.score is not None
        bend = (new.score - state.score).flatten(1).norm(dim=1) / (x - state.x).flatten(1).norm(dim=1)
        bad = ~(new.energy.isfinite() & new.score.flatten(1).isfinite().all(1))
        broken = bad & near(state, x)
        if self.h is None:
            bad = bad | (h * bend > 1)
        stay = each(bad, x)
        kept = State(
            torch.where(stay, state.x, x),
            torch.where(bad, state.energy, new.energy),
            torch.where(stay, state.score, new.score),
            state.steps + 1,
        )
        wider = 0.5 * h * state.score.flatten(1).square().mean(1)
        return kept, Info(torch.ones_like(new.energy), bad, broken, wider=wider, bend=bend)

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Unadjusted":
        if self.h is not None:
            return self
        assert info.bend is not None
        bend = float(info.bend.double().square().mean().sqrt())
        away = math.log(WIDER / (0.5 * self.step_size * bend)) if 0 < bend < math.inf else -NUDGE
        nudge = max(-NUDGE, min(NUDGE, away)) * (1 + before.steps) ** -0.5
        return dataclasses.replace(self, step_size=self.step_size * math.exp(nudge))


@dataclass(frozen=True)
class Adjusted:
    """The same proposal, accepted with probability min(1, p(y) q(x | y) / p(x) q(y | x)) (40-42).

    The warm-up tunes h to an acceptance of .574; all chains share it.
    """

    law: Any
    h: float = 0.1
    seed: int = 0
    lately: Tensor | None = None
    adapted: ClassVar[tuple[str, ...]] = ("h", "lately")

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
        broken = proposed.energy.isnan() & near(state, x)
        return new, Info(probability, proposed.energy.isnan(), broken)

    def ready(self, state: State) -> "Adjusted":
        found: Adjusted = ready(self, state, "h", OPTIMAL, 4.0)
        return found

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Adjusted":
        h, lately = towards(self.h, info, OPTIMAL, before.steps, self.lately)
        return dataclasses.replace(self, h=h, lately=lately)
