"""Mass that is missing from real rows: from regions of several families, and from labels."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.evaluation.pool import Pool
from monge.evaluation.statistics.cells import cell_centres
from monge.linalg.pairwise import squared_distances

REPLICATES = 40
LEAST = 12  # rows of a region
CELLS = 20  # of which one, or the heart of one, is the cluster that is missing
AXES, RANDOM_AXES = (
    4,
    3,
)  # leading directions along which a half-space or a slab is missing; random ones that hold a ball


def weights(pool: Pool, name: str, share: float, near: Sequence[Tensor]) -> Float[Tensor, "replicates n"]:
    """What each row weighs in each replicate, where mass is missing from a region or from labels: rows of the region,
    at random among those that are equal, weigh nothing; all weigh the same where too few of them would show what a
    region is. near: features whose distances say what a cluster is, in turn."""
    found = torch.ones(REPLICATES, len(pool.events), dtype=torch.float64)
    generator = rng.generator(pool.seed, "planted", name)
    if name == "label":
        for row in found:
            _thin(pool, row, share, generator)
    elif round(share * len(pool.events)) >= LEAST:
        alike = NEIGHBOURS.get(name)
        depths = alike(pool, generator, near) if alike else REGIONS[name](pool, generator, share)
        for row, depth in zip(found, depths, strict=True):
            ties = torch.rand(len(row), generator=generator, dtype=torch.float64)
            order = torch.from_numpy(np.lexsort((ties.numpy(), -depth.double().numpy())))
            row[order[: round(share * len(row))]] = 0.0
    return found / found.sum(1, keepdim=True)


def _thin(pool: Pool, row: Tensor, share: float, generator: torch.Generator) -> None:
    """Take this share of the mass from one label, and from a second and third where the first has less."""
    assert pool.labels is not None
    kinds = torch.unique(pool.labels)
    left = share * len(row)
    for label in kinds[torch.randperm(len(kinds), generator=generator)]:
        mine = pool.labels == label
        taken = min(left, float(mine.sum()))
        row[mine] = 1.0 - taken / float(mine.sum())
        left -= taken
        if left < 1e-9:
            return


def _clusters(pool: Pool, generator: torch.Generator, near: Sequence[Tensor]) -> Iterator[Tensor]:
    """How far inside of one of k-means' cells."""
    cells = min(CELLS, max(2, len(pool.events) // 20))
    distances = [squared_distances(x, cell_centres(x, cells, seed=pool.seed + 1)) for x in near]
    for i in range(REPLICATES):
        cell = int(torch.randint(cells, (1,), generator=generator))
        far = distances[i % len(distances)]
        others = far.clone()
        others[:, cell] = math.inf
        yield others.amin(1) - far[:, cell]


def _neighbourhoods(pool: Pool, generator: torch.Generator, near: Sequence[Tensor]) -> Iterator[Tensor]:
    """How near to a row: a mode that may lie among others."""
    for i in range(REPLICATES):
        x = near[i % len(near)]
        yield -squared_distances(x, x[torch.randint(len(x), (1,), generator=generator)])[:, 0]


def _half_spaces(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How far along a leading direction."""
    for _ in range(REPLICATES):
        along = _leading_way(pool, generator)
        yield along if torch.rand((), generator=generator) < 0.5 else -along


def _any_half_spaces(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How far along a random direction of the leading ones, whitened."""
    return (_random_ways(pool, generator, 1)[:, 0] for _ in range(REPLICATES))


def _slabs(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How near to a value, of any rank, of a leading direction."""
    return (_between(_leading_way(pool, generator), generator, share) for _ in range(REPLICATES))


def _any_slabs(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """The same of a random direction of the leading ones, whitened."""
    return (_between(_random_ways(pool, generator, 1)[:, 0], generator, share) for _ in range(REPLICATES))


def _column_slabs(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How near to a value of a column."""
    rows = pool.events.flatten(1).double()
    for _ in range(REPLICATES):
        yield _between(rows[:, int(torch.randint(rows.shape[1], (1,), generator=generator))], generator, share)


def _shells(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How near to a distance from the mean."""
    rows = pool.events.flatten(1).double()
    return (_between((rows - rows.mean(0)).norm(dim=1), generator, share) for _ in range(REPLICATES))


def _balls(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How near to a row in three random directions."""
    for _ in range(REPLICATES):
        some = _random_ways(pool, generator, RANDOM_AXES)
        yield -(some - some[int(torch.randint(len(some), (1,), generator=generator))]).norm(dim=1)


def _leading_way(pool: Pool, generator: torch.Generator) -> Tensor:
    return pool.white[:, int(torch.randint(min(AXES, pool.white.shape[1]), (1,), generator=generator))]


def _random_ways(pool: Pool, generator: torch.Generator, count: int) -> Tensor:
    ways = torch.randn(pool.white.shape[1], count, generator=generator, dtype=torch.float64)
    return pool.white @ torch.nn.functional.normalize(ways, dim=0)


def _between(values: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Minus the distance of each rank from a window that holds this share of the ranks."""
    centre = share / 2 + (1 - share) * float(torch.rand((), generator=generator))
    ranks = values.argsort().argsort().double() / len(values)
    return -(ranks - centre).abs()


NEIGHBOURS: dict[str, Callable[[Pool, torch.Generator, Sequence[Tensor]], Iterator[Tensor]]] = {
    "cluster": _clusters,
    "neighbourhood": _neighbourhoods,
}
REGIONS: dict[str, Callable[[Pool, torch.Generator, float], Iterator[Tensor]]] = {
    "half-space": _half_spaces,
    "any half-space": _any_half_spaces,
    "slab": _slabs,
    "any slab": _any_slabs,
    "column slab": _column_slabs,
    "shell": _shells,
    "ball": _balls,
}
