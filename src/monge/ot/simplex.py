"""Plans and potentials by the network simplex, without the matrix of costs.

The network simplex of POT (Bonneel et al. 2011) is run on a few pairs a point, those of least c - f - g; pairs at which
the potentials it returns are not feasible are added, until there is none (column generation), so that the plan is that
of all pairs. The first potentials are those of a subset. On the line nothing is searched: order is optimal.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monge import progress
from monge.errors import NumericalFailure
from monge.ot.clouds import Clouds, Cost, blocks, c_transform, checked_cost, euclidean, squared_euclidean

Array = NDArray[Any]

SMALL = 2**18  # pairs that are solved whole
COARSER = 5  # of what is larger, potentials come from a subset so many times smaller
NEAR = 10  # pairs of a point to begin with
MORE = 16  # pairs of a point that are added at a time, at most
EXACT = 1e-12  # of the largest cost: what is above -that is feasible
SIMPLEX_STEPS = 10**9
COLUMNS_AT_ONCE, SCALE_ROWS = 64, 300
OURS = squared_euclidean, euclidean  # convex on the line, and good for batches
BYTES_A_PAIR, PAIRS_A_POINT = 100, 80  # of the simplex's network


@dataclass
class Found:
    """A plan: mass[k] from row to column, at those costs, and its potentials, feasible but for points without mass."""

    rows: Array
    columns: Array
    mass: Tensor
    costs: Tensor
    f: Tensor
    g: Tensor


def scale_of(given: Clouds, cost: Cost) -> float:
    """Largest cost between a few points of each cloud: the unit of the simplex, whose tolerances are absolute."""
    return float(cost(given.x[:SCALE_ROWS], given.y[:SCALE_ROWS]).abs().max()) or 1.0


def whole(given: Clouds, costs: Tensor, scale: float) -> Found:
    """By the simplex on all pairs."""
    matrix = np.ascontiguousarray((costs / scale).numpy())
    plan, _, f, g, code = _pot().emd_c(*_balanced(given), matrix, SIMPLEX_STEPS, 1)
    _check_code(code)
    rows, columns = np.nonzero(plan)
    f, g = torch.from_numpy(scale * f), torch.from_numpy(scale * g)
    return Found(rows, columns, torch.from_numpy(plan[rows, columns]), costs[rows, columns], f, g)


def increasing(given: Clouds, cost: Cost) -> Found:
    """On the line, for a convex cost of the difference: in order, along the northwest corner's path, on which the
    potentials follow from f + g = c (Monge's condition makes them feasible)."""
    a, b = _balanced(given)
    first, second = np.argsort(given.x[:, 0].numpy()), np.argsort(given.y[:, 0].numpy())
    ends, others = np.cumsum(a[first])[:-1], np.cumsum(b[second])[:-1]
    order = np.argsort(np.concatenate([ends, others]), kind="stable")
    down = order < len(ends)  # the path goes on to the next of x, else to the next of y
    i, j = np.concatenate([[0], np.cumsum(down)]), np.concatenate([[0], np.cumsum(~down)])
    cuts = np.concatenate([[0.0], np.concatenate([ends, others])[order], [a.sum()]])
    rows, columns, mass = first[i], second[j], np.diff(cuts)
    costs = each_cost(cost, given.x, given.y, rows * len(b) + columns)
    rise = np.diff(costs)
    f, g = np.empty_like(a), np.empty_like(b)
    f[first] = np.concatenate([[0.0], np.cumsum(np.where(down, rise, 0.0))[down]])
    g[second] = costs[0] + np.concatenate([[0.0], np.cumsum(np.where(down, 0.0, rise))[~down]])
    kept = mass > np.finfo(float).eps / len(cuts)
    found = [torch.from_numpy(each) for each in (mass[kept], costs[kept], f, g)]
    return Found(rows[kept], columns[kept], *found)


def generated(given: Clouds, cost: Cost, scale: float, *, show: bool) -> Found:
    """By the simplex on the pairs that matter."""
    x, y = given.x, given.y
    n, m = len(x), len(y)
    if n * m <= SMALL:
        return whole(given, checked_cost(cost, x, y), scale)
    potentials = _coarse(given, cost, scale)
    a, b = _balanced(given)
    pairs = np.union1d(_least(given, cost, *potentials), _staircase(a, b))
    f, g = (each.numpy() for each in potentials)
    costs = each_cost(cost, x, y, pairs)
    with progress.bar("coupling", 1.0, show=show) as advance:
        while True:
            i, j = (pairs // m).astype(np.uint64), (pairs % m).astype(np.uint64)
            start = f / scale, g / scale
            s, t, mass, _, f, g, code = _pot().emd_c_sparse(a, b, i, j, costs / scale, SIMPLEX_STEPS, *start)
            _check_code(code)
            f, g = scale * f, scale * g
            more, worst = _violated(given, cost, torch.from_numpy(f), torch.from_numpy(g), EXACT * np.abs(costs).max())
            advance(0.1, infeasible=worst)
            more = np.setdiff1d(more, pairs, assume_unique=True)
            if not len(more):
                break
            order = np.argsort(pairs := np.concatenate([pairs, more]))
            pairs, costs = pairs[order], np.concatenate([costs, each_cost(cost, x, y, more)])[order]
    used = s.astype(np.int64) * m + t.astype(np.int64)
    found = torch.from_numpy(costs[np.searchsorted(pairs, used)])
    return Found(used // m, used % m, torch.from_numpy(mass), found, torch.from_numpy(f), torch.from_numpy(g))


def _coarse(given: Clouds, cost: Cost, scale: float) -> tuple[Tensor, Tensor]:
    """Potentials of a subset, carried over to all by their c-transforms."""
    x, y, a, b = (each[::COARSER] for each in given)
    part = generated(Clouds(x, y, a / a.sum(), b / b.sum()), cost, scale, show=False)
    return c_transform(given.x, y, part.g, cost)[0], c_transform(given.y, x, part.f, lambda y, x: cost(x, y).mT)[0]


def each_cost(cost: Cost, x: Tensor, y: Tensor, pairs: Array) -> Array:
    """Costs of pairs: in batches of clouds of one point, or for a cost that may know no batches from diagonals."""
    i, j = pairs // len(y), pairs % len(y)
    if cost in OURS:
        return cost(x[i][:, None], y[j][:, None])[:, 0, 0].numpy()
    chunks = [(i[k : k + COLUMNS_AT_ONCE], j[k : k + COLUMNS_AT_ONCE]) for k in range(0, len(i), COLUMNS_AT_ONCE)]
    costs: Array = torch.cat([cost(x[some], y[others]).diagonal() for some, others in chunks]).numpy()
    return costs


def _least(given: Clouds, cost: Cost, f: Tensor, g: Tensor) -> Array:
    """Codes i m + j of the NEAR pairs of each x_i, and of each y_j among them, at which c - f - g is least."""
    n, m = len(given.x), len(given.y)
    k = min(NEAR, n, m)
    codes = []
    for one, other, theirs, swapped in ((given.x, given.y, g, False), (given.y, given.x, f, True)):
        for rows in blocks(len(one), len(other)):
            costs = cost(other, one[rows]).mT if swapped else cost(one[rows], other)
            near = (costs - theirs).topk(k, 1, largest=False, sorted=False).indices
            here = torch.arange(rows.start, rows.stop)[:, None]
            codes.append((near * m + here if swapped else here * m + near).flatten())
    return np.unique(torch.cat(codes).numpy())


def _violated(given: Clouds, cost: Cost, f: Tensor, g: Tensor, slack: float) -> tuple[Array, float]:
    """Codes of pairs at which c < f + g, MORE of the worst of a row if there are many, and by how much at most."""
    m, worst, codes = len(given.y), 0.0, []
    for rows in blocks(len(given.x), m):
        reduced = (cost(given.x[rows], given.y) - g).sub_(f[rows, None])
        least = reduced.min(1).values
        worst = max(worst, -float(least.min()))
        bad = (least < -slack).nonzero()[:, 0]
        values, near = reduced[bad].topk(min(MORE, m), 1, largest=False, sorted=False)
        codes.append((((bad + rows.start) * m)[:, None] + near)[values < -slack])
    return np.unique(torch.cat(codes).numpy()), worst


def _staircase(a: Array, b: Array) -> Array:
    """Codes of the pairs of the coupling in the order given, so that there is one."""
    ends, others = np.cumsum(a), np.cumsum(b)
    cuts = np.union1d(ends[:-1], others[:-1])
    middles = (np.concatenate([[0.0], cuts]) + np.concatenate([cuts, [1.0]])) / 2
    i, j = np.searchsorted(ends[:-1], middles), np.searchsorted(others[:-1], middles)
    codes: Array = i * len(b) + j
    return codes


def _balanced(given: Clouds) -> tuple[Array, Array]:
    """Weights whose sums agree to the last digit."""
    a, b = given.a.numpy(), given.b.numpy()
    return np.ascontiguousarray(a), np.ascontiguousarray(b * (a.sum() / b.sum()))


def _check_code(code: int) -> None:
    if code != 1:
        why = {0: "no coupling has these marginals", 2: "unbounded"}.get(code, "too many steps")
        raise NumericalFailure(f"the network simplex found no optimal plan: {why}")


@cache
def _pot() -> Any:
    """The compiled solvers of POT, without the tensor libraries that it would look for, some ten seconds' worth."""
    with _environment(**{f"POT_BACKEND_DISABLE_{name}": "1" for name in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY")}):
        from ot.lp import emd_wrap
    return emd_wrap


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
