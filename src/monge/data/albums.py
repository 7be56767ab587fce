"""Many pictures: a folder whose subfolders are labels, the pages of a file, and folders larger than memory."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.folders import listed
from monge.data.images import ENDINGS, is_gray, read_image
from monge.data.layout import Table
from monge.data.stored import IN_MEMORY, Stored
from monge.errors import BadInput
from monge.progress import bar

STACKS = (".gif", ".tif", ".tiff")
LARGE = 48  # sides from which on pictures of several sizes are cropped unasked, and of the crops
LOOKED_AT = 100  # pictures of a folder that stays on disk, by which it is told whether they are gray
AT_ONCE = 64  # pictures that are decoded ahead
APART = 2**15  # bytes of a picture, from which on workers are faster than one: they wait for Python between two


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
    first = read_image(paths[0])
    if len(paths) * first.nbytes > IN_MEMORY and not cropped and _alike(paths):
        return Table(Stored(Album(paths)), y, classes)
    with bar(f"reading {folder.name}", len(paths)) as advance, ThreadPoolExecutor() as workers:

        def pictures() -> Iterator[NDArray[np.generic]]:
            for image in _decoded(paths, workers if first.nbytes >= APART else None):
                yield image
                advance()

        x = stacked(pictures(), [path.relative_to(folder) for path in paths], cropped=cropped)
    return Table(x, y, classes)


def _decoded(paths: Sequence[Path], workers: ThreadPoolExecutor | None) -> Iterator[NDArray[np.generic]]:
    """Pictures in order, a few of them decoded ahead, if there are workers for it."""
    if workers is None:
        yield from map(read_image, paths)
        return
    left = iter(paths)
    while some := list(islice(left, AT_ONCE)):
        yield from workers.map(read_image, some)


def _alike(paths: Sequence[Path]) -> bool:
    """Whether pictures have one size, by what their files begin with."""
    from PIL import Image

    def size(path: Path) -> tuple[int, int]:
        try:
            with Image.open(path) as file:
                return file.size
        except (OSError, ValueError, SyntaxError):
            return read_image(path).shape[1:]  # which says what is wrong with it

    with ThreadPoolExecutor() as workers:
        return len(set(workers.map(size, paths))) == 1


class Album:
    """Pictures in files [n, C, H, W], decoded by workers where they are asked for. Raises BadInput for one that is not
    like the first, when it is read.

    Gray ones that are stored as colours have one channel, if a hundred of them are gray.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._workers = ThreadPoolExecutor(thread_name_prefix="monge-pictures")
        spaced = [paths[i] for i in np.linspace(0, len(paths) - 1, LOOKED_AT).round().astype(int)]
        some = list(self._workers.map(read_image, spaced))
        self._first = read_image(paths[0])
        self._gray = all(map(is_gray, some))
        self.shape = (len(paths), 1 if self._gray else len(self._first), *self._first.shape[1:])

    def __getitem__(self, rows: slice) -> NDArray[np.generic]:
        each = map if self._first.nbytes < APART else self._workers.map
        return np.stack(list(each(self._one, self.paths[rows])))

    def _one(self, path: Path) -> NDArray[np.generic]:
        image: NDArray[np.generic] = read_image(path)
        if (image.shape, image.dtype) != (self._first.shape, self._first.dtype):
            first = f"{self.paths[0]} is {_size(self._first)}"
            raise BadInput(f"pictures differ: {first} and {path} is {_size(image)}: bring all to one size and colour")
        if self._gray and not is_gray(image):
            raise BadInput(f"{path} has colours, and {LOOKED_AT} others of its folder are gray: take it out")
        return image[:1] if self._gray else image


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
