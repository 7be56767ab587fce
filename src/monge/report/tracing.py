"""Traces of Markov chains: where they went, and whether they agree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from monge.errors import BadInput
from monge.report.figures import SMALL, WIDTH
from monge.report.looks import rows

SHOWN, MOST, POINTS = 4, 6, 1000  # chains and quantities that are drawn, points of a trace


def traces(values: Mapping[str, Any]) -> Figure:
    """Values [chains, draws] by name: each of four chains against the draw, and the histograms of the halves of all.

    Chains that agree cross each other all the time, and both halves have one histogram. Of more than six quantities,
    the first six.

    >>> traces({"energy": np.zeros((4, 100)) + np.arange(100)}).get_size_inches()
    array([7.2, 1.6])
    """
    if not values:
        raise BadInput("there is nothing to trace: give values [chains, draws] by name")
    shown = dict(list(values.items())[:MOST])
    figure = Figure(figsize=(1.5 * WIDTH, 1.6 * len(shown)), layout="constrained")
    grid = figure.add_gridspec(len(shown), 2, width_ratios=(3, 1))
    colours = colormaps["tab10"]
    for r, (name, value) in enumerate(shown.items()):
        every = rows(value, len(value))
        draws = np.linspace(0, every.shape[1] - 1, min(POINTS, every.shape[1])).round().astype(int)
        trace, side = figure.add_subplot(grid[r, 0]), figure.add_subplot(grid[r, 1])
        for c, chain in enumerate(every[:SHOWN]):
            trace.plot(draws, chain[draws], color=colours(c), linewidth=0.5)
        trace.set_ylabel(name, fontsize=SMALL)
        low, high = np.nanpercentile(every, (0.1, 99.9))
        bins = np.linspace(low, high if high > low else low + 1, 41).tolist()
        half = every.shape[1] // 2
        for part, style, label in ((every[:, :half], ":", "first half"), (every[:, half:], "-", "second half")):
            if part.size:
                height, edges = np.histogram(part, bins, density=True)
                side.stairs(height, edges, orientation="horizontal", color="#444444", linestyle=style, label=label)
        side.set_yticks([])
        side.set_xticks([])
        for axes in (trace, side):
            axes.tick_params(labelsize=SMALL - 1)
        if r == 0:
            side.legend(frameon=False, fontsize=SMALL - 2)
        if r == len(shown) - 1:
            trace.set_xlabel("draw", fontsize=SMALL)
    return figure
