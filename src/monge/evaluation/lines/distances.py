"""Lines on distances between samples: energy distance, neighbours, outliers, and a classifier."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monge.evaluation.changes import CHANGES, REPLACED
from monge.evaluation.decision import Finding, Planted, tail
from monge.evaluation.descriptors import FILTERS, SPECTRUM, VALUES, Descriptor, Fitted, main_descriptor
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.lines.base import OneLine, as_deviates, deviate, planted_of
from monge.evaluation.lines.means import MeanLine
from monge.evaluation.looks import Features
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.classifier import chance_p_value, classifier_two_sample
from monge.evaluation.statistics.energy import energy_test
from monge.evaluation.statistics.means import Compare
from monge.evaluation.statistics.neighbours import K, visits
from monge.evaluation.statistics.resampling import numpy_generator, share_interval, two_regime_interval
from monge.linalg.pairwise import nearest

Numbers = NDArray[Any]
ENERGY_ROWS = 3000  # of either side: each permutation takes a product with all pairs
FIRST, CLEAR = 999, 0.02  # permutations, and the p-value up to which all are made
ENERGY_FACTORS = (1.0, 2.0)
PLANTED_ROWS, TIMES = 300, 10  # of energy distances with a defect, and how often
CLASSIFIER_ROWS, CLASSIFIED = 4000, 6  # and how often a classifier is trained with a planted defect
BALLS = 500
FAR = (0.9, 0.97, 0.99, 1.0)  # quantiles of how far shaping rows lie from each other, beyond which rows are far out


def energy(line: OneLine, p: Prepared) -> Finding:
    """Unbiased energy distance on standardised values, plus at equal n what chance adds, floor 2 E|Y - Y'| / n."""
    x, y = p.pairs.x[:ENERGY_ROWS], p.pairs.y[:ENERGY_ROWS]
    test, n = energy_test(x, y, permutations=FIRST, seed=p.seed), min(len(x), len(y))
    if test.p_value <= CLEAR:  # above it more permutations change nothing: an exact p-value still
        test = energy_test(x, y, permutations=max(FIRST, p.permutations), seed=p.seed)
    bias = (test.within_x + test.within_y) / n
    low, high = two_regime_interval(
        test.value, [test.influence_x, test.influence_y], test.null, p.seed, "audit", "energy"
    )
    floor = 2.0 * test.within_y / n
    planted = {defect: _energies(p, defect, n) for defect in planted_of(line, p)}
    unit = max(1e-300, float(test.null.std()))
    note = (
        f"How far apart the two laws are overall (0 for equal laws and endless samples), at n = {n}, where two sets of "
        "real samples are on average as far apart as the floor. Blind to: little things."
    )
    return Finding(
        line.name, test.value + bias, (low + bias, high + bias), floor, None, test.p_value, "higher", note,
        statistic=test.value / unit, critical=lambda level: tail(test.null)(level) / unit,
        planted={
            defect: Planted({k: v / unit for k, v in found.items()}, float(found[1.0].mean()) + floor)
            for defect, found in planted.items()
        },
    )  # fmt: skip


def _energies(p: Prepared, defect: str, size: int) -> dict[float, Tensor]:
    """Energy distances of real rows with a defect from real rows: of few, their spread scaled to all there are."""
    pool = p.planting.pool
    half = len(pool.events) // 2
    n = min(PLANTED_ROWS, half)
    generator = numpy_generator(p.seed, "planted energies", defect)
    rows, found = pool.events.flatten(1), {}
    changed = p.planting.changed[defect].flatten(1) if defect in CHANGES else None
    for factor in ENERGY_FACTORS:
        share = p.planting.share(defect, factor)
        if changed is None:
            some = p.planting.weights(defect, share)[:TIMES]
            values = [_energy_of(rows, rows, each.numpy(), n, generator) for each in some]
        else:
            moved = rows + factor * (changed - rows)
            values = [_energy_of(moved, rows, np.full(len(rows), 1 / len(rows)), n, generator) for _ in range(TIMES)]
        drawn = torch.tensor(values, dtype=torch.float64)
        mean = drawn.mean()
        found[factor] = mean + (drawn - mean) * math.sqrt(n / size)
    return found


def _energy_of(x: Tensor, y: Tensor, weight: Numbers, n: int, generator: np.random.Generator) -> float:
    """Of n rows of x by their weights and n of y, none drawn twice on a side."""
    mine = generator.choice(len(x), n, replace=False, p=weight / weight.sum())
    other = generator.choice(len(y), n, replace=False)
    return energy_test(x[torch.from_numpy(mine)], y[torch.from_numpy(other)], permutations=0).value


def _repeated(rows: Tensor, counts: Numbers, most: int) -> Tensor:
    """The first rows that are drawn so often each."""
    order = np.random.Generator(np.random.Philox(key=0)).permutation(int(counts.sum()))[:most]
    return rows[torch.from_numpy(np.repeat(np.arange(len(counts)), counts)[order])]


@dataclass(frozen=True)
class OutlierLine(MeanLine):
    """How far out rows lie: of the distance to the nearest shaping row, in values and in whitened patterns and spectra,
    its logarithm where it is beyond the quantiles that shaping rows reach among themselves, and whether it is."""

    def look(self, p: Prepared) -> Descriptor:
        others = [space for space in (FILTERS, SPECTRUM) if space.applies(p.split.event)]
        widths = [p.looks.of(b).shaping.shape[1] for b in (VALUES, *others)]

        def fit(real: Tensor, seed: int) -> Fitted:
            parts = torch.split(real, widths, 1)
            turns = [None, *(_whitener(part) for part in parts[1:])]
            tables = [part if turn is None else part @ turn for part, turn in zip(parts, turns, strict=True)]
            own = [nearest(table, table, skip_self=True).distance[:, 0] for table in tables]
            small = [1e-6 * (1e-30 + float(far.max())) for far in own]
            bars = [
                (far + tiny).log().quantile(torch.tensor(FAR, dtype=far.dtype))
                for far, tiny in zip(own, small, strict=True)
            ]

            def measure(x: Tensor) -> Tensor:
                found = []
                looks = zip(torch.split(x, widths, 1), turns, tables, bars, small, strict=True)
                for part, turn, table, bar, tiny in looks:
                    far = nearest(part if turn is None else part @ turn, table).distance[:, :1]
                    beyond = (far + tiny).log() - bar
                    found += [(beyond > 1e-6).float(), beyond.clamp(min=0)]
                return torch.cat(found, 1)

            return Fitted(measure)

        base = (VALUES, *others)
        return Descriptor("farness", fit, VALUES.applies, "n s d", "samples that are wrong, and among real ones", base)


def _whitener(rows: Tensor) -> Tensor:
    _, axes, deviation = principal_axes(rows)
    return (axes / deviation).float()


def above(line: MeanLine, features: Features, p: Prepared) -> Compare:
    """The largest mean that is larger than the real one's, squared, in standard deviations of both sides together."""
    return _one_sided(features, 1.0)


def below(line: MeanLine, features: Features, p: Prepared) -> Compare:
    return _one_sided(features, -1.0)


def _one_sided(features: Features, sign: float) -> Compare:
    deviation = torch.cat([features.x, features.y]).double().std(0)
    unit = torch.where(deviation > 0, sign / deviation, 0.0).float()
    return lambda p, q: ((p - q) * unit).clamp(min=0).square().amax(-1, keepdim=True)


def balls(real: Tensor, seed: int) -> Fitted:
    """Whether a row lies within reach of each of up to 500 shaping rows, as far as their fifth nearest, and of any;
    the largest hundredth of the balls counts for the last as no larger than the others, so that outliers do not buy a
    score."""
    near = nearest(real, real, min(K, len(real) - 1), skip_self=True).distance[:BALLS, -1]
    centres, capped = real[:BALLS], near.clamp(max=float(near.quantile(0.99)))

    def measure(x: Tensor) -> Tensor:
        inside = visits(x, centres, capped).inside[:, None]
        within = torch.cat(
            [torch.cdist(part.double(), centres.double()) <= near * (1 + 1e-9) for part in torch.split(x, 1000)]
        )
        return torch.cat([within, inside], 1).float()

    return Fitted(measure)


IN_BALLS = Descriptor("balls", balls, VALUES.applies, "n s d", "", (VALUES,))
INSIDE = Descriptor("inside of balls", lambda real, seed: Fitted(lambda x: x[:, -1:]), VALUES.applies, "n",
                    "the wrong mixture of good samples", (IN_BALLS,))  # fmt: skip
VISITED = Descriptor("visits of balls", lambda real, seed: Fitted(lambda x: x[:, :-1]), VALUES.applies, "n",
                     "how often a region is visited", (IN_BALLS,))  # fmt: skip


def visited(p: Tensor) -> Tensor:
    """Share of balls that as many rows as there are balls visit, when each visits with these chances, [b].

    >>> visited(torch.tensor([[0.0, 1.0]])).tolist()
    [0.5]
    """
    return (1 - (1 - p.clamp(0, 1)).pow(p.shape[1])).mean(1)


def less_visited(line: MeanLine, features: Features, p: Prepared) -> Compare:
    def compare(mine: Tensor, real: Tensor) -> Tensor:
        return (visited(real) - visited(mine)).clamp(min=0).square()[:, None]

    return compare


def classifier(line: OneLine, p: Prepared) -> Finding:
    """Accuracy on one half of a linear discriminant that learned from the other, on patterns or coordinates."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    descriptor = main_descriptor(p.split.event)
    features = p.looks.of(descriptor)
    n = min(len(features.x), len(features.y), CLASSIFIER_ROWS)

    def accuracy(x: Tensor, y: Tensor) -> tuple[float, int]:
        machine = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01)
        test = classifier_two_sample(x, y, machine, folds=2, parts=1, seed=p.seed)
        return test.accuracy, test.rows

    value, rows = accuracy(features.x[:n], features.y[:n])
    p_value = chance_p_value(round(value * rows), rows)
    planted = {}
    for defect in planted_of(line, p):
        drawn = {}
        changed = p.planting.features(descriptor, defect)
        plain = p.planting.features(descriptor, "")
        for factor in ENERGY_FACTORS:
            found = []
            for mine, other in list(zip(*p.planting.draws(defect, factor), strict=True))[:CLASSIFIED]:
                table = torch.cat([plain, changed]) if defect in REPLACED else plain + factor * (changed - plain)
                sides = _repeated(table, mine, n), _repeated(plain, other, n)
                found.append(chance_p_value(round(accuracy(*sides)[0] * rows), rows))
            drawn[factor] = as_deviates(found)
        planted[defect] = Planted(drawn, 0.5 + float(drawn[1.0].mean()) / (2 * math.sqrt(rows)))
    note = (
        "How often a linear classifier of features, trained on one half, tells a generated sample of the other half "
        f"from a real one ({rows} of both); 0.5 is guessing. Blind to: what its features do not show."
    )
    return Finding(
        line.name, value, share_interval(round(value * rows), rows), 0.5, None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=deviate, planted=planted,
    )  # fmt: skip
