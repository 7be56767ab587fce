"""A denoiser of events of one size, or of a bounded reach, on events of any size."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.borders import mirrored
from monge.denoisers.wrapper import Wrapper, informed
from monge.protocols import Denoiser
from monge.threads import paced

SITES = 2**20  # of a tile of a denoiser that takes events of any size
TOGETHER = 2**20  # values of tiles that are denoised together


class Tiled(Wrapper):
    """D(y, sigma) tile by tile, in memory that does not grow with y but for y and x_hat.

    side: the sides of the tiles, where D takes events of one size alone. Tiles then overlap by half, and each counts
    by how far within it a site is, so that there is no seam. reach: for D of events of any size, how many sites around
    a site decide what D is there: of each tile only what is further than that from its sides is kept, which is what D
    is on the whole. multiple: of sites that D halves the space by; tiles start at multiples of it.

    An event that is smaller than a tile of fixed size is continued by its mirror image.

    >>> D = Tiled(lambda y, sigma: y / 2, side=(4, 4))
    >>> bool((D(torch.ones(2, 1, 9, 3), 1.0) == 0.5).all())
    True
    """

    moments = None  # those of a tile are not those of the whole

    def __init__(
        self, denoiser: Denoiser, *, side: Sequence[int] | None = None, reach: int = 0, multiple: int = 1
    ) -> None:
        super().__init__(denoiser)
        self.side, self.reach, self.multiple = side, reach, multiple

    def denoised(self, y: Float[Tensor, "n c *space"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n c *space"]:
        if self.side is not None and tuple(y.shape[2:]) == tuple(self.side):
            return self.denoiser(y, sigma)
        own = informed(self.denoiser)
        with paced() as tick:
            return torch.stack([self._one(own.rows(i, 1), y[i], sigma[i], tick) for i in range(len(y))])

    def _one(self, denoiser: Denoiser, y: Tensor, sigma: Tensor, tick: Callable[[], None]) -> Tensor:
        space = y.shape[1:]
        if self.side is None:
            spans = [self._apart(length, len(space)) for length in space]
        else:
            for axis, (length, side) in enumerate(zip(space, self.side, strict=True), start=1):
                y = mirrored(y, axis, 0, side) if length < side else y
            spans = [_overlapping(side, length) for side, length in zip(self.side, y.shape[1:], strict=True)]
        total, weight = torch.zeros_like(y), y.new_zeros(y.shape[1:])
        alike: defaultdict[torch.Size, list[tuple[_Span, ...]]] = defaultdict(list)
        for tile in itertools.product(*spans):
            alike[y[_at(tile)].shape].append(tile)
        for shape, tiles in alike.items():
            step = max(1, TOGETHER // shape.numel())
            for first in range(0, len(tiles), step):
                some = tiles[first : first + step]
                seen = torch.stack([y[_at(tile)] for tile in some])
                for tile, x_hat in zip(some, denoiser(seen, sigma.expand(len(some))), strict=True):
                    counts = _outer([span.weight.to(y) for span in tile])
                    total[_at(tile)] += counts * x_hat
                    weight[_at(tile)] += counts
                tick()
        inside: Any = (..., *map(slice, space))
        return (total / weight)[inside]

    def _apart(self, length: int, dimension: int) -> list["_Span"]:
        """Along an axis, tiles whose kept parts meet: what is cut away of them is as wide as the reach."""
        margin, side = (
            self.multiple * math.ceil(least / self.multiple) for least in (self.reach, SITES ** (1 / dimension))
        )
        kept = max(side - 2 * margin, margin, self.multiple)
        if length <= kept + 2 * margin:
            return [_Span(slice(0, length), torch.ones(length))]
        spans = []
        for first in range(0, length, kept):
            start, stop = max(0, first - margin), min(length, first + kept + margin)
            place = torch.arange(start, stop)
            spans.append(_Span(slice(start, stop), ((place >= first) & (place < first + kept)).float()))
        return spans


class _Span(NamedTuple):
    """Sites of an axis, and how much each counts."""

    sites: slice
    weight: Tensor


def _overlapping(side: int, length: int) -> list[_Span]:
    """Along an axis, tiles of one size that overlap by half or more."""
    inside = torch.arange(side) + 0.5
    starts = [*range(0, length - side, max(1, side // 2)), length - side]
    return [_Span(slice(start, start + side), torch.minimum(inside, side - inside)) for start in starts]


def _at(tile: tuple[_Span, ...]) -> tuple[Any, ...]:
    return (..., *(span.sites for span in tile))


def _outer(weights: list[Tensor]) -> Tensor:
    total = weights[0]
    for w in weights[1:]:
        total = total[..., None] * w
    return total
