"""One reader for each kind of file: path to `Table`. Nothing is ever unpickled."""

import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from monge.data import archives, formats, hub, textfiles
from monge.data import weights as by_weight
from monge.data.albums import STACKS, read_folder, read_stack
from monge.data.archives import choose
from monge.data.codes import Number
from monge.data.columns import Columns, without_missing
from monge.data.dialects import dialect
from monge.data.formats import FORMATS, SOUNDS
from monge.data.layout import Table, needs_digits
from monge.data.stored import Stored
from monge.errors import BadInput
from monge.files import ending_of
from monge.progress import bar

ARCHIVES = (".npz", ".h5", ".hdf5", ".nc", ".zarr")
INDICES = ("__index_level_0__",)  # columns that pandas adds
SPILLED, HEAD = 2**30, 2**26  # bytes from which on a table is not held in memory, and of its first part
ROWS_AT_ONCE = 2**16
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


class Reading(NamedTuple):
    """How a source is to be read, beside its key: columns of a table that say which rows belong together (group) and
    what each row is (label_column), how much it counts (weights), those that are values (columns), whether rows with
    missing cells are left out, what is done about missing cells else ("learn", or None: they are refused), whether
    columns that others tell are left out (derived), another table whose columns these are (like); whether pictures may
    differ in size (cropped)."""

    group: str | None = None
    label_column: str | None = None
    weights: str | None = None
    columns: tuple[str, ...] | None = None
    drop_missing: bool = False
    missing: str | None = None
    derived: bool = False
    like: Columns | None = None
    cropped: bool = False

    @property
    def of_table(self) -> dict[str, Any]:
        """What only tables have, that is asked for."""
        names = "group", "label_column", "weights", "columns", "missing"
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def read(path: Path, key: str | None = None, how: Reading | None = None) -> Table:
    """Read .npy (memory-mapped), .npz, .h5, .zarr, a table of text (.csv, .tsv, .txt, also .gz) or .parquet by its
    ending, or a folder of images.

    Raises `BadInput` for what is missing, empty, truncated, of an unknown ending, or holds no array `key`, or no column
    that is asked for.
    """
    how = how or Reading()
    if not path.exists():
        raise BadInput(f"no such file or folder: {path}")
    ending = _of_folder(path) if path.is_dir() else ending_of(path)
    if key is not None and ending not in ARCHIVES:
        raise BadInput(f"{path} holds one table, and key {key!r} was given: leave the key out")
    for name, value in how.of_table.items():
        if ending in TABLES or (name == "label_column" and ending in ARCHIVES):
            continue
        raise BadInput(
            f"{path} has no columns, and {name} {value!r} is of tables: give a .csv or .parquet, or leave it out"
        )
    if ending == "/":
        sounds = not how.cropped and any(each.suffix.lower() in SOUNDS for each in path.rglob("*"))
        return formats.sounds(path) if sounds else read_folder(path, cropped=how.cropped)
    if ending in STACKS:
        return read_stack(path)
    if ending not in ENDINGS:
        raise BadInput(f"{path} ends in {ending!r}: give {', '.join(ENDINGS)} or a folder of images")
    if path.is_file() and path.stat().st_size == 0:
        raise BadInput(f"{path} is empty (0 bytes): write it again")
    with _readable(path):
        if ending in FORMATS:
            return FORMATS[ending](path)
        return TABLES[ending](path, how) if ending in TABLES else READERS[ending](path, how, key)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise BadInput(f"{path} cannot be read ({reason}): if it is truncated or corrupt, write it again") from error


def _of_folder(path: Path) -> str:
    """What a folder is read as: "/" are files."""
    if path.suffix == ".zarr" or any((path / mark).exists() for mark in ("zarr.json", ".zarray", ".zgroup")):
        return ".zarr"
    return ".arrow" if hub.is_saved(path) else "/"


def _npy(path: Path, how: Reading, key: str | None) -> Table:
    return Table(np.lib.format.open_memmap(path, mode="r"))


def _npz(path: Path, how: Reading, key: str | None) -> Table:
    if not zipfile.is_zipfile(path) and path.read_bytes()[:6] == b"\x93NUMPY":
        raise BadInput(f"{path} is not an archive of arrays: if it is one array, name it .npy")
    return choose(path, list(archives.npz(path)), key, how.label_column)


def _h5(path: Path, how: Reading, key: str | None) -> Table:
    import h5py

    if path.suffix.lower() == ".nc" and not h5py.is_hdf5(path):
        return choose(path, archives.netcdf3(path), key, how.label_column)
    file, table = h5py.File(path, "r"), None
    try:
        table = choose(path, archives.hdf5(file, path), key, how.label_column)
    finally:
        if table is None or not isinstance(table.x, Stored):
            file.close()
    return table


def _zarr(path: Path, how: Reading, key: str | None) -> Table:
    import zarr

    return choose(path, archives.zarr(zarr.open(path, mode="r"), path), key, how.label_column)


def _text(path: Path, how: Reading) -> Table:
    found = dialect(path)
    if path.stat().st_size > SPILLED:
        table = _spilled(textfiles.parts(path, found), path, how)
    else:
        table = tabled(textfiles.read(path, found), str(path), how)
    code = table.code
    places = [str(i) for i in range(len(found.names))]  # the names that pandas gives to unnamed columns
    plain = code is not None and not code.derived and all(type(c) is Number and not c.marked for c in code.codes)
    named = found.header and list(found.names) != places
    return table._replace(dialect=found, columns=table.columns if named or not plain else None)


def _parquet(path: Path, how: Reading) -> Table:
    from pyarrow import Table as Arrow
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    groups = range(file.metadata.num_row_groups)
    if (
        hub.pictures_in(file.schema_arrow) is not None
        or sum(file.metadata.row_group(k).total_byte_size for k in groups) <= SPILLED
    ):
        return tabled(file.read(), str(path), how)
    return _spilled((Arrow.from_batches([batch]) for batch in file.iter_batches(ROWS_AT_ONCE)), path, how)


def _spilled(parts: Iterator[Any], path: Path, how: Reading) -> Table:
    """A table larger than memory: its columns are told by its first part, of 64 MB or so, and all rows, part by part,
    are numbers in a temporary file, from which they are read where they are needed. No column is left out as one that
    others tell: the first part does not show that it is in all rows."""
    from pyarrow import concat_tables

    head: list[Any] = []
    for part in parts:
        head.append(part)
        if sum(each.nbytes for each in head) > HEAD:
            break
    first = tabled(concat_tables(head), str(path), how._replace(derived=False))
    assert first.code is not None
    kind = np.float64 if needs_digits(first.x, first.code) else np.float32
    alike = how._replace(like=first.code)
    apart, rows = [first], len(first.x)
    share = sum(each.nbytes for each in head) / path.stat().st_size
    with (
        bar(f"reading {path.name}", rows / min(1.0, share)) as advance,
        tempfile.TemporaryFile(prefix="monge-") as file,
    ):
        first.x.astype(kind).tofile(file)
        advance(rows)
        for part in parts:
            try:
                some = tabled(part, str(path), alike)
            except BadInput as error:
                raise BadInput(f"{error} (its columns are told by its first {rows:,} rows or so)") from error
            some.x.astype(kind).tofile(file)
            apart.append(some._replace(x=None))
            rows += len(some.x)
            advance(len(some.x))
        file.flush()
        x = np.memmap(file, kind, mode="r", shape=(rows, first.x.shape[1]))
    beside = {name: [getattr(part, name) for part in apart] for name in ("y", "groups", "weights")}
    joined: dict[str, Any] = {
        name: None if parts[0] is None else np.concatenate(parts) for name, parts in beside.items()
    }
    return first._replace(x=x, **joined)


def _arrow(path: Path, how: Reading) -> Table:
    """The file or the stream that Arrow writes (Feather), or a folder of Hugging Face."""
    from pyarrow import ArrowInvalid, ipc, memory_map

    if path.is_dir():
        return tabled(hub.saved(path), str(path), how)
    with memory_map(str(path)) as file:
        try:
            return tabled(ipc.open_file(file).read_all(), str(path), how)
        except ArrowInvalid:
            file.seek(0)
            return tabled(ipc.open_stream(file).read_all(), str(path), how)


def tabled(table: Any, path: str, how: Reading) -> Table:
    """An Arrow table in numbers, or the pictures in it, by what is asked of it. path: how it is called in messages."""
    pictured = None if how.columns else hub.pictures_in(table.schema)
    names = list(map(str, table.schema.names))
    for name in INDICES:
        if name in names and name not in (how.columns or ()):
            warnings.warn(f"{path}: the column {name!r} is an index of rows, and is left out", stacklevel=2)
            table = table.drop_columns([name])
    names = list(map(str, table.schema.names))
    if not names:
        raise BadInput(f"{path} has no columns: give a table with values in it")
    implied = next((name for name in hub.LABELS if name in names), None) if pictured is not None else None
    asked = {"group": how.group, "label": how.label_column or implied, "weight": how.weights}
    if how.like is not None:  # of samples that are held against others, which have these
        asked = {what: name for what, name in asked.items() if what == "group" or name in names}
    apart = {what: name for what, name in asked.items() if name is not None}
    for name in (*apart.values(), *(how.columns or ())):
        if name not in names:
            raise BadInput(f"{path} has no column {name!r}: its columns are {', '.join(names)}")
    kept = [name for name in (how.columns or names) if name not in apart.values()]
    kept = kept if pictured is None else [pictured]
    if how.drop_missing:
        table = table.filter(without_missing(table.select([*kept, *apart.values()])))
    if table.num_rows == 0:
        raise BadInput(
            f"{path} has no rows{' without missing cells' * how.drop_missing}: give a table with samples in it"
        )
    cells = {what: table.column(name) for what, name in apart.items()}
    for what, column in cells.items():
        if column.null_count:
            told = f"{column.null_count} of {len(column)} rows have no {apart[what]!r}"
            raise BadInput(f"{path}: {told}: give each a {what}")
    if not kept:
        told = ", ".join(map(repr, apart.values()))
        raise BadInput(f"{path} has no column but {told}: give values to learn from beside it")
    table = table.select(kept)
    y = np.asarray(cells["label"].to_pylist()) if "label" in cells else None
    classes = None if y is None or y.dtype.kind not in "iu" else hub.names_of(table.schema, apart["label"])
    groups = np.array([str(value) for value in cells["group"].to_pylist()]) if "group" in cells else None
    weights = None
    if "weight" in cells:
        weights = Number(apart["weight"]).read(cells["weight"].combine_chunks(), path)
        by_weight.check(torch.from_numpy(weights), path)
    if pictured is not None:
        others = [name for name in names if name not in (pictured, *apart.values())]
        return Table(
            hub.pictures(table, pictured, others, path, cropped=how.cropped, missing=how.missing),
            y,
            classes,
            groups=groups,
            weights=weights,
        )
    options: dict[str, Any] = {"derive": how.derived, "learn_missing": how.missing == "learn", "weights": weights}
    code = how.like or Columns.fit(table, path, **options)
    if how.like is None and "label" in apart:
        order = tuple(name for name in names if name in (*kept, apart["label"]))
        code = replace(code, order=order, label=(apart["label"], str(cells["label"].type)))
    return Table(code.encode(table, path), y, classes, columns=code.names, groups=groups, weights=weights, code=code)


READERS: dict[str, Callable[[Path, Reading, str | None], Table]] = {
    ".npy": _npy, ".npz": _npz, ".h5": _h5, ".hdf5": _h5, ".nc": _h5, ".zarr": _zarr,
}  # fmt: skip
TABLES: dict[str, Callable[[Path, Reading], Table]] = {
    ".csv": _text, ".tsv": _text, ".txt": _text, ".parquet": _parquet, ".arrow": _arrow, ".feather": _arrow,
}  # fmt: skip
ENDINGS = (*READERS, *TABLES, *FORMATS)
