"""`monge audit`."""

import shlex
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from monge.cli.arguments import Columns, DropMissing, Force, LabelColumn, Missing, Nfe, Seed, Weights, reading
from monge.errors import BadInput
from monge.files import refuse_overwrite, write_atomic
from monge.runs.folder import Run

STATUS = {"pass": 0, "fail": 1, "undecided": 3}


def audit(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="Folders of runs.")] = None,
    generated: Annotated[str | None, typer.Option(help="Samples of any generator: a file.")] = None,
    holdout: Annotated[str | None, typer.Option(help="Real samples that it never saw.")] = None,
    train: Annotated[str | None, typer.Option(help="Samples that it learned from, to look for copies.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the data of RUN are now, if they were moved.")] = None,
    n: Annotated[int | None, typer.Option("-n", min=1, help="Number of generated samples to judge.")] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", help="Smallest defect that must not pass: mass=0.05, copies=0.02, ..."),
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", help="Held-out data: how many rows would see what, before there are others.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Rows of generated and of held-out data that are compared at most; 10,000."),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            "--given",
            help="Judge what RUN draws given an observation of held-out data: mask=0.5 (share that is hidden), "
            "crop-out=X,Y,W,H, downscale=4 or blur=2.",
        ),
    ] = None,
    noise: Annotated[
        float, typer.Option(min=0.0, help="Of --given: standard deviation of its noise, in the data's unit.")
    ] = 0.0,
    method: Annotated[str | None, typer.Option(help="Of --given: how it is drawn; see `monge restore`.")] = None,
    nfe: Nfe = None,
    columns: Columns = None,
    label_column: LabelColumn = None,
    weights: Weights = None,
    drop_missing: DropMissing = False,
    missing: Missing = None,
    seed: Seed = 0,
    json: Annotated[Path | None, typer.Option("--json", help="Write the verdict as JSON, too.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report here.")] = None,
    force: Force = False,
) -> int:
    """Judge whether samples have the law of real data: `monge audit RUN`, or --generated G --holdout H [--train T].

    Of several RUNs, trained with different seeds, each is judged, and then each line over all of them.

    --plan tells, for HOLDOUT alone, the chance of seeing each reference defect with -n generated samples (as many as
    are held out, if not given), and how many rows would see it.

    --given hides, blurs or makes small what was held out, lets RUN draw what it was, and tells whether the truth can be
    told from 64 draws of it (of 200 rows, or n): ranks, coverage and a distance, with 10% over-confidence planted, and
    draws of which half ignore what was seen. RUN/posterior.json and RUN/posterior.html are written anew.

    Exit status: 0 pass, 1 fail, 3 undecided. A RUN's samples are those of RUN/samples.npz, if it holds n of them, else
    2,000 (or n) new ones, drawn with the seed and kept there. RUN/verdict.json and the report are written anew.
    """
    how = reading(columns, label_column, weights, drop_missing, missing)
    if plan is not None:
        others: list[object] = [*(folders or []), generated, holdout, train, data, json, html, rows]
        return _plan(plan, n, seed, margin or [], others, how)
    if given is None and (noise or method or nfe):
        raise BadInput("--noise, --method and --nfe are of draws given an observation: say --given, too")
    for path in (json, html):
        if path is not None:
            refuse_overwrite(path, force=force)
    if folders:
        if generated or holdout or train:
            raise BadInput("give a RUN, or --generated and --holdout, not both")
        if how:
            raise BadInput(
                "a RUN knows how its table was read: leave --columns, --label-column, --missing and the like out"
            )
        if given is not None:
            others = [margin, rows, *folders[1:]]
            if any(others):
                raise BadInput("--given is of one RUN, without --margin and --rows: leave them out")
            return _audit_given(
                folders[0],
                given,
                data,
                json,
                html,
                {"noise": noise, "n": n, "method": method, "nfe": nfe, "seed": seed},
            )
        if len(folders) > 1:
            return _audit_runs(folders, n, seed, data, json, html, margin or [], rows)
        run = Run(folders[0])
        run.record()
        typer.echo(f"monge audit: the samples of {run.folder} against data that it did not see")

        from monge.cli.table import tell
        from monge.cli.verdicts import judge_run, margins_of

        html = html or run.report
        margins = margins_of(margin or [])
        verdict = judge_run(run, n=n, seed=seed, source=data, html=html, json=json, margins=margins, rows=rows)
    else:
        if given is not None:
            raise BadInput("--given is of a RUN, whose model draws: give its folder")
        if generated is None or holdout is None:
            raise BadInput("nothing to audit: give a RUN, or --generated G --holdout H")
        typer.echo(f"monge audit: {generated} against {holdout}")

        from monge import report
        from monge.cli.table import tell
        from monge.cli.verdicts import judge_files, margins_of

        verdict, x, y = judge_files(
            generated,
            holdout,
            train,
            n,
            seed,
            margins_of(margin or []),
            rows,
            how,
        )
        if json is not None:
            write_atomic(json, verdict.to_json() + "\n")
        if html is not None:
            prints = {"generated": x.fingerprint, "held out": y.fingerprint}
            learned = ["--train", train] if train else []
            read = {"--columns": columns, "--label-column": label_column, "--weights": weights, "--missing": missing}
            told = [part for name, value in read.items() if value for part in (name, value)]
            told += ["--drop-missing"] * drop_missing
            command = shlex.join(
                ["monge", "audit", "--generated", generated, "--holdout", holdout, *learned, *told, "--seed", str(seed)]
            )
            report.write(
                verdict,
                html,
                samples=x,
                holdout=y,
                provenance={"commands": [command], "fingerprints": prints},
                title=f"{x.name} against {y.name}",
                force=force,
            )
    tell(verdict)
    if html is not None:
        typer.echo(f"report    {html}   (open it in a browser)")
    return STATUS[verdict.status]


def _audit_given(
    folder: Path, given: str, source: str | None, json: Path | None, html: Path | None, options: dict[str, Any]
) -> int:
    """Judge what a run draws given an observation."""
    run = Run(folder)
    run.record()
    typer.echo(f"monge audit: what {folder} draws given {given} of data that it did not see")

    from monge.cli.calibrating import judge_posterior
    from monge.cli.table import tell

    html = html or run.folder / "posterior.html"
    verdict = judge_posterior(run, given, source=source, html=html, json=json, **options)
    tell(verdict)
    typer.echo(f"report    {html}   (open it in a browser)")
    return STATUS[verdict.status]


def _plan(
    source: str, n: int | None, seed: int, margin: list[str], others: Sequence[object], how: dict[str, Any]
) -> int:
    """Tell what an audit against these held-out data would see."""
    if any(other is not None for other in others):
        raise BadInput("--plan is of held-out data alone, with -n, --margin and --seed: leave out the rest")
    typer.echo(f"monge audit: what {source} as held-out data would see")

    from monge import data
    from monge.cli.table import tell_plan
    from monge.cli.verdicts import margins_of
    from monge.evaluation import plan

    tell_plan(plan(data.load(source, **how), n=n, margins=margins_of(margin), seed=seed))
    return 0


def _audit_runs(
    folders: list[Path],
    n: int | None,
    seed: int,
    data: str | None,
    json: Path | None,
    html: Path | None,
    margin: list[str],
    rows: int | None,
) -> int:
    """Judge each of several runs at its part of the level; the worst verdict is the verdict."""
    from monge.cli.table import tell_across
    from monge.cli.verdicts import judge_run, margins_of
    from monge.evaluation import LEVEL

    if html is not None:
        raise BadInput("--html is for one RUN: of several, each has its report in its folder")
    runs = [Run(folder) for folder in folders]
    for run in runs:
        run.record()
    verdicts = []
    for run in runs:
        typer.echo(f"monge audit: the samples of {run.folder} against data that it did not see")
        margins, level = margins_of(margin), LEVEL / len(runs)
        verdicts.append(
            judge_run(run, n=n, seed=seed, source=data, html=run.report, margins=margins, level=level, rows=rows)
        )
    if json is not None:
        together = {str(run.folder): verdict.to_dict() for run, verdict in zip(runs, verdicts, strict=True)}
        write_atomic(json, dumps(together, indent=2, allow_nan=False) + "\n")
    tell_across([str(folder) for folder in folders], verdicts)
    return max((STATUS[verdict.status] for verdict in verdicts), key=(0, 3, 1).index)
