"""The paths of a field in so many calls, as Picard finds them, and as a network of residual blocks (course, 5.2)."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge.doors import finite, function, like, whole
from monge.errors import BadInput, NumericalFailure
from monge.samplers.transport import Field

SHAPE = "a field gives [n, *event] in the shape of x"


def walk(
    field: Field, x: Float[Tensor, "n *event"], begin: float, end: float, nfe: int
) -> Iterator[Float[Tensor, "n *event"]]:
    """x after each of `nfe` even steps from time `begin` to `end`, for one call of the field each.

    Adams and Bashforth's steps of order 2, x + h (3 V_k - V_{k-1}) / 2, after a first one of Euler's: the error falls
    as nfe^-2; with nfe = 1 this is Euler's step alone.

    >>> x = torch.ones(1, 1, dtype=torch.float64)
    >>> [float(y) for y in walk(lambda x, t: x, x, 0.0, 1.0, 2)]
    [1.5, 2.375]
    """
    h = (end - begin) / whole(nfe, "nfe")
    if not math.isfinite(h):
        raise BadInput(f"two times are needed, finite, not {begin} and {end}")
    earlier: Tensor | None = None
    for k in range(nfe):
        with torch.no_grad():
            v = like(x, field(x, x.new_full((1,), begin + k * h).expand(len(x))), SHAPE)
            x = x + h * (v if earlier is None else 1.5 * v - 0.5 * earlier)
        earlier = v
        yield x


class ResidualBlock(nn.Module):
    """x -> x + h V(x, t): Euler's step (course (88)), a residual block of He et al. (2016).

    It is invertible where h Lip(V) < 1 (Behrmann et al. 2019): `inverse` is the fixed point of x = y - h V(x, t), which
    is found at the rate of that product; what is left of the equation is returned beside it.

    >>> block = ResidualBlock(lambda x, t: -x, 0.0, 0.5)
    >>> block(torch.ones(1, 1)), block.inverse(torch.full((1, 1), 0.5))[0]
    (tensor([[0.5000]]), tensor([[1.]]))
    """

    def __init__(self, field: Field, t: float, h: float) -> None:
        super().__init__()
        self.field, self.t, self.h = field, t, h

    def forward(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        return x + self.h * like(x, self.field(x, x.new_full((len(x),), self.t)), SHAPE)

    def inverse(
        self, y: Float[Tensor, "n *event"], iterations: int = 100
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, ""]]:
        """x with x + h V(x, t) = y, and the largest value that is left of the equation."""
        x = y
        for _ in range(whole(iterations, "iterations")):
            x = y - (self(x) - x)
        return x, (self(x) - y).abs().max()


def residual_blocks(field: Field, begin: float, end: float, steps: int) -> nn.Sequential:
    """Euler's `steps` even steps from time `begin` to `end` as a network of residual blocks that share V.

    >>> len(residual_blocks(lambda x, t: -x, 0.0, 1.0, 4))
    4
    """
    function(field, "a field is a function of x and t, (x [n, *event], t [n]) -> [n, *event]")
    h = (end - begin) / whole(steps, "steps")
    return nn.Sequential(*(ResidualBlock(field, begin + k * h, h) for k in range(steps)))


@torch.no_grad()
def picard(
    field: Field,
    x: Float[Tensor, "n *event"],
    begin: float,
    end: float,
    *,
    iterations: int = 10,
    nodes: int = 16,
) -> tuple[Float[Tensor, " m"], Float[Tensor, "k m n *event"]]:
    """Picard's iterates, whose fixed point is the path from x (Cauchy and Lipschitz; course, section 5.2):

        x_0(t) = x,   x_{k+1}(t) = x + int_begin^t V(x_k(s), s) ds.

    Where V is Lipschitz with constant L, x_k errs by at most a constant times (L T)^k / k!, so that they converge on
    any interval. The integral is that of the polynomial through V at `nodes` points of Chebyshev's (Lobatto's), the
    ends among them, exact up to degree nodes - 1: that many bound the precision, not k.

    Returns the times [m] of these, and x_0 ... x_k there, [iterations + 1, m, n, *event].

    Raises BadInput for fewer than 2 nodes, and times that are not finite and apart; NumericalFailure where iterates
    leave the real numbers.

    >>> t, x = picard(lambda x, t: x, torch.ones(1, 1, dtype=torch.float64), 0.0, 1.0, iterations=3)
    >>> round(float(x[3, -1]), 6)  # 1 + 1 + 1/2 + 1/6
    2.666667
    """
    function(field, "a field is a function of x and t, (x [n, *event], t [n]) -> [n, *event]")
    x, m = finite(x, "x"), whole(nodes, "nodes", 2)
    if not (np.isfinite([begin, end]).all() and begin != end):
        raise BadInput(f"two times are needed, finite and apart, not {begin} and {end}")
    places = -np.cos(np.pi * np.arange(m) / (m - 1))  # in [-1, 1]
    weights = torch.from_numpy(_antiderivative(places) * (end - begin) / 2).to(x)
    times = torch.from_numpy(begin + (end - begin) * (places + 1) / 2).to(x)
    shape = (m, *x.shape)
    paths = [x.expand(shape).clone()]
    at = times.repeat_interleave(len(x))
    for _ in range(whole(iterations, "iterations")):
        v = like(paths[-1].flatten(0, 1), field(paths[-1].flatten(0, 1), at), SHAPE)
        paths.append(x + (weights @ v.reshape(m, -1)).reshape(shape))
        if not bool(paths[-1].isfinite().all()):
            raise NumericalFailure(
                f"iterate {len(paths) - 1} of {iterations} left the real numbers: V is not Lipschitz there, or the "
                "time is too long"
            )
    return times, torch.stack(paths)


def _antiderivative(places: np.ndarray) -> np.ndarray:
    """[m, m]: values at places in [-1, 1] -> those of the integral from -1 of the polynomial through them."""
    chebyshev = np.polynomial.chebyshev
    of: Callable[[int], np.ndarray] = lambda k: chebyshev.chebint(np.eye(len(places))[k], lbnd=-1)  # noqa: E731
    integrals = np.stack([chebyshev.chebval(places, of(k)) for k in range(len(places))], 1)
    found: np.ndarray = integrals @ np.linalg.inv(chebyshev.chebvander(places, len(places) - 1))
    return found
