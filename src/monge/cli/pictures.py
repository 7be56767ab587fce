"""Pictures and arrays as events, with what is needed to write them again."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge.data import read_layers
from monge.errors import BadInput
from monge.files import write_atomic

LOSSLESS = (".png", ".tif", ".tiff", ".bmp")  # what pictures are written as
COLOURS = 3, 4  # channels that an array may have last
DEEP, SHALLOW = 65535.0, 255.0
PNG, IN_COLOUR = b"\x89PNG\r\n\x1a\n", (2, 6)  # how a file of PNG begins, and its types in colour


@dataclass(frozen=True, eq=False)
class Picture:
    """values: [C, *space], levels of a picture or numbers of an array. full: its highest level, None where it has none.
    alpha: [H, W]. shape: of the array in its file. is_last: whether its channels are the last axis there."""

    values: Float[Tensor, "*event"]
    full: float | None = None
    alpha: NDArray[np.generic] | None = None
    shape: tuple[int, ...] | None = None
    is_last: bool = False

    def of(self, values: Float[Tensor, "*event"]) -> "Picture":
        """Other values in its place."""
        return replace(self, values=values)


def read(path: Path) -> Picture:
    """A picture, or an .npy array: [H, W], [C, *space] or, of 3 or 4 last, [H, W, C].

    Raises BadInput for a file that is neither, NaN or infinity, and colours that have no channels of light.
    """
    if path.suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise BadInput(f"{path} cannot be read ({error}): write it again as an array of numbers") from error
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise BadInput(f"{path} must hold finite numbers only: repair it")
        is_last = array.ndim == 3 and array.shape[-1] in COLOURS and array.shape[0] not in (1, *COLOURS)
        if is_last:
            high, wide, channels = array.shape
            warnings.warn(f"{path} is read as {high}x{wide} pixels of {channels} channels", stacklevel=2)
        values = np.moveaxis(array, -1, 0) if is_last else array
        return Picture(torch.from_numpy(values.astype(np.float32)), shape=array.shape, is_last=is_last)
    values, alpha = read_layers(path)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BadInput(f"{path} has pixels that are NaN or infinite: repair it")
    full = {"u1": SHALLOW, "u2": DEEP}.get(values.dtype.str[1:])
    _tell_of_lost_bits(path)
    return Picture(torch.from_numpy(values.astype(np.float32)), full, alpha)


def write(path: Path, picture: Picture) -> None:
    """The inverse of `read`, atomically; levels are rounded, and cut off at their ends."""
    content = io.BytesIO()
    x = picture.values
    if path.suffix == ".npy":
        x = x.movedim(0, -1) if picture.is_last else x
        np.save(content, x.reshape(picture.shape or x.shape).numpy(), allow_pickle=False)
        write_atomic(path, content.getvalue())
        return
    if path.suffix.lower() not in LOSSLESS:
        raise BadInput(f"{path} must end in {', '.join(LOSSLESS)} or .npy")
    from PIL import Image

    full = picture.full
    kind = np.float32 if full is None else np.uint8 if full == SHALLOW else np.uint16
    levels = (x if full is None else x.round().clamp(0, full)).numpy().astype(kind)
    if picture.alpha is not None:
        levels = np.concatenate([levels, picture.alpha[None].astype(kind)])
    try:
        image = Image.fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1))
        ending = path.suffix[1:].lower()
        image.save(content, format={"tif": "tiff"}.get(ending, ending))
    except (TypeError, OSError, KeyError) as error:
        raise BadInput(f"{path} cannot hold such a picture ({error}): write it as .npy") from error
    write_atomic(path, content.getvalue())


def in_units(picture: Picture, limits: Sequence[float] | None) -> Float[Tensor, "*event"]:
    """Levels mapped onto the range of a run's data; numbers of an array as they are."""
    if picture.full is None or limits is None:
        return picture.values
    return picture.values * ((limits[1] - limits[0]) / picture.full) + limits[0]


def of_units(x: Float[Tensor, "*event"], limits: Sequence[float] | None, full: float | None = SHALLOW) -> Picture:
    """The inverse of `in_units`: a picture of that many levels."""
    if full is None or limits is None:
        return Picture(x, full)
    return Picture((x - limits[0]) * (full / (limits[1] - limits[0])), full)


def _tell_of_lost_bits(path: Path) -> None:
    """Warn of a PNG in colour of 16 bits, which is read at 8."""
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(PNG) and head[24] == 16 and head[25] in IN_COLOUR:
        warnings.warn(f"{path} has 16 bits a colour, of which the first 8 are read: keep all as .npy", stacklevel=3)
