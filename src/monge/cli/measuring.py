"""`monge distance`."""

from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from monge.cli.arguments import Columns, DropMissing, Force, LabelColumn, Missing, Seed, Weights, reading
from monge.errors import BadInput
from monge.files import refuse_overwrite, write_atomic


class MetricName(StrEnum):
    w2 = "w2"
    w1 = "w1"
    sliced = "sliced"
    sinkhorn = "sinkhorn"
    energy = "energy"


def distance(
    a: Annotated[str, typer.Argument(metavar="A", help="Samples: a file, or a built-in law.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Samples to hold them against: real ones.")],
    metric: Annotated[MetricName, typer.Option(help="Which distance.")] = MetricName.w2,
    n: Annotated[int | None, typer.Option("-n", min=1, help="Rows of each at most.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Of sinkhorn, in squared units of the data.")] = None,
    columns: Columns = None,
    label_column: LabelColumn = None,
    weights: Weights = None,
    drop_missing: DropMissing = False,
    missing: Missing = None,
    seed: Seed = 0,
    json: Annotated[Path | None, typer.Option("--json", help="Write the numbers as JSON, too.")] = None,
    force: Force = False,
) -> None:
    """Tell how far A is from B, with a 95% interval, next to how far B is from itself.

    W1 and W2 are exact, in the data's units, root included. In many dimensions they are far from zero between samples
    of one law, too: compare the two lines at equal numbers of rows.
    """
    if epsilon is not None and metric != MetricName.sinkhorn:
        raise BadInput(f"--epsilon is for --metric sinkhorn, not {metric.value}")
    if json is not None:
        refuse_overwrite(json, force=force)

    from monge import data, evaluation
    from monge.cli.table import tell_distance
    from monge.runs.again import load_like

    made: dict[MetricName, Any] = {
        MetricName.w2: evaluation.Wasserstein,
        MetricName.w1: lambda: evaluation.Wasserstein(1.0),
        MetricName.sliced: evaluation.Sliced,
        MetricName.sinkhorn: lambda: evaluation.SinkhornDivergence(epsilon),
        MetricName.energy: evaluation.Energy,
    }
    how = reading(columns, label_column, weights, drop_missing, missing)
    real = data.load(b, **how)
    samples = load_like(a, real.kind, real.event_shape, like=real, **how)
    for title, part in ((a, samples), (b, real)):
        if part.weights is not None:
            typer.echo(f"of {len(part):,} rows of {title} with weights {len(part.thinned(seed)):,} are compared")
    found = evaluation.distance(samples, real, made[metric](), n=n, seed=seed, show=True)
    if json is not None:
        write_atomic(json, dumps(found._asdict() | {"seed": seed}, indent=2, allow_nan=False) + "\n")
    tell_distance(a, b, found)
