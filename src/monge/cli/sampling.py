"""`monge sample`."""

from pathlib import Path
from typing import Annotated

import typer

from monge.cli.arguments import Alpha, BatchSize, Force, Guidance, Label, Nfe, RunFolder, Seed, Strength
from monge.cli.endings import refuse_ending
from monge.errors import BadInput
from monge.files import refuse_overwrite
from monge.runs.folder import Run


def sample(
    folder: RunFolder,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of samples.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File, .npz .npy .nc .zarr .h5 .csv .parquet, or a folder.")
    ],
    seed: Seed = 0,
    nfe: Nfe = None,
    alpha: Alpha = None,
    label: Label = None,
    guidance: Guidance = None,
    strength: Strength = None,
    batch_size: BatchSize = None,
    force: Force = False,
) -> int:
    """Draw new samples from a fitted run. Sample i of a seed is the same whatever -n and --batch-size."""
    about = Run(folder).record()["data"]
    refuse_ending(output, about)
    refuse_overwrite(output, force=force)
    if strength is not None:
        if guidance is not None:
            raise BadInput("--strength is 1 more than --guidance: give one of them")
        guidance = strength - 1
    typer.echo(f"monge sample: {n:,} from {folder}")

    import monge
    from monge.cli.drawing import draw, labels_of, write_samples

    model = monge.load(folder)
    x = draw(model, n, seed, nfe=nfe, alpha=alpha, label=label, guidance=guidance, batch_size=batch_size)
    y = labels_of(model, n, seed, label)
    write_samples(output, x, about, y, seed=seed, nfe=nfe, alpha=alpha, label=label, guidance=guidance)
    typer.echo(f"{output}: {list(x.shape)}, seed {seed}")
    if y is not None and output.suffix == ".npy":
        typer.echo("their labels are not in it: .npz has room for them")
    return 0
