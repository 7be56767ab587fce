"""Linear operators on events, with their adjoints: masks, blurs, coarser grids, Fourier and tomography."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from monge.doors import finite, number, whole
from monge.errors import BadInput

Map = Callable[[Tensor], Tensor]
THIN = 1e-3  # sites, below which a blur is none
REACH = 4.0  # s.d. of a Gaussian to which a blur reaches


class Operator(NamedTuple):
    """A, [n, *event] -> [n, *y], and its adjoint; the shapes that they take, None for any.

    >>> import torch
    >>> A = mask(torch.tensor([True, False, True]))
    >>> A.forward(torch.tensor([[1.0, 2.0, 3.0]])), A.adjoint(torch.tensor([[1.0, 3.0]]))
    (tensor([[1., 3.]]), tensor([[1., 0., 3.]]))
    """

    forward: Map
    adjoint: Map
    event_shape: tuple[int, ...] | None
    y_shape: Any

    @classmethod
    def of_matrix(cls, matrix: Tensor) -> "Operator":
        """Of a matrix [m, d] on flattened events."""
        m, d = matrix.shape
        return cls(lambda x: x.flatten(1) @ matrix.to(x).T, lambda r: r.flatten(1) @ matrix.to(r), (d,), (m,))

    @classmethod
    def of_linear(cls, forward: Map, event_shape: tuple[int, ...]) -> "Operator":
        """Of a linear function that can be differentiated: its adjoint is the gradient of <A x, r>."""
        y_shape = tuple(forward(torch.zeros(1, *event_shape)).shape[1:])

        def adjoint(r: Tensor) -> Tensor:
            with torch.enable_grad():
                x = torch.zeros(len(r), *event_shape, dtype=r.dtype, device=r.device, requires_grad=True)
                found: Tensor = torch.autograd.grad(forward(x), x, r, create_graph=r.requires_grad)[0]
            return found

        return cls(forward, adjoint, event_shape, y_shape)


def mask(seen: Any) -> Operator:
    """The values of an event that are seen: A x = x[seen]. seen: True where they are, of the shape of an event.

    Raises BadInput where none is.
    """
    known = _true(seen)
    if not bool(known.any()):
        raise BadInput("a mask is True where an event is seen, and False elsewhere: it must be so somewhere")
    event_shape, places = tuple(known.shape), known.flatten().nonzero()[:, 0]

    def adjoint(r: Tensor) -> Tensor:
        x = r.new_zeros(len(r), known.numel())
        return x.index_copy(1, places.to(r.device), r.flatten(1)).reshape(len(r), *event_shape)

    return Operator(lambda x: x.flatten(1)[:, places.to(x.device)], adjoint, event_shape, (len(places),))


def blur(event_shape: tuple[int, ...], width: float) -> Operator:
    """Convolution with a Gaussian of s.d. `width` sites along each axis of space, mirrored at the borders, of events
    [C, *space]."""
    sides = _space(event_shape)
    if number(width, "width", "the width of a blur is above 0, in sites") == 0:
        raise BadInput("the width of a blur is above 0, in sites")
    matrices = [_blurring(side, width) for side in sides]
    return Operator.of_linear(lambda x: _along(x, matrices), tuple(event_shape))


def downscale(event_shape: tuple[int, ...], factor: int) -> Operator:
    """Means over blocks of factor sites a side, of events [C, *space].

    Raises BadInput where a side is no multiple of it.
    """
    sides = _space(event_shape)
    factor = whole(factor, "factor", 2)
    if any(side % factor for side in sides):
        raise BadInput(f"blocks of {factor} sites do not fill a space of {list(sides)}: give a factor of its sides")
    matrices = [torch.eye(side // factor).repeat_interleave(factor, 1) / factor for side in sides]
    return Operator.of_linear(lambda x: _along(x, matrices), tuple(event_shape))


def fourier(seen: Any, channels: int = 1) -> Operator:
    """Fourier coefficients at the frequencies that are seen, real and imaginary parts [2, C, m], as in MRI: unitary
    where all are. seen: True at these, on the grid of `torch.fft.fftn` over the space of events [C, *space]."""
    known, channels = _true(seen), whole(channels, "channels")
    if not bool(known.any()):
        raise BadInput("frequencies that are seen are True in a mask over the grid of fftn, somewhere at least")
    axes = tuple(range(2, 2 + known.ndim))

    def forward(x: Tensor) -> Tensor:
        waves = torch.fft.fftn(x, dim=axes, norm="ortho")[..., known.to(x.device)]
        return torch.stack([waves.real, waves.imag], 1)

    return Operator.of_linear(forward, (channels, *known.shape))


def projections(event_shape: tuple[int, ...], angles: Any) -> Operator:
    """A small tomograph: sums along lines of a plane [C, h, w] at each of some angles (radians), [C, angles, bins].

    A site gives its value to the two bins that its centre falls between.
    """
    sides = _space(event_shape)
    if len(sides) != 2:
        raise BadInput(f"projections are of a plane [C, h, w], not {list(event_shape)}")
    turns = finite(angles, "angles").flatten()
    bins = math.ceil(math.hypot(*sides)) + 2
    rows, columns = (torch.arange(side) - (side - 1) / 2 for side in sides)
    at = columns * turns.cos()[:, None, None] + rows[:, None] * turns.sin()[:, None, None] + bins / 2
    low, share = at.floor().long().flatten(1), (at - at.floor()).flatten(1)
    matrix = torch.zeros(len(turns), bins + 1, low.shape[1])
    matrix.scatter_add_(1, low[:, None], 1 - share[:, None]).scatter_add_(1, low[:, None] + 1, share[:, None])
    flat = matrix.flatten(0, 1)

    def forward(x: Tensor) -> Tensor:
        return (x.flatten(2) @ flat.to(x).T).reshape(*x.shape[:2], len(turns), bins + 1)

    return Operator.of_linear(forward, tuple(event_shape))


def _true(seen: Any) -> Tensor:
    """A mask of True and False."""
    try:
        known = torch.as_tensor(seen)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"a mask is an array of True and False, not {seen!r}") from error
    if known.dtype != torch.bool:
        raise BadInput(f"a mask is an array of True and False, not of {known.dtype}: compare it with a number")
    return known


def _space(event_shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(event_shape) < 2:
        raise BadInput(f"this operator is of events [C, *space], not {list(event_shape)}")
    return tuple(event_shape[1:])


def _blurring(side: int, width: float) -> Tensor:
    """A Gaussian's weights, [side, side], rows of sum 1."""
    if width > 2 * side:  # mirrored again and again, it is even
        return torch.full((side, side), 1 / side)
    reach = math.ceil(REACH * width)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / max(width, THIN)).square())
    matrix = torch.zeros(side, side)
    for offset, weight in zip(range(-reach, reach + 1), (weights / weights.sum()).tolist(), strict=True):
        at = (torch.arange(side) + offset) % (2 * side)
        matrix[torch.arange(side), torch.where(at < side, at, 2 * side - 1 - at)] += weight
    return matrix


def _along(x: Tensor, matrices: list[Tensor]) -> Tensor:
    """A matrix applied along each axis of space."""
    for axis, matrix in enumerate(matrices, 2):
        x = (x.movedim(axis, -1) @ matrix.to(x).T).movedim(-1, axis)
    return x
