"""Covariances as operators: a function of C applied to samples, without forming C where its structure is known."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from monge.errors import BadInput

Function = Callable[[Tensor], Tensor]


class Covariance(ABC):
    """A symmetric positive semidefinite operator C = U diag(lam) U' on events, with U orthonormal.

    eigenvalues: lam, one each in `event_shape` or, for a dense matrix, [d].
    """

    eigenvalues: Tensor
    event_shape: tuple[int, ...]

    @abstractmethod
    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """f(C) y. f takes the eigenvalues with a leading axis of one, and may use `level` of a per-sample sigma."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The tensors that make it again, see `monge.linalg.Moments.from_state`."""

    def level(self, sigma: Tensor | float, n: int) -> Tensor:
        """sigma, a number or [n], in the shape that multiplies eigenvalues inside `apply`: [n, 1, ...]."""
        eigenvalues = self.eigenvalues
        level = torch.as_tensor(sigma, dtype=eigenvalues.dtype, device=eigenvalues.device)
        return level.expand(n).reshape(n, *[1] * eigenvalues.ndim)

    def log_det(self, shift: Tensor | float = 0.0, n: int = 1) -> Float[Tensor, " n"]:
        """log det(C + shift), [n] for a shift [n] or a number."""
        return (self.eigenvalues[None] + self.level(shift, n)).log().flatten(1).sum(1)

    @property
    def trace(self) -> Tensor:
        return self.eigenvalues.sum()


class DenseCovariance(Covariance):
    """C a matrix [d, d] over flattened events; one eigendecomposition, in float64.

    Raises BadInput if the matrix is not square and symmetric, or has an eigenvalue below zero.

    >>> C = DenseCovariance(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> C.eigenvalues, C.apply(torch.sqrt, C.apply(torch.sqrt, torch.eye(2))).round(decimals=4)
    (tensor([1., 3.]), tensor([[2., 1.],
            [1., 2.]]))
    """

    def __init__(self, matrix: Tensor, event_shape: tuple[int, ...] | None = None) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise BadInput(f"a covariance must be a square matrix [d, d], not {list(matrix.shape)}")
        if not torch.allclose(matrix, matrix.T, rtol=1e-4, atol=1e-6 * float(matrix.abs().max())):
            raise BadInput("a covariance must be symmetric: take (C + C') / 2 if it is so up to rounding")
        lam, vectors = torch.linalg.eigh(matrix.double())
        if lam[0] < -1e-6 * lam[-1].abs() or not lam.isfinite().all():
            raise BadInput(f"a covariance must have no negative eigenvalue, and its smallest is {lam[0]:.3g}")
        self._set(lam.clamp_min(0.0).to(matrix.dtype), vectors.to(matrix.dtype), event_shape)

    def _set(self, lam: Tensor, vectors: Tensor, event_shape: tuple[int, ...] | None) -> None:
        self.eigenvalues, self.vectors = lam, vectors.contiguous()
        self.event_shape = event_shape or (len(lam),)

    @classmethod
    def from_eigen(cls, lam: Tensor, vectors: Tensor, event_shape: tuple[int, ...] | None = None) -> "DenseCovariance":
        """From eigenvalues [d] and eigenvectors [d, d] (columns), taken on trust."""
        made = cls.__new__(cls)
        made._set(lam, vectors, event_shape)
        return made

    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        u = y.reshape(len(y), -1) @ self.vectors.to(y)
        return ((u * f(self.eigenvalues.to(y)[None])) @ self.vectors.to(y).T).reshape(y.shape)

    def state(self) -> dict[str, Tensor]:
        return {"dense_eigenvalues": self.eigenvalues, "dense_vectors": self.vectors}


class DiagonalCovariance(Covariance):
    """C diagonal: a variance per value of the event, [*event].

    >>> DiagonalCovariance(torch.tensor([1.0, 4.0])).apply(torch.sqrt, torch.ones(1, 2))
    tensor([[1., 2.]])
    """

    def __init__(self, variances: Float[Tensor, "*event"]) -> None:
        if not (variances >= 0).all():
            raise BadInput("variances must be zero or more, and finite")
        self.eigenvalues = variances
        self.event_shape = tuple(variances.shape)

    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        return y * f(self.eigenvalues.to(y)[None])

    def state(self) -> dict[str, Tensor]:
        return {"variances": self.eigenvalues}


class StationaryCovariance(Covariance):
    """C invariant by shifts on the torus, diagonal in Fourier: channel c multiplies frequency k by spectrum[c, k].

    spectrum: [C, *space] with one to three space dimensions, on the grid of `torch.fft.fftn`, even in k
        (spectrum(-k) = spectrum(k)); it is E |x_hat(k)|^2 / (number of sites), so white noise has spectrum 1.

    Raises BadInput if the spectrum has a negative value, is not even, or has no or more than three space dimensions.

    >>> white = StationaryCovariance(torch.ones(1, 4, 4))
    >>> white.apply(lambda lam: 2 * lam, torch.ones(1, 1, 4, 4)).unique()
    tensor([2.])
    """

    def __init__(self, spectrum: Float[Tensor, "c *space"]) -> None:
        if not 2 <= spectrum.ndim <= 4:
            raise BadInput(f"a spectrum must be [C, *space] with 1 to 3 space dimensions, not {list(spectrum.shape)}")
        if not (spectrum >= 0).all():
            raise BadInput("a spectrum must be zero or more at every frequency, and finite")
        axes = tuple(range(1, spectrum.ndim))
        mirrored = spectrum.flip(axes).roll([1] * len(axes), axes)
        if not torch.allclose(mirrored, spectrum, rtol=1e-4, atol=1e-6 * float(spectrum.abs().max())):
            raise BadInput("the spectrum of a real field must be even, spectrum(-k) = spectrum(k)")
        self.eigenvalues = spectrum
        self.event_shape = tuple(spectrum.shape)

    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        axes = tuple(range(2, y.ndim))
        half = y.shape[-1] // 2 + 1
        multiplier = f(self.eigenvalues.to(y)[None])[..., :half]
        applied: Tensor = torch.fft.irfftn(torch.fft.rfftn(y, dim=axes) * multiplier, s=y.shape[2:], dim=axes)
        return applied

    def state(self) -> dict[str, Tensor]:
        return {"spectrum": self.eigenvalues}
