"""Is what a run says given an observation right? `monge audit RUN --given`."""

import itertools
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monge import models, observations, report, rng
from monge.cli.answers import box
from monge.doors import number
from monge.errors import BadInput
from monge.evaluation import Verdict, calibration
from monge.files import write_atomic
from monge.observations import Linear, Operator
from monge.runs.again import split_again
from monge.runs.folder import Run

PAIRS, DRAWS = 200, 64
KINDS = "mask=SHARE, crop-out=X,Y,W,H, downscale=K or blur=S"


def judge_posterior(
    run: Run,
    given: str,
    *,
    noise: float = 0.0,
    n: int | None = None,
    method: str | None = None,
    nfe: int | None = None,
    seed: int = 0,
    source: str | None = None,
    html: Path,
    json: Path | None = None,
) -> Verdict:
    """Observe held-out rows of a run's data as `given` says, with noise of that standard deviation, let its model draw
    what they were, and judge whether the truth can be told from the draws; write posterior.json and the report.

    given: one of `KINDS`; mask hides a share of the values, which the seed chooses. n: rows, 200 unless given.

    Raises BadInput for another observation, one that is not of such data, and a model that has no denoiser.
    """
    held = split_again(run, source)[1].thinned(seed)
    operator = operator_of(given, held.event_shape, seed)
    model: Any = models.load(run.folder)
    if not hasattr(model, "posterior"):
        raise BadInput(f"a {type(model).__name__} has no denoiser to be told an observation: take a diffusion")
    rows = torch.randperm(len(held), generator=rng.generator(seed, "truths"))[: n or PAIRS]
    truths = held.batch(rows)
    y = operator.forward(truths)
    y = y + noise * rng.normal(tuple(y.shape), seed, "seen", dtype=y.dtype)
    options = {name: value for name, value in (("method", method), ("nfe", nfe)) if value is not None}
    numbers, drawn = itertools.count(seed), []

    def draw(seen: Linear) -> Any:
        found = model.posterior(DRAWS, seen, seed=next(numbers), show=False, **options)
        drawn.append(found.method)
        if found.doubts:
            doubts.append(found.doubts[0])
        return found

    doubts: list[str] = []
    found = calibration(
        draw, [(x, Linear(operator, seen, noise)) for x, seen in zip(truths, y, strict=True)], draws=DRAWS, seed=seed
    )
    methods = sorted(set(drawn))
    warnings = (
        [f"{len(doubts)} of {len(drawn)} posteriors are doubtful, as one of them says: {doubts[0]}"] if doubts else []
    )
    about = {"seed": seed, "n_holdout": len(truths), "warnings": warnings}
    verdict = replace(found.verdict, context=found.verdict.context | about)
    for path in (run.folder / "posterior.json", *([json] if json else [])):
        write_atomic(path, verdict.to_json() + "\n")
    told = ["monge", "audit", str(run.folder), "--given", given, "--noise", repr(noise), "-n", str(len(truths))]
    told += [
        part for name, value in (*options.items(), ("data", source)) if value for part in (f"--{name}", str(value))
    ]
    record = run.record()
    report.write(
        verdict,
        html,
        calibration=found,
        provenance={
            "commands": [shlex.join([*told, "--seed", str(seed)])],
            "run": str(run.folder),
            "observed": f"{given}, noise {noise:g}: {math.prod(y.shape[1:])} values of {truths[0].numel()}",
            "drawn by": ", ".join(methods),
        },
        title=f"{record['family']} on {record['data']['name']}, given {given}",
        force=True,
    )
    return verdict


def operator_of(given: str, event_shape: tuple[int, ...], seed: int) -> Operator:
    """What an option such as mask=0.5 does to events."""
    kind, _, value = given.partition("=")
    if kind == "crop-out":
        hidden = box(value, event_shape[1:])
        return observations.mask((~hidden).expand(event_shape).contiguous())
    try:
        amount = float(value)
    except ValueError:
        amount = math.nan
    if kind == "mask" and not math.isnan(amount):
        return _masked(amount, event_shape, seed)
    if kind == "downscale" and amount.is_integer():
        return observations.downscale(event_shape, int(amount))
    if kind == "blur" and not math.isnan(amount):
        return observations.blur(event_shape, amount)
    raise BadInput(f"--given is {KINDS}, not {given}")


def _masked(share: float, event_shape: tuple[int, ...], seed: int) -> Operator:
    if not 0 < number(share, "mask", "mask=SHARE hides a share of the values, 0 to 1", most=1.0) < 1:
        raise BadInput(f"mask=SHARE hides a share of the values, between 0 and 1, not {share:g}")
    count = math.prod(event_shape)
    hidden = min(count - 1, max(1, round(share * count)))
    order = torch.randperm(count, generator=rng.generator(seed, "mask"))
    return observations.mask((order >= hidden).reshape(event_shape))
