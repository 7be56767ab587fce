"""Mixtures of Gaussians, and the empirical measure: laws whose exact denoiser is a weighted mean of answers."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge import rng
from monge.densities.gaussian import Gaussian
from monge.densities.law import Law
from monge.doors import finite, levels
from monge.errors import BadInput
from monge.linalg import DenseCovariance
from monge.protocols import LogProb

CHUNK_VALUES = 2**24  # values in memory at a time


class GaussianMixture(Law):
    """sum_k w_k N(m_k, C_k) on vectors [d], with exact score, sampler and denoiser.

    means: [k, d]. covs: [k, d, d], variances [k, d], or one variance a component [k]. weights: [k], zero or
    more, normalised here; equal if not given.

    Raises BadInput if shapes do not fit, a weight is negative, or a covariance not positive definite.

    >>> law = GaussianMixture(torch.tensor([[-2.0], [2.0]]), torch.tensor([0.1, 0.1]))
    >>> law.denoise(torch.tensor([[0.0]]), 1.0)
    tensor([[0.]])
    """

    log_z = 0.0
    means: Tensor
    weights: Tensor
    eigenvalues: Tensor  # of each covariance, [k, d]
    vectors: Tensor | None  # its principal directions, [k, d, d]; None where these are the axes

    def __init__(self, means: Tensor, covs: Tensor, weights: Tensor | None = None) -> None:
        means, covs = finite(means, "means"), finite(covs, "covs")
        if means.ndim != 2:
            raise BadInput(f"means must be [k, d], not {list(means.shape)}")
        k, d = means.shape
        weights = means.new_ones(k) if weights is None else finite(weights, "weights").to(means)
        if weights.shape != (k,) or not (weights >= 0).all() or not weights.any():
            raise BadInput(f"weights must be {k} numbers of zero or more, one a component, and not all zero")
        if tuple(covs.shape) not in ((k, d, d), (k, d), (k,)):
            raise BadInput(f"covs must be [{k}, {d}, {d}], [{k}, {d}] or [{k}], not {list(covs.shape)}")
        if covs.ndim == 3 and not torch.allclose(covs, covs.mT, rtol=1e-5, atol=1e-5 * float(covs.abs().max())):
            raise BadInput("every covariance must be symmetric")
        vectors: Tensor | None
        if covs.ndim == 3:
            lam, vectors = torch.linalg.eigh(covs.double())
        else:
            lam = (covs if covs.ndim == 2 else covs[:, None].expand(k, d)).double()
            vectors = None  # the axes themselves
        if not (lam > 0).all():
            raise BadInput("every covariance must be positive definite")
        self.event_shape, self.dtype = (d,), means.dtype
        turned = None if vectors is None else vectors.to(means.dtype)
        self._keep(means, weights / weights.sum(), lam.to(means.dtype), turned)

    def _keep(self, means: Tensor, weights: Tensor, eigenvalues: Tensor, vectors: Tensor | None) -> None:
        self.keep(means=means, weights=weights, eigenvalues=eigenvalues, vectors=vectors)

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return self.weights @ self.means

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        inside: Tensor
        if self.vectors is None:
            inside = (self.weights @ self.eigenvalues).diag()
        else:
            inside = torch.einsum("k,kij,kj,klj->il", self.weights, self.vectors, self.eigenvalues, self.vectors)
        away = self.means - self.mean
        return inside + torch.einsum("k,ki,kj->ij", self.weights, away, away)

    @property
    def moments(self) -> Gaussian:
        """The Gaussian of its mean and covariance."""
        return Gaussian(self.mean, DenseCovariance(self.covariance))

    def energy(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """-log p(x); Z = 1."""
        return -self.log_prob(x).value

    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        return LogProb.exact(self._log_terms(x, levels(0.0, x))[0].logsumexp(1))

    def energy_and_score(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]:
        """The score is sum_k r_k(x) C_k^-1 (m_k - x), r_k the responsibilities."""
        terms, away = self._log_terms(x, levels(0.0, x))
        pull = terms.softmax(1)[..., None] * away / self.eigenvalues.to(x)
        return -terms.logsumexp(1), -self._sum(pull)

    def sample(self, n: int, *, seed: int = 0, start: int = 0) -> Float[Tensor, "n d"]:
        u = rng.uniform((n, 1), seed, "mixture", start=start, dtype=torch.float64)
        which = torch.searchsorted(self.weights.double().cumsum(0)[:-1], u[:, 0])
        return self.of_parts(which, seed=seed, start=start)

    def of_parts(self, which: Int[Tensor, " n"], *, seed: int = 0, start: int = 0) -> Float[Tensor, "n d"]:
        """A draw from a component, by its number, for each row. Raises BadInput for a number that none has."""
        if bool(((which < 0) | (which >= len(self.means))).any()):
            raise BadInput(f"components are numbered 0 to {len(self.means) - 1}")
        z = rng.normal((len(which), *self.event_shape), seed, "mixture", "z", start=start, dtype=self.means.dtype)
        spread: Tensor = self.eigenvalues[which].sqrt() * z
        if self.vectors is not None:
            spread = torch.einsum("nij,nj->ni", self.vectors[which], spread)
        return self.means[which] + spread

    def noised(self, sigma: float) -> "GaussianMixture":
        """The law of x + sigma z: the same mixture with C_k + sigma^2."""
        noisy = GaussianMixture.__new__(GaussianMixture)
        noisy.made_with = None
        noisy.event_shape, noisy.dtype = self.event_shape, self.dtype
        noisy._keep(self.means, self.weights, self.eigenvalues + sigma**2, self.vectors)
        return noisy

    def denoise(self, y: Float[Tensor, "n d"], sigma: Tensor | float) -> Float[Tensor, "n d"]:
        """E[x | x + sigma z = y] = sum_k r_k(y) (m_k + C_k (C_k + sigma^2)^-1 (y - m_k)). sigma: a number or [n]."""
        level = levels(sigma, y)
        rows = max(1, CHUNK_VALUES // self.means.numel())
        return torch.cat(
            [self._denoise(*part) for part in zip(torch.split(y, rows), torch.split(level, rows), strict=True)]
        )

    def _denoise(self, y: Tensor, level: Tensor) -> Tensor:
        terms, away = self._log_terms(y, level)
        share = terms.softmax(1)
        lam = self.eigenvalues.to(y)
        kept = share[..., None] * away * (lam / (lam + level.square()[:, None, None]))
        return share @ self.means.to(y) + self._sum(kept)

    def _sum(self, v: Float[Tensor, "n k d"]) -> Float[Tensor, "n d"]:
        """Sum over components of vectors given in the eigenbasis of each."""
        return v.sum(1) if self.vectors is None else torch.einsum("nkj,kij->ni", v, self.vectors.to(v))

    def _log_terms(self, y: Tensor, level: Tensor) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k d"]]:
        """log w_k N(y; m_k, C_k + level^2), and y - m_k in the eigenbasis of C_k."""
        away = y[:, None] - self.means.to(y)
        if self.vectors is not None:
            away = torch.einsum("nkj,kji->nki", away, self.vectors.to(y))
        variance = self.eigenvalues.to(y) + level.square()[:, None, None]
        log_det = variance.log().sum(2) + y.shape[1] * math.log(2 * math.pi)
        terms = self.weights.to(y).log() - 0.5 * ((away.square() / variance).sum(2) + log_det)
        return terms, away
