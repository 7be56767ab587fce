"""Lines on distances between samples: energy distance, nearest neighbours, outliers, and a classifier."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import hypergeom
from torch import Tensor

from monge.evaluation.decision import FACTORS, Finding, Planted, tail
from monge.evaluation.defects import CHANGES
from monge.evaluation.descriptors import FILTERS, SPECTRUM, Descriptor, main_descriptor
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.lines.base import OneLine, as_deviates, deviate, planted_of, planted_shares, share
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.classifier import chance_p_value, classifier_two_sample
from monge.evaluation.statistics.energy import energy_test
from monge.evaluation.statistics.neighbours import K, coverage_of_one_law, expected_coverage, visits
from monge.evaluation.statistics.pairwise import nearest
from monge.evaluation.statistics.resampling import (
    Z,
    larger_share_p_value,
    normal_upper_tail,
    numpy_generator,
    share_interval,
    two_regime_interval,
)

Numbers = NDArray[Any]
ENERGY_FACTORS = (1.0, 2.0)
PLANTED_ROWS, TIMES = 300, 10  # of energy distances with a defect, and how often
CLASSIFIER_ROWS = 4000
EXTREME = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02)  # shares of the pooled rows that are farthest out
SHOWN = 0.005  # of them, shown


def energy(line: OneLine, p: Prepared) -> Finding:
    """Unbiased energy distance on standardised values, plus at equal n what chance adds, floor 2 E|Y - Y'| / n."""
    test, n = p.energy, p.size
    bias = (test.within_x + test.within_y) / n
    low, high = two_regime_interval(
        test.value, [test.influence_x, test.influence_y], test.null, p.seed, "audit", "energy"
    )
    floor = 2.0 * test.within_y / n
    planted = {defect: _energies(p, defect) for defect in planted_of(line, p)}
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


def _energies(p: Prepared, defect: str) -> dict[float, Tensor]:
    """Energy distances of real rows with a defect from real rows: of few, their spread scaled to all there are."""
    pool = p.pool
    half = len(pool.events) // 2
    n = min(PLANTED_ROWS, half)
    generator = numpy_generator(p.seed, "planted energies", defect)
    rows, found = pool.events.flatten(1), {}
    changed = p.changed[defect].flatten(1) if defect in CHANGES else None
    for factor in ENERGY_FACTORS:
        size = p.share(defect, factor)
        if changed is None:
            weights = pool.weights(defect, size)
            values = [_energy_of(rows, rows, w.numpy(), n, generator) for w in weights[:TIMES]]
        elif defect == "outliers":
            uniform = np.repeat([1 - size, size], len(rows)) / len(rows)
            values = [_energy_of(torch.cat([rows, changed]), rows, uniform, n, generator) for _ in range(TIMES)]
        else:
            moved = rows + factor * (changed - rows)
            values = [_energy_of(moved, rows, np.full(len(rows), 1 / len(rows)), n, generator) for _ in range(TIMES)]
        drawn = torch.tensor(values, dtype=torch.float64)
        mean = drawn.mean()
        found[factor] = mean + (drawn - mean) * math.sqrt(n / p.size)
    return found


def _energy_of(x: Tensor, y: Tensor, weights: Numbers, n: int, generator: np.random.Generator) -> float:
    """Of n rows of x by their weights and n of y, none drawn twice on a side."""
    mine = generator.choice(len(x), n, replace=False, p=weights / weights.sum())
    other = generator.choice(len(y), n, replace=False)
    return energy_test(x[torch.from_numpy(mine)], y[torch.from_numpy(other)], permutations=0).value


def outliers(line: OneLine, p: Prepared) -> Finding:
    """How many of the rows that lie farthest from real ones, in values and in patterns, are generated: exact counts."""
    spaces = [_farness(p, None), *(_farness(p, space) for space in (FILTERS, SPECTRUM) if space.applies(p.event))]
    tests = [_extremes(torch.cat(scores[:2]), *_ones(p)) for scores in spaces]
    p_value = float(min(1.0, len(spaces) * min(float(test[0]) for test in tests)))
    planted = {}
    if "outliers" in planted_of(line, p):
        drawn = {}
        for factor in FACTORS:
            mine, other = p.draws("outliers", factor)
            found = [
                _extremes(torch.cat(scores[2:]), mine, np.pad(other, ((0, 0), (0, other.shape[1]))))
                for scores in spaces
            ]
            drawn[factor] = as_deviates(np.minimum(1.0, len(spaces) * np.minimum.reduce(found)))
        planted["outliers"] = Planted(drawn, _beyond(spaces[0][1]) + p.margins.outliers)
    x, y = spaces[0][:2]
    bar = y.quantile(1 - SHOWN)
    hits, real_hits = int((x > bar).sum()), int((y > bar).sum())
    note = (
        f"Share of generated samples farther from real ones than all but {SHOWN:.1%} of real samples are; tested at "
        "six such shares. Blind to: samples that are wrong, and among real ones."
    )
    return Finding(
        line.name,
        *share(hits, len(x), real_hits, len(y)),
        None,
        p_value,
        "higher",
        note,
        statistic=float(as_deviates([p_value])[0]),
        critical=deviate,
        planted=planted,
    )


def _farness(p: Prepared, space: Descriptor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Distances to the nearest shaping row, of values or of whitened features: of generated, counted and
    pool rows, and of the pool's outliers."""
    if space is None:
        table = p.shaping.flatten(1)
        looks = (p.event_x.flatten(1), p.counted.flatten(1), p.changed["outliers"].flatten(1))
    else:
        features = p.features(space)
        _, axes, deviation = principal_axes(features.shaping)
        turn = (axes / deviation).float()
        table = features.shaping @ turn
        looks = (features.x @ turn, features.y @ turn, p.changed_features(space, "outliers") @ turn)
    x, y, far = (nearest(rows, table).distance[:, 0] for rows in looks)
    return x, y, y[: len(far)], far


def _ones(p: Prepared) -> tuple[Numbers, Numbers]:
    """Each generated and each counted row once, [1, n + m]."""
    n, m = len(p.event_x), len(p.counted)
    return np.repeat([[1, 0]], [n, m], axis=1), np.repeat([[0, 1]], [n, m], axis=1)


def _extremes(scores: Tensor, mine: Numbers, other: Numbers) -> Numbers:
    """Exact p-values [b] that the highest scores hold more of `mine` than chance would: each row counted [b, rows]
    times, ties in one piece, Bonferroni over the numbers of highest scores."""
    order = scores.argsort(descending=True).numpy()
    ranked = scores.numpy()[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    x, both = mine[:, order].cumsum(1)[:, last], (mine + other)[:, order].cumsum(1)[:, last]
    n, total = mine.sum(1), (mine + other).sum(1)
    found = []
    for level in EXTREME:
        at = (both >= np.maximum(1, level * total)[:, None]).argmax(1)
        hits, top = np.take_along_axis(x, at[:, None], 1)[:, 0], np.take_along_axis(both, at[:, None], 1)[:, 0]
        found.append(hypergeom.sf(hits - 1, total, n, top))
    p_values: Numbers = np.minimum(1.0, len(EXTREME) * np.minimum.reduce(found))
    return p_values


def _beyond(y: Tensor) -> float:
    return float((y > y.quantile(1 - SHOWN)).float().mean())


def precision(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows in some real ball, against that of training rows (held-out ones, if there are none).

    The largest hundredth of the balls counts as no larger than the others, so that outliers do not buy a score.
    """
    centres = p.y[: p.size]
    radii = p.real_neighbours.distance[:, -1]
    radii = radii.clamp(max=float(radii.quantile(0.99)))
    if p.t is not None and len(p.t) >= p.size:
        real, whose = visits(p.t, centres, radii).inside, "training"
    else:
        real, whose = visits(centres, centres, radii, skip_self=True).inside, "other held-out"
    inside = visits(p.x, centres, radii).inside
    hits, real_hits = int(inside.sum()), int(real.sum())
    planted = {}
    if "outliers" in planted_of(line, p):
        noise = p.changed["outliers"].flatten(1) - p.offset
        astray = 1.0 - float(visits(noise, centres, radii).inside.double().mean())
        usual = 1.0 - real_hits / len(real)
        found = planted_shares(
            p, "outliers", usual, lambda size: usual + size * (astray - usual), (len(inside), len(real))
        )
        planted["outliers"] = found._replace(value=1.0 - found.value)
    p_value = larger_share_p_value(len(inside) - hits, len(inside), len(real) - real_hits, len(real))
    note = (
        f"Share of generated samples that fall among real ones, within reach of a held-out sample's {K} nearest "
        f"neighbours; {whose} samples reach the floor. Blind to: the wrong mixture of good samples."
    )
    return Finding(
        line.name,
        *share(hits, len(inside), real_hits, len(real)),
        None,
        p_value,
        "lower",
        note,
        statistic=float(as_deviates([p_value])[0]),
        critical=deviate,
        planted=planted,
    )


def coverage(line: OneLine, p: Prepared) -> Finding:
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
        f"held-out neighbour; {whose} the floor. Blind to: how often a region is visited."
    )
    z = (floor - found.value) / error if error > 0 else math.copysign(math.inf, floor - found.value)
    interval = (max(0.0, found.value - Z * error), min(1.0, found.value + Z * error))
    p_value = normal_upper_tail(z) if floor != found.value else 0.5
    return Finding(line.name, found.value, interval, floor, None, p_value, "lower", note)


def classifier(line: OneLine, p: Prepared) -> Finding:
    """Accuracy on one half of a logistic regression that learned from the other, on patterns or coordinates."""
    features = p.features(main_descriptor(p.event))
    n = min(len(features.x), len(features.y), CLASSIFIER_ROWS)
    test = classifier_two_sample(features.x[:n], features.y[:n], folds=2, parts=1, seed=p.seed)
    right = round(test.accuracy * test.rows)
    note = (
        "How often a linear classifier of features, trained on one half, tells a generated sample of the other half "
        f"from a real one ({test.rows} of both); 0.5 is guessing. Blind to: what its features do not show."
    )
    return Finding(
        line.name,
        test.accuracy,
        share_interval(right, test.rows),
        0.5,
        None,
        chance_p_value(right, test.rows),
        "higher",
        note,
    )
