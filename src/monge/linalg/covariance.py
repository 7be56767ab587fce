"""Covariances as operators: a function of C applied to samples, without forming C where its structure is known."""

import copy
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monge.doors import finite, real, single
from monge.errors import BadInput

Function = Callable[[Tensor], Tensor]
ALIKE = 1.3  # directions whose eigenvalues are within this factor share one measurement
FAINT = 1e-12  # eigenvalues below this share of the largest are all alike


def _of_numbers(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A method of a covariance whose last argument is events: these in single precision at least."""

    @functools.wraps(method)
    def guarded(self: Any, *given: Any) -> Tensor:
        *f, y = given
        return method(self, *f, single(real(y, "y")))

    return guarded


class Covariance(ABC):
    """A symmetric positive semidefinite operator C = U diag(lam) U' on events, with U orthonormal.

    eigenvalues: lam, one each in `event_shape` or, for a dense matrix, [d].
    """

    eigenvalues: Tensor
    event_shape: tuple[int, ...]

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        for name in ("apply", "coordinates", "compose"):
            if name in vars(cls):
                setattr(cls, name, _of_numbers(vars(cls)[name]))

    @abstractmethod
    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """f(C) y. f takes the eigenvalues with a leading axis of one, and may use `level` of a per-sample sigma."""

    @abstractmethod
    def coordinates(self, y: Float[Tensor, "n *event"]) -> Tensor:
        """U' y, real, [n, *eigenvalues]; f(C) y = compose(f(lam) coordinates(y))."""

    @abstractmethod
    def compose(self, v: Tensor) -> Float[Tensor, "n *event"]:
        """U v, the inverse of `coordinates`."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The tensors that make it again, by `from_state`."""

    @staticmethod
    def from_state(state: dict[str, Tensor], event_shape: tuple[int, ...]) -> "Covariance":
        """What `state` gave, on events of this shape."""
        if "variances" in state:
            return DiagonalCovariance(state["variances"])
        if "spectrum" in state:
            return StationaryCovariance(state["spectrum"])
        if "separable_eigenvalues" in state:
            bases = [state[f"basis_{axis}"] for axis in range(len(event_shape))]
            return SeparableCovariance(bases, state["separable_eigenvalues"])
        return DenseCovariance.from_eigen(state["dense_eigenvalues"], state["dense_vectors"], event_shape)

    def shifted(self, variance: float) -> "Covariance":
        """C + variance, in the same basis.

        >>> DiagonalCovariance(torch.tensor([1.0, 4.0])).shifted(2.0).eigenvalues
        tensor([3., 6.])
        """
        return self._of(self.eigenvalues + variance)

    def scaled(self, factor: float) -> "Covariance":
        """factor C."""
        return self._of(factor * self.eigenvalues)

    def _of(self, eigenvalues: Tensor) -> "Covariance":
        made = copy.copy(self)
        made.eigenvalues = eigenvalues
        return made

    def moved(self, function: Function) -> "Covariance":
        """The same with every tensor put through a function: on another device, in another precision."""
        made = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(made, name, function(value))
            elif isinstance(value, list):
                setattr(made, name, [function(each) for each in value])
        return made

    def matrix(self) -> Float[Tensor, "d d"]:
        """C over flattened events."""
        d = math.prod(self.event_shape)
        units = torch.eye(d, dtype=self.eigenvalues.dtype, device=self.eigenvalues.device)
        return self.apply(lambda lam: lam, units.reshape(d, *self.event_shape)).reshape(d, d)

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

    @property
    def singular(self) -> bool:
        """Whether some direction has no variance that can be told from rounding."""
        return bool(self.eigenvalues.min() <= 0)


class DenseCovariance(Covariance):
    """C a matrix [d, d] over flattened events; one eigendecomposition, in float64.

    Raises BadInput if the matrix is not square and symmetric, or has an eigenvalue below zero.

    >>> C = DenseCovariance(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> C.eigenvalues, C.apply(torch.sqrt, C.apply(torch.sqrt, torch.eye(2))).round(decimals=4)
    (tensor([1., 3.]), tensor([[2., 1.],
            [1., 2.]]))
    """

    def __init__(self, matrix: Tensor, event_shape: tuple[int, ...] | None = None) -> None:
        matrix = finite(matrix, "a covariance")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise BadInput(f"a covariance must be a square matrix [d, d], not {list(matrix.shape)}")
        if not torch.allclose(matrix, matrix.T, rtol=1e-4, atol=1e-6 * float(matrix.abs().max())):
            raise BadInput("a covariance must be symmetric: take (C + C') / 2 if it is so up to rounding")
        lam, vectors = torch.linalg.eigh(matrix.double())
        if lam[0] < -1e-6 * lam[-1].abs():
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

    @property
    def singular(self) -> bool:
        lam = self.eigenvalues  # of a matrix whose values were rounded
        return bool(lam.min() <= torch.finfo(lam.dtype).eps * lam.max())

    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        return self.compose(self.coordinates(y) * f(self.eigenvalues.to(y)[None]))

    def coordinates(self, y: Float[Tensor, "n *event"]) -> Tensor:
        return y.reshape(len(y), -1) @ self.vectors.to(y)

    def compose(self, v: Tensor) -> Float[Tensor, "n *event"]:
        return (v @ self.vectors.to(v).T).reshape(len(v), *self.event_shape)

    def state(self) -> dict[str, Tensor]:
        return {"dense_eigenvalues": self.eigenvalues, "dense_vectors": self.vectors}


class DiagonalCovariance(Covariance):
    """C diagonal: a variance per value of the event, [*event].

    >>> DiagonalCovariance(torch.tensor([1.0, 4.0])).apply(torch.sqrt, torch.ones(1, 2))
    tensor([[1., 2.]])
    """

    def __init__(self, variances: Tensor) -> None:
        variances = finite(variances, "variances")
        if not (variances >= 0).all():
            raise BadInput("variances must be zero or more")
        self.eigenvalues = variances
        self.event_shape = tuple(variances.shape)

    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        return y * f(self.eigenvalues.to(y)[None])

    def coordinates(self, y: Float[Tensor, "n *event"]) -> Tensor:
        return y

    def compose(self, v: Tensor) -> Float[Tensor, "n *event"]:
        return v

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

    def __init__(self, spectrum: Tensor) -> None:
        spectrum = finite(spectrum, "a spectrum")
        if not 2 <= spectrum.ndim <= 4:
            raise BadInput(f"a spectrum must be [C, *space] with 1 to 3 space dimensions, not {list(spectrum.shape)}")
        if not (spectrum >= 0).all():
            raise BadInput("a spectrum must be zero or more at every frequency")
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

    def coordinates(self, y: Float[Tensor, "n *event"]) -> Tensor:
        """Hartley's transform, cosine plus sine: real, orthonormal and its own inverse."""
        waves: Tensor = torch.fft.fftn(y, dim=tuple(range(2, y.ndim)), norm="ortho")
        hartley: Tensor = waves.real - waves.imag
        return hartley

    def compose(self, v: Tensor) -> Float[Tensor, "n *event"]:
        return self.coordinates(v)

    def state(self) -> dict[str, Tensor]:
        return {"spectrum": self.eigenvalues}


class SeparableCovariance(Covariance):
    """C diagonal in a product of orthonormal bases, one an axis of the event: channels, rows, columns.

    bases: [side, side] each, columns orthonormal. eigenvalues: lam [*event], on the product of their columns.

    `estimate` takes for each axis the principal directions of the data along it (the higher-order singular value
    decomposition of De Lathauwer, De Moor, Vandewalle, 2000), which for stationary fields are close to cosines, and
    the variance along each product: side^2 numbers an axis, where a whole matrix would have as many as values squared.

    Raises BadInput for bases that do not fit the eigenvalues, or an eigenvalue below zero.

    >>> turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    >>> C = SeparableCovariance([torch.eye(1), turn], torch.tensor([[1.0, 4.0]]))
    >>> C.apply(torch.sqrt, torch.tensor([[[0.6, 0.8]], [[-0.8, 0.6]]]))
    tensor([[[ 0.6000,  0.8000]],
    <BLANKLINE>
            [[-1.6000,  1.2000]]])
    """

    def __init__(self, bases: Sequence[Tensor], eigenvalues: Tensor) -> None:
        bases, eigenvalues = [finite(basis, "a basis") for basis in bases], finite(eigenvalues, "eigenvalues")
        if [len(basis) for basis in bases] != list(eigenvalues.shape):
            raise BadInput(
                f"a basis for each axis is needed, of sides {list(eigenvalues.shape)}, not {[len(b) for b in bases]}"
            )
        if not (eigenvalues >= 0).all():
            raise BadInput("eigenvalues must be zero or more")
        self.bases, self.eigenvalues = list(bases), eigenvalues
        self.event_shape = tuple(eigenvalues.shape)

    @classmethod
    def estimate(cls, away: Float[Tensor, "n *event"]) -> "SeparableCovariance":
        """From samples less their mean."""
        bases, turned = [], away
        for axis in range(1, away.ndim):
            rows = away.movedim(axis, -1).flatten(0, -2)
            basis = torch.linalg.eigh((rows.T @ rows).double())[1].to(away)
            bases.append(basis)
            turned = _along(turned, basis, axis)
        return cls(bases, turned.double().square().sum(0).to(away) / (len(away) - 1))

    def apply(self, f: Function, y: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        return self.compose(self.coordinates(y) * f(self.eigenvalues.to(y)[None]))

    def coordinates(self, y: Float[Tensor, "n *event"]) -> Tensor:
        for axis, basis in enumerate(self.bases, start=1):
            y = _along(y, basis, axis)
        return y

    def compose(self, v: Tensor) -> Float[Tensor, "n *event"]:
        for axis, basis in enumerate(self.bases, start=1):
            v = _along(v, basis.T, axis)
        return v

    def state(self) -> dict[str, Tensor]:
        bases = {f"basis_{axis}": basis for axis, basis in enumerate(self.bases)}
        return {"separable_eigenvalues": self.eigenvalues, **bases}


def _along(y: Tensor, basis: Tensor, axis: int) -> Tensor:
    """y with one axis in the coordinates of a basis; an axis of one value as it is."""
    return (y.movedim(axis, -1) @ basis.to(y)).movedim(-1, axis) if len(basis) > 1 else y * basis.to(y)


def bins(eigenvalues: Tensor) -> Tensor:
    """The bin of each direction, in the shape of the eigenvalues: one for each factor of 1.3 in which there are any.

    >>> bins(torch.tensor([1.0, 9.0, 0.0, 1.1]))
    tensor([1, 0, 2, 1])
    """
    below = eigenvalues.max() / eigenvalues.clamp_min(FAINT * float(eigenvalues.max()) or 1.0)
    found: Tensor = torch.unique((below.log() / math.log(ALIKE)).floor(), return_inverse=True)[1]
    return found
