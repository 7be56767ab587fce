"""`audit`: any generator's samples against held-out real data, and against the training set for copies."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monge.data import Samples
from monge.data.weights import kept
from monge.errors import BadInput
from monge.evaluation.decision import Finding, decisive, judge
from monge.evaluation.defects import Margins
from monge.evaluation.descriptors import yours
from monge.evaluation.line import LEVEL
from monge.evaluation.lines import BROAD, LINES, MeanLine, Measured, RegionLine, worst
from monge.evaluation.looks import Looks
from monge.evaluation.pairs import Pairs
from monge.evaluation.planting import Planting
from monge.evaluation.prepared import Prepared
from monge.evaluation.rows import (
    Array,
    Rounded,
    Rows,
    Source,
    blocks,
    by_name,
    by_weight,
    common_scale,
    refuse_non_finite,
    seeded_order,
    to_array,
)
from monge.evaluation.split import Labels, Naming, Split
from monge.evaluation.statistics.resampling import CONFIDENCE
from monge.evaluation.verdict import SECTIONS, Evidence, Sight, Verdict
from monge.evaluation.warnings import warnings_of, warnings_of_grid, warnings_of_weights
from monge.progress import bar

ROWS = 10_000
NEEDED = 100
SHOWN, IN_REGION = 32, 14
SHARE, SHAPING = 5, 2000  # of the held-out rows one in so many is learned from, at most so many
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
    level: float = LEVEL,
) -> Verdict:
    """Judge whether generated samples have the law of real ones: p_G = p (course, sections 4.4 and 2.8.2).

    x: generated, holdout: real samples that the generator never saw, train: those it learned from, or None.
        `Samples`, arrays or tensors [n, *event] of one event shape, in the data's units; only x and holdout are
        bounded below, by 100 rows. `Samples` and memory-mapped arrays are read a block at a time. Where holdout has
        labels, they are looked for in x, and compared with those of x, if it has any; and where holdout is known to
        hold integers (`Samples.quantum`), x is rounded to them, after what is off the grid was told. Of rows with
        weights so many are compared as are left when each is kept with a chance in proportion.
    rows: at most this many rows of x and of holdout, chosen by `seed`; exact copies are always sought in the whole of
        train.
    margins: the smallest defects that must not pass, `Margins(mass=0.05, ...)`.
    features: a function or network of yours, events [n, *event] (float32, standardised by one shift and scale for
        images and fields, column by column for vectors) -> numbers [n, ...], compared as other descriptors are.
    lines: what is measured, all of `monge.evaluation.LINES` if not given. likelihood: further lines, of a model
        that has them (`likelihood_lines`), judged together with the others. denoiser: lines of its denoiser
        (`Certificate.findings`), judged apart: where it is optimal they are far within their margins, and chance makes
        no fail, so that the others need no correction for them.
    level: chance of any failure, over all lines, where x has the law of the data.

    Each line compares generated with real samples through a descriptor: values, patterns, spectra, wavelets, level
    sets, averages, regions of the data, labels, neighbours, copies. It holds an interval, the floor that real samples
    reach at the same n, the p-value of a difference, and, for the reference defect planted in real data, the value
    that it would take, the chance that it would have been seen (the power), and the p-value of equivalence: that it
    would look so harmless. Holm's correction runs over all lines, so that real samples in the place of x fail with a
    chance of at most `level`. A defect is excluded when the line that sees it best excludes it; `pass` means that each
    is, and that no line fails.

    All that is learned (scale, axes, filters, cells, thresholds) is learned from a fifth of the held-out rows, which
    are not compared, or from both sides alike; the others and x are exchangeable when they have one law, and
    permutation tests exact, with as many permutations as a line's share of the level needs to be decided. Rows of train
    serve to find copies, and to plant defects in: a model was fitted to them, so they are no new samples of the law.
    The numbers depend on the content of the rows and on `seed`, not on the order of the rows. Distances are computed in
    blocks, in float64: time grows as rows^2 d and rows len(train) d.

    Nothing here is a privacy guarantee: a copy that is transformed enough is not found.

    Raises `BadInput` for too few rows, different event shapes, NaN or infinity, data that do not vary.

    >>> real = np.random.default_rng(0).standard_normal((400, 2))
    >>> verdict = audit(real[:200] + 3, holdout=real[200:])
    >>> verdict.status, verdict.fidelity[0].name, verdict.fidelity[0].status
    ('fail', 'energy distance', 'fail')
    """
    start = time.perf_counter()
    if not 0 < level < 1:
        raise BadInput(f"level={level:g}: give a chance between 0 and 1, such as 0.05")
    given = x, holdout
    x, holdout = by_weight(x, seed, NEEDED), by_weight(holdout, seed, NEEDED)
    arrays: dict[str, Source] = {"generated": to_array("generated", x), "holdout": to_array("holdout", holdout)}
    if train is not None:
        arrays["train"] = to_array("train", train)
    _check(arrays, rows)
    columns = _columns("holdout", holdout)
    for name, samples in (("generated", x), ("train", train)):
        if name in arrays:
            arrays[name] = by_name(name, arrays[name], _columns(name, samples), columns)
    warnings = warnings_of_weights(given, (x, holdout)) + warnings_of_grid(arrays["generated"], holdout)
    if getattr(holdout, "quantum", None) is not None and getattr(holdout, "limits", None) is not None:
        arrays["generated"] = Rounded(arrays["generated"], holdout.quantum, holdout.limits[0])
    order = {name: seeded_order(array, seed, "audit", name)[:rows] for name, array in arrays.items()}
    if isinstance(train, Samples) and train.weights is not None:  # copies are sought in all
        whole = seeded_order(arrays["train"], seed, "audit", "train")
        order["train"] = whole[np.isin(whole, kept(train.weights, seed).numpy())][:rows]
    split = _split(arrays, order, _labels(x, holdout, order), holdout, seed)
    looks = Looks(split)
    chosen = [*lines]
    if features is not None:
        chosen.append(MeanLine("your features", "fidelity", "structure", BROAD, yours(features), YOURS))
    prepared = Prepared(split, looks, Planting(looks, margins or Margins()), Pairs(split))
    chosen = [line for line in chosen if line.needs(prepared)]
    needed = decisive([line.concern for line in chosen] + [f.concern for f in likelihood], level)
    prepared = replace(prepared, permutations=needed)
    if not chosen and not likelihood and not denoiser:
        raise BadInput("none of the lines is for these samples: give others, or a training set where copies are sought")
    warnings += warnings_of(prepared, arrays)
    findings = [*_measure(prepared, chosen), *likelihood]
    sections = [line.section for line in chosen] + ["likelihood"] * len(likelihood) + ["denoiser"] * len(denoiser)
    lines_found = [*(judge(findings, level) if findings else []), *(judge(denoiser, level) if denoiser else [])]
    judged = list(zip(sections, lines_found, strict=True))
    by_section = {name: tuple(line for section, line in judged if section == name) for name in SECTIONS}
    evidence = _evidence(prepared, arrays, order, _sights(prepared, chosen, arrays, order))
    context = {
        "n_generated": len(arrays["generated"]),
        "n_holdout": len(arrays["holdout"]),
        "n_train": len(arrays["train"]) if train is not None else 0,
        "rows_used": {name: len(picked) for name, picked in order.items()},
        "n_compared": list(split.sizes),
        "n_shaping": len(split.shaping),
        "event_shape": list(split.event),
        "d": split.counted[0].numel(),
        "scale": "per coordinate" if len(split.event) == 1 else "one for all coordinates",
        "seed": seed,
        "level": level,
        "permutations": needed,
        "margins": asdict(prepared.planting.margins),
        "confidence": CONFIDENCE,
        "correction": f"Holm over {len(findings)} lines at level {level:g}",
        "warnings": warnings,
        "versions": {name: version(name) for name in ("monge", "torch", "numpy")},
        "seconds": round(time.perf_counter() - start, 3),
    }
    return Verdict(**by_section, context=context, evidence=evidence)


def _split(arrays: dict[str, Source], order: dict[str, Array], labels: Labels | None, holdout: Any, seed: int) -> Split:
    """A fifth of the held-out rows, to learn from; the others, to compare."""
    real = arrays["holdout"]
    apart = shaping_of(len(order["holdout"]))
    shaping, counted = order["holdout"][:apart], order["holdout"][apart:]
    if all(bool((rows == real[:1]).all()) for _, rows in blocks(real)):
        raise BadInput("holdout does not vary: all its rows are the same; give held-out data of the same law")
    try:
        shift, scale = common_scale([np.asarray(real[np.sort(shaping)])])
    except BadInput:  # of a column that hardly varies: both sides alike
        shift, scale = common_scale(
            [np.asarray(arrays[name][np.sort(order[name])]) for name in ("generated", "holdout")]
        )
    if real.ndim > 2:  # one shift for all sites, so that a place in the event means nothing
        shift = np.full_like(shift, shift.mean())
    sets = {name: Rows(array, shift, scale) for name, array in arrays.items()}

    def events(name: str, rows: Array) -> Tensor:
        return sets[name][rows].reshape(-1, *real.shape[1:])

    units = (shift, scale) if real.ndim == 2 else (shift[:1], scale[:1])
    return Split(
        events("generated", order["generated"]),
        events("holdout", shaping),
        events("holdout", counted),
        sets.get("train"),
        events("train", order["train"]) if "train" in order else None,
        labels,
        Naming(_columns("holdout", holdout), *units, getattr(getattr(holdout, "code", None), "meanings", {})),
        seed,
    )


def _columns(name: str, x: Any) -> tuple[str, ...]:
    """Names of the columns of `Samples` or of a table, where they have any."""
    columns = getattr(x, "columns", None)
    return () if columns is None else tuple(map(str, columns))


def shaping_of(n: int) -> int:
    """How many of n held-out rows are learned from.

    >>> shaping_of(2000)
    400
    """
    return min(n // SHARE, SHAPING)


def _labels(x: Any, holdout: Any, order: dict[str, Array]) -> Labels | None:
    """Labels of the held-out rows, where there are at least two kinds, and of generated ones, by the same names."""
    if not isinstance(holdout, Samples) or holdout.y is None or holdout.y.ndim != 1:
        return None
    mine = holdout.y[torch.from_numpy(order["holdout"])].long()
    apart = shaping_of(len(mine))
    if not 2 <= len(torch.unique(mine[:apart])) <= MOST_LABELS:
        return None
    given = None
    if (
        isinstance(x, Samples)
        and x.y is not None
        and x.y.ndim == 1
        and (x.classes is None) == (holdout.classes is None)
    ):
        given = x.y[torch.from_numpy(order["generated"])].long()
        if x.classes is not None:
            known = {name: code for code, name in enumerate(holdout.classes or ())}
            codes = [known.get(name, len(known) + code) for code, name in enumerate(x.classes)]
            given = torch.tensor(codes)[given]
    return Labels(mine[:apart], mine[apart:], given, dict(enumerate(holdout.classes or ())))


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
    regions = {line.look(prepared).name for line in lines if isinstance(line, RegionLine)}
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
    features = p.looks.of(line.look(p))
    real, mine = order["holdout"][len(p.split.shaping) :], order["generated"]
    return [
        Sight(
            region.name,
            region.real,
            region.generated,
            np.array(arrays["holdout"][real[region.rows[:IN_REGION].numpy()]]),
            np.array(arrays["generated"][mine[features.x[:, region.column].nonzero().flatten().numpy()[:IN_REGION]]]),
        )
        for region in worst(features, p)
    ]


def _evidence(prepared: Prepared, arrays: dict[str, Source], order: dict[str, Array], regions: list[Sight]) -> Evidence:
    x, y = arrays["generated"][order["generated"][:SHOWN]], arrays["holdout"][order["holdout"][:SHOWN]]
    if prepared.split.train is None:
        return Evidence(np.array(x), np.array(y), regions=tuple(regions))
    train, found = arrays["train"], prepared.pairs.to_training
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
