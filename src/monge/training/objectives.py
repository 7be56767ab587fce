"""What is minimised, and by moving which parameters."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Batch(NamedTuple):
    """Rows of data for one step.

    x: [n, *event] float32, data units. y: labels [n] or None. step: number of the step, from 0.
    generator: randomness of this step and of no other.
    """

    x: Float[Tensor, "n *event"]
    y: Int[Tensor, " n"] | None
    step: int
    generator: torch.Generator


class Objective(nn.Module):
    """A loss and, as its parameters, all that it moves. A family lists its objectives; a flow has one, a GAN two."""

    name = "loss"

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch, to be minimised."""
        raise NotImplementedError(f"{type(self).__name__} gives no loss")
