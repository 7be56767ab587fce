"""Which rows fall on one side when samples are cut in two: those of one group, and those that are equal."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from monge.data.stored import Events

REPEATED = 0.2  # share of equal rows above which they may fall on both sides
COMPARED_BYTES = 2**28  # above which equal rows are not looked for


def equal_rows(table: Tensor | Events, rows: Int[Tensor, " n"]) -> Int[Tensor, " n"] | None:
    """A number for each of these rows of a table [m, *event] that equal ones share, where some are equal, and not many;
    None for more than 256 MiB, which are not read for it.

    >>> equal_rows(torch.tensor([[1.0], [2.0], [1.0]]), torch.arange(3)) is None  # two of three are: that is its nature
    True
    """
    size = max(1, table[:1].numel())
    if len(rows) * table.element_size() * size > COMPARED_BYTES:
        return None
    hashes = [_hashes(table[some]) for some in torch.split(rows, max(1, 2**20 // size))]
    _, which, count = torch.unique(torch.cat(hashes), return_inverse=True, return_counts=True)
    share = float((count[which] > 1).double().mean())
    return which if 0 < share <= REPEATED else None


def whole_groups(order: Int[Tensor, " n"], held: int, together: Int[Tensor, " n"]) -> tuple[Tensor, int]:
    """The order and the number held out, whole groups: as many as come nearest to `held` rows, in the order of the
    first row of each. Groups of one row are split as rows are.

    >>> whole_groups(torch.tensor([3, 0, 1, 2]), 1, torch.tensor([0, 0, 1, 2]))
    (tensor([3, 0, 1, 2]), 1)
    """
    together = torch.unique(together, return_inverse=True)[1]
    n, groups = len(order), int(together.max()) + 1
    first = torch.full((groups,), n).scatter_reduce(0, together, torch.arange(n), "amin")
    place = torch.empty(n, dtype=torch.int64).scatter_(0, order, torch.arange(n))
    ranked = place[first].argsort()
    sizes = torch.bincount(together, minlength=groups)[ranked].cumsum(0)
    chosen = torch.zeros(groups, dtype=torch.bool)
    chosen[ranked[: int((sizes - held).abs().argmin()) + 1]] = True
    aside = chosen[together[order]]
    return torch.cat([order[aside], order[~aside]]), int(aside.sum())


def _hashes(rows: Tensor) -> Int[Tensor, " n"]:
    """A 64-bit number for each row, equal for equal rows."""
    flat = rows.cpu().contiguous().flatten(1).view(torch.uint8).numpy()
    words = np.zeros((len(flat), -(-flat.shape[1] // 8) * 8), np.uint8)
    words[:, : flat.shape[1]] = flat
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1] // 8, dtype=np.uint64) * 2 + 1
    with np.errstate(over="ignore"):
        mixed = words.view(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * factors
        return torch.from_numpy((mixed ^ (mixed >> np.uint64(32))).sum(1, dtype=np.uint64).view(np.int64))
