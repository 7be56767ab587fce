"""Invertible maps: what each can do, and their composition."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.doors import real
from monge.errors import BadInput
from monge.objects import Recorded

Label = Shaped[Tensor, " n *k"] | None


class Mapped(NamedTuple):
    """value: [n, *event]. log_det: [n], log |det| of the Jacobian of the map that gave it."""

    value: Tensor
    log_det: Tensor


def _of_events(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a bijector behind its door."""
    takes = inspect.signature(method)

    @functools.wraps(method)
    def guarded(self: "Bijector", *given: Any, **named: Any) -> Any:
        asked = takes.bind(self, *(given[:1] if given[1:] == (None,) else given), **named)  # no label is none
        name = list(takes.parameters)[1]
        asked.arguments[name] = self.door(asked.arguments[name], asked.arguments.get("label"))
        return method(*asked.args, **asked.kwargs)

    return guarded


class Bijector(Recorded, nn.Module):
    """A diffeomorphism of events, `forward` from data to latent: the course's T^-1, so that (75-77)

        log p(x) = log p_z(z) + log |det dz/dx|,  z, log_det = forward(x).

    x: [n, *event]. label: what the map is conditioned on, labels [n] or vectors [n, k] as `monge.nets.Condition` takes
    them, or None. labelled: False of one that is not conditioned on labels.

    What comes to `forward`, `inverse` and `start`, of a map of yours too, has passed a door: integers are floating
    numbers, and BadInput is raised for other channels, for no event axis, and for a label where it would be ignored.
    """

    _channels: int | None = None  # of the events [n, C, *space] on both sides; None for any
    labelled: bool = True

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        for name in ("forward", "inverse", "start"):
            if inspect.isfunction(vars(cls).get(name)):
                setattr(cls, name, _of_events(vars(cls)[name]))

    def door(self, x: Any, label: Label) -> Tensor:
        """x, if it can be mapped with this label."""
        given = real(x)
        if given.ndim < 2 or self._channels not in (None, given.shape[1]):
            wanted = "*event" if self._channels is None else f"{self._channels}, *space"
            raise BadInput(f"{type(self).__name__} maps events [n, {wanted}], not {list(given.shape)}")
        if label is not None and not self.labelled:
            raise BadInput(f"{type(self).__name__} is not conditioned on labels: give none")
        return given

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        """z, and log |det dz/dx|."""
        raise NotImplementedError

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        """x, and log |det dx/dz|."""
        raise NotImplementedError

    def latent_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of z for events x of this shape: the same, unless the map arranges them anew."""
        return event_shape

    def log_det(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, " n"]:
        """log |det dz/dx| at x."""
        found: Mapped = self(x, label)
        return found.log_det

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, "n *latent"]:
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
        self.labelled = any(bijector.labelled for bijector in bijectors)

    def latent_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        for bijector in self.bijectors:
            event_shape = bijector.latent_shape(event_shape)  # type: ignore[operator]
        return event_shape

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        total = x.new_zeros(len(x))
        for bijector in self.bijectors:
            x, log_det = bijector(x, label if bijector.labelled else None)
            total = total + log_det
        return Mapped(x, total)

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        total = z.new_zeros(len(z))
        for bijector in reversed(self.bijectors):
            z, log_det = bijector.inverse(z, label if bijector.labelled else None)  # type: ignore[operator]  # a Bijector, which nn.ModuleList forgets
            total = total + log_det
        return Mapped(z, total)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, "n *latent"]:
        for bijector in self.bijectors:
            x = bijector.start(x, label if bijector.labelled else None)  # type: ignore[operator]
        return x


class Flattened(Bijector):
    """A map of vectors [n, d] on events of d values, which are arranged again after it.

    >>> from monge.bijectors import Permutation
    >>> Flattened(Permutation(4))(torch.arange(4.0).reshape(1, 1, 2, 2)).value
    tensor([[[[3., 2.],
              [1., 0.]]]])
    """

    def __init__(self, bijector: Bijector) -> None:
        super().__init__()
        self.bijector, self.labelled = bijector, bijector.labelled

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        z, log_det = self.bijector(x.flatten(1), label)
        return Mapped(z.reshape(x.shape), log_det)

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        x, log_det = self.bijector.inverse(z.flatten(1), label)
        return Mapped(x.reshape(z.shape), log_det)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n *event"], label: Label = None) -> Float[Tensor, "n *latent"]:
        return self.bijector.start(x.flatten(1), label).reshape(x.shape)


class Inverse(Bijector):
    """The same map the other way round."""

    def __init__(self, bijector: Bijector) -> None:
        super().__init__()
        self.bijector, self.labelled, self._channels = bijector, bijector.labelled, bijector._channels

    def latent_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.bijector.latent_shape(event_shape) != event_shape:
            raise BadInput(
                "the inverse of a map that arranges events anew has its own latent_shape: give it in a class"
            )
        return event_shape

    def forward(self, x: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        return self.bijector.inverse(x, label)

    def inverse(self, z: Float[Tensor, "n *event"], label: Label = None) -> Mapped:
        found: Mapped = self.bijector(z, label)
        return found
