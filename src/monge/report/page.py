"""The report: one HTML file that holds everything, and asks nothing of a network."""

import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from monge.evaluation import Calibration, Line, Verdict
from monge.files import refuse_overwrite, write_atomic
from monge.report.denoising import Denoising
from monge.report.looks import Look
from monge.report.panels import Material, calibrated, panels
from monge.report.words import SYMBOLS, counts, reason

SECTIONS = {
    "fidelity": "Do generated samples look like real ones?",
    "diversity": "Is everything that real data show there, and as often?",
    "memorisation": "Are training samples copied?",
    "likelihood": "Are held-out data as likely as they should be?",
    "denoiser": "Is the denoiser the one it should be?",
    "posterior": "Are draws given an observation those that could have been the truth?",
}


class Gauge(NamedTuple):
    """Where to draw a line's numbers, in percent of the width; None where there is nothing to draw."""

    value: float
    low: float
    high: float
    floor: float
    band: tuple[float, float] | None

    @classmethod
    def of(cls, line: Line) -> "Gauge | None":
        """The drawing of a line: its interval and value against the floor and the margin on both sides of it.

        A line that passes beyond the margin does so on the good side, which is harmless all the way.
        """
        marks = [line.value, *line.interval, line.floor]
        if line.margin is not None:
            marks += [line.floor - line.margin, line.floor + line.margin]
        if line.margin is not None and line.status == "pass":
            marks[4:] = min(marks), max(marks)
        if not all(mark is not None and math.isfinite(mark) for mark in marks):
            return None
        start, end = min(marks), max(marks)
        width = 1.16 * (end - start) or 1.0
        value, low, high, floor, *band = [100.0 * (mark - start) / width + 7.0 for mark in marks]
        return cls(value, low, high, floor, (band[0], band[1]) if band else None)


def write(
    verdict: Verdict,
    path: str | os.PathLike[str],
    *,
    samples: Any = None,
    holdout: Any = None,
    train: Any = None,
    denoising: Denoising | None = None,
    by_label: Mapping[str, Any] | None = None,
    trace: Any = None,
    log: Any = None,
    calibration: Calibration | None = None,
    provenance: Mapping[str, Any] | None = None,
    title: str | None = None,
    force: bool = False,
) -> Path:
    """Write the report of a verdict: one HTML file, to be opened in any browser, on a telephone too.

    The verdict alone gives its words, its table and the samples in its evidence. A picture whose data are missing is
    left out.

    samples, holdout, train: generated and real samples, `Samples`, arrays or tensors [n, *event], for pictures that
        need more of them than the evidence holds; train stands in where holdout is not given.
    by_label: samples of each label, [n, *event] by name.
    denoising: what `monge.report.denoising` returned. trace: what `model.sample(..., trace=True)` returned.
    log: path of a run's log.csv, or its rows. calibration: of posteriors, by `monge.evaluation.calibration`.
    title: the heading; "monge report" by default.
    provenance: how to make it all again, name to value; "commands" is a list of command lines.
    force: replace the file that stands at `path`.

    Raises BadInput if `path` exists and `force` is not set.

    >>> import tempfile, numpy as np
    >>> from monge.evaluation import Verdict
    >>> write(Verdict(), tempfile.mkdtemp() + "/report.html").name
    'report.html'
    """
    refuse_overwrite(path, force=force)
    evidence = verdict.evidence
    generated = samples if samples is not None else evidence and evidence.generated
    real = next((x for x in (holdout, train, evidence and evidence.real) if x is not None), None)
    shown = []
    if generated is not None and real is not None:
        look = Look.of(real)
        shown = panels(Material(look, generated, real, evidence, denoising, by_label, trace, log, verdict.defects))
    if calibration is not None:
        shown.append(calibrated(calibration))
    page = _template().render(
        title=title or "monge report",
        verdict=verdict,
        symbol=SYMBOLS[verdict.status],
        symbols=SYMBOLS,
        reason=reason(verdict),
        counts=counts(verdict),
        defects=verdict.defects,
        warnings=verdict.context.get("warnings", []),
        sections=_sections(verdict),
        need=lambda line: "too few rows" if (rows := verdict.needed(line)) is None else f"needs {rows:,} rows",
        panels=shown,
        commands=(provenance or {}).get("commands", []),
        facts=_facts(verdict, provenance or {}),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return write_atomic(path, page)


def _sections(verdict: Verdict) -> list[tuple[str, str, list[Line]]]:
    """Name, question and lines of each section that has any; last those that are not used."""
    found = [(name, SECTIONS[name], [line for line in getattr(verdict, name) if not line.blind]) for name in SECTIONS]
    found.append(("not used", "these could not have seen a reference defect", [li for li in verdict.lines if li.blind]))
    return [section for section in found if section[2]]


def _facts(verdict: Verdict, provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of everything needed to do it again."""
    about = {name: value for name, value in provenance.items() if name != "commands"}
    told = ("seed", "confidence", "correction", "scale", "rows_used", "versions", "seconds")
    audit = {f"audit {name}".replace("_", " "): verdict.context[name] for name in told if name in verdict.context}
    return [(name, _text(value)) for name, value in (about | audit).items() if value is not None]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return (
        f"{value:.2g}"
        if 0 < abs(value) < 0.01 or abs(value) >= 1e5
        else f"{value:.4g}"
        if abs(value) >= 10
        else f"{value:.3f}"
    )


def _p_value(value: float | None) -> str:
    return "–" if value is None else "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "p_value": _p_value, "markup": Markup}
    environment.globals["gauge"] = Gauge.of
    return environment.from_string(resources("monge.report").joinpath("template.html").read_text(encoding="utf-8"))
