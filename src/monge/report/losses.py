"""How a training went: its losses, and the numbers that were told with them."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monge.errors import BadInput
from monge.report.figures import CYCLE, SMALL, WIDTH, empty, legend

HIGH, LOW = 2.6, 1.7  # inches of the losses, and of each row of numbers
ACROSS = 2
BINS = 50  # stretches of the run that a mean is taken of
NO_LOSS = ("step", "seconds", "lr")
Log = Sequence[Mapping[str, Any]]


def loss(log: str | Path | Log) -> Figure:
    """Losses against step, of a `log.csv` or its rows, and below them a panel for each number told with them.

    Every column but step, seconds and lr is a loss, or a number of an objective, "discriminator/accuracy"; numbers of
    one name share a panel. Each has its mean over stretches of the run, and is told where it has a value.

    >>> rows = [{"step": k, "critic": 1 / k, "critic/W1": k, "maker": 1} for k in range(1, 9)]
    >>> [axes.get_ylabel() for axes in loss(rows).axes]
    ['loss', 'W1']
    """
    found = read_log(log) if isinstance(log, str | Path) else log
    if not found:
        raise BadInput("the training log has no rows: train for some steps before drawing it")
    names = [name for name in found[0] if name not in NO_LOSS and not name.endswith("/lr")]
    numbers: dict[str, list[str]] = {}
    for name in names:
        if "/" in name:
            numbers.setdefault(name.partition("/")[2], []).append(name)
    below = -(-len(numbers) // ACROSS)
    figure = empty(WIDTH * (1.3 if numbers else 1), HIGH + LOW * below)
    grid = figure.add_gridspec(1 + below, ACROSS, height_ratios=[HIGH, *[LOW] * below])
    losses = [name for name in names if "/" not in name]
    _curves(figure.add_subplot(grid[0, :]), "loss", {name: name for name in losses}, found)
    for k, (number, columns) in enumerate(numbers.items()):
        of = {name: name.partition("/")[0] for name in columns}
        _curves(figure.add_subplot(grid[1 + k // ACROSS, k % ACROSS]), number, of, found)
    return figure


def read_log(path: str | Path) -> list[dict[str, str]]:
    """Rows of a `log.csv`; a last row that a kill cut short is left out."""
    with Path(path).open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def _curves(axes: Axes, title: str, columns: Mapping[str, str], log: Log) -> None:
    """Columns, by their names in the legend, against the step."""
    every: list[float] = []
    for (column, name), colour in zip(columns.items(), itertools.cycle(CYCLE)):
        told = [row for row in log if row[column] != ""]
        at, values = (np.array([float(row[key]) for row in told]) for key in ("step", column))
        bins = [b for b in np.array_split(np.arange(len(at)), min(BINS, max(1, len(at)))) if len(b)]
        axes.plot(at, values, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot([at[b].mean() for b in bins], [values[b].mean() for b in bins], color=colour, label=name)
        every += values.tolist()
    if every and min(every) > 0 and max(every) > 10 * min(every):
        axes.set_yscale("log")
    axes.set_xlabel("step", fontsize=SMALL)
    axes.set_ylabel(title, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    if len(columns) > 1:
        legend(axes)
