"""Exact couplings of two clouds: Kantorovich's problem, its dual, and Monge's map where there is one.

Kantorovich (course (58)): over the couplings P >= 0 with P 1 = a and P' 1 = b,

    min_P sum_ij P_ij c(x_i, y_j) = max_{f + g <= c} <a, f> + <b, g>      (62).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge.errors import BadInput, NumericalFailure
from monge.ot.clouds import Clouds, Cost, c_transform, checked_cost, clouds, squared_euclidean
from monge.ot.simplex import BYTES_A_PAIR, OURS, PAIRS_A_POINT, each_cost, generated, increasing, scale_of, whole

GAP = 1e-8  # largest gap, as a share of the value
MOST_PAIRS = 10**10


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
    x, y = given.x, given.y
    _check_size(len(x), len(y), isinstance(cost, Tensor))
    wide = Clouds(*(each.double().cpu() for each in given))
    wide = wide._replace(a=wide.a / wide.a.sum(), b=wide.b / wide.b.sum())  # float32 sums to one within 1e-7 only
    (i,), (j,) = (np.nonzero(each.numpy()) for each in wide[2:])
    kept = Clouds(*(each[torch.from_numpy(rows)] for each, rows in zip(wide, (i, j, i, j), strict=True)))
    if isinstance(cost, Tensor):
        if cost.shape != (len(x), len(y)):
            raise BadInput(f"the matrix of costs must be {[len(x), len(y)]}, not {list(cost.shape)}")
        matrix = cost.detach().double().cpu()
        own: Cost = lambda _, __: matrix  # noqa: E731
        checked_cost(own, wide.x, wide.y)
        found = whole(kept, matrix[i][:, j], float(matrix.abs().max()) or 1.0)
        g = (matrix[i] - found.f[:, None]).min(0).values
        f = (matrix - g).min(1).values
    else:
        for some in ((wide.x[:1], wide.y), (wide.x, wide.y[:1])):
            checked_cost(cost, *some)
        rises = x.shape[1] == 1 and cost in OURS
        found = increasing(kept, cost) if rises else generated(kept, cost, scale_of(kept, cost), show=show)
        g = c_transform(wide.y, kept.x, found.f, lambda y, x: cost(x, y).mT)[0]
        f = c_transform(wide.x, wide.y, g, cost)[0]
    value = paid = float(found.mass @ found.costs)
    gap = value - float(wide.a @ f) - float(wide.b @ g)
    scale = float(found.costs.max().abs()) if len(found.costs) else 0.0
    if not abs(gap) <= GAP * max(abs(value), 1e-4 * scale):
        raise NumericalFailure(f"the plan did not converge: its duality gap is {gap:.3g} at a value of {value:.3g}")
    if not isinstance(cost, Tensor) and cost in OURS:  # pair by pair, where a matrix of squares would lose digits
        pairs = found.rows * len(kept.y) + found.columns
        paid = float(found.mass @ torch.from_numpy(each_cost(cost, kept.x, kept.y, pairs)))
    rows, columns = (torch.from_numpy(own[each]).to(x.device) for own, each in ((i, found.rows), (j, found.columns)))
    return Coupling(*given, rows, columns, found.mass.to(x), f.to(x), g.to(x), paid, gap)


def _check_size(n: int, m: int, matrix: bool) -> None:
    if n * m > MOST_PAIRS:
        gigabytes = (n * m * 24 if matrix else (n + m) * PAIRS_A_POINT * BYTES_A_PAIR) / 1e9
        raise BadInput(
            f"an exact coupling of {n:,} and {m:,} points would look at {n * m:.1e} pairs in each of some ten passes "
            f"and hold {gigabytes:.0f} GB: use sinkhorn, sliced_wasserstein, or at most "
            f"{int(MOST_PAIRS**0.5):,} points each"
        )
