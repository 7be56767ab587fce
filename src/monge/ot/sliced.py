"""Sliced Wasserstein distances: in many directions, and in the worst one.

Along a direction u a transport is a sorting, so that W_p(u.x, u.y) costs n log n (course, section 5).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from monge import rng
from monge.errors import BadInput
from monge.ot.clouds import Clouds, clouds
from monge.ot.distances import check_power
from monge.ot.line import line_cost

DIRECTIONS = 64
DIRECTIONS_AT_ONCE, VALUES_AT_ONCE = 16, 2**22  # values: projected
STARTS, CLIMBS = 4, 100  # of the search for the worst direction
FLAT = 1e-9


def directions(d: int, count: int = DIRECTIONS, *, seed: int = 0) -> Tensor:
    """Unit vectors uniform on the sphere of R^d, as columns [d, count]; the first ones do not change with `count`.

    >>> torch.allclose(directions(3, 5).norm(dim=0), torch.ones(5))
    True
    """
    return torch.nn.functional.normalize(rng.normal((count, d), seed, "sliced", "directions"), dim=1).T


def sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    p: float = 2.0,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    count: int = DIRECTIONS,
    seed: int = 0,
) -> float:
    """(mean over directions u of W_p^p(u.x, u.y))^(1/p), exact in each direction (Bonneel et al. 2015).

    Time grows as count n log n, memory as n: a million points are no matter. The unit directions are those of `seed`.

    Raises BadInput for p < 1, count < 1, and clouds that cannot be compared.

    >>> x = torch.randn(100, 3)
    >>> sliced_wasserstein(x, x), round(sliced_wasserstein(x, 2 * x) / sliced_wasserstein(x, 3 * x), 6)
    (0.0, 0.5)
    """
    given = _checked(x, y, a, b, p, count)
    turns = directions(x.shape[1], count, seed=seed).to(given.x)
    return math.pow(_along(given, turns, p, a is b is None).mean(), 1 / p)


class MaxSliced(NamedTuple):
    """value: W_p along direction [d], of length one."""

    value: float
    direction: Tensor


def max_sliced_wasserstein(
    x: Tensor,
    y: Tensor,
    p: float = 2.0,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    count: int = DIRECTIONS,
    seed: int = 0,
) -> MaxSliced:
    """max over unit u of W_p(u.x, u.y), and where it is (Deshpande et al. 2019).

    By gradient ascent on the sphere from the best four of the directions of `seed`, the coordinates and the difference
    of the means; the maximum is local, and never below any of these.

    >>> x = torch.randn(500, 3)
    >>> found = max_sliced_wasserstein(x, x + torch.tensor([0.0, 2.0, 0.0]))
    >>> round(found.value, 4), found.direction.abs().round(decimals=2).tolist()
    (2.0, [0.0, 1.0, 0.0])
    """
    given = _checked(x, y, a, b, p, count)
    uniform = a is b is None
    d = x.shape[1]
    means = (given.b @ given.y - given.a @ given.x)[:, None]
    turns = torch.cat([directions(d, count, seed=seed).to(x), torch.eye(d).to(x), means], 1)
    turns = torch.nn.functional.normalize(turns, dim=0)
    costs = _along(given, turns, p, uniform)
    best = costs.topk(min(STARTS, len(costs)))
    found = [_climb(given, turns[:, i], float(c), p, uniform) for c, i in zip(best.values, best.indices, strict=True)]
    value, direction = max(found, key=lambda pair: pair[0])
    return MaxSliced(value ** (1 / p), direction)


def _climb(given: Clouds, u: Tensor, value: float, p: float, uniform: bool) -> tuple[float, Tensor]:
    """Steps along the gradient, halved where they lead down."""
    size, wide = 1.0, Clouds(given.x.double(), given.y.double(), given.a, given.b)
    for _ in range(CLIMBS):
        turn = u.double().clone().requires_grad_()  # a copy: u itself stays out of the graph
        with torch.enable_grad():
            slope = torch.autograd.grad(_along(wide, turn[:, None], p, uniform).sum(), turn)[0]
        slope = slope - (slope @ u.double()) * u.double()
        if not float(slope.norm()) > FLAT * value:
            break
        slope = slope / slope.norm()
        while size > FLAT:
            tried = torch.nn.functional.normalize(u + size * slope.to(u), dim=0)
            reached = float(_along(given, tried[:, None], p, uniform))
            if reached > value * (1 + FLAT):
                u, value, size = tried, reached, min(1.0, 2 * size)
                break
            size /= 2
        else:
            break
    return value, u


def _along(given: Clouds, turns: Tensor, p: float, uniform: bool) -> Tensor:
    """W_p^p along each direction [d, k], [k], a few at a time."""
    chunk = max(1, min(DIRECTIONS_AT_ONCE, VALUES_AT_ONCE // len(given.x), VALUES_AT_ONCE // len(given.y)))
    weights = (None, None) if uniform else (given.a, given.b)
    some = torch.split(turns, chunk, dim=1)
    return torch.cat([line_cost((given.x @ turn).T, (given.y @ turn).T, *weights, p=p) for turn in some])


def _checked(x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, p: float, count: int) -> Clouds:
    check_power(p)
    if count < 1:
        raise BadInput(f"a sliced distance needs at least one direction, not {count}")
    return clouds(x, y, a, b)
