"""What an audit says of each defect: excluded, found, or neither, and the smallest that it would have found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monge.evaluation.defects import DEFECTS, OTHER
from monge.evaluation.line import POWER, Line, Status

EXCLUDED = 0.025  # chance of the reference defect looking so harmless, at most, for it to be excluded
FOUND = 0.95  # chance with which the smallest defect that is told would be found


@dataclass(frozen=True)
class Outcome:
    """A defect: `pass` when it was excluded, `fail` when found, else `undecided`.

    size: its reference size, a share; None for a difference that has none. power: the chance that it would have been
    seen. smallest: the size that would have been found with a chance of 95%; None where it is beyond twice the
    reference. curve: power by size. lines: that found it, or the one that speaks for it. words: a sentence.
    """

    name: str
    status: Status
    size: float | None
    power: float | None
    smallest: float | None
    curve: Mapping[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    words: str = ""


def outcomes(lines: Sequence[Line], margins: Mapping[str, float]) -> tuple[Outcome, ...]:
    """The outcome of each reference defect that some line was tested against, then of what else lines found.

    A defect is found when a line whose concern it is fails, and excluded when the line that sees it best excludes it.
    The line that sees best is known before the generated samples are looked at.

    >>> outcomes([Line("energy", 1.0, (0.9, 1.1), 0.0, 1e-6, None, "fail", "")], {})[0].words
    'the structure of samples is wrong (energy)'
    """
    found = []
    for defect in DEFECTS:
        failed = [line for line in lines if line.concern == defect.name and line.status == "fail"]
        seeing = [line for line in lines if defect.name in line.curves]
        size = margins.get(defect.margin)
        if not failed and (not seeing or size is None):
            continue
        own = [line for line in seeing if line.concern == defect.name]
        best = max(own or seeing, key=lambda line: line.curves[defect.name]["1.0"], default=None)
        curve = (
            {}
            if best is None or size is None
            else {f"{float(k) * size:.4g}": v for k, v in best.curves[defect.name].items()}
        )
        power = None if best is None else best.curves[defect.name]["1.0"]
        told = "" if size is None else defect.excluded.format(f"{size:.3g}" if size < 0.001 else f"{100 * size:.3g}%")
        if failed:
            status: Status = "fail"
            words = f"{defect.found} ({_because(failed)})"
        elif (
            best is not None
            and power is not None
            and power >= POWER
            and best.excludes.get(defect.name, 1.0) <= EXCLUDED
        ):
            less = f", but less of it is there ({best.name} {best.value:.3g})" if best.significant else ""
            status, words = "pass", f"{told}: excluded{less}"
        else:
            status = "undecided"
            words = (
                f"{told}: neither seen nor excluded"
                if power is not None and power >= POWER
                else (f"{told}: would have been seen with a chance of {power or 0.0:.0%} only")
            )
        names = tuple(line.name for line in failed) or (() if best is None else (best.name,))
        found.append(Outcome(defect.name, status, size, power, smallest(curve), curve, names, words))
    for concern, words in OTHER.items():
        failed = [line for line in lines if line.concern == concern and line.status == "fail"]
        if failed:
            names = tuple(line.name for line in failed)
            found.append(Outcome(concern, "fail", None, None, None, {}, names, f"{words} ({_because(failed)})"))
    return tuple(found)


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


def _because(failed: Sequence[Line]) -> str:
    return "; ".join(f"{line.name}: {line.detail}" if line.detail else line.name for line in failed[:3])
