"""The regions of real data, by cells of features and by label: which hold too little, which too much."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from monge.evaluation.descriptors import PRINCIPAL, SLICES, Descriptor, Fitted, spaces
from monge.evaluation.descriptors.slices import DIRECTIONS, PARTS, RADII, RANDOM, told_of
from monge.evaluation.lines.means import MeanLine, differences, told_by
from monge.evaluation.looks import Features
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.cells import cell_centres
from monge.evaluation.statistics.means import Compare, histograms, one_hot
from monge.linalg.pairwise import nearest

SIZES = (20, 32) * 10 + (64, 128) * 2  # many cuts into cells: some cell is much like a region that is wrong
ROWS_PER_CELL = 15
WINDOWS = (1, 3, 6)  # neighbouring parts
COLUMNS_TOLD = 2


class Region(NamedTuple):
    """A region that holds the wrong share: its column of the features, its shares, and the counted rows in it."""

    name: str
    column: int
    real: float
    generated: float
    z: float
    rows: Int[Tensor, " k"]


def cells(base: tuple[Descriptor, ...], sized: Callable[[Tensor], list[Tensor]], sizes: tuple[int, ...]) -> Descriptor:
    """The Voronoi cell of an event among k-means centres of real events' features, for several numbers of cells; two
    cuts by the first features, the next two by others, and so on."""

    def fit(real: Tensor, seed: int) -> Fitted:
        looks = sized(real)
        which = [i // 2 % len(looks) for i in range(len(sizes))]
        centres = [
            cell_centres(looks[space], size, seed=seed + 2 * i)
            for i, (space, size) in enumerate(zip(which, sizes, strict=True))
        ]

        def measure(x: Tensor) -> Tensor:
            found = sized(x)
            cell = [nearest(found[space], c).indices[:, 0] for space, c in zip(which, centres, strict=True)]
            return one_hot(torch.stack(cell, 1), sizes)

        cut = [f"{i + 1} of {size} of cut {c + 1}" for c, size in enumerate(sizes) for i in range(size)]
        return Fitted(measure, tuple(f"region {name}" for name in cut))

    name = f"regions of {', '.join(b.name for b in base)} {sizes}"
    return Descriptor(name, fit, base[0].applies, "n k cells", base[0].invariances, base)


@dataclass(frozen=True)
class RegionLine(MeanLine):
    """Shares of generated and real samples in the cells of real ones, in several cuts of the data."""

    def sizes(self, p: Prepared) -> tuple[int, ...]:
        """Cells of each cut, fewer where there are few rows."""
        most = max(2, min(*p.split.sizes, 4 * len(p.split.shaping)) // ROWS_PER_CELL)
        return tuple(min(size, most) for size in SIZES)

    def look(self, p: Prepared) -> Descriptor:
        base = spaces(p.split.event)
        fitted = [p.looks.of(b).fitted for b in base]
        widths = [p.looks.of(b).shaping.shape[1] for b in base]

        def sized(x: Tensor) -> list[Tensor]:
            return [f.sized(part) for f, part in zip(fitted, torch.split(x, widths, 1), strict=True)]

        return cells(base, sized, self.sizes(p))


def by_cells(line: MeanLine, features: Features, p: Prepared) -> Compare:
    assert isinstance(line, RegionLine)
    n, m = p.split.sizes
    return histograms(line.sizes(p), n / (n + m))


REGIONS = RegionLine(
    "regions",
    "diversity",
    "region",
    ("cluster", "neighbourhood", "half-space", "any half-space", "shell", "ball"),
    PRINCIPAL,
    "How differently generated and real samples are shared out over regions of real data (k-means cells), from 0 "
    "(alike) to 1 (disjoint): a missing region of weight w adds about w/2.",
    by_cells,
    lambda features, p: told(worst(features, p)),
)


def in_windows(line: MeanLine, features: Features, p: Prepared) -> Compare:
    """The mean over numbers of the triangular discrimination of their parts, and the largest (p - q)^2 / (mean of both)
    of windows of one, three and six neighbouring parts: of directions and columns, of mixtures, and of radii."""
    n, m = p.split.sizes
    share = n / (n + m)

    def compare(mine: Tensor, real: Tensor) -> Tensor:
        mine, real = (side.reshape(len(side), -1, PARTS) for side in (mine, real))
        square = (mine - real).square() / (mine + real).clamp(min=1e-30) / 2
        found = [square.sum((1, 2)) / mine.shape[1]]
        total = mine.cumsum(2), real.cumsum(2)
        groups = (slice(None, -RADII - RANDOM), slice(-RADII - RANDOM, -RADII), slice(-RADII, None))
        for width in WINDOWS:
            a, b = (torch.cat([t[:, :, width - 1 : width], t[:, :, width:] - t[:, :, :-width]], 2) for t in total)
            each = (a - b).square() / (share * a + (1 - share) * b).clamp(min=1e-30)
            found += [each[:, group].amax((1, 2)) for group in groups]
        return torch.stack(found, 1)

    return compare


def _slices_told(features: Features, p: Prepared) -> str:
    directions = p.looks.of(DIRECTIONS).fitted.names
    return told_by(features, [told_of(part, directions) for part in range(features.x.shape[1])], p)


SLICED = MeanLine(
    "slices",
    "diversity",
    "region",
    ("half-space", "any half-space", "slab", "any slab", "column slab", "shell"),
    SLICES,
    f"How differently generated and real samples are shared out over {PARTS} parts of the real law along leading "
    "directions, columns and radii, from 0 (alike) to 1 (disjoint).",
    in_windows,
    _slices_told,
)


def worst(features: Features, p: Prepared, most: int = 3) -> list[Region]:
    """The regions whose shares differ most, in standard errors; of regions that overlap, nested ones, the worst."""
    z, _ = differences(features)
    found: list[Region] = []
    for i in z.abs().argsort(descending=True).tolist():
        rows = features.y[:, i].nonzero().flatten()
        if any(len(set(rows.tolist()) & set(other.rows.tolist())) > 0 for other in found):
            continue
        real, generated = float(features.y[:, i].mean()), float(features.x[:, i].mean())
        name = f"{features.fitted.names[i]}{place(p, rows)}"
        found.append(Region(name, i, real, generated, float(z[i]), rows))
        if len(found) == most:
            break
    return found


def place(p: Prepared, rows: Tensor) -> str:
    """Where in a table counted rows lie: the columns that set them apart most, and their means there."""
    if len(p.split.event) != 1 or len(rows) < 2:
        return ""
    counted, naming = p.split.counted, p.split.naming
    inside, shift, scale = counted[rows], naming.shift, naming.scale
    apart = (inside.mean(0) - counted.mean(0)).abs() / (inside.std(0) + 0.1 * counted.std(0) + 1e-9)

    def where(c: int) -> str:
        text = naming.text(c, shift[c] + float(inside[:, c].mode().values) * scale[c])
        return f"mostly {text}" if text else f"about {shift[c] + float(inside[:, c].mean()) * scale[c]:.3g}"

    told = [
        f"{naming.named(f'column {c + 1}')} {where(c)}"
        for c in apart.topk(min(COLUMNS_TOLD, len(apart))).indices.tolist()
    ]
    return f" ({', '.join(told)})"


def told(regions: list[Region]) -> str:
    if not regions:
        return ""
    first = regions[0]
    return f"{first.name} holds {first.real:.1%} of real samples and {first.generated:.1%} of yours"
