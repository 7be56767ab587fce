"""Networks by their role, of a size that suits the events."""

import math
from typing import Any

import torch
from torch import nn

from monge.errors import BadInput
from monge.nets.bias_free import BiasFreeUNet
from monge.nets.embedding import Waves
from monge.nets.masked import ResidualMLP
from monge.nets.mlp import MLP
from monge.nets.pyramids import Down, Up
from monge.nets.smooth import SmoothMLP
from monge.nets.spec import Size, Spec
from monge.nets.unet import UNet

WAVES = 32  # directions in which a critic of vectors sees waves
LEAN = 64  # width of perceptrons that run many times a step, at least
BIAS_FREE = 64, 64, 64  # channels at each scale of a network without constants
WIDE, NARROW = 32, 16  # channels of the finest scale, and of that of networks that run many times a step
SMALLEST_SIDE = 4  # a network stops halving the space here
SMALL_SIDE = 16  # up to here one block a scale is enough, and every site is within reach of the convolutions
ATTENTION_SITES = 64  # attention where at most so many sites look at one another


def denoiser(spec: Spec, size: Size | None = None, *, inputs: int = 1) -> nn.Module:
    """(y [n, *event], level [n], label or None) -> [n, *event]: an MLP for vectors, else a U-Net.

    inputs: how many events it is given side by side, as channels [n, inputs C, *space] or coordinates.

    Unless `size` says otherwise, the U-Net halves the space until its shortest side is 4 (at most four scales). Above
    16 pixels it has two blocks a scale and lets sites attend to one another at the coarsest scale, if there are at
    most 64 of them.

    >>> type(denoiser(Spec((2,)))).__name__, type(denoiser(Spec((1, 8, 8)))).__name__
    ('MLP', 'UNet')
    """
    if not spec.space:
        features = spec.event_shape[0]
        return MLP(inputs * features, outputs=features, **_perceptron(spec, size))
    stem = size.stem if size is not None and size.stem else 1
    options = _convolutions(spec, size, folds=True)
    channels = spec.event_shape[0]
    options |= {"periodic": spec.periodic, "stem": stem, "moves": spec.moves}
    return UNet(len(spec.space), inputs * channels, outputs=channels, **options)


def field(spec: Spec, size: Size | None = None) -> nn.Module:
    """(x [n, *event], level [n], label or None) -> [n, *event], that is differentiated twice: a smooth perceptron of
    three layers for vectors, else the U-Net of `denoiser`.

    >>> type(field(Spec((2,)))).__name__, type(field(Spec((1, 8, 8)))).__name__
    ('SmoothMLP', 'UNet')
    """
    if spec.space:
        return denoiser(spec, size)
    asked = _perceptron(spec, size)
    if asked.pop("dropout"):
        raise BadInput("the field of a likelihood has no dropout: leave it out")
    wide = size is not None and size.widths is not None
    return SmoothMLP(
        spec.event_shape[0],
        width=asked["width"] if wide else max(LEAN, asked["width"] // 2),
        layers=asked["blocks"],
        classes=spec.classes,
        condition=spec.features,
        waves=asked["waves"],
    )


def bias_free(spec: Spec, size: Size | None = None) -> BiasFreeUNet:
    """(y [n, C, *space], ...) -> [n, C, *space], homogeneous in y: for images and fields of any size.

    Raises BadInput for vectors, and for a size with attention or dropout.

    >>> import torch
    >>> bias_free(Spec((1, 32, 32), "images"))(torch.zeros(5, 1, 50, 40)).shape
    torch.Size([5, 1, 50, 40])
    """
    size = size or Size()
    if not spec.space:
        raise BadInput("a network without constants works on images and fields, not on vectors")
    if size.attention or size.dropout:
        raise BadInput("a network without constants has neither attention nor dropout: leave them out")
    return BiasFreeUNet(
        len(spec.space),
        spec.event_shape[0],
        widths=size.widths or BIAS_FREE,
        blocks=size.blocks or 1,
        stem=size.stem or 2,
        periodic=spec.periodic,
    )


def critic(spec: Spec, size: Size | None = None, *, outputs: int = 1) -> nn.Module:
    """(x [n, *event], label, image or None) -> [n, outputs]: a score for each event, beside the image it is told.

    A vector is seen beside waves of it, or a critic would be blind to the width of a narrow mode for long.

    >>> import torch
    >>> critic(Spec((1, 8, 8)))(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 1])
    """
    if not spec.space:
        waves = Waves(spec.event_shape[0], WAVES)
        return _After(waves, ResidualMLP(waves.outputs, outputs, zero=False, **_lean(spec, size, "critic")))
    shape = (spec.event_shape[0] + spec.context, *spec.space)
    net = Down(shape, outputs=outputs, periodic=spec.periodic, **_convolutions(spec, size, finest=NARROW))
    return _Beside(net) if spec.context else net


def generator(spec: Spec, size: Size | None = None, *, latent: int) -> nn.Module:
    """(z [n, latent], label or None) -> [n, *event]; where it is told an image, z is [n, latent, *space], and the
    network a U-Net of both.

    >>> import torch
    >>> generator(Spec((3, 8, 8)), latent=16)(torch.zeros(5, 16)).shape
    torch.Size([5, 3, 8, 8])
    """
    channels = spec.event_shape[0]
    if not spec.space:
        return ResidualMLP(latent, channels, zero=False, **_lean(spec, size, "generator"))
    options = _convolutions(spec, size, finest=NARROW)
    if spec.context:
        inside = latent + spec.context
        net = UNet(len(spec.space), inside, outputs=channels, level=False, periodic=spec.periodic, **options)
        return _Beside(_Unlevelled(net))
    return Up(latent, spec.event_shape, periodic=spec.periodic, **options)


def conditioner(spec: Spec, size: Size | None = None, *, inside: int, outside: int) -> nn.Module:
    """(part [n, inside, *space], label or None) -> [n, outside, *space]: parameters of one part from another.

    inside, outside: numbers of coordinates, or of channels at every site. It starts as the function 0: the bijector
    that it steers starts as the identity.

    >>> import torch
    >>> conditioner(Spec((3,)), inside=2, outside=4)(torch.zeros(5, 2)).shape
    torch.Size([5, 4])
    """
    if not spec.space:
        return ResidualMLP(inside, outside, **_lean(spec, size, "conditioner"))
    options = _convolutions(spec, size)
    if size is None or size.widths is None:
        options |= {"widths": options["widths"][:1], "blocks": 2, "attention": ()}
    net = UNet(len(spec.space), inside, outputs=outside, level=False, periodic=spec.periodic, **options)
    return _Unlevelled(net)


class _After(nn.Module):
    """A network that sees its input through a map."""

    def __init__(self, seen: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.seen, self.net = seen, net

    def forward(self, x: Any, label: Any = None) -> Any:
        return self.net(self.seen(x), label)


class _Beside(nn.Module):
    """A network of channels that is told an image as more of them."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any, label: Any) -> Any:
        return self.net(torch.cat([x, label], 1))


class _Unlevelled(nn.Module):
    """A network without a noise level, called with its input and a label."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any, label: Any = None) -> Any:
        return self.net(x, None, label)


def _perceptron(spec: Spec, size: Size | None) -> dict[str, Any]:
    size = size or Size()
    if size.widths is not None and len(size.widths) > 1:
        raise BadInput(f"vectors have one scale: give one width, not {size.widths}")
    if size.attention:
        raise BadInput("vectors have no sites that could attend to one another: leave attention out")
    if size.stem:
        raise BadInput("vectors have no space to fold: leave stem out")
    return {
        "width": size.widths[0] if size.widths else min(512, max(128, 32 * math.isqrt(spec.event_shape[0]))),
        "blocks": size.blocks or 3,
        "classes": spec.classes,
        "condition": spec.features,
        "dropout": size.dropout,
        "waves": size.waves,
    }


def _lean(spec: Spec, size: Size | None, role: str) -> dict[str, Any]:
    wide = _perceptron(spec, size)
    if size is None or size.widths is None:
        wide["width"] = max(LEAN, wide["width"] // 2)
    for name in ("dropout", "waves"):
        if wide.pop(name):
            raise BadInput(f"the {role} of vectors has no {name}: leave it out")
    return wide


def _convolutions(spec: Spec, size: Size | None, *, finest: int = WIDE, folds: bool = False) -> dict[str, Any]:
    size = size or Size()
    if size.waves:
        raise BadInput("waves are for vectors: leave them out where there is a space")
    if size.stem and not folds:
        raise BadInput("only a denoiser folds its space: leave stem out")
    space = tuple(-(-side // (size.stem or 1)) for side in spec.space)
    scales = 1
    while scales < 4 and min(space) >> scales >= SMALLEST_SIDE:
        scales += 1
    widths = size.widths or tuple(finest * 2**scale for scale in range(scales))
    sites = math.prod(-(-side // 2 ** (len(widths) - 1)) for side in space)
    large = max(space) > SMALL_SIDE
    attention = (len(widths) - 1,) if large and sites <= ATTENTION_SITES else ()
    return {
        "widths": widths,
        "blocks": size.blocks or (2 if large else 1),
        "attention": attention if size.attention is None else size.attention,
        "classes": spec.classes,
        "condition": spec.features,
        "dropout": size.dropout,
    }
