"""Mean and covariance of a law, and all that is Gaussian about it in closed form."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from monge.doors import one_of, real, single
from monge.errors import BadInput
from monge.linalg.covariance import (
    Covariance,
    DenseCovariance,
    DiagonalCovariance,
    SeparableCovariance,
    StationaryCovariance,
)

DENSE = 1024  # values per event up to which a full covariance is kept
LONG = 512  # side of an event up to which there is a basis for each axis
Structure = Literal["dense", "stationary", "separable", "diagonal"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean m and covariance C of a law; with y = x + sigma z, its Gaussian part is N(m, C + sigma^2).

    mean: [*event]. covariance: how C acts.

    >>> M = Moments(torch.zeros(2), DiagonalCovariance(torch.tensor([1.0, 3.0])))
    >>> M.wiener(torch.ones(1, 2), 1.0)
    tensor([[0.5000, 0.7500]])
    """

    mean: Float[Tensor, "*event"]
    covariance: Covariance

    @classmethod
    def estimate(cls, x: Float[Tensor, "n *event"], structure: Structure | None = None) -> "Moments":
        """From samples. A dense covariance up to 1024 values an event, shrunk towards a multiple of the identity
        (Ledoit and Wolf 2004) so that n < d is safe; above, a separable one while no side is longer than 512, and
        then a variance per value. "stationary": by the mean periodogram, symmetric in k.

        Raises BadInput for fewer than two samples, and another structure than dense, stationary, separable or diagonal.
        """
        x = real(x)
        if x.ndim < 2 or len(x) < 2:
            raise BadInput(f"moments need at least 2 samples [n, *event], not {list(x.shape)}")
        event = tuple(x.shape[1:])
        size = math.prod(event)
        separable = len(event) > 1 and max(event) <= LONG
        if structure is not None:
            one_of(structure, get_args(Structure), "structure")
            if structure in ("stationary", "separable") and len(event) < 2:
                raise BadInput(f"a {structure} covariance is of fields [n, C, *space], not {list(x.shape)}")
        structure = structure or ("dense" if size <= DENSE else "separable" if separable else "diagonal")
        wide = x.double()
        mean = wide.mean(0)
        if structure == "stationary":
            axes = tuple(range(2, x.ndim))
            mean = mean.mean(tuple(range(1, len(event))), keepdim=True).expand(event)
            power = torch.fft.fftn(wide - mean, dim=axes).abs().square().mean(0) / math.prod(event[1:])
            return cls(mean.to(x.dtype), StationaryCovariance(power.to(x.dtype)))
        if structure == "diagonal":
            return cls(mean.to(x.dtype), DiagonalCovariance(wide.var(0).to(x.dtype)))
        if structure == "separable":
            return cls(mean.to(x.dtype), SeparableCovariance.estimate((wide - mean).to(x.dtype)))
        matrix = _ledoit_wolf((wide - mean).flatten(1)).to(x.dtype)
        return cls(mean.to(x.dtype), DenseCovariance(matrix, event))

    def wiener(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """The best linear denoiser, m + C (C + sigma^2)^-1 (y - m); exact for a Gaussian law."""
        y = single(real(y, "y"))
        level = self._level(sigma, y)
        mean = self.mean.to(y)
        # 0 / 0 is a value without variance and without noise, which stays as it is
        return mean + self.covariance.apply(lambda lam: (lam / (lam + level)).nan_to_num(nan=1.0), y - mean)

    def error(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Mean square error per value of `wiener`, mean of lam sigma^2 / (lam + sigma^2); of any law of these moments.

        >>> M = Moments(torch.zeros(2), DiagonalCovariance(torch.tensor([1.0, 1.0])))
        >>> M.error(torch.ones(1))
        tensor([0.5000])
        """
        square = self.covariance.level(sigma, len(sigma)).to(sigma).square()
        lam = self.covariance.eigenvalues.to(sigma)[None]
        return (lam * square / (lam + square)).nan_to_num(nan=0.0).flatten(1).mean(1)

    def noised_sample(self, z: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """m + (C + sigma^2)^{1/2} z: a sample of N(m, C + sigma^2) from unit noise z."""
        z = single(real(z, "z"))
        level = self._level(sigma, z)
        return self.mean.to(z) + self.covariance.apply(lambda lam: (lam + level).sqrt(), z)

    def whiten(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """(C + sigma^2)^{-1/2} (y - m), the inverse of `noised_sample`."""
        y = single(real(y, "y"))
        level = self._level(sigma, y)
        return self.covariance.apply(lambda lam: (lam + level).rsqrt(), y - self.mean.to(y))

    def log_prob(self, y: Float[Tensor, "n *event"], sigma: Tensor | float = 0.0) -> Float[Tensor, " n"]:
        """log N(y; m, C + sigma^2) in nats, course (23)."""
        y = single(real(y, "y"))
        z = self.whiten(y, sigma).flatten(1)
        shift = torch.as_tensor(sigma, dtype=y.dtype, device=y.device).square()
        log_det = self.covariance.log_det(shift, len(y)).to(y)
        return -0.5 * (z.square().sum(1) + log_det + z.shape[1] * math.log(2 * math.pi))

    def _level(self, sigma: Tensor | float, y: Tensor) -> Tensor:
        """sigma^2, for one number, [n] or [n, 1, ...], as it meets eigenvalues."""
        sigma = torch.as_tensor(sigma, dtype=y.dtype, device=y.device).reshape(-1)
        if sigma.device.type == "cpu" and not bool((sigma >= 0).all()):  # elsewhere the question would wait
            raise BadInput(f"a noise level must be zero or more, not {float(sigma.min())}")
        return self.covariance.level(sigma, len(sigma)).to(y).square()

    def state(self) -> dict[str, Tensor]:
        """Tensors for a file; `from_state` is the inverse."""
        return {"mean": self.mean, **self.covariance.state()}

    def to(self, device: torch.device | str) -> "Moments":
        """The same on another device."""
        return Moments.from_state({name: value.to(device) for name, value in self.state().items()})

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Moments":
        """What `state` gave."""
        mean = state["mean"]
        if "variances" in state:
            return cls(mean, DiagonalCovariance(state["variances"]))
        if "spectrum" in state:
            return cls(mean, StationaryCovariance(state["spectrum"]))
        if "separable_eigenvalues" in state:
            bases = [state[f"basis_{axis}"] for axis in range(mean.ndim)]
            return cls(mean, SeparableCovariance(bases, state["separable_eigenvalues"]))
        dense = DenseCovariance.from_eigen(state["dense_eigenvalues"], state["dense_vectors"], tuple(mean.shape))
        return cls(mean, dense)


def _ledoit_wolf(x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """Sample covariance of centred rows, shrunk as Ledoit and Wolf (2004, *A well-conditioned estimator for
    large-dimensional covariance matrices*), on their scale n."""
    n, d = x.shape
    sample = x.T @ x / n
    mu = sample.diagonal().mean()
    spread = (sample - mu * torch.eye(d, dtype=x.dtype)).square().sum()
    noise = (x.square().T @ x.square() / n - sample.square()).sum() / n
    share = float((noise / spread).clamp(0.0, 1.0)) if spread > 0 else 0.0
    shrunk = (1 - share) * sample
    shrunk.diagonal().add_(share * mu)
    return shrunk * (n / (n - 1))
