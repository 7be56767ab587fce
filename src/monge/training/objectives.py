"""What is minimised, and by moving which parameters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.training.settings import AdamW


class Batch(NamedTuple):
    """Rows of data for one draw.

    x: [n, *event] float32, data units; int64 symbols of sequences. y: labels [n], vectors [n, k] or None. step: number
    of the round, from 0. generator: randomness of this draw and of no other, different in each process. draw: its
    number in training, None for rows that are kept aside. others: (first, count) -> the rows of so many draws from
    number `first` on as one batch, with randomness that belongs to these. done: the share of the training behind it.
    """

    x: Shaped[Tensor, "n *event"]
    y: Shaped[Tensor, " n *k"] | None
    step: int
    generator: torch.Generator
    draw: int | None = None
    others: "Callable[[int, int], Batch] | None" = None
    done: float = 0.0


class Loss(NamedTuple):
    """What is minimised, and numbers by name to be told with it (in log.csv, the progress bar and TensorBoard)."""

    value: Float[Tensor, ""]
    numbers: Mapping[str, Tensor | float] = {}


class Objective(nn.Module):
    """A loss, and all that it moves. A family lists its objectives; a flow has one, a GAN two.

    name: of its columns in log.csv; the class's, in small letters, where several would have the same.
    repeats: how often it runs in a round (a step of training), each time on a batch of its own.
    optimiser: how its parameters are moved.

    Buffers registered in an objective or in the model (chains, running statistics) are saved, and resumed in each
    process with its own.

    >>> class Nearest(Objective):
    ...     def __init__(self, w):
    ...         super().__init__()
    ...         self.w = w
    ...     def forward(self, batch):
    ...         return (batch.x - self.w).square().mean()
    >>> [p.shape for p in Nearest(nn.Parameter(torch.zeros(2))).moves()]
    [torch.Size([2])]
    """

    name: str = "loss"
    repeats: int = 1
    optimiser: AdamW = AdamW()

    def moves(self) -> Iterable[nn.Parameter]:
        """The parameters that a step of this objective changes: its own, unless it holds others as well."""
        return self.parameters()

    def kernels(self) -> Iterable[nn.Parameter]:
        """Those of them that `Muon` moves instead, at four times the learning rate: kernels of hidden layers."""
        return ()

    def forward(self, batch: Batch) -> Loss | Float[Tensor, ""]:
        """The loss of a batch, to be minimised."""
        raise NotImplementedError(f"{type(self).__name__} gives no loss")


def titles(objectives: Sequence[Objective]) -> list[str]:
    """A name for each, no two the same.

    >>> titles([Objective(), Objective()])
    ['objective', 'objective 2']
    """
    names = [objective.name for objective in objectives]
    found: list[str] = []
    for objective, name in zip(objectives, names, strict=True):
        base = name if names.count(name) == 1 else type(objective).__name__.lower()
        title, number = base, 1
        while title in found:
            number += 1
            title = f"{base} {number}"
        found.append(title)
    return found
