"""Divergences of densities: Kullback-Leibler, Jensen-Shannon, total variation (course, sections 2.8 and 4.2).

With m = (p + q) / 2, in nats,

    KL(p, q) = E_p log(p / q),  JS = KL(p, m) / 2 + KL(q, m) / 2 <= log 2,  TV = int |p - q| / 2 <= 1.

None of them sees how far apart two supports are: where these do not meet, KL is infinite, JS log 2 and TV 1, whatever
the distance (note 48).
"""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from monge.doors import SUM_TO_ONE
from monge.errors import BadInput
from monge.protocols import SupportsLogProb, SupportsSample


@runtime_checkable
class SampledLaw(SupportsSample, SupportsLogProb, Protocol):
    """A law that can be drawn from, and whose log-density is known, constant included."""


class Estimate(NamedTuple):
    """value: in nats (total variation: a share). error: standard error, of Monte Carlo."""

    value: float
    error: float


class Divergences(NamedTuple):
    """Of p and q. reverse_kl: KL(q, p)."""

    kl: Estimate
    reverse_kl: Estimate
    js: Estimate
    total_variation: Estimate


def kl_divergence(p: Tensor, q: Tensor) -> float:
    """sum p log(p / q) of weights on one grid, which sum to one (densities times the volume of a cell).

    Infinite where p has mass and q none.

    >>> p = torch.tensor([0.5, 0.5, 0.0])
    >>> round(kl_divergence(p, torch.tensor([0.25, 0.5, 0.25])), 6), kl_divergence(p, p.flip(0))
    (0.346574, inf)
    """
    p, q = _on_a_grid(p, q)
    return float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum())


def js_divergence(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon's of weights on one grid, from 0 to log 2.

    >>> round(js_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) / math.log(2), 6)
    1.0
    """
    p, q = _on_a_grid(p, q)
    return (kl_divergence(p, (p + q) / 2) + kl_divergence(q, (p + q) / 2)) / 2


def total_variation(p: Tensor, q: Tensor) -> float:
    """Half the sum of |p - q| of weights on one grid: the largest difference of the probability of an event.

    >>> total_variation(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.5, 0.25]))
    0.25
    """
    p, q = _on_a_grid(p, q)
    return float((p - q).abs().sum() / 2)


def divergences(p: SampledLaw, q: SampledLaw, n: int = 10_000, *, seed: int = 0) -> Divergences:
    """All four, from n samples of each law, with their standard errors.

    With r = log p - log q at the samples: KL = E_p r, JS by log 2 - E_p softplus(-r) / 2 - E_q softplus(r) / 2, and
    TV = E_p (1 - e^-r)_+ / 2 + E_q (1 - e^r)_+ / 2, none of which overflows.

    Raises BadInput for n < 2. KL is infinite where a sample of p has no density under q.

    >>> from monge.densities import Gaussian
    >>> found = divergences(Gaussian(torch.zeros(1), torch.eye(1)), Gaussian(torch.ones(1), torch.eye(1)))
    >>> abs(found.kl.value - 0.5) < 5 * found.kl.error, abs(found.total_variation.value - 0.3829) < 0.02
    (True, True)
    """
    if n < 2:
        raise BadInput(f"a divergence with its error needs at least 2 samples, not {n}")
    x, y = p.sample(n, seed=seed), q.sample(n, seed=seed + 1)
    of_p, of_q = (p.log_prob(each).value.double() - q.log_prob(each).value.double() for each in (x, y))
    if of_p.isnan().any() or of_q.isnan().any():
        raise BadInput("a law has no density at its own samples: both need a log_prob that is finite there")
    js = [math.log(2) - softplus(-of_p), math.log(2) - softplus(of_q)]
    varies = [-torch.expm1(-of_p).clamp_max(0.0), -torch.expm1(of_q).clamp_max(0.0)]
    return Divergences(_mean(of_p), _mean(-of_q), _mean(*js), _mean(*varies))


def _mean(*parts: Tensor) -> Estimate:
    """Mean of the means of independent parts."""
    value = sum(float(part.mean()) for part in parts) / len(parts)
    spread = math.sqrt(sum(float(part.var()) / len(part) for part in parts)) / len(parts)
    return Estimate(value, spread if math.isfinite(value) else math.inf)


def _on_a_grid(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    if p.shape != q.shape:
        raise BadInput(f"both laws must be on one grid: p has {list(p.shape)} weights, q {list(q.shape)}")
    for name, law in (("p", p), ("q", q)):
        if not (law >= 0).all():
            raise BadInput(f"weights {name} must be zero or more, not {float(law.min())}")
        if not abs(float(law.sum(dtype=torch.float64)) - 1) < SUM_TO_ONE:
            total = float(law.sum(dtype=torch.float64))
            raise BadInput(f"weights {name} must sum to one, not to {total:.6g}: multiply a density by its cell")
    return p.double(), q.double()
