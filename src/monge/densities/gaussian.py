"""The Gaussian law: everything in closed form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.densities.law import Law
from monge.doors import finite
from monge.errors import BadInput
from monge.linalg import (
    Covariance,
    DenseCovariance,
    DiagonalCovariance,
    Moments,
    SeparableCovariance,
    StationaryCovariance,
)
from monge.protocols import LogProb


class Gaussian(Law):
    """N(m, C), course (23): energy 1/2 (x - m)' C^-1 (x - m), log Z = 1/2 log det(2 pi C).

    mean: [*event]. covariance: a matrix [d, d], variances of the event's shape, or a `monge.linalg.Covariance`.

    A singular covariance can be sampled and denoised, but has no density.

    Raises BadInput if shapes do not fit or the covariance is not positive semidefinite; and when the energy, log Z, the
    density or the score is asked of a singular one.

    >>> law = Gaussian(torch.tensor([1.0, 0.0]), torch.eye(2))
    >>> law.log_prob(torch.tensor([[1.0, 0.0]])).value, law.denoise(torch.tensor([[3.0, 0.0]]), 1.0)
    (tensor([-1.8379]), tensor([[2., 0.]]))
    """

    def __init__(self, mean: Tensor, covariance: Tensor | Covariance) -> None:
        mean = finite(mean, "mean")
        if not isinstance(covariance, Covariance):
            covariance, event = finite(covariance, "covariance"), tuple(mean.shape)
            if tuple(covariance.shape) == event:
                covariance = DiagonalCovariance(covariance)
            elif tuple(covariance.shape) == (mean.numel(), mean.numel()):
                covariance = DenseCovariance(covariance, event)
            else:
                raise BadInput(
                    f"the covariance of a mean {list(event)} must be {[mean.numel()] * 2} or {list(event)}, "
                    f"not {list(covariance.shape)}"
                )
        if tuple(covariance.event_shape) != tuple(mean.shape):
            raise BadInput(f"a covariance on {list(covariance.event_shape)} does not fit a mean {list(mean.shape)}")
        self.moments, self.event_shape, self.dtype = Moments(mean, covariance), tuple(mean.shape), mean.dtype
        self.singular = covariance.singular

    @classmethod
    def stationary(cls, spectrum: Float[Tensor, "c *space"], mean: float = 0.0) -> "Gaussian":
        """Periodic stationary field with this power spectrum on the grid of `torch.fft.fftn` (white noise: 1)."""
        return cls(torch.full_like(spectrum, mean), StationaryCovariance(spectrum))

    @property
    def mean(self) -> Float[Tensor, "*event"]:
        return self.moments.mean

    @property
    def log_z(self) -> float:  # type: ignore[override]
        """log of the integral of exp(-energy)."""
        covariance = self._invertible()
        return 0.5 * (float(covariance.log_det()[0]) + self.mean.numel() * math.log(2 * math.pi))

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """1/2 (x - m)' C^-1 (x - m); log_prob = -energy - log Z."""
        self._invertible()
        return 0.5 * self.moments.whiten(x, 0.0).flatten(1).square().sum(1)

    def log_prob(self, x: Float[Tensor, "n *event"]) -> LogProb:
        self._invertible()
        return LogProb.exact(self.moments.log_prob(x))

    def score(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """grad log p = -C^-1 (x - m)."""
        away = x - self.mean.to(x)
        return -self._invertible().apply(lambda lam: 1 / lam, away)

    def _invertible(self) -> Covariance:
        if self.singular:
            raise BadInput(
                "a Gaussian with a singular covariance has no density: it can be sampled and denoised, or take "
                ".noised(sigma), which adds a variance to it"
            )
        return self.moments.covariance

    def sample(self, n: int, *, seed: int = 0, start: int = 0) -> Float[Tensor, "n *event"]:
        z = rng.normal((n, *self.event_shape), seed, "gaussian", start=start, dtype=self.mean.dtype)
        return self.moments.noised_sample(z, 0.0)

    def noised(self, sigma: float) -> "Gaussian":
        """The law of x + sigma z, N(m, C + sigma^2)."""
        covariance, shift = self.moments.covariance, sigma**2
        if isinstance(covariance, DenseCovariance):
            eigenvalues = covariance.eigenvalues + shift
            return Gaussian(self.mean, DenseCovariance.from_eigen(eigenvalues, covariance.vectors, self.event_shape))
        if isinstance(covariance, StationaryCovariance):
            return Gaussian(self.mean, StationaryCovariance(covariance.eigenvalues + shift))
        if isinstance(covariance, SeparableCovariance):
            return Gaussian(self.mean, SeparableCovariance(covariance.bases, covariance.eigenvalues + shift))
        return Gaussian(self.mean, DiagonalCovariance(covariance.eigenvalues + shift))

    def denoise(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """E[x | x + sigma z = y] = m + C (C + sigma^2)^-1 (y - m), the Wiener filter. sigma: a number or [n]."""
        return self.moments.wiener(y, sigma)
