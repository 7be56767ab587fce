"""`monge demo` and `monge fit`."""

import inspect
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from monge.cli.arguments import (
    BatchSize,
    Columns,
    DropMissing,
    Force,
    LabelColumn,
    Missing,
    Resume,
    Seed,
    Source,
    Steps,
    Weights,
    reading,
)
from monge.errors import BadInput
from monge.runs.folder import Run, read_json

DEMO_RUN = Path("runs/demo")
DEMO_STEPS = 2500
DEMO_SAMPLES = 2000
DEMO_HELD_OUT, DEMO_MASS = 0.3, 0.1  # with so many rows an audit sees whether a digit is missing, a tenth of the mass
HELD_OUT = 0.2
HELD_OUT_AT_LEAST = 100  # rows that an audit needs
TOLD, TOLD_FROM = 0.05, 2000  # share of the rows that a held-out loss is told on, unless said, from so many rows on
SPLIT_SEED = 0  # one for all runs, so that runs of different seeds are judged on the same held-out samples


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = DEMO_RUN,
    resume: Resume = False,
    steps: Steps = None,
    seed: Seed = 0,
    force: Force = False,
) -> int:
    """The main job on real data: learn handwritten digits, draw new ones, judge them, write the report.

    Exit status 0, whatever the verdict: that is an honest answer, not an error. A finished demo is shown
    again; --force starts a new one.
    """
    run = Run(out)
    run.refuse_strangers()
    if force:
        run.clear()
    begun = run.record().get("training", {}).get("steps") if run.is_started else None
    steps = steps or (begun if resume else None) or DEMO_STEPS
    goes_on = resume and begun is not None and steps > begun
    if run.is_started:
        _refuse_other_demo(run, (begun if goes_on else None) or steps, seed)
    if run.is_fitted and run.verdict.exists() and not goes_on:
        return _show_finished(run)
    if run.is_started and not run.is_fitted and not resume:
        done = f"stopped; its last checkpoint is of step {run.last_checkpoint}" if run.last_checkpoint else "stopped"
        again = f"{_command(out, steps, seed)} --resume"
        raise BadInput(f"the demo in {out} {done}: go on with it by `{again}`, or start again with --force")
    typer.echo(
        f"monge demo: 1,797 handwritten digits of 8x8 pixels, three tenths of them held out; {steps:,} training "
        f"steps, {DEMO_SAMPLES:,} new samples, a verdict. The run is kept in {out}."
    )

    from monge import data
    from monge.cli.table import tell
    from monge.cli.verdicts import judge_run
    from monge.evaluation import Margins
    from monge.models import Diffusion

    train, _ = data.load("digits").split(DEMO_HELD_OUT, SPLIT_SEED)
    Diffusion().fit(train, steps=steps, seed=seed, out=out, resume=resume or run.is_fitted)
    verdict = judge_run(
        run,
        n=DEMO_SAMPLES,
        seed=seed,
        html=run.report,
        title="monge demo: handwritten digits",
        commands=[_command(out, steps, seed)],
        margins=Margins(mass=DEMO_MASS),
    )
    tell(verdict)
    _what_next(run)
    return 0


def fit(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder of the run; it must not hold another one.")],
    model: Annotated[str, typer.Option(help="Family of the model.")] = "diffusion",
    steps: Steps = None,
    budget: Annotated[
        str | None, typer.Option(help="Wall-clock time instead of steps: 90s, 5m, 2h; 5 is minutes.")
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
    holdout: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the data held out for the audit.")
    ] = HELD_OUT,
    batch_size: BatchSize = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="CLOUD", help="Data that are carried to SOURCE in place of noise: flow-matching."
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the model, such as blind=true; repeat it."),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share to tell a held-out loss on; the family's own, or .05 of 2,000 rows.",
        ),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop when that loss has not fallen for so many evaluations.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="A column that says which rows belong together; they are never split.")
    ] = None,
    label_column: LabelColumn = None,
    weights: Weights = None,
    columns: Columns = None,
    drop_missing: DropMissing = False,
    missing: Missing = None,
    crop: Annotated[
        int | None, typer.Option(min=1, help="Learn squares of so many pixels, cut out of pictures of any sizes.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw a few samples into the run's watch.png every now and then.")
    ] = False,
    copies: Annotated[
        bool,
        typer.Option(
            "--copies", help="Look on the way whether samples are copies; with --patience, stop where they are."
        ),
    ] = False,
) -> int:
    """Learn the law of SOURCE. The held-out share is the same for every seed, and is recorded with the run."""
    if steps is not None and budget is not None:
        raise BadInput("give --steps or --budget, not both")
    run = Run(out)
    run.refuse_strangers()
    if run.is_started and not resume:
        raise BadInput(f"{out} holds a run: give another --out, or --resume to go on with it")

    from monge.training.settings import seconds

    time = "" if budget is None else f", in {_duration(seconds(budget))}"
    typer.echo(f"monge fit: {model} on {source}, into {out}{time}")

    from monge import data
    from monge.cli.copying import when_copies
    from monge.cli.names import family
    from monge.cli.outlook import NO_HELP, outlook
    from monge.cli.settings import settings
    from monge.cli.watching import Watcher
    from monge.report import read_log

    kind = family(model)
    fresh = kind(**settings(kind, given or []))
    begins: dict[str, Any] = {}
    if origin is not None and "source" not in inspect.signature(kind.fit).parameters:
        raise BadInput(f"{model} begins at noise: leave --from out, or take --model flow-matching")
    samples = data.load(
        source,
        group=group,
        **reading(columns, label_column, weights, drop_missing, missing),
        derived=True,
        crop=crop,
    )
    if origin is not None:
        begins["source"] = data.load(origin, like=samples, **reading(columns, None, None, drop_missing, missing))
    for statement in samples.statements:
        typer.echo(statement)
    train, aside = samples.split(holdout, SPLIT_SEED) if holdout else (samples, None)
    held = 0 if aside is None else len(aside.thinned())
    if 0 < held < HELD_OUT_AT_LEAST:
        typer.echo(
            f"only {held} samples are held out{', as weights leave' * (samples.weights is not None)}, and an audit "
            f"needs {HELD_OUT_AT_LEAST}: stop, and fit with a larger --holdout or more data, to have one"
        )
    usual = fresh.defaults(train)
    begun = resume and run.record_file.exists()
    if validation is None and not begun and usual is not None and not usual.validation and len(train) >= TOLD_FROM:
        validation = TOLD
    if watch:
        typer.echo(f"samples on the way: {run.watch}, drawn anew every 20 seconds or so")
    fresh.fit(
        train,
        steps=steps,
        budget=budget,
        seed=seed,
        out=out,
        resume=resume,
        batch_size=batch_size,
        validation=validation,
        patience=patience,
        tensorboard=tensorboard,
        watch=Watcher(run.watch, train) if watch else None,
        watch_copies=copies,
        **begins,
    )
    if copies and run.log.exists():
        typer.echo(when_copies(read_log(run.log), len(train)))
    if run.log.exists() and (told := outlook(read_log(run.log))) is not None:
        typer.echo(told)
        if NO_HELP not in told:
            typer.echo("to go on: the same command with --resume, and more --steps or --budget, as the run was begun")
    audit = ["monge", "audit", str(out)]
    command = audit if held >= HELD_OUT_AT_LEAST else ["monge", "sample", str(out), "-n", "1000", "-o", "samples.npz"]
    typer.echo(f"fitted to {len(train):,} samples; next: {shlex.join(command)}")
    return 0


def _duration(span: float) -> str:
    return f"{span:.0f} s" if span < 120 else f"{span / 60:.3g} minutes"


def _command(out: Path, steps: int, seed: int) -> str:
    """The command line of a demo, without what is the default anyway."""
    told = [("--out", out, DEMO_RUN), ("--steps", steps, DEMO_STEPS), ("--seed", seed, 0)]
    options = [text for name, value, usual in told if value != usual for text in (name, str(value))]
    return shlex.join(["monge", "demo", *options])


def _refuse_other_demo(run: Run, steps: int, seed: int) -> None:
    record = run.record()
    name = record.get("data", {}).get("name")
    if name != "digits":
        raise BadInput(f"{run.folder} holds a run on {name}, not a demo: give another --out")
    for what, asked, found in (
        ("steps", steps, record.get("training", {}).get("steps")),
        ("seed", seed, record.get("seed")),
    ):
        if asked != found:
            raise BadInput(
                f"{run.folder} holds a demo with --{what} {found}, and you ask for --{what} {asked}: give the same, "
                "more --steps with --resume, another --out, or --force to start again"
            )


def _show_finished(run: Run) -> int:
    content: dict[str, Any] = read_json(run.verdict, "")
    status = content.get("status")
    typer.echo(f"monge demo: {run.folder} is finished ({status}); this is its verdict again, --force starts a new one.")

    from monge.cli.table import tell
    from monge.evaluation import Verdict

    tell(Verdict.from_dict(content))
    _what_next(run)
    return 0


def _what_next(run: Run) -> None:
    typer.echo(f"report    {run.report}   (open it in a browser)")
    typer.echo(f"samples   {run.samples}")
    typer.echo(f"next      monge info {run.folder}; then your own data: monge fit FILE --out runs/mine")
