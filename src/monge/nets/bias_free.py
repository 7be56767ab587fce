"""A U-Net without constants: what it makes of an image is scaled when the image is."""

import itertools
from collections.abc import Sequence
from typing import Literal, cast

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.blocks import CONVOLUTIONS, layout, zeroed
from monge.nets.stem import filled, fold, unfold
from monge.objects import Recorded

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class BiasFreeUNet(Recorded, nn.Module):
    """U-Net f [n, C, *space] -> the same, with f(a y) = a f(y) for a >= 0: convolutions and ReLU, and no constant.

    So it is linear between the kinks of its ReLUs, f(y) = f'(y) y, and what it learned of noise at one level holds at
    others (Mohan et al. 2020). Residual blocks at each scale; between them the space is halved, and doubled, by
    convolutions of 2 sites, and what was there before is added (Zhang et al. 2021). Events of any size: sides are
    filled up by what is at their edge.

    channels: C. widths: channels at each scale, finest first. blocks: residual blocks on each side of a scale, and
    twice as many at the coarsest. stem: sites a side that are folded into channels before the finest scale. periodic:
    circular padding, for fields on a torus. It starts as the function 0. `level` and `label` are not looked at.

    >>> import torch
    >>> net = BiasFreeUNet(2, 1, widths=(8, 16))
    >>> net(torch.zeros(5, 1, 13, 10)).shape, net.reach
    (torch.Size([5, 1, 13, 10]), 32)
    """

    def __init__(
        self,
        dimension: int,
        channels: int,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
        stem: int = 2,
        periodic: bool = False,
    ) -> None:
        super().__init__()
        self.stem, self.periodic = stem, periodic
        self.multiple = stem * 2 ** (len(widths) - 1)
        kind, across = CONVOLUTIONS[dimension - 1], TRANSPOSED[dimension - 1]
        mode: Literal["circular", "zeros"] = "circular" if periodic else "zeros"

        def conv(inside: int, outside: int) -> nn.Module:
            return kind(inside, outside, 3, padding=1, padding_mode=mode, bias=False)

        def stage(width: int, count: int) -> nn.Sequential:
            return nn.Sequential(*[_Block(conv(width, width), zeroed(conv(width, width))) for _ in range(count)])

        pairs = list(itertools.pairwise(widths))
        self.first = conv(channels * stem**dimension, widths[0])
        self.down = nn.ModuleList([stage(width, blocks) for width in widths[:-1]])
        self.lower = nn.ModuleList([kind(fine, coarse, 2, 2, bias=False) for fine, coarse in pairs])
        self.middle = stage(widths[-1], 2 * blocks)
        self.higher = nn.ModuleList([across(coarse, fine, 2, 2, bias=False) for fine, coarse in pairs])
        self.up = nn.ModuleList([stage(width, blocks) for width in widths[:-1]])
        self.last = zeroed(conv(widths[0], channels * stem**dimension))
        self.layout = layout(self, dimension)
        # of 3 sites each: the first and the last, and two a block at each scale; halving and folding add one block
        convolutions = 2 + sum(4 * blocks * 2**scale for scale in range(len(widths)))
        self.reach: int = stem * convolutions + self.multiple

    def kernels(self) -> list[nn.Parameter]:
        """Those of the residual blocks."""
        inside = nn.ModuleList([self.down, self.middle, self.up]).modules()
        return [cast(nn.Parameter, part.weight) for part in inside if isinstance(part, CONVOLUTIONS)]

    def forward(
        self,
        x: Float[Tensor, "n c *space"],
        level: Float[Tensor, " n"] | None = None,
        label: Shaped[Tensor, " n *k"] | None = None,
    ) -> Float[Tensor, "n c *space"]:
        space = x.shape[2:]
        folded = fold(filled(x, self.multiple, self.periodic), self.stem)
        h = self.first(folded.contiguous(memory_format=self.layout))
        skips = [h]
        for stage, lower in zip(self.down, self.lower, strict=True):
            h = stage(h)
            skips.append(h)
            h = lower(h)
        h = self.middle(h)
        for stage, higher in zip(reversed(self.up), reversed(self.higher), strict=True):
            h = stage(higher(h) + skips.pop())
        return unfold(self.last(h + skips.pop()), self.stem, space)


class _Block(nn.Module):
    def __init__(self, one: nn.Module, two: nn.Module) -> None:
        super().__init__()
        self.one, self.two = one, two

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.two(F.relu(self.one(x)))
        return out
