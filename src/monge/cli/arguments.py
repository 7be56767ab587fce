"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated, Any

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run: the --out of a fit.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="Data: a built-in name, a file, a folder of images.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed: the same seed gives the same numbers.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out where it stopped, or to more --steps or --budget.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands there.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Number of training steps.")]
Nfe = Annotated[int | None, typer.Option(min=1, help="Calls of the network for each sample, at most.")]
Label = Annotated[str | None, typer.Option(help="Only samples of this label, or with this vector: 3, cat, 0.5,1.")]
Alpha = Annotated[float | None, typer.Option(min=0.0, help="0 deterministic, 1 reversed diffusion.")]
Guidance = Annotated[
    float | None, typer.Option(help="Lead to the --label more clearly than the data do: 0 not, 1 or 2 for pictures.")
]
Strength = Annotated[
    float | None, typer.Option(min=0.0, help="Of the --label: 0 none, 1 its law as the data have it, 2 beyond it.")
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples worked on at a time.")]
Columns = Annotated[str | None, typer.Option(help="The columns of tables to take, as in a,b,c; else all.")]
DropMissing = Annotated[bool, typer.Option("--drop-missing", help="Leave out rows with missing values.")]
Missing = Annotated[
    str | None, typer.Option(help="learn: tell cells of a table that are missing by a column beside theirs.")
]
Weights = Annotated[str | None, typer.Option(help="A column of a table that says how much each row counts.")]
LabelColumn = Annotated[str | None, typer.Option(help="A column of a table that is each row's label.")]


def reading(
    columns: str | None, label_column: str | None, weights: str | None, drop_missing: bool, missing: str | None
) -> dict[str, Any]:
    """How tables are read, as `monge.data.load` has it."""
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    asked: dict[str, Any] = {"columns": names, "label_column": label_column, "weights": weights}
    asked |= {"drop_missing": drop_missing, "missing": missing}
    return {name: value for name, value in asked.items() if value}
