"""Which pictures a report has: those whose data are there."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from monge.data import Columns, Samples
from monge.data.codes import Number
from monge.evaluation import Calibration, Evidence, Outcome
from monge.report import figures, losses, tables
from monge.report.calibration import calibration
from monge.report.denoising import Denoising
from monge.report.looks import Look, rows
from monge.report.power import power

GRID, PAIRS, STRIPS, WALKS, REGIONS = 28, 7, 2, 2, 2  # pictures shown; a block of neighbours has PAIRS of them
SMALLEST_SPECTRUM = 16  # sites on the shortest side


class Panel(NamedTuple):
    """One part of the page: a heading, what to look for, and drawings, each an SVG element with its description."""

    title: str
    caption: str
    drawings: list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Material:
    """What there is to show: samples [n, *event] and what was kept of their audit, of the model and of its training."""

    look: Look
    generated: Any
    real: Any
    evidence: Evidence | None = None
    denoising: Denoising | None = None
    by_label: Mapping[str, Any] | None = None
    trace: Any = None
    log: Any = None
    defects: Sequence[Outcome] = ()

    @property
    def event(self) -> tuple[int, ...]:
        return tuple(rows(self.real, 1).shape[1:])

    @property
    def code(self) -> Columns | None:
        """How the columns of a table are told, where real samples are of one."""
        return self.real.code if isinstance(self.real, Samples) else None

    @property
    def is_vectors(self) -> bool:
        return len(self.event) == 1


def panels(material: Material) -> list[Panel]:
    """Every panel that the data at hand allow, in the order of the page."""
    found = [
        part(material)
        for part in (_regions, _beside, _labels, _copying, _denoising, _walk, _training, _spectrum, _power)
    ]
    return [panel for panel in found if panel is not None]


def _regions(m: Material) -> Panel | None:
    """Real samples of the region that is most wrong, when regions are."""
    found = any(d.name == "region" and d.status == "fail" for d in m.defects)
    if m.evidence is None or not m.evidence.regions or not found or (m.is_vectors and m.event != (2,)):
        return None
    if m.is_vectors:
        clouds = {f"real, {s.name}": s.real for s in m.evidence.regions if len(s.real)}
        return _panel("The worst regions", "Real samples of each.", ("regions", figures.by_label(clouds, look=m.look)))
    caption = (
        "Where shares differ most: real samples of a region above, generated ones of it below (few, where it is "
        "missing)."
    )
    grids = []
    for sight in m.evidence.regions[:REGIONS]:
        for whose, x, share in (
            ("real", sight.real, sight.real_share),
            ("yours", sight.generated, sight.generated_share),
        ):
            if len(x):
                x = np.concatenate(
                    [x, np.full((max(0, PAIRS - len(x)), *m.event), m.look.low)]
                )  # few do not grow large
                title = f"{sight.name}: {share:.1%} of {whose}"
                grid = figures.image_grid(rows(x, len(x)), columns=PAIRS, look=m.look, title=title)
                grids.append((f"{whose} of {sight.name}", grid))
    return _panel("The worst regions", caption, *grids)


def _power(m: Material) -> Panel | None:
    if not any(d.curve for d in m.defects):
        return None
    caption = "The chance that a defect would have been found with as many samples, by its size; dots: reference sizes."
    return _panel("What would have been seen", caption, ("power of the audit", power(m.defects)))


def _beside(m: Material) -> Panel:
    if m.code is not None:
        d, most = len(m.code.codes) + len(m.code.derived), tables.COLUMNS
        drawn = [("columns", tables.columns(m.code, m.real, m.generated))]
        caption = "The law of each column" + (f" (the first {most} of {d})" if d > most else "")
        plain = {code.name for code in m.code.codes if isinstance(code, Number)}
        numbers = [i for i, name in enumerate(m.code.names) if name in plain]
        if len(numbers) > 1:
            caption += ", and pairs of numbers"
            drawn.append(("pairs of columns", figures.scatter(m.real, m.generated, numbers, m.code.names)))
        return _panel("Generated beside real", f"{caption}: shapes, shares and gaps should agree.", *drawn)
    if m.is_vectors:
        d, most = m.event[0], figures.COORDINATES
        what = "Both clouds on the same axes" if d == 2 else "Each coordinate, and each pair of them"
        what += f" (the first {most} of {d})" if d > most else ""
        caption = f"{what}: shape, spread and gaps should agree."
        return _panel("Generated beside real", caption, ("scatter", figures.scatter(m.real, m.generated)))
    sets = {"real": m.real, "generated": m.generated}
    if m.evidence is not None:
        sets = {"real, held out": m.evidence.real, "generated": m.evidence.generated}
    caption = f"Drawn at random, none picked by hand; one scale for both{_key(m)}."
    grids = [(name, figures.image_grid(rows(x, GRID), look=m.look, title=name)) for name, x in sets.items()]
    return _panel("Generated beside real", caption, *grids)


def _labels(m: Material) -> Panel | None:
    if not m.by_label or m.event == (1,) or m.code is not None:
        return None
    caption = "Drawn for one label at a time, none picked by hand: each row should show its own, in all its variety."
    if m.is_vectors:
        caption = "Drawn for one label at a time: each cloud should lie where that label's real samples do."
    return _panel("Samples by label", caption, ("samples by label", figures.by_label(m.by_label, look=m.look)))


def _key(m: Material) -> str:
    coloured = m.look.kind == "fields" and m.look.is_picture(m.event)
    return f", from {m.look.low:.3g} (blue) to {m.look.high:.3g} (red)" if coloured else ""


def _copying(m: Material) -> Panel | None:
    e = m.evidence
    if e is None or e.nearest is None or e.distance is None or m.event == (1,):
        return None
    caption = (
        "Each generated sample with the training sample nearest to it, and their distance in standardised units. "
        "Kin is fine; twins are copies."
    )
    if m.code is not None:
        pairs = [(e.generated, e.nearest, e.distance)]
        if e.closest_generated is not None and e.closest_training is not None and e.closest_distance is not None:
            pairs.append((e.closest_generated, e.closest_training, e.closest_distance))
            caption += " The last block holds the closest pairs of all."
        shown = [("rows and neighbours", tables.twins(m.code, *(x[:PAIRS] for x in pair))) for pair in pairs]
        return Panel("Is it copying?", f"{caption} Cells that are the same are in bold.", shown)
    if m.event == (2,):
        drawn = figures.neighbours(e.generated, e.nearest, e.distance)
        return _panel("Is it copying?", caption, ("generated samples linked to training samples", drawn))
    blocks = [slice(start, start + PAIRS) for start in range(0, min(GRID, len(e.generated)), PAIRS)]
    drawings = [
        (
            "generated samples and their neighbours",
            figures.neighbours(e.generated[b], e.nearest[b], e.distance[b], look=m.look),
        )
        for b in blocks
    ]
    if e.closest_generated is not None and e.closest_training is not None and e.closest_distance is not None:
        closest = (e.closest_generated[:PAIRS], e.closest_training[:PAIRS], e.closest_distance[:PAIRS])
        drawings.append(("the closest pairs of all", figures.neighbours(*closest, look=m.look)))
        caption += " The last block holds the closest pairs of all."
    return _panel("Is it copying?", caption, *drawings)


SIGMA = "in data units; where these are learned bent, in standard deviations after the bend"


def _denoising(m: Material) -> Panel | None:
    if m.denoising is None or m.is_vectors:
        return None
    clean, sigma, noisy, denoised = (rows(part, len(part)) for part in m.denoising)
    caption = (
        f"Real samples, noise of growing strength added to them (σ {SIGMA}), and what the model makes of it: as "
        "the noise grows, the answer turns from the sample itself into an average of many."
    )
    strips = [
        ("denoising strip", figures.denoising_strip(clean[i], sigma, noisy[:, i], denoised[:, i], look=m.look))
        for i in range(min(STRIPS, len(clean)))
    ]
    return _panel("Denoising", caption, *strips)


def _walk(m: Material) -> Panel | None:
    if m.trace is None or m.event == (1,):
        return None
    few = slice(None) if m.is_vectors else slice(WALKS)
    caption = f"The sampler at work: the noisy state, and the denoiser's guess from it (σ {SIGMA})."
    drawn = figures.path(m.trace.sigma, m.trace.y[:, few], m.trace.x_hat[:, few], look=m.look)
    return _panel("From noise to samples", caption, ("path of generation", drawn))


def _training(m: Material) -> Panel | None:
    log = losses.read_log(m.log) if isinstance(m.log, str | Path) else m.log
    if not log:
        return None
    caption = "The loss of each logged step, and its mean over stretches of the run."
    if any(name.endswith("/lr") for name in log[0]):
        caption += (
            " In a game no loss says how far it is. An accuracy near 1/2 and a distance that falls mean that the two "
            "laws come together; an accuracy of 1 that the discriminator has won; coverage is the share of held-out "
            "data in cells that generated samples visit, and what it lacks was lost."
        )
    return _panel("Training", caption, ("loss curve", losses.loss(log)))


def _spectrum(m: Material) -> Panel | None:
    if m.is_vectors or min(m.event[1:]) < SMALLEST_SPECTRUM:
        return None
    caption = "The variance at each scale, coarse on the left and fine on the right; shaded, 80% of real samples."
    return _panel("Power spectrum", caption, ("power spectrum", figures.spectrum(m.real, m.generated)))


def calibrated(found: Calibration) -> Panel:
    """Ranks and coverage of the truths among draws of their posteriors."""
    caption = (
        "Left, the ranks of truths among their draws: even where these are right, high at both ends where they are too "
        "narrow. Right, how many truths lie in a region that should hold a given share of them: on the diagonal where "
        "they are right. Bands hold what chance does, 19 times of 20."
    )
    return _panel("Truths among their posterior draws", caption, ("ranks and coverage", calibration(found)))


def _panel(title: str, caption: str, *drawings: tuple[str, Figure]) -> Panel:
    return Panel(title, caption, [(label, svg(figure)) for label, figure in drawings])


def svg(figure: Figure) -> str:
    """A figure as an inline SVG element that takes the page's font, and its text colour in place of black."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "monge"}):
        figure.savefig(text, format="svg", transparent=True, dpi=180, metadata={"Date": None, "Creator": None})
    found = text.getvalue()
    found = re.sub(r"<metadata>.*?</metadata>", "", found[found.index("<svg") :], flags=re.DOTALL)
    wide = 1.3 * figure.get_size_inches()[0]
    head = rf'<svg viewBox="\1" style="max-width:{wide:.1f}in" aria-hidden="true" xmlns:xlink="http://www.w3.org/1999/xlink">'
    found = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', head, found, count=1)
    return found.replace("#000000", "currentColor")
