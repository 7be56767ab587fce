"""`monge restore`."""

import glob
from pathlib import Path
from typing import Annotated, Any

import typer

from monge.cli.arguments import Force, Label, Nfe, RunFolder, Seed
from monge.errors import BadInput
from monge.files import refuse_overwrite
from monge.runs.folder import Run

HERE = "restored"
SHALLOW = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")  # which are written as PNG; others as they came
BESIDE = ("mean", "deviation", "residual", "sheet")


def restore(
    folder: RunFolder,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="What was seen: a picture, or an .npy array.")],
    mask: Annotated[
        Path | None, typer.Option(help="A picture of the same size: black where IMAGE is not seen, white elsewhere.")
    ] = None,
    crop_out: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="A box of IMAGE that is not seen, in pixels.")
    ] = None,
    downscale: Annotated[
        int | None, typer.Option(min=2, help="IMAGE has means over so many pixels a side: find so many more.")
    ] = None,
    blur: Annotated[float | None, typer.Option(help="IMAGE was blurred by a Gaussian of so many pixels.")] = None,
    noise: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Standard deviation of the noise in IMAGE, in its levels; 0: exact; with --blur, --downscale rounded.",
        ),
    ] = 0.0,
    n: Annotated[int, typer.Option("-n", min=1, help="How many answers.")] = 8,
    method: Annotated[
        str | None,
        typer.Option(help="particles (exact in the limit), daps, wiener, moments, pi-gdm, dps, ddrm or diffpir."),
    ] = None,
    nfe: Nfe = None,
    label: Label = None,
    seed: Seed = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write to; else restored, in the run.")
    ] = None,
    force: Force = False,
) -> int:
    """Restore a picture that is masked, small or blurred: several answers that agree with it, by a model of such
    pictures that was trained on none of this.

    Writes the answers, NAME-1 and so on, their mean, their deviation (how far not to believe it), what the mean leaves
    of the picture, and NAME-sheet.png with all of it. Pictures may be of any size; the levels of a picture stand for
    the range of the run's data.
    """
    asked = {"--mask": mask, "--crop-out": crop_out, "--downscale": downscale, "--blur": blur}
    named = [name for name, value in asked.items() if value is not None]
    if len(named) != 1:
        came = " and ".join(named) or "none"
        raise BadInput(f"say what happened to the picture by one of {', '.join(asked)}, not {came}")
    record = Run(folder).record()
    for needed in (image, mask):
        if needed is not None and not needed.exists():
            raise BadInput(f"no such picture: {needed}")
    target = output or folder / HERE
    ending = ".png" if image.suffix.lower() in SHALLOW else image.suffix
    names = [*(str(i + 1) for i in range(n)), *BESIDE]
    paths = {name: target / f"{image.stem}-{name}{'.png' if name == 'sheet' else ending}" for name in names}
    for path in paths.values():
        refuse_overwrite(path, force=force)
    typer.echo(f"monge restore: {image} by {folder}")

    import monge
    from monge.cli.answers import Answers

    model: Any = monge.load(folder)
    answers = Answers.of(image, record["data"], mask=mask, crop_out=crop_out, downscale=downscale, blur=blur)
    options = {"method": method, "nfe": nfe, "label": label, "seed": seed}
    found = answers.drawn(model, n, noise, {name: value for name, value in options.items() if value is not None})
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob(f"{glob.escape(image.stem)}-*{ending}"):  # of a run with more answers
        if old.stem.removeprefix(f"{image.stem}-").isdigit():
            old.unlink()
    answers.write(found, paths)
    for line in answers.told(found):
        typer.echo(line)
    return 0
