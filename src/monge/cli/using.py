"""`monge sample` and `monge denoise`."""

from pathlib import Path
from typing import Annotated

import typer

from monge.cli.arguments import Alpha, BatchSize, Force, Label, Nfe, RunFolder, Seed
from monge.cli.endings import refuse_ending
from monge.cli.runs import Run
from monge.errors import BadInput
from monge.files import refuse_overwrite


def sample(
    folder: RunFolder,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of samples.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File, .npz .npy .csv .parquet, or a folder.")],
    seed: Seed = 0,
    nfe: Nfe = None,
    alpha: Alpha = None,
    label: Label = None,
    batch_size: BatchSize = None,
    force: Force = False,
) -> int:
    """Draw new samples from a fitted run. Sample i of a seed is the same whatever -n and --batch-size."""
    about = Run(folder).record()["data"]
    refuse_ending(output, about)
    refuse_overwrite(output, force=force)
    typer.echo(f"monge sample: {n:,} from {folder}")

    import monge
    from monge.cli.drawing import draw, write_samples

    x = draw(monge.load(folder), n, seed, nfe=nfe, alpha=alpha, label=label, batch_size=batch_size)
    write_samples(output, x, about, seed=seed, nfe=nfe, alpha=alpha, label=label)
    typer.echo(f"{output}: {list(x.shape)}, seed {seed}")
    return 0


def denoise(
    folder: RunFolder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Noisy pictures, or .npy arrays [C, *space].")
    ],
    sigma: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Standard deviation of their noise in the data's units, or, where channels differ more than fourfold, "
            "in each channel's standard deviation.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write, or folder; else RUN/denoised.")
    ] = None,
    force: Force = False,
) -> int:
    """Take Gaussian noise of known strength out of pictures: the mean of x given y = x + sigma z.

    A picture stays a picture; an array stays an array, in the data's units. The levels of a picture (0 to 255)
    stand for the range of the run's data.
    """
    Run(folder).record()
    written = _destinations(images, output or folder / "denoised")
    if len(set(written)) < len(written):
        raise BadInput("two of the pictures have the same name and would be written to one file: denoise them apart")
    for image, path in zip(images, written, strict=True):
        if not image.exists():
            raise BadInput(f"no such picture: {image}")
        refuse_overwrite(path, force=force)
    typer.echo(f"monge denoise: {len(images)} picture{'s' * (len(images) > 1)} with {folder}")

    import monge
    from monge.cli.pictures import read, write
    from monge.protocols import SupportsDenoise

    model = monge.load(folder)
    if not isinstance(model, SupportsDenoise):
        raise BadInput(f"{folder} holds a {type(model).__name__}, which does not denoise: use a diffusion")
    limits = model.record["data"]["limits"]
    for image, path in zip(images, written, strict=True):
        y = read(image, limits)
        write(path, model.denoise(y[None], sigma)[0].reshape(y.shape), limits)
        typer.echo(str(path))
    return 0


def _destinations(images: list[Path], output: Path) -> list[Path]:
    one = len(images) == 1 and output.suffix != "" and not output.is_dir()
    return [output] if one else [output / image.name for image in images]
