"""Network sizes chosen from the shape of the data."""

import math

from torch import nn

from monge.errors import BadInput
from monge.nets.mlp import MLP
from monge.nets.unet import UNet

SMALLEST_SIDE = 4  # a U-Net stops halving here
SMALL_SIDE = 16  # up to here one block a scale is enough, and every site is within reach of the convolutions
ATTENTION_SITES = 64  # attention where at most so many sites look at one another


def network(event_shape: tuple[int, ...], *, classes: int = 0, periodic: bool = False) -> nn.Module:
    """A network of sensible size: an MLP for [d], a U-Net for [C, *space] with one, two or three dimensions.

    The U-Net halves the space until its shortest side is 4 (at most four scales). Above 16 pixels it has two
    blocks a scale and lets sites attend to one another at the coarsest scale, if there are at most 64 of them.

    Raises BadInput for an event with no axis or more than four.

    >>> type(network((2,))).__name__, type(network((1, 8, 8))).__name__
    ('MLP', 'UNet')
    """
    if len(event_shape) == 1:
        width = min(512, max(128, 32 * math.isqrt(event_shape[0])))
        return MLP(event_shape[0], width=width, blocks=3, classes=classes)
    if not 2 <= len(event_shape) <= 4:
        raise BadInput(f"no network for events of shape {event_shape}: give [d] or [C, *space] with 1 to 3 dimensions")
    channels, *space = event_shape
    scales = 1
    while scales < 4 and min(space) >> scales >= SMALLEST_SIDE:
        scales += 1
    widths = [32 * 2**scale for scale in range(scales)]
    sites = math.prod(-(-side // 2 ** (scales - 1)) for side in space)
    large = max(space) > SMALL_SIDE
    return UNet(
        len(space),
        channels,
        widths=widths,
        blocks=2 if large else 1,
        attention=(scales - 1,) if large and sites <= ATTENTION_SITES else (),
        classes=classes,
        periodic=periodic,
    )
