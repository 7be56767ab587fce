"""Energy distance between two clouds, its permutation test and its influences, in one pass over the pairs."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monge import rng
from monge.doors import two_clouds
from monge.evaluation.statistics.resampling import permutation_p_value
from monge.linalg.pairwise import ROWS_AT_ONCE, squared_distances


class EnergyTest(NamedTuple):
    """Energy distance with what its interval and its test need.

    value: unbiased estimate, which can be slightly negative.
    within_x, within_y: mean distance between two different rows of x, of y.
    rows_x, rows_y: mean distance of each row to the other rows of its own cloud, [n] and [m].
    influence_x, influence_y: first-order effect of each row on the value (Hajek's projection), centred.
    null: the value after each random relabelling of the rows, [permutations].
    p_value: of x and y having one law, (1 + #{null >= value}) / (1 + permutations).
    """

    value: float
    within_x: float
    within_y: float
    rows_x: Float[Tensor, " n"]
    rows_y: Float[Tensor, " m"]
    influence_x: Float[Tensor, " n"]
    influence_y: Float[Tensor, " m"]
    null: Float[Tensor, " permutations"]
    p_value: float


def energy_distance(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, biased: bool = False, chunk: int = ROWS_AT_ONCE
) -> float:
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013), zero only for equal laws.

    The means run over pairs of *different* rows, which makes the estimate unbiased; with `biased` a row is
    also paired with itself (the V-statistic, never negative), which adds E|X - X'| / n + E|Y - Y'| / m.
    Distances in float64, blocks of `chunk` x `chunk`: the result does not depend on `chunk` beyond rounding.

    >>> energy_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]), biased=True)
    0.0
    >>> energy_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[10.0], [12.0]]))
    18.0
    """
    test = energy_test(x, y, permutations=0, chunk=chunk)
    return test.value + (test.within_x / len(x) + test.within_y / len(y) if biased else 0.0)


def energy_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    permutations: int = 999,
    seed: int = 0,
    chunk: int = ROWS_AT_ONCE,
) -> EnergyTest:
    """Unbiased energy distance with a permutation test, each distance computed once and never kept.

    For a relabelling a in {0, 1}^N of the N = n + m pooled rows, with D their distances, the three means of the
    permuted value follow from a' D a and the row sums of D; a block of D meets all relabellings in one
    product. Time grows as N^2 (d + permutations) / 2, memory as N permutations bytes + chunk^2.

    >>> x, y = torch.randn(50, 2), torch.randn(40, 2) + 2
    >>> energy_test(x, y, permutations=99).p_value
    0.01
    """
    x, y = two_clouds(x, y, least=2)
    n, m = len(x), len(y)
    total = n + m
    relabelled = _relabellings(n, total, permutations, seed)
    is_x = torch.zeros(total, 2, dtype=torch.float64)
    is_x[:n, 0] = is_x[n:, 1] = 1.0
    centre = y.mean(0, dtype=torch.float64)
    pieces = [piece for cloud in (x, y) for piece in torch.split(cloud, chunk)]
    stops = torch.tensor([len(piece) for piece in pieces]).cumsum(0).tolist()

    sums = torch.zeros(total, 2, dtype=torch.float64)  # of each row's distances to the rows of x, of y
    inside = torch.zeros(permutations, dtype=torch.float64)  # a' D a
    for i, left in enumerate(pieces):
        rows = slice(stops[i] - len(left), stops[i])
        left = left.double() - centre
        weight_left = relabelled[rows].double()
        for j in range(i, len(pieces)):
            columns = slice(stops[j] - len(pieces[j]), stops[j])
            distance = squared_distances(left, pieces[j].double() - centre).sqrt_()
            if i == j:
                distance.fill_diagonal_(0.0)
            else:
                sums[columns] += distance.T @ is_x[rows]
            sums[rows] += distance @ is_x[columns]
            if permutations:
                quadratic = ((distance @ relabelled[columns].double()) * weight_left).sum(0)
                inside += quadratic if i == j else 2.0 * quadratic

    to_x, to_y = sums[:, 0], sums[:, 1]
    rows_x, rows_y = to_x[:n] / (n - 1), to_y[n:] / (m - 1)
    within_x, within_y, between = rows_x.mean(), rows_y.mean(), to_y[:n].mean() / m
    influence_x = 2.0 * (to_y[:n] / m - between) - 2.0 * (rows_x - within_x)
    influence_y = 2.0 * (to_x[n:] / n - between) - 2.0 * (rows_y - within_y)
    value = float(2.0 * between - within_x - within_y)

    row_sums = sums.sum(1)
    across = -inside
    for stop, piece in zip(stops, pieces, strict=True):
        rows = slice(stop - len(piece), stop)
        across += row_sums[rows] @ relabelled[rows].double()
    outside = row_sums.sum() - 2.0 * across - inside
    null = 2.0 * across / (n * m) - inside / (n * (n - 1)) - outside / (m * (m - 1))
    return EnergyTest(
        value,
        float(within_x),
        float(within_y),
        rows_x,
        rows_y,
        influence_x,
        influence_y,
        null,
        permutation_p_value(value, null),
    )


def _relabellings(n: int, total: int, permutations: int, seed: int) -> Bool[Tensor, "total permutations"]:
    """Column b marks the n rows that play x in relabelling b."""
    marks = torch.zeros(permutations, total, dtype=torch.bool)
    generator = rng.generator(seed, "energy", "permutations")
    for row in marks:
        row[torch.randperm(total, generator=generator)[:n]] = True
    return marks.T.contiguous()
