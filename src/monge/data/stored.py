"""Tables of events that are read where they are indexed, and arrays larger than memory among them, which stay in their
files and are read by blocks of rows."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IN_MEMORY = 2**28  # bytes of an array, up to which it is read at once
BLOCK_BYTES = 2**21  # of a block, about, and whole chunks of the file
WINDOW = 16  # blocks whose rows are shuffled together
KEPT = 6 * WINDOW  # blocks in memory: of a window and the next, more of them where rows between are held out


@runtime_checkable
class Events(Protocol):
    """A table of events that makes its rows where it is indexed, as a tensor would give them."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    ndim: int

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any) -> Tensor: ...
    def element_size(self) -> int: ...


class RowView:
    """Some rows of an array, in some order, read where they are indexed: what `Samples.view` gives."""

    def __init__(self, table: Any, rows: Tensor) -> None:
        self._table, self._rows = table, rows.numpy()
        self.shape, self.dtype, self.ndim = (len(rows), *table.shape[1:]), np.asarray(table[:1]).dtype, table.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        found: NDArray[Any] = np.asarray(self._table[self._rows[index]])
        return found


class Stored:
    """Table [n, *event] of an array in a file (HDF5, Zarr, NetCDF), whose blocks of rows are read when they are asked
    for, or `ahead` of that by a thread, and kept until others take their place: 100 MB in all, or so.

    source: [n, ...], indexed by slices of rows. made: what a block of it becomes, [b, ...] -> [b, *event].

    Rows that are asked for in any order read a block each time; `monge.training` shuffles by blocks.

    >>> table = Stored(np.arange(12.0).reshape(6, 2), block=4)
    >>> table[torch.tensor([5, 0])], table.shape
    (tensor([[10., 11.],
            [ 0.,  1.]], dtype=torch.float64), (6, 2))
    """

    def __init__(
        self,
        source: Any,
        made: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
        *,
        block: int | None = None,
    ) -> None:
        self.source, self.made = source, made
        first = self._read_rows(slice(0, 1))
        chunk = (getattr(source, "chunks", None) or (1,))[0]
        self.block: int = block or chunk * max(1, round(BLOCK_BYTES / max(1, first.nbytes * chunk)))
        self.shape: tuple[int, ...] = (int(source.shape[0]), *first.shape[1:])
        self.ndim, self.numpy_dtype = first.ndim, first.dtype
        self.dtype: torch.dtype = torch.from_numpy(first).dtype
        self._blocks: OrderedDict[int, Future[Tensor]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="monge-reader")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, slice):
            index = torch.arange(len(self))[index]
        rows = torch.as_tensor(index).reshape(-1)
        out = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        which, order = (rows // self.block).sort(stable=True)
        numbers, counts = torch.unique_consecutive(which, return_counts=True)
        for number, here in zip(numbers.tolist(), torch.split(order, counts.tolist()), strict=True):
            out[here] = self._block(number).result()[rows[here] - number * self.block]
        return out

    def ahead(self, rows: Tensor) -> None:
        """Have the blocks of these rows read meanwhile."""
        for number in torch.unique(rows // self.block).tolist():
            self._block(number)

    def arranged(self, arrange: Callable[[Tensor], Tensor]) -> "Stored":
        """The same table with other axes: what a function makes of its blocks."""
        return Stored(self.source, lambda x: arrange(torch.from_numpy(_signed(self.made(x)))).numpy(), block=self.block)

    def element_size(self) -> int:
        """Bytes of a value."""
        return int(self.numpy_dtype.itemsize)

    def _block(self, number: int) -> "Future[Tensor]":
        if number in self._blocks:
            self._blocks.move_to_end(number)
        else:
            self._blocks[number] = self._reader.submit(self._read, number)
            while len(self._blocks) > KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[number]

    def _read(self, number: int) -> Tensor:
        start = number * self.block
        return torch.from_numpy(self._read_rows(slice(start, start + self.block)))

    def _read_rows(self, rows: slice) -> NDArray[Any]:
        return _signed(self.made(np.asarray(self.source[rows])))


def _signed(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers without a sign, of more than 8 bits, in a type that torch computes with."""
    wider = {"u2": np.int32, "u4": np.int64, "u8": np.int64}.get(values.dtype.str[1:])
    return values if wider is None else values.astype(wider)
