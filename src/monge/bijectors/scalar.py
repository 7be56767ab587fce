"""Increasing maps of one value, steered by parameters: what couplings and autoregressions apply."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from monge.bijectors import compiled, spline
from monge.doors import HALVES
from monge.errors import BadInput
from monge.objects import Recorded


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


def _in_single(method: Callable[..., Moved]) -> Callable[..., Moved]:
    """In single precision where values have half of it, in which the pieces of a spline run together."""

    @functools.wraps(method)
    def wide(self: Any, x: Tensor, parameters: Tensor) -> Moved:
        if x.dtype not in HALVES:
            return method(self, x, parameters)
        return Moved(*(part.to(x.dtype) for part in method(self, x.float(), parameters.float())))

    return wide


class Affine(Recorded):
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


class Spline(Recorded):
    """Monotone rational-quadratic spline on [-bound, bound], the identity beyond (Durkan et al. 2019).

    bins: number of pieces. least: smallest width and height of a piece as a share of an even one, and smallest slope at
    the ends of pieces; within a flat piece between steep ends it may be a hundredth of that, and what comes back from
    there has lost as many digits.

    >>> Spline().forward(torch.tensor([0.3, 9.0]), torch.zeros(2, 23)).value
    tensor([0.3000, 9.0000])
    """

    def __init__(self, bins: int = 8, bound: float = 4.0, least: float = 1e-2) -> None:
        if bins < 2 or not bound > 0 or not 0 < least < 1:
            raise BadInput(f"a spline needs bins >= 2, bound > 0, 0 < least < 1, not {bins}, {bound}, {least}")
        self.bound = bound
        self.shape = spline.Shape(bins, bound, least, rest=math.log(math.expm1(1 - least)))

    @property
    def size(self) -> int:
        return 3 * self.shape.bins - 1

    @_in_single
    def forward(self, x: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        if spline.COMPILED and x.device.type == "cpu":
            return Moved(*compiled.Compiled.apply(x, parameters.to(x), self.shape, 0.0))  # type: ignore[no-untyped-call]
        return Moved(*spline.in_box(spline.Forward.apply, x, parameters, self.shape))

    @_in_single
    def inverse(self, z: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        if spline.COMPILED and z.device.type == "cpu":
            return Moved(*compiled.CompiledInverse.apply(z, parameters.to(z), self.shape, 0.0))  # type: ignore[no-untyped-call]
        return Moved(*spline.in_box(spline.plain_inverse, z, parameters, self.shape))


class AffineSpline(Recorded):
    """z = spline(x e^s + t): the spline's box is where the values are, and the tails are those of an affine map.

    >>> AffineSpline().size
    25
    """

    def __init__(self, bins: int = 8, bound: float = 4.0) -> None:
        self.affine, self.spline = Affine(), Spline(bins, bound)

    @property
    def size(self) -> int:
        return 2 + self.spline.size

    @_in_single
    def forward(self, x: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        if spline.COMPILED and x.device.type == "cpu":
            how = self.spline.shape, self.affine.bound
            return Moved(*compiled.Compiled.apply(x, parameters.to(x), *how))  # type: ignore[no-untyped-call]
        middle, first = self.affine.forward(x, parameters[..., :2])
        value, second = self.spline.forward(middle, parameters[..., 2:])
        return Moved(value, first + second)

    @_in_single
    def inverse(self, z: Float[Tensor, "*n"], parameters: Float[Tensor, "*n k"]) -> Moved:
        if spline.COMPILED and z.device.type == "cpu":
            how = self.spline.shape, self.affine.bound
            return Moved(*compiled.CompiledInverse.apply(z, parameters.to(z), *how))  # type: ignore[no-untyped-call]
        middle, second = self.spline.inverse(z, parameters[..., 2:])
        value, first = self.affine.inverse(middle, parameters[..., :2])
        return Moved(value, first + second)
