"""Sliced Wasserstein-2: the distance between two clouds seen from many directions, one quantile at a time."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge import rng
from monge.evaluation.resampling import permutation_p_value

DIRECTIONS = 128
CHUNK = 16  # directions at a time


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


def directions(d: int, count: int = DIRECTIONS, *, seed: int = 0) -> Float[Tensor, "d count"]:
    """Unit vectors uniform on the sphere of R^d, as columns; the first ones do not change with `count`.

    >>> torch.allclose(directions(3, 5).norm(dim=0), torch.ones(5))
    True
    """
    return torch.nn.functional.normalize(rng.normal((count, d), seed, "sliced", "directions"), dim=1).T


def sliced_wasserstein(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    count: int = DIRECTIONS,
    seed: int = 0,
    chunk: int = CHUNK,
) -> float:
    """Root of the mean over directions u of W2^2(u.x, u.y), exact in each direction (Bonneel et al. 2015).

    W2^2 = integral over q in (0, 1) of (F_x^-1(q) - F_y^-1(q))^2, the two quantile functions being steps; for
    n different from m the steps of both are merged. The unit directions are those of `seed`.

    >>> x = torch.randn(100, 3)
    >>> sliced_wasserstein(x, x), round(sliced_wasserstein(x, 2 * x) / sliced_wasserstein(x, 3 * x), 6)
    (0.0, 0.5)
    """
    n, m = len(x), len(y)
    place_x, place_y, width = _merged_steps(n, m)
    turn, total = directions(x.shape[1], count, seed=seed).to(x.dtype), 0.0
    for block in torch.split(turn, chunk, dim=1):
        sorted_x = (x @ block).T.double().sort(dim=1).values
        sorted_y = (y @ block).T.double().sort(dim=1).values
        gap = sorted_x[:, place_x] - sorted_y[:, place_y]
        total += float((gap.square() @ width).sum())
    return math.sqrt(total / count)


def sliced_test(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    count: int = DIRECTIONS,
    permutations: int = 499,
    seed: int = 0,
    chunk: int = CHUNK,
) -> SlicedTest:
    """Squared sliced Wasserstein-2 at equal numbers, with a permutation test that sorts each direction once.

    The finite-sample bias of the distance depends on both numbers of rows, so the larger cloud is cut into blocks
    of the smaller one's size and the mean over blocks taken. A relabelling only deals the already sorted
    projections out to other hands. Time grows as count (N log N + permutations N), memory as N (permutations
    + chunk).

    >>> x, y = torch.randn(50, 2), torch.randn(120, 2) + 2
    >>> sliced_test(x, y, permutations=99).p_value
    0.01
    """
    n, m = len(x), len(y)
    size, larger = min(n, m), max(n, m)
    used = larger // size * size
    small, large = (x, y) if n <= m else (y, x)
    pooled = torch.cat([small, large])
    hands = _hands(size, used // size, len(pooled), permutations, seed)
    turn = directions(x.shape[1], count, seed=seed).to(x.dtype)

    squared = torch.zeros(1 + permutations, dtype=torch.float64)
    influence_small = torch.zeros(size, dtype=torch.float64)
    influence_large = torch.zeros(used, dtype=torch.float64)
    for block in torch.split(turn, chunk, dim=1):
        projected = (pooled @ block).T.double()
        base = projected[:, :size].sort(dim=1)
        for start in range(0, used, size):
            other = projected[:, size + start : 2 * size + start].sort(dim=1)
            influence_small += _potentials(base, other).sum(0) * (size / used)
            influence_large[start : start + size] += _potentials(other, base).sum(0)
        ordered = projected.sort(dim=1)
        for b, hand in enumerate(hands):
            squared[b] += _dealt(ordered.values, hand[ordered.indices], size, used // size)
    squared /= count
    influence_small, influence_large = influence_small / count, influence_large / count
    influence_x, influence_y = (influence_small, influence_large) if n <= m else (influence_large, influence_small)
    value, null = float(squared[0]), squared[1:]
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

    With fewer than 2 size rows the sets are the two halves, of h rows, and the mean is multiplied by h / size: two
    samples of one law differ by an amount of order 1 / h.

    >>> real = torch.randn(400, 2)
    >>> 0.0 < sliced_floor(real, 200) < 0.1
    True
    """
    half = min(size, len(real) // 2)
    generator = rng.generator(seed, "sliced", "splits")
    total = 0.0
    for _ in range(splits):
        pick = torch.randperm(len(real), generator=generator)[: 2 * half]
        total += sliced_wasserstein(real[pick[:half]], real[pick[half:]], count=count, seed=seed) ** 2
    return total / splits * half / size


def _merged_steps(n: int, m: int) -> tuple[Int[Tensor, " s"], Int[Tensor, " s"], Float[Tensor, " s"]]:
    """Index into n sorted values, into m sorted values, and width, of each common step of two quantile functions."""
    unit = n * m // math.gcd(n, m)
    ends = torch.cat([torch.arange(1, n + 1) * (unit // n), torch.arange(1, m + 1) * (unit // m)]).unique()
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), ends[:-1]])
    return starts // (unit // n), starts // (unit // m), (ends - starts).double() / unit


def _potentials(x: "torch.return_types.sort", y: "torch.return_types.sort") -> Float[Tensor, "l size"]:
    """Kantorovich potential of the squared distance at each value of x, in the order before sorting, centred.

    phi'(u) = 2 (u - T(u)) with T the increasing map from x to y, integrated between neighbouring values.
    """
    step = x.values.diff(dim=1)
    middle_x = (x.values[:, 1:] + x.values[:, :-1]) / 2
    middle_y = (y.values[:, 1:] + y.values[:, :-1]) / 2
    phi = torch.nn.functional.pad((2.0 * (middle_x - middle_y) * step).cumsum(dim=1), (1, 0))
    return torch.empty_like(phi).scatter_(1, x.indices, phi - phi.mean(dim=1, keepdim=True))


def _hands(size: int, blocks: int, total: int, permutations: int, seed: int) -> Int[Tensor, "hands total"]:
    """Who gets each pooled row: 0 the smaller cloud, 1..blocks the blocks of the larger one, -1 nobody."""
    deal = torch.full((total,), -1, dtype=torch.int16)
    deal[: (1 + blocks) * size] = torch.arange(1 + blocks, dtype=torch.int16).repeat_interleave(size)
    generator = rng.generator(seed, "sliced", "permutations")
    return torch.stack([deal, *(deal[torch.randperm(total, generator=generator)] for _ in range(permutations))])


def _dealt(
    ordered: Float[Tensor, "l total"], hand: Int[Tensor, "l total"], size: int, blocks: int
) -> Float[Tensor, ""]:
    """Sum over directions of the mean over blocks of W2^2 between hand 0 and that block, all presorted."""
    small = ordered[hand == 0].reshape(-1, size)
    gaps = [(small - ordered[hand == b].reshape(-1, size)).square().sum() for b in range(1, 1 + blocks)]
    return torch.stack(gaps).sum() / (size * blocks)
