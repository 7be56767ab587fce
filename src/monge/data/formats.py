"""Formats of single fields: sounds (WAV), skies (FITS), shards of pictures (tar, as WebDataset has them)."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.albums import stacked
from monge.data.folders import listed
from monge.data.images import ENDINGS as PICTURES
from monge.data.images import read_image
from monge.data.layout import Table
from monge.errors import BadInput
from monge.progress import bar

SOUNDS = (".wav",)
LARGEST_MEMBER = 2**28  # bytes of a picture in a shard
LABEL = ".cls"  # of the file with the label of a picture


def sounds(folder: Path) -> Table:
    """Every .wav below a folder, of one length and rate, [n, C, L]; subfolders are the labels.

    Raises BadInput for those that differ, and what `listed` refuses."""
    from scipy.io import wavfile

    paths, y, classes = listed(folder, SOUNDS, "sound")
    found: list[NDArray[Any]] = []
    told = ""
    with bar(f"reading {folder.name}", len(paths)) as advance:
        for path in paths:
            try:
                rate, values = wavfile.read(path)
            except (ValueError, OSError, EOFError) as error:
                raise BadInput(f"{path} is not a readable sound ({error}): remove or replace it") from error
            found.append(np.atleast_2d(values.T))
            this = f"{found[-1].shape[1]:,} values x {len(found[-1])} at {rate} Hz, {values.dtype}"
            told = told or this
            if this != told:
                raise BadInput(
                    f"sounds differ: {paths[0]} has {told}, and {path} {this}: bring all to one length and rate"
                )
            advance()
    return Table(np.stack(found), y, classes, kind="fields")


def fits(path: Path) -> Table:
    """The first image of a FITS file that has two axes or more, its first axis (NAXISn of the largest n) being the
    samples. Raises BadInput without astropy, and where there is none."""
    try:
        from astropy.io import fits as astropy
    except ImportError as error:
        raise BadInput(f"{path} needs astropy to be read: pip install 'monge[astro]'") from error
    with astropy.open(path, memmap=False) as file:
        for unit in file:
            if unit.is_image and unit.data is not None and unit.data.ndim >= 2:
                values = np.asarray(unit.data)
                return Table(values.astype(values.dtype.newbyteorder("=")))
    raise BadInput(f"{path} holds no image of two axes or more: give another file")


def shard(path: Path) -> Table:
    """Pictures of a tar, in its order, [n, C, H, W], labels being the .cls beside each; nothing is written to disk.

    Raises BadInput for links, members too large, a picture without the label that others have, and no picture at all.
    """
    pictures: list[NDArray[np.generic]] = []
    keys: list[str] = []
    labels: dict[str, str] = {}
    with tarfile.open(path, "r:*") as file:
        for member in file:
            if member.issym() or member.islnk():
                raise BadInput(f"{path}: {member.name} is a link: write the picture itself")
            content = file.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            if member.size > LARGEST_MEMBER:
                raise BadInput(f"{path}: {member.name} has {member.size:,} bytes, too many for a picture")
            key, ending = str(Path(member.name).with_suffix("")), Path(member.name).suffix.lower()
            if ending in PICTURES:
                try:
                    pictures.append(read_image(io.BytesIO(content.read())))
                except BadInput as error:
                    raise BadInput(f"{path}: {member.name} is not a readable picture: remove or replace it") from error
                keys.append(key)
            elif ending == LABEL:
                labels[key] = content.read().decode().strip()
    if not pictures:
        raise BadInput(f"{path} holds no picture: a shard has files such as 0001.png, and 0001.cls for its label")
    missing = next((key for key in keys if labels and key not in labels), None)
    if missing is not None:
        raise BadInput(f"{path}: {missing} has no .cls, and others have: give each a label, or none")
    x = stacked(pictures, keys)
    y = np.array([labels[key] for key in keys]) if labels else None
    return Table(x, y.astype(np.int64) if y is not None and all(text.isdigit() for text in labels.values()) else y)


FORMATS: dict[str, Callable[[Path], Table]] = {".fits": fits, ".fit": fits, ".tar": shard}
