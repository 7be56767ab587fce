"""A descriptor: learned on some real rows, then the same function of every row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monge.errors import BadInput

BLOCK_VALUES = 2**22  # values of events that are described at once
Measure = Callable[[Tensor], Tensor]  # events [n, C, *space] -> features [n, k]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Features of events [n, *event] -> [n, k] float32, and their names, k of them or none. sizes: [k], by which
    features that were made of one size are to be multiplied where distances between them should mean something."""

    measure: Measure
    names: tuple[str, ...] = ()
    sizes: Tensor | None = None

    def sized(self, features: Tensor) -> Tensor:
        """Features with their natural sizes."""
        return features if self.sizes is None else features * self.sizes

    def __call__(self, x: Tensor) -> Tensor:
        return self.measure(x)


@dataclass(frozen=True)
class Descriptor:
    """What events are looked at through.

    base: other descriptors, whose features, side by side, it is fitted to and measures in place of events.
    fit: (events [n, *event], seed) -> `Fitted`. applies: whether it is for events of this shape. cost: for n events of
    d values. invariances: the changes of an event that it cannot see. alike: whether it is fitted to the rows of both
    sides together, of which `fit` then makes the same in any order; else to rows that are not compared.
    """

    name: str
    fit: Callable[[Tensor, int], Fitted]
    applies: Callable[[tuple[int, ...]], bool]
    cost: str
    invariances: str
    base: tuple["Descriptor", ...] = ()
    alike: bool = False


def kinds(vectors: bool, spatial: bool, least: int = 1) -> Callable[[tuple[int, ...]], bool]:
    """Whether a shape [d] or [C, *space] is meant; of space, with so many sites along each side.

    >>> kinds(vectors=False, spatial=True, least=4)((1, 8, 3))
    False
    """
    return lambda event: vectors if len(event) == 1 else spatial and min(event[1:]) >= least


def describe(fitted: Fitted, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n k"]:
    """Features of all rows, some at a time; values beyond what float32 holds are cut.

    >>> describe(Fitted(lambda x: x.sum(1, keepdim=True)), torch.ones(3, 2)).tolist()
    [[2.0], [2.0], [2.0]]
    """
    step = max(1, BLOCK_VALUES // max(1, x[0].numel())) if len(x) else 1
    found = [fitted(block).float() for block in torch.split(x, step)]
    return torch.cat(found).nan_to_num(0.0, 1e15, -1e15).clamp(-1e15, 1e15)


def yours(function: Callable[[Any], Any]) -> Descriptor:
    """A function or network of the user's as a descriptor: events [n, *event], standardised -> numbers [n, ...].

    >>> yours(lambda x: x.mean(1)).fit(torch.ones(3, 2), 0)(torch.ones(3, 2)).shape
    torch.Size([3, 1])
    """

    def measure(x: Tensor) -> Tensor:
        with torch.no_grad():
            found = torch.as_tensor(function(x))
        if found.is_complex() or not bool(torch.isfinite(found.double()).all()):
            raise BadInput("features= gave NaN, infinite or complex numbers: each must be a real number")
        if found.shape[:1] != x.shape[:1]:
            raise BadInput(
                f"features= gave {list(found.shape)} for {len(x)} samples: one row of numbers is needed for each"
            )
        return found.reshape(len(x), -1)

    return Descriptor("your features", lambda real, seed: Fitted(measure), lambda event: True, "yours", "yours")
