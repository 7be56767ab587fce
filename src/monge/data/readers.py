"""One reader for each kind of file: path to `Table`. Nothing is ever unpickled."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.columns import Categories, columns
from monge.data.images import read_folder
from monge.data.layout import CHUNK_BYTES, Table
from monge.errors import BadInput
from monge.progress import bar

ARCHIVES = (".npz", ".h5", ".hdf5", ".zarr")
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read(
    path: Path,
    key: str | None = None,
    group: str | None = None,
    categories: Categories | None = None,
    crop: int | None = None,
) -> Table:
    """Read .npy (memory-mapped), .npz, .h5, .zarr, .csv or .parquet by its ending, or a folder of images.

    group: a column of a table that says which rows belong together; it is not one of the values. categories: the texts
    of columns that hold text, in the order of their numbers. crop: whether pictures of a folder may differ in size.

    Raises `BadInput` for what is missing, empty, truncated, of an unknown ending, or holds no array `key`, or no column
    `group`.
    """
    if not path.exists():
        raise BadInput(f"no such file or folder: {path}")
    ending = "/" if path.is_dir() and not _is_zarr(path) else ".zarr" if path.is_dir() else path.suffix.lower()
    if key is not None and ending not in ARCHIVES:
        raise BadInput(f"{path} holds one table, and key {key!r} was given: leave the key out")
    if ending == "/":
        return read_folder(path, cropped=crop is not None)
    if ending not in ENDINGS:
        raise BadInput(f"{path} ends in {ending!r}: give {', '.join(ENDINGS)} or a folder of images")
    if path.is_file() and path.stat().st_size == 0:
        raise BadInput(f"{path} is empty (0 bytes): write it again")
    if group is not None and ending not in TABLES:
        raise BadInput(
            f"{path} has no columns, and group {group!r} names one: give a .csv or .parquet, or leave it out"
        )
    with _readable(path):
        return TABLES[ending](path, group, categories) if ending in TABLES else READERS[ending](path, key)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise BadInput(f"{path} cannot be read ({reason}): if it is truncated or corrupt, write it again") from error


def _is_zarr(path: Path) -> bool:
    return path.suffix == ".zarr" or any((path / mark).exists() for mark in ("zarr.json", ".zarray", ".zgroup"))


def _npy(path: Path, key: str | None) -> Table:
    return Table(np.lib.format.open_memmap(path, mode="r"))


def _npz(path: Path, key: str | None) -> Table:
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise BadInput(f"{path} is not an archive of arrays: if it is one array, name it .npy")
    with archive:
        return _choose(path, archive.files, lambda name: archive[name], key)


def _h5(path: Path, key: str | None) -> Table:
    import h5py

    names: list[str] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        return _choose(path, names, lambda name: _rows(file[name], path), key)


def _zarr(path: Path, key: str | None) -> Table:
    import zarr

    store = zarr.open(path, mode="r")
    if isinstance(store, zarr.Array):
        return _choose(path, ["x"], lambda _: _rows(store, path), key)
    names = sorted(name for name, node in store.members(max_depth=None) if isinstance(node, zarr.Array))
    return _choose(path, names, lambda name: _rows(store[name], path), key)


def _choose(path: Path, names: Sequence[str], get: Callable[[str], NDArray[np.generic]], key: str | None) -> Table:
    """The array called `key`, else "x", else the only one; labels are the array "y"."""
    others = [name for name in names if name != "y"]
    chosen = key or ("x" if "x" in names else others[0] if len(others) == 1 else None)
    if chosen is None or chosen not in names:
        raise BadInput(
            f"{path} has no array {key or 'x'!r}: choose a key among {', '.join(names) or '(none there)'}, "
            f"as in {path.name}#KEY"
        )
    return Table(get(chosen), get("y") if "y" in names and chosen != "y" else None)


def _rows(dataset: Any, path: Path) -> NDArray[np.generic]:
    """A stored array read in chunks of rows."""
    if dataset.ndim == 0 or dataset.dtype.kind not in "biuf":
        return np.asarray(dataset[()])
    values: NDArray[np.generic] = np.empty(dataset.shape, dataset.dtype)
    rows = max(1, CHUNK_BYTES // max(1, values[:1].nbytes))
    with bar(f"reading {path.name}", len(values)) as advance:
        for start in range(0, len(values), rows):
            values[start : start + rows] = dataset[start : start + rows]
            advance(rows)
    return values


def _csv(path: Path, group: str | None, categories: Categories | None) -> Table:
    from pyarrow import csv

    with path.open(encoding="utf-8-sig", errors="replace") as file:
        cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    # numbers on the first line are data, save for 0,1,2,...: the names that pandas gives to unnamed columns
    numbered = len(cells) > 1 and cells == [str(i) for i in range(len(cells))]
    headless = all(_is_number(cell) for cell in cells) and not numbered
    found = csv.read_csv(path, csv.ReadOptions(autogenerate_column_names=headless))
    table = columns(found, path, group, categories)
    return table._replace(columns=None) if headless or numbered else table


def _parquet(path: Path, group: str | None, categories: Categories | None) -> Table:
    from pyarrow import parquet

    return columns(parquet.read_table(path), path, group, categories)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[Path, str | None], Table]] = {
    ".npy": _npy, ".npz": _npz, ".h5": _h5, ".hdf5": _h5, ".zarr": _zarr,
}  # fmt: skip
TABLES: dict[str, Callable[[Path, str | None, Categories | None], Table]] = {".csv": _csv, ".parquet": _parquet}
ENDINGS = (*READERS, *TABLES)
