"""Reference defects, planted in real data: what a margin is made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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
CELLS = 20  # of which one, or the heart of one, is the region that is missing


@dataclass(frozen=True)
class Margins:
    """The smallest defects that must not pass, each a share.

    mass: of the real samples missing from one region, or of one label. repeats: of generated samples that repeat
    another. copies: of generated samples that are training samples. variance: lost along the leading directions. blur:
    of the small-scale power lost. outliers: of generated samples that are white noise.

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

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 < share < 1:
                raise BadInput(f"margin {name}={share:g}: give a share between 0 and 1, such as 0.05")


class Defect(NamedTuple):
    """name: of the margin or part of it that it is. excluded, found: what is said, {} the size in percent."""

    name: str
    margin: str
    excluded: str
    found: str


DEFECTS = (
    Defect("region", "mass", "a region with {} of the mass missing", "a region is missing or has the wrong weight"),
    Defect("label", "mass", "{} of the mass missing from a label", "a label is missing or has the wrong weight"),
    Defect("repeats", "repeats", "{} repeated samples", "samples are repeated"),
    Defect("copies", "copies", "{} copies of training samples", "training samples are copied"),
    Defect("variance", "variance", "{} of the leading variance lost", "the variance along leading directions is wrong"),
    Defect("blur", "blur", "{} of the small-scale power lost", "the power at some scales is wrong"),
    Defect("outliers", "outliers", "{} outliers", "there are outliers"),
)
OTHER = {
    "structure": "the structure of samples is wrong",
    "support": "values lie where real ones do not, or miss where they do",
}


@dataclass(frozen=True, eq=False)
class Pool:
    """Real rows that stand in for both sides.

    events: [n, *event], standardised. near: [n, k] each, features whose distances say what a region is, in turn.
    labels: [n], or None. seed: of all draws.
    """

    events: Float[Tensor, "n *event"]
    near: Sequence[Float[Tensor, "n _"]]
    labels: Int[Tensor, " n"] | None
    seed: int

    def changed(self, name: str, share: float) -> Tensor:
        """The events with a defect that changes all of them, or that replaces a share: [n, *event].

        Raises LookupError for a defect that only weighs them.
        """
        return CHANGES[name](self, share)

    @cached_property
    def atoms(self) -> Bool[Tensor, "n *event"]:
        """Where an event has a value that occurs again and again, such as zero, which no defect but that is to move."""
        found = torch.zeros_like(self.events, dtype=torch.bool)
        for channel in range(self.events.shape[1]):
            values = torch.tensor(atoms(self.events[:, channel].flatten()))
            found[:, channel] = torch.isin(self.events[:, channel], values)
        return found

    def weights(self, name: str, share: float) -> Float[Tensor, "replicates n"]:
        """What each row weighs in each replicate, where mass is missing from a region or from labels."""
        n = len(self.events)
        weights = torch.ones(REPLICATES, n, dtype=torch.float64)
        generator = rng.generator(self.seed, "planted", name)
        if name == "region":
            cells = min(CELLS, max(2, n // 20))
            distances = [squared_distances(x, cell_centres(x, cells, seed=self.seed + 1)) for x in self.near]
            for i, row in enumerate(weights):
                cell = int(torch.randint(cells, (1,), generator=generator))
                far = distances[i % len(distances)]
                others = far.clone()
                others[:, cell] = math.inf
                depth = others.amin(1) - far[:, cell]  # how far inside of the cell
                row[depth.argsort(descending=True)[: max(1, round(share * n))]] = 0.0
        elif name == "label" and self.labels is not None:
            for row in weights:
                self._thin(row, share, generator)
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


def _scaled(pool: Pool, share: float) -> Tensor:
    """The leading directions shrunk until they have lost this share of their variance."""
    flat = pool.events.flatten(1)
    mean, axes, _ = principal_axes(flat, leading(flat.shape[1]))
    turn, centre = axes.float(), mean.float()

    def shrunk(events: Tensor, strength: float) -> Tensor:
        rows = events.flatten(1)
        return (rows - strength * ((rows - centre) @ turn @ turn.T)).reshape(events.shape)

    return _until(pool, shrunk, lambda events: float((events.flatten(1) @ turn).double().var(0).sum()), share, 1.0)


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


CHANGES: dict[str, Callable[[Pool, float], Tensor]] = {"variance": _scaled, "blur": _blurred, "outliers": _noise}
