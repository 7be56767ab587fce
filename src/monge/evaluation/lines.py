"""The lines of the audit. Each is one function of the prepared samples; the verdict runs those in the three tuples."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from monge.evaluation.decision import Finding
from monge.evaluation.rows import Rows
from monge.evaluation.statistics.cells import LEAST_CELLS, MOST_CELLS, ROWS_PER_CELL, cell_centres, cells_test
from monge.evaluation.statistics.classifier import chance_p_value, classifier_two_sample
from monge.evaluation.statistics.energy import EnergyTest, energy_test
from monge.evaluation.statistics.memorisation import closer_to_training, near_copies
from monge.evaluation.statistics.neighbours import K, Visits, coverage_of_one_law, expected_coverage, visits
from monge.evaluation.statistics.pairwise import Neighbours, nearest
from monge.evaluation.statistics.resampling import (
    difference_interval,
    larger_share_p_value,
    normal_upper_tail,
    percentile_interval,
    resampled_means,
    share_interval,
    two_regime_interval,
)
from monge.evaluation.statistics.sliced import directions, sliced_floor, sliced_test

GROUPS = 20  # of the jackknife over visiting rows
CLASSIFIER_ROWS = 2000
CLASSIFIER_PARTS = 5
CLASSIFIER_COLUMNS = 1024
COPY = 1e-3  # of the usual nearest distance: nearer than this is a copy up to rounding
NEAR_LEVEL = 0.05
Z = 1.959964


@dataclass(frozen=True)
class Margins:
    """How far from its floor a line may be before the difference is called a defect.

    energy: share of the mean distance between two real samples. sliced: in standard deviations of a projection.
    coverage: share of its floor. modes: of triangular discrimination, about half the weight of a missing mode.
    spread: of the ratio to the real spread. The others are differences of shares or of probabilities.
    """

    energy: float = 0.01
    sliced: float = 0.15
    precision: float = 0.05
    accuracy: float = 0.1
    coverage: float = 0.1
    modes: float = 0.02
    spread: float = 0.075
    repeats: float = 0.02
    closer: float = 0.1
    near: float = 0.075
    copies: float = 0.01


@dataclass(frozen=True, eq=False)
class Prepared:
    """Standardised rows in seeded order, and what several lines share, computed once.

    x: generated, y: held out, t: training rows (at most the audit's number of rows each); train: every
    training row. t and train are None when no training set was given.
    """

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    t: Float[Tensor, "t d"] | None
    train: Rows | None
    seed: int
    margins: Margins

    @property
    def size(self) -> int:
        """The number of rows at which generated and real samples are compared."""
        return min(len(self.x), len(self.y))

    @cached_property
    def energy(self) -> EnergyTest:
        return energy_test(self.x, self.y, seed=self.seed)

    @cached_property
    def real_neighbours(self) -> Neighbours:
        """Nearest held-out rows of `size` held-out rows."""
        centres = self.y[: self.size]
        return nearest(centres, centres, K, skip_self=True)

    @cached_property
    def seen(self) -> Visits:
        return visits(self.x, self.y[: self.size], self.real_neighbours.distance[:, -1], groups=GROUPS)

    @cached_property
    def seen_by_training(self) -> Visits | None:
        """Visits of as many training rows as are at hand, if enough to stand in for the generated ones."""
        if self.t is None or len(self.t) < self.size:
            return None
        return visits(self.t, self.y[: self.size], self.real_neighbours.distance[:, -1], groups=GROUPS)

    @cached_property
    def to_training(self) -> Neighbours:
        return nearest(self.x, self._train)

    @cached_property
    def held_out_to_training(self) -> Neighbours:
        return nearest(self.y, self._train)

    @property
    def _train(self) -> Rows:
        if self.train is None:
            raise LookupError("no training set was given")
        return self.train


Measure = Callable[[Prepared], Finding]


def energy_line(p: Prepared) -> Finding:
    """Biased energy distance at equal n: the unbiased one plus (E|X - X'| + E|Y - Y'|) / n, floor 2 E|Y - Y'| / n."""
    test, n = p.energy, p.size
    bias = (test.within_x + test.within_y) / n
    low, high = two_regime_interval(
        test.value, [test.influence_x, test.influence_y], test.null, p.seed, "audit", "energy"
    )
    note = (
        f"How far apart the two laws are overall (0 for equal laws and endless samples), at n = {n}, where two "
        "sets of real samples are on average as far apart as the floor (biased form, mean over all splits)."
    )
    return Finding(
        "energy distance",
        test.value + bias,
        (low + bias, high + bias),
        2.0 * test.within_y / n,
        p.margins.energy * test.within_y,
        test.p_value,
        "higher",
        note,
    )


def sliced_line(p: Prepared) -> Finding:
    """Sliced Wasserstein-2 at equal n; its square is what adds up: value^2 = floor^2 + squared distance of the laws."""
    test, n = sliced_test(p.x, p.y, seed=p.seed), p.size
    real = p.y if p.t is None else torch.cat([p.y, p.t])
    floor = sliced_floor(real, n, seed=p.seed)
    low, high = two_regime_interval(
        test.squared, [test.influence_x, test.influence_y], test.null, p.seed, "audit", "sliced"
    )
    note = (
        "How far samples must be moved, on average over random directions and in standard deviations, to turn "
        f"generated into held-out ones, at n = {n}; the floor is the mean over 20 splits of the real samples."
    )
    return Finding(
        "sliced Wasserstein-2",
        math.sqrt(test.squared),
        (math.sqrt(max(0.0, low)), math.sqrt(max(0.0, high))),
        math.sqrt(floor),
        math.hypot(math.sqrt(floor), p.margins.sliced) - math.sqrt(floor),
        test.p_value,
        "higher",
        note,
    )


def precision_line(p: Prepared) -> Finding:
    """Share of generated rows in some real ball, against that of training rows (held-out ones, if there are none)."""
    centres, radii = p.y[: p.size], p.real_neighbours.distance[:, -1]
    if p.seen_by_training is not None:
        real, whose = p.seen_by_training.inside, "training"
    else:
        real, whose = visits(centres, centres, radii, skip_self=True).inside, "other held-out"
    inside = p.seen.inside
    hits, real_hits = int(inside.sum()), int(real.sum())
    note = (
        f"Share of generated samples that fall among real ones, within reach of a held-out sample's {K} nearest "
        f"neighbours; {whose} samples reach the floor."
    )
    return Finding(
        "precision",
        hits / len(inside),
        difference_interval(hits, len(inside), real_hits, len(real)),
        real_hits / len(real),
        p.margins.precision,
        larger_share_p_value(len(inside) - hits, len(inside), len(real) - real_hits, len(real)),
        "lower",
        note,
    )


def classifier_line(p: Prepared) -> Finding:
    """Cross-validated accuracy of a logistic regression, on at most 2,000 rows each and 1,024 columns.

    The mean over up to five disjoint parts of the generated rows, each against the same held-out ones. Interval and
    p-value are those of one part: the mean varies no more than that.
    """
    x, y = p.x, p.y
    if x.shape[1] > CLASSIFIER_COLUMNS:
        turn = directions(x.shape[1], CLASSIFIER_COLUMNS, seed=p.seed)
        x, y = x[:CLASSIFIER_ROWS] @ turn, y[:CLASSIFIER_ROWS] @ turn
    n = min(p.size, CLASSIFIER_ROWS)
    parts = max(1, min(CLASSIFIER_PARTS, len(x) // n))
    tests = [classifier_two_sample(x[k * n : (k + 1) * n], y[:n], seed=p.seed) for k in range(parts)]
    accuracy = sum(test.accuracy for test in tests) / parts
    right = round(accuracy * 2 * n)
    note = (
        "How often a linear classifier, trained on the rest, tells a generated sample from a held-out one "
        f"({n} of each{f', mean of {parts} draws' if parts > 1 else ''}); 0.5 is guessing."
    )
    return Finding(
        "classifier accuracy",
        accuracy,
        share_interval(right, 2 * n),
        0.5,
        p.margins.accuracy,
        chance_p_value(right, 2 * n),
        "higher",
        note,
    )


def coverage_line(p: Prepared) -> Finding:
    """Coverage at equal n against that of training rows, paired ball by ball, or else of any one law."""
    n = p.size
    found = expected_coverage(p.seen, n)
    if p.seen_by_training is not None:
        real = expected_coverage(p.seen_by_training, n)
        floor, whose = real.value, "training samples reach"
        paired = found.balls - real.balls
        error = math.sqrt(found.error**2 + real.error**2 + float(paired.var()) / n)
    else:
        floor, whose = coverage_of_one_law(n, n), "real samples of any continuous law reach on average"
        # the floor holds for every law, so to first order a held-out row moves the value as a generated one, reversed
        error = found.error * math.sqrt(1.0 + len(p.x) / n)
    note = (
        f"Share of held-out samples that find one of {n} generated samples no farther than their {K}-th nearest "
        f"held-out neighbour; {whose} the floor."
    )
    z = (floor - found.value) / error if error > 0 else math.copysign(math.inf, floor - found.value)
    interval = (max(0.0, found.value - Z * error), min(1.0, found.value + Z * error))
    return Finding(
        "coverage",
        found.value,
        interval,
        floor,
        p.margins.coverage * floor,
        normal_upper_tail(z) if floor != found.value else 0.5,
        "lower",
        note,
    )


def modes_line(p: Prepared) -> Finding:
    """Triangular discrimination of the shares in k-means cells of real samples, training ones included.

    A quarter of the real rows shapes the cells and the others are counted: given the cells, generated and counted rows
    are exchangeable when they have one law, in any dimension.
    """
    rows = p.y if p.t is None else torch.cat([p.t, p.y])
    apart = len(rows) // 4  # rows that shape a cell are drawn to it, so they must not be counted in it
    shaping, real = rows[:apart], rows[apart:]
    count = max(LEAST_CELLS, min(MOST_CELLS, min(len(p.x), len(real)) // ROWS_PER_CELL))
    test = cells_test(p.x, real, cell_centres(shaping, count, seed=p.seed), seed=p.seed)
    low, high = two_regime_interval(
        test.value, [test.influence_x, test.influence_y], test.null, p.seed, "audit", "modes"
    )
    note = (
        f"How differently generated and real samples are shared out over {count} regions of the real data, from 0 "
        "(alike) to 1 (disjoint); a missing mode of weight w adds about w/2, chance alone the floor."
    )
    return Finding(
        "mode weights",
        test.value,
        (max(0.0, low), min(1.0, high)),
        test.floor,
        p.margins.modes,
        test.p_value,
        "higher",
        note,
    )


def spread_line(p: Prepared) -> Finding:
    """E|X - X'| / E|Y - Y'|, bootstrapped through each row's mean distance to the others."""
    test = p.energy
    x = test.within_x + 2.0 * (resampled_means(test.rows_x, p.seed, "audit", "spread", "x") - test.within_x)
    y = test.within_y + 2.0 * (resampled_means(test.rows_y, p.seed, "audit", "spread", "y") - test.within_y)
    error = 2.0 * math.sqrt(float(test.rows_x.var()) / len(test.rows_x) + float(test.rows_y.var()) / len(test.rows_y))
    gap = abs(test.within_x - test.within_y)
    note = (
        "Mean distance between two generated samples over that between two held-out ones: below 1, too little "
        "variety; above 1, too much."
    )
    return Finding(
        "spread",
        test.within_x / test.within_y,
        percentile_interval(x / y),
        1.0,
        p.margins.spread,
        2.0 * normal_upper_tail(gap / error) if error > 0 else float(gap == 0),
        "both",
        note,
    )


def repeats_line(p: Prepared) -> Finding:
    """Share of rows with a copy among the `size` rows of their own block, generated against held out."""
    n = p.size
    real = p.real_neighbours.distance[:, 0]
    copy = COPY * float(real.median())
    blocks = [p.x[start : start + n] for start in range(0, len(p.x) // n * n, n)]
    near = torch.cat([nearest(block, block, skip_self=True).distance[:, 0] for block in blocks])
    note = f"Share of generated samples that occur twice, up to rounding, among {n} of them."
    return _share("repeats", near, real, copy, p.margins.repeats, note)


def closer_line(p: Prepared) -> Finding:
    """Rank test of the distances to the nearest training row, generated against held out."""
    test = closer_to_training(p.to_training.distance[:, 0], p.held_out_to_training.distance[:, 0])
    note = (
        "Chance that a generated sample is closer to the training set than a held-out one is; 0.5 when nothing "
        "is copied."
    )
    return Finding("closer to training", *test[:3], p.margins.closer, test.p_value, "higher", note)


def near_line(p: Prepared) -> Finding:
    """Share of generated rows below the 5% quantile of held-out distances to training."""
    generated, held_out = p.to_training.distance[:, 0], p.held_out_to_training.distance[:, 0]
    test = near_copies(generated, held_out, level=NEAR_LEVEL, seed=p.seed)
    note = (
        f"Share of generated samples that are nearer to a training sample than all but the nearest "
        f"{NEAR_LEVEL:.0%} of held-out samples are."
    )
    return Finding("near copies", *test[:3], p.margins.near, test.p_value, "higher", note)


def copies_line(p: Prepared) -> Finding:
    """Share of rows found in the training set up to rounding, generated against held out."""
    generated, held_out = p.to_training.distance[:, 0], p.held_out_to_training.distance[:, 0]
    copy = COPY * float(held_out.median())
    note = "Share of generated samples that are training samples, up to rounding; held-out samples reach the floor."
    return _share("copies", generated, held_out, copy, p.margins.copies, note)


FIDELITY: tuple[Measure, ...] = (energy_line, sliced_line, precision_line, classifier_line)
DIVERSITY: tuple[Measure, ...] = (coverage_line, modes_line, spread_line, repeats_line)
MEMORISATION: tuple[Measure, ...] = (closer_line, near_line, copies_line)


def _share(
    name: str,
    generated: Float[Tensor, " n"],
    real: Float[Tensor, " m"],
    threshold: float,
    margin: float,
    note: str,
) -> Finding:
    """Share of distances that are zero up to `threshold`, generated against real."""
    threshold = max(threshold, 1e-6)
    hits, real_hits = int((generated <= threshold).sum()), int((real <= threshold).sum())
    counts = (hits, len(generated), real_hits, len(real))
    interval, p_value = difference_interval(*counts), larger_share_p_value(*counts)
    return Finding(name, hits / len(generated), interval, real_hits / len(real), margin, p_value, "higher", note)
