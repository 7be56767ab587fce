"""How many rows an audit needs, before there is a generator: the power of each line, from held-out rows alone."""

from typing import Any, NamedTuple

import numpy as np
import torch

from monge.data import Samples
from monge.errors import BadInput
from monge.evaluation.auditing import NEEDED, ROWS, audit, shaping_of
from monge.evaluation.defects import CONCERNS, DEFECTS, Defect, Margins
from monge.evaluation.outcomes import best_line, needs
from monge.evaluation.rows import by_weight, to_array
from monge.evaluation.verdict import Verdict


class Need(NamedTuple):
    """What one kind of reference defect needs. power: the chance of seeing it with the rows that were planned for.
    rows: of generated and of compared held-out samples, each, that would see it with a chance of 80%; None where that
    cannot be told."""

    concern: str
    kind: str
    size: float
    line: str
    power: float
    rows: int | None


class Plan(NamedTuple):
    """needs: by kind of defect. generated, held_out: numbers of rows that were planned for, at most as many as an audit
    reads; compared: those of held_out that are not learned from. verdict: of one half of the rows against the other."""

    needs: tuple[Need, ...]
    generated: int
    held_out: int
    compared: int
    verdict: Verdict


def plan(
    holdout: Any, *, n: int | None = None, train: Any = None, margins: Margins | None = None, seed: int = 0
) -> Plan:
    """What an audit of n generated rows (as many as are held out, if not given) against these held-out rows would see.

    Half of the rows play generated ones against the other half, with every reference defect planted; the power at other
    numbers is that of as many rows drawn from these.

    Raises BadInput for fewer than 200 rows, which leave too few in a half, and n below 100.

    >>> found = plan(np.random.default_rng(0).standard_normal((400, 2)))
    >>> found.held_out, [need.kind for need in found.needs][:1]
    (400, ['cluster'])
    """
    holdout = by_weight(holdout, seed)
    rows = to_array("holdout", holdout)
    if len(rows) < 2 * NEEDED:
        raise BadInput(f"a plan needs {2 * NEEDED} held-out rows, and there are {len(rows)}: hold out more")
    n = min(len(rows) if n is None else n, ROWS)
    if n < NEEDED:
        raise BadInput(f"an audit needs at least {NEEDED} generated rows, and n is {n}: plan for more")
    most = min(len(rows), 2 * ROWS)
    order = np.random.default_rng(seed).permutation(len(rows))[:most]
    half = most // 2
    mine, real = (np.sort(part) for part in (order[:half], order[half:]))
    given = isinstance(holdout, Samples)
    some, others = (holdout.take(torch.from_numpy(part)) if given else rows[part] for part in (mine, real))
    verdict = audit(some, others, train, seed=seed, margins=margins)
    a, b = verdict.context["n_compared"]
    used = min(len(rows), ROWS)
    compared = used - shaping_of(used)
    needs_ = (_need(verdict, d, _joint(a, b), _joint(n, compared)) for d in DEFECTS if _seen(verdict, d))
    return Plan(tuple(needs_), n, used, compared, verdict)


def _joint(n: float, m: float) -> float:
    """The number of rows on both sides that have the standard errors of n against m."""
    return 2 * n * m / (n + m)


def _seen(verdict: Verdict, defect: Defect) -> bool:
    return any(defect.name in line.curves for line in verdict.lines)


def _need(verdict: Verdict, defect: Defect, at_hand: float, planned: float) -> Need:
    line = best_line(verdict.lines, defect)
    by_size = {float(k) ** 2: v for k, v in line.curves[defect.name].items()}
    by_rows = {1.0: by_size[1.0]} | {float(k): v for k, v in line.growth.get(defect.name, {}).items()}
    smaller = {times: power for times, power in by_size.items() if times < 1.0}
    powers = smaller | (by_rows if len(by_rows) > 1 else by_size)
    power = float(np.interp(np.log(planned / at_hand), np.log(sorted(powers)), [powers[k] for k in sorted(powers)]))
    size = float(verdict.context["margins"][CONCERNS[defect.concern].margin])
    return Need(defect.concern, defect.kind, size, line.name, power, needs(line, defect.name, at_hand))
