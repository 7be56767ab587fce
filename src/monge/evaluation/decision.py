"""From numbers to statuses: a difference that is there, a defect that is not, and Holm's correction over all lines."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from monge.evaluation.defects import CONCERN, CONCERNS
from monge.evaluation.line import LEVEL, POWER, Line, Status
from monge.evaluation.outcomes import EXCLUDED
from monge.evaluation.statistics.resampling import Interval

OWN = 8.0  # weight, in the correction, of a line that speaks for a reference defect
DECISIVE = 2  # permutations beyond the critical value
HELPED = (0.05, 0.95)  # powers at equal weights between which that weight helps
THOUGH_SEEN = 0.001  # chance of the reference looking so harmless, at most, where a difference is there
FACTORS = (0.25, 0.5, 1.0, 2.0)  # of the reference size, at which the power is computed
TIMES = (2, 4, 8, 16)  # the rows there are, with which it is computed, too


class Planted(NamedTuple):
    """A line over real data with a defect in them: by factor of the reference size the test statistic in each
    replicate, and the line's mean value at the reference size. growth: the statistic at the reference size with so many
    times the rows, on the scale of the null of the rows there are."""

    statistic: Mapping[float, Float[Tensor, " replicates"]]
    value: float
    growth: Mapping[float, Float[Tensor, " replicates"]] = {}


class Finding(NamedTuple):
    """A line before it is judged.

    worse: on which side of the floor a difference is a defect. margin: given, for a line without planted defects.
    concern: what a difference says, of `CONCERNS` or `OTHER`. statistic: what is tested, large for a
    difference; critical: the value of it that chance exceeds with a given probability. planted: by name of the
    reference defect. detail: what differs most, in words. counted: whether the value is a share, of which the reference
    is excluded only if the interval ends before it.
    """

    name: str
    value: float
    interval: Interval
    floor: float
    margin: float | None
    p_value: float
    worse: Literal["higher", "lower", "both"]
    note: str
    concern: str = "structure"
    statistic: float = math.nan
    critical: Callable[[float], float] | None = None
    planted: Mapping[str, Planted] = {}
    detail: str = ""
    counted: bool = False


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Holm's adjusted p-values: rejecting those below a level keeps the chance of any false rejection below it.

    adjusted_(i) = max over j <= i of min(1, W_j p_(j) / w_(j)), W_j the weights of those not before j, for sorted
    p / w (Holm 1979); with equal weights W_j / w_(j) is m - j + 1. A NaN is no test: it stays NaN, and the others are
    corrected without it.

    >>> holm([0.01, 0.5, float("nan"), 0.02])
    [0.03, 0.5, nan, 0.04]
    >>> holm([0.01, 0.03], [4, 1])
    [0.0125, 0.03]
    """
    weight = [1.0] * len(p_values) if weights is None else list(weights)
    known = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, worst = [math.nan] * len(p_values), 0.0
    left = sum(weight[i] for i in known)
    for i in sorted(known, key=lambda i: p_values[i] / weight[i]):
        worst = max(worst, min(1.0, left / weight[i] * p_values[i]))
        adjusted[i] = worst
        left -= weight[i]
    return adjusted


def decisive(concerns: Sequence[str], level: float = LEVEL) -> int:
    """Permutations that a line with the smallest share of the level needs to be decided: `DECISIVE` of them beyond the
    critical value.

    >>> decisive(["region", "structure"], 0.05)
    359
    """
    total = sum(OWN if concern in CONCERNS else 1.0 for concern in concerns)
    return math.ceil(DECISIVE * total / level) - 1


def judge(findings: Sequence[Finding], level: float = LEVEL) -> list[Line]:
    """A line for each finding.

    Of a line with planted defects the least that it sees, with a chance of 80%, is its reference; where it sees none,
    the one that it sees best. `pass`: the reference is excluded, since it would look so harmless with a chance of at
    most 2.5%, or of .1% where a difference is there, and would have been seen. `fail`: a difference by Holm's adjusted
    p-value at `level`, and the reference not excluded; lines that see a reference defect of their concern best weigh
    eight times as much if their power can be helped. The chance of any fail, when the laws are the same, is at most
    `level`. Else `undecided`.

    Of a line with a margin of its own the harmless band is floor +- margin, open on the side that is not a defect:
    `pass`, the interval lies in the band; `fail`, wholly outside, and significant.

    >>> finding = Finding("coverage", 0.5, (0.45, 0.55), 0.97, 0.05, 1e-6, "lower", "")
    >>> judge([finding])[0].status
    'fail'
    """
    weights = _weights(findings, level / len(findings))
    adjusted = holm([finding.p_value for finding in findings], weights)
    total = sum(w for w, p in zip(weights, adjusted, strict=True) if not math.isnan(p))
    return [_line(f, p, level, level * w / total) for f, p, w in zip(findings, adjusted, weights, strict=True)]


def _weights(findings: Sequence[Finding], single: float) -> list[float]:
    """Of each kind of defect the line of its concern that sees it best has more of the level, if that helps."""
    weights, (low, high) = [1.0] * len(findings), HELPED
    for name, concern in CONCERN.items():
        own = [i for i, f in enumerate(findings) if f.concern == concern and name in f.planted]
        powers = {i: curve(findings[i], findings[i].planted[name].statistic, single)[1.0] for i in own}
        best = max(powers, key=lambda i: powers[i], default=None)
        if best is not None and low < powers[best] < high:
            weights[best] = OWN
    return weights


def _line(f: Finding, adjusted: float, level: float, single: float) -> Line:
    powers = {name: curve(f, planted.statistic, single) for name, planted in f.planted.items()}
    growth = {name: _deciding(f, planted.growth, single) for name, planted in f.planted.items() if planted.growth}
    best = _reference(f, powers)
    harmless = {name: _harmless(f, planted) for name, planted in f.planted.items()}
    equivalence = math.nan if best is None else harmless[best]
    power = None if best is None else powers[best][1.0]
    side = -1.0 if f.worse == "lower" else 1.0
    margin = f.margin if best is None else max(0.0, side * (f.planted[best].value - f.floor))
    significant = adjusted <= level  # False for NaN
    if best is not None:
        so_rare = THOUGH_SEEN if significant else EXCLUDED
        excluded = power is not None and power >= POWER and equivalence <= so_rare
        status: Status = "pass" if excluded else "fail" if significant else "undecided"
    elif f.margin is not None:
        status = _by_margin(f, f.margin, significant)
    else:
        status = "fail" if significant else "undecided"
    return Line(
        f.name,
        f.value,
        f.interval,
        f.floor,
        None if math.isnan(f.p_value) else f.p_value,
        margin,
        "undecided" if math.isnan(f.p_value) else status,
        f.note,
        concern=f.concern,
        reference=best,
        p_equivalence=None if math.isnan(equivalence) else equivalence,
        power=power,
        curves={name: {str(k): round(v, 4) for k, v in found.items()} for name, found in powers.items()},
        excludes={name: harmless[name] for name in f.planted if _seen(f, name, powers)},
        detail=f.detail,
        growth={name: {str(k): round(v, 4) for k, v in found.items()} for name, found in growth.items()},
        p_adjusted=None if math.isnan(adjusted) else adjusted,
    )


def _reference(f: Finding, powers: Mapping[str, Mapping[float, float]]) -> str | None:
    """Of the planted defects that are seen, and real samples would exclude, the one that moves the statistic least,
    else the one seen best."""
    seen = [name for name in powers if _seen(f, name, powers)]
    if seen:
        return min(seen, key=lambda name: float(f.planted[name].statistic[1.0].double().mean()))
    return max(powers, key=lambda name: powers[name][1.0], default=None)


def _seen(f: Finding, name: str, powers: Mapping[str, Mapping[float, float]]) -> bool:
    return powers[name][1.0] >= POWER and _excludable(f, f.planted[name].statistic[1.0])


def as_harmless(statistic: float, planted: Float[Tensor, " replicates"]) -> float:
    """How likely the planted defect is to give a statistic as small: by Student's law of a new draw, given replicates.

    >>> import torch
    >>> round(as_harmless(0.0, torch.tensor([-1.0, 0.0, 1.0])), 3)
    0.5
    """
    from scipy.stats import t

    n = len(planted)
    spread = float(planted.double().std()) * math.sqrt(1 + 1 / n)
    gap = statistic - float(planted.double().mean())
    return float(t.cdf(gap / spread, n - 1)) if spread > 0 else float(gap >= 0)


def curve(f: Finding, planted: Mapping[float, Tensor], single: float) -> dict[float, float]:
    """Power against the size of a defect, or against rows: the chance that the statistic exceeds what chance exceeds
    with `single`."""
    assert f.critical is not None
    bar = f.critical(single)
    found = {}
    for factor, statistic in planted.items():
        mean, spread = float(statistic.double().mean()), float(statistic.double().std())
        found[factor] = 0.5 * math.erfc((bar - mean) / (spread * math.sqrt(2))) if spread > 0 else float(mean > bar)
    return found


def _harmless(f: Finding, planted: Planted) -> float:
    """The chance of the planted defect looking so harmless; a share whose interval reaches the reference does not."""
    if f.counted and f.interval[1] >= planted.value:
        return 1.0
    return as_harmless(f.statistic, planted.statistic[1.0])


def _excludable(f: Finding, planted: Tensor) -> bool:
    """Whether real samples would exclude a defect with a chance of 80%."""
    assert f.critical is not None
    return as_harmless(f.critical(1 - POWER), planted) <= EXCLUDED


def _deciding(f: Finding, planted: Mapping[float, Tensor], single: float) -> dict[float, float]:
    """The power against rows, below .8 where real samples would not exclude the defect."""
    found = curve(f, planted, single)
    return {k: power if _excludable(f, planted[k]) else min(power, POWER - 0.01) for k, power in found.items()}


def tail(null: Float[Tensor, " p"]) -> Callable[[float], float]:
    """The critical value of permuted statistics: the smallest that has a permutation p-value of at most the level.

    >>> import torch
    >>> tail(torch.arange(99.0))(0.05)
    94.0
    """
    ordered = null.double().sort(descending=True).values
    return lambda level: float(ordered[max(0, min(len(ordered), int(level * (len(ordered) + 1))) - 1)])


def _by_margin(f: Finding, margin: float, significant: bool) -> Status:
    low, high = f.interval
    bottom = f.floor - margin if f.worse != "higher" else -float("inf")
    top = f.floor + margin if f.worse != "lower" else float("inf")
    if bottom <= low and high <= top:
        return "pass"
    return "fail" if significant and (high < bottom or low > top) else "undecided"
