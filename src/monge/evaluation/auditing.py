"""`audit`: any generator's samples against held-out real data, and against the training set for copies."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from monge.errors import BadInput
from monge.evaluation.decision import LEVEL, Finding, judge
from monge.evaluation.lines import DIVERSITY, FIDELITY, MEMORISATION, Margins, Measure, Prepared
from monge.evaluation.rows import Array, Rows, Source, common_scale, refuse_non_finite, seeded_order, to_array
from monge.evaluation.statistics.resampling import CONFIDENCE
from monge.evaluation.verdict import Evidence, Verdict
from monge.progress import bar

ROWS = 10_000
NEEDED = 100
SHOWN = 32
SAME = 1e-6  # standardised distance below which two rows are the same row


def audit(
    x: Any,
    holdout: Any,
    train: Any = None,
    *,
    seed: int = 0,
    rows: int = ROWS,
    margins: Margins | None = None,
    likelihood: Sequence[Finding] = (),
    denoiser: Sequence[Finding] = (),
) -> Verdict:
    """Judge whether generated samples have the law of real ones: p_G = p (course, sections 4.4 and 2.8.2).

    x: generated, holdout: real samples that the generator never saw, train: those it learned from, or None.
        `Samples`, arrays or tensors [n, *event] of one event shape, in the data's units; only x and holdout are
        bounded below, by 100 rows. `Samples` and memory-mapped arrays are read a block at a time.
    rows: at most this many rows of x, of holdout, and of train where it stands in for new real samples, chosen by
        `seed`; copies are always sought in the whole of train.
    margins: the differences that are still harmless. likelihood, denoiser: further lines, of a model that
        has them (`likelihood_lines`), judged together with the others.

    Everything is flattened to [n, d] and set on one scale taken from holdout and train together: vectors coordinate by
    coordinate, images and fields by one number (`common_scale`). Fidelity: energy distance, sliced Wasserstein-2,
    precision, a linear classifier. Diversity: coverage, spread, repeats. Memorisation, given train: distances to the
    nearest training sample against those of held-out samples. Each line holds an interval, the floor that real
    samples reach at the same n, and a p-value; Holm's correction runs over all lines, so that real samples in
    the place of x fail with a chance of at most 5%. The numbers depend on the content of the rows and on
    `seed`, not on the order of the rows. Distances are computed in blocks, in float64: time grows as rows^2 d and
    rows len(train) d.

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
    scale = common_scale([array for name, array in arrays.items() if name != "generated"])
    sets = {name: Rows(array, *scale) for name, array in arrays.items()}
    order = {name: seeded_order(array, seed, "audit", name)[:rows] for name, array in arrays.items()}
    drawn = {name: sets[name][order[name]] for name in sets}
    if bool((drawn["holdout"] == drawn["holdout"][0]).all()):
        raise BadInput("holdout does not vary: all its rows are the same; give held-out data of the same law")
    prepared = Prepared(
        drawn["generated"], drawn["holdout"], drawn.get("train"), sets.get("train"), seed, margins or Margins()
    )

    sections = (FIDELITY, DIVERSITY, MEMORISATION if train is not None else ())
    findings = _measure(prepared, [measure for section in sections for measure in section])
    findings += [*likelihood, *denoiser]
    lines = iter(judge(findings))
    whole = (*sections, likelihood, denoiser)
    fidelity, diversity, memorisation, likely, denoised = (tuple(next(lines) for _ in section) for section in whole)
    evidence = _evidence(prepared, arrays, order)
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
        "confidence": CONFIDENCE,
        "correction": f"Holm over {len(findings)} lines at level {LEVEL}",
        "warnings": _warnings(prepared),
        "versions": {name: version(name) for name in ("monge", "torch", "numpy")},
        "seconds": round(time.perf_counter() - start, 3),
    }
    return Verdict(fidelity, diversity, memorisation, likely, denoised, context, evidence)


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


def _measure(prepared: Prepared, measures: Sequence[Measure]) -> list[Finding]:
    findings = []
    with bar("auditing", len(measures)) as advance:
        for measure in measures:
            findings.append(measure(prepared))
            advance()
    return findings


def _warnings(prepared: Prepared) -> list[str]:
    if prepared.train is None:
        return ["no training set was given, so copying could not be looked for"]
    shared = int((prepared.held_out_to_training.distance <= SAME).sum())
    if not shared:
        return []
    return [
        f"{shared} of {len(prepared.y)} held-out rows are in the training set too, which hides copying and makes the "
        "floors too good: split the data again"
    ]


def _evidence(prepared: Prepared, arrays: dict[str, Source], order: dict[str, Array]) -> Evidence:
    x, y = arrays["generated"][order["generated"][:SHOWN]], arrays["holdout"][order["holdout"][:SHOWN]]
    if prepared.train is None:
        return Evidence(np.array(x), np.array(y))
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
    )
