"""Features of both sides of an audit, computed once for the lines that share them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge.evaluation.descriptors import Descriptor, Fitted, describe
from monge.evaluation.split import Split


class Features(NamedTuple):
    """Features of generated rows [n, k] and of counted real ones [m, k], what measures them, and of shaping rows."""

    x: Float[Tensor, "n k"]
    y: Float[Tensor, "m k"]
    shaping: Float[Tensor, "s k"]
    fitted: Fitted


@dataclass(frozen=True, eq=False)
class Looks:
    """What a split shows through each descriptor, by its name."""

    split: Split
    cache: dict[str, Features] = field(default_factory=dict)

    def of(self, descriptor: Descriptor) -> Features:
        """Features through a descriptor, fitted to the shaping rows, or to both sides alike."""
        if descriptor.name not in self.cache:
            parts: tuple[Tensor, ...] = (self.split.generated, self.split.counted, self.split.shaping)
            if descriptor.base:
                found = [self.of(base)[:3] for base in descriptor.base]
                parts = tuple(torch.cat(side, 1) for side in zip(*found, strict=True))
            fitted = descriptor.fit(torch.cat(parts[:2]) if descriptor.alike else parts[2], self.split.seed)
            x, y, shaping = (describe(fitted, part) for part in parts)
            self.cache[descriptor.name] = Features(x, y, shaping, fitted)
        return self.cache[descriptor.name]

    def forget(self, kept: Iterable[str]) -> None:
        """Drop all features but those of the descriptors that are named, to spare memory."""
        for name in self.cache.keys() - set(kept):
            del self.cache[name]
