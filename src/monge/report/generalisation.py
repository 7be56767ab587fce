"""Twins beside what they learned from, as in the course's Fig. 13, and how they come to agree as training sets grow."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monge.evaluation import Curve, Transition, Turn
from monge.report.figures import CYCLE, GENERATED, REAL, SMALL, WIDTH, empty, legend, mosaic
from monge.report.looks import Look

ROWS = ("model A", "nearest", "model B", "nearest")


def twin_pictures(
    samples: Sequence[Any], nearest: Sequence[Any], sizes: Sequence[int], *, look: Look | None = None
) -> Figure:
    """For each size four rows: samples of both models, each above the training rows that are nearest to it, the same
    noise in one column.

    samples, nearest: [2, k, *event] of each size, the first axis that of the models.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).random((2, 5, 1, 8, 8))
    >>> twin_pictures([x], [x], [10]).get_size_inches().round(1)
    array([4.8, 3.3])
    """
    table, names = [], []
    for drawn, learned, size in zip(samples, nearest, sizes, strict=True):
        for model in range(2):
            table += [list(drawn[model]), list(learned[model])]
        names += [f"{size:,} rows\n{ROWS[0]}", *ROWS[1:]]
    return mosaic(table, look or Look.of(nearest[-1][0]), names)


def twin_curves(found: Transition) -> Figure:
    """Against the number of training rows, left the cosine of a sample with its twin and with the nearest training row,
    beside that of new real rows; right the shares that are copies, and that are nearer to their twin. Bands are 95%
    intervals, and vertical ones where copying ends and twins agree.

    >>> import torch; from monge.evaluation import transition, twins
    >>> x = torch.randn(4, 60, 8, generator=torch.manual_seed(0))
    >>> pair = [twins(x[3][:20], x[3][:20], x[0][:n], x[1][:n], x[2]) for n in (9, 60)]
    >>> twin_curves(transition(pair)).get_size_inches()
    array([7.2, 3.2])
    """
    figure = empty(1.5 * WIDTH, 3.2)
    left, right = figure.subplots(1, 2)
    for name, label, colour, line in (
        ("twin", "twin", GENERATED, "-"),
        ("own", "nearest it learned from", REAL, "-"),
        ("held-out", "new real rows: nearest", REAL, "--"),
    ):
        _draw(left, found.sizes, found.curves[name], label, colour, line)
    for name, label, colour, line in (
        ("copied", "copies", REAL, "-"),
        ("held-out copied", "copies among new real rows", REAL, "--"),
        ("nearer to twin", "nearer to the twin", GENERATED, "-"),
    ):
        _draw(right, found.sizes, found.curves[name], label, colour, line)
    for turn, name, colour in (
        (found.copying_ends, "copying ends", CYCLE[2]),
        (found.twins_agree, "twins agree", CYCLE[3]),
    ):
        _mark(right, found.sizes, turn, name, colour)
    left.set(ylabel="cosine", ylim=(min(0.0, *left.get_ylim()), 1.02))
    right.set(ylabel="share", ylim=(-0.02, 1.02))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="training rows of each model")
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.label.set_fontsize(SMALL)
        axes.yaxis.label.set_fontsize(SMALL)
    legend(left)
    right.legend(frameon=False, fontsize=SMALL - 2, loc="center right")
    return figure


def _draw(axes: Axes, sizes: Sequence[int], curve: Curve, label: str, colour: str, line: str) -> None:
    axes.plot(sizes, curve.value, color=colour, linestyle=line, marker="o", markersize=3, label=label)
    axes.fill_between(sizes, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)


def _mark(axes: Axes, sizes: Sequence[int], turn: Turn, name: str, colour: str) -> None:
    """Where it is, if it is within the sizes."""
    low, high = (min(max(end, sizes[0]), sizes[-1]) for end in turn.interval)
    if sizes[0] <= turn.n <= sizes[-1]:
        axes.axvspan(low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axvline(turn.n, color=colour, linewidth=1, label=name)
