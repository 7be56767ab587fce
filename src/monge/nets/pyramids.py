"""Half a U-Net: down to a number (a critic), or up from a vector (a generator)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.blocks import Attention, Block, conv, layout, norm
from monge.nets.embedding import Condition
from monge.objects import Recorded


class Down(Recorded, nn.Module):
    """Convolutional critic [n, C, *space] -> [n, outputs]: residual blocks, halved space at each scale, the mean.

    The arguments are those of `UNet`.

    >>> import torch
    >>> Down((1, 8, 8), widths=(8, 16), blocks=1, outputs=3)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        widths: Sequence[int],
        blocks: int = 1,
        attention: Sequence[int] = (),
        classes: int = 0,
        condition: int = 0,
        outputs: int = 1,
        periodic: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, *space = event_shape
        dimension, told = len(space), 4 * widths[0]
        self.condition = Condition(told, classes, condition, level=False)
        self.first = conv(dimension, channels, widths[0], 3, periodic)
        each = list(enumerate(widths))
        self.stages = _stages(dimension, widths[0], each, blocks, attention, told, periodic, dropout)
        self.pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dimension - 1]
        self.last = nn.Sequential(norm(widths[-1]), nn.SiLU())
        coarse = math.prod(-(-side // 2 ** (len(widths) - 1)) for side in space)
        self.out = nn.Linear(widths[-1] * coarse, outputs)
        self.layout = layout(self, dimension)

    def forward(
        self, x: Float[Tensor, "n c *space"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n outputs"]:
        condition = self.condition(len(x), None, label)
        h = self.first(x.contiguous(memory_format=self.layout))
        for scale, stage in enumerate(self.stages):
            if scale:
                h = self.pool(h, 2, ceil_mode=True)
            h = _run(stage, h, condition)
        out: Tensor = self.out(self.last(h).flatten(1))
        return out


class Up(Recorded, nn.Module):
    """Convolutional generator [n, latent] -> [n, C, *space]: the coarsest scale from the latent, doubled and refined.

    The other arguments are those of `UNet`.

    >>> import torch
    >>> Up(4, (1, 7, 7), widths=(8, 16), blocks=1)(torch.zeros(5, 4)).shape
    torch.Size([5, 1, 7, 7])
    """

    def __init__(
        self,
        latent: int,
        event_shape: Sequence[int],
        widths: Sequence[int],
        blocks: int = 1,
        attention: Sequence[int] = (),
        classes: int = 0,
        condition: int = 0,
        periodic: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, *space = event_shape
        dimension, told = len(space), 4 * widths[0]
        self.condition = Condition(told, classes, condition, level=False)
        self.sides = [[-(-side // 2**scale) for side in space] for scale in range(len(widths))]
        self.first = nn.Linear(latent, widths[-1] * math.prod(self.sides[-1]))
        each = list(enumerate(widths))[::-1]
        self.stages = _stages(dimension, widths[-1], each, blocks, attention, told, periodic, dropout)
        self.last = nn.Sequential(norm(widths[0]), nn.SiLU(), conv(dimension, widths[0], channels, 3, periodic))
        self.layout = layout(self, dimension)

    def forward(
        self, z: Float[Tensor, "n latent"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n c *space"]:
        condition = self.condition(len(z), None, label)
        h = self.first(z).reshape(len(z), -1, *self.sides[-1]).contiguous(memory_format=self.layout)
        for stage, sides in zip(self.stages, reversed(self.sides), strict=True):
            if list(h.shape[2:]) != sides:
                h = F.interpolate(h, scale_factor=2, mode="nearest")
                for axis, side in enumerate(sides, start=2):
                    h = h.narrow(axis, 0, side)
            h = _run(stage, h, condition)
        out: Tensor = self.last(h)
        return out


def _stages(
    dimension: int,
    inside: int,
    each: Sequence[tuple[int, int]],
    blocks: int,
    attention: Sequence[int],
    told: int,
    periodic: bool,
    dropout: float,
) -> nn.ModuleList:
    """Residual blocks, and attention where asked for, at each scale and its width, in the order given."""
    stages = nn.ModuleList()
    for scale, width in each:
        widths = [inside, *[width] * blocks]
        parts: list[nn.Module] = [Block(dimension, a, b, told, periodic, dropout) for a, b in pairwise(widths)]
        if scale in attention:
            parts.append(Attention(width))
        stages.append(nn.ModuleList(parts))
        inside = width
    return stages


def _run(stage: nn.Module, h: Tensor, condition: Tensor) -> Tensor:
    for part in stage.children():
        h = part(h) if isinstance(part, Attention) else part(h, condition)
    return h
