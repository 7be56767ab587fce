"""Which code a column of a table has: what its cells are, found by looking at them."""

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from monge.data.codes import LARGEST, UNITS, Array, Code, Moment, Number, as_texts, microseconds, plain
from monge.data.texts import Grouped, Text
from monge.errors import BadInput

DIGITS = 16  # of whole numbers that float64 holds
RARE, REPEATED = 5, 2  # rows that a text has its column from; and that texts must have on average
MOST_DECIMALS = 9
LOOKED_AT = 200  # cells by which a format is found
DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y")
SPELT_DAYS = ("%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
SHORT_DAYS = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y")  # last: of 1/2/2023, %y would be 20
TIMES = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
MOMENTS = (
    *DAYS,
    *SPELT_DAYS,
    *SHORT_DAYS,
    *(f"%Y-%m-%dT{time}" for time in TIMES[:2]),
    *(f"{day} {time}" for day in (*DAYS, *SHORT_DAYS) for time in TIMES),
)
WHOLE_DAY = "%Y%m%d"  # as a whole number
EARLIEST, LATEST = 19000101, 21001231  # such numbers that are days
AROUND = re.compile(  # what stands around a number: signs of money, %, and units such as USD, kg
    r"^(?P<sign>[-+]?)(?P<before>(?:[A-Z]{3} ?|[^\w.,+\-()]*))(?P<number>[-+]?\d[\d.,' ]*?)"
    r"(?P<after> ?(?:[^\W\d]{1,4}|[^\w.,()]*))$"
)


def code_of(name: str, cells: Any, label: str, *, learn_missing: bool = False) -> Code:
    """The code of a column of an Arrow table. Raises BadInput for types that are neither numbers, moments nor texts,
    and for texts that do not come again."""
    import pyarrow

    kinds, kind = pyarrow.types, cells.type
    common: dict[str, Any] = {"name": name, "type": str(kind), "marked": learn_missing and cells.null_count > 0}
    if kinds.is_null(kind) or cells.null_count == len(cells):
        raise BadInput(f"{label}: column {name!r} has no values: leave it out")
    cells = plain(cells)
    kind = cells.type
    if kinds.is_date(kind) or kinds.is_timestamp(kind) or kinds.is_time(kind):
        return _moment(common, cells, "")
    if kinds.is_boolean(kind):
        return Text(**common, texts=("false", "true"))
    if kinds.is_integer(kind):
        return _whole(common, cells, label)
    if kinds.is_floating(kind) or kinds.is_decimal(kind):
        values = Number(**common).read(cells, label)
        common["marked"] = learn_missing and bool(np.isnan(values).any())
        return Number(**common, decimals=_decimals(values[~np.isnan(values)]))
    if kinds.is_string(kind):
        texts = as_texts(cells)
        if texts.null_count == len(texts):
            raise BadInput(f"{label}: column {name!r} has no values: leave it out")
        return _text(common | {"marked": learn_missing and texts.null_count > 0}, cells, texts, label)
    raise BadInput(
        f"{label}: column {name!r} is {kind}, neither numbers, moments nor texts: leave it out, or unpack it"
    )


def _whole(common: dict[str, Any], cells: Any, label: str) -> Code:
    values = Number(**common).read(cells, label)
    there = values[~np.isnan(values)]
    if there.min() >= EARLIEST and there.max() <= LATEST:
        try:
            return _moment(common, cells, WHOLE_DAY, is_number=True)
        except Exception:  # not all are days
            pass
    return Number(**common, whole=True)


def _moment(common: dict[str, Any], cells: Any, format: str, is_number: bool = False) -> Moment:
    try:
        micro = microseconds(cells, format)
    except Exception as error:
        if format:
            raise
        told = f"column {common['name']!r} is {cells.type}, finer than microseconds in places"
        raise BadInput(f"{told}: round it, or leave it out") from error
    micro = micro[~np.isnan(micro)]
    if np.abs(micro).max() > LARGEST:
        raise BadInput(f"column {common['name']!r} holds moments too far from 1970 for a microsecond to be told")
    unit = next(name for name, size in UNITS.items() if (micro % size == 0).all())
    texts = as_texts(cells).drop_null().to_pylist() if format else []
    padded = not any(re.search(r"(^|[/.\-])\d([/.\- ]|$)", text) for text in texts)
    short = any(re.search(r" \d:", text) for text in texts)
    return Moment(**common, unit=unit, format=format, padded=padded, short=short, is_number=is_number)


def _text(common: dict[str, Any], cells: Any, texts: Any, label: str) -> Code:
    from pyarrow import compute

    some = texts.drop_null().slice(0, LOOKED_AT).to_pylist()
    longest = max(some, key=len, default="")
    if len(longest) > DIGITS and longest.isascii() and longest.lstrip("+-").isdigit():
        raise BadInput(
            f"{label}: column {common['name']!r} holds whole numbers beyond 2^53, such as {longest}, which numbers of "
            "64 bits do not tell apart: leave it out, or subtract a constant"
        )
    padded: Number | None = None
    if compute.all(compute.match_substring_regex(texts, r"^[-+]?\d+$")).as_py():
        if not compute.any(compute.match_substring_regex(texts, r"^[-+]?0\d")).as_py():
            return Number(**common | {"type": "int64"}, whole=True)
        lengths = compute.min_max(compute.utf8_length(texts)).as_py()
        if lengths["min"] == lengths["max"]:  # or 7 and 007, which are two, would be one
            padded = Number(**common, whole=True, width=lengths["max"])
        some = []
    for code in (*_formats(common, some), *_moments(common, some)):
        try:
            values = code.read(cells, label)
        except BadInput:
            continue
        if isinstance(code, Moment):
            return _moment(common, cells, code.format)
        number = cast(Number, code)
        places = _decimals(values[~np.isnan(values)])
        places = MOST_DECIMALS if places is None else max(places, _written(some, number))
        return replace(number, decimals=places)
    counts = compute.value_counts(texts.drop_null())
    found = sorted((str(item["values"]), int(item["counts"].as_py())) for item in counts)
    kept = {text for text, count in found if count >= RARE} or {text for text, _ in found}
    pooled = {text: count for text, count in found if text not in kept}
    if REPEATED * len(found) > len(cells):
        if padded is not None:  # codes of which hardly any comes again
            return padded
        raise BadInput(
            f"{label}: column {common['name']!r} is not numeric: {len(found)} different texts in {len(cells)} rows, "
            "too many for a category: leave it out"
        )
    if len(pooled) == 1:  # which is as rare alone
        kept, pooled = kept | set(pooled), {}
    return Text(**common, texts=tuple(text for text, _ in found if text in kept), pooled=pooled)


def _written(some: list[str], code: Number) -> int:
    """Decimals that all texts of a column have, zeros among them; 0 where they differ."""
    bare = [text.removesuffix(code.after) for text in some]
    found = {len(text.rpartition(code.point)[2]) if code.point in text else 0 for text in bare}
    return found.pop() if len(found) == 1 else 0


def _formats(common: dict[str, Any], some: list[str]) -> Iterator[Number]:
    """Numbers with something around them."""
    parts = [AROUND.match(text) for text in some]
    if not all(parts) or len({(p["before"], p["after"]) for p in parts if p}) != 1 or not parts[0]:
        return
    numbers = [p["number"].strip() for p in parts if p]
    marks = [[c for c in number if c in ".,' "] for number in numbers]
    grouped = all(re.fullmatch(r"[-+]?(\d{1,3}|[1-9]\d{0,2}([.,' ]\d{3})+)", number) for number in numbers)
    last = {each[-1] for each in marks if each}
    others = {c for each in marks for c in each[:-1]}
    point = next(iter(last)) if len(last) == 1 and not (others & last) else None
    if grouped and others | last and (len(others | last) == 1) and (point != "." or others):
        point, others = ".", others | last
    if not last:
        point = "."
    thousands = others - {point}
    if point in (".", ",") and len(thousands) <= 1:
        inside = bool(parts[0]["before"]) and any(p["number"][0] in "+-" for p in parts if p)
        around: dict[str, Any] = {"before": parts[0]["before"], "after": parts[0]["after"], "inside": inside}
        yield Number(**common, **around, thousands=next(iter(thousands), ""), point=point)


def _moments(common: dict[str, Any], some: list[str]) -> Iterator[Moment]:
    """Formats that fit; of those in which day and month could be each other the first, which is told."""
    if not any(re.search(r"\d", text) for text in some):
        return
    import pyarrow

    fits = []
    for format in MOMENTS:
        try:
            microseconds(pyarrow.array(some), format)
            fits.append(format)
        except Exception:
            continue
    if len(fits) > 1:
        warnings.warn(f"column {common['name']!r} is read as {fits[0]}, and could be {fits[1]}", stacklevel=2)
    yield from (Moment(**common, format=format) for format in fits)


def _decimals(values: Array) -> int | None:
    """With how many decimals all numbers are told without loss, 9 at most."""
    some = values[: 10 * LOOKED_AT]
    for places in range(MOST_DECIMALS + 1):
        if (np.abs(some - some.round(places)) <= 4e-16 * np.abs(some)).all():
            exact = values.round(places)
            return places if (np.abs(values - exact) <= 4e-16 * np.abs(values)).all() else None
    return None


KINDS: dict[str, type[Code]] = {kind.kind: kind for kind in (Number, Moment, Text, Grouped)}


def from_dict(content: Mapping[str, Any]) -> Code:
    """What `Code.to_dict` wrote."""
    named: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    return KINDS[named.pop("kind")](**named)
