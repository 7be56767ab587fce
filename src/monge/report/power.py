"""What an audit would have seen: the chance of finding each defect against its size."""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from monge.evaluation import Outcome
from monge.report.figures import SMALL, WIDTH


def power(outcomes: Sequence[Outcome]) -> Figure:
    """Power against the size of each reference defect, its reference size marked.

    >>> power([Outcome("region", "pass", 0.05, 0.9, None, {"0.025": 0.2, "0.05": 0.9})]).get_size_inches()
    array([7.2, 2.8])
    """
    figure = Figure(figsize=(1.5 * WIDTH, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for i, outcome in enumerate(outcome for outcome in outcomes if outcome.curve):
        sizes = [float(size) for size in outcome.curve]
        colour = colormaps["tab10"](i)
        axes.plot(sizes, list(outcome.curve.values()), "-", color=colour, linewidth=1.2, label=outcome.name)
        if outcome.size is not None and outcome.power is not None:
            axes.plot([outcome.size], [outcome.power], "o", color=colour, markersize=5)
    axes.axhline(0.8, color="#888888", linewidth=0.6, linestyle=":")
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="size of the defect", ylabel="chance of seeing it")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.tick_params(labelsize=SMALL)
    axes.legend(frameon=False, fontsize=SMALL - 1, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
