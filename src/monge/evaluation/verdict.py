"""The verdict: lines that each hold a number, its error bar, its floor and what they decide."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.errors import BadInput
from monge.evaluation.line import Line, Status
from monge.evaluation.outcomes import Outcome, needs, outcomes

SECTIONS = ("fidelity", "diversity", "memorisation", "likelihood", "denoiser", "posterior")
SINCE = ("posterior",)  # sections that verdicts of before do not have
WIDTH = 110
IN_WORDS = {
    "pass": "PASS: the reference defects that are named above are excluded, and nothing else was seen.",
    "fail": "FAIL: at least one difference from real data is there, beyond chance.",
    "undecided": "UNDECIDED: no difference is there beyond chance, but not every reference defect can be excluded.",
}


@dataclass(frozen=True)
class Evidence:
    """Samples to look at, in the data's own units and shape. Distances are between standardised rows.

    generated: [k, *event] generated samples drawn by the seed. real: [k, *event] held-out samples.
    nearest, distance: the training sample nearest to each `generated`, [k, *event], and how near, [k].
    closest_generated, closest_training, closest_distance: the pairs with the smallest distance of all, nearest first.
    The last five are None when no training set was given. regions: those whose shares differ most.
    """

    generated: NDArray[Any]
    real: NDArray[Any]
    nearest: NDArray[Any] | None = None
    distance: NDArray[Any] | None = None
    closest_generated: NDArray[Any] | None = None
    closest_training: NDArray[Any] | None = None
    closest_distance: NDArray[Any] | None = None
    regions: tuple["Sight", ...] = ()


@dataclass(frozen=True)
class Sight:
    """A region of the data to look at: its shares of real and of generated samples, and some of each in it."""

    name: str
    real_share: float
    generated_share: float
    real: NDArray[Any]
    generated: NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    """What an audit found. `print` it for a table; `to_dict` and `to_json` keep everything but the evidence.

    context: numbers of samples, dimension, seed, versions, seconds, correction, warnings.

    >>> line = Line("energy distance", 0.02, (0.01, 0.03), 0.02, 0.4, 0.1, "pass", "Overall distance.")
    >>> verdict = Verdict(fidelity=(line,))
    >>> verdict.status, Verdict.from_dict(verdict.to_dict()) == verdict
    ('pass', True)
    """

    fidelity: tuple[Line, ...] = ()
    diversity: tuple[Line, ...] = ()
    memorisation: tuple[Line, ...] = ()
    likelihood: tuple[Line, ...] = ()
    denoiser: tuple[Line, ...] = ()
    posterior: tuple[Line, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = field(default=None, compare=False, repr=False)

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, section after section."""
        return tuple(line for section in SECTIONS for line in getattr(self, section))

    @property
    def status(self) -> Status:
        """`fail` if any line fails; `pass` if each reference defect is excluded and each line with a margin of its own
        passes; else `undecided`."""
        if any(line.status == "fail" for line in self.lines):
            return "fail"
        own = [line.status for line in self.lines if line.reference is None and line.margin is not None]
        found = {*own, *(outcome.status for outcome in self.defects)}
        return "pass" if found == {"pass"} else "undecided"

    @property
    def defects(self) -> tuple[Outcome, ...]:
        """Of each reference defect whether it was excluded, found or neither; and what else was found."""
        return outcomes(self.lines, self.context)

    def needed(self, line: Line) -> int | None:
        """How many rows, of both sides alike, a line needs to see its reference defect; None where that is unknown."""
        n, m = self.context.get("n_compared", (0, 0))
        if line.reference is None or not n or not m:
            return None
        return needs(line, line.reference, 2 * n * m / (n + m))

    def to_dict(self) -> dict[str, Any]:
        """Status, the lists of lines and the context, in types that JSON knows."""
        sections = {name: [_plain(asdict(line)) for line in getattr(self, name)] for name in SECTIONS}
        told = [_plain(asdict(outcome)) for outcome in self.defects]
        return {"status": self.status, "defects": told, **sections, "context": _plain(self.context)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Verdict":
        """Inverse of `to_dict`, without the evidence; raises `BadInput` when keys are missing."""
        missing = [name for name in SECTIONS if name not in values and name not in SINCE]
        if missing:
            raise BadInput(f"not a verdict: no {', '.join(missing)}; give what Verdict.to_dict returned")
        sections: dict[str, Any] = {name: tuple(map(Line.from_dict, values.get(name, ()))) for name in SECTIONS}
        return cls(**sections, context=dict(values.get("context", {})))

    def to_json(self) -> str:
        """`to_dict` as indented JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        text = []
        for outcome in self.defects:
            told = f"{outcome.status.upper():10}{outcome.words}"
            text += textwrap.wrap(told, WIDTH, subsequent_indent=10 * " ")
        rows: list[tuple[str, ...]] = [("", "value", "95% interval", "real data", "margin", "p", "power", "status")]
        for section in SECTIONS:
            lines: Sequence[Line] = [line for line in getattr(self, section) if not line.blind]
            rows += [(section.upper(), *7 * [""])] if lines else []
            rows += [_row(line) for line in lines]
        unused = [line for line in self.lines if line.blind]
        rows += [("NOT USED: too few rows to see a reference defect", *7 * [""])] if unused else []
        for line in unused:
            rows_needed = self.needed(line)
            rows.append((*_row(line)[:-1], "-" if rows_needed is None else f"needs {rows_needed:,}"))
        widths = [max(len(row[i]) for row in rows if any(row[1:])) for i in range(len(rows[0]))]
        text += [""] if text else []
        for name, *numbers, status in rows:
            cells = [name.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:-1], strict=True))]
            text.append("  ".join([*cells, status]).rstrip())
        remarks = [f"{line.name} ({line.status}): {line.note}" for line in self.lines if line.status == "fail"]
        remarks += [f"Warning: {warning}" for warning in self.context.get("warnings", [])]
        for remark in remarks:
            text += ["", *textwrap.wrap(remark, WIDTH)]
        return "\n".join([*text, "", IN_WORDS[self.status]])


def _row(line: Line) -> tuple[str, ...]:
    low, high = line.interval
    return (
        f"  {line.name[:36]}",
        _number(line.value),
        f"[{_number(low)}, {_number(high)}]",
        _number(line.floor),
        "-" if line.margin is None else _number(line.margin),
        "-" if line.p_value is None else f"{line.p_value:.2g}",
        "-" if line.power is None else f"{line.power:.0%}",
        "-" if line.blind else line.status,
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if 0 < abs(value) < 0.01 or abs(value) >= 1000 else f"{value:.3f}"


def _plain(value: Any) -> Any:
    """Python numbers, strings, lists and dicts only; a number that is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
