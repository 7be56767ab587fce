"""Exact couplings of two clouds: Kantorovich's problem, its dual, and Monge's map where there is one.

Kantorovich (course (58)): over the couplings P >= 0 with P 1 = a and P' 1 = b,

    min_P sum_ij P_ij c(x_i, y_j) = max_{f + g <= c} <a, f> + <b, g>      (62).

The network simplex of POT (Bonneel et al. 2011) solves it on a few pairs a point, those of least c - f - g; pairs at
which the potentials it returns are not feasible are added, until there is none (column generation). So the matrix of
costs is never held, and the plan is exact: the duality gap says how well.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from monge import progress
from monge.errors import BadInput, NumericalFailure
from monge.ot.clouds import Clouds, Cost, blocks, c_transform, checked_cost, clouds, euclidean, squared_euclidean

Array = NDArray[Any]

SMALL = 2**18  # pairs that are solved whole
COARSER = 5  # of what is larger, potentials come from a subset so many times smaller
NEAR = 10  # pairs of a point to begin with
MORE = 16  # pairs of a point that are added at a time, at most
EXACT = 1e-12  # of the largest cost: what is above -that is feasible
GAP = 1e-8  # largest gap, as a share of the value or of EXACT's slack
MOST_PAIRS = 10**10
SIMPLEX_STEPS = 10**9
CHUNK = 64
OURS = squared_euclidean, euclidean  # convex on the line, and good for batches
BYTES_A_PAIR, PAIRS_A_POINT = 100, 80  # of the simplex's network


@dataclass(frozen=True)
class Coupling:
    """An optimal plan: mass[k] goes from x[rows[k]] to y[columns[k]].

    value: sum of mass times cost. f, g: Kantorovich's potentials, [n] and [m], f + g <= c, of points without mass too.
    gap: value - <a, f> - <b, g>, zero but for rounding: what any better plan could still save.

    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [1.5]])
    >>> P = couple(x, y); P.value, P.monge_map().tolist()
    (3.125, [1, 0])
    """

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    a: Float[Tensor, " n"]
    b: Float[Tensor, " m"]
    rows: Int[Tensor, " k"]
    columns: Int[Tensor, " k"]
    mass: Float[Tensor, " k"]
    f: Float[Tensor, " n"]
    g: Float[Tensor, " m"]
    value: float
    gap: float

    def plan(self) -> Float[Tensor, "n m"]:
        """P, dense."""
        return self.mass.new_zeros(len(self.x), len(self.y)).index_put((self.rows, self.columns), self.mass)

    @property
    def split(self) -> Int[Tensor, " s"]:
        """Points of x whose mass goes to more than one point of y: Monge's problem forbids that (57)."""
        return (torch.bincount(self.rows, minlength=len(self.x)) > 1).nonzero()[:, 0]

    def monge_map(self) -> Int[Tensor, " n"]:
        """Where each point of x goes: its index in y (-1 for points without mass).

        Raises NumericalFailure where this plan splits mass, so that it is no map; between clouds of as many points of
        equal mass there always is one.
        """
        if len(self.split):
            some = ", ".join(str(int(i)) for i in self.split[:5]) + (", ..." if len(self.split) > 5 else "")
            raise NumericalFailure(
                f"no map: the mass of {len(self.split)} of {len(self.x)} points of x splits (points {some}): "
                "use .barycentric(), or clouds of as many points of equal mass"
            )
        return self.rows.new_full((len(self.x),), -1).index_put((self.rows,), self.columns)

    def barycentric(self) -> Float[Tensor, "n d"]:
        """Barycentric projection, sum_j P_ij y_j / a_i: Monge's map where there is one; NaN for points without mass."""
        moved = torch.zeros_like(self.x).index_add(0, self.rows, self.mass[:, None] * self.y[self.columns])
        return moved / torch.zeros_like(self.a).index_add(0, self.rows, self.mass)[:, None]

    def displaced(self, t: float) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
        """The cloud at time t of McCann's displacement from x to y: points (1 - t) x + t y, and their masses."""
        return torch.lerp(self.x[self.rows], self.y[self.columns], t), self.mass

    def project(self, points: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        """The barycentric projection out of sample: each point moves as the nearest of x that has mass does."""
        moves = (self.barycentric() - self.x)[self.rows]
        nearest = c_transform(points, self.x[self.rows], points.new_zeros(len(self.rows)))[1]
        return points + moves[nearest]


def couple(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    cost: Cost | Tensor = squared_euclidean,
    show: bool = False,
) -> Coupling:
    """An optimal coupling of two weighted clouds, x [n, d] and y [m, d], with its potentials and its duality gap.

    a, b: weights, [n] and [m], uniform unless given. cost: `squared_euclidean`, `euclidean`, any function
    (x, y) -> [n, m], or the matrix itself. In float64 on the CPU; the answer has x's dtype and device. Memory grows as
    n + m, time as n m for each of some ten passes (a matrix of costs is solved whole).

    Raises BadInput for clouds or weights that cannot be coupled, costs that are not finite, and problems of more than
    10^10 pairs; NumericalFailure, naming the gap, if the plan is not optimal.

    >>> x, y = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [3.0], [3.0]])
    >>> round(couple(x, y, cost=lambda x, y: (x - y.T).abs()).value, 6)
    2.333333
    """
    given = Clouds(*(each.detach() for each in clouds(x, y, a, b)))
    _check_size(len(x), len(y), isinstance(cost, Tensor))
    wide = Clouds(*(each.double().cpu() for each in given))
    (i,), (j,) = (np.nonzero(each.numpy()) for each in wide[2:])
    whole = Clouds(*(each[torch.from_numpy(kept)] for each, kept in zip(wide, (i, j, i, j), strict=True)))
    if isinstance(cost, Tensor):
        if cost.shape != (len(x), len(y)):
            raise BadInput(f"the matrix of costs must be {[len(x), len(y)]}, not {list(cost.shape)}")
        matrix = cost.detach().double().cpu()
        own: Cost = lambda _, __: matrix  # noqa: E731
        checked_cost(own, wide.x, wide.y)
        found = _whole(whole, matrix[i][:, j])
        g = (matrix[i] - found.f[:, None]).min(0).values
        f = (matrix - g).min(1).values
    else:
        for some in ((wide.x[:1], wide.y), (wide.x, wide.y[:1])):
            checked_cost(cost, *some)
        rises = x.shape[1] == 1 and cost in OURS
        found = _increasing(whole, cost) if rises else _generated(whole, cost, show)
        g = c_transform(wide.y, whole.x, found.f, lambda y, x: cost(x, y).mT)[0]
        f = c_transform(wide.x, wide.y, g, cost)[0]
    value = float(found.mass @ found.costs)
    gap = value - float(wide.a @ f) - float(wide.b @ g)
    scale = float(found.costs.max().abs()) if len(found.costs) else 0.0
    if not abs(gap) <= GAP * max(abs(value), 1e-4 * scale):
        raise NumericalFailure(f"the plan did not converge: its duality gap is {gap:.3g} at a value of {value:.3g}")
    rows, columns = (torch.from_numpy(kept[each]).to(x.device) for kept, each in ((i, found.rows), (j, found.columns)))
    return Coupling(*given, rows, columns, found.mass.to(x), f.to(x), g.to(x), value, gap)


@dataclass
class _Found:
    rows: Array
    columns: Array
    mass: Tensor
    costs: Tensor
    f: Tensor
    g: Tensor


def _check_size(n: int, m: int, matrix: bool) -> None:
    if n * m > MOST_PAIRS:
        gigabytes = (n * m * 24 if matrix else (n + m) * PAIRS_A_POINT * BYTES_A_PAIR) / 1e9
        raise BadInput(
            f"an exact coupling of {n:,} and {m:,} points would look at {n * m:.1e} pairs in each of some ten passes "
            f"and hold {gigabytes:.0f} GB: use sinkhorn, sliced_wasserstein, or at most "
            f"{int(MOST_PAIRS**0.5):,} points each"
        )


def _whole(given: Clouds, costs: Tensor) -> _Found:
    """By the simplex on all pairs."""
    plan, _, f, g, code = _pot().emd_c(*_balanced(given), np.ascontiguousarray(costs.numpy()), SIMPLEX_STEPS, 1)
    _check_code(code)
    rows, columns = np.nonzero(plan)
    f, g = torch.from_numpy(f), torch.from_numpy(g)
    return _Found(rows, columns, torch.from_numpy(plan[rows, columns]), costs[rows, columns], f, g)


def _increasing(given: Clouds, cost: Cost) -> _Found:
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
    costs = _each_cost(cost, given.x, given.y, rows * len(b) + columns)
    rise = np.diff(costs)
    f, g = np.empty_like(a), np.empty_like(b)
    f[first] = np.concatenate([[0.0], np.cumsum(np.where(down, rise, 0.0))[down]])
    g[second] = costs[0] + np.concatenate([[0.0], np.cumsum(np.where(down, 0.0, rise))[~down]])
    kept = mass > np.finfo(float).eps / len(cuts)
    found = [torch.from_numpy(each) for each in (mass[kept], costs[kept], f, g)]
    return _Found(rows[kept], columns[kept], *found)


def _generated(given: Clouds, cost: Cost, show: bool) -> _Found:
    """By the simplex on the pairs that matter."""
    x, y = given.x, given.y
    n, m = len(x), len(y)
    if n * m <= SMALL:
        return _whole(given, checked_cost(cost, x, y))
    potentials = _coarse(given, cost)
    a, b = _balanced(given)
    pairs = np.union1d(_least(given, cost, *potentials), _staircase(a, b))
    f, g = (each.numpy() for each in potentials)
    costs = _each_cost(cost, x, y, pairs)
    with progress.bar("coupling", 1.0, show=show) as advance:
        while True:
            s, t, mass, _, f, g, code = _pot().emd_c_sparse(
                a, b, (pairs // m).astype(np.uint64), (pairs % m).astype(np.uint64), costs, SIMPLEX_STEPS, f, g
            )
            _check_code(code)
            more, worst = _violated(given, cost, torch.from_numpy(f), torch.from_numpy(g), EXACT * np.abs(costs).max())
            advance(0.1, infeasible=worst)
            more = np.setdiff1d(more, pairs, assume_unique=True)
            if not len(more):
                break
            order = np.argsort(pairs := np.concatenate([pairs, more]))
            pairs, costs = pairs[order], np.concatenate([costs, _each_cost(cost, x, y, more)])[order]
    used = s.astype(np.int64) * m + t.astype(np.int64)
    found = torch.from_numpy(costs[np.searchsorted(pairs, used)])
    return _Found(used // m, used % m, torch.from_numpy(mass), found, torch.from_numpy(f), torch.from_numpy(g))


def _coarse(given: Clouds, cost: Cost) -> tuple[Tensor, Tensor]:
    """Potentials of a subset, carried over to all by their c-transforms."""
    x, y, a, b = (each[::COARSER] for each in given)
    part = _generated(Clouds(x, y, a / a.sum(), b / b.sum()), cost, show=False)
    return c_transform(given.x, y, part.g, cost)[0], c_transform(given.y, x, part.f, lambda y, x: cost(x, y).mT)[0]


def _each_cost(cost: Cost, x: Tensor, y: Tensor, pairs: Array) -> Array:
    """Costs of pairs: in batches of clouds of one point, or for a cost that may know no batches from diagonals."""
    i, j = pairs // len(y), pairs % len(y)
    if cost in OURS:
        return cost(x[i][:, None], y[j][:, None])[:, 0, 0].numpy()
    chunks = [(i[k : k + CHUNK], j[k : k + CHUNK]) for k in range(0, len(i), CHUNK)]
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
