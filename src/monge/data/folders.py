"""Files below a folder: which, and what their subfolders say of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monge.errors import BadInput

PARTS = ("train", "training", "val", "valid", "validation", "test", "testing", "holdout")  # of a data set


def listed(
    folder: Path, endings: Sequence[str], what: str
) -> tuple[list[Path], NDArray[np.int64] | None, tuple[str, ...] | None]:
    """Every file below a folder that ends so, in the order of their paths, and the label of each and the labels' names,
    those of the subfolders, where there are any. Files and folders whose name starts with a dot are passed over.

    Raises BadInput where there is none, for links out of the folder and empty files, where some lie in subfolders and
    others do not, and for subfolders that are parts of a data set and no labels.
    """
    below = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    paths = [path for path in below if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not paths:
        raise BadInput(f"{folder} holds no {what}: give a folder with files in {', '.join(endings)}")
    inside = folder.resolve()
    for path in paths:
        if not path.resolve().is_relative_to(inside):
            raise BadInput(f"{path} is a link to {path.resolve()}, out of {folder}: copy the {what} there instead")
        if path.stat().st_size == 0:
            raise BadInput(f"{path} is empty (0 bytes): remove or replace it")
    owners = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in paths]
    classes = tuple(sorted(set(owners)))
    if classes == ("",):
        return paths, None, None
    if "" in classes:
        raise BadInput(f"{folder} has {what}s of its own and others in {classes[1]}/: put all in subfolders, or none")
    if len(classes) == 1 and classes[0].lower() in PARTS and any(p.parent != folder / classes[0] for p in paths):
        return listed(folder / classes[0], endings, what)  # the labels are in it
    if len(classes) > 1 and all(name.lower() in PARTS for name in classes):
        raise BadInput(
            f"{folder} has {', '.join(f'{name}/' for name in classes)}, which are parts of a data set and no labels: "
            f"give {folder / classes[0]}, say"
        )
    return paths, np.array([classes.index(owner) for owner in owners]), classes
