"""Lines on copying: of each other, of training samples as they are, moved by a site, turned over."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import betabinom
from torch import Tensor

from monge.evaluation.decision import FACTORS, Finding, Planted, tail
from monge.evaluation.defects import REPLICATES
from monge.evaluation.descriptors import FILTERS, describe
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.lines.base import OneLine, as_deviates, deviate, planted_shares, share
from monge.evaluation.prepared import REPEATED, Prepared
from monge.evaluation.statistics.memorisation import near_copies
from monge.evaluation.statistics.pairwise import Neighbours, nearest
from monge.evaluation.statistics.resampling import Z, larger_share_p_value, numpy_generator

COPY = 1e-3  # of the usual nearest distance: nearer than this is a copy up to rounding
NEAR_LEVELS = (0.001, 0.01, 0.05)
LEADING = 16
PERMUTATIONS = 1999
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

    def both(usual: float, s: float) -> float:  # repeats make their originals repeat, too
        return usual + (1 - usual) * (s + (1 - s) * (1 - math.exp(-s / (1 - s))))

    return _shares(line, p, near <= copy, real <= copy, both, note)


def copies(line: OneLine, p: Prepared) -> Finding:
    """Share of rows found in the training set up to rounding, generated against held out."""
    generated, held_out = p.to_training.distance[:, 0], p.held_out_to_training.distance[:, 0]
    copy = max(COPY * float(held_out.median()), 1e-6)
    note = "Share of generated samples that are training samples, up to rounding; held-out samples reach the floor. "
    return _shares(
        line, p, generated <= copy, held_out <= copy, lambda usual, s: usual + (1 - usual) * s, note + PRIVACY
    )


def _shares(
    line: OneLine, p: Prepared, mine: Tensor, real: Tensor, planted_share: Callable[[float, float], float], note: str
) -> Finding:
    """Share of generated rows that are copies against that of real ones: Fisher's exact test."""
    hits, n, real_hits, m = int(mine.sum()), len(mine), int(real.sum()), len(real)
    usual = real_hits / m
    planted = planted_shares(p, line.concern, usual, lambda size: planted_share(usual, size), (n, m))
    p_value = larger_share_p_value(hits, n, real_hits, m)
    return Finding(
        line.name, *share(hits, n, real_hits, m), None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=deviate, planted={line.concern: planted},
    )  # fmt: skip


def closer(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows whose nearest real row is a training one, against what the number of those makes of it:
    exact by permuting which real rows are called training, whatever the generated rows are like."""
    assert p.train is not None
    to_held = nearest(p.x, p.y)
    spaces = [_called_training(p.to_training, len(p.train), to_held, len(p.y), p.seed)]
    if p.x.shape[1] > LEADING and p.t is not None:
        x, t, y = _leading(p)
        spaces.append(_called_training(nearest(x, t), len(t), nearest(x, y), len(y), p.seed))
    value, error = spaces[0].value, spaces[0].error
    copied = {factor: torch.stack([s.copied(p.share("copies", factor)) for s in spaces]).amax(0) for factor in FACTORS}
    note = (
        "Share of generated samples whose nearest real sample is one of training, not a held-out one; the floor is the "
        "share of training samples among both. Tested along leading directions, too, where noise is dull. Blind to: a "
        "few copies."
    )
    floor = len(p.train) / (len(p.train) + len(p.y))
    interval = (max(0.0, value - Z * error), min(1.0, value + Z * error))
    p_value = min(1.0, len(spaces) * min(found.p_value for found in spaces))
    if p.repeated > REPEATED:
        p_value, note = math.nan, f"{note} Not tested here: real samples repeat, and are as near as each other."
    return Finding(
        line.name, value, interval, floor, None, p_value, "higher", note,
        statistic=max(found.statistic for found in spaces),
        critical=lambda level: max(tail(found.null)(level / len(spaces)) for found in spaces),
        planted={"copies": Planted(copied, floor + (1 - floor) * p.share("copies"))},
    )  # fmt: skip


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


def _called_training(to_training: Neighbours, n: int, to_held: Neighbours, m: int, seed: int) -> Called:
    mine = to_training.distance[:, 0] <= to_held.distance[:, 0]
    trained = torch.bincount(to_training.indices[mine, 0]).numpy()
    held = torch.bincount(to_held.indices[~mine, 0]).numpy()
    visits = np.sort(np.concatenate([trained[trained > 0], held[held > 0]]))  # of each row that is somebody's nearest
    generator = numpy_generator(seed, "called training")
    null = np.empty(PERMUTATIONS)
    for i, count in enumerate(generator.hypergeometric(m, n, len(visits), PERMUTATIONS)):
        null[i] = generator.permutation(visits)[:count].sum()  # rows nearest to one that is called held out
    total, away = len(mine), int(held.sum())
    p_value = (1 + int((null <= away).sum())) / (1 + PERMUTATIONS)
    usual, spread = float(null.mean()), max(1e-9, float(null.std()))
    deviations = torch.from_numpy((usual - null) / spread)
    return Called(1 - away / total, spread / total, p_value, (usual - away) / spread, deviations, usual / spread)


def near(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows below low quantiles of held-out rows' distance to training over that to held-out rows,
    which is small for copies alone, not for samples that are smooth: as they are, or of fields moved by a site or
    turned over; along the leading directions, where noise is dull; and by patterns, where small moves are."""
    spaces = [_ratios(p, p.x, p.y, p.t, moves=len(p.event) > 1)]
    if p.x.shape[1] > LEADING:
        x, t, y = _leading(p)
        spaces.append(_ratios(p, x, y, t, moves=False))
    if FILTERS.applies(p.event):
        x, t, y = _patterns(p)
        spaces.append(_ratios(p, x, y, t, moves=False))
    shown = near_copies(*spaces[0], level=NEAR_LEVELS[-1], seed=p.seed)
    found = [_nearer(*ratios, level) for ratios in spaces for level in NEAR_LEVELS]
    moved = ", moved by a site or turned over" if len(p.event) > 1 else ""
    note = (
        f"Share of generated samples that are nearer to a training sample{moved}, measured by how near held-out ones "
        f"are, than all but {NEAR_LEVELS[-1]:.0%} of held-out samples are; tested at three such shares, along leading "
        f"directions, and by patterns. {PRIVACY}"
    )
    p_value = min(1.0, len(found) * min(found))
    size = p.share("copies")
    return Finding(
        line.name, *shown[:3], None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=deviate,
        planted={"copies": Planted(_copied(p, *spaces[0], len(found)), shown.floor + (1 - shown.floor) * size)},
    )  # fmt: skip


def _copied(p: Prepared, generated: Tensor, held_out: Tensor, tests: int) -> dict[float, Tensor]:
    """The deviate of the p-value where real rows, and copies, of distance zero, stand in for the generated ones."""
    drawn, n, m = {}, len(generated), len(held_out)
    for factor in FACTORS:
        generator = numpy_generator(p.seed, "replicates", "near copies", str(factor))
        p_values = np.ones(REPLICATES)
        hits = generator.binomial(n, p.share("copies", factor), REPLICATES)
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


def _leading(p: Prepared) -> tuple[Tensor, Tensor, Tensor]:
    """Generated, training and held-out rows along the leading 16 directions, of their natural sizes."""
    assert p.t is not None
    _, axes, _ = principal_axes(p.t, LEADING)
    turn = axes.float()
    return p.x @ turn, p.t @ turn, p.y @ turn


def _patterns(p: Prepared) -> tuple[Tensor, Tensor, Tensor]:
    """Features of generated, training and held-out rows, of their natural sizes."""
    assert p.t is not None
    fitted = p.features(FILTERS).fitted
    x, t, y = (
        fitted.sized(describe(fitted, p.events_of(rows)))
        for rows in (p.x[:MOVED_ROWS], p.t[: 2 * MOVED_ROWS], p.y[:MOVED_ROWS])
    )
    return x, t, y


def _ratios(p: Prepared, x: Tensor, y: Tensor, t: Tensor | None, *, moves: bool) -> tuple[Tensor, Tensor]:
    """Distance to the nearest training row over that to the nearest other held-out row, of generated and held-out
    rows; of up to 2,000 each, and over small moves where asked."""
    assert t is not None
    t, y, found = t[: 2 * MOVED_ROWS], y[:MOVED_ROWS], []
    for rows, held in ((x[:MOVED_ROWS], False), (y, True)):
        best = [torch.full((len(rows),), torch.inf), torch.full((len(rows),), torch.inf)]
        for moved in _moves(p, rows) if moves else [rows]:
            to = nearest(moved, t).distance[:, 0], nearest(moved, y, skip_self=held).distance[:, 0]
            best = [torch.minimum(a, b) for a, b in zip(best, to, strict=True)]
        found.append((best[0], best[1]))
    small = 1e-6 * (1 + float(found[1][1].median()))
    generated, held_out = ((mine + small) / (other + small) for mine, other in found)
    return generated, held_out


def _moves(p: Prepared, rows: Tensor) -> list[Tensor]:
    """The rows as they are, moved by a site along each axis, and turned over."""
    events = p.events_of(rows)
    moved = [events.roll(step, axis) for axis in range(2, events.ndim) for step in (1, -1)] + [events.flip(-1)]
    return [rows, *(event.flatten(1) - p.offset for event in moved)]
