"""Posteriors in closed form: of Gaussian laws and mixtures, given a linear observation."""

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.observations.linear import Linear, Weighing

ROUNDED = 64  # units in the last place of the widest variance, which a direction that is known exactly keeps


class Exact(NamedTuple):
    """p(x | y) of a mixture sum_k w_k N(m_k, C_k), which is the mixture of the posteriors of its parts,

        w_k' ~ w_k N(y; A m_k, S_k),   m_k' = m_k + C_k A' S_k^-1 (y - A m_k),   C_k' = C_k - C_k A' S_k^-1 A C_k,

    S_k = A C_k A' + noise^2, and p(y) = sum_k w_k N(y; A m_k, S_k).

    prior: the law of x. observation: of y. weights: w_k' [k]. means: m_k' [k, *event]. log_evidence: log p(y).
    weighing: by S_k^-1.

    >>> import torch
    >>> law = GaussianMixture(torch.tensor([[-2.0], [2.0]]), torch.tensor([0.1, 0.1]))
    >>> conditioned(law, Linear(torch.eye(1), torch.tensor([1.0]), 1.0)).weights.round(decimals=3)
    tensor([0.0260, 0.9740])
    """

    prior: Gaussian | GaussianMixture
    observation: Linear
    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k *event"]
    log_evidence: float
    weighing: Weighing

    def sample(self, n: int, *, seed: int = 0, start: int = 0) -> Float[Tensor, "n *event"]:
        """Independent draws, by the rule of Matheron: what the part of the prior drew, put right by what it would have
        been seen as, x + C_k A' S_k^-1 (y - A x - noise e)."""
        seen, k = self.observation, len(self.weights)
        u = rng.uniform((n, 1), seed, "posterior", start=start, dtype=torch.float64)[:, 0]
        which = torch.searchsorted(self.weights.double().cumsum(0), u).clamp_max(k - 1)
        own: dict[str, Any] = {"seed": seed, "start": start}
        x = self.prior.sample(n, **own) if isinstance(self.prior, Gaussian) else self.prior.of_parts(which, **own)
        e = rng.normal((n, seen.size), seed, "posterior", "noise", start=start, dtype=x.dtype)
        wide = x.double() if seen.ours else x
        return self.weighing.conditioned(wide, which, e.to(wide)).to(x)

    @property
    def law(self) -> Gaussian | GaussianMixture:
        """The posterior as a law; what is known exactly keeps as much variance as rounding tells from none."""
        seen, d = self.observation, math.prod(self.means.shape[1:])
        units = torch.eye(d, dtype=torch.float64 if seen.ours else self.means.dtype).reshape(d, *self.means.shape[1:])
        covariances = []
        for k in range(len(self.means)):
            part = torch.full((d,), k)
            C = _products(self.prior, units, part)
            AC = seen.forward(C)
            covariances.append((C.reshape(d, d) - self.weighing(AC, part, units) @ AC.T).double())
        lam, vectors = torch.linalg.eigh(torch.stack([(C + C.T) / 2 for C in covariances]).double())
        lam = lam.clamp_min(ROUNDED * torch.finfo(self.means.dtype).eps * float(lam.max()))
        whole = ((vectors * lam[:, None]) @ vectors.mT).to(self.means)
        if isinstance(self.prior, Gaussian):
            return Gaussian(self.means[0], whole[0])
        return GaussianMixture(self.means.flatten(1), whole, self.weights)


def conditioned(law: Any, observation: Any) -> Exact:
    """The posterior of a Gaussian or a mixture given a linear observation, in closed form.

    Raises BadInput for other laws and observations.
    """
    if not isinstance(law, Gaussian | GaussianMixture) or not isinstance(observation, Linear):
        raise BadInput(
            "a posterior is known in closed form of a Gaussian or GaussianMixture and a Linear observation, not of "
            f"{type(law).__name__} and {type(observation).__name__}"
        )
    observation.fits(law.event_shape)
    means = law.mean[None] if isinstance(law, Gaussian) else law.means
    weights = means.new_ones(1) if isinstance(law, Gaussian) else law.weights
    parts = torch.arange(len(means))
    wide = means.double() if observation.ours else means
    weighing = observation.weighing(partial(_products, law), wide, dense=True)
    r = observation.residual(wide)
    weighed = weighing(r, parts, wide)
    terms = weights.double().log() - 0.5 * ((r * weighed).double().sum(1) + weighing.log_det)
    found = means + _products(law, observation.adjoint(weighed, wide), parts).to(means)
    return Exact(law, observation, terms.softmax(0).to(means), found, float(terms.logsumexp(0)), weighing)


def _products(law: Gaussian | GaussianMixture, v: Float[Tensor, "n *event"], part: Tensor) -> Tensor:
    """C_k v, row by row of their part; of one part for all rows."""
    if isinstance(law, Gaussian):
        return law.covariance.apply(lambda lam: lam, v)
    lam = law.eigenvalues[part].to(v)
    if law.vectors is None:
        return lam * v
    U = law.vectors[part].to(v).expand(len(v), -1, -1)
    return torch.einsum("nij,nj->ni", U, lam * torch.einsum("nji,nj->ni", U, v))
