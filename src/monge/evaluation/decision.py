"""From numbers to statuses: equivalence within a margin, and Holm's correction over all lines."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from monge.evaluation.statistics.resampling import Interval
from monge.evaluation.verdict import Line, Status

LEVEL = 0.05


class Finding(NamedTuple):
    """A line before it is judged. worse: on which side of the floor a difference is a defect."""

    name: str
    value: float
    interval: Interval
    floor: float
    margin: float
    p_value: float
    worse: Literal["higher", "lower", "both"]
    note: str


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: rejecting those below a level keeps the chance of any false rejection below it.

    adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), for the sorted p_(1) <= ... <= p_(m) (Holm 1979).

    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


def judge(findings: Sequence[Finding], level: float = LEVEL) -> list[Line]:
    """A line for each finding: the harmless band is floor +- margin, open on the side that is not a defect.

    `pass`: the interval lies in the band. `fail`: it lies wholly outside *and* Holm's adjusted p-value is at most
    `level`, so that the chance of any fail, when the laws are the same, is at most `level`. Else `undecided`.

    >>> finding = Finding("coverage", 0.5, (0.45, 0.55), 0.97, 0.05, 1e-6, "lower", "")
    >>> judge([finding])[0].status
    'fail'
    """
    adjusted = holm([finding.p_value for finding in findings])
    return [
        Line(f.name, f.value, f.interval, f.floor, f.p_value, f.margin, _status(f, p <= level), f.note)
        for f, p in zip(findings, adjusted, strict=True)
    ]


def _status(f: Finding, significant: bool) -> Status:
    low, high = f.interval
    bottom = f.floor - f.margin if f.worse != "higher" else -float("inf")
    top = f.floor + f.margin if f.worse != "lower" else float("inf")
    if bottom <= low and high <= top:
        return "pass"
    return "fail" if significant and (high < bottom or low > top) else "undecided"
