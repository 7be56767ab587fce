"""Metropolis and Hastings: a proposal, symmetric or not, and the coin that makes p stationary (40-42, Alg. 1)."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from monge.samplers.chains.states import Info, State, chosen, near, noise, ready, towards

ACCEPTED_OF_ONE, ACCEPTED_OF_MANY = 0.44, 0.234  # acceptances that move the farthest (Gelman et al. 1996)


@runtime_checkable
class Proposal(Protocol):
    """Where a chain may go: `draw(x, z)` from x and standard normal noise z of its shape; log Q(x, y), [chains].

    log_density may leave out what is the same for (x, y) and (y, x): for a symmetric proposal it is 0.
    """

    def draw(self, x: Tensor, z: Tensor) -> Tensor: ...
    def log_density(self, x: Tensor, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Walk:
    """y = x + size z, symmetric."""

    size: float = 1.0

    def draw(self, x: Tensor, z: Tensor) -> Tensor:
        return x + self.size * z

    def log_density(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(len(x))


@dataclass(frozen=True)
class Metropolis:
    """y is accepted with probability min(1, Q(y, x) p(y) / Q(x, y) p(x)), a coin a chain.

    Without a proposal it is a walk, whose size the warm-up tunes to an acceptance of .44 for one value, else .234.
    """

    law: Any
    proposal: Proposal | None = None
    size: float = 1.0
    seed: int = 0
    lately: Tensor | None = None
    adapted: ClassVar[tuple[str, ...]] = ("size", "lately")

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        return State(x, self.law.energy(x), None, steps)

    def step(self, state: State) -> tuple[State, Info]:
        proposal = self.proposal or Walk(self.size)
        y = proposal.draw(state.x, noise(state, self.seed, "propose"))
        proposed = self.start(y)
        asymmetry = proposal.log_density(y, state.x) - proposal.log_density(state.x, y)
        new, probability = chosen(state, proposed, state.energy - proposed.energy + asymmetry, self.seed)
        broken = proposed.energy.isnan()
        return new, Info(probability, broken, broken & near(state, y))

    def ready(self, state: State) -> "Metropolis":
        found: Metropolis = self if self.proposal is not None else ready(self, state, "size", ACCEPTED_OF_MANY, 2.0)
        return found

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Metropolis":
        if self.proposal is not None:
            return self
        target = ACCEPTED_OF_ONE if before.x[0].numel() == 1 else ACCEPTED_OF_MANY
        size, lately = towards(self.size, info, target, before.steps, self.lately)
        return dataclasses.replace(self, size=size, lately=lately)
