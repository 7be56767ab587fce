"""Markov chains that leave a law stationary, by name: what they are called with, and what they give."""

import dataclasses
import math
from typing import Any, Unpack

import torch
from torch import Tensor

from monge.densities import Ising
from monge.errors import BadInput
from monge.samplers.chains.draws import Chains
from monge.samplers.chains.hamiltonian import LENGTHS, Hamiltonian
from monge.samplers.chains.langevin import Adjusted, Unadjusted
from monge.samplers.chains.lattice_moves import LatticeMoves
from monge.samplers.chains.metropolis import Metropolis, Proposal
from monge.samplers.chains.tempering import ReplicaExchange
from monge.samplers.chains.walk import Options, as_law, run


def metropolis_hastings(
    density: Any, *, proposal: Proposal | None = None, size: float = 1.0, **options: Unpack[Options]
) -> Chains:
    """Metropolis-Hastings chains (40-42): no gradient is needed.

    proposal: an object with `draw(x, z)` and `log_density(x, y)`; a walk of this size, tuned in the warm-up, if none.
    options: see `monge.samplers.Options`. Raises BadInput as those say, and for an energy that is not finite at the
    start.

    >>> from monge.densities import DoubleWell
    >>> chains = metropolis_hastings(DoubleWell(mu=1.0), chains=8, draws=500)
    >>> abs(float(chains.x.mean())) < 0.2
    True
    """
    _positive(size, "size")
    return run(Metropolis(as_law(density), proposal, size, options.get("seed", 0)), options)


def ula(density: Any, *, h: float | None = None, **options: Unpack[Options]) -> Chains:
    """Unadjusted Langevin chains of step h (119, 122): their law differs from p by O(h).

    h: unless given, tuned in the warm-up to widen the law by some .02. One that widens it by more than .1 is a doubt.

    >>> from monge.densities import Gaussian
    >>> ula(Gaussian(torch.zeros(2), torch.eye(2)), draws=10).x.shape
    torch.Size([16, 10, 2])
    """
    if h is not None:
        _positive(h, "h")
    return run(Unadjusted(as_law(density), h, options.get("seed", 0)), options)


def mala(density: Any, *, h: float = 0.1, **options: Unpack[Options]) -> Chains:
    """Langevin chains with Metropolis' coin; h is where the warm-up starts from.

    >>> from monge.densities import Gaussian
    >>> chains = mala(Gaussian(torch.zeros(2), torch.eye(2)), draws=100)
    >>> 0.4 < float(chains.acceptance.mean()) < 0.8
    True
    """
    _positive(h, "h")
    return run(Adjusted(as_law(density), h, options.get("seed", 0)), options)


def hmc(
    density: Any,
    *,
    h: float = 0.1,
    length: float | None = None,
    fourier: bool | None = None,
    **options: Unpack[Options],
) -> Chains:
    """Hamiltonian chains; the warm-up tunes step, mass and trajectory.

    h: leapfrog step to start from. length: time of a trajectory in units where the law has variance one, instead of the
    tuned one. fourier: whether the mass is diagonal in Fourier, for stationary fields [C, *space]; None: where what the
    warm-up saw is nearer to that than to variances of single values.

    >>> from monge.densities import Gaussian
    >>> chains = hmc(Gaussian(torch.zeros(2), torch.tensor([1.0, 100.0])), draws=200)
    >>> 5 < float(chains.x[..., 1].std()) < 15
    True
    """
    _positive(h, "h")
    if length is not None:
        _positive(length, "length")
    law = as_law(density)
    if fourier and len(law.event_shape) < 2:
        raise BadInput(f"a mass in Fourier is of fields [C, *space], not of events {list(law.event_shape)}")
    kernel = Hamiltonian(law, h, length or LENGTHS[1], fourier, length is not None, options.get("seed", 0))
    return run(kernel, options)


def gibbs(density: Any, **options: Unpack[Options]) -> Chains:
    """Heat bath on a lattice: each value anew given its neighbours, even sites then odd ones. For Ising and Phi4.

    >>> from monge.densities import Ising
    >>> gibbs(Ising((8, 8), beta=0.2), chains=4, draws=50, warmup=20).x.unique()
    tensor([-1.,  1.])
    """
    return run(LatticeMoves(as_law(density), seed=options.get("seed", 0)), options)


def wolff(density: Any, *, waves: int = 1, **options: Unpack[Options]) -> Chains:
    """Clusters that turn over, as many in a step as to turn each site once: no slowing down at the transition.

    For Phi4 each step starts with a heat-bath sweep and a shift of the whole field, drawn from its exact law, which
    move the sizes; the clusters move the signs. waves: how many long waves are shifted, the constant first.

    >>> from monge.densities import Phi4
    >>> chains = wolff(Phi4((8, 8), kappa=0.27, lam=0.02), chains=4, draws=200)
    >>> float(chains.acceptance.mean())
    1.0
    """
    law = as_law(density)
    spins = isinstance(law, Ising)
    return run(LatticeMoves(law, not spins, 0 if spins else waves, 4.0, options.get("seed", 0)), options)


def replica_exchange(
    density: Any,
    *,
    kernel: Any = Adjusted,
    betas: Tensor | None = None,
    replicas: int = 10,
    hottest: float = 0.02,
    **options: Unpack[Options],
) -> Chains:
    """Chains on p^beta that swap places with their neighbours (43); what is kept is those of beta = 1.

    kernel: makes that of each replica: `Adjusted`, `Metropolis`, `Hamiltonian`, `LatticeMoves`, or a function of
    a law that gives one. betas: the ladder, from 1 down; else so many replicas down to `hottest`. The warm-up sets
    those between to swap at equal rates.

    Raises BadInput for betas that do not fall from 1 to above 0.

    >>> from monge.densities import DoubleWell
    >>> chains = replica_exchange(DoubleWell(), replicas=4, draws=200)
    >>> len(chains.swaps)
    3
    """
    if betas is None:
        if replicas < 2 or not 0 < hottest < 1:
            raise BadInput(f"give 2 replicas or more, and 0 < hottest < 1, not {replicas} and {hottest}")
        betas = torch.logspace(0, math.log10(hottest), replicas, dtype=torch.float64)

    def make(law: Any, seed: int) -> Any:
        return dataclasses.replace(kernel(law), seed=seed)

    return run(ReplicaExchange(as_law(density), make, betas, options.get("seed", 0)), options)


def _positive(value: float, name: str) -> None:
    if not 0 < value < math.inf:
        raise BadInput(f"{name} must be above 0, and finite, not {value}")
