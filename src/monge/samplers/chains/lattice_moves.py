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
from monge.samplers.chains.states import Info, State

Array = NDArray[np.float64]
SHARE = 0.25  # sites of the clusters of a step, in all, as a share of the lattice's
EACH = 2048  # sites below which a second thread costs more than it does


@cache
def _lattice(space: tuple[int, ...]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The neighbours of each site, [sites, 2 D], and the order of a sweep: even sites, then odd ones."""
    sites = np.arange(math.prod(space), dtype=np.int32).reshape(space)
    near = [np.roll(sites, step, axis).ravel() for axis in range(len(space)) for step in (1, -1)]
    colour = np.indices(space).sum(0).ravel() % 2
    return np.stack(near, 1), np.argsort(colour, kind="stable").astype(np.int32)


@cache
def _waves(space: tuple[int, ...], count: int) -> tuple[Array, Array]:
    """The constant, then cosines and sines of one period along each axis, [waves, sites]; their neighbours' sums."""
    near, _ = _lattice(space)
    angles = [2 * math.pi * np.indices(space)[axis].ravel() / side for axis, side in enumerate(space)]
    every = [np.ones(math.prod(space)), *(wave(angle) for angle in angles for wave in (np.cos, np.sin))][:count]
    waves = np.stack(every) if every else np.zeros((0, math.prod(space)))
    return waves, waves[:, near].sum(2)


@dataclass(frozen=True)
class LatticeMoves:
    """A heat-bath sweep in checkerboard order, if `sweep`; shifts along `waves` long waves; `clusters` of Wolff's.

    Of `Ising`, or of `Phi4`, whose signs are the spins of an Ising model with couplings kappa |phi_x phi_y| (Brower and
    Tamayo 1989). Clusters turn the signs of long waves, shifts change their size: a field near its transition needs
    both. The warm-up sets the number of clusters to turn over as many sites as the lattice has.
    """

    law: Any
    sweep: bool = True
    waves: int = 0
    clusters: float = 0.0
    seed: int = 0
    adapted: ClassVar[tuple[str, ...]] = ("clusters",)
    compiled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.law, Ising | Phi4):
            raise BadInput(f"these moves are for Ising and Phi4, not {type(self.law).__name__}: use hmc or mala")

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        return State(x, self.law.energy(x), None, steps)

    def step(self, state: State) -> tuple[State, Info]:
        from monge.samplers.chains import sweeps  # numba takes a second to import

        x = state.x.cpu().clone(memory_format=torch.contiguous_format)
        phi, space, law = x.view(len(x), -1).numpy(), tuple(x.shape[2:]), self.law
        spins = isinstance(law, Ising)
        form = (0.5 * law.beta, 0.0, 0.0, True) if spins else (law.kappa, law.lam, law.field, False)
        how = [*_lattice(space), *_waves(space, self.waves), *form, self.sweep, round(self.clusters)]
        streams = rng.streams(len(x), self.seed, "lattice", state.steps)
        turned, energy = np.zeros(len(x)), np.zeros(len(x))
        side_by_side(sweeps.step, [phi, streams, turned, energy], how, [], each=max(1, EACH // phi.shape[1]))
        new = State(x.to(state.x.device), torch.from_numpy(energy).to(state.x), None, state.steps + 1)
        moved = torch.from_numpy(turned / phi.shape[1]).to(state.x)
        return new, Info(torch.ones_like(moved), torch.zeros_like(moved, dtype=torch.bool), moved=moved)

    def tuned(self, before: State, after: State, info: Info, done: float) -> "LatticeMoves":
        if not self.clusters or info.moved is None:
            return self
        away = math.log(float(info.moved.mean()) / SHARE)
        clusters = self.clusters * math.exp(-away * (1 + before.steps) ** -0.5)
        return dataclasses.replace(self, clusters=min(max(clusters, 1.0), float(before.x[0].numel())))
