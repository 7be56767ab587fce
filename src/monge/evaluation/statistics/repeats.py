"""Rows that are equal up to rounding: which, and whether one side repeats itself more than the other."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge.linalg.pairwise import ROWS_AT_ONCE, fill_own_pairs, squared_distances

Numbers = NDArray[Any]


def same(rows: Float[Tensor, "n d"], within: float) -> NDArray[np.int64]:
    """The class of each row, [n]: rows nearer than `within` to each other are in one, and what is joined by such steps.

    >>> same(torch.tensor([[0.0], [5.0], [0.0], [5.001]]), 0.01).tolist()
    [0, 1, 0, 1]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    unique, index = np.unique(rows.numpy(), axis=0, return_inverse=True)
    points, edges = torch.from_numpy(unique), [torch.zeros(0, 2, dtype=torch.int64)]
    for a in range(0, len(points), ROWS_AT_ONCE):
        for b in range(a, len(points), ROWS_AT_ONCE):
            near = squared_distances(points[a : a + ROWS_AT_ONCE], points[b : b + ROWS_AT_ONCE]) <= within**2
            fill_own_pairs(near, a, b, False)
            if near.any():
                edges.append(near.nonzero() + torch.tensor([a, b]))
    first, second = torch.cat(edges).T.numpy()
    graph = coo_matrix((np.ones(len(first), dtype=bool), (first, second)), shape=2 * [len(points)])
    kind = connected_components(graph, directed=False)[1][index.reshape(-1)]
    _, place, found = np.unique(kind, return_index=True, return_inverse=True)
    ranks = np.argsort(np.argsort(place))  # in the order in which they occur
    classes: NDArray[np.int64] = ranks[found].astype(np.int64)
    return classes


def more_repeats(mine: Numbers, real: Numbers) -> float:
    """Exact p-value that the sum over classes of d = f(a) - f(b), f(a) = max(a - 1, 0), is so large by chance, when
    the sign of each d is turned at random; a, b: rows of each class on either side, of equal numbers.

    >>> more_repeats(np.array([2, 2, 3]), np.array([0, 1, 0]))
    0.125
    """
    gap = np.maximum(mine - 1, 0) - np.maximum(real - 1, 0)
    sizes, counts = np.unique(np.abs(gap[gap != 0]).astype(int), return_counts=True)
    law = np.ones(1)  # of the sum of |d| of those with a sign +, by its value
    for size, count in zip(sizes, counts, strict=True):
        binomial = np.exp(_log_choose(int(count)) - count * math.log(2))
        spread = np.zeros(count * size + 1)
        spread[::size] = binomial
        law = np.convolve(law, spread)
    plus = int(gap[gap > 0].sum())
    return float(min(1.0, law[plus:].sum()))


def _log_choose(n: int) -> Numbers:
    from scipy.special import gammaln

    k = np.arange(n + 1)
    found: Numbers = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found
