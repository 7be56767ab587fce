"""The columns of a table as numbers: whole, real, and texts that name a category."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.layout import Table
from monge.errors import BadInput

MOST_CATEGORIES, REPEATED = 100, 2  # texts of a category column at most, and how often each is there on average
Categories = Mapping[str, Sequence[str]]


def columns(table: Any, path: Path, group: str | None = None, categories: Categories | None = None) -> Table:
    """The columns of a pyarrow table side by side, [n, d]: int64 when all are whole, else float64 (a missing cell is
    NaN). A text is the number of its place in the alphabetical order of the texts of its column, or in `categories`.

    Raises `BadInput` for no rows, columns that are neither numbers nor categories, and a text that is not among those
    given.
    """
    import pyarrow

    if table.num_rows == 0:
        raise BadInput(f"{path} has no rows: give a table with samples in it")
    groups = None
    if group is not None:
        table, groups = _grouped(table, path, group)
    values: list[NDArray[np.generic]] = []
    texts: dict[str, tuple[str, ...]] = {}
    whole = True
    for field, column in zip(table.schema, table.columns, strict=True):
        kinds = pyarrow.types
        integer = kinds.is_integer(field.type) or kinds.is_boolean(field.type)
        text = kinds.is_string(field.type) or kinds.is_large_string(field.type) or kinds.is_dictionary(field.type)
        if text:
            found, texts[field.name] = _coded(
                column, f"{path}: column {field.name!r}", (categories or {}).get(field.name)
            )
            values.append(found)
        elif integer or kinds.is_floating(field.type) or kinds.is_decimal(field.type):
            values.append(column.cast(pyarrow.float64()).to_numpy())
        else:
            raise BadInput(f"{path}: column {field.name!r} is not numeric ({field.type}): drop it or encode it")
        whole = whole and integer and column.null_count == 0
    if whole:
        values = [column.cast(pyarrow.int64()).to_numpy() for column in table.columns]
    names = tuple(map(str, table.schema.names))
    return Table(np.stack(values, axis=1), columns=names, groups=groups, categories=texts or None)


def _grouped(table: Any, path: Path, group: str) -> tuple[Any, NDArray[np.generic]]:
    """The table without the column of groups, and that column."""
    if group not in table.schema.names:
        raise BadInput(f"{path} has no column {group!r}: its columns are {', '.join(table.schema.names)}")
    column, table = table.column(group), table.drop_columns([group])
    if column.null_count:
        raise BadInput(f"{path}: {column.null_count} of {len(column)} rows have no {group!r}: give each a group")
    if not table.num_columns:
        raise BadInput(f"{path} has no column but {group!r}: give values to learn from beside it")
    return table, np.array([str(value) for value in column.to_pylist()])


def _coded(column: Any, label: str, given: Sequence[str] | None) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The number of each text, and the texts."""
    cells = ["" if cell is None else str(cell) for cell in column.to_pylist()]
    texts = tuple(given) if given is not None else tuple(sorted({cell for cell in cells if cell}))
    if given is None and (len(texts) > MOST_CATEGORIES or REPEATED * len(texts) > len(cells)):
        raise BadInput(
            f"{label} is not numeric: {len(texts)} different texts in {len(cells)} rows, too many for a "
            "category: drop it"
        )
    number: dict[str, float] = {text: i for i, text in enumerate(texts)}
    unknown = sorted({cell for cell in cells if cell} - number.keys())
    if unknown:
        raise BadInput(
            f"{label} holds {unknown[0]!r}, which is none of {', '.join(texts)}: correct it, or leave it out"
        )
    return np.array([number.get(cell, np.nan) for cell in cells], np.float64), texts
