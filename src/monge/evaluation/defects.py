"""Reference defects, planted in real data: what a margin is made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge import rng
from monge.errors import BadInput
from monge.evaluation.descriptors.values import leading, principal_axes
from monge.evaluation.statistics.cells import cell_centres
from monge.evaluation.statistics.pairwise import squared_distances

NOISE = 3.0  # of a vector: an outlier is so many times as far from the mean as a real row
REPLICATES = 40
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

    events: [n, *event], standardised. near: [n, k], features whose distances say what a region is. labels: [n], or
    None. seed: of all draws.
    """

    events: Float[Tensor, "n *event"]
    near: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"] | None
    seed: int

    def changed(self, name: str, share: float) -> Tensor:
        """The events with a defect that changes all of them, or that replaces a share: [n, *event].

        Raises LookupError for a defect that only weighs them.
        """
        return CHANGES[name](self, share)

    def weights(self, name: str, share: float) -> Float[Tensor, "replicates n"]:
        """What each row weighs in each replicate, where mass is missing from a region or from labels."""
        n = len(self.events)
        weights = torch.ones(REPLICATES, n, dtype=torch.float64)
        generator = rng.generator(self.seed, "planted", name)
        if name == "region":
            centres = cell_centres(self.near, min(CELLS, max(2, n // 20)), seed=self.seed + 1)
            far = squared_distances(self.near.double(), centres)
            for row in weights:
                cell = int(torch.randint(len(centres), (1,), generator=generator))
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
    rows = pool.events.flatten(1)
    mean, axes, _ = principal_axes(rows, leading(rows.shape[1]))
    turn = axes.float()
    lead = (rows - mean.float()) @ turn @ turn.T
    return (rows - (1 - math.sqrt(1 - share)) * lead).reshape(pool.events.shape)


def _blurred(pool: Pool, share: float) -> Tensor:
    """Gaussian blur by the width that takes this share of the power in the upper half of the frequencies."""
    space = tuple(pool.events.shape[2:])
    axes = tuple(range(2, pool.events.ndim))
    hat = torch.fft.fftn(pool.events, dim=axes)
    grid = torch.meshgrid(*(torch.fft.fftfreq(side) for side in space), indexing="ij")
    square = torch.stack(grid).square().sum(0)
    power = hat.abs().square().mean((0, 1)).double() * (square > 0.25**2)
    low, high = 0.0, 4.0
    for _ in range(40):
        width = (low + high) / 2
        kept = float((power * torch.exp(-4 * math.pi**2 * width**2 * square)).sum() / power.sum().clamp(min=1e-300))
        low, high = (width, high) if kept > 1 - share else (low, width)
    blurred: Tensor = torch.fft.ifftn(hat * torch.exp(-2 * math.pi**2 * low**2 * square), dim=axes).real
    return blurred


def _noise(pool: Pool, share: float) -> Tensor:
    """White noise of the mean and variance of the values of images and fields; vectors thrown out, three times as
    far."""
    events = pool.events
    if events.ndim == 2:
        return events.mean(0) + NOISE * (events - events.mean(0))
    return events.mean() + events.std() * rng.normal(tuple(events.shape), pool.seed, "planted", "noise")


CHANGES: dict[str, Callable[[Pool, float], Tensor]] = {"variance": _scaled, "blur": _blurred, "outliers": _noise}
