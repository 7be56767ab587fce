"""Tables as text: how one is written (what parts its cells, decimals, names, encoding) is found from its beginning."""

import csv
import gzip
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from monge.errors import BadInput

PART_BYTES = 2**25  # of a file that is read part by part
LOOKED_AT, LINES = 2**18, 200  # bytes and lines of the beginning
DELIMITERS = "\t;|,"
BLANKS = " "
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}
INDICES = ("", "Unnamed: 0")  # names that pandas and R give to a column that numbers the rows
PADDED, COMMA = re.compile(r"^0\d+$|^[-+]?\d{17,}$"), re.compile(r"^[-+]?\d+,\d+$")


class Dialect(NamedTuple):
    """What parts the cells of a row, the mark of decimals, the names of the columns, how many lines are before the
    first row, the encoding, columns that are texts though they look like numbers (zeros before them, or more digits
    than numbers have), and whether the file names its columns."""

    delimiter: str = ","
    decimal: str = "."
    names: tuple[str, ...] = ()
    skipped: int = 0
    encoding: str = "utf-8"
    texts: tuple[str, ...] = ()
    header: bool = True

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()


def dialect(path: Path) -> Dialect:
    """Of a file of text, from its first 256 kB. Warns where the first line could be names as well as numbers.

    Raises BadInput for two columns of one name.
    """
    with _opened(path) as file:
        head = file.read(LOOKED_AT)
    encoding = next((name for mark, name in BOMS.items() if head.startswith(mark)), "utf-8")
    try:
        text = head.decode(encoding + "-sig" * (encoding == "utf-8"), "strict")
    except UnicodeDecodeError as error:
        whole = encoding == "utf-8" and error.start < len(head) - 4  # not a letter that is cut in two
        encoding = "cp1252" if whole else encoding
        text = head.decode(encoding, "ignore").removeprefix("\ufeff")
    lines = text.splitlines()
    lines = lines[:-1] if len(head) == LOOKED_AT and len(lines) > 1 else lines
    empty = next((i for i, line in enumerate(lines) if line.strip()), 0)
    lines = [line for line in lines[empty : empty + LINES] if line.strip()]
    if not lines:
        raise BadInput(f"{path} has no rows: give a table with samples in it")
    numbered = lines[0].lstrip().startswith("#")
    lines[0] = lines[0].lstrip().removeprefix("#").strip() if numbered else lines[0]
    delimiter, rows = _parted(lines)
    first, rest = rows[0], rows[1:]
    named = len(rest) > 0 and len(first) == len(rest[0]) - 1
    header = named or numbered or _is_header(first, rest, path)
    names = tuple(cell.strip() for cell in first) if header else tuple(f"x{i + 1}" for i in range(len(first)))
    names = ("", *names) if named else names
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BadInput(f"{path} has two columns {twice!r}: give each a name of its own")
    cells = list(zip(*(row for row in rest if len(row) == len(names)), strict=True)) or [()] * len(names)
    comma = delimiter != "," and any(COMMA.match(cell.strip()) for column in cells for cell in column)
    texts = tuple(
        name for name, column in zip(names, cells, strict=False) if any(PADDED.match(cell.strip()) for cell in column)
    )
    return Dialect(delimiter, "," if comma else ".", names, empty + header, encoding, texts, header)


def read(path: Path, how: Dialect) -> Any:
    """The Arrow table in a file of text. Columns that number the rows are left out, which is told."""
    import pyarrow
    from pyarrow import compute
    from pyarrow import csv as arrow

    options = _options(how)
    with _opened(path) as file:
        if how.delimiter == BLANKS:
            content = re.sub(rb"[ \t]+", b",", re.sub(rb"(?m)^[ \t]+|[ \t]+\r?$", b"", file.read()))
            table = arrow.read_csv(io.BytesIO(content), **options)
        else:
            table = arrow.read_csv(file, **options)
    for name in INDICES:
        if name in table.schema.names:
            column = table.column(name)
            counts = pyarrow.types.is_integer(column.type) and compute.all(
                compute.equal(compute.subtract(column, column[0]), pyarrow.array(range(len(column))))
            )
            if counts and counts.as_py() and column[0].as_py() in (0, 1):
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
    with _opened(path) as file:
        for batch in arrow.open_csv(file, **_options(how, block_size=PART_BYTES)):
            yield pyarrow.Table.from_batches([batch])


def _options(how: Dialect, **reading: Any) -> dict[str, Any]:
    import pyarrow
    from pyarrow import csv as arrow

    named = {"column_names": how.names, "skip_rows": how.skipped, "encoding": how.encoding}
    return {
        "read_options": arrow.ReadOptions(**named, **reading),
        "parse_options": arrow.ParseOptions(delimiter="," if how.delimiter == BLANKS else how.delimiter),
        "convert_options": arrow.ConvertOptions(
            strings_can_be_null=True,
            decimal_point=how.decimal,
            column_types={name: pyarrow.string() for name in how.texts},
        ),
    }


def write(table: Any, how: Dialect, *, compressed: bool = False) -> bytes:
    """An Arrow table as text, as such a file was written, in UTF-8."""
    import pyarrow
    from pyarrow import csv as arrow

    if how.decimal != ".":
        for i, field in enumerate(table.schema):
            if pyarrow.types.is_floating(field.type):
                cells = [None if v is None else repr(v).replace(".", how.decimal) for v in table.column(i).to_pylist()]
                table = table.set_column(i, field.name, pyarrow.array(cells, pyarrow.string()))
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


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parted(lines: Sequence[str]) -> tuple[str, list[list[str]]]:
    """What parts the cells, so that all lines have as many, and more than one; and the cells."""
    for delimiter in DELIMITERS:
        rows = list(csv.reader(lines, delimiter=delimiter))
        if _even(rows):
            return delimiter, rows
    rows = [line.split() for line in lines]
    if _even(rows) and any(all(_is_number(row[i]) for row in rows[1:]) for i in range(len(rows[-1]))) and rows[1:]:
        return BLANKS, rows
    return ",", list(csv.reader(lines))


def _even(rows: Sequence[Sequence[str]]) -> bool:
    widths = {len(row) for row in rows[1:]} or {len(rows[0])}
    return len(widths) == 1 and len(rows[0]) - max(widths) in (0, -1) and max(widths) > 1


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], path: Path) -> bool:
    """Whether the first line names the columns."""
    if not all(map(_is_number, first)):
        again = [{row[i].strip() for row in rest if i < len(row)} for i in range(len(first))]
        return not any(
            cell.strip() in column for cell, column in zip(first, again, strict=True) if not _is_number(cell)
        )
    if len(first) > 1 and _counts(first) and not any(_counts(row) for row in rest[:2]):
        warnings.warn(
            f"{path}: the first line, {', '.join(first[:3])}, ..., is taken for names of columns, not for a row",
            stacklevel=3,
        )
        return True
    return False


def _counts(cells: Sequence[str]) -> bool:
    """Whether numbers go up, or down, by one step: years, wavelengths, places."""
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return False
    steps = [b - a for a, b in pairwise(values)]
    whole = all(value == int(value) for value in values)
    even = all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)
    return steps[0] != 0 and even and (whole or len(values) > 2)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
