"""Chains on a path of laws: from where all is easy to the law that is wanted, or on to its lowest energies (121)."""

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from monge import progress
from monge.densities import Law
from monge.errors import BadInput
from monge.samplers.chains.draws import Chains
from monge.samplers.chains.langevin import Adjusted
from monge.samplers.chains.walk import as_law, refuse_bad, start


def annealed_langevin(
    path: Sequence[Any] | Any,
    *,
    chains: int = 1000,
    steps: int = 50,
    levels: int = 20,
    hottest: float = 0.02,
    kernel: Any = Adjusted,
    x: Tensor | None = None,
    seed: int = 0,
    show: bool = True,
) -> Chains:
    """Langevin steps on each law of a path, the last of which is the one wanted: one draw a chain.

    path: laws, for instance [law.noised(s) for s in falling noise levels]; of a single law, p^beta for `levels` values
    of beta from `hottest` to 1. kernel: makes the kernel of a law; its step is tuned at each level.

    The weights of modes freeze where the barriers get too high: what a chain keeps is the mode that it was in.

    >>> from monge.densities import DoubleWell
    >>> x = annealed_langevin(DoubleWell(), chains=200, steps=20).x
    >>> 0.3 < float((x > 0).float().mean()) < 0.7
    True
    """
    if not isinstance(path, Sequence):
        law, betas = as_law(path), _ladder(hottest, 1.0, levels)
        path = [law.tempered(beta) if beta < 1 else law for beta in betas]
    return _walked([as_law(law) for law in path], kernel, chains, steps, x, seed, show)


def simulated_annealing(
    density: Any,
    *,
    chains: int = 100,
    steps: int = 50,
    levels: int = 30,
    hottest: float = 0.1,
    coldest: float = 1000.0,
    kernel: Any = Adjusted,
    x: Tensor | None = None,
    seed: int = 0,
    show: bool = True,
) -> Chains:
    """Chains on p^beta for beta from `hottest` to `coldest`: they end at low energies, the lowest if slow enough.

    The result's `x` [chains, 1, *event] and `energy` (of the law itself) are those of the last level.

    >>> from monge.densities import DoubleWell
    >>> simulated_annealing(DoubleWell()).x.abs().mean().round(decimals=1)  # the wells, +-2
    tensor(2.)
    """
    law, betas = as_law(density), _ladder(hottest, coldest, levels)
    found = _walked([law.tempered(beta) for beta in betas], kernel, chains, steps, x, seed, show)
    return dataclasses.replace(found, energy=law.energy(found.x[:, 0])[:, None])


def _ladder(hottest: float, coldest: float, levels: int) -> list[float]:
    """So many betas that rise to the coldest."""
    if not 0 < hottest < coldest:
        raise BadInput(f"betas must rise from above 0: hottest={hottest} is not below {coldest}")
    if levels < 1:
        raise BadInput(f"give 1 level or more, not {levels}")
    rising = torch.logspace(math.log10(coldest), math.log10(hottest), levels, dtype=torch.float64)
    return [*rising.flip(0).tolist()[:-1], coldest]


@torch.no_grad()  # kernels that need a gradient take it
def _walked(path: list[Law], make: Any, chains: int, steps: int, x: Tensor | None, seed: int, show: bool) -> Chains:
    if not path or min(chains, steps) < 1:
        raise BadInput("give at least one law, one chain and one step")
    kernel = dataclasses.replace(make(path[0]), seed=seed)
    state = kernel.start(start(path[0], x, chains, seed))
    refuse_bad(state)
    accepted, diverged = torch.zeros_like(state.energy), 0
    begun = time.monotonic()
    with progress.bar("annealing", len(path) * steps, show=show) as advance:
        for law in path:
            kernel = dataclasses.replace(kernel, law=law)
            state = kernel.start(state.x, state.steps)
            for k in range(steps):
                before = state
                state, info = kernel.step(before)
                # the rate of tuning starts anew with each law
                kernel = kernel.tuned(before._replace(steps=k), state, info, (k + 1) / steps)
                accepted, diverged = accepted + info.acceptance, diverged + int(info.divergent.sum())
                advance(1)
    return Chains(
        x=state.x[:, None],
        energy=state.energy[:, None],
        acceptance=accepted / (len(path) * steps),
        divergences=diverged,
        observed={},
        kernel=kernel,
        seconds=time.monotonic() - begun,
    )
