"""Pictures from files: one, or a folder of equal ones whose subfolders are labels."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from monge.data.folders import listed
from monge.data.layout import Table
from monge.errors import BadInput
from monge.progress import bar

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
STACKS = (".gif", ".tif", ".tiff")
LARGE = 48  # sides from which on pictures of several sizes are cropped unasked, and of the crops


class Layers(NamedTuple):
    """A picture, [1, H, W] gray or [3, H, W] RGB, and its alpha channel [H, W] if it has one."""

    values: Shaped[np.ndarray, "C H W"]
    alpha: Shaped[np.ndarray, "H W"] | None


def read_image(path: Any, page: int | None = None) -> Shaped[np.ndarray, "C H W"]:
    """One picture as `read_layers` has it; an alpha channel that is opaque everywhere is dropped.

    Raises `BadInput` for a file that is no picture, is truncated, or is transparent anywhere.
    """
    values, alpha = read_layers(path, page)
    if alpha is not None and (alpha < 255).any():
        raise BadInput(f"{path} is transparent in places (alpha channel): flatten it on a background first")
    return values


def read_layers(path: Any, page: int | None = None) -> Layers:
    """One picture and its alpha channel, uint8 (uint16 for 16-bit gray, float32 for such a TIFF), upright by its EXIF
    tag.

    page: which of those that a file holds. A palette becomes RGB, black-and-white becomes 0 and 255. Raises `BadInput`
    for a file that is no picture or is truncated, or of another colour mode, such as CMYK, and where there are several
    pages and none is asked for.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            pages = getattr(file, "n_frames", 1)
            file.seek(page or 0)
            if page is None and pages > 1:
                raise BadInput(
                    f"{path} holds {pages} pictures, pages or frames: monge.data.load takes them as so many samples; "
                    "where one is asked for, save it alone"
                )
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


def is_gray(values: Shaped[np.ndarray, "C *space"]) -> bool:
    """Whether a picture of three channels has one, stored three times."""
    return len(values) == 3 and bool((values[0] == values[1]).all() and (values[0] == values[2]).all())


def read_stack(path: Path) -> Table:
    """The pages of a file, [n, C, H, W]. Raises BadInput where there is one, or they differ in size or colour."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            pages = getattr(file, "n_frames", 1)
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"{path} is not a readable picture ({' '.join(str(error).split())}): replace it") from error
    if pages == 1:
        raise BadInput(f"{path} is one picture, and a law is learned from many: give a folder of them, or a stack")
    found = [read_image(path, page) for page in range(pages)]
    for k, image in enumerate(found):
        if image.shape != found[0].shape:
            raise BadInput(f"{path}: its first page is {_size(found[0])} and page {k + 1} is {_size(image)}")
    return Table(_without_copies(np.stack(found)))


def _without_copies(x: NDArray[np.generic]) -> NDArray[np.generic]:
    """One channel of pictures [n, C, H, W] that are all gray."""
    return x[:, :1] if all(map(is_gray, x)) else x


def read_folder(folder: Path, *, cropped: bool = False) -> Table:
    """Every picture below a folder, in the order of their paths, [n, C, H, W]; subfolders are the labels.

    Pictures of several sizes, to be cropped, come as a list [C, H, W] each: where that is said, or all are large.

    Gray pictures that are stored as red, green and blue have one channel. Raises `BadInput` where they differ in colour
    or depth, or in size and are not to be cropped (naming two), and for what `listed` refuses.
    """
    paths, y, classes = listed(folder, ENDINGS, "picture")
    with bar(f"reading {folder.name}", len(paths)) as advance:

        def pictures() -> Iterator[NDArray[np.generic]]:
            for path in paths:
                yield read_image(path)
                advance()

        x = stacked(pictures(), [path.relative_to(folder) for path in paths], cropped=cropped)
    return Table(x, y, classes)


def stacked(pictures: Iterable[NDArray[np.generic]], names: Sequence[Any], *, cropped: bool = False) -> Any:
    """Pictures [C, H, W] of one size as one array [n, C, H, W], or as they are, where they are to be cropped: that is
    said, or they differ and all are large. Raises BadInput for others that differ, naming two."""
    found: list[NDArray[np.generic]] = []
    alike = True
    for image, name in zip(pictures, names, strict=True):
        first = found[0] if found else image
        alike = alike and image.shape == first.shape
        large = cropped or min(*image.shape[1:], *first.shape[1:]) >= LARGE
        if (len(image), image.dtype) != (len(first), first.dtype) or not (alike or large):
            raise BadInput(
                f"pictures differ: {names[0]} is {_size(first)} and {name} is {_size(image)}: bring all to one size "
                "and colour" + ", or give crop= (--crop)" * (not cropped)
            )
        found.append(image)
    if alike and not cropped:
        return _without_copies(np.stack(found))
    return [image[:1] for image in found] if all(map(is_gray, found)) else found


def _size(image: NDArray[np.generic]) -> str:
    colour = "RGB" if len(image) == 3 else "gray"
    return f"{image.shape[1]}x{image.shape[2]} {colour}{' 16-bit' * (image.dtype == np.uint16)}"
