"""The distance between two clouds, with its interval, next to the distance of real data from themselves."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from monge import ot, progress, rng
from monge.errors import BadInput
from monge.evaluation.rows import by_weight, refuse_non_finite, to_array
from monge.evaluation.statistics.energy import energy_distance, energy_test
from monge.evaluation.statistics.resampling import Interval, Z, two_regime_interval
from monge.evaluation.statistics.sliced import sliced_test

SPLITS = 4  # ways to cut both clouds for the comparison at equal numbers
PERMUTATIONS = 199
NEEDED = 10  # rows of each cloud


class Influenced(NamedTuple):
    """A distance to its power, and the first-order effect of each row on it; null: permuted values, where there are."""

    powered: float
    influence_x: Tensor
    influence_y: Tensor
    null: Tensor | None = None


@runtime_checkable
class Metric(Protocol):
    """A distance D between clouds [n, d]; power: D^power is what is averaged, and has influences."""

    @property
    def name(self) -> str: ...
    @property
    def power(self) -> float: ...
    @property
    def rows(self) -> int:
        """Of each cloud, as many as it is fast for."""
        ...

    def powered(self, x: Tensor, y: Tensor) -> float: ...
    def influenced(self, x: Tensor, y: Tensor, seed: int) -> Influenced: ...


@dataclass(frozen=True)
class Wasserstein:
    """W_p, exact. Its influences are Kantorovich's potentials (del Barrio and Loubes 2019)."""

    power: float = 2.0
    rows: int = 3000

    @property
    def name(self) -> str:
        return f"W{self.power:g}"

    def powered(self, x: Tensor, y: Tensor) -> float:
        return math.pow(ot.wasserstein(x, y, self.power), self.power)

    def influenced(self, x: Tensor, y: Tensor, seed: int) -> Influenced:
        plan = ot.couple(x, y, cost=ot.distance_to_the(self.power))
        return Influenced(plan.value, plan.f, plan.g)


@dataclass(frozen=True)
class SinkhornDivergence:
    """Root of the Sinkhorn divergence of the squared distance; epsilon: .05 of the mean cost unless given."""

    epsilon: float | None = None
    rows: int = 5000
    power: float = 2.0
    name: str = "root of the Sinkhorn divergence"

    def powered(self, x: Tensor, y: Tensor) -> float:
        return float(ot.sinkhorn_divergence(x, y, epsilon=self.epsilon))

    def influenced(self, x: Tensor, y: Tensor, seed: int) -> Influenced:
        between = ot.sinkhorn(x, y, epsilon=self.epsilon)
        first, second = (ot.sinkhorn(each, each, epsilon=between.epsilon) for each in (x, y))
        value = between.value - (first.value + second.value) / 2
        return Influenced(float(value), between.f - first.f, between.g - second.f)


@dataclass(frozen=True)
class Sliced:
    """Sliced W2, over 64 directions."""

    rows: int = 50_000
    power: float = 2.0
    name: str = "sliced W2"

    def powered(self, x: Tensor, y: Tensor) -> float:
        return ot.sliced_wasserstein(x, y) ** 2

    def influenced(self, x: Tensor, y: Tensor, seed: int) -> Influenced:
        found = sliced_test(x, y, permutations=PERMUTATIONS, seed=seed)
        return Influenced(found.squared, found.influence_x, found.influence_y, found.null)


@dataclass(frozen=True)
class Energy:
    """Energy distance, unbiased: it can be slightly below zero."""

    rows: int = 10_000
    power: float = 1.0
    name: str = "energy distance"

    def powered(self, x: Tensor, y: Tensor) -> float:
        return energy_distance(x, y)

    def influenced(self, x: Tensor, y: Tensor, seed: int) -> Influenced:
        found = energy_test(x, y, permutations=PERMUTATIONS, seed=seed)
        return Influenced(found.value, found.influence_x, found.influence_y, found.null)


class Distance(NamedTuple):
    """value: between all rows used, with its 95% interval; rows: how many of each cloud.

    at_size, real: the same distance and that of real data from real data, both at `size` rows, means over splits.
    The interval is about what so many rows give on average, which for W_p in many dimensions lies above the distance of
    the laws: compare at_size with real.
    """

    metric: str
    value: float
    interval: Interval
    rows: tuple[int, int]
    at_size: float
    real: float
    size: int


def distance(
    x: Any, real: Any, metric: Metric | None = None, *, n: int | None = None, seed: int = 0, show: bool = False
) -> Distance:
    """How far samples x [n, *event] are from real ones [m, *event], in the data's units, and real ones from real ones.

    n: rows of each at most, unless given as many as the metric is fast for, drawn by the seed. metric: W2 unless given.

    Raises BadInput for values that are not finite numbers, events of two sizes, and fewer than 10 rows.

    >>> found = distance(torch.randn(400, 2) + 1, torch.randn(400, 2), Energy())
    >>> found.interval[0] < found.value < found.interval[1], found.at_size > 10 * abs(found.real), found.size
    (True, True, 200)
    """
    metric = metric or Wasserstein()
    most = metric.rows if n is None else n
    clouds = []
    for name, cloud in (("the first cloud", x), ("the second cloud", real)):
        rows = to_array(name, by_weight(cloud, seed))
        refuse_non_finite(name, rows)
        if min(len(rows), most) < NEEDED:
            raise BadInput(f"{name} has {min(len(rows), most)} rows, and a distance with its interval needs {NEEDED}")
        pick = torch.randperm(len(rows), generator=rng.generator(seed, "distance", name))[:most].sort().values
        clouds.append(torch.from_numpy(np.asarray(rows[pick.numpy()], dtype=np.float64)).flatten(1))
    first, second = clouds
    if first.shape[1] != second.shape[1]:
        raise BadInput(f"the clouds must have one size of events: {first.shape[1]} and {second.shape[1]} values")
    size = min(len(first), len(second) // 2)
    between = own = 0.0
    with progress.bar("distance", 1 + 2 * SPLITS, show=show) as advance:
        found = metric.influenced(first, second, seed)
        advance(1)
        for split in range(SPLITS):
            turned = second[torch.randperm(len(second), generator=rng.generator(seed, "distance", "split", split))]
            some = first[torch.randperm(len(first), generator=rng.generator(seed, "distance", "some", split))[:size]]
            between += metric.powered(some, turned[:size]) / SPLITS
            advance(1)
            own += metric.powered(turned[:size], turned[size : 2 * size]) / SPLITS
            advance(1)
    low, high = interval_of(found, seed)
    value, low, high, between, own = (_root(each, metric.power) for each in (found.powered, low, high, between, own))
    return Distance(metric.name, value, (low, high), (len(first), len(second)), between, own, size)


def interval_of(found: Influenced, seed: int = 0) -> Interval:
    """Of a distance to its power, 95%, about its mean over samples of these sizes."""
    influences = found.influence_x, found.influence_y
    if found.null is not None:
        return two_regime_interval(found.powered, influences, found.null, seed, "distance")
    error = math.sqrt(sum(float(each.double().var()) / len(each) for each in influences))
    return found.powered - Z * error, found.powered + Z * error


def _root(powered: float, power: float) -> float:
    return powered if power == 1 else math.pow(max(0.0, powered), 1 / power)
