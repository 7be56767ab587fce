"""Mode weights: how much of the generated mass falls in each region of real data."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge import rng
from monge.evaluation.statistics.pairwise import nearest
from monge.evaluation.statistics.resampling import numpy_generator, permutation_p_value

LLOYD_STEPS = 10
LLOYD_ROWS = 5000
ROWS_PER_CELL = 40
LEAST_CELLS, MOST_CELLS = 5, 40


class CellsTest(NamedTuple):
    """Triangular discrimination of two histograms over cells, with what its interval and its test need.

    value: from the counts as they are; floor: its mean over relabellings, since the counts are finite.
    counts_x, counts_y: rows in each cell. influence_x, influence_y: first-order effect of each row on the value.
    null: the value after each relabelling. p_value: of x and y having one law.
    """

    value: float
    floor: float
    counts_x: Int[Tensor, " cells"]
    counts_y: Int[Tensor, " cells"]
    influence_x: Float[Tensor, " n"]
    influence_y: Float[Tensor, " m"]
    null: Float[Tensor, " permutations"]
    p_value: float


def cell_centres(real: Float[Tensor, "n d"], count: int, *, seed: int = 0) -> Float[Tensor, "count d"]:
    """Centres of `count` cells of real data: ten steps of Lloyd's k-means from seeded rows, on at most 5,000 rows.

    >>> real = torch.cat([torch.zeros(50, 1), torch.ones(50, 1)])
    >>> cell_centres(real, 1).item()
    0.5
    """
    order = torch.randperm(len(real), generator=rng.generator(seed, "cells"))
    real = real[order[:LLOYD_ROWS]].double()
    centres = real[:count].clone()
    for _ in range(LLOYD_STEPS):
        cell = nearest(real, centres).indices[:, 0]
        members = torch.bincount(cell, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, cell, real)
        centres = torch.where(members[:, None] > 0, sums / members.clamp(min=1)[:, None], centres)
    return centres


def cells_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    centres: Float[Tensor, "cells d"],
    *,
    permutations: int = 499,
    seed: int = 0,
) -> CellsTest:
    """Compare two clouds through the shares p_c, q_c of their rows that are nearest to each centre.

    Value: 1/2 sum over c of (p_c - q_c)^2 / (p_c + q_c), between 0 (equal) and 1 (disjoint); a mode of weight w that
    is missing from x adds about w / 2 (triangular discrimination; Richardson & Weiss 2018 compare such counts bin by
    bin). Relabelled counts are drawn from their exact law, the multivariate hypergeometric.

    >>> y = torch.tensor([[0.0], [1.0]]).repeat(200, 1)
    >>> cells_test(torch.zeros(300, 1), y, torch.tensor([[0.0], [1.0]])).p_value
    0.002
    """
    n, m = len(x), len(y)
    cell_x, cell_y = nearest(x, centres).indices[:, 0], nearest(y, centres).indices[:, 0]
    counts_x = torch.bincount(cell_x, minlength=len(centres))
    counts_y = torch.bincount(cell_y, minlength=len(centres))
    pooled = counts_x + counts_y
    drawn = numpy_generator(seed, "cells", "permutations").multivariate_hypergeometric(
        pooled.numpy(), n, size=permutations, method="marginals"
    )
    dealt = torch.from_numpy(np.asarray(drawn))
    null = _discrimination(dealt.double() / n, (pooled - dealt).double() / m)
    p, q = counts_x.double() / n, counts_y.double() / m
    value = float(_discrimination(p, q))
    gap = (p - q) / (p + q).clamp(min=1e-300)
    influence_p, influence_q = gap - gap.square() / 2, -gap - gap.square() / 2
    p_value = permutation_p_value(value, null)
    return CellsTest(
        value, float(null.mean()), counts_x, counts_y, influence_p[cell_x], influence_q[cell_y], null, p_value
    )


def _discrimination(p: Float[Tensor, "*b cells"], q: Float[Tensor, "*b cells"]) -> Float[Tensor, "*b"]:
    return ((p - q).square() / (p + q).clamp(min=1e-300)).sum(-1) / 2
