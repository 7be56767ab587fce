"""Maps of each value by itself."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from monge.bijectors.base import Bijector, Label, Mapped
from monge.doors import events
from monge.errors import BadInput


class Elementwise(Bijector):
    """z = (x + shift) scale, shift and scale > 0 learned for each value of the event.

    >>> Elementwise((2,), scale=2.0)(torch.ones(1, 2)).value
    tensor([[2., 2.]], grad_fn=<MulBackward0>)
    """

    labelled = False

    def __init__(self, event_shape: Sequence[int], *, shift: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        if not scale > 0:
            raise BadInput(f"scale must be above 0, not {scale}")
        self.event_shape = tuple(event_shape)
        self.shift = nn.Parameter(torch.full(tuple(event_shape), shift))
        self.log_scale = nn.Parameter(torch.full(tuple(event_shape), math.log(scale)))

    def door(self, x: Any, label: Label) -> Tensor:
        return events(super().door(x, label), self.event_shape)

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        return Mapped((x + self.shift) * self.log_scale.exp(), self.log_scale.sum().expand(len(x)))

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        return Mapped(z * (-self.log_scale).exp() - self.shift, -self.log_scale.sum().expand(len(z)))


class Logit(Bijector):
    """z = log(u / (1 - u)), u = (x - low) / (high - low): from (low, high) to the line.

    What comes back rounds to a bound is the nearest number within it.

    Raises BadInput for values at or beyond the bounds.

    >>> Logit(0.0, 2.0)(torch.ones(1, 1)).value
    tensor([[0.]])
    """

    labelled = False

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if not low < high:
            raise BadInput(f"bounds need low < high, not {low} and {high}")
        self.low, self.width = low, high - low

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        if not bool(((x > self.low) & (x < self.low + self.width)).all()):
            raise BadInput(f"values must lie between {self.low} and {self.low + self.width}, and some do not")
        u = _within((x - self.low) / self.width, 0.0, 1.0)  # which rounds to 0 or 1 beside a bound
        slope = -u.log() - torch.log1p(-u) - math.log(self.width)
        return Mapped(u.log() - torch.log1p(-u), slope.flatten(1).sum(1))

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        slope = F.logsigmoid(z) + F.logsigmoid(-z) + math.log(self.width)
        return Mapped(
            _within(self.low + self.width * z.sigmoid(), self.low, self.low + self.width), slope.flatten(1).sum(1)
        )


class Tanh(Bijector):
    """z = bound tanh(x / bound): from the line to (-bound, bound), the identity near 0.

    What rounds to a bound is the nearest number within it.

    >>> Tanh(3.0)(torch.zeros(1, 1)).value
    tensor([[0.]])
    """

    labelled = False

    def __init__(self, bound: float = 1.0) -> None:
        super().__init__()
        if not bound > 0:
            raise BadInput(f"bound must be above 0, not {bound}")
        self.bound = bound

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        u = x / self.bound
        slope = 2 * (math.log(2.0) - u - F.softplus(-2 * u))  # log(1 - tanh^2), without cancelling
        return Mapped(_within(self.bound * u.tanh(), -self.bound, self.bound), slope.flatten(1).sum(1))

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        u = z / self.bound
        if not bool((u.abs() < 1).all()):
            raise BadInput(f"values must lie between -{self.bound} and {self.bound}, and some do not")
        return Mapped(self.bound * u.atanh(), -(torch.log1p(-u) + torch.log1p(u)).flatten(1).sum(1))


def _within(x: Tensor, low: float, high: float) -> Tensor:
    """x, at most the neighbour of a bound in its precision."""
    ends = x.new_tensor([low, high])
    return x.clamp(*torch.nextafter(ends, ends.flip(0)).tolist())
