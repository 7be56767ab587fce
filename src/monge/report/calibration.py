"""Whether truths can be told from draws of their posteriors: ranks and coverage."""

import math

import numpy as np
from matplotlib.figure import Figure

from monge.evaluation import Calibration
from monge.report.figures import GENERATED, REAL, SMALL, WIDTH, empty

BINS, SIDES = 20, 1.96  # of the histogram; s.d. of the bands


def calibration(found: Calibration) -> Figure:
    """Two drawings side by side. The histogram of the ranks of truths among their draws, over all values: even if the
    draws are right, high at both ends where they are too narrow, in the middle where too wide, at one end where they
    are off. And coverage: the share of truths inside a region that should hold a given share of them.

    Bands hold what chance does, 19 times of 20, at each place.

    >>> import torch
    >>> from monge.evaluation import calibration as judged
    >>> pairs = [(x, x + torch.randn(1)) for x in torch.randn(60, 1, generator=torch.manual_seed(0))]
    >>> calibration(judged(lambda y: y / 2 + 0.7 * torch.randn(20, 1), pairs, show=False)).get_size_inches()
    array([7.2, 3. ])
    """
    ranks, inside = found.ranks.numpy(), np.sort(found.coverage.numpy())
    n = len(ranks)
    figure = empty(1.5 * WIDTH, 3.0)
    left, right = figure.subplots(1, 2)
    shares = np.stack([np.histogram(value, BINS, (0, 1))[0] for value in ranks.T]) / n * BINS
    edges = np.linspace(0, 1, BINS + 1)
    wide = SIDES * math.sqrt((BINS - 1) / n)  # of one value: of many that go together it is no wider
    left.fill_between([0, 1], 1 - wide, 1 + wide, color=REAL, alpha=0.18, linewidth=0)
    left.stairs(shares.mean(0), edges, color=GENERATED, linewidth=1.5)
    left.axhline(1.0, color=REAL, linewidth=1.0, linestyle="--")
    left.set(xlim=(0, 1), ylim=(0, None), xlabel="rank of the truth among its draws", ylabel="density")
    p = np.linspace(0, 1, 101)
    band = SIDES * np.sqrt(p * (1 - p) / n)
    right.fill_between(p, p - band, p + band, color=REAL, alpha=0.18, linewidth=0)
    right.plot([0, 1], [0, 1], color=REAL, linewidth=1.0, linestyle="--")
    right.step(np.concatenate([[0.0], inside, [1.0]]), np.linspace(0, 1, n + 2), color=GENERATED, linewidth=1.5)
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="share that a region should hold", ylabel="share of truths in it")
    for axes in (left, right):
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.label.set_fontsize(SMALL)
        axes.yaxis.label.set_fontsize(SMALL)
    return figure
