"""Pictures from files: one at a time, upright, in sRGB."""

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from monge.errors import BadInput

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
AS_COLOURS = ("CMYK", "YCbCr", "LAB", "HSV", "RGBX")  # modes that are told in red, green and blue
WITH_ALPHA = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA"}


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

    page: which of those that a file holds. A palette and other colours (CMYK, LAB) become RGB, and that is sRGB where a
    file has a colour profile; black-and-white becomes 0 and 255. Raises `BadInput` for a file that is no picture or is
    truncated, for colours of 16 bits, for a profile that is damaged, and where there are several pages and none is
    asked for.
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
            tiles = list(getattr(file, "tile", ()))
            picture = ImageOps.exif_transpose(file)
            if picture.mode == "1":
                picture = picture.convert("L")
            if picture.mode in WITH_ALPHA:
                picture = picture.convert(WITH_ALPHA[picture.mode])
            if picture.mode == "P" or "transparency" in picture.info:
                picture = picture.convert("LA" if picture.mode == "L" else "RGBA")
            if not picture.mode.startswith("I") and any(map(_is_deep, tiles)):
                raise BadInput(f"{path} has colours of 16 bits, which are read as 8: save it as .npy, or gray")
            picture = _in_srgb(picture, path)
            if picture.mode not in ("L", "RGB", "LA", "RGBA", "F", "I") and not picture.mode.startswith("I;16"):
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


def _is_deep(tile: Any) -> bool:
    """Whether a part of a file is stored with more than eight bits a colour, of which Pillow would keep eight."""
    codec, _, _, told = tile
    most = told[1] if codec.startswith("ppm") and isinstance(told, tuple) else 0
    return ";16" in str(told) or int(most) > 255


def _in_srgb(picture: Any, path: Any) -> Any:
    """Colours by their profile, where there is one, and of other modes, in sRGB."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    try:
        if profile and picture.mode in ("RGB", "RGBA", "CMYK", "LAB"):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            name = ImageCms.getProfileDescription(source).strip()
            if "sRGB" not in name:
                warnings.warn(f"{picture.mode} colours by the profile {name!r} are read in sRGB", stacklevel=4)
                to = "RGBA" if picture.mode == "RGBA" else "RGB"
                return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=to)
        elif picture.mode == "LAB":
            warnings.warn("LAB colours are read in sRGB", stacklevel=4)
            lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise BadInput(
            f"{path} has a colour profile that cannot be used ({error}): save it without, or in sRGB"
        ) from error
    if picture.mode not in AS_COLOURS:
        return picture
    warnings.warn(f"{picture.mode} colours are read in sRGB", stacklevel=4)
    return picture.convert("RGB")


def is_gray(values: Shaped[np.ndarray, "C *space"]) -> bool:
    """Whether a picture of three channels has one, stored three times."""
    return len(values) == 3 and bool((values[0] == values[1]).all() and (values[0] == values[2]).all())
