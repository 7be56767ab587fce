"""Squares out of photographs of any sizes, as rows of a table that is never written down."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from monge.data.albums import LARGE
from monge.data.layout import Table, labels, scan
from monge.data.samples import Samples
from monge.errors import BadInput

COVER = 32  # crops that a pixel is in, on average
STEPS = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)  # g^-1, g^-2, g^-3 with g^4 = g + 1


class Crops:
    """Table [n, C, side, side] whose row i is always the same crop of the same picture, cut where it is indexed.

    Crop j of a picture is at the j-th point of a sequence that fills its square evenly (Roberts 2018, the generalised
    golden ratio g), and every second of them, by the third coordinate of that point, is flipped left to right. A
    picture has crops in proportion to its pixels, so many that a pixel is in 32.

    pictures: [C, H, W] each, of one colour and depth. owner: of each row, the number of its picture.

    Raises BadInput for no pictures, some of another colour, or smaller than a crop.

    >>> crops = Crops([np.zeros((1, 20, 30), np.uint8), np.zeros((1, 16, 16), np.uint8)], 8)
    >>> crops.shape, crops[[0, 5]].shape, crops.owner.max()
    ((428, 1, 8, 8), torch.Size([2, 1, 8, 8]), tensor(1))
    """

    def __init__(self, pictures: Sequence[Shaped[np.ndarray, "C _ _"]], side: int = LARGE) -> None:
        if not pictures:
            raise BadInput("there are no pictures to crop: give one or more")
        smallest = min(min(picture.shape[1:]) for picture in pictures)
        if not 1 <= side <= smallest:
            raise BadInput(
                f"crops of {side} pixels do not fit: the smallest picture has {smallest}, give crop={smallest}"
            )
        channels = {picture.shape[0] for picture in pictures}
        if len(channels) > 1:
            raise BadInput(f"pictures of {' and '.join(map(str, sorted(channels)))} channels: bring all to one colour")
        self.side, self.channels = side, channels.pop()
        sizes = torch.tensor([picture.shape[1:] for picture in pictures])
        pixels = sizes.prod(1)
        self._high, self._wide = sizes.T
        self._start = self.channels * (pixels.cumsum(0) - pixels)
        flat = np.concatenate([picture.ravel() for picture in pictures])
        self._values = torch.from_numpy(flat.astype(np.int32) if flat.dtype == np.uint16 else flat)
        counts = (COVER * pixels / side**2).ceil().long()
        self.owner: Int[Tensor, " n"] = torch.arange(len(pictures)).repeat_interleave(counts)
        self._first = counts.cumsum(0) - counts
        self.shape = (len(self.owner), self.channels, side, side)
        self.ndim, self.dtype = 4, self._values.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Shaped[Tensor, "b C side side"]:
        rows = torch.arange(len(self))[torch.as_tensor(index) if not isinstance(index, slice) else index]
        owner = self.owner[rows]
        point = ((rows - self._first[owner] + 1).double()[:, None] * torch.tensor(STEPS, dtype=torch.float64)) % 1
        high, wide = self._high[owner], self._wide[owner]
        top = (point[:, 0] * (high - self.side + 1)).long()
        left = (point[:, 1] * (wide - self.side + 1)).long()
        across = torch.arange(self.side)
        across = torch.where((point[:, 2] < 0.5)[:, None], across, across.flip(0))
        down = top[:, None] + torch.arange(self.side)
        plane = torch.arange(self.channels) * (high * wide)[:, None] + self._start[owner, None]
        lines = plane[:, :, None] + (down * wide[:, None])[:, None]
        return self._values[lines[..., None] + (left[:, None] + across)[:, None, None]]

    def element_size(self) -> int:
        """Bytes of a value."""
        return self._values.element_size()

    def values(self) -> Shaped[np.ndarray, "m 1"]:
        """All values of all pictures, one after the other."""
        return self._values.numpy()[:, None]


def planes(picture: Any) -> Shaped[np.ndarray, "C H W"]:
    """A picture [H, W], [C, H, W] or [H, W, C], of 1 or 3 channels. Raises BadInput for another shape or contents."""
    found = np.asarray(picture)
    if found.ndim == 2:
        found = found[None]
    elif found.ndim == 3 and found.shape[0] not in (1, 3) and found.shape[2] in (1, 3):
        found = np.moveaxis(found, 2, 0)
    if found.ndim != 3 or found.shape[0] not in (1, 3) or found.dtype.kind not in "biuf":
        raise BadInput(f"pictures are [H, W], [C, H, W] or [H, W, C] of numbers, not {found.dtype} {list(found.shape)}")
    return found


def cropped(samples: Samples, side: int) -> Samples:
    """Crops of images or 2-D fields that are all of one size.

    Raises BadInput for other samples, and for crops too large.
    """
    if len(samples.event_shape) != 3:
        raise BadInput(f"crops are cut out of images, and {samples.name} are {samples.kind}: leave crop out")
    if samples.y is not None and samples.y.ndim > 1:
        raise BadInput(f"{samples.name} goes with vectors or images, which crops would not: leave crop out")
    crops = Crops(list(samples.x.numpy()), side)
    return Samples(
        crops,
        None if samples.y is None else samples.y[crops.owner],
        samples.kind,
        samples.name,
        classes=samples.classes,
        quantum=samples.quantum,
        limits=samples.limits,
        source=samples.source,
        groups=crops.owner,
        reading=samples.reading,
    )


def photographs(table: Table, side: int | None, *, label: str, varying: bool = True, **about: Any) -> Samples:
    """`Samples` of crops, of the pictures that a table lists; pictures are never split.

    side: 48 unless given. about: name, source and reading of the samples.
    """
    pictures = list(table.x)
    if side is None:  # as they differ in size, all are large
        side = LARGE
    crops = Crops(pictures, side)
    found = scan(crops.values(), label, varying=varying)
    whole = found.integral and pictures[0].dtype.kind in "iu"
    y, classes = labels(table)
    limits = (0.0, 255.0) if pictures[0].dtype == np.uint8 else (found.low, found.high)
    return Samples(
        crops,
        None if y is None else y[crops.owner],
        "images",
        classes=classes,
        quantum=1.0 if whole else None,
        limits=limits if whole else None,
        groups=crops.owner,
        **about,
    )
