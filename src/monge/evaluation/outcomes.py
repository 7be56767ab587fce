"""What an audit says of each defect: excluded, found, or neither, the smallest that it would have found, and how many
rows would decide."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from monge.evaluation.defects import CONCERNS, DEFECTS, OTHER, Defect
from monge.evaluation.line import POWER, Line, Status

EXCLUDED = 0.025  # chance of the reference defect looking so harmless, at most, for it to be excluded
FOUND = 0.95  # chance with which the smallest defect that is told would be found
CERTAIN = 1e-4  # a power is known to this from 0 and 1


@dataclass(frozen=True)
class Outcome:
    """A concern: `pass` when the first kind of its reference defect, and each that could be seen, was excluded, `fail`
    when it was found, else `undecided`.

    size: its reference size, a share; None for a difference that has none. power: the chance that it would have been
    seen: of its first kind where that is not seen, else of the kind that is seen worst among those that are. smallest:
    the size that would have been found with a chance of 95%; None where it is beyond twice the reference. curve: power
    by size. lines: that found it, or those that speak for it. words: a sentence. kinds: of the defect that were
    excluded. needed: by kind that could not be seen the rows, of both sides alike, that would show it; None where that
    is not known.
    """

    name: str
    status: Status
    size: float | None
    power: float | None
    smallest: float | None
    curve: Mapping[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    words: str = ""
    kinds: tuple[str, ...] = ()
    needed: Mapping[str, int | None] = field(default_factory=dict)


def outcomes(lines: Sequence[Line], context: Mapping[str, Any]) -> tuple[Outcome, ...]:
    """The outcome of each concern that has a reference defect which some line was tested against, then of what else
    lines found. context: of the verdict: its margins, and n_compared, the numbers of rows of both sides.

    A concern is found when a line whose concern it is fails. A kind of its defect is excluded when the line that sees
    it best excludes it, which is known before the generated samples are looked at, and no line of another concern
    failed as this kind would make it fail.

    >>> outcomes([Line("energy", 1.0, (0.9, 1.1), 0.0, 1e-6, None, "fail", "")], {})[0].words
    'the structure of samples is wrong (energy)'
    """
    found = []
    for name, concern in CONCERNS.items():
        failed = [line for line in lines if line.concern == name and line.status == "fail"]
        size = context.get("margins", {}).get(concern.margin)
        seeing = {d: best_line(lines, d) for d in DEFECTS if d.concern == name and _planted(lines, d)} if size else {}
        if failed:
            names = tuple(line.name for line in failed)
            best = min(seeing.items(), key=_power, default=None)
            told = _numbers(best, size)
            found.append(Outcome(name, "fail", size, *told, names, f"{concern.found} ({_because(failed)})"))
        elif seeing and size is not None:
            found.append(_unless_found(name, seeing, size, context, [li for li in lines if li.status == "fail"]))
    for name, words in OTHER.items():
        failed = [line for line in lines if line.concern == name and line.status == "fail"]
        if failed:
            names = tuple(line.name for line in failed)
            found.append(Outcome(name, "fail", None, None, None, {}, names, f"{words} ({_because(failed)})"))
    return tuple(found)


def _planted(lines: Sequence[Line], defect: Defect) -> list[Line]:
    return [line for line in lines if defect.name in line.curves]


def best_line(lines: Sequence[Line], defect: Defect) -> Line:
    """The line that sees a defect best, of those with which real samples would exclude it, if there are any."""
    return max(_planted(lines, defect), key=lambda li: (defect.name in li.excludes, li.curves[defect.name]["1.0"]))


def _power(seen: tuple[Defect, Line]) -> float:
    defect, line = seen
    return line.curves[defect.name]["1.0"]


def _numbers(
    seen: tuple[Defect, Line] | None, size: float | None
) -> tuple[float | None, float | None, dict[str, float]]:
    """Power, smallest size that is found, and power by size, of a kind of defect."""
    if seen is None or size is None:
        return None, None, {}
    defect, line = seen
    curve = {f"{float(k) * size:.4g}": v for k, v in line.curves[defect.name].items()}
    return _power(seen), smallest(curve), curve


def _unless_found(
    name: str, seeing: Mapping[Defect, Line], size: float, context: Mapping[str, Any], failed: Sequence[Line]
) -> Outcome:
    told = f"{size:.3g}" if size < 0.001 else f"{100 * size:.3g}%"
    seen = {d: line for d, line in seeing.items() if d.name in line.excludes}
    open_ = [d for d, li in seen.items() if max(o.excludes.get(d.name, 0.0) for o in (li, *failed)) > EXCLUDED]
    excluded, kinds = CONCERNS[name].excluded, tuple(d.kind for d in seen if d not in open_)
    n, m = context.get("n_compared", (0, 0))
    rows = 2 * n * m / (n + m) if n and m else 0.0
    needed = {d.kind: needs(line, d.name, rows) for d, line in seeing.items() if d not in seen and rows}
    first, line = next(iter(seeing.items()))
    lines = tuple(dict.fromkeys(line.name for line in (seen or seeing).values()))
    if open_:
        numbers = _numbers((open_[0], seen[open_[0]]), size)
        words = f"{excluded.format(told, _or([d.kind for d in open_]))}: neither seen nor excluded"
        return Outcome(name, "undecided", size, *numbers, lines, words, kinds, needed)
    if first not in seen:  # the kind that people mean
        numbers = _numbers((first, line), size)
        power, enough = numbers[0] or 0.0, needed.get(first.kind)
        words = f"{excluded.format(told, first.kind)}: "
        words += (
            f"would have been seen with a chance of {power:.0%} only" if power < POWER else "not excluded by so few"
        )
        words += f" (about {enough:,} rows of each would decide)" if enough else ""
        words += f"; from a {_or(kinds)}: excluded" if kinds and name == "region" else ""
        return Outcome(name, "undecided", size, *numbers, lines, words, kinds, needed)
    unseen = ", ".join(f"{kind} {'?' if k is None else f'{k:,}'}" for kind, k in needed.items())
    less = [line for line in seen.values() if line.significant]
    but = "".join(f", but less of it is there ({line.name} {line.value:.3g})" for line in less[:1])
    words = f"{excluded.format(told, _or(kinds))}: excluded{but}"
    words += f" (others need more rows of each: {unseen})" if unseen else ""
    return Outcome(name, "pass", size, *_numbers(min(seen.items(), key=_power), size), lines, words, kinds, needed)


def needs(line: Line, defect: str, rows: float) -> int | None:
    """How many rows, of both sides alike, would give a power of .8 for a defect, when there are `rows`; None where that
    is beyond what can be told. By the line's power against rows, linear in its normal deviate and the logarithm of the
    rows; or else by that against size: what so many rows show of f times the defect, f^2 times as many show of it.

    >>> curves = {"blur": {"0.5": 0.1, "1.0": 0.5, "2.0": 0.99}}
    >>> needs(Line("a", 0.0, (0.0, 0.0), 0.0, None, None, "pass", "", curves=curves), "blur", 1000)
    1700
    """
    law, by_size = NormalDist(), line.curves[defect]
    seen = defect in line.excludes
    growth = {1.0: by_size["1.0"] if seen else min(POWER - 0.01, by_size["1.0"])} | {
        float(k): power for k, power in line.growth.get(defect, {}).items()
    }
    by_rows = growth if len(growth) > 1 else {float(k) ** 2: power for k, power in by_size.items()}
    points = [(math.log(k), law.inv_cdf(min(1 - CERTAIN, max(CERTAIN, v)))) for k, v in by_rows.items()]
    wanted = law.inv_cdf(POWER)
    if seen:
        return round(rows)
    for (a, low), (b, high) in itertools.pairwise(points):
        if low < wanted <= high:
            times = math.exp(a + (wanted - low) / (high - low) * (b - a))
            return int(float(f"{max(1.0, times) * rows:.2g}"))
    return None


def smallest(curve: Mapping[str, float]) -> float | None:
    """The size at which power by size reaches 95%, between the sizes that were planted.

    >>> smallest({"0.01": 0.0, "0.02": 0.95})
    0.02
    """
    points = sorted((float(size), power) for size, power in curve.items())
    below = (0.0, 0.0)
    for size, power in points:
        if power >= FOUND:
            share = (FOUND - below[1]) / (power - below[1])
            return float(f"{math.exp(math.log(below[0] or size) + share * math.log(size / (below[0] or size))):.2g}")
        below = (size, power)
    return None


def _or(kinds: Sequence[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"


def _because(failed: Sequence[Line]) -> str:
    return "; ".join(f"{line.name}: {line.detail}" if line.detail else line.name for line in failed[:3])
