"""Real rows in which defects are planted, and what they show of themselves."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monge.evaluation.descriptors.support import atoms
from monge.evaluation.descriptors.values import principal_axes

WHITENED = 16  # leading directions that random ones mix


@dataclass(frozen=True, eq=False)
class Pool:
    """Real rows that stand in for both sides.

    events: [n, *event], standardised. labels: [n], or None. seed: of all draws. raw: [d], by which vectors are
    multiplied to have their own units. owners: of each column of vectors, the column of the table that it is of.
    """

    events: Float[Tensor, "n *event"]
    labels: Int[Tensor, " n"] | None
    seed: int
    raw: Float[Tensor, " d"] | None = None
    owners: tuple[int, ...] = ()

    @cached_property
    def white(self) -> Float[Tensor, "n k"]:
        """Coordinates of unit variance along the rows' own leading directions, which are not quite those of others."""
        rows = self.events.flatten(1).double()
        mean, axes, deviation = principal_axes(rows, WHITENED)
        return (rows - mean) @ (axes / deviation)

    @cached_property
    def atoms(self) -> Bool[Tensor, "n *event"]:
        """Where an event has a value that occurs again and again, such as zero, which no defect but that is to move."""
        found = torch.zeros_like(self.events, dtype=torch.bool)
        for channel in range(self.events.shape[1]):
            values = torch.tensor(atoms(self.events[:, channel].flatten()))
            found[:, channel] = torch.isin(self.events[:, channel], values)
        return found
