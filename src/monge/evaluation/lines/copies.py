"""Lines on copying: of each other, of training samples as they are, moved by a site, turned over."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import betabinom, hypergeom
from torch import Tensor

from monge.evaluation.decision import FACTORS, Finding, Planted, tail
from monge.evaluation.descriptors import FILTERS, describe
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.lines.base import OneLine, as_deviates, deviate, share
from monge.evaluation.missing import REPLICATES
from monge.evaluation.pairs import REPEATED, SAME
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.memorisation import near_copies
from monge.evaluation.statistics.repeats import more_repeats, same
from monge.evaluation.statistics.resampling import Z, larger_share_p_value, numpy_generator
from monge.linalg.pairwise import Neighbours, nearest

Numbers = NDArray[Any]
TIE = 1e-6  # relative difference of distances that are equal
COPY = 1e-3  # of the usual nearest distance: nearer than this is a copy up to rounding
OFTEN = 8  # rows of a class that occurs again and again
NEAR_LEVELS = (0.001, 0.01, 0.05)
LEADING = 16
MOVED_ROWS = 2000  # generated and held-out rows whose moves are compared with training
PRIVACY = "Not a guarantee of privacy: what was changed more is not found."


def repeats(line: OneLine, p: Prepared) -> Finding:
    """Rows that repeat another of their own side, of equal numbers. Rows that are equal up to rounding, of both sides,
    are one class, with a of the generated and b of the real rows, d = f(a) - f(b), f(a) = max(a - 1, 0). Where both
    sides have one law, d and -d are alike, whatever the law's own repeats and however they come in clusters: the sum of
    d against its signs turned, exactly; and, of a row that occurs again and again, its count by Fisher's test."""
    n, shaping = min(p.split.sizes), p.split.shaping.flatten(1)
    copy = _up_to_rounding(nearest(shaping, shaping, skip_self=True).distance[:, 0])
    kind = same(torch.cat([p.pairs.x[:n], p.pairs.y[:n]]), copy)
    mine, real = (np.bincount(part, minlength=len(kind)) for part in (kind[:n], kind[n:]))
    hits, usual = (int(np.maximum(side - 1, 0).sum()) for side in (mine, real))
    p_value = min(1.0, 2 * min(more_repeats(mine, real), _again_and_again(mine, real, n)))
    natural, drawn = real[real > 1], {}
    for factor in FACTORS:
        generator = numpy_generator(p.seed, "replicates", "repeats", str(factor))
        pairs = generator.binomial(n, p.planting.share("repeats", factor) * (1 - usual / n), REPLICATES)
        found = []
        for count in pairs:
            own = [
                generator.choice(natural, generator.poisson(len(natural))) if len(natural) else natural[:0]
                for _ in "xy"
            ]
            sides = (
                np.concatenate([np.full(count, 2), own[0], 0 * own[1]]),
                np.concatenate([np.zeros(count), 0 * own[0], own[1]]),
            )
            found.append(min(1.0, 2 * more_repeats(*sides)))
        drawn[factor] = as_deviates(found)
    note = f"Share of generated samples that repeat another, up to rounding, among {n} of them."
    told = usual / n + (1 - usual / n) * p.planting.share("repeats")
    return Finding(
        line.name, *share(hits, n, usual, n), None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=deviate,
        planted={"repeats": Planted(drawn, told)}, counted=True,
    )  # fmt: skip


def _again_and_again(mine: Numbers, real: Numbers, n: int) -> float:
    """Fisher's p-value of the class that occurs more often among generated rows, Bonferroni over those of `OFTEN`."""
    often = mine + real >= OFTEN
    if not often.any():
        return 1.0
    return min(1.0, int(often.sum()) * float(hypergeom.sf(mine[often] - 1, 2 * n, (mine + real)[often], n).min()))


def copies(line: OneLine, p: Prepared) -> Finding:
    """Rows found in the training set up to rounding, generated against held out: of those that are copies of one
    training row, one, at random, counts, so that repeats are no more evidence than one; Fisher's exact test."""
    copy = _up_to_rounding(p.pairs.shaping_to_training.distance[:, 0])
    mine, real = _copied_rows(p, copy)
    n, m = p.split.sizes
    generator = numpy_generator(p.seed, "copies")
    p_value = _once_each(mine, real, n, m, generator)
    rows, usual = p.planting.share("copies"), float((real >= 0).mean())
    drawn = {}
    for factor in FACTORS:
        found = []
        for _ in range(REPLICATES):
            some, others = (generator.choice(real, size) for size in (n, m))
            taken = generator.random(n) < p.planting.share("copies", factor)
            assert p.split.train is not None
            some = np.where(taken, len(real) + generator.integers(len(p.split.train), size=n), some)
            found.append(_once_each(some, others, n, m, generator))
        drawn[factor] = as_deviates(found)
    note = "Share of generated samples that are training samples, up to rounding; held-out samples reach the floor. "
    hits, real_hits = int((mine >= 0).sum()), int((real >= 0).sum())
    return Finding(
        line.name, *share(hits, n, real_hits, m), None, p_value, "higher", note + PRIVACY,
        statistic=float(as_deviates([p_value])[0]), critical=deviate,
        planted={"copies": Planted(drawn, usual + (1 - usual) * rows)}, counted=True,
    )  # fmt: skip


def _copied_rows(p: Prepared, copy: float) -> tuple[Numbers, Numbers]:
    """The class of equal training rows that each generated and each counted row is a copy of; -1 of others."""
    assert p.split.train is not None
    sides = [
        torch.where(found.distance[:, 0] <= copy, found.indices[:, 0], -1).numpy()
        for found in (p.pairs.to_training, p.pairs.counted_to_training)
    ]
    hit = np.unique(np.concatenate([side[side >= 0] for side in sides]))
    if not len(hit):
        return sides[0], sides[1]
    kind = same(p.split.train[hit], copy)
    mine, real = (np.where(side >= 0, kind[np.searchsorted(hit, side).clip(0, len(hit) - 1)], -1) for side in sides)
    return mine, real


def _once_each(mine: Numbers, real: Numbers, n: int, m: int, generator: np.random.Generator) -> float:
    """Fisher's p-value that of the rows that stand for what was copied too many are generated."""
    both = np.concatenate([mine[mine >= 0], real[real >= 0]])
    order = generator.permutation(len(both))
    first = order[np.unique(both[order], return_index=True)[1]]
    return larger_share_p_value(int((first < (mine >= 0).sum()).sum()), n, int((first >= (mine >= 0).sum()).sum()), m)


def _up_to_rounding(distance: Tensor) -> float:
    return max(COPY * float(distance.median()), SAME)


def closer(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows whose nearest real row is a training one, against what the number of those makes of it:
    exact by permuting which real rows are called training, whatever the generated rows are like."""
    assert p.split.train is not None
    n, m = len(p.split.train), len(p.pairs.y)
    spaces, tied = [_called_training(p.pairs.to_training, n, p.pairs.to_counted, m, p)], _tied(p)
    if p.pairs.x.shape[1] > LEADING:
        x, t, y, _ = _leading(p)
        spaces.append(_called_training(nearest(x, t), len(t), nearest(x, y), len(y), p))
    value, error = spaces[0].value, spaces[0].error
    copied = {
        factor: torch.stack([s.copied(p.planting.share("copies", factor)) for s in spaces]).amax(0)
        for factor in FACTORS
    }
    note = (
        "Share of generated samples whose nearest real sample is one of training, not a held-out one; the floor is the "
        "share of training samples among both. Tested along leading directions, too, where noise is dull. Blind to: a "
        "few copies."
    )
    floor = n / (n + m)
    interval = (max(0.0, value - Z * error), min(1.0, value + Z * error))
    p_value = min(1.0, len(spaces) * min(found.p_value for found in spaces))
    if p.pairs.repeated > REPEATED or tied > REPEATED:
        p_value, note = math.nan, f"{note} Not tested here: real samples repeat, or are as near as each other."
    return Finding(
        line.name, value, interval, floor, None, p_value, "higher", note,
        statistic=max(found.statistic for found in spaces),
        critical=lambda level: max(tail(found.null)(level / len(spaces)) for found in spaces),
        planted={"copies": Planted(copied, floor + (1 - floor) * p.planting.share("copies"))},
        detail=f"{value:.1%} of samples are nearer to a training sample than to a held-out one, {floor:.1%} by chance",
    )  # fmt: skip


def _tied(p: Prepared) -> float:
    """Share of generated rows that have two nearest real rows: which of them is of training says nothing."""
    distance = torch.cat([p.pairs.to_training.distance, p.pairs.to_counted.distance], 1).sort(1).values
    return float((distance[:, 1] <= distance[:, 0] * (1 + TIE) + SAME).double().mean())


class Called(NamedTuple):
    """Share of rows nearer to training, its standard error, and the p-value by relabelling real rows; how many fewer
    rows than chance has it are nearer to held-out ones, in standard deviations: statistic, and null, of relabelled
    rows; usual: how many chance has, in the same."""

    value: float
    error: float
    p_value: float
    statistic: float
    null: Tensor
    usual: float

    def copied(self, share: float) -> Tensor:
        """The statistic with this share of the rows copies of training rows."""
        return self.null[:REPLICATES] + share * (self.usual - self.null[:REPLICATES])


def _called_training(to_training: Neighbours, n: int, to_held: Neighbours, m: int, p: Prepared) -> Called:
    mine = to_training.distance[:, 0] <= to_held.distance[:, 0]
    trained = torch.bincount(to_training.indices[mine, 0]).numpy()
    held = torch.bincount(to_held.indices[~mine, 0]).numpy()
    visits = np.sort(np.concatenate([trained[trained > 0], held[held > 0]]))  # of each row that is somebody's nearest
    generator = numpy_generator(p.seed, "called training")
    null = np.empty(p.permutations)
    for i, count in enumerate(generator.hypergeometric(m, n, len(visits), p.permutations)):
        null[i] = generator.permutation(visits)[:count].sum()  # rows nearest to one that is called held out
    total, away = len(mine), int(held.sum())
    p_value = (1 + int((null <= away).sum())) / (1 + p.permutations)
    usual, spread = float(null.mean()), max(1e-9, float(null.std()))
    deviations = torch.from_numpy((usual - null) / spread)
    return Called(1 - away / total, spread / total, p_value, (usual - away) / spread, deviations, usual / spread)


def near(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows below low quantiles of held-out rows' distance to training over that to held-out rows,
    which is small for copies alone, not for samples that are smooth: as they are, or of fields moved by a site or
    turned over; along the leading directions, where noise is dull; and by patterns, where small moves are."""
    event, rows = p.split.event, (p.pairs.x, *_real(p))
    spaces = [_ratios(p, *rows, moves=len(event) > 1)]
    if p.pairs.x.shape[1] > LEADING:
        spaces.append(_ratios(p, *_leading(p), moves=False))
    if FILTERS.applies(event):
        spaces.append(_ratios(p, *_patterns(p), moves=False))
    shown = near_copies(*spaces[0], level=NEAR_LEVELS[-1], seed=p.seed)
    found = [_nearer(*ratios, level) for ratios in spaces for level in NEAR_LEVELS]
    moved = ", moved by a site or turned over" if len(event) > 1 else ""
    note = (
        f"Share of generated samples that are nearer to a training sample{moved}, measured by how near held-out ones "
        f"are, than all but {NEAR_LEVELS[-1]:.0%} of held-out samples are; tested at three such shares, along leading "
        f"directions, and by patterns. {PRIVACY}"
    )
    p_value = min(1.0, len(found) * min(found))
    size = p.planting.share("copies")
    return Finding(
        line.name, *shown[:3], None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=deviate,
        planted={"copies": Planted(_copied(p, *spaces[0], len(found)), shown.floor + (1 - shown.floor) * size)},
    )  # fmt: skip


def _copied(p: Prepared, generated: Tensor, held_out: Tensor, tests: int) -> dict[float, Tensor]:
    """The deviate of the p-value where real rows, and copies, of distance zero, stand in for the generated ones."""
    assert p.split.train is not None
    drawn, n, m = {}, len(generated), len(held_out)
    searched = min(1.0, 2 * MOVED_ROWS / len(p.split.train))  # of the training rows
    for factor in FACTORS:
        generator = numpy_generator(p.seed, "replicates", "near copies", str(factor))
        p_values = np.ones(REPLICATES)
        hits = generator.binomial(n, searched * p.planting.share("copies", factor), REPLICATES)
        for level in NEAR_LEVELS:
            rank = max(1, int(level * m))
            near = hits + generator.binomial(n - hits, generator.beta(rank, m + 1 - rank, REPLICATES))
            p_values = np.minimum(p_values, tests * betabinom.sf(near - 1, n, rank, m + 1 - rank))
        drawn[factor] = as_deviates(p_values)
    return drawn


def _nearer(generated: Tensor, held_out: Tensor, level: float) -> float:
    """p-value of so many generated rows below the quantile of held-out ones, of one law: beta-binomial."""
    n, m = len(generated), len(held_out)
    rank = max(1, int(level * m))
    hits = int((generated < held_out.sort().values[rank - 1]).sum())
    return float(betabinom.sf(hits - 1, n, rank, m + 1 - rank))


def _real(p: Prepared) -> tuple[Tensor, Tensor, Tensor]:
    """Training, counted and shaping rows."""
    assert p.split.learned is not None
    return p.split.learned.flatten(1), p.pairs.y, p.split.shaping.flatten(1)


def _leading(p: Prepared) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Generated, training, counted and shaping rows along the leading 16 directions, of their natural sizes."""
    rows = (p.pairs.x, *_real(p))
    _, axes, _ = principal_axes(rows[3], LEADING)
    turn = axes.float()
    x, t, y, s = (part @ turn for part in rows)
    return x, t, y, s


def _patterns(p: Prepared) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of generated, training, counted and shaping rows, of their natural sizes."""
    split = p.split
    assert split.learned is not None
    found = p.looks.of(FILTERS)
    learned = describe(found.fitted, split.learned[: 2 * MOVED_ROWS])
    x, t, y, s = (found.fitted.sized(part) for part in (found.x, learned, found.y, found.shaping))
    return x, t, y, s


def _ratios(p: Prepared, x: Tensor, t: Tensor, y: Tensor, s: Tensor, *, moves: bool) -> tuple[Tensor, Tensor]:
    """Distance to the nearest training row over that to the nearest shaping row, of generated and counted rows; of up
    to 2,000 each, and over small moves where asked."""
    t, found = t[: 2 * MOVED_ROWS], []
    for rows in (x[:MOVED_ROWS], y[:MOVED_ROWS]):
        best = [torch.full((len(rows),), torch.inf), torch.full((len(rows),), torch.inf)]
        for moved in _moves(p, rows) if moves else [rows]:
            to = nearest(moved, t).distance[:, 0], nearest(moved, s).distance[:, 0]
            best = [torch.minimum(a, b) for a, b in zip(best, to, strict=True)]
        found.append((best[0], best[1]))
    small = 1e-6 * (1 + float(found[1][1].median()))
    generated, held_out = ((mine + small) / (other + small) for mine, other in found)
    return generated, held_out


def _moves(p: Prepared, rows: Tensor) -> list[Tensor]:
    """The rows as they are, moved by a site along each axis, and turned over."""
    events = rows.reshape(-1, *p.split.event)
    moved = [events.roll(step, axis) for axis in range(2, events.ndim) for step in (1, -1)] + [events.flip(-1)]
    return [rows, *(event.flatten(1) for event in moved)]
