"""Increasing maps of one value, steered by parameters: what couplings and autoregressions apply."""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from monge.errors import BadInput


class Moved(NamedTuple):
    """Values, and the log of the slope at each."""

    value: Tensor
    log_slope: Tensor


@runtime_checkable
class ScalarMap(Protocol):
    """An increasing map of the line for each vector of `size` parameters, the identity where they are all 0."""

    @property
    def size(self) -> int: ...
    def forward(self, x: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved: ...
    def inverse(self, z: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved: ...


class Affine:
    """z = x e^s + t, s = bound tanh(a / bound) (80-82): the scale stays within e^bound, whatever the network says.

    >>> Affine().forward(torch.ones(1), torch.tensor([[0.0, 2.0]])).value
    tensor([3.])
    """

    size = 2

    def __init__(self, bound: float = 4.0) -> None:
        if not bound > 0:
            raise BadInput(f"bound must be above 0, not {bound}")
        self.bound = bound

    def _read(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        a, t = parameters.unbind(-1)
        return self.bound * (a / self.bound).tanh(), t

    def forward(self, x: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        s, t = self._read(parameters)
        return Moved(torch.addcmul(t, x, s.exp()), s)

    def inverse(self, z: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        s, t = self._read(parameters)
        return Moved((z - t) * (-s).exp(), -s)


class Spline:
    """Monotone rational-quadratic spline on [-bound, bound], the identity beyond (Durkan et al. 2019).

    bins: number of pieces. least: smallest width and height of a piece as a share of an even one, and smallest slope.

    >>> Spline().forward(torch.tensor([0.3, 9.0]), torch.zeros(2, 23)).value
    tensor([0.3000, 9.0000])
    """

    def __init__(self, bins: int = 8, bound: float = 4.0, least: float = 1e-2) -> None:
        if bins < 2 or not bound > 0 or not 0 < least < 1:
            raise BadInput(f"a spline needs bins >= 2, bound > 0, 0 < least < 1, not {bins}, {bound}, {least}")
        self.bins, self.bound, self.least = bins, bound, least
        self.rest = math.log(math.expm1(1 - least))  # softplus of it is the slope 1, less the smallest

    @property
    def size(self) -> int:
        return 3 * self.bins - 1

    def forward(self, x: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        return self._map(x, parameters, inverse=False)

    def inverse(self, z: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        return self._map(z, parameters, inverse=True)

    def _map(self, x: Tensor, parameters: Tensor, inverse: bool) -> Moved:
        inside = x.abs() < self.bound
        at = torch.where(inside, x, 0.0)
        (left, width), (low, height), (first, last) = self._piece(at, parameters, inverse)
        slope = height / width
        bend = first + last - 2 * slope
        if inverse:
            away = at - low
            a = height * (slope - first) + away * bend
            b = height * first - away * bend
            c = -slope * away
            t = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
            value = left + width * t
        else:
            t = (at - left) / width
        s = t * (1 - t)
        below = slope + bend * s
        if not inverse:
            value = low + height * (slope * t.square() + first * s) / below
        rise = last * t.square() + 2 * slope * s + first * (1 - t).square()
        log_slope = 2 * (slope.log() - below.log()) + rise.log()
        if inverse:
            log_slope = -log_slope
        return Moved(torch.where(inside, value, x), torch.where(inside, log_slope, 0.0))

    def _piece(self, at: Tensor, parameters: Tensor, inverse: bool) -> list[tuple[Tensor, Tensor]]:
        """(left, width), (low, height) and the slopes at both ends of the piece that each value lies in."""
        k, b = self.bins, self.bound
        sides = parameters[..., : 2 * k].reshape(*at.shape, 2, k).softmax(-1)
        sides = 2 * b * (self.least / k + (1 - self.least) * sides)
        knots = F.pad(sides.cumsum(-1), (1, 0)) - b
        edges = knots[..., 1 if inverse else 0, 1:-1].contiguous()
        piece = (at[..., None] >= edges).sum(-1, keepdim=True)
        slopes = F.pad(self.least + F.softplus(parameters[..., 2 * k :] + self.rest), (1, 1), value=1.0)
        both = piece[..., None, :].expand(*piece.shape[:-1], 2, 1)
        start, side = knots.gather(-1, both)[..., 0].unbind(-1), sides.gather(-1, both)[..., 0].unbind(-1)
        ends = slopes.gather(-1, torch.cat([piece, piece + 1], -1)).unbind(-1)
        return [(start[0], side[0]), (start[1], side[1]), (ends[0], ends[1])]


class AffineSpline:
    """z = spline(x e^s + t): the spline's box is where the values are, and the tails are those of an affine map.

    >>> AffineSpline().size
    25
    """

    def __init__(self, bins: int = 8, bound: float = 4.0) -> None:
        self.affine, self.spline = Affine(), Spline(bins, bound)

    @property
    def size(self) -> int:
        return 2 + self.spline.size

    def forward(self, x: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        middle, first = self.affine.forward(x, parameters[..., :2])
        value, second = self.spline.forward(middle, parameters[..., 2:])
        return Moved(value, first + second)

    def inverse(self, z: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        middle, second = self.spline.inverse(z, parameters[..., 2:])
        value, first = self.affine.inverse(middle, parameters[..., :2])
        return Moved(value, first + second)
