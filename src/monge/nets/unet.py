"""The U-Net in 1, 2 or 3 dimensions."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.errors import BadInput
from monge.nets.blocks import CONVOLUTIONS, Attention, Block, conv, layout, norm, zeroed
from monge.nets.embedding import Condition
from monge.nets.stem import fold, unfold
from monge.objects import Recorded


class UNet(Recorded, nn.Module):
    """U-Net [n, C, *space] -> [n, outputs, *space] told a noise level and a class or a vector, or neither.

    Ronneberger et al. (2015) with residual blocks: down a ladder of scales, and up again with the skip
    connections of the way down. Sides that are odd at some level are cropped on the way up.

    channels: C. widths: channels at each scale, finest first. blocks: residual blocks per scale.
    attention: scales (0 is the finest) at which sites attend to one another. classes, condition: number of labels, or
    length of a vector condition. periodic: circular padding, for fields on a torus. outputs: C unless given. level:
    whether it is told a noise level. stem: blocks of so many sites a side are folded into channels before the finest
    scale, and unfolded at the end. moves: numbers by which it is told that a row was moved. It starts as the function
    0.

    Raises BadInput if the space has other than 1, 2 or 3 dimensions.

    >>> net = UNet(dimension=2, channels=1, widths=(8, 16))
    >>> net(torch.zeros(5, 1, 8, 8), torch.zeros(5)).shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        dimension: int,
        channels: int,
        widths: Sequence[int] = (32, 64),
        blocks: int = 2,
        attention: Sequence[int] = (),
        classes: int = 0,
        periodic: bool = False,
        dropout: float = 0.0,
        condition: int = 0,
        outputs: int | None = None,
        level: bool = True,
        stem: int = 1,
        moves: int = 0,
    ) -> None:
        super().__init__()
        if dimension not in (1, 2, 3):
            raise BadInput(f"a U-Net works in 1, 2 or 3 space dimensions, not {dimension}: use an MLP for vectors")
        embedding, self.stem, self.periodic = 4 * widths[0], stem, periodic
        self.condition = Condition(embedding, classes, condition, level, moves)
        self.first = conv(dimension, channels * stem**dimension, widths[0], 3, periodic)

        def block(inside: int, outside: int, scale: int) -> nn.ModuleList:
            parts: list[nn.Module] = [Block(dimension, inside, outside, embedding, periodic, dropout)]
            if scale in attention:
                parts.append(Attention(outside))
            return nn.ModuleList(parts)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = widths[0], [widths[0]]
        for scale, outside in enumerate(widths):
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(block(width, outside, scale))
                width = outside
                skips.append(width)
            self.down.append(stage)
        self.middle = block(width, width, len(widths) - 1)
        for scale, outside in reversed(list(enumerate(widths))):
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(block(width + skips.pop(), outside, scale))
                width = outside
            self.up.append(stage)
        self.last = nn.Sequential(
            norm(width + widths[0]),
            nn.SiLU(),
            zeroed(conv(dimension, width + widths[0], (outputs or channels) * stem**dimension, 3, periodic)),
        )
        self.pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dimension - 1]
        self.layout = layout(self, dimension)

    def kernels(self) -> list[nn.Parameter]:
        """Those of the convolutions between the first and the last."""
        inside = nn.ModuleList([self.down, self.middle, self.up]).modules()
        return [cast(nn.Parameter, part.weight) for part in inside if isinstance(part, CONVOLUTIONS)]

    def forward(
        self,
        x: Float[Tensor, "n c *space"],
        level: Float[Tensor, " n"] | None = None,
        label: Shaped[Tensor, " n *k"] | None = None,
        moved: Float[Tensor, "n moves"] | None = None,
    ) -> Float[Tensor, "n outputs *space"]:
        condition, space = self.condition(len(x), level, label, moved), x.shape[2:]
        if self.stem > 1:
            x = fold(x, self.stem, self.periodic)
        first = h = self.first(x.contiguous(memory_format=self.layout))
        skips = []
        for scale, stage in enumerate(self.down):
            if scale:
                h = self.pool(h, 2, ceil_mode=True)
            for parts in cast(nn.ModuleList, stage):
                h = self._run(parts, h, condition)
                skips.append(h)
        h = self._run(self.middle, h, condition)
        for stage in self.up:
            for parts in cast(nn.ModuleList, stage):
                skip = skips.pop()
                if h.shape[2:] != skip.shape[2:]:
                    h = self._enlarge(h, skip.shape[2:])
                h = self._run(parts, torch.cat([h, skip], dim=1), condition)
        out: Tensor = self.last(torch.cat([h, first], dim=1))
        return unfold(out, self.stem, space) if self.stem > 1 else out

    @staticmethod
    def _run(parts: nn.Module, h: Tensor, condition: Tensor) -> Tensor:
        block, *others = cast(nn.ModuleList, parts)
        h = block(h, condition)
        for attention in others:
            h = attention(h)
        return h

    @staticmethod
    def _enlarge(h: Tensor, space: torch.Size) -> Tensor:
        h = F.interpolate(h, scale_factor=2, mode="nearest")
        for axis, side in enumerate(space, start=2):
            h = h.narrow(axis, 0, side)
        return h
