"""Pictures from files: one, or a folder of equal ones whose subfolders are labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from monge.data.layout import Table
from monge.errors import BadInput
from monge.progress import bar

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
LARGE = 48  # sides from which on pictures of several sizes are cropped unasked, and of the crops


class Layers(NamedTuple):
    """A picture, [1, H, W] gray or [3, H, W] RGB, and its alpha channel [H, W] if it has one."""

    values: Shaped[np.ndarray, "C H W"]
    alpha: Shaped[np.ndarray, "H W"] | None


def read_image(path: str | Path) -> Shaped[np.ndarray, "C H W"]:
    """One picture as `read_layers` has it; an alpha channel that is opaque everywhere is dropped.

    Raises `BadInput` for a file that is no picture, is truncated, or is transparent anywhere.
    """
    values, alpha = read_layers(path)
    if alpha is not None and (alpha < 255).any():
        raise BadInput(f"{path} is transparent in places (alpha channel): flatten it on a background first")
    return values


def read_layers(path: str | Path) -> Layers:
    """One picture and its alpha channel, uint8 (uint16 for 16-bit gray, float32 for such a TIFF), upright by its EXIF
    tag.

    A palette becomes RGB, black-and-white becomes 0 and 255. Raises `BadInput` for a file that is no picture or is
    truncated, or of another colour mode, such as CMYK.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode == "1":
                picture = picture.convert("L")
            if picture.mode == "P" or "transparency" in picture.info:
                picture = picture.convert("LA" if picture.mode == "L" else "RGBA")
            if picture.mode not in ("L", "RGB", "LA", "RGBA", "F") and not picture.mode.startswith("I;16"):
                raise BadInput(f"{path} has colour mode {picture.mode}: convert it to gray or RGB")
            values = np.asarray(picture)
    except FileNotFoundError as error:
        raise BadInput(f"no such picture: {path}") from error
    except BadInput:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{path} is not a readable picture ({' '.join(str(error).split())}): remove or replace it"
        ) from error
    alpha = None
    if picture.mode in ("LA", "RGBA"):
        values, alpha = values[..., :-1], values[..., -1]
    return Layers(np.moveaxis(np.atleast_3d(values), -1, 0), alpha)


def read_folder(folder: Path, *, cropped: bool = False) -> Table:
    """Every picture below a folder, in the order of their paths, [n, C, H, W]; subfolders are the labels.

    Pictures of several sizes, to be cropped, come as a list [C, H, W] each: where that is said, or all are large.

    Files and folders whose name starts with a dot are passed over. Raises `BadInput` when there is none, when they
    differ in colour or depth, or in size and are not to be cropped (naming two), or when some lie in subfolders and
    others do not.
    """
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and not _is_hidden(path.relative_to(folder))
    )
    if not paths:
        raise BadInput(f"{folder} holds no picture: give a folder with files in {', '.join(ENDINGS)}")
    owners = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in paths]
    classes = tuple(sorted(set(owners)))
    if "" in classes and len(classes) > 1:
        raise BadInput(f"{folder} has pictures of its own and others in {classes[1]}/: put all in subfolders, or none")
    first = read_image(paths[0])
    pictures: list[NDArray[np.generic]] = []
    alike = True
    with bar(f"reading {folder.name}", len(paths)) as advance:
        for path in paths:
            image = read_image(path)
            alike = alike and image.shape == first.shape
            large = cropped or min(*image.shape[1:], *first.shape[1:]) >= LARGE
            if (len(image), image.dtype) != (len(first), first.dtype) or not (alike or large):
                raise BadInput(
                    f"pictures differ: {paths[0].relative_to(folder)} is {_size(first)} and "
                    f"{path.relative_to(folder)} is {_size(image)}: bring all to one size and colour"
                    + ", or give crop= (--crop)"
                    * (not cropped)
                )
            pictures.append(image)
            advance()
    x = pictures if cropped or not alike else np.stack(pictures)
    if classes == ("",):
        return Table(x)
    return Table(x, np.array([classes.index(owner) for owner in owners]), classes)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _size(image: NDArray[np.generic]) -> str:
    colour = "RGB" if len(image) == 3 else "gray"
    return f"{image.shape[1]}x{image.shape[2]} {colour}{' 16-bit' * (image.dtype == np.uint16)}"
