"""Samples at the door: checked, flattened and put on the scale of the real data, a few rows at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge import rng
from monge.data import RowView, Samples
from monge.errors import BadInput

Array = NDArray[Any]
BLOCK_BYTES = 32 * 2**20  # one float64 block of rows while reading
FARTHEST = 1e15  # standardised values are cut here, so that squares of an exploded generator stay finite
STEP, OFFSET = 1e-5, 0.3819  # of a hash of rows: their values lie on no edge of its steps
CONSTANT = 1e-9  # a spread below this fraction of the values is rounding, not data


class Rounded:
    """Rows of an array, rounded as they are read to the grid of integer data: steps of `quantum` from `low`. What lies
    beyond the data's limits stays there, for the audit to see.

    >>> Rounded(np.array([[0.4], [7.2]]), 1.0, 0.0)[:]
    array([[0.],
           [7.]])
    """

    def __init__(self, x: Any, quantum: float, low: float) -> None:
        self._x, self._quantum, self._low = x, quantum, low
        self.shape, self.dtype, self.ndim = x.shape, x.dtype, x.ndim

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        found: NDArray[Any] = self._low + np.round((self._x[index] - self._low) / self._quantum) * self._quantum
        return found


class Picked:
    """Columns of vectors in another order, as rows are read.

    >>> Picked(np.array([[1.0, 2.0]]), [1, 0])[:]
    array([[2., 1.]])
    """

    def __init__(self, x: Any, order: Sequence[int]) -> None:
        self._x, self._order = x, list(order)
        self.shape, self.dtype, self.ndim = x.shape, x.dtype, x.ndim

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        found: NDArray[Any] = self._x[index][..., self._order]
        return found


Source = NDArray[Any] | RowView | Rounded | Picked  # samples as they came, [n, *event]


def to_array(name: str, x: Any) -> Source:
    """The samples as a real numeric numpy array [n, *event], or a view of `Samples`; without a copy where that can be.

    Raises `BadInput` for complex, text or object data, for a lone number and for an empty event.

    >>> to_array("generated", torch.zeros(3, 2)).shape
    (3, 2)
    """
    if isinstance(x, Samples):
        return x.view
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    array = np.asanyarray(x)
    if array.dtype.kind not in "fiub":
        raise BadInput(f"{name} holds {array.dtype} values; the audit needs real numbers: convert it first")
    if array.ndim == 0 or 0 in array.shape[1:]:
        raise BadInput(f"{name} has shape {array.shape}; the audit needs samples as [n, *event]: stack them")
    rows: Array = array.reshape(-1, 1) if array.ndim == 1 else array
    return rows


def by_weight(x: Any, seed: int, least: int = 0) -> Any:
    """Samples as they came; of weighted ones those that are left when each is kept with a chance in proportion.

    Raises BadInput where fewer than `least` are."""
    if not isinstance(x, Samples) or x.weights is None:
        return x
    found = x.thinned(seed)
    if len(found) < least:
        raise BadInput(
            f"of {len(x):,} weighted rows of {x.name} {len(found)} are left, each kept with a chance of its weight "
            f"over the largest, and {least} are needed: hold out more, or cut the largest weights"
        )
    return found


def by_name(name: str, x: Source, columns: Sequence[str], wanted: Sequence[str]) -> Source:
    """Vectors with their columns in the order that is wanted, where both sides have names.

    Raises `BadInput` for columns of other names.

    >>> by_name("train", np.array([[1.0, 2.0]]), ("b", "a"), ("a", "b"))[:]
    array([[2., 1.]])
    """
    if not columns or not wanted or tuple(columns) == tuple(wanted):
        return x
    if sorted(columns) != sorted(wanted) or len(set(wanted)) < len(wanted):
        raise BadInput(f"{name} has columns {', '.join(columns)}, holdout {', '.join(wanted)}: give the same columns")
    return Picked(x, [list(columns).index(column) for column in wanted])


def blocks(x: Source) -> Iterator[tuple[int, Array]]:
    """(start, rows) of `x` in pieces that stay small in float64, so that a memory-mapped array is never read whole."""
    step = max(1, BLOCK_BYTES // (8 * max(1, x[0].size))) if len(x) else 1
    for start in range(0, len(x), step):
        yield start, x[start : start + step]


def refuse_non_finite(name: str, x: Source) -> None:
    """Raise `BadInput` that counts the NaN and infinite values of `x` and says where the first one is."""
    if x.dtype.kind != "f":
        return
    count, first = 0, ""
    for start, rows in blocks(x):
        bad = ~np.isfinite(rows)
        if bad.any():
            if not count:
                row, *position = (int(i) for i in np.argwhere(bad)[0])
                first = f"row {start + row}, position {tuple(position)}"
            count += int(bad.sum())
    if count:
        raise BadInput(f"{name} has {count} NaN or infinite values, the first at {first}: repair or drop them")


@dataclass(frozen=True)
class Rows:
    """Samples seen as rows (x - shift) / scale, flattened to [n, d] in float32, made only when asked for.

    The subtraction is done in float64, so a large offset in the data costs no digits.

    >>> Rows(np.full((4, 2, 2), 3.0), np.ones(4), np.full(4, 2.0))[:2]
    tensor([[1., 1., 1., 1.],
            [1., 1., 1., 1.]])
    """

    x: Source
    shift: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | Array) -> Float[Tensor, "b d"]:
        rows = self.x[index]
        flat = rows.reshape(len(rows), -1).astype(np.float64)
        flat -= self.shift
        flat /= self.scale
        np.clip(flat, -FARTHEST, FARTHEST, out=flat)
        return torch.from_numpy(flat.astype(np.float32))


def seeded_order(x: Source, *address: int | str) -> Array:
    """A shuffle of the rows that depends on their content and the address, not on the order they came in, nor on
    units, and in which the place of a row says nothing of its values.

    A row is hashed by a random mixture of its values, in steps of a thousandth of a percent of how far mixtures lie
    from their median, which are the same for s x + m, s > 0. Rows are sorted by their hash, those of one hash by the
    mixture, and then shuffled: equal rows are neighbours, and must not stay so.

    >>> x = np.arange(5.0).reshape(-1, 1)
    >>> bool((x[seeded_order(x, 0)] == x[::-1][seeded_order(7 * x[::-1] + 1, 0)]).all())
    True
    """
    generator = rng.generator(int(address[0]), *address[1:])
    weights = torch.rand(x[0].size if len(x) else 0, generator=generator, dtype=torch.float64).numpy()
    mixture = np.empty(len(x))
    with np.errstate(over="ignore", invalid="ignore"):
        for start, rows in blocks(x):
            mixture[start : start + len(rows)] = rows.reshape(len(rows), -1).astype(np.float64) @ weights
        mixture -= np.median(mixture) if len(x) else 0.0
        spread = (np.median(np.abs(mixture)) or np.abs(mixture).mean()) if len(x) else 1.0
        steps = np.nan_to_num(np.floor(mixture / (STEP * spread) + OFFSET), posinf=2.0**62, neginf=-(2.0**62))
    shuffle = torch.randperm(len(x), generator=generator).numpy()
    hashes = _hash(steps.clip(-(2.0**62), 2.0**62).astype(np.int64))
    shuffled: Array = np.lexsort((mixture, hashes))[shuffle]
    return shuffled


def _hash(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """splitmix64 (Steele et al. 2014)."""
    z = values.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def common_scale(real: Sequence[Source]) -> tuple[Array, Array]:
    """Shift and scale [d] that centre the real samples and give them total variance d.

    The mean is taken out coordinate by coordinate (a translation: no distance changes). Vectors [n, d] are divided
    by each coordinate's own standard deviation, since their units may differ; images and fields [n, C, *space]
    by one number, the root of the mean variance over their pixels, since relative contrast is part of the law.
    A coordinate that never moves gets that one number as well.

    Raises `BadInput` when no coordinate moves.

    >>> shift, scale = common_scale([np.array([[0.0, 0.0], [2.0, 20.0]])])
    >>> shift, scale
    (array([ 1., 10.]), array([ 1., 10.]))
    """
    n, d = sum(len(x) for x in real), real[0][0].size
    total, squares = np.zeros(d), np.zeros(d)
    for x in real:
        for _, rows in blocks(x):
            total += rows.reshape(len(rows), d).sum(0, dtype=np.float64)
    shift = total / n
    for x in real:
        for _, rows in blocks(x):
            squares += ((rows.reshape(len(rows), d) - shift) ** 2).sum(0, dtype=np.float64)
    moves = squares / n > (CONSTANT * np.abs(shift)) ** 2
    if not moves.any():
        raise BadInput(
            f"the real data do not vary: each of the {n} rows is the same; give data with more than one value"
        )
    variance = np.where(moves, squares / n, 0.0)
    whole = np.sqrt(variance.mean())
    scale = np.where(moves, np.sqrt(variance), whole) if real[0].ndim == 2 else np.full(d, whole)
    return shift, scale
