"""How a table of text is written (what parts its cells, decimals, names, encoding), found from its beginning."""

import csv
import gzip
import re
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from monge.errors import BadInput

LOOKED_AT, LINES = 2**18, 200  # bytes and lines of the beginning
YEAR = 1000  # two numbers in a first line are names if they are as large as years
DELIMITERS = "\t;|,"
BLANKS = " "
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}
PADDED, COMMA = re.compile(r"^0\d+$|^[-+]?\d{17,}$"), re.compile(r"^[-+]?\d+,\d+$")
THOUSANDS = re.compile(r"^[-+]?[1-9]\d{0,2}(,\d{3})+$")
ISO = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d")  # a moment, with a T in it or not
SHORT = re.compile(r"^\d\d:\d\d$")  # a time without seconds


class Dialect(NamedTuple):
    """What parts the cells of a row, the mark of decimals, the names of the columns, how many lines are before the
    first row, the encoding, columns that are texts though they look like numbers (zeros before them, or more digits
    than numbers have), whether the file names its columns, whether cells go over several lines, and how columns of yes
    and no, of times and of moments are written: the words of both, "%H:%M", or what
    stands between day and time, and whether seconds are left out."""

    delimiter: str = ","
    decimal: str = "."
    names: tuple[str, ...] = ()
    skipped: int = 0
    encoding: str = "utf-8"
    texts: tuple[str, ...] = ()
    header: bool = True
    lines: bool = False
    looks: Mapping[str, Sequence[str]] = {}

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()


def dialect(path: Path) -> Dialect:
    """Of a file of text, from its first 256 kB. Warns where the first line could be names as well as numbers.

    Raises BadInput for two columns of one name.
    """
    with opened(path) as file:
        head = file.read(LOOKED_AT)
    encoding = next((name for mark, name in BOMS.items() if head.startswith(mark)), "utf-8")
    try:
        text = head.decode(encoding + "-sig" * (encoding == "utf-8"), "strict")
    except UnicodeDecodeError as error:
        whole = encoding == "utf-8" and error.start < len(head) - 4  # not a letter that is cut in two
        if whole:
            warnings.warn(f"{path} is no UTF-8, and is read as Windows-1252", stacklevel=2)
            encoding = "cp1252"
        text = head.decode(encoding, "ignore").removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if len(head) == LOOKED_AT and len(lines) > 1 else lines
    empty = next((i for i, line in enumerate(lines) if line.strip()), 0)
    lines = lines[empty : empty + LINES]
    lines = lines if '"' in text else [line for line in lines if line.strip()]
    if not lines:
        raise BadInput(f"{path} has no rows: give a table with samples in it")
    numbered = lines[0].lstrip().startswith("#")
    lines[0] = lines[0].lstrip().removeprefix("#").strip() if numbered else lines[0]
    try:
        delimiter, rows = _parted(lines)
    except csv.Error as error:
        raise BadInput(f"{path} is no table that can be read ({error}): check its quotes") from error
    first, rest = rows[0], rows[1:]
    named = len(rest) > 0 and len(first) == len(rest[0]) - 1
    header = named or numbered or _is_header(first, rest, path)
    names = tuple(cell.strip() for cell in first) if header else tuple(f"x{i + 1}" for i in range(len(first)))
    names = ("", *names) if named else names
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BadInput(f"{path} has two columns {twice!r}: give each a name of its own")
    cells = list(zip(*(row for row in rest if len(row) == len(names)), strict=True)) or [()] * len(names)
    comma = False
    texts: list[str] = []
    looks: dict[str, tuple[str, ...]] = {}
    for name, column in zip(names, cells, strict=False):
        some = [cell.strip() for cell in column if cell.strip()]
        commas = [cell for cell in some if COMMA.match(cell)] if delimiter != "," else []
        thousands = bool(commas) and all(map(THOUSANDS.match, commas))
        comma = comma or (bool(commas) and not thousands)
        if thousands:
            warnings.warn(
                f"{path}: the commas of {name!r}, as in {commas[0]}, are read as marks of thousands", stacklevel=2
            )
        if thousands or any(map(PADDED.match, some)):
            texts.append(name)
        if some and all(cell.lower() in ("true", "false") for cell in some):
            upper, title = some[0].isupper(), some[0][0].isupper()
            looks[name] = ("FALSE", "TRUE") if upper else ("False", "True") if title else ("false", "true")
        if some and all(map(SHORT.match, some)):
            looks[name] = ("%H:%M",)
        if some and all(map(ISO.match, some)):
            looks[name] = (some[0][10], *(["minutes"] if all(len(cell) == 16 for cell in some) else []))
    over = any("\n" in cell for row in rows for cell in row)
    decimal, names = "," if comma else ".", tuple(names)
    return Dialect(delimiter, decimal, names, empty + header, encoding, tuple(texts), header, over, looks)


def opened(path: Path) -> Any:
    """A file of text, also one that is compressed, as bytes."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parted(lines: Sequence[str]) -> tuple[str, list[list[str]]]:
    """What parts the cells, so that all lines have as many, and more than one; and the cells.

    Of several such marks the one is taken by which most cells are numbers, then the one that makes most cells.
    """
    found = []
    for place, delimiter in enumerate(DELIMITERS):
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        if _even(rows, delimiter):
            cells = [cell.strip() for row in rows[1:] or rows for cell in row]
            numbers = sum(_is_number(cell) or (delimiter != "," and bool(COMMA.match(cell))) for cell in cells)
            found.append((numbers / len(cells), len(rows[-1]), -place, delimiter, rows))
    if found:
        *_, delimiter, rows = max(found, key=lambda each: each[:3])
        return delimiter, rows
    rows = [line.split() for line in lines if line.strip()]
    body = rows[1:]
    if body and _even(rows, BLANKS) and any(all(map(_is_number, column)) for column in zip(*body, strict=False)):
        return BLANKS, rows
    rows = [row for row in csv.reader(lines, delimiter=";") if row]
    alone = all(len(row) == 1 for row in rows) and ("," not in rows[0][0] or bool(COMMA.match(rows[0][0])))
    if alone and any(COMMA.match(row[0].strip()) for row in rows[1:]):
        return ";", rows  # one column, of decimal commas
    return ",", [row for row in csv.reader(lines) if row]


def _even(rows: Sequence[Sequence[str]], delimiter: str) -> bool:
    """Whether all rows have as many cells, two or more; the last may be cut off, and the first one shorter, where it
    has no name for names of rows (not where commas part them, or numbers of decimal commas would be two)."""
    body = rows[1:-1] if len(rows) > LINES // 2 else rows[1:]
    widths = {len(row) for row in body} or {len(rows[0])}
    shorter = len(rows[0]) - max(widths)
    return len(widths) == 1 and max(widths) > 1 and (shorter == 0 or (shorter == -1 and delimiter != ","))


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], path: Path) -> bool:
    """Whether the first line names the columns: none of its cells is like those below it, or its numbers count."""
    columns = [[row[i].strip() for row in rest if i < len(row)] for i in range(len(first))]
    first = [cell.strip() for cell in first]
    both = list(zip(first, columns, strict=True))
    numbers = [cell for cell, column in both if _is_number(cell) and all(map(_is_number, column))]
    told = f"{path}: the first line, {', '.join(first[:3])}{', ...' * (len(first) > 3)}, is taken for"
    if len(numbers) > 1 and _counts(numbers) and not any(_counts(_numbers(row)) for row in rest[:2]):
        warnings.warn(f"{told} names of columns, not for a row", stacklevel=3)
        return True
    if all(map(_is_number, first)):
        return False
    texts = [(cell, column) for cell, column in both if cell and not _is_number(cell)]
    alike = bool(numbers) or any(
        cell in column or (bool(re.search(r"\d", cell)) and {_shape(each) for each in column} == {_shape(cell)})
        for cell, column in texts
    )
    if alike:
        warnings.warn(f"{told} a row, not for names of columns", stacklevel=3)
    return not alike


def _shape(cell: str) -> str:
    """Of a date, a time, a code: every digit the same."""
    return re.sub(r"\d", "0", cell)


def _numbers(row: Sequence[str]) -> list[str]:
    return [cell for cell in row if _is_number(cell)]


def _counts(cells: Sequence[str]) -> bool:
    """Whether numbers go up, or down, by one step: years, wavelengths, places."""
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return False
    steps = [b - a for a, b in pairwise(values)] or [0.0]
    whole = all(value == int(value) for value in values)
    even = all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)
    return steps[0] != 0 and even and (len(values) > 2 or (whole and min(values) >= YEAR))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
