"""Which rows a step sees, and which none of them sees."""

import torch
from jaxtyping import Int
from torch import Tensor

from monge import rng
from monge.errors import BadInput


class Rows:
    """Draw k of an endless list of seeded shuffles of 0..n-1, or of those rows that are not kept for validation.

    validation: share of the rows that no draw has; they are `held_out`, [] unless asked.

    Raises BadInput if the share leaves no row on one side.

    >>> rows = Rows(10, 5, seed=0, validation=0.5)
    >>> sorted(torch.cat([rows.at(0), rows.held_out]).tolist()) == list(range(10))
    True
    """

    def __init__(self, n: int, batch_size: int, seed: int, validation: float = 0.0) -> None:
        self.batch_size, self.seed = batch_size, seed
        order, held = torch.arange(n), 0
        if validation:
            held = round(validation * n)
            if held in (0, n):
                raise BadInput(
                    f"a validation share of {validation} of {n} rows leaves {n - held} to learn from and {held} to "
                    "judge by: both need one at least"
                )
            order = torch.randperm(n, generator=rng.generator(seed, "validation"))
        self.held_out: Int[Tensor, " m"] = order[:held]
        self._rows = order[held:]
        self._shuffles: dict[int, Tensor] = {}

    def at(self, draw: int) -> Int[Tensor, " b"]:
        """The rows of a draw; every row once before any comes again."""
        parts, position, left = [], draw * self.batch_size, self.batch_size
        while left:
            epoch, offset = divmod(position, len(self._rows))
            rows = self._shuffle(epoch)[offset : offset + left]
            parts.append(rows)
            position, left = position + len(rows), left - len(rows)
        return torch.cat(parts)

    def _shuffle(self, epoch: int) -> Tensor:
        if epoch not in self._shuffles:
            shuffle = torch.randperm(len(self._rows), generator=rng.generator(self.seed, "epoch", epoch))
            self._shuffles = {epoch: self._rows[shuffle]}
        return self._shuffles[epoch]
