"""Pictures and arrays as samples in a run's data units, and back."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge.data import read_image
from monge.errors import BadInput
from monge.files import write_atomic

PICTURES = (".png", ".tif", ".tiff", ".bmp")  # written without loss
DEEP = 65535.0


def read(path: Path, limits: Sequence[float] | None) -> Float[Tensor, "*event"]:
    """An event [C, *space]: an .npy array as it is, a picture with its levels mapped onto `limits`."""
    if path.suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise BadInput(f"{path} cannot be read ({error}): write it again as an array of numbers") from error
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise BadInput(f"{path} must hold finite numbers only: repair it")
        return torch.from_numpy(values.astype(np.float32))
    picture = read_image(path)
    full = 255.0 if picture.dtype == np.uint8 else DEEP
    low, high = limits or (0.0, full)
    return torch.from_numpy(picture.astype(np.float32)) * ((high - low) / full) + low


def write(path: Path, x: Float[Tensor, "*event"], limits: Sequence[float] | None) -> None:
    """The inverse of `read`, atomically; a picture has 256 levels, and values beyond them are cut off."""
    content = io.BytesIO()
    if path.suffix == ".npy":
        np.save(content, x.numpy(), allow_pickle=False)
    elif path.suffix in PICTURES:
        from PIL import Image

        low, high = limits or (0.0, 255.0)
        levels = ((x - low) * (255.0 / (high - low))).round().clamp(0, 255).to(torch.uint8).numpy()
        picture = levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1)
        Image.fromarray(picture).save(content, format=path.suffix[1:].replace("tif", "tiff").replace("tifff", "tiff"))
    else:
        raise BadInput(f"{path} must end in {', '.join(PICTURES)} or .npy")
    write_atomic(path, content.getvalue())
