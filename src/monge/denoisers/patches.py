"""A Gaussian mixture of patches: the rung of the ladder where the basis is chosen patch by patch."""

import itertools
import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.denoisers.algebra import per_sample
from monge.doors import of_noisy
from monge.errors import BadInput
from monge.objects import Recorded

ROUNDS, LEARNED = 10, 40_000  # of expectation and maximisation, and patches that are learned from at most
FLOOR = 1e-4  # of the mean variance, below which no eigenvalue falls
FAINT = 1e-2  # posterior weight below which a component is left out
TOGETHER = 2**24  # values of patches that are worked on together


class _Mixture(NamedTuple):
    """N(0, U diag(lam) U') with weights: log_weights [K], values [K, d], axes [K, d, d] in columns."""

    log_weights: Tensor
    values: Tensor
    axes: Tensor


class PatchMixture(Recorded):
    """D(y, sigma): each patch of y by its posterior mean under a mixture of Gaussians, the mean of all that overlap.

    With patches p of mean zero (their mean is kept as it is) of law sum_k w_k N(0, C_k),

        E[p | p + sigma z] = sum_k P(k | p + sigma z) C_k (C_k + sigma^2)^-1 (p + sigma z):

    each k is a Wiener filter in a basis of its own, for an edge of some direction or a texture, and the data choose
    (Zoran and Weiss 2011; Yu, Sapiro and Mallat 2012).

    `PatchMixture.of(x)` learns the law of the patches of samples, by expectation and maximisation; `PatchMixture()`
    learns it from each noisy event itself, whose covariances are then less by sigma^2.

    side: of patches, in every dimension, over all channels. components: K. Events are [n, C, *space] with 1 to 3 space
    dimensions; where a side is shorter, patches are too.

    Raises BadInput for vectors, and for a side below 2 or components below 1.

    >>> y = torch.ones(2, 1, 16, 16)
    >>> bool((PatchMixture(side=4, components=2)(y, 0.5) - y).abs().max() < 1e-4)
    True
    """

    def __init__(self, *, side: int = 8, components: int = 10, seed: int = 0) -> None:
        if side < 2 or components < 1:
            raise BadInput(f"patches need sides of 2 or more and 1 component or more, not {side} and {components}")
        self.side, self.components, self.seed = side, components, seed
        self._law: _Mixture | None = None

    @classmethod
    def of(
        cls, x: Float[Tensor, "n c *space"], *, noise: float = 0.0, side: int = 8, components: int = 50, seed: int = 0
    ) -> "PatchMixture":
        """By samples, of which noise of that standard deviation is taken off."""
        made = cls(side=side, components=components, seed=seed)
        made._law, made.made_with = made._learned(x, noise), None  # which arguments do not make again
        return made

    @of_noisy
    def __call__(
        self, y: Float[Tensor, "n c *space"], sigma: Float[Tensor, " n"] | float
    ) -> Float[Tensor, "n c *space"]:
        levels = per_sample(sigma, y).flatten()
        return torch.cat([self._one(row, float(level)) for row, level in zip(torch.split(y, 1), levels, strict=True)])

    def _one(self, y: Tensor, sigma: float) -> Tensor:
        if sigma == 0:
            return y
        law = self._law or self._learned(y, sigma)
        cut = self._cut(y)
        flat = cut.reshape(-1, len(law.values[0]))
        step = max(1, TOGETHER // flat.shape[1])
        found = torch.cat([_posterior_mean(law, rows, sigma) for rows in torch.split(flat, step)])
        return _laid(found.reshape(cut.shape), y.shape)

    def _cut(self, x: Tensor) -> Tensor:
        """All patches, [n, *places, C, *sides]."""
        if not 3 <= x.ndim <= 5:
            raise BadInput(f"patches are cut out of images or fields [n, C, *space], not {list(x.shape)}")
        cut = x
        for axis, length in enumerate(x.shape[2:], start=2):
            cut = cut.unfold(axis, min(self.side, length), 1)
        return cut.movedim(1, x.ndim - 1)

    def _learned(self, x: Tensor, noise: float) -> _Mixture:
        cut = self._cut(x)
        places = cut.shape[: x.ndim - 1]
        some = torch.randperm(math.prod(places), generator=rng.generator(self.seed, "patches"))[:LEARNED]
        where = torch.unravel_index(some.to(x.device), places)
        patches = cut[where].flatten(1)
        return _maximised(_centred(patches)[0], min(self.components, len(patches)), noise)


def _centred(patches: Tensor) -> tuple[Tensor, Tensor]:
    mean = patches.mean(1, keepdim=True)
    return patches - mean, mean


def _log_posterior(law: _Mixture, p: Tensor, variance: float) -> Tensor:
    """log P(k | p) [n, K], of patches that noise of this variance was added to."""
    total = law.values + variance
    scores = [
        log_weight - 0.5 * (values.log().sum() + (p @ axes).square() @ (1 / values))
        for log_weight, values, axes in zip(law.log_weights, total, law.axes, strict=True)
    ]
    return torch.stack(scores, 1).log_softmax(1)


def _posterior_mean(law: _Mixture, patches: Tensor, sigma: float) -> Tensor:
    p, mean = _centred(patches)
    chosen = _log_posterior(law, p, sigma**2).exp()
    chosen = torch.where(chosen > FAINT, chosen, 0.0)
    chosen = chosen / chosen.sum(1, keepdim=True)
    found = torch.zeros_like(p)
    for k, (values, axes) in enumerate(zip(law.values, law.axes, strict=True)):
        rows = chosen[:, k].nonzero()[:, 0]
        kept = (p[rows] @ axes) * (values / (values + sigma**2))
        found.index_add_(0, rows, chosen[rows, k, None] * (kept @ axes.T))
    return found + mean


def _maximised(p: Tensor, components: int, noise: float) -> _Mixture:
    """The law of p less noise, from the directions of a few patches on."""
    alike = _alike(p, components)
    weights = torch.nn.functional.one_hot(alike.argmax(1), components).to(p)
    floor = FLOOR * p.square().mean() + torch.finfo(p.dtype).tiny
    whole = p.T @ p / len(p)
    for _ in range(ROUNDS):
        total = weights.sum(0) + 1
        spread = [((p * w[:, None]).T @ p + whole) / t for w, t in zip(weights.T, total, strict=True)]
        values, axes = torch.linalg.eigh(torch.stack(spread))
        law = _Mixture((total / total.sum()).log(), values.clamp(min=floor), axes)
        weights = _log_posterior(law, p, 0.0).exp()
    # of noise alone, sample eigenvalues reach this far (Marchenko and Pastur 1967)
    edge = noise**2 * (1 + (p.shape[1] / total).sqrt()).square()[:, None]
    clean = torch.where(law.values > edge, law.values - noise**2, 0.0)
    return law._replace(values=clean.clamp(min=floor))


def _alike(p: Tensor, count: int) -> Tensor:
    """|cos| [n, count] of the angle between patches and a few of them: large ones that are unlike one another."""
    energy = p.square().sum(1)
    direction = p / energy.sqrt().clamp(min=torch.finfo(p.dtype).tiny)[:, None]
    found: list[Tensor] = []
    for _ in range(count):
        unlike = energy if not found else energy * (1 - torch.stack(found).amax(0).square())
        found.append((direction @ direction[unlike.argmax()]).abs())
    return torch.stack(found, 1)


def _laid(patches: Tensor, shape: torch.Size) -> Tensor:
    """The mean, at every site, of the patches [n, *places, C, *sides] that have it."""
    n, channels, *space = shape
    d = len(space)
    places, sides = patches.shape[1 : 1 + d], patches.shape[2 + d :]
    total, count = patches.new_zeros(n, channels, *space), patches.new_zeros(1, 1, *space)
    by_site = patches.movedim(1 + d, 1)  # [n, C, *places, *sides]
    for offset in itertools.product(*map(range, sides)):
        where: Any = (..., *(slice(o, o + places[i]) for i, o in enumerate(offset)))
        from_here: Any = (..., *offset)
        total[where] += by_site[from_here]
        count[where] += 1
    return total / count
