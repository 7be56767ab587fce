"""Verdicts of several runs of one method: what changes with the seed of its training."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from monge.errors import BadInput
from monge.evaluation.line import Status
from monge.evaluation.verdict import Verdict

CONFIDENCE = 0.95


class Across(NamedTuple):
    """A line over runs: the mean of its values, its 95% interval over seeds (Student), its mean floor, its statuses."""

    name: str
    value: float
    interval: tuple[float, float]
    floor: float
    statuses: tuple[Status, ...]


def across(verdicts: Sequence[Verdict]) -> list[Across]:
    """Each line that all verdicts have, over the runs that they are of.

    Raises BadInput for fewer than two verdicts.

    >>> from monge.evaluation import Line
    >>> runs = [Verdict((Line("energy", v, (v, v), 0.0, 0.5, 1.0, "pass", ""),)) for v in (1.0, 3.0)]
    >>> across(runs)[0].value, [round(bound, 1) for bound in across(runs)[0].interval]
    (2.0, [-10.7, 14.7])
    """
    if len(verdicts) < 2:
        raise BadInput(f"{len(verdicts)} verdict has no spread over runs: give two or more")
    tables = [{line.name: line for line in verdict.lines} for verdict in verdicts]
    found = []
    for name in (line.name for line in verdicts[0].lines):
        if not all(name in table for table in tables):
            continue
        lines = [table[name] for table in tables]
        values = np.array([line.value for line in lines])
        mean = float(values.mean())
        half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1)) / math.sqrt(len(values))
        floor = float(np.mean([line.floor for line in lines]))
        found.append(Across(name, mean, (mean - half, mean + half), floor, tuple(line.status for line in lines)))
    return found
