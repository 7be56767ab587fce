"""Many texts in groups of such as go with the same in other columns: a code that is learned from the table."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.codes import Array, Code
from monge.data.texts import Grouped, Text

MOST_TEXTS = 100  # that have a column each
DOUBT = 10  # rows that the mean of all is worth, beside those of one text
ROWS = 100_000  # by which texts are compared


def weighed(code: Code, table: Any, label: str, weights: Array) -> Code:
    """A text whose rare ones are counted by the weights of their rows; any other code as it is."""
    if not isinstance(code, Text) or not code.pooled:
        return code
    count = _count(code, code.read(table.column(code.name).combine_chunks(), label), weights)
    rare = dict(zip(code.pooled, count[len(code.texts) :].tolist(), strict=True))
    return replace(code, pooled=rare if any(rare.values()) else code.pooled)


def _count(code: Text, which: Array, weights: Array | None) -> Array:
    """Rows of each text, or their weights."""
    there = ~np.isnan(which)
    counted: Array = np.bincount(
        which[there].astype(int), None if weights is None else weights[there], minlength=len(code.all)
    ).astype(np.float64)
    return counted


def grouped(code: Code, others: Sequence[Code], table: Any, label: str, weights: Array | None = None) -> Code:
    """A text of more than 100 as groups of alike ones, by the rows of an Arrow table; any other code as it is.

    The ranks of numbers and the texts of other columns, on average over a text's rows and ten more of all rows, are
    what it goes with. Texts are halved, and halves halved, along the direction in which these differ most, until a
    group has as many texts as there are groups.
    """
    if not isinstance(code, Text) or len(code.all) <= MOST_TEXTS:
        return code
    every = -(-table.num_rows // ROWS)
    which = code.read(table.column(code.name).combine_chunks(), label)
    count = _count(code, which, weights)
    used = np.flatnonzero(~np.isnan(which))[::every]
    profiles = np.zeros((len(code.all), 0))
    for other in others:
        if other is code or len(getattr(other, "all", ())) > MOST_TEXTS:
            continue
        values = other.read(table.column(other.name).combine_chunks(), label)[used]
        seen = _seen(other, values)
        sums = np.stack([np.bincount(which[used].astype(int), each, len(code.all)) for each in seen.T], 1)
        rows = np.bincount(which[used].astype(int), minlength=len(code.all))[:, None]
        profiles = np.column_stack([profiles, (sums + DOUBT * seen.mean(0)) / (rows + DOUBT)])
    group = np.zeros(len(code.all), np.int64)
    for number, members in enumerate(_halved(np.arange(len(code.all)), profiles, len(code.all) ** 0.5)):
        group[members] = number
    common: dict[str, Any] = {"name": code.name, "type": code.type, "marked": code.marked}
    count = count if all(count[group == g].any() for g in range(int(group.max()) + 1)) else _count(code, which, None)
    return Grouped(**common, texts=code.all, group=tuple(group.tolist()), count=tuple(count.tolist()))


def _seen(other: Code, values: Array) -> Array:
    """A column in numbers of like size: ranks from 0 to 1, or 1 for the text that it is; missing ones as the mean."""
    seen: Array
    if isinstance(other, Text):
        seen = np.eye(len(other.all))[np.nan_to_num(values).astype(int)]
    else:
        seen = (np.searchsorted(np.sort(values[~np.isnan(values)]), values) / len(values))[:, None]
    gone = np.isnan(values)
    seen[gone] = seen[~gone].mean(0) if not gone.all() else 0.0
    return seen


def _halved(members: NDArray[np.int64], profiles: Array, most: float) -> list[NDArray[np.int64]]:
    """Groups of at most so many."""
    if len(members) <= max(most, 1):
        return [members]
    away = profiles[members] - profiles[members].mean(0)
    along = away @ np.linalg.svd(away, full_matrices=False)[2][0] if away.shape[1] else np.arange(float(len(members)))
    order = members[np.argsort(along, kind="stable")]
    half = len(order) // 2
    return [*_halved(order[:half], profiles, most), *_halved(order[half:], profiles, most)]
