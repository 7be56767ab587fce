"""The Gaussian law: everything in closed form, and of any law what its mean and covariance tell."""

import math
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.densities.law import Law, Sum
from monge.doors import finite, one_of, real, single
from monge.errors import BadInput
from monge.linalg import (
    Covariance,
    DenseCovariance,
    DiagonalCovariance,
    SeparableCovariance,
    StationaryCovariance,
)
from monge.protocols import LogProb

DENSE = 1024  # values per event up to which a full covariance is kept
PRINCIPAL_ROWS = 1024  # of which the longest axis is found
FEW, FOLDS = 40, 5  # rows below which no variances are taken on others; and parts that they are taken on
LEAST = 1e-9  # of the mean variance, along directions in which nothing varies
LONG = 512  # side of an event up to which there is a basis for each axis
Structure = Literal["dense", "stationary", "separable", "diagonal"]


class Gaussian(Law):
    """N(m, C), course (23): energy 1/2 (x - m)' C^-1 (x - m), log Z = 1/2 log det(2 pi C).

    mean: [*event], a parameter where it is one; with a `Covariance` also one for each row, [n, *event], of laws that
    differ by it. covariance: a matrix [d, d], variances of the event's shape, or a `monge.linalg.Covariance`.

    As the moments of any law, `estimate`d from samples, it gives the best linear denoiser (`denoise`), and the law of
    y = x + sigma z to second order (`noised`).

    A singular covariance can be sampled and denoised, but has no density.

    Raises BadInput if shapes do not fit or the covariance is not positive semidefinite; and when the energy, log Z, the
    density or the score is asked of a singular one.

    >>> law = Gaussian(torch.tensor([1.0, 0.0]), torch.eye(2))
    >>> law.log_prob(torch.tensor([[1.0, 0.0]])).value, law.denoise(torch.tensor([[3.0, 0.0]]), 1.0)
    (tensor([-1.8379]), tensor([[2., 0.]]))
    """

    mean: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor | Covariance) -> None:
        super().__init__()
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
        self.event_shape, self.covariance = tuple(covariance.event_shape), covariance
        rows = mean.ndim - len(self.event_shape)
        if tuple(mean.shape)[max(0, rows) :] != self.event_shape or rows not in (0, 1):
            raise BadInput(f"a covariance on {list(self.event_shape)} does not fit a mean {list(mean.shape)}")
        self.keep(mean=mean)
        self.dtype = mean.dtype
        self.top: float | None = None  # s.d. along the longest axis, where the covariance tells less
        self._known: tuple[Tensor, int, Tensor] | None = None  # eigenvalues, their version, and log Z of these

    @classmethod
    def stationary(cls, spectrum: Float[Tensor, "c *space"], mean: Tensor | float = 0.0) -> "Gaussian":
        """Periodic stationary field with this power spectrum on the grid of `torch.fft.fftn` (white noise: 1), and a
        mean, a number or one a channel."""
        level = torch.as_tensor(mean, dtype=spectrum.dtype).reshape(-1, *[1] * (spectrum.ndim - 1))
        return cls(level.expand(spectrum.shape).clone(), StationaryCovariance(spectrum))

    @classmethod
    def estimate(cls, x: Float[Tensor, "n *event"], structure: Structure | None = None) -> "Gaussian":
        """Mean and covariance of samples. A dense covariance up to 1024 values an event, in principal directions whose
        variances are those of rows that they were not found by (below), so that n < d is safe and new samples vary as
        the data do; above, a separable one while no side is longer than 512, and then a variance per value.
        "stationary": by the mean periodogram, symmetric in k.

        Along the principal directions of n rows these rows vary more in the first, and less in the last, than any
        others. So directions are found on four fifths, variances taken on the last fifth, in turns, made monotone, and
        scaled to the trace (Bartz 2016, *Cross-validation based nonlinear shrinkage*). Of fewer than 40 rows the
        covariance is drawn towards a multiple of the identity (Ledoit and Wolf 2004).

        Raises BadInput for fewer than two samples, and another structure than dense, stationary, separable or diagonal.
        """
        x = real(x)
        if x.ndim < 2 or len(x) < 2:
            raise BadInput(f"moments need at least 2 samples [n, *event], not {list(x.shape)}")
        event = tuple(x.shape[1:])
        if structure is not None:
            one_of(structure, get_args(Structure), "structure")
            if structure in ("stationary", "separable") and len(event) < 2:
                raise BadInput(f"a {structure} covariance is of fields [n, C, *space], not {list(x.shape)}")
        structure = structure or usual(event)
        wide = x.double()
        mean = wide.mean(0)
        if structure == "stationary":
            axes = tuple(range(2, x.ndim))
            mean = mean.mean(tuple(range(1, len(event))), keepdim=True).expand(event)
            power = torch.fft.fftn(wide - mean, dim=axes).abs().square().mean(0) / math.prod(event[1:])
            return cls(mean.to(x.dtype), StationaryCovariance(power.to(x.dtype)))
        if structure == "diagonal":
            made = cls(mean.to(x.dtype), DiagonalCovariance(wide.var(0).to(x.dtype)))
            rows = (wide[:PRINCIPAL_ROWS] - wide[:PRINCIPAL_ROWS].mean(0)).flatten(1)
            rows /= math.sqrt(len(rows) - 1)
            made.top = float(torch.linalg.eigvalsh(rows @ rows.T)[-1].sqrt())
            return made
        if structure == "separable":
            return cls(mean.to(x.dtype), SeparableCovariance.estimate((wide - mean).to(x.dtype)))
        away = (wide - mean).flatten(1)
        if len(x) < FEW:
            return cls(mean.to(x.dtype), DenseCovariance(_ledoit_wolf(away).to(x.dtype), event))
        lam, vectors = (part.to(x.dtype) for part in _cross_validated(away))
        return cls(mean.to(x.dtype), DenseCovariance.from_eigen(lam, vectors, event))

    # -- the law -------------------------------------------------------------------------------------------

    @property
    def moments(self) -> "Gaussian":
        """Itself: the Gaussian of its mean and covariance."""
        return self

    @property
    def log_z(self) -> float:  # type: ignore[override]
        """log of the integral of exp(-energy)."""
        return float(self._normaliser())

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """1/2 (x - m)' C^-1 (x - m); log_prob = -energy - log Z."""
        self._invertible()
        return 0.5 * self.whiten(x).flatten(1).square().sum(1)

    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        """The score is grad log p = -C^-1 (x - m)."""
        away = x - self.mean.to(x)
        pull = self._invertible().apply(lambda lam: 1 / lam, away)
        return 0.5 * (away * pull).flatten(1).sum(1), -pull

    def log_prob(self, x: Float[Tensor, "n *event"]) -> LogProb:
        return LogProb.exact(-self.energy(x) - self._normaliser().to(x))

    def sample(self, n: int, *, seed: int = 0, start: int = 0) -> Float[Tensor, "n *event"]:
        return self.from_noise(rng.normal((n, *self.event_shape), seed, "gaussian", start=start, dtype=self.dtype))

    def from_noise(self, z: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """m + C^{1/2} z: a sample from unit noise z; its inverse is `whiten`."""
        z = single(real(z, "z"))
        return self.mean.to(z) + self.covariance.apply(torch.sqrt, z)

    def whiten(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """C^{-1/2} (x - m)."""
        x = single(real(x))
        return self.covariance.apply(torch.rsqrt, x - self.mean.to(x))

    def tempered(self, beta: float) -> Law:
        """N(m, C / beta), whose energy is beta times this one; for beta = 0 the flat law."""
        return Gaussian(self.mean, self.covariance.scaled(1 / beta)) if beta > 0 else super().tempered(beta)

    def __add__(self, other: Law) -> Law:
        """The product of both densities; of two Gaussians Z is known: Z_1 Z_2 N(m_1; m_2, C_1 + C_2)."""
        both = Sum(self, other)
        if isinstance(other, Gaussian) and math.prod(self.event_shape) <= DENSE:
            matrix = self.covariance.matrix() + other.covariance.matrix().to(self.mean)
            apart = Gaussian(other.mean.to(self.mean), DenseCovariance(matrix, self.event_shape))
            both.log_z = self.log_z + other.log_z + float(apart.log_prob(self.mean[None]).value)
        return both

    @property
    def widest(self) -> float:
        """The largest principal s.d."""
        return float(self.covariance.eigenvalues.max().sqrt()) if self.top is None else self.top

    # -- under noise ---------------------------------------------------------------------------------------

    def noised(self, sigma: float) -> "Gaussian":
        """The law of y = x + sigma z, N(m, C + sigma^2).

        >>> law = Gaussian(torch.zeros(1), torch.ones(1)).noised(1.0)
        >>> law.covariance.eigenvalues
        tensor([2.])
        """
        if not 0 <= sigma < math.inf:
            raise BadInput(f"a noise level must be zero or more, and finite, not {sigma}")
        return Gaussian(self.mean, self.covariance.shifted(sigma**2))

    def denoise(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """E[x | x + sigma z = y] = m + C (C + sigma^2)^-1 (y - m), Wiener's filter: of any law of these moments the
        best linear denoiser. sigma: a number or [n]."""
        level = self.covariance.level(sigma, len(y)).to(y).square()
        mean = self.mean.to(y)
        # 0 / 0 is a value without variance and without noise, which stays as it is
        return mean + self.covariance.apply(lambda lam: (lam / (lam + level)).nan_to_num(nan=1.0), y - mean)

    def error(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Mean square error per value of `denoise`, mean of lam sigma^2 / (lam + sigma^2); of any law of these moments.

        >>> Gaussian(torch.zeros(2), torch.ones(2)).error(torch.ones(1))
        tensor([0.5000])
        """
        square = self.covariance.level(sigma, len(sigma)).to(sigma).square()
        lam = self.covariance.eigenvalues.to(sigma)[None]
        return (lam * square / (lam + square)).nan_to_num(nan=0.0).flatten(1).mean(1)

    def rows(self, first: int, n: int) -> "Gaussian":
        """That of rows first .. first + n: itself, unless each row has its own mean."""
        if self.mean.ndim == len(self.event_shape):
            return self
        return Gaussian(self.mean[first : first + n], self.covariance)

    # -- files and devices ---------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Tensors for a file; `from_state` is the inverse."""
        top = {} if self.top is None else {"top": torch.tensor(self.top)}
        return {"mean": self.mean, **top, **self.covariance.state()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Gaussian":
        """What `state` gave."""
        made = cls(state["mean"], Covariance.from_state(state, tuple(state["mean"].shape)))
        made.top = float(state["top"]) if "top" in state else None
        return made

    def _apply(self, fn: Any, recurse: bool = True) -> "Gaussian":
        super()._apply(fn, recurse)
        self.covariance = self.covariance.moved(fn)
        return self

    def _normaliser(self) -> Tensor:
        """log Z, [1], worked out once for eigenvalues that stay as they are."""
        lam = self.covariance.eigenvalues
        if self._stays(lam):
            assert self._known is not None
            return self._known[2]
        log_z = 0.5 * (self._invertible().log_det() + math.prod(self.event_shape) * math.log(2 * math.pi))
        learned = lam.requires_grad or lam.is_inference()
        self._known = None if learned else (lam, lam._version, log_z)
        return log_z

    def _stays(self, lam: Tensor) -> bool:
        """Whether log Z is that of these eigenvalues, which are then those of no singular covariance."""
        return self._known is not None and self._known[0] is lam and self._known[1] == lam._version

    def _invertible(self) -> Covariance:
        if not self._stays(self.covariance.eigenvalues) and self.covariance.singular:
            raise BadInput(
                "a Gaussian with a singular covariance has no density: it can be sampled and denoised, or take "
                ".noised(sigma), which adds a variance to it"
            )
        return self.covariance


def usual(event: tuple[int, ...]) -> Structure:
    """The structure that moments of events of these sides have, unless one is asked for."""
    if math.prod(event) <= DENSE:
        return "dense"
    return "separable" if len(event) > 1 and max(event) <= LONG else "diagonal"


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


def _cross_validated(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Variances and principal directions of centred rows, the variances those of rows left out."""
    from scipy.optimize import isotonic_regression

    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    total, square = x.new_zeros(x.shape[1]), x.T @ x
    for fold in range(FOLDS):
        out = order[fold::FOLDS]
        mean = (x.sum(0) - x[out].sum(0)) / (len(x) - len(out))
        rest = square - x[out].T @ x[out] - (len(x) - len(out)) * torch.outer(mean, mean)
        total += ((x[out] - mean) @ torch.linalg.eigh(rest)[1]).square().sum(0)
    lam, vectors = torch.linalg.eigh(square / (len(x) - 1))
    found = torch.from_numpy(isotonic_regression(total.cpu().numpy()).x).to(lam)
    found *= lam.clamp_min(0.0).sum() / found.sum().clamp_min(torch.finfo(lam.dtype).tiny)
    return found.clamp_min(LEAST * float(found.mean())), vectors
