"""Invertible maps: what each can do, and their composition."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

Label = Shaped[Tensor, " n *k"] | None


class Mapped(NamedTuple):
    """value: [n, *event]. log_det: [n], log |det| of the Jacobian of the map that gave it."""

    value: Tensor
    log_det: Tensor


class Bijector(nn.Module):
    """A diffeomorphism of events, `forward` from data to latent: the course's T^-1, so that (75-77)

        log p(x) = log p_z(z) + log |det dz/dx|,  z, log_det = forward(x).

    x: [n, *event]. label: what the map is conditioned on, labels [n] or vectors [n, k] as `monge.nets.Condition` takes
    them, or None.
    """

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        """z, and log |det dz/dx|."""
        raise NotImplementedError

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        """x, and log |det dx/dz|."""
        raise NotImplementedError

    def log_det(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, " n"]:
        """log |det dz/dx| at x."""
        found: Mapped = self(x, label)
        return found.log_det

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, "n *event"]:
        """Set what a first look at data sets (86), and return z. A map that needs no look is only applied."""
        found: Mapped = self(x, label)
        return found.value


class Chain(Bijector):
    """T_k o ... o T_1: the first is applied first (70).

    >>> from monge.bijectors import Elementwise
    >>> chain = Chain([Elementwise((2,), shift=1.0), Elementwise((2,), scale=2.0)])
    >>> z, log_det = chain(torch.zeros(1, 2))
    >>> z.tolist(), round(log_det.item(), 4)  # log 4
    ([[2.0, 2.0]], 1.3863)
    """

    def __init__(self, bijectors: Sequence[Bijector]) -> None:
        super().__init__()
        self.bijectors = nn.ModuleList(bijectors)

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        total = x.new_zeros(len(x))
        for bijector in self.bijectors:
            x, log_det = bijector(x, label)
            total = total + log_det
        return Mapped(x, total)

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        total = z.new_zeros(len(z))
        for bijector in reversed(self.bijectors):
            z, log_det = bijector.inverse(z, label)  # type: ignore[operator]  # a Bijector, which nn.ModuleList forgets
            total = total + log_det
        return Mapped(z, total)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, "n *event"]:
        for bijector in self.bijectors:
            x = bijector.start(x, label)  # type: ignore[operator]
        return x


class Inverse(Bijector):
    """The same map the other way round."""

    def __init__(self, bijector: Bijector) -> None:
        super().__init__()
        self.bijector = bijector

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        return self.bijector.inverse(x, label)

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        found: Mapped = self.bijector(z, label)
        return found
