"""The sliced Wasserstein-2 distance as a statistic: its influences, its permutation test and its floor."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge import rng
from monge.doors import two_clouds
from monge.evaluation.statistics.resampling import permutation_p_value
from monge.ot import DIRECTIONS, directions, sliced_wasserstein

Array = NDArray[Any]

DIRECTIONS_AT_ONCE = 16  # directions at a time


class SlicedTest(NamedTuple):
    """Squared sliced Wasserstein-2 at equal numbers of rows, with what its interval and its test need.

    squared: mean over blocks of min(n, m) rows of the larger cloud, each against the whole of the smaller one.
    influence_x, influence_y: first-order effect of each row used on `squared` (Kantorovich potentials), centred.
    null: `squared` after each random relabelling of the rows, [permutations].
    p_value: of x and y having one law.
    """

    squared: float
    influence_x: Float[Tensor, " n"]
    influence_y: Float[Tensor, " m"]
    null: Float[Tensor, " permutations"]
    p_value: float


def sliced_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    count: int = DIRECTIONS,
    permutations: int = 499,
    seed: int = 0,
    chunk: int = DIRECTIONS_AT_ONCE,
) -> SlicedTest:
    """Squared sliced Wasserstein-2 at equal numbers, with a permutation test on the projections.

    The finite-sample bias of the distance depends on both numbers of rows, so the larger cloud is cut into blocks
    of the smaller one's size and the mean over blocks taken. Time grows as count permutations N log N, memory as
    N chunk.

    >>> x, y = torch.randn(50, 2), torch.randn(120, 2) + 2
    >>> sliced_test(x, y, permutations=99).p_value
    0.01
    """
    x, y = two_clouds(x, y)
    small, large = (x, y) if len(x) <= len(y) else (y, x)
    size, pooled = len(small), torch.cat([small, large])
    used = len(large) // size * size
    generator = rng.generator(seed, "sliced", "permutations")
    deals = [torch.randperm(len(pooled), generator=generator).numpy() for _ in range(permutations)]

    squared = np.zeros(1 + permutations)
    potential_small, potential_large = np.zeros(size), np.zeros(used)
    for turn in torch.split(directions(x.shape[1], count, seed=seed).to(x.dtype), chunk, dim=1):
        projected = (pooled @ turn).T.numpy()
        own = projected[:, :size]
        for start in range(size, size + used, size):
            other = projected[:, start : start + size]
            potential_small += _potential(own, other) * (size / used / count)
            potential_large[start - size : start] += _potential(other, own) / count
        for b, deal in enumerate([np.arange(len(pooled)), *deals]):
            hands = np.sort(projected[:, deal[: size + used]].reshape(len(projected), -1, size))
            squared[b] += np.square(hands[:, 1:] - hands[:, :1]).mean((1, 2), dtype=np.float64).sum() / count
    influences = torch.from_numpy(potential_small), torch.from_numpy(potential_large)
    influence_x, influence_y = influences if small is x else influences[::-1]
    value, null = float(squared[0]), torch.from_numpy(squared[1:])
    return SlicedTest(value, influence_x, influence_y, null, permutation_p_value(value, null))


def sliced_floor(
    real: Float[Tensor, "n d"],
    size: int,
    *,
    splits: int = 20,
    count: int = DIRECTIONS,
    seed: int = 0,
) -> float:
    """Mean squared sliced Wasserstein-2 between two disjoint sets of `size` real rows, over seeded splits.

    With fewer than 2 size rows the sets are the two halves, of h rows, and the mean is carried from h to size rows by
    the power law through h and h / 2 rows: it falls as 1 / h for one cloud, as 1 / sqrt(h) between clusters.

    >>> real = torch.randn(400, 2)
    >>> 0.0 < sliced_floor(real, 200) < 0.1
    True
    """
    half = min(size, len(real) // 2)
    generator = rng.generator(seed, "sliced", "splits")
    whole = quarter = 0.0
    for _ in range(splits):
        pick = torch.randperm(len(real), generator=generator)[: 2 * half]
        first, second = real[pick[:half]], real[pick[half:]]
        whole += sliced_wasserstein(first, second, count=count, seed=seed) ** 2 / splits
        if half < size:
            for part in (slice(0, half // 2), slice(half // 2, half // 2 * 2)):
                quarter += sliced_wasserstein(first[part], second[part], count=count, seed=seed) ** 2 / (2 * splits)
    if half == size or not whole > 0:
        return whole
    power = min(1.0, max(0.0, math.log2(quarter / whole)))
    return float(whole * (half / size) ** power)


def _potential(x: Array, y: Array) -> Array:
    """Sum over directions (rows) of the Kantorovich potential of the squared distance at each value of x, centred.

    phi'(u) = 2 (u - T(u)) with T the increasing map from x to y, integrated between neighbouring values of x.
    """
    order = np.argsort(x, axis=1)
    sorted_x = np.take_along_axis(x, order, axis=1).astype(np.float64)
    gap = sorted_x - np.sort(y)
    phi = np.zeros_like(gap)
    np.cumsum((gap[:, 1:] + gap[:, :-1]) * np.diff(sorted_x), axis=1, out=phi[:, 1:])
    at_rows = np.empty_like(phi)
    np.put_along_axis(at_rows, order, phi - phi.mean(axis=1, keepdims=True), axis=1)
    total: Array = at_rows.sum(0)
    return total
