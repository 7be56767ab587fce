"""Lines on copying: of each other, of training samples as they are, moved by a site, turned over."""

import math
from collections.abc import Callable

import torch
from scipy.stats import betabinom, norm
from torch import Tensor

from monge.evaluation.decision import FACTORS, Finding, Planted
from monge.evaluation.defects import REPLICATES
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.lines.base import OneLine
from monge.evaluation.lines.distances import as_deviates
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.memorisation import closer_to_training, near_copies
from monge.evaluation.statistics.pairwise import nearest
from monge.evaluation.statistics.resampling import difference_interval, larger_share_p_value, numpy_generator

COPY = 1e-3  # of the usual nearest distance: nearer than this is a copy up to rounding
NEAR_LEVELS = (0.001, 0.01, 0.05)
LEADING = 16
MOVED_ROWS = 2000  # generated and held-out rows whose moves are compared with training
PRIVACY = "Not a guarantee of privacy: what was changed more is not found."


def repeats(line: OneLine, p: Prepared) -> Finding:
    """Share of rows with a copy among the `size` rows of their own block, generated against held out."""
    n = p.size
    real = p.real_neighbours.distance[:, 0]
    copy = max(COPY * float(real.median()), 1e-6)
    blocks = [p.x[start : start + n] for start in range(0, len(p.x) // n * n, n)]
    near = torch.cat([nearest(block, block, skip_self=True).distance[:, 0] for block in blocks])
    note = f"Share of generated samples that occur twice, up to rounding, among {n} of them."

    def share(usual: float, s: float) -> float:  # repeats make their originals repeat, too
        return usual + (1 - usual) * (s + (1 - s) * (1 - math.exp(-s / (1 - s))))

    return _shares(line, p, near <= copy, real <= copy, share, note)


def copies(line: OneLine, p: Prepared) -> Finding:
    """Share of rows found in the training set up to rounding, generated against held out."""
    generated, held_out = p.to_training.distance[:, 0], p.held_out_to_training.distance[:, 0]
    copy = max(COPY * float(held_out.median()), 1e-6)
    note = "Share of generated samples that are training samples, up to rounding; held-out samples reach the floor. "
    share = lambda usual, s: usual + (1 - usual) * s  # noqa: E731
    return _shares(line, p, generated <= copy, held_out <= copy, share, note + PRIVACY)


def _shares(
    line: OneLine, p: Prepared, mine: Tensor, real: Tensor, planted_share: Callable[[float, float], float], note: str
) -> Finding:
    """Share of generated rows that are copies against that of real ones: Fisher's exact test."""
    hits, n, real_hits, m = int(mine.sum()), len(mine), int(real.sum()), len(real)
    usual = real_hits / m
    drawn = {}
    for factor in FACTORS:
        generator = numpy_generator(p.seed, "replicates", line.name, str(factor))
        share = planted_share(usual, p.share(line.concern, factor))
        some = generator.binomial(n, share, REPLICATES), generator.binomial(m, usual, REPLICATES)
        drawn[factor] = as_deviates([larger_share_p_value(int(a), n, int(b), m) for a, b in zip(*some, strict=True)])
    value = planted_share(usual, p.share(line.concern))
    p_value = larger_share_p_value(hits, n, real_hits, m)
    return Finding(
        line.name, hits / n, difference_interval(hits, n, real_hits, m), usual, None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=lambda level: float(norm.isf(level)),
        planted={line.concern: Planted(drawn, value)},
    )  # fmt: skip


def closer(line: OneLine, p: Prepared) -> Finding:
    """Rank test of the distances to the nearest training row, generated against held out."""
    test = closer_to_training(p.to_training.distance[:, 0], p.held_out_to_training.distance[:, 0])
    p_value = test.p_value
    if p.x.shape[1] > LEADING:
        p_value = min(1.0, 2 * min(p_value, closer_to_training(*_leading_distance(p)).p_value))
    note = (
        "Chance that a generated sample is closer to the training set than a held-out one is; 0.5 when nothing is "
        "copied. "
        "Tested along leading directions, too, where noise is dull. Blind to: a few copies."
    )
    return Finding(line.name, *test[:3], None, p_value, "higher", note)


def near(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows below low quantiles of held-out distances to training: as they are, or of images and
    fields the smallest when moved by a site along an axis or turned over; and along the leading directions, where noise
    is dull."""
    spaces = [
        (_moved_distance(p, p.x), _moved_distance(p, p.y)),
        *([_leading_distance(p)] if p.x.shape[1] > 16 else []),
    ]
    shown = near_copies(*spaces[0], level=NEAR_LEVELS[-1], seed=p.seed)
    found = [_nearer(*distances, level) for distances in spaces for level in NEAR_LEVELS]
    moved = "" if len(p.event) == 1 else ", moved by a site or turned over"
    note = (
        f"Share of generated samples that are nearer to a training sample{moved} than all but the nearest "
        f"{NEAR_LEVELS[-1]:.0%} of held-out samples are; tested at three such shares, and in leading directions. "
        f"{PRIVACY}"
    )
    return Finding(line.name, *shown[:3], None, min(1.0, len(found) * min(found)), "higher", note)


def _nearer(generated: Tensor, held_out: Tensor, level: float) -> float:
    """Exact p-value of so many generated rows below the quantile of held-out distances: beta-binomial."""
    n, m = len(generated), len(held_out)
    rank = max(1, int(level * m))
    hits = int((generated < held_out.sort().values[rank - 1]).sum())
    return float(betabinom.sf(hits - 1, n, rank, m + 1 - rank))


def _leading_distance(p: Prepared) -> tuple[Tensor, Tensor]:
    """Distances to the nearest of the training rows at hand along the leading 16 directions, of their natural sizes."""
    assert p.t is not None
    _, axes, _ = principal_axes(p.t, LEADING)
    turn = axes.float()
    generated, held_out = (nearest(rows @ turn, p.t @ turn).distance[:, 0] for rows in (p.x, p.y))
    return generated, held_out


def _moved_distance(p: Prepared, rows: Tensor) -> Tensor:
    """Distance to the nearest training row, as they are, and of up to 2,000 rows of fields, over small moves."""
    found = (p.to_training if rows is p.x else p.held_out_to_training).distance[:, 0]
    if len(p.event) == 1 or p.t is None:
        return found
    events = (rows[:MOVED_ROWS] + p.offset).reshape(-1, *p.event)
    axes = range(2, events.ndim)
    moves = [events.roll(step, axis) for axis in axes for step in (1, -1)] + [events.flip(-1)]
    best = found[:MOVED_ROWS]
    for moved in moves:
        best = torch.minimum(best, nearest(moved.flatten(1) - p.offset, p.t[: 2 * MOVED_ROWS]).distance[:, 0])
    return best
