"""Tables as people read them: the law of each column, and rows with their cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from monge.data import Columns
from monge.data.codes import UNITS, Moment
from monge.data.texts import Text
from monge.report.figures import GENERATED, REAL, SMALL, WIDTH, empty
from monge.report.looks import Array, rows

COLUMNS, ACROSS, ROWS, BINS, TEXTS = 12, 3, 2000, 30, 6  # columns shown, in so many; rows read; bins; texts of a column
LONGEST = 9  # letters of a text below its bar


def columns(code: Columns, real: Any, generated: Any) -> Figure:
    """The law of each of the first 12 columns of a table: histograms of numbers and moments, shares of the most
    frequent texts, and how many cells are missing. real, generated: [n, d], as `code` has them.

    >>> import pyarrow
    >>> table = pyarrow.table({"size": [1.5, 2.0, 4.0, 3.5], "colour": ["red", "blue", "red", "blue"]})
    >>> code = Columns.fit(table, "the table")
    >>> len(columns(code, *2 * [code.encode(table, "the table")]).axes)
    2
    """
    count = min(len(real), len(generated), ROWS)
    sides = [code.decode(rows(x, count)) for x in (real, generated)]
    codes = {each.name: each for each in (*code.codes, *(derived.code for derived in code.derived))}
    names = sides[0].column_names[:COLUMNS]
    down = -(-len(names) // ACROSS)
    figure = empty(WIDTH * 1.6, WIDTH * 0.45 * down + 0.3)
    for i, name in enumerate(names):
        axes, of = figure.add_subplot(down, ACROSS, i + 1), codes[name]
        values = [of.read(side.column(name).combine_chunks(), "the table") for side in sides]
        missing = [float(np.isnan(each).mean()) for each in values]
        told = f" ({missing[0]:.0%}, {missing[1]:.0%} missing)" if any(missing) else ""
        axes.set_title(f"{name}{told}", fontsize=SMALL)
        axes.tick_params(labelsize=SMALL - 2)
        axes.set_yticks([])
        x, y = (each[~np.isnan(each)] for each in values)
        if isinstance(of, Text):
            _bars(axes, x, y, of.all)
        elif len(x) and len(y):
            day = UNITS[of.unit] / UNITS["D"] if isinstance(of, Moment) else 1.0
            _histogram(axes, day * x, day * y, is_moment=isinstance(of, Moment))
    if figure.axes:
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper right", ncols=2, frameon=False, fontsize=SMALL)
    return figure


def twins(code: Columns, generated: Array, nearest: Array, distance: Array) -> str:
    """An HTML table: each generated row above the training row nearest to it, and their distance.

    >>> import pyarrow
    >>> table = pyarrow.table({"size": [1.5, 2.0, 4.0, 3.5], "colour": ["<red>", "blue", "<red>", "blue"]})
    >>> code = Columns.fit(table, "the table")
    >>> x = code.encode(table, "the table")
    >>> "&lt;red&gt;" in twins(code, x[:1], x[:1], np.zeros(1))
    True
    """
    one, other = (code.decode(x) for x in (generated, nearest))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *one.column_names, "distance"))
    lines = []
    for mine, theirs, far in zip(one.to_pylist(), other.to_pylist(), distance, strict=True):
        alike = {name for name in mine if mine[name] == theirs[name]}
        lines.append(_line("generated", mine, alike, f"{float(far):.3g}"))
        lines.append(_line("nearest in training", theirs, alike, ""))
    return f'<div class="scrolls"><table class="cells"><tr>{head}</tr>{"".join(lines)}</table></div>'


def _line(name: str, cells: dict[str, Any], alike: set[str], end: str) -> str:
    """A row of cells, those that are the same on both sides in bold."""
    inside = ""
    for column, value in cells.items():
        text = escape("–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value))
        inside += f"<td><b>{text}</b></td>" if column in alike else f"<td>{text}</td>"
    return f"<tr><td>{name}</td>{inside}<td>{end}</td></tr>"


def _histogram(axes: Axes, real: Array, generated: Array, *, is_moment: bool) -> None:
    both = np.concatenate([real, generated])
    low, high = np.percentile(both, (0.5, 99.5))
    few = np.unique(real)
    bins = np.linspace(low, high if high > low else low + 1, BINS + 1)
    if (few == few.round()).all() and 0 < few[-1] - few[0] < BINS:  # whole numbers: a bar each
        bins = np.arange(few[0], few[-1] + 2) - 0.5
    style: dict[str, Any] = {"bins": bins.tolist(), "density": True}
    axes.hist(real.clip(bins[0], bins[-1]), histtype="stepfilled", color=REAL, alpha=0.4, label="real", **style)
    axes.hist(generated.clip(bins[0], bins[-1]), histtype="step", color=GENERATED, label="generated", **style)
    axes.locator_params(axis="x", nbins=4)
    if is_moment:  # days since 1970, which are those of matplotlib
        places = AutoDateLocator(maxticks=4)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(places)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(places))  # type: ignore[no-untyped-call]


def _bars(axes: Axes, real: Array, generated: Array, texts: Sequence[str]) -> None:
    """Shares of the texts that are most frequent in real rows; real, generated: their numbers."""
    shares = [np.bincount(cells.astype(int), minlength=len(texts)) / max(1, len(cells)) for cells in (real, generated)]
    shown = np.argsort(-shares[0], kind="stable")[:TEXTS]
    at = np.arange(len(shown))
    for k, (share, label, colour) in enumerate(zip(shares, ("real", "generated"), (REAL, GENERATED), strict=True)):
        axes.bar(at + 0.4 * k - 0.2, share[shown], 0.4, color=colour, alpha=0.4 if k == 0 else 0.9, label=label)
    names = [texts[i] for i in shown]
    axes.set_xticks(at, [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names])
