"""The U-Net in 1, 2 or 3 dimensions."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from monge.errors import BadInput
from monge.nets.embedding import Condition

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
GROUP = 16  # channels that one normalisation group shares


def _conv(dimension: int, inside: int, outside: int, kernel: int, periodic: bool) -> nn.Module:
    mode: Literal["circular", "zeros"] = "circular" if periodic and kernel > 1 else "zeros"
    return CONVOLUTIONS[dimension - 1](inside, outside, kernel, padding=kernel // 2, padding_mode=mode)


def _norm(channels: int) -> nn.GroupNorm:
    groups = max(1, channels // GROUP)
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def _zero(module: nn.Module) -> nn.Module:
    """Start a residual branch at zero, so that an untrained block is the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Block(nn.Module):
    """Residual block: norm, SiLU, conv, norm modulated by the condition, SiLU, conv."""

    def __init__(
        self, dimension: int, inside: int, outside: int, condition: int, periodic: bool, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = _norm(inside)
        self.conv1 = _conv(dimension, inside, outside, 3, periodic)
        self.modulation = nn.Linear(condition, 2 * outside)
        self.norm2 = _norm(outside)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = _zero(_conv(dimension, outside, outside, 3, periodic))
        self.skip = _conv(dimension, inside, outside, 1, periodic) if inside != outside else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(condition).reshape(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        h = F.silu(torch.addcmul(shift, self.norm2(h), scale + 1))
        out: Tensor = self.skip(x) + self.conv2(self.dropout(h))
        return out


class Attention(nn.Module):
    """Residual self-attention over sites: each site looks at every other."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, channels = x.shape[:2]
        flat = self.qkv(self.norm(x).reshape(n, channels, -1))
        q, k, v = flat.reshape(n, 3, self.heads, channels // self.heads, -1).transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, channels, -1)
        out: Tensor = x + self.out(mixed).reshape(x.shape)
        return out


class UNet(nn.Module):
    """U-Net [n, C, *space] -> [n, C, *space] told a noise level and, optionally, a class.

    Ronneberger et al. (2015) with residual blocks: down a ladder of scales, and up again with the skip
    connections of the way down. Sides that are odd at some level are cropped on the way up.

    channels: C. widths: channels at each scale, finest first. blocks: residual blocks per scale.
    attention: scales (0 is the finest) at which sites attend to one another. classes: number of labels, 0 for none.
    periodic: circular padding, for fields on a torus.

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
    ) -> None:
        super().__init__()
        if dimension not in (1, 2, 3):
            raise BadInput(f"a U-Net works in 1, 2 or 3 space dimensions, not {dimension}: use an MLP for vectors")
        embedding = 4 * widths[0]
        self.condition = Condition(embedding, classes)
        self.first = _conv(dimension, channels, widths[0], 3, periodic)

        def block(inside: int, outside: int, scale: int) -> nn.ModuleList:
            parts: list[nn.Module] = [Block(dimension, inside, outside, embedding, periodic, dropout)]
            if scale in attention:
                parts.append(Attention(outside, max(1, outside // 32)))
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
            _norm(width + widths[0]),
            nn.SiLU(),
            _zero(_conv(dimension, width + widths[0], channels, 3, periodic)),
        )
        self.pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dimension - 1]
        # convolutions in two dimensions are a third faster on a CPU with channels last
        self.layout = torch.channels_last if dimension == 2 else torch.contiguous_format
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=self.layout)

    def forward(
        self,
        x: Float[Tensor, "n c *space"],
        level: Float[Tensor, " n"],
        label: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n c *space"]:
        condition = self.condition(level, label)
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
        return out

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
