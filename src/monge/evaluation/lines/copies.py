"""Lines on copying: of each other, of training samples as they are, moved by a site, turned over."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import betabinom, norm
from torch import Tensor

from monge.evaluation.decision import FACTORS, Finding, Planted
from monge.evaluation.defects import REPLICATES
from monge.evaluation.descriptors.values import principal_axes
from monge.evaluation.lines.base import OneLine, share
from monge.evaluation.lines.distances import as_deviates
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
    drawn = {}
    for factor in FACTORS:
        generator = numpy_generator(p.seed, "replicates", line.name, str(factor))
        planted = planted_share(usual, p.share(line.concern, factor))
        some = generator.binomial(n, planted, REPLICATES), generator.binomial(m, usual, REPLICATES)
        drawn[factor] = as_deviates([larger_share_p_value(int(a), n, int(b), m) for a, b in zip(*some, strict=True)])
    value = planted_share(usual, p.share(line.concern))
    p_value = larger_share_p_value(hits, n, real_hits, m)
    return Finding(
        line.name, *share(hits, n, real_hits, m), None, p_value, "higher", note,
        statistic=float(as_deviates([p_value])[0]), critical=lambda level: float(norm.isf(level)),
        planted={line.concern: Planted(drawn, value)},
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
    value, error = spaces[0][:2]
    note = (
        "Share of generated samples whose nearest real sample is one of training, not a held-out one; the floor is the "
        "share of training samples among both. Tested along leading directions, too, where noise is dull. Blind to: a "
        "few copies."
    )
    floor = len(p.train) / (len(p.train) + len(p.y))
    interval = (max(0.0, value - Z * error), min(1.0, value + Z * error))
    p_value = min(1.0, len(spaces) * min(found[2] for found in spaces))
    if p.repeated > REPEATED:
        p_value, note = math.nan, f"{note} Not tested here: real samples repeat, and are as near as each other."
    return Finding(line.name, value, interval, floor, None, p_value, "higher", note)


def _called_training(
    to_training: Neighbours, n: int, to_held: Neighbours, m: int, seed: int
) -> tuple[float, float, float]:
    """Share of rows nearer to training, its standard error, and the p-value by relabelling n + m real rows."""
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
    return 1 - away / total, float(null.std()) / total, p_value


def near(line: OneLine, p: Prepared) -> Finding:
    """Share of generated rows below low quantiles of held-out rows' distance to training over that to held-out rows,
    which is small for copies alone, not for samples that are smooth: as they are, or of fields moved by a site or
    turned over; and along the leading directions, where noise is dull."""
    spaces = [_ratios(p, p.x, p.y, p.t, moves=len(p.event) > 1)]
    if p.x.shape[1] > LEADING:
        x, t, y = _leading(p)
        spaces.append(_ratios(p, x, y, t, moves=False))
    shown = near_copies(*spaces[0], level=NEAR_LEVELS[-1], seed=p.seed)
    found = [_nearer(*ratios, level) for ratios in spaces for level in NEAR_LEVELS]
    moved = ", moved by a site or turned over" if len(p.event) > 1 else ""
    note = (
        f"Share of generated samples that are nearer to a training sample{moved}, measured by how near held-out ones "
        f"are, than all but {NEAR_LEVELS[-1]:.0%} of held-out samples are; tested at three such shares, and along "
        f"leading directions. {PRIVACY}"
    )
    return Finding(line.name, *shown[:3], None, min(1.0, len(found) * min(found)), "higher", note)


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
    events = (rows + p.offset).reshape(-1, *p.event)
    moved = [events.roll(step, axis) for axis in range(2, events.ndim) for step in (1, -1)] + [events.flip(-1)]
    return [rows, *(event.flatten(1) - p.offset for event in moved)]
