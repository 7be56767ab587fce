"""How a column of a table is told in numbers, and how numbers are told as such a column again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from monge import rng
from monge.errors import BadInput

Array = NDArray[np.float64]
LARGEST = 2.0**53  # whole numbers that float64 holds, one by one
UNITS = {"D": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds
UNPAD = r"\b0(\d)", r"\1"


@dataclass(frozen=True)
class Code:
    """One column of a table: its name, its type in the file (Arrow's), and whether cells may be missing, which a column
    of 0 and 1 beside it tells.

    A cell that is missing has in its place the value of another row, drawn at random, so that a law with a density is
    learned, whose numbers are left out again where the mark says so.
    """

    kind: ClassVar[str]
    name: str
    type: str = ""
    marked: bool = False

    @property
    def mark(self) -> str:
        return f"{self.name} is missing"

    @property
    def own(self) -> tuple[str, ...]:
        """Names of its columns of numbers, but for the mark."""
        return (self.name,)

    @property
    def step(self) -> float:
        """Between two numbers that are told apart, 0 where that is not known."""
        return 0.0

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and last, exclusive, of its own columns of which one is 1 and the others 0, or of one that is 0 or
        1."""
        return ()

    @property
    def meanings(self) -> dict[str, tuple[str, str]]:
        """Of its own columns of 0 and 1 by their names: what 0, and what 1 stands for."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.own, self.mark) if self.marked else self.own

    def read(self, cells: Any, label: str) -> Array:
        """Cells of an Arrow array as numbers [n], NaN where they are missing. Raises BadInput that names the column."""
        raise NotImplementedError

    def spread(self, values: Array) -> Array:
        """These numbers as `own` columns, [n, k]."""
        return values[:, None]

    def gather(self, x: Array, seed: int) -> Array:
        """The inverse of `spread`, of columns that may be near to what they stand for."""
        return x[:, 0]

    def write(self, values: Array) -> Any:
        """The inverse of `read`: an Arrow array."""
        raise NotImplementedError

    def encode(self, cells: Any, label: str) -> Array:
        values = self.read(cells, label)
        missing = np.isnan(values)
        if missing.any() and not self.marked:
            raise BadInput(
                f"{label}: column {self.name!r} has {int(missing.sum())} missing cells, the first in row "
                f"{int(missing.argmax()) + 1}: leave those rows out with drop_missing=True (--drop-missing), or learn "
                'where cells are missing with missing="learn" (--missing learn)'
            )
        if missing.any():
            there = values[~missing]
            values = values.copy()
            values[missing] = there[some_of(int(missing.sum()), len(there), "fill", self.name)]
        columns = self.spread(values)
        return np.column_stack([columns, missing]) if self.marked else columns

    def decode(self, x: Array, seed: int = 0) -> Any:
        values = np.asarray(self.gather(x[:, : len(self.own)], seed), np.float64)
        if self.marked:
            values = np.where(x[:, -1] > 0.5, np.nan, values)
        return self.write(values)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind} | {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class Number(Code):
    """Numbers: whole ones, or of so many decimals, told without loss; as text with what stands before and after them,
    marks of thousands and of decimals, zeros in front up to a width, and whether a sign is behind what is before."""

    kind = "number"
    whole: bool = False
    decimals: int | None = None
    before: str = ""
    after: str = ""
    thousands: str = ""
    point: str = "."
    width: int = 0
    inside: bool = False

    @property
    def step(self) -> float:
        return 1.0 if self.whole else 0.0 if self.decimals is None else 10.0**-self.decimals

    @property
    def is_text(self) -> bool:
        return bool(self.before or self.after or self.thousands or self.width or self.point != ".")

    def read(self, cells: Any, label: str) -> Array:
        import pyarrow
        from pyarrow import compute

        kinds, cells = pyarrow.types, plain(cells)
        if kinds.is_string(cells.type):
            cells = _bare(cells, self)
        elif kinds.is_integer(cells.type):
            most = max((abs(v) for v in compute.min_max(cells).as_py().values() if v is not None), default=0)
            if most > LARGEST:
                raise BadInput(
                    f"{label}: column {self.name!r} holds whole numbers beyond 2^53, up to {most}, which numbers of 64 "
                    "bits do not tell apart: leave it out, or subtract a constant"
                )
        try:
            found: Array = cells.cast(pyarrow.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
            told = f"{label}: column {self.name!r} is {cells.type}"
            raise BadInput(f"{told} and holds what is no number: correct it, or leave it out") from error
        if np.isinf(found).any():
            at = int(np.isinf(found).argmax())
            raise BadInput(f"{label}: column {self.name!r} is infinite in row {at + 1}: drop or repair such rows")
        return found

    def write(self, values: Array) -> Any:
        import pyarrow

        empty = np.isnan(values)
        if self.is_text:
            return pyarrow.array([None if gone else self._told(v) for v, gone in zip(values, empty, strict=True)])
        if self.whole:
            whole = np.where(empty, 0, values).round().astype(np.int64)
            return of_type(pyarrow.array(whole, mask=empty), self.type)
        rounded = values if self.decimals is None else values.round(self.decimals)
        return of_type(pyarrow.array(rounded, mask=empty), self.type)

    def _told(self, value: float) -> str:
        places = self.decimals or 0
        text = f"{abs(round(value, places)):,.{places}f}"
        text = text.replace(",", "\0").replace(".", self.point).replace("\0", self.thousands)
        sign = "-" if round(value, places) < 0 else ""
        signed = (self.before, sign) if self.inside else (sign, self.before)
        return f"{''.join(signed)}{text.zfill(self.width)}{self.after}"


@dataclass(frozen=True)
class Moment(Code):
    """Days, hours or finer units since 1970-01-01, or since midnight: the coarsest of which all are whole. format: of
    those that came as text, or as whole numbers such as 20230105; padded: days and months by zeros, or 1/5/2023; short:
    hours without, 9:05."""

    kind = "moment"
    unit: str = "D"
    format: str = ""
    padded: bool = True
    short: bool = False
    is_number: bool = False

    @property
    def step(self) -> float:
        return 1.0

    def read(self, cells: Any, label: str) -> Array:
        try:
            return microseconds(cells, self.format) / UNITS[self.unit]
        except Exception as error:  # Arrow's, of many kinds
            told = " ".join(str(error).split())[:100]
            raise BadInput(
                f"{label}: column {self.name!r} holds what is no {self.format or self.type}: {told}"
            ) from error

    def write(self, values: Array) -> Any:
        import pyarrow
        from pyarrow import compute

        empty = np.isnan(values)
        micro = np.where(empty, 0, values).round().astype(np.int64) * UNITS[self.unit]
        if self.type.startswith(("time32", "time64")):
            micro = micro.clip(0, UNITS["D"] - UNITS[self.unit])
            return of_type(pyarrow.array(micro, pyarrow.time64("us"), mask=empty), self.type)
        moments = pyarrow.array(micro.astype("datetime64[us]"), mask=empty)
        if not self.format:
            return of_type(moments, self.type)
        told = compute.strftime(moments.cast(pyarrow.timestamp("s"), safe=False), format=self.format)
        if not self.padded:
            told = compute.replace_substring_regex(told, r"(^|[/.\-])0(\d)", r"\1\2")
        if self.short:
            told = compute.replace_substring_regex(told, r" 0(\d:)", r" \1")
        return told.cast(pyarrow.int64()) if self.is_number else told


def some_of(n: int, of: int, *path: Any) -> NDArray[np.int64]:
    """n whole numbers below `of`, at random."""
    seed, *rest = path if isinstance(path[0], int) else (0, *path)
    drawn: NDArray[np.int64] = (rng.uniform((n,), seed, "data", *rest).double().numpy() * of).astype(np.int64)
    return drawn.clip(max=of - 1)


def by_count(n: int, count: Sequence[float], *path: Any) -> NDArray[np.int64]:
    """n places in a list, at random, each as often as its count says."""
    seed, *rest = path if isinstance(path[0], int) else (0, *path)
    ends = np.cumsum(np.asarray(count, np.float64))
    drawn = rng.uniform((n,), seed, "data", *rest).double().numpy() * ends[-1]
    found: NDArray[np.int64] = np.searchsorted(ends, drawn, side="right").clip(max=int(np.flatnonzero(count).max()))
    return found


def of_type(values: Any, name: str) -> Any:
    """To the type of the file, where it has such values."""
    import pyarrow

    zoned = re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", name)
    decimal = re.fullmatch(r"decimal128\((\d+), (\d+)\)", name)
    try:
        if decimal:
            digits, places = map(int, decimal.groups())
            most = (10**digits - 1) / 10**places
            return _within(values, -most, most).cast(pyarrow.decimal128(digits, places), safe=False)
        if name.startswith("dictionary<values=string"):
            return values.dictionary_encode()
        kind = pyarrow.timestamp(*zoned.groups()) if zoned else pyarrow.type_for_alias(name)
        if pyarrow.types.is_integer(kind):
            about = np.iinfo(kind.to_pandas_dtype())
            values = _within(values, about.min, min(about.max, np.iinfo(np.int64).max))
        elif pyarrow.types.is_float16(kind):
            values = _within(values, *map(float, (np.finfo(np.float16).min, np.finfo(np.float16).max)))
        return values.cast(kind, safe=False)
    except (ValueError, pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return values


def _within(values: Any, low: float, high: float) -> Any:
    """Values beyond what a type holds as the nearest that it does, or a cast would make others of them."""
    from pyarrow import compute

    return compute.min_element_wise(compute.max_element_wise(values, low, skip_nulls=False), high, skip_nulls=False)


def plain(cells: Any) -> Any:
    """Without a dictionary, and texts as strings of the one kind that is computed with."""
    import pyarrow

    kinds = pyarrow.types
    if kinds.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    of_texts = kinds.is_large_string(cells.type) or kinds.is_string_view(cells.type)
    return cells.cast(pyarrow.string()) if of_texts else cells


def as_texts(cells: Any) -> Any:
    """As strings without space around them; empty ones are missing."""
    import pyarrow
    from pyarrow import compute

    if pyarrow.types.is_floating(cells.type) and compute.all(compute.equal(cells, compute.floor(cells))).as_py():
        cells = cells.cast(pyarrow.int64())
    texts = compute.utf8_trim_whitespace(cells.cast(pyarrow.string()))
    return compute.if_else(compute.equal(texts, ""), None, texts)


def _bare(cells: Any, code: Number) -> Any:
    """Texts of numbers without what stands around them."""
    from pyarrow import compute

    texts = as_texts(cells)
    for mark in (code.before.strip(), code.after.strip(), code.thousands, " ", "\u00a0", "+"):
        texts = compute.replace_substring(texts, mark, "") if mark else texts
    return texts if code.point == "." else compute.replace_substring(texts, code.point, ".")


def microseconds(cells: Any, format: str) -> Array:
    """Since 1970, or since midnight; NaN where missing."""
    import pyarrow
    from pyarrow import compute

    kinds, cells = pyarrow.types, plain(cells)
    if format:
        texts = as_texts(cells)
        cells = compute.strptime(texts, format=format, unit="s")
        told = compute.strftime(cells, format=format)
        told, texts = (compute.replace_substring_regex(each, *UNPAD) for each in (told, texts))
        if compute.any(compute.not_equal(told, texts)).as_py():
            raise ValueError(f"not all are {format}")
    if kinds.is_time(cells.type):
        cells = cells.cast(pyarrow.time64("us"))
    else:
        cells = cells.cast(pyarrow.timestamp("us", getattr(cells.type, "tz", None)))
    whole = cells.cast(pyarrow.int64())
    found: Array = whole.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    return found
