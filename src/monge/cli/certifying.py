"""`monge certify`."""

from pathlib import Path
from typing import Annotated

import typer

from monge.cli.arguments import RunFolder, Seed
from monge.errors import BadInput
from monge.runs.folder import Run


def certify(
    folder: RunFolder,
    twin: Annotated[
        Path | None, typer.Option(help="A run on other rows of the same data, in the same units: tells the variance.")
    ] = None,
    holdout: Annotated[
        str | None, typer.Option(help="Rows that neither learned from; those that were held out of RUN if not given.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Where the data of RUN are now, if they were moved.")] = None,
    levels: Annotated[
        str | None, typer.Option(help="Noise levels in the data's unit, as in 0.1,1; 8 of sampling if not given.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=20, help="Rows.")] = 400,
    seed: Seed = 0,
) -> int:
    """Is the denoiser of RUN the one that it should be? Its error, its variance by a twin, and what an optimal denoiser
    satisfies, at each noise level, on rows that it did not see; and what the variance costs the law, in nats.

    RUN/certificate.json is written anew. Exit status 0, whatever is found: `monge audit RUN` judges.
    """
    runs = [Run(path) for path in (folder, *([twin] if twin is not None else []))]
    for run in runs:
        run.record()
    numbers = None if levels is None else _numbers(levels)
    typer.echo(f"monge certify: the denoiser of {folder} on data that it did not see")

    from monge.runs.certifying import CERTIFICATE
    from monge.runs.certifying import certify as certified

    other = runs[1] if len(runs) > 1 else None
    found = certified(runs[0], twin=other, holdout=holdout, source=data, levels=numbers, n=n, seed=seed)
    typer.echo(f"\n{found.certificate}\n")
    typer.echo(f"sigma and errors are in {found.told_unit}")
    for note in found.notes:
        typer.echo(note)
    typer.echo(f"numbers   {folder / CERTIFICATE}")
    return 0


def _numbers(levels: str) -> list[float]:
    try:
        return [float(part) for part in levels.split(",")]
    except ValueError as error:
        raise BadInput(f"--levels are numbers with commas, such as 0.1,1, not {levels}") from error
