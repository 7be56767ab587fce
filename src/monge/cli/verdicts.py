"""From samples to a verdict and its report: what `demo` and `audit` share."""

import inspect
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch

from monge import data, models, report, rng
from monge.cli import names
from monge.cli.drawing import draw, how_drawn, labels_of, write_samples
from monge.cli.names import kebab
from monge.cli.settings import as_options
from monge.data import Samples
from monge.errors import BadInput
from monge.evaluation import LEVEL, NEEDED, ROWS, Finding, Margins, Verdict, audit, likelihood_lines
from monge.files import write_atomic
from monge.models import Family
from monge.objects import words
from monge.protocols import SupportsDenoise
from monge.runs.again import load_like, split_again
from monge.runs.certifying import denoiser_lines
from monge.runs.folder import Run

SAMPLES = 2000
LIKELIHOOD_ROWS = 10_000  # of held-out and of training data
LABELS, EACH, EACH_CLOUD = 10, 7, 100  # labels shown in the report, and samples of each, of vectors more
STRIPS, WALKS, CLOUD = 2, 2, 400  # samples denoised, and walked from noise to data, for the pictures


def judge_run(
    run: Run,
    *,
    n: int | None = None,
    seed: int = 0,
    source: str | None = None,
    html: Path,
    json: Path | None = None,
    title: str | None = None,
    commands: Sequence[str] = (),
    margins: Margins | None = None,
    level: float = LEVEL,
    rows: int | None = None,
) -> Verdict:
    """Audit a run's samples against what it did not see; write verdict.json and the report.

    source: where the data of the run are now, if not where they were.

    The samples are those of RUN/samples.npz if it has n of them, else new ones, kept there unless it exists.
    """
    record = run.record()
    whole, held = split_again(run, source)
    train, holdout = whole.thinned(seed), held.thinned(seed)  # of the law that is meant, where rows have weights
    if len(holdout) < NEEDED:
        left = "" if holdout is held else f", which weights leave of {len(held):,}"
        raise BadInput(
            f"{len(holdout)} samples were held out of the run in {run.folder}{left}, and an audit needs {NEEDED}: fit "
            "again with a larger --holdout or more data, or give --generated and a --holdout file"
        )
    model = models.load(run.folder)
    judged, drawn = _samples(run, model, holdout, n, seed)
    x = judged.x
    likelihood = _likelihood(model, train, holdout, seed)
    verdict = audit(
        judged,
        holdout=held,
        train=whole,
        seed=seed,
        margins=margins,
        likelihood=likelihood,
        denoiser=denoiser_lines(model, holdout, seed),
        level=level,
        rows=rows or ROWS,
    )
    if not run.samples.exists():
        write_samples(run.samples, x, record["data"], judged.y, seed=seed)
    for path in (run.verdict, *([json] if json else [])):
        write_atomic(path, verdict.to_json() + "\n")
    denoises = isinstance(model, SupportsDenoise) and getattr(model, "denoises", True)
    strips = report.denoising(cast(Any, model), holdout.batch(range(STRIPS)), seed=seed) if denoises else None
    walks = CLOUD if train.kind == "vectors" else WALKS
    can_trace = "trace" in inspect.signature(model.sample).parameters
    report.write(
        verdict,
        html,
        samples=x,
        holdout=holdout,
        train=train,
        denoising=strips,
        by_label=_by_label(model, seed),
        trace=model.sample(walks, seed=seed, trace=True) if can_trace else None,
        log=run.log if run.log.exists() else None,
        provenance=_provenance(run, record, len(x), drawn, seed, commands),
        title=title or f"{record['family']} on {train.name}",
        force=True,
    )
    return verdict


def _likelihood(model: Any, train: Samples, holdout: Samples, seed: int) -> list[Finding]:
    """The lines of a model whose likelihood is exact and cheap; none of others."""
    if not model.exact_likelihood:
        return []

    def some(samples: Samples) -> dict[str, Any]:
        rows = torch.linspace(0, len(samples) - 1, min(len(samples), LIKELIHOOD_ROWS)).round().long()
        label = None if model.labels is None or samples.y is None else samples.y[rows]
        return {"x": samples.batch(rows), "label": label, "seed": seed}

    held, learned = some(holdout), some(train)
    in_sample, out_of_sample = (model.log_prob(**rows).value.double().numpy() for rows in (learned, held))
    latents = model.encode(**held).flatten(1).double().numpy()
    return likelihood_lines(out_of_sample, in_sample, latents, quantum=train.quantum)


def _by_label(model: Family, seed: int) -> dict[str, Any]:
    """Samples of each label by its name, of the first of many; none where the model knows no labels."""
    labels = model.labels
    if labels is None or not labels.count:
        return {}
    seen = labels.seen[:LABELS]
    each = EACH_CLOUD if model.record["data"]["kind"] == "vectors" else EACH
    x = draw(model, len(seen) * each, seed, label=torch.tensor(seen).repeat_interleave(each))
    return {labels.name(label): x[i * each : (i + 1) * each] for i, label in enumerate(seen)}


def _samples(
    run: Run, model: Family, holdout: Samples, n: int | None, seed: int
) -> tuple[Samples, dict[str, Any] | None]:
    """The samples to judge, with their labels if they are told, and how those of RUN/samples.npz were drawn; None for
    new ones."""
    about: dict[str, Any] = {"kind": holdout.kind, "columns": holdout.columns}
    if run.samples.exists():
        drawn = how_drawn(run.samples)
        if "label" in drawn:
            raise BadInput(
                f"{run.samples} holds samples of label {drawn['label']} alone, and an audit judges the law of all: "
                "move it elsewhere, or judge it by --generated against a --holdout of that label"
            )
        found = load_like(run.samples, holdout.kind, holdout.event_shape, like=holdout)
        if len(found) >= (n or 1):
            some = found.take(range(n or len(found)))
            x = some.x if holdout.wide else some.x.float()
            return Samples(x, some.y, classes=found.classes, **about), drawn
    n, label = n or SAMPLES, None
    if model.labels is not None and not model.labels.count and holdout.y is not None:
        label = holdout.y[torch.arange(n) % len(holdout)]  # vectors and images have no law to be drawn from
    y = labels_of(model, n, seed, label)
    return Samples(draw(model, n, seed, label=label), y, classes=holdout.classes, **about), None


def _provenance(
    run: Run, record: dict[str, Any], n: int, drawn: dict[str, Any] | None, seed: int, commands: Sequence[str]
) -> dict[str, Any]:
    about, training = record["data"], record.get("training", {})
    shape = "x".join(map(str, about["event_shape"]))
    return {
        "commands": list(commands) or _commands(run, record, n, drawn, seed),
        "run": str(run.folder),
        "data": f"{about['name']}: {about['n']:,} {about['kind']} of {shape} learned from",
        "data fingerprint": about["fingerprint"],
        "split": {name: about["split"][name] for name in ("fraction", "seed", "n")} if about["split"] else None,
        "model": {"family": record["family"], **{k: words(v) for k, v in record["settings"].items() if v is not None}},
        "model seed": record.get("seed"),
        "samples": drawn or None,
        "training": {name: value for name, value in training.items() if value is not None},
        "scaling": record["scaling"].get("statement"),
        "model versions": record.get("versions"),
    }


def _commands(run: Run, record: dict[str, Any], n: int, drawn: dict[str, Any] | None, seed: int) -> list[str]:
    about, training = record["data"], record.get("training", {})
    length = f"--steps {training['steps']}" if training.get("steps") else ""
    length = f"--budget {training['budget']}s" if training.get("budget") else length
    held = about["split"]["fraction"] if about["split"] else 0
    folder = shlex.quote(str(run.folder))
    family = names.family(kebab(record["family"]))
    options = [*shlex.split(length), "--seed", str(record.get("seed", 0)), "--holdout", str(held)]
    for name in ("batch_size", "validation", "patience"):
        options += [f"--{name.replace('_', '-')}", str(training[name])] if training.get(name) is not None else []
    for name, value in about.get("reading", {}).items():  # `derived` is what fit does
        told = ",".join(value) if isinstance(value, list) else str(value)
        options += [] if name == "derived" else [f"--{name.replace('_', '-')}", *([told] if value is not True else [])]
    options += as_options(record["settings"], family)
    source = shlex.quote(str(about["source"]))
    return [
        f"monge fit {source} --model {kebab(record['family'])} --out {folder} {shlex.join(options)}",
        *([] if drawn is None else [_sample_command(run, n, drawn)]),
        f"monge audit {folder} -n {n} --seed {seed}",
    ]


def _sample_command(run: Run, n: int, drawn: dict[str, Any]) -> str:
    if "seed" not in drawn:
        return f"# {run.samples} came from elsewhere"
    options = " ".join(f"--{name} {value}" for name, value in drawn.items())
    return f"monge sample {shlex.quote(str(run.folder))} -n {n} {options} -o {shlex.quote(str(run.samples))}"


def margins_of(settings: Sequence[str]) -> Margins:
    """Margins of `name=share`; raises BadInput that names those there are.

    >>> margins_of(["mass=0.03"]).mass
    0.03
    """
    given: dict[str, float] = {}
    for text in settings:
        name, _, value = text.partition("=")
        known = [field.name for field in fields(Margins)]
        try:
            given[name.strip()] = float(value)
        except ValueError as error:
            raise BadInput(f"--margin {text}: give a name and a share, such as --margin mass=0.05") from error
        if name.strip() not in known:
            raise BadInput(f"--margin {text}: there is no {name.strip()}; there are {', '.join(known)}")
    return Margins(**given)


def judge_files(
    generated: str,
    holdout: str,
    train: str | None,
    n: int | None,
    seed: int,
    margins: Margins | None = None,
    rows: int | None = None,
    reading: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Verdict, Samples, Samples]:
    """Audit samples of any origin: (verdict, generated, held out). reading: of tables, as `load` has it."""
    y = data.load(holdout, **reading)
    x = load_like(generated, y.kind, y.event_shape, like=y, **reading)
    t = load_like(train, y.kind, y.event_shape, like=y, **reading) if train is not None else None
    order = torch.randperm(len(x), generator=rng.generator(seed, "audit", "some"))
    drawn = x if n is None else x.take(order[:n].sort().values.tolist())
    verdict = audit(drawn, holdout=y, train=t, seed=seed, margins=margins, rows=rows or ROWS)
    return verdict, x, y
