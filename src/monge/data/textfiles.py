"""Tables of text, read and written as their dialect has them."""

import csv
import gzip
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monge.data.dialects import BLANKS, Dialect, opened
from monge.errors import BadInput

PART_BYTES = 2**25  # of a file that is read part by part, or looked through
INDICES = ("", "Unnamed: 0")  # names that pandas and R give to a column that numbers the rows
MISSING = "NA"  # of cells that blanks part


def read(path: Path, how: Dialect) -> Any:
    """The Arrow table in a file of text. Columns that number the rows are left out, which is told."""
    import pyarrow
    from pyarrow import compute

    table, how = _readable(path, how)
    whole = [field.name for field in table.schema if pyarrow.types.is_integer(field.type)]
    if whole and _has_padded(path, how):  # beyond the beginning of the file: as they stand there
        again = _read(path, how._replace(texts=(*how.texts, *whole)))
        for name in whole:
            cells = again.column(name)
            if compute.any(compute.match_substring_regex(cells, r"^\s*[-+]?0\d")).as_py():
                table = table.set_column(table.schema.get_field_index(name), name, cells)
    for name in INDICES:
        if name in table.schema.names:
            column = table.column(name)
            if pyarrow.types.is_integer(column.type) and len(column.drop_null().unique()) == len(column):
                warnings.warn(f"{path}: the column {name!r} numbers the rows, and is left out", stacklevel=2)
                table = table.drop_columns([name])
    return table


def parts(path: Path, how: Dialect) -> Iterator[Any]:
    """The same, part after part, of a file that is not to be held in memory.

    Raises BadInput for cells parted by blanks."""
    import pyarrow
    from pyarrow import csv as arrow

    if how.delimiter == BLANKS:
        raise BadInput(f"{path} is too large for cells that blanks part: write it with commas")
    with opened(path) as file:
        for batch in arrow.open_csv(file, **_options(how, block_size=PART_BYTES)):
            yield pyarrow.Table.from_batches([batch])


def _told(cells: Any, kind: Any, how: Dialect, look: Sequence[str] | None) -> Any:
    """A column as it is written: decimals, yes and no, times and missing cells."""
    import pyarrow
    from pyarrow import compute

    kinds = pyarrow.types
    if kinds.is_floating(kind) and how.decimal != ".":
        texts = [None if v is None else repr(v).replace(".", how.decimal) for v in cells.to_pylist()]
        cells = pyarrow.chunked_array([pyarrow.array(texts, pyarrow.string())])
    elif kinds.is_boolean(kind) and look is not None:
        cells = compute.if_else(cells, look[1], look[0])
    elif kinds.is_time(kind) and look is not None:
        cells = compute.utf8_slice_codeunits(cells.cast(pyarrow.string()), 0, 5)
    elif kinds.is_timestamp(kind):
        between, *short = look or (" ",)
        told = _coarsest(cells).cast(pyarrow.string())
        told = compute.utf8_slice_codeunits(told, 0, 16) if short else told
        cells = compute.replace_substring(told, " ", between, max_replacements=1)
    if how.delimiter == BLANKS:
        cells = compute.fill_null(cells.cast(pyarrow.string()), MISSING)
    return cells


def _coarsest(cells: Any) -> Any:
    """Moments without zeros behind their seconds."""
    import pyarrow

    for unit in ("s", "ms", "us"):
        try:
            return cells.cast(pyarrow.timestamp(unit, cells.type.tz))
        except pyarrow.ArrowInvalid:
            continue
    return cells


def _read(path: Path, how: Dialect) -> Any:
    from pyarrow import csv as arrow

    with opened(path) as file:
        if how.delimiter != BLANKS:
            return arrow.read_csv(file, **_options(how))
        content = re.sub(rb"[ \t]+", b",", re.sub(rb"(?m)^[ \t]+|[ \t]+\r?$", b"", file.read()))
        return arrow.read_csv(io.BytesIO(content), **_options(how))


def _readable(path: Path, how: Dialect) -> tuple[Any, Dialect]:
    """The table, and its dialect: Windows-1252, which is told, if some letter beyond the beginning is no UTF-8."""
    import pyarrow

    table = _read(path, how)
    if how.encoding == "utf-8" and any(pyarrow.types.is_binary(field.type) for field in table.schema):
        warnings.warn(f"{path} is no UTF-8, and is read as Windows-1252", stacklevel=3)
        how = how._replace(encoding="cp1252")
        table = _read(path, how)
    return table, how


def _has_padded(path: Path, how: Dialect) -> bool:
    """Whether some cell may begin with a zero and another digit."""
    starts = np.frombuffer(f'{how.delimiter}\n" \t'.encode(), np.uint8)
    before = b"\n"
    with opened(path) as file:
        while part := file.read(PART_BYTES):
            a = np.frombuffer(before + part, np.uint8)
            zeros = np.flatnonzero(a[1:-1] == ord("0")) + 1
            zeros = zeros[(a[zeros + 1] >= ord("0")) & (a[zeros + 1] <= ord("9"))]
            if np.isin(a[zeros - 1], starts).any():
                return True
            before = part[-2:]
    return False


def _options(how: Dialect, **reading: Any) -> dict[str, Any]:
    import pyarrow
    from pyarrow import csv as arrow

    named = {"column_names": how.names, "skip_rows": how.skipped, "encoding": how.encoding}
    return {
        "read_options": arrow.ReadOptions(**named, **reading),
        "parse_options": arrow.ParseOptions(
            delimiter="," if how.delimiter == BLANKS else how.delimiter, newlines_in_values=how.lines
        ),
        "convert_options": arrow.ConvertOptions(
            decimal_point=how.decimal,
            column_types={name: pyarrow.string() for name in how.texts},
        ),
    }


def write(table: Any, how: Dialect, *, compressed: bool = False) -> bytes:
    """An Arrow table as text, as such a file was written, in UTF-8."""
    import pyarrow
    from pyarrow import csv as arrow

    for i, field in enumerate(table.schema):
        told = _told(table.column(i), field.type, how, how.looks.get(field.name))
        table = table.set_column(i, field.name, told)
    names, content = io.StringIO(), io.BytesIO()
    if how.header:
        csv.writer(names, delimiter=how.delimiter, lineterminator="\n").writerow(table.schema.names)
    for style in "none", "needed":  # that is, where some text has the delimiter, or a quote, in it
        try:
            options = arrow.WriteOptions(include_header=False, delimiter=how.delimiter, quoting_style=style)
            arrow.write_csv(table, content, options)
            break
        except pyarrow.ArrowInvalid:
            content = io.BytesIO()
    text = names.getvalue().encode() + content.getvalue()
    return gzip.compress(text, mtime=0) if compressed else text
