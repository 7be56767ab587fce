"""What single channels, or columns of a table, need before they are scaled: integers, atoms at a limit, heavy tails."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monge.data.bends import bend as most_normal

ATOM, LEAST = 0.01, 5  # share, and number, of the values that are equal to the smallest or largest, to be an atom
TIGHT = 0.1  # of the room that an atom is stretched to, the part in its middle where it lies
NARROW = 0.2  # of the step of a column of 0 and 1 that stands for a text of several, the part that it is spread over
WIDTH = 1 / 3  # of the standard deviation: how far an atom is spread, or stretched, beyond its limit
SURE = 100  # values that are all whole, or few, are so by nature
FEW_VALUES, REPEATED = 4096, 10  # different values of a column at most, and how often each comes on average
LARGEST_WHOLE = 2**20
TAIL_VALUES = 2**22  # of all channels, evenly spaced, that are looked at for their bend
Chunks = Callable[[], Iterator[Tensor]]  # of [b, channels, values]


@dataclass(frozen=True, eq=False)
class Marginals:
    """For each channel, [g] float64: step of its integers, else 0; its limits; how far an atom at the lower and at the
    upper limit is spread beyond it, else 0; and centre and width of its bend, else 0.

    An integer is spread over its step; a value at an atom over (low - below, low) or (high, high + above), so that a
    law with a density is learned, and what is drawn beyond a limit is that limit: censored data (Tobin 1958), zeros
    that come out as zeros as often as they should. A column of few values, prices or halves, has each spread to the
    middle between its neighbours, and the nearest is drawn: `values`, empty where there are many. A column that is
    skew or has heavy tails is bent, asinh((x - centre) / bend) (`monge.data.bends`), and its atoms are spread over a
    third of a standard deviation as it is then.

    Where all data are integers of one step, quantum, an atom at a limit is given more room by a factor (lower, upper; 1
    for none), so that what is learned to be nearly there is drawn there: the step of the limit becomes as wide. It lies
    in the middle of that room, over a share `tight` of it: noise over all of it was learned as noise, and its ends were
    drawn as speckle in the black of pictures.

    What is the same in all rows is drawn so. blocks: first and last, exclusive, of channels that stand for a text of
    several, of which one is 1 and the others are 0, or of one that is 0 or 1; they are spread by little, since noise of
    many would be learned.

    >>> zeros = torch.cat([torch.zeros(40), torch.rand(60)])[:, None, None]
    >>> m = Marginals.fit(lambda: iter([zeros]), bend=False)
    >>> bool((m.spread(zeros[:, 0], torch.full((100, 1), 0.5))[:40] < 0).all()), m.restore(torch.tensor([[-0.1]]))
    (True, tensor([[0.]]))
    """

    step: Float[Tensor, " g"]
    low: Float[Tensor, " g"]
    high: Float[Tensor, " g"]
    below: Float[Tensor, " g"]
    above: Float[Tensor, " g"]
    centre: Float[Tensor, " g"]
    bend: Float[Tensor, " g"]
    lower: Float[Tensor, " g"]
    upper: Float[Tensor, " g"]
    quantum: float | None = None
    tight: float = 1.0
    values: tuple[Float[Tensor, " _"], ...] = ()
    blocks: tuple[tuple[int, int], ...] = ()

    @classmethod
    def fit(
        cls,
        chunks: Chunks,
        *,
        bend: bool,
        whole: bool = False,
        quantum: float | None = None,
        blocks: tuple[tuple[int, int], ...] = (),
        wide: bool = False,
    ) -> "Marginals":
        """What the channels need. bend: whether they are bent where that helps. whole: whether integers and few
        values are looked for, too. quantum: the step of data that are all integers, which are spread by others. blocks:
        of channels, first and last exclusive, of which one is 1. wide: whether values are float64."""
        groups = next(chunks()).shape[1]
        low, high = torch.full((groups,), torch.inf).double(), torch.full((groups,), -torch.inf).double()
        is_whole = torch.ones(groups, dtype=torch.bool)
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for x in chunks():
            x = x.double()
            least, most, integral = x.amin((0, 2)), x.amax((0, 2)), (x == x.floor()).all(2).all(0)
            low, high, is_whole = torch.minimum(low, least), torch.maximum(high, most), is_whole & integral
            count, total, square = count + x[:, 0].numel(), total + x.sum((0, 2)), square + x.square().sum((0, 2))
        at_low, at_high = torch.zeros_like(low), torch.zeros_like(high)
        for x in chunks():
            at_low += (x.double() == low[:, None]).sum((0, 2))
            at_high += (x.double() == high[:, None]).sum((0, 2))
        spread = (square / count - (total / count).square()).clamp(min=0).sqrt()
        moves = high > low
        small = (high - low if wide else torch.maximum(low.abs(), high.abs())) <= LARGEST_WHOLE
        is_whole &= torch.tensor(whole and count >= SURE) & moves & small
        every = count * groups // TAIL_VALUES + 1 | 1  # odd, or it meets the same places of each row
        columns, values = torch.empty(groups, 0), [torch.empty(0).double()] * groups
        if bend or whole:
            columns = torch.cat([x.transpose(0, 1).flatten(1)[:, ::every].clone() for x in chunks()], 1).double()
        if whole:
            values = [
                _few(column) if loose else values[0] for column, loose in zip(columns, moves & ~is_whole, strict=True)
            ]
        few = torch.tensor([len(v) > 0 for v in values])
        loose, least_count = moves & ~is_whole & ~few, max(LEAST, ATOM * count)
        below = torch.where(loose & (at_low >= least_count), WIDTH * spread, 0.0)
        above = torch.where(loose & (at_high >= least_count), WIDTH * spread, 0.0)
        zero, one = torch.zeros_like(low), torch.ones_like(low)
        found: dict[str, Any] = {"step": is_whole.double(), "low": low, "high": high, "below": below, "above": above}
        found |= {"blocks": blocks, "values": tuple(values) if bool(few.any()) else ()}
        found |= {"centre": zero.clone(), "bend": zero.clone(), "lower": one, "upper": one}
        if quantum is not None:
            found |= {"lower": (below / quantum).clamp(min=1.0), "upper": (above / quantum).clamp(min=1.0)}
            return cls(**found | {"below": zero, "above": zero}, quantum=quantum, tight=TIGHT)
        for c in loose.nonzero().flatten().tolist() if bend else ():
            atom = (below[c] > 0) & (columns[c] == low[c]) | (above[c] > 0) & (columns[c] == high[c])
            centre, width = most_normal(columns[c][~atom])
            found["centre"][c], found["bend"][c] = centre, width
            if width > 0:
                spread, ends = (((x - centre) / width).asinh() for x in (columns[c], torch.stack([low[c], high[c]])))
                beyond = centre + width * (ends + WIDTH * spread.std() * torch.tensor([-1.0, 1.0])).sinh()
                below[c], above[c] = (below[c] > 0) * (low[c] - beyond[0]), (above[c] > 0) * (beyond[1] - high[c])
        return cls(**found)

    @property
    def spreads(self) -> bool:
        """Whether data are spread by noise before they are learned from."""
        return bool(self.values) or bool((self.step + self.below + self.above > 0).any())

    @property
    def rounds(self) -> Bool[Tensor, " g"]:
        """Which channels are drawn as integers, or as one of few values."""
        few = torch.tensor([len(value) > 0 for value in self.values] or [False] * len(self.step))
        return (self.step > 0) | few

    @property
    def bends(self) -> bool:
        """Whether the map of some channel is not x itself."""
        return bool((self.bend > 0).any()) or self.stretches

    @property
    def stretches(self) -> bool:
        return bool((self.lower * self.upper > 1).any())

    def spread(self, x: Float[Tensor, "n *event"], u: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """Integers and atoms spread by u, uniform in (0, 1)."""
        if not self.spreads:
            return x
        step, low, high, below, above = (self._like(x, name) for name in ("step", "low", "high", "below", "above"))
        under, over = (below > 0) & (x == low), (above > 0) & (x == high)
        step = step.clone()
        for first, last in self.blocks:
            step[first:last] *= NARROW
        spread = torch.where(under, low - below * u, torch.where(over, high + above * u, x + step * (u - 0.5)))
        for c, values in self._few(x):
            middle = (values[1:] + values[:-1]) / 2
            edges = torch.cat([2 * values[:1] - middle[:1], middle, 2 * values[-1:] - middle[-1:]])
            place = torch.bucketize(x[:, c].contiguous(), middle)
            spread[:, c] = edges[place] + (edges[place + 1] - edges[place]) * u[:, c]
        return spread

    def restore(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """Integers rounded, what lies beyond an atom's limit drawn as the limit, what was the same in all rows as it
        was, and of a block 1 where it is largest, 0 elsewhere."""
        fixed = self.low == self.high
        if not (self.spreads or self.blocks or fixed.any()):
            return x
        chosen = [_chosen(x[:, slice(*block)]) for block in self.blocks]
        step, low, high, below, above = (self._like(x, name) for name in ("step", "low", "high", "below", "above"))
        x = torch.where(step > 0, low + ((x - low) / step.clamp(min=1e-9)).round() * step, x)
        x = torch.where((step + below > 0) & (x < low), low, x)
        x = torch.where((step + above > 0) & (x > high), high, x)
        for c, values in self._few(x):
            x[:, c] = values[torch.bucketize(x[:, c].contiguous(), (values[1:] + values[:-1]) / 2)]
        for (first, last), which in zip(self.blocks, chosen, strict=True):
            x[:, first:last] = which.to(x)
        return torch.where(fixed.to(x.device).reshape(-1, *[1] * (x.ndim - 2)), low, x)

    def bent(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """A monotone map of each channel: atoms stretched, or heavy tails bent."""
        if self.stretches:
            for inside, at, middle, factor in self._atoms(x):
                x = torch.where(inside, x, middle + (x - at) * factor)
            return x
        columns, centre, bend = self._bends(x)
        if len(columns):
            x = x.index_copy(1, columns, torch.asinh((x[:, columns] - centre) / bend))
        return x

    def unbent(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """The inverse of `bent`; of bent columns within three times the range of the data as it is bent, beyond which
        sinh knows no measure."""
        if self.stretches:
            half = (self.quantum or 0.0) / 2
            for inside, at, middle, factor in self._atoms(x):
                x = torch.where(inside, x, at + ((x - middle) / factor).clamp(-half, half))
            return x
        columns, centre, bend = self._bends(x)
        if len(columns):
            low, high = (end.to(x)[columns].reshape(centre.shape) for end in self.ends)
            z = x[:, columns].clamp(2 * low - high, 2 * high - low)
            x = x.index_copy(1, columns, centre + bend * z.sinh())
        return x

    def clamped(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """What lies beyond the limit of a stretched atom, as that limit."""
        low, high, lower, upper = (self._like(x, name) for name in ("low", "high", "lower", "upper"))
        x = torch.where((lower > 1) & (x < low), low, x)
        return torch.where((upper > 1) & (x > high), high, x)

    @property
    def log_volume(self) -> float:
        """log of the volume over which a row of integers and texts is spread, whose density times it is the row's
        probability: less than 0 where there are texts, in nats."""
        columns = [c for block in self.blocks for c in range(*block)]
        return math.log(NARROW) * sum(float(self.step[c]) > 0 for c in columns)

    @property
    def noise_of_blocks(self) -> float:
        """The variance of what is added to the columns of blocks."""
        first = self.blocks[0][0] if self.blocks else 0
        return float((NARROW * self.step[first]).square()) / 12

    @property
    def ends(self) -> tuple[Float[Tensor, " g"], Float[Tensor, " g"]]:
        """The smallest and largest value of each bent channel, bent; of the others none."""
        of_bent = [((end - self.centre) / self.bend).asinh() for end in (self.low, self.high)]
        low, high = (
            torch.where(self.bend > 0, end, sign * torch.inf) for end, sign in zip(of_bent, (-1, 1), strict=True)
        )
        return low, high

    def log_slope(self, bent: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """log |d bent(x) / dx| of each row, from bent rows, in nats: - sum of log(bend cosh(bent)), or the sum of the
        logarithms of the factors of what is stretched."""
        if self.stretches:
            slope = torch.ones_like(bent)
            for inside, _, _, factor in self._atoms(bent):
                slope = torch.where(inside, slope, factor)
            return slope.log().flatten(1).sum(1)
        columns, _, bend = self._bends(bent)
        return -(bend.log() + bent[:, columns].cosh().log()).flatten(1).sum(1)

    @property
    def statement(self) -> str:
        """In words, empty where nothing is done."""
        told = [
            (self.step > 0, "integers are spread over their step and rounded back"),
            (
                torch.tensor([len(v) > 0 for v in self.values]),
                "the few values there are are spread to the middle between neighbours, and the nearest is drawn",
            ),
            (
                self.below + self.above > 0,
                "atoms at a limit are spread over a third of a standard deviation beyond it, where densities count "
                "them, and what is drawn beyond is the limit",
            ),
            (
                self.lower * self.upper > 1,
                "atoms at a limit are stretched to a third of a standard deviation, which densities count",
            ),
            (
                self.bend > 0,
                "skew or heavy tails are bent by asinh, which densities count, and nothing is drawn farther beyond the "
                "data than a fifth of a standard deviation, as they are bent",
            ),
        ]
        return "; ".join(
            f"in {int(which.sum())} of {len(which)} channels {words}" for which, words in told if bool(which.any())
        )

    def to_dict(self) -> dict[str, Any]:
        plain = {f.name: v.tolist() if isinstance(v := getattr(self, f.name), Tensor) else v for f in fields(self)}
        return plain | {"values": [v.tolist() for v in self.values]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Marginals":
        named: dict[str, Any] = {f.name: content[f.name] for f in fields(cls) if f.name in content}
        few = named.pop("values", [])
        named["blocks"] = tuple((int(a), int(b)) for a, b in named.get("blocks", []))
        for name, value in named.items():
            named[name] = torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
        return cls(**named, values=tuple(torch.tensor(v, dtype=torch.float64) for v in few))

    def _like(self, x: Tensor, name: str) -> Tensor:
        values: Tensor = getattr(self, name)
        return values.to(x).reshape(-1, *[1] * (x.ndim - 2))

    def _few(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The channels of few values, and these."""
        return ((c, values.to(x)) for c, values in enumerate(self.values) if len(values))

    def _atoms(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Of both limits: what is on this side of half a step within it, where it is and is bent to, and the factor."""
        half = (self.quantum or 0.0) / 2
        for end, room, sign in (("low", "lower", 1.0), ("high", "upper", -1.0)):
            at, wide = self._like(x, end), self._like(x, room)
            factor = torch.where(wide > 1, wide * self.tight, 1.0)
            inside = sign * (x - at) >= half
            yield inside, at, at + sign * half * (1 - wide), factor

    def _bends(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        columns = (self.bend > 0).nonzero().flatten().to(x.device)
        return columns, self._like(x, "centre")[columns], self._like(x, "bend")[columns]


def _chosen(x: Tensor) -> Tensor:
    """1 where it is largest, or of one column above a half, and 0 elsewhere."""
    return x > 0.5 if x.shape[1] == 1 else torch.nn.functional.one_hot(x.argmax(1), x.shape[1])


def _few(x: Tensor) -> Tensor:
    """The values of a column that has few, else none."""
    values: Tensor = torch.unique(x)
    few = 1 < len(values) <= FEW_VALUES and len(x) >= max(SURE, REPEATED * len(values))
    return values if few else values[:0]
