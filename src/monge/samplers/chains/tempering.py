"""Replica exchange: chains on p^beta that swap places with their neighbours, so that barriers are crossed where they
are low (43)."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from monge import rng
from monge.errors import BadInput
from monge.samplers.chains.states import Info, Kernel, State

WINDOWS = 0.15, 0.3, 0.5, 0.75  # shares of the warm-up at which the ladder is set anew


class Replicas(NamedTuple):
    """A state for each inverse temperature, the coldest, which is the law itself, first. betas: they are made for."""

    states: tuple[State, ...]
    betas: Tensor
    steps: int

    @property
    def x(self) -> Tensor:
        return self.states[0].x

    @property
    def energy(self) -> Tensor:
        return self.states[0].energy

    @property
    def all_x(self) -> Tensor:
        """[replicas, chains, *event]."""
        return torch.stack([state.x for state in self.states])


@dataclass(frozen=True)
class ReplicaExchange:
    """A step of each replica's kernel, then swaps of neighbours (even pairs, then odd ones, in turn) with probability

        min(1, exp((beta_r - beta_s) (U(x_r) - U(x_s)))).

    The warm-up tunes each kernel, and moves the betas so that all neighbours are refused as often: at equal steps of
    the cumulative refusal (Syed, Bouchard-Cote, Deligiannidis and Doucet 2022).

    law: at beta = 1. make: a kernel for a law and a seed. betas: from 1 down.

    Raises BadInput for betas that do not fall from 1 to 0 or more.
    """

    law: Any
    make: Callable[[Any, int], Kernel]
    betas: Tensor
    seed: int = 0
    kernels: tuple[Any, ...] = ()
    refused: Tensor | None = None
    seen: int = 0
    window: int = 0
    adapted: ClassVar[tuple[str, ...]] = ("betas", "refused", "seen", "window", "kernels")

    def __post_init__(self) -> None:
        b = self.betas
        if b.ndim != 1 or len(b) < 2 or float(b[0]) != 1 or not bool((b.diff() < 0).all()) or not float(b[-1]) > 0:
            raise BadInput(f"betas must fall from 1 to above 0, two at least, not {[round(v, 4) for v in b.tolist()]}")
        kernels = self.kernels or tuple(self.make(self.law, 1000 * self.seed + r) for r in range(len(b)))
        laws = [self.law.tempered(float(beta)) if r else self.law for r, beta in enumerate(b)]
        bound = tuple(dataclasses.replace(kernel, law=law) for kernel, law in zip(kernels, laws, strict=True))
        object.__setattr__(self, "kernels", bound)

    @property
    def given(self) -> dict[str, Any]:
        """What a file of a run must agree in."""
        return {"replicas": len(self.betas)}

    def start(self, x: Tensor, steps: int = 0) -> Replicas:
        """From chains for all replicas, [chains, *event], or for each, [replicas, chains, *event]."""
        places = x if x.ndim > len(self.law.event_shape) + 1 else x.expand(len(self.betas), *x.shape)
        states = [kernel.start(place.clone(), steps) for kernel, place in zip(self.kernels, places, strict=True)]
        return Replicas(tuple(states), self.betas, steps)

    def step(self, state: Replicas) -> tuple[Replicas, Info]:
        if not torch.equal(state.betas, self.betas):
            state = self.start(state.all_x, state.steps)
        steps = [kernel.step(one) for kernel, one in zip(self.kernels, state.states, strict=True)]
        states = tuple(new for new, _ in steps)
        betas = self.betas.to(states[0].energy)[:, None]
        energy = torch.stack([one.energy for one in states]) / betas
        gain = (betas[:-1] - betas[1:]) * (energy[:-1] - energy[1:])
        probability = gain.clamp_max(0).exp().nan_to_num(0.0)
        chains = energy.shape[1]
        u = rng.uniform((chains, len(betas) - 1), self.seed, "swap", state.steps, dtype=energy.dtype).T.to(energy)
        swap = u < probability
        swap[(state.steps + 1) % 2 :: 2] = False
        source = torch.arange(len(betas), device=energy.device)[:, None].expand(-1, chains).clone()
        source[:-1] += swap.long()
        source[1:] -= swap.long()
        swapped = _exchanged(states, betas, source)
        info = steps[0][1]._replace(swaps=probability.mean(1), inner=tuple(steps))
        return Replicas(swapped, self.betas, state.steps + 1), info

    # -- warm-up -------------------------------------------------------------------------------------------

    def ready(self, state: Replicas) -> "ReplicaExchange":
        pairs = zip(self.kernels, state.states, strict=True)
        kernels = tuple(k.ready(one) if hasattr(k, "ready") else k for k, one in pairs)
        return dataclasses.replace(self, kernels=kernels)

    def tuned(self, before: Replicas, after: Replicas, info: Info, done: float) -> "ReplicaExchange":
        assert info.swaps is not None
        assert info.inner is not None
        each = zip(self.kernels, before.states, info.inner, strict=True)
        kernels = tuple(kernel.tuned(old, new, told, done) for kernel, old, (new, told) in each)
        refused, seen = 1 - info.swaps.double(), self.seen + 1
        if self.refused is not None and self.seen:
            refused = self.refused + (refused - self.refused) / seen
        window = sum(done > share for share in WINDOWS)
        kernel = dataclasses.replace(self, kernels=kernels, refused=refused, seen=seen)
        return kernel if window == self.window else kernel._spread(window)

    def _spread(self, window: int) -> "ReplicaExchange":
        """The ladder with as much of the cumulative refusal between all neighbours."""
        assert self.refused is not None
        total = np.concatenate([[0.0], self.refused.clamp_min(1e-3).cumsum(0).numpy()])
        logs = np.interp(np.linspace(0, total[-1], len(total)), total, self.betas.double().log().numpy())
        betas = torch.from_numpy(np.exp(logs)).to(self.betas)
        betas[0] = 1.0
        return dataclasses.replace(self, betas=betas, window=window, seen=0)


def _exchanged(states: tuple[State, ...], betas: Tensor, source: Tensor) -> tuple[State, ...]:
    """Replica r of chain c takes the place of replica source[r, c]; energies and scores go with the temperature."""
    chain = torch.arange(source.shape[1], device=source.device)
    x = torch.stack([state.x for state in states])[source, chain]
    energy = (torch.stack([state.energy for state in states]) / betas)[source, chain] * betas
    scores = [state.score for state in states if state.score is not None]
    score: list[Tensor | None] = [None] * len(states)
    if scores:
        scale = betas.reshape(-1, *[1] * (x.ndim - 1))
        score = list((torch.stack(scores) / scale)[source, chain] * scale)
    steps = [state.steps for state in states]
    return tuple(State(*parts) for parts in zip(x, energy, score, steps, strict=True))
