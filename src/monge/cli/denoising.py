"""`monge denoise`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from monge.cli.arguments import Force
from monge.errors import BadInput
from monge.files import refuse_overwrite
from monge.runs.folder import Run

UNTRAINED = ("wavelet", "wiener", "patches")
HERE = Path("denoised")


def denoise(
    method: Annotated[
        str,
        typer.Argument(metavar="wavelet|wiener|patches|RUN", help="A method without training, or the folder of a run."),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Noisy pictures, or .npy arrays [C, *space].")
    ],
    sigma: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Standard deviation of the noise: in levels of the picture, or in the units of a run's data, where "
            "channels differ more than fourfold in each channel's standard deviation. Estimated if it is not given.",
        ),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="The clean picture, or a folder with one of each name: PSNR and SSIM are told.")
    ] = None,
    by_channel: Annotated[
        bool, typer.Option("--by-channel", help="Colours one by one, not along axes in which they hardly correlate.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write, or folder; else denoised, in the run.")
    ] = None,
    force: Force = False,
) -> int:
    """Take Gaussian noise out of pictures, the mean of x given y = x + sigma z; write what is left of it beside.

    A picture stays a picture, of as many levels and with its alpha channel; an array stays an array. The residual,
    y - x, is written as NAME-residual: white noise, if only noise was taken out. With a run, the levels of a picture
    stand for the range of the run's data.
    """
    if sigma is not None and not math.isfinite(sigma):
        raise BadInput("--sigma must be 0 or more, and finite: it is the standard deviation of the noise")
    trained = method not in UNTRAINED
    if trained:
        Run(Path(method)).record()
    written = _destinations(images, output or (Path(method) / HERE if trained else HERE))
    if len(set(written)) < len(written):
        raise BadInput("two of the pictures have the same name and would be written to one file: denoise them apart")
    clean = [None if reference is None else reference / i.name if reference.is_dir() else reference for i in images]
    for path, wanted in zip(images, clean, strict=True):
        for needed in (path, wanted):
            if needed is not None and not needed.exists():
                raise BadInput(f"no such picture: {needed}")
    for path in written:
        for each in (path, residual_path(path)):
            refuse_overwrite(each, force=force)
    typer.echo(f"monge denoise: {len(images)} picture{'s' * (len(images) > 1)} with {method}")

    from monge.cli.pictures import read, write
    from monge.cli.restoring import Restorer, quality

    restorer = Restorer.of_run(Path(method)) if trained else Restorer.untrained(method, by_channel)
    for path, target, wanted in zip(images, written, clean, strict=True):
        picture = read(path)
        better = None if wanted is None else read(wanted)
        found, residual, told = restorer(picture, sigma, path)
        if better is not None:
            told += "; " + quality(picture, found, better, wanted)
        write(target, found)
        write(residual_path(target), residual)
        typer.echo(f"{target}: {told}")
    return 0


def residual_path(path: Path) -> Path:
    """Where what was taken out is written.

    >>> residual_path(Path("a/b.png")).name
    'b-residual.png'
    """
    return path.with_name(f"{path.stem}-residual{path.suffix}")


def _destinations(images: list[Path], output: Path) -> list[Path]:
    """A file for each picture; one that would lose what was won, .jpg, becomes .png."""
    one = len(images) == 1 and output.suffix != "" and not output.is_dir()
    kept = (".npy", ".png", ".tif", ".tiff", ".bmp")
    names = [i.name if i.suffix.lower() in kept else f"{i.stem}.png" for i in images]
    return [output] if one else [output / name for name in names]
