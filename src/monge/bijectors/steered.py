"""Triangular maps: each value is moved by a scalar map whose parameters a network reads off other values."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge.bijectors.base import Bijector, Label, Mapped
from monge.bijectors.scalar import ScalarMap
from monge.errors import BadInput
from monge.nets import MaskedMLP, Size, Spec, conditioner


def dtype_of(net: nn.Module) -> torch.dtype:
    """The precision that a network works in, whatever that of the events."""
    return next(net.parameters()).dtype


class Coupling(Bijector):
    """Half of the channels stay, and steer a scalar map of the others: z_a = x_a, z_b = g(x_b; net(x_a)) (80-82).

    The inverse is as cheap: x_b = g^-1(z_b; net(z_a)). Channels are coordinates for vectors [n, d].

    spec: the events. scalar: g. size: of the network. flip: the second half steers, not the first.

    Raises BadInput for events of one channel, of which no half can steer the other.

    >>> from monge.bijectors import Affine
    >>> Coupling(Spec((3,)), Affine())(torch.ones(2, 3)).value
    tensor([[1., 1., 1.],
            [1., 1., 1.]], grad_fn=<CatBackward0>)
    """

    def __init__(self, spec: Spec, scalar: ScalarMap, size: Size | None = None, *, flip: bool = False) -> None:
        super().__init__()
        channels = self._channels = spec.event_shape[0]
        self.labelled = bool(spec.classes or spec.features)
        if channels < 2:
            raise BadInput("a coupling needs 2 channels at least, and the events have 1: use an autoregressive map")
        self.scalar, self.flip = scalar, flip
        self.first = channels // 2
        steering, moved = (self.first, channels - self.first)[:: -1 if flip else 1]
        self.net = conditioner(spec, size, inside=steering, outside=moved * scalar.size)

    def _steer(self, x: Tensor, label: Label, inverse: bool) -> Mapped:
        a, b = x[:, : self.first], x[:, self.first :]
        steering, moved = (b, a) if self.flip else (a, b)
        said = self.net(steering.to(dtype_of(self.net)), label).to(x)
        parameters = said.reshape(len(x), moved.shape[1], self.scalar.size, *x.shape[2:]).movedim(2, -1)
        value, log_slope = (self.scalar.inverse if inverse else self.scalar.forward)(moved, parameters)
        both = (value, steering) if self.flip else (steering, value)
        return Mapped(torch.cat(both, 1), log_slope.flatten(1).sum(1))

    def forward(self, x: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        return self._steer(x, label, inverse=False)

    def inverse(self, z: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        return self._steer(z, label, inverse=True)


class Autoregressive(Bijector):
    """z_i = g(x_i; net_i(x_1 .. x_{i-1})): triangular, one pass of a masked network (Papamakarios et al. 2017).

    The inverse finds one coordinate after the other, for all rows at once; the network is read once in all.

    spec: vectors [d]. scalar: g. size: of the network.

    Raises BadInput for events that are not vectors.

    >>> from monge.bijectors import Affine
    >>> Autoregressive(Spec((3,)), Affine()).inverse(torch.ones(1, 3)).value
    tensor([[1., 1., 1.]], grad_fn=<StackBackward0>)
    """

    def __init__(self, spec: Spec, scalar: ScalarMap, size: Size | None = None) -> None:
        super().__init__()
        if spec.space:
            raise BadInput(f"an autoregressive map orders the values of vectors [d], not {list(spec.event_shape)}")
        size = size or Size()
        self.scalar, self._channels, self.labelled = scalar, spec.event_shape[0], bool(spec.classes or spec.features)
        self.net = MaskedMLP(
            spec.event_shape[0],
            scalar.size,
            width=size.widths[0] if size.widths else max(64, 2 * spec.event_shape[0]),
            blocks=size.blocks or 1,
            classes=spec.classes,
            condition=spec.features,
        )

    def forward(self, x: Float[Tensor, "n d"], label: Label = None) -> Mapped:
        value, log_slope = self.scalar.forward(x, self.net(x.to(dtype_of(self.net)), label).to(x))
        return Mapped(value, log_slope.sum(1))

    def inverse(self, z: Float[Tensor, "n d"], label: Label = None) -> Mapped:
        walk, total = self.net.one_by_one(len(z), label), z.new_zeros(len(z))
        known: list[Tensor] = []
        for at in z.unbind(1):
            value, log_slope = self.scalar.inverse(at, walk.outputs().to(z))
            walk.tell(value.to(dtype_of(self.net)))
            known.append(value)
            total = total + log_slope
        return Mapped(torch.stack(known, 1), total)
