"""`audit`: any generator's samples against held-out real data, and against the training set for copies."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monge.data import Samples
from monge.errors import BadInput
from monge.evaluation.decision import Finding, judge
from monge.evaluation.defects import Margins
from monge.evaluation.descriptors import yours
from monge.evaluation.line import LEVEL
from monge.evaluation.lines import BROAD, LINES, MeanLine, Measured, RegionLine, worst
from monge.evaluation.prepared import Prepared
from monge.evaluation.rows import Array, Rounded, Rows, Source, common_scale, refuse_non_finite, seeded_order, to_array
from monge.evaluation.statistics.resampling import CONFIDENCE
from monge.evaluation.verdict import SECTIONS, Evidence, Sight, Verdict
from monge.evaluation.warnings import warnings_of
from monge.progress import bar

ROWS = 10_000
NEEDED = 100
SHOWN, IN_REGION = 32, 14
SHAPING = 4000  # real rows that are learned from, at most
MOST_LABELS = 100
YOURS = "Squared distance, in standard deviations, of the means of your features."


def audit(
    x: Any,
    holdout: Any,
    train: Any = None,
    *,
    seed: int = 0,
    rows: int = ROWS,
    margins: Margins | None = None,
    features: Callable[[Any], Any] | None = None,
    lines: Sequence[Measured] = LINES,
    likelihood: Sequence[Finding] = (),
    denoiser: Sequence[Finding] = (),
) -> Verdict:
    """Judge whether generated samples have the law of real ones: p_G = p (course, sections 4.4 and 2.8.2).

    x: generated, holdout: real samples that the generator never saw, train: those it learned from, or None.
        `Samples`, arrays or tensors [n, *event] of one event shape, in the data's units; only x and holdout are
        bounded below, by 100 rows. `Samples` and memory-mapped arrays are read a block at a time. Labels of holdout and
        of train, where both or holdout alone have them, are looked for in x; and where holdout is known to hold
        integers (`Samples.quantum`, `limits`), x is rounded to them.
    rows: at most this many rows of x, of holdout, and of train where it stands in for new real samples, chosen by
        `seed`; exact copies are always sought in the whole of train.
    margins: the smallest defects that must not pass, `Margins(mass=0.05, ...)`.
    features: a function or network of yours, events [n, *event] (float32, standardised by one shift and scale for
        images and fields, column by column for vectors) -> numbers [n, ...], compared as other descriptors are.
    lines: what is measured, all of `monge.evaluation.LINES` if not given. likelihood, denoiser: further lines, of a
        model that has them (`likelihood_lines`), judged together with the others.

    Each line compares generated with real samples through a descriptor: values, patterns, spectra, wavelets, level
    sets, regions of the data, labels, neighbours, copies. It holds an interval, the floor that real samples reach at
    the same n, the p-value of a difference, and, for the reference defect planted in real data, the value that it
    would take, the chance that it would have been seen (the power), and the p-value of equivalence: that it would look
    so harmless. Holm's correction runs over all lines, so that real samples in the place of x fail with a chance of at
    most 5%. A defect is excluded when the line that sees it best excludes it; `pass` means that each is, and that no
    line fails.

    All that is learned (axes, filters, cells) is learned from a quarter of the real rows, which are not compared: the
    others and x are exchangeable when they have one law, and permutation tests exact. The numbers depend on the content
    of the rows and on `seed`, not on the order of the rows. Distances are computed in blocks, in float64: time grows as
    rows^2 d and rows len(train) d.

    Nothing here is a privacy guarantee: a copy that is transformed enough is not found.

    Raises `BadInput` for too few rows, different event shapes, NaN or infinity, data that do not vary.

    >>> real = np.random.default_rng(0).standard_normal((400, 2))
    >>> verdict = audit(real[:200] + 3, holdout=real[200:])
    >>> verdict.status, verdict.fidelity[0].name, verdict.fidelity[0].status
    ('fail', 'energy distance', 'fail')
    """
    start = time.perf_counter()
    arrays: dict[str, Source] = {"generated": to_array("generated", x), "holdout": to_array("holdout", holdout)}
    if train is not None:
        arrays["train"] = to_array("train", train)
    _check(arrays, rows)
    quantum, limits = getattr(holdout, "quantum", None), getattr(holdout, "limits", None)
    if quantum is not None and limits is not None:
        arrays["generated"] = Rounded(arrays["generated"], quantum, limits)
    scale = common_scale([array for name, array in arrays.items() if name != "generated"])
    sets = {name: Rows(array, *scale) for name, array in arrays.items()}
    order = {name: seeded_order(array, seed, "audit", name)[:rows] for name, array in arrays.items()}
    drawn = {name: sets[name][order[name]] for name in sets}
    if bool((drawn["holdout"] == drawn["holdout"][0]).all()):
        raise BadInput("holdout does not vary: all its rows are the same; give held-out data of the same law")
    labels, names = _labels(holdout, train, order)
    columns, texts = getattr(holdout, "columns", None) or (), getattr(holdout, "categories", None) or {}
    prepared = _prepared(arrays, drawn, sets, order, labels, names, columns, texts, seed, margins or Margins())
    chosen = [line for line in lines if line.needs(prepared)]
    if features is not None:
        chosen.append(MeanLine("your features", "fidelity", "structure", BROAD, yours(features), YOURS))
    findings = [*_measure(prepared, chosen), *likelihood, *denoiser]
    sections = [line.section for line in chosen] + ["likelihood"] * len(likelihood) + ["denoiser"] * len(denoiser)
    judged = list(zip(sections, judge(findings), strict=True))
    by_section = {name: tuple(line for section, line in judged if section == name) for name in SECTIONS}
    evidence = _evidence(prepared, arrays, order, _sights(prepared, chosen, arrays, order))
    context = {
        "n_generated": len(arrays["generated"]),
        "n_holdout": len(arrays["holdout"]),
        "n_train": len(arrays["train"]) if train is not None else 0,
        "rows_used": {name: len(picked) for name, picked in order.items()},
        "n_compared": prepared.size,
        "event_shape": list(arrays["holdout"].shape[1:]),
        "d": prepared.x.shape[1],
        "scale": "per coordinate" if arrays["holdout"].ndim == 2 else "one for all coordinates",
        "seed": seed,
        "margins": asdict(prepared.margins),
        "confidence": CONFIDENCE,
        "correction": f"Holm over {len(findings)} lines at level {LEVEL}",
        "warnings": warnings_of(prepared, arrays),
        "versions": {name: version(name) for name in ("monge", "torch", "numpy")},
        "seconds": round(time.perf_counter() - start, 3),
    }
    return Verdict(**by_section, context=context, evidence=evidence)


def _prepared(
    arrays: dict[str, Source],
    drawn: dict[str, Tensor],
    sets: dict[str, Rows],
    order: dict[str, Array],
    labels: Tensor | None,
    names: dict[int, str],
    columns: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    seed: int,
    margins: Margins,
) -> Prepared:
    """Real rows, those of training first, are cut in two: a quarter to learn from, the others to count."""
    event = tuple(arrays["holdout"].shape[1:])
    events = {name: drawn[name] for name in drawn}
    units = sets["holdout"].shift, sets["holdout"].scale
    offset = torch.zeros(drawn["holdout"].shape[1])
    if len(event) > 1:  # one shift for all sites, so that a place in the event means nothing
        shift, scale = units
        offset = torch.from_numpy((shift - shift.mean()) / scale).float()
        events = {name: Rows(arrays[name], np.full_like(shift, shift.mean()), scale)[order[name]] for name in drawn}
        units = shift.mean(keepdims=True), scale[:1]
    real = torch.cat([events[name] for name in ("train", "holdout") if name in events])
    apart = min(len(real) // 4, SHAPING)
    shaping, counted = (part.reshape(-1, *event) for part in (real[:apart], real[apart:]))
    return Prepared(
        drawn["generated"],
        drawn["holdout"],
        drawn.get("train"),
        sets.get("train"),
        events["generated"].reshape(-1, *event),
        shaping,
        counted,
        offset,
        None if labels is None else (labels[:apart], labels[apart:]),
        names,
        columns,
        texts,
        units,
        seed,
        margins,
    )


def _labels(holdout: Any, train: Any, order: dict[str, Array]) -> tuple[Tensor | None, dict[int, str]]:
    """Labels of the real rows, those of training first, where all have one and there are at least two; their names."""
    real = [("train", train)] * (train is not None) + [("holdout", holdout)]
    if not all(isinstance(s, Samples) and s.y is not None and s.y.ndim == 1 for _, s in real):
        return None, {}
    labels = torch.cat([s.y[torch.from_numpy(order[name])] for name, s in real])
    if not 2 <= len(torch.unique(labels[: len(labels) // 4])) <= MOST_LABELS:
        return None, {}
    return labels, dict(enumerate(holdout.classes or ()))


def _check(arrays: dict[str, Source], rows: int) -> None:
    event = arrays["holdout"].shape[1:]
    if rows < NEEDED:
        raise BadInput(f"rows={rows} are too few to compare; the audit needs at least {NEEDED}: give more")
    for name, array in arrays.items():
        if array.shape[1:] != event:
            raise BadInput(
                f"{name} has events of shape {array.shape[1:]}, holdout of shape {event}: give one event shape"
            )
        needed = 1 if name == "train" else NEEDED
        if len(array) < needed:
            cure = "draw more samples" if name == "generated" else "hold out a larger share, or give more data"
            raise BadInput(
                f"{name} has {len(array)} rows of {int(np.prod(event))} values; "
                f"the audit needs at least {needed}: {cure}"
            )
        refuse_non_finite(name, array)


def _measure(prepared: Prepared, lines: Sequence[Measured]) -> list[Finding]:
    findings = []
    regions = [line.look(prepared).name for line in lines if isinstance(line, RegionLine)]
    with bar("auditing", len(lines)) as advance:
        for line in lines:
            findings.append(line.measure(prepared))
            prepared.forget(regions)
            advance()
    return findings


def _sights(p: Prepared, lines: Sequence[Measured], arrays: dict[str, Source], order: dict[str, Array]) -> list[Sight]:
    """The worst regions, with some real and some generated samples of each."""
    line = next((line for line in lines if isinstance(line, RegionLine)), None)
    if line is None:
        return []
    features, apart = p.features(line.look(p)), len(p.shaping)
    real = [(name, row) for name in ("train", "holdout") if name in order for row in order[name]][apart:]
    found = []
    for region in worst(features, p):
        mine = features.x[:, region.column].nonzero().flatten().numpy()[:IN_REGION]
        theirs = [real[i] for i in region.rows[:IN_REGION].tolist()]
        found.append(
            Sight(
                region.name,
                region.real,
                region.generated,
                np.stack([arrays[name][row] for name, row in theirs]) if theirs else np.array(arrays["holdout"][:0]),
                np.array(arrays["generated"][order["generated"][mine]]),
            )
        )
    return found


def _evidence(prepared: Prepared, arrays: dict[str, Source], order: dict[str, Array], regions: list[Sight]) -> Evidence:
    x, y = arrays["generated"][order["generated"][:SHOWN]], arrays["holdout"][order["holdout"][:SHOWN]]
    if prepared.train is None:
        return Evidence(np.array(x), np.array(y), regions=tuple(regions))
    train, found = arrays["train"], prepared.to_training
    distance, index = found.distance[:, 0].numpy(), found.indices[:, 0].numpy()
    closest = np.argsort(distance, kind="stable")[:SHOWN]
    return Evidence(
        np.array(x),
        np.array(y),
        np.array(train[index[:SHOWN]]),
        distance[:SHOWN],
        np.array(arrays["generated"][order["generated"][closest]]),
        np.array(train[index[closest]]),
        distance[closest],
        tuple(regions),
    )
