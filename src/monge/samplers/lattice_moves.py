"""Kernels for fields on lattices: heat bath, and clusters that turn over, so that no critical slowing down is seen."""

import dataclasses
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge import rng
from monge.compiling import side_by_side
from monge.densities import Ising, Phi4
from monge.errors import BadInput
from monge.samplers.states import Info, State

SHARE = 1.0  # sites of the clusters of a step, in all, as a share of the lattice's


@cache
def _lattice(space: tuple[int, ...]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The neighbours of each site, [sites, 2 D], and the order of a sweep: even sites, then odd ones."""
    sites = np.arange(math.prod(space), dtype=np.int32).reshape(space)
    near = [np.roll(sites, step, axis).ravel() for axis in range(len(space)) for step in (1, -1)]
    colour = np.indices(space).sum(0).ravel() % 2
    return np.stack(near, 1), np.argsort(colour, kind="stable").astype(np.int32)


@dataclass(frozen=True)
class LatticeMoves:
    """A heat-bath sweep in checkerboard order, if `sweep`, then `clusters` of Wolff's.

    Of `Ising`, or of `Phi4`, whose signs are the spins of an Ising model with couplings kappa |phi_x phi_y| (Brower and
    Tamayo 1989). The warm-up sets the number of clusters to turn over as many sites as the lattice has.
    """

    law: Any
    sweep: bool = True
    clusters: float = 0.0
    seed: int = 0
    adapted: ClassVar[tuple[str, ...]] = ("clusters",)

    def __post_init__(self) -> None:
        if not isinstance(self.law, Ising | Phi4):
            raise BadInput(f"these moves are for Ising and Phi4, not {type(self.law).__name__}: use hmc or mala")

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        return State(x, self.law.energy(x), None, steps)

    def step(self, state: State) -> tuple[State, Info]:
        x = state.x.cpu().clone(memory_format=torch.contiguous_format)
        phi, sizes = x.view(len(x), -1).numpy(), np.zeros(len(x))
        near, order = _lattice(tuple(x.shape[2:]))
        law, each = self.law, max(1, 4096 // phi.shape[1])
        from monge.samplers import sweeps  # numba takes a second to import

        if self.sweep:
            streams = rng.streams(len(x), self.seed, "sweep", state.steps)
            if isinstance(law, Ising):
                side_by_side(sweeps.ising, [phi, streams], [near, order, law.beta], [], each=each)
            else:
                how = [near, order, law.kappa, law.lam, law.field]
                side_by_side(sweeps.phi4, [phi, streams], how, [], each=each)
        if self.clusters:
            streams = rng.streams(len(x), self.seed, "clusters", state.steps)
            kappa, field = (0.5 * law.beta, 0.0) if isinstance(law, Ising) else (law.kappa, law.field)
            side_by_side(sweeps.wolff, [phi, streams, sizes], [near, kappa, field, round(self.clusters)], [], each=each)
        new = self.start(x.to(state.x.device), state.steps + 1)
        moved = torch.from_numpy(sizes / phi.shape[1]).to(new.energy)
        return new, Info(torch.ones_like(moved), torch.zeros_like(moved, dtype=torch.bool), moved=moved)

    def tuned(self, before: State, after: State, info: Info, done: float) -> "LatticeMoves":
        if not self.clusters or info.moved is None:
            return self
        away = math.log(float(info.moved.mean()) / SHARE)
        clusters = self.clusters * math.exp(-away * (1 + before.steps) ** -0.5)
        return dataclasses.replace(self, clusters=min(max(clusters, 1.0), float(before.x[0].numel())))
