"""`monge generalise`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from monge.cli.arguments import BatchSize, Resume, Seed, Source, Steps
from monge.errors import BadInput
from monge.runs.folder import RESULT, refuse_other_experiment


def generalise(
    source: Source,
    sizes: Annotated[str, typer.Option(help="Training rows of each model, as in 10,100,1000.")],
    out: Annotated[Path, typer.Option(help="Folder of the experiment; it must not hold another one.")],
    model: Annotated[str, typer.Option(help="Family of the models.")] = "diffusion",
    steps: Steps = None,
    budget: Annotated[
        str | None, typer.Option(help="Wall-clock time of each model, instead of steps: 90s, 5m; 5 is minutes.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=2, help="Starts: samples of each model.")] = 200,
    seed: Seed = 0,
    resume: Resume = False,
    batch_size: BatchSize = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the models, such as augment=false; repeat it."),
    ] = None,
) -> int:
    """Does a family generalise from SOURCE, or copy it? For each size two models are fitted to so many rows each, which
    they do not share, and given the same noise: from few rows each copies its own, from many both draw the same new
    sample.

    OUT holds twins.png and curves.png, generalisation.json, and the runs in size-N/a and size-N/b.
    """
    if steps is not None and budget is not None:
        raise BadInput("give --steps or --budget, not both")
    numbers = _numbers(sizes)
    refuse_other_experiment(out, resume)

    from monge import data
    from monge.cli.names import family
    from monge.cli.settings import settings
    from monge.runs.generalisation import generalisation
    from monge.training.settings import seconds

    kind = family(model)
    fresh = kind(**settings(kind, given or []))
    time = "" if budget is None else f", about {2 * len(numbers) * seconds(budget) / 60:.3g} minutes of training"
    typer.echo(f"monge generalise: {2 * len(numbers)} models, {model} on {source}, into {out}{time}")
    asked: dict[str, Any] = {"steps": steps, "budget": budget, "batch_size": batch_size}
    found = generalisation(fresh, data.load(source), numbers, n=n, seed=seed, out=out, resume=resume, **asked)
    typer.echo(f"\n{found}\n")
    drawn = [str(path) for path in (out / "twins.png", out / "curves.png") if path.exists()]
    typer.echo(f"pictures  {', '.join(drawn)}")
    typer.echo(f"numbers   {out / RESULT}")
    return 0


def _numbers(sizes: str) -> list[int]:
    try:
        return sorted({int(part) for part in sizes.split(",")})
    except ValueError as error:
        raise BadInput(f"--sizes are numbers of rows with commas, such as 10,100,1000, not {sizes}") from error
