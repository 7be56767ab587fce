"""The posterior mean of a law that is known by its energy alone, by chains."""

import warnings
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge.densities import Law
from monge.doors import levels
from monge.samplers.chains.draws import DoubtfulChains
from monge.samplers.chains.markov import hmc
from monge.samplers.chains.walk import as_law

DRAWS = 1000


class Means(NamedTuple):
    """Posterior means [n, *event], and their standard errors, by how far the two halves of each chain are apart."""

    value: Float[Tensor, "n *event"]
    error: Float[Tensor, "n *event"]


class ByChains:
    """D(y, sigma) = E[x | y], the mean of a Hamiltonian chain for each row, of energy U(x) + |x - y|^2 / 2 sigma^2: the
    optimal denoiser of phi^4, say, for `monge.evaluation.certificate(optimum=)`.

    density: a law with a differentiable energy. draws: of each chain. Where the posterior has valleys between which
    chains do not move, of noise that hides the sign of a field, they stay in one, and the mean is not found. It has no
    derivative.

    >>> from monge.densities import Gaussian
    >>> D = ByChains(Gaussian(torch.zeros(1), torch.ones(1)), draws=2000)
    >>> D(torch.full((8, 1), 2.0), 1.0).mean().round(decimals=1)  # 2 / (1 + 1)
    tensor(1.)
    """

    def __init__(self, density: Any, *, draws: int = DRAWS, seed: int = 0) -> None:
        self.law, self.draws, self.seed = as_law(density), draws, seed

    def means(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Means:
        """With their errors."""
        law = _Given(self.law, y, levels(sigma, y))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoubtfulChains)  # of chains that disagree: each has a law of its own
            chains = hmc(law, x=y.clone(), chains=len(y), draws=self.draws, seed=self.seed, show=False)
        halves = [part.double().mean(1) for part in torch.chunk(chains.x, 2, dim=1)]
        return Means(((halves[0] + halves[1]) / 2).to(y), ((halves[0] - halves[1]).abs() / 2).to(y))

    def __call__(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        return self.means(y, sigma).value


class _Given(Law):
    """p(x | y_i) of chain i, for as many chains as there are rows of y."""

    def __init__(self, law: Law, y: Tensor, sigma: Tensor) -> None:
        self.law, self.event_shape, self.dtype = law, tuple(y.shape[1:]), y.dtype
        self.y, self.precision = y, sigma.to(y).square().reciprocal().reshape(-1, *[1] * (y.ndim - 1))

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        return self.law.energy(x) + 0.5 * (self.precision * (x - self.y).square()).flatten(1).sum(1)

    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        energy, score = self.law.energy_and_score(x)
        away = self.precision * (x - self.y)
        return energy + 0.5 * (away * (x - self.y)).flatten(1).sum(1), score - away
