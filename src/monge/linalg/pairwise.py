"""Distances between all pairs of two clouds, a block at a time."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monge.errors import BadInput

ROWS_AT_ONCE = 1024
COPY_RATIO = 1 / 3  # of the distances to the nearest and the second nearest row, below which it is a copy


@runtime_checkable
class Rows(Protocol):
    """Rows of a table that are read where it is sliced, each a tensor [d]."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Any: ...


class Neighbours(NamedTuple):
    """The k nearest reference rows of each row, nearest first."""

    distance: Float[Tensor, "n k"]
    indices: Int[Tensor, "n k"]

    @property
    def copies(self) -> Bool[Tensor, " n"]:
        """Of two neighbours or more: whether the nearest is nearer than a third of the distance to the second."""
        found: Tensor = self.distance[:, 0] < COPY_RATIO * self.distance[:, 1]
        return found


def squared_distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i . y_j, in float64: one matrix product, [n, m].

    The three terms cancel when two points are close: in float64 the error is about 1e-16 |x|^2, so that an exact
    copy shows a distance of 1e-7 or less on standardised data, where float32 would leave a few hundredths.

    >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]], dtype=torch.float64)
    """
    if x.shape[-1] != y.shape[-1]:
        raise BadInput(f"distances are between rows of one dimension, not {x.shape[-1]} and {y.shape[-1]}")
    x, y = x.double(), y.double()
    product = x @ y.T
    return product.mul_(-2.0).add_(x.square().sum(1)[:, None]).add_(y.square().sum(1)).clamp_(min=0.0)


def fill_own_pairs(block: Tensor, row: int, column: int, value: float | bool) -> None:
    """Overwrite, in the block of a square table that starts at (row, column), the entries on the table's diagonal.

    >>> block = torch.zeros(2, 3); fill_own_pairs(block, 4, 3, 1.0); block
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    offset = row - column
    if -block.shape[0] < offset < block.shape[1]:
        block.diagonal(offset).fill_(value)


def nearest(
    x: Float[Tensor, "n d"] | Rows,
    reference: Float[Tensor, "m d"] | Rows,
    k: int = 1,
    *,
    skip_self: bool = False,
    chunk: int = ROWS_AT_ONCE,
) -> Neighbours:
    """Euclidean k nearest neighbours by exhaustive search in blocks of `chunk` x `chunk`, float64.

    With `skip_self`, x and reference are the same rows and row i is not its own neighbour. Memory grows as
    n k + chunk^2; time as n m d.

    >>> found = nearest(torch.tensor([[0.9], [5.0]]), torch.tensor([[0.0], [1.0], [4.0]]))
    >>> found.indices.ravel().tolist(), [round(r, 6) for r in found.distance.ravel().tolist()]
    ([1, 2], [0.1, 1.0])
    """
    best = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    index = torch.zeros((len(x), k), dtype=torch.int64)
    for b in range(0, len(reference), chunk):
        right = reference[b : b + chunk].double()
        for a in range(0, len(x), chunk):
            squared = squared_distances(x[a : a + chunk], right)
            rows = slice(a, a + len(squared))
            if skip_self:
                fill_own_pairs(squared, a, b, torch.inf)
            found = squared.topk(min(k, squared.shape[1]), dim=1, largest=False)
            candidates = torch.cat([best[rows], found.values], dim=1)
            places = torch.cat([index[rows], found.indices + b], dim=1)
            kept = candidates.topk(k, dim=1, largest=False)
            best[rows], index[rows] = kept.values, places.gather(1, kept.indices)
    return Neighbours(best.sqrt(), index)
