"""Which rows a step sees, and which none of them sees."""

import torch
from jaxtyping import Int
from torch import Tensor

from monge import rng
from monge.data import Samples
from monge.data.splitting import whole_groups
from monge.data.stored import WINDOW
from monge.errors import BadInput


class Rows:
    """Draw k of an endless list of seeded shuffles of 0..n-1, or of those rows that are not kept for validation.

    validation: share of the rows that no draw has; they are `held_out`, [] unless asked, and the others
    `learned`. block: rows that are read together, of a table that stays in its file: blocks are shuffled, and the rows
    of 16 of them. groups: of each row, whose rows are kept for validation together, or not at all.

    Raises BadInput if the share leaves no row on one side.

    >>> rows = Rows(10, 5, seed=0, validation=0.5)
    >>> sorted(torch.cat([rows.at(0), rows.held_out]).tolist()) == list(range(10))
    True
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        validation: float = 0.0,
        *,
        block: int | None = None,
        groups: Int[Tensor, " n"] | None = None,
    ) -> None:
        self.batch_size, self.seed, self.block = batch_size, seed, block
        order, held = torch.arange(n), 0
        if validation:
            generator = rng.generator(seed, "validation")
            order, held = torch.randperm(n, generator=generator), round(validation * n)
            if groups is not None:
                order, held = whole_groups(order, held, groups)
            if held in (0, n):
                raise BadInput(
                    f"a validation share of {validation} of {n} rows leaves {n - held} to learn from and {held} to "
                    "judge by: both need one at least"
                )
            if block is not None and groups is None:  # whole blocks aside
                parts = torch.split(torch.arange(n), block)
                order = torch.cat([parts[k] for k in torch.randperm(len(parts), generator=generator).tolist()])
        self.held_out: Int[Tensor, " m"] = order[:held]
        self.learned: Int[Tensor, " k"] = order[held:] if block is None else order[held:].sort().values
        self._shuffles: dict[int, Tensor] = {}

    @classmethod
    def of(cls, samples: Samples, batch_size: int, seed: int, validation: float) -> "Rows":
        return cls(len(samples), batch_size, seed, validation, block=samples.block, groups=samples.groups)

    def at(self, draw: int) -> Int[Tensor, " b"]:
        """The rows of a draw; every row once before any comes again."""
        parts, position, left = [], draw * self.batch_size, self.batch_size
        while left:
            epoch, offset = divmod(position, len(self.learned))
            rows = self._shuffle(epoch)[offset : offset + left]
            parts.append(rows)
            position, left = position + len(rows), left - len(rows)
        return torch.cat(parts)

    def _shuffle(self, epoch: int) -> Tensor:
        if epoch not in self._shuffles:
            generator = rng.generator(self.seed, "epoch", epoch)
            n = len(self.learned)
            shuffle = torch.randperm(n, generator=generator) if self.block is None else self._by_blocks(n, generator)
            self._shuffles = {epoch: self.learned[shuffle]}
        return self._shuffles[epoch]

    def _by_blocks(self, n: int, generator: torch.Generator) -> Tensor:
        """Blocks in any order, and the rows of so many blocks together in any order."""
        assert self.block is not None
        blocks = torch.split(torch.arange(n), self.block)
        order = torch.randperm(len(blocks), generator=generator).tolist()
        windows = [torch.cat([blocks[k] for k in order[i : i + WINDOW]]) for i in range(0, len(order), WINDOW)]
        return torch.cat([rows[torch.randperm(len(rows), generator=generator)] for rows in windows])
