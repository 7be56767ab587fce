"""Reference defects, planted in real data: what a margin is made of."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monge import rng
from monge.errors import BadInput
from monge.evaluation.descriptors.support import atoms
from monge.evaluation.descriptors.values import leading, principal_axes
from monge.evaluation.statistics.cells import cell_centres
from monge.evaluation.statistics.pairwise import squared_distances

NOISE = 3.0  # of a vector: an outlier is so many times as far from the mean as a real row
REPLICATES = 40
TRIED, HALVINGS = 500, 24  # events by which the strength of a defect is found, and steps to it
CELLS = 20  # of which one, or the heart of one, is the cluster that is missing
AXES = 4  # leading directions along which a half-space or a slab is missing
WHITENED, FEW = 16, 3  # leading directions that random ones mix; of these, so many hold a ball


@dataclass(frozen=True)
class Margins:
    """The smallest defects that must not pass, each a share.

    mass: of the real samples missing from one region, or of one label. repeats: of generated samples that repeat
    another. copies: of generated samples that are training samples. variance: lost along the leading directions. blur:
    of the small-scale power lost. outliers: of generated samples that are white noise. waves: of generated fields whose
    long waves are Gaussian, where those of real ones are not.

    Raises BadInput for a share that is not between 0 and 1.

    >>> Margins(mass=0.03).mass
    0.03
    """

    mass: float = 0.05
    repeats: float = 0.05
    copies: float = 0.02
    variance: float = 0.05
    blur: float = 0.10
    outliers: float = 0.01
    waves: float = 0.50

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 < share < 1:
                raise BadInput(f"margin {name}={share:g}: give a share between 0 and 1, such as 0.05")


class Concern(NamedTuple):
    """What a difference says. margin: its size. excluded: {} the size in percent, then the kinds that were planted.
    found: what is said when it is there."""

    margin: str
    excluded: str
    found: str


class Defect(NamedTuple):
    """A reference defect of a concern. kind: how it is called among those of its concern."""

    name: str
    concern: str
    kind: str


CONCERNS = {
    "region": Concern("mass", "{} of the mass missing from a {}", "a region is missing or has the wrong weight"),
    "label": Concern("mass", "{} of the mass missing from {}", "a label is missing or has the wrong weight"),
    "repeats": Concern("repeats", "{} repeated {}", "samples are repeated"),
    "copies": Concern("copies", "{} copies of {}", "training samples are copied"),
    "variance": Concern(
        "variance", "{} of the variance lost along {}", "the variance along leading directions is wrong"
    ),
    "blur": Concern("blur", "{} of the {} power lost", "the power at some scales is wrong"),
    "outliers": Concern("outliers", "{} {}", "there are outliers"),
    "waves": Concern("waves", "{} of samples with {}", "averages over fields are wrong"),
    "labels": Concern("mass", "{} of samples with {}", "labels are not those that are recognised"),
}
DEFECTS = (
    Defect("cluster", "region", "cluster"),
    Defect("half-space", "region", "half-space across a leading direction"),
    Defect("any half-space", "region", "half-space across any direction"),
    Defect("slab", "region", "slab across a leading direction"),
    Defect("any slab", "region", "slab across any direction"),
    Defect("column slab", "region", "slab across a column"),
    Defect("shell", "region", "shell about the mean"),
    Defect("ball", "region", "ball in any three directions"),
    Defect("label", "label", "a label, as recognised"),
    Defect("repeats", "repeats", "samples"),
    Defect("copies", "copies", "training samples"),
    Defect("variance", "variance", "leading directions"),
    Defect("raw variance", "variance", "leading directions in the data's own units"),
    Defect("blur", "blur", "small-scale"),
    Defect("outliers", "outliers", "outliers"),
    Defect("waves", "waves", "Gaussian long waves"),
    Defect("mislabelled", "labels", "the label of another"),
)
CONCERN = {defect.name: defect.concern for defect in DEFECTS}
OTHER = {
    "structure": "the structure of samples is wrong",
    "support": "values lie where real ones do not, or miss where they do",
}


@dataclass(frozen=True, eq=False)
class Pool:
    """Real rows that stand in for both sides.

    events: [n, *event], standardised. near: [n, k] each, features whose distances say what a cluster is, in turn.
    labels: [n], or None. seed: of all draws. raw: [d], by which vectors are multiplied to have their own units.
    """

    events: Float[Tensor, "n *event"]
    near: Sequence[Float[Tensor, "n _"]]
    labels: Int[Tensor, " n"] | None
    seed: int
    raw: Float[Tensor, " d"] | None = None

    def changed(self, name: str, share: float) -> Tensor:
        """The events with a defect that changes all of them, or that replaces a share: [n, *event].

        Raises LookupError for a defect that only weighs them.
        """
        return CHANGES[name](self, share)

    @cached_property
    def white(self) -> Float[Tensor, "n k"]:
        """Coordinates of unit variance along the rows' own leading directions, which are not quite those of others."""
        rows = self.events.flatten(1).double()
        mean, axes, deviation = principal_axes(rows, WHITENED)
        return (rows - mean) @ (axes / deviation)

    @cached_property
    def atoms(self) -> Bool[Tensor, "n *event"]:
        """Where an event has a value that occurs again and again, such as zero, which no defect but that is to move."""
        found = torch.zeros_like(self.events, dtype=torch.bool)
        for channel in range(self.events.shape[1]):
            values = torch.tensor(atoms(self.events[:, channel].flatten()))
            found[:, channel] = torch.isin(self.events[:, channel], values)
        return found

    def weights(self, name: str, share: float) -> Float[Tensor, "replicates n"]:
        """What each row weighs in each replicate, where mass is missing from a region or from labels: rows of the
        region, at random among those that are equal, weigh nothing."""
        weights = torch.ones(REPLICATES, len(self.events), dtype=torch.float64)
        generator = rng.generator(self.seed, "planted", name)
        if name == "label":
            for row in weights:
                self._thin(row, share, generator)
        elif name in REGIONS:
            for row, depth in zip(weights, REGIONS[name](self, generator, share), strict=True):
                ties = torch.rand(len(row), generator=generator, dtype=torch.float64)
                order = torch.from_numpy(np.lexsort((ties.numpy(), -depth.double().numpy())))
                row[order[: max(1, round(share * len(row)))]] = 0.0
        return weights / weights.sum(1, keepdim=True)

    def _thin(self, row: Tensor, share: float, generator: torch.Generator) -> None:
        """Take this share of the mass from one label, and from a second and third where the first has less."""
        assert self.labels is not None
        kinds = torch.unique(self.labels)
        left = share * len(row)
        for label in kinds[torch.randperm(len(kinds), generator=generator)]:
            mine = self.labels == label
            taken = min(left, float(mine.sum()))
            row[mine] = 1.0 - taken / float(mine.sum())
            left -= taken
            if left < 1e-9:
                return


def _clusters(pool: Pool, generator: torch.Generator, share: float) -> Iterator[Tensor]:
    """How far inside of one of k-means' cells."""
    cells = min(CELLS, max(2, len(pool.events) // 20))
    distances = [squared_distances(x, cell_centres(x, cells, seed=pool.seed + 1)) for x in pool.near]
    for i in range(REPLICATES):
        cell = int(torch.randint(cells, (1,), generator=generator))
        far = distances[i % len(distances)]
        others = far.clone()
        others[:, cell] = math.inf
        yield others.amin(1) - far[:, cell]


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
        some = _random_ways(pool, generator, FEW)
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


REGIONS: dict[str, Callable[[Pool, torch.Generator, float], Iterator[Tensor]]] = {
    "cluster": _clusters,
    "half-space": _half_spaces,
    "any half-space": _any_half_spaces,
    "slab": _slabs,
    "any slab": _any_slabs,
    "column slab": _column_slabs,
    "shell": _shells,
    "ball": _balls,
}


def _scaled(pool: Pool, share: float) -> Tensor:
    """The leading directions shrunk until they have lost this share of their variance."""
    return _shrunk(pool, share, torch.ones(pool.events[0].numel()))


def _scaled_raw(pool: Pool, share: float) -> Tensor:
    """The same of the leading directions in the data's own units."""
    assert pool.raw is not None
    return _shrunk(pool, share, pool.raw)


def _shrunk(pool: Pool, share: float, units: Tensor) -> Tensor:
    flat, units = pool.events.flatten(1).double(), units.double()
    mean, axes, _ = principal_axes(flat * units, leading(flat.shape[1]))
    centre, along, back = (mean / units).float(), (units[:, None] * axes).float(), (axes.T / units).float()

    def shrunk(events: Tensor, strength: float) -> Tensor:
        rows = events.flatten(1)
        return (rows - strength * ((rows - centre) @ along) @ back).reshape(events.shape)

    def variance(events: Tensor) -> float:
        return float((events.flatten(1) @ along).double().var(0).sum())

    return _until(pool, shrunk, variance, share, 1.0)


def _blurred(pool: Pool, share: float) -> Tensor:
    """Gaussian blur by the width that takes this share of the power in the upper half of the frequencies."""
    space, axes = tuple(pool.events.shape[2:]), tuple(range(2, pool.events.ndim))
    grid = torch.meshgrid(*(torch.fft.fftfreq(side) for side in space), indexing="ij")
    square = torch.stack(grid).square().sum(0)

    def blurred(events: Tensor, width: float) -> Tensor:
        filtered = torch.fft.fftn(events, dim=axes) * torch.exp(-2 * math.pi**2 * width**2 * square)
        found: Tensor = torch.fft.ifftn(filtered, dim=axes).real
        return found

    def small_scales(events: Tensor) -> float:
        return float((torch.fft.fftn(events, dim=axes).abs().square().double() * (square > 0.25**2)).sum())

    return _until(pool, blurred, small_scales, share, 4.0)


def _until(
    pool: Pool,
    change: Callable[[Tensor, float], Tensor],
    measure: Callable[[Tensor], float],
    share: float,
    most: float,
) -> Tensor:
    """The events changed, atoms left where they are, by the strength at which the measure has lost this share."""
    some, kept = pool.events[:TRIED], pool.atoms

    def leaving(events: Tensor, strength: float) -> Tensor:
        return torch.where(kept[: len(events)], events, change(events, strength))

    whole, low, high = measure(some), 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if measure(leaving(some, middle)) > (1 - share) * whole else (low, middle)
    return leaving(pool.events, low)


def _noise(pool: Pool, share: float) -> Tensor:
    """White noise of the mean and variance of the values of images and fields; vectors thrown out, three times as
    far."""
    events = pool.events
    if events.ndim == 2:
        return events.mean(0) + NOISE * (events - events.mean(0))
    return events.mean() + events.std() * rng.normal(tuple(events.shape), pool.seed, "planted", "noise")


def _gaussian_waves(pool: Pool, share: float) -> Tensor:
    """The longest waves of fields, the mean among them, replaced by Gaussian ones of their mean and power."""
    events, axes = pool.events, tuple(range(2, pool.events.ndim))
    hat = torch.fft.fftn(events, dim=axes)
    low = long_waves(tuple(events.shape[2:]))
    white = torch.fft.fftn(rng.normal(tuple(events.shape), pool.seed, "planted", "waves"), dim=axes)
    mean = hat.mean(0)
    power = (hat - mean).abs().square().mean(0) / events[0, 0].numel()
    made: Tensor = torch.fft.ifftn(torch.where(low, mean + white * power.sqrt(), hat), dim=axes).real
    return torch.where(pool.atoms, events, made)


def long_waves(space: tuple[int, ...]) -> Bool[Tensor, "*space"]:
    """Which frequencies are the longest waves: |k| <= 1, along each axis.

    >>> long_waves((4,)).tolist()
    [True, True, False, True]
    """
    grid = torch.meshgrid(*(torch.fft.fftfreq(side, 1 / side) for side in space), indexing="ij")
    return torch.stack(grid).square().sum(0) <= 1


CHANGES: dict[str, Callable[[Pool, float], Tensor]] = {
    "variance": _scaled,
    "raw variance": _scaled_raw,
    "blur": _blurred,
    "outliers": _noise,
    "waves": _gaussian_waves,
}
REPLACED = (
    "outliers",
    "waves",
    "mislabelled",
)  # of a share of the events, which are not changed a little, but replaced
