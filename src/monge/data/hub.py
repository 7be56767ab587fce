"""Tables as Hugging Face keeps them: folders of Arrow files, names of classes, and pictures in a column."""

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monge.data.albums import stacked
from monge.data.images import read_image
from monge.errors import BadInput

STATE, SEVERAL = "state.json", "dataset_dict.json"
LABELS = ("label", "labels")  # of pictures, where no other column is asked for


def is_saved(folder: Path) -> bool:
    """Whether `datasets.Dataset.save_to_disk`, or that of several, wrote a folder."""
    return any((folder / name).exists() for name in (STATE, SEVERAL))


def saved(folder: Path) -> Any:
    """The Arrow table in such a folder. Raises BadInput for several sets, and for rows chosen by an index."""
    from pyarrow import concat_tables, ipc, memory_map

    if (folder / SEVERAL).exists():
        names = json.loads((folder / SEVERAL).read_text())["splits"]
        raise BadInput(f"{folder} holds {', '.join(names)}, each a data set: give {folder / names[0]}, say")
    state = json.loads((folder / STATE).read_text())
    if state.get("_indices_data_files"):
        raise BadInput(f"{folder} keeps an index beside its rows: save it again after flatten_indices()")
    inside, parts = folder.resolve(), []
    for each in state["_data_files"]:
        path = (folder / each["filename"]).resolve()
        if not path.is_relative_to(inside):
            raise BadInput(f"{folder} names {each['filename']}, out of it: save it again")
        with memory_map(str(path)) as file:
            parts.append(ipc.open_stream(file).read_all())
    return concat_tables(parts)


def names_of(schema: Any, column: str) -> tuple[str, ...] | None:
    """Names of the classes of a column, which is of whole numbers, where its file tells them."""
    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = about.get("info", {}).get("features", {}).get(column, {})
    return tuple(feature["names"]) if isinstance(feature, dict) and feature.get("names") else None


def pictures_in(schema: Any) -> str | None:
    """The column that holds pictures, as bytes, alone or beside a path; None if there is none."""
    from pyarrow import types

    for field in schema:
        kind = field.type
        if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field(kind.get_field_index("bytes")).type
        if types.is_binary(kind) or types.is_large_binary(kind):
            return str(field.name)
    return None


def pictures(table: Any, column: str, others: Sequence[str], name: str, *, cropped: bool, missing: str | None) -> Any:
    """The pictures of a column, [n, C, H, W], or a list of those that are to be cropped.

    Raises BadInput for one that is missing or is no picture, and what `stacked` refuses; warns of others, columns that
    are not read.
    """
    if missing is not None:
        raise BadInput(f"{name}: missing={missing!r} is of cells, and {column!r} holds pictures: leave it out")
    if others:
        warnings.warn(f"{name}: {', '.join(others)} are not read beside the pictures in {column!r}", stacklevel=2)

    def each(row: int, cell: Any) -> Any:
        content = cell["bytes"] if isinstance(cell, dict) else cell
        if content is None:
            raise BadInput(
                f"{name}: row {row + 1} has no picture in {column!r}: leave such rows out with drop_missing=True "
                "(--drop-missing), or embed them"
            )
        try:
            return read_image(io.BytesIO(content))
        except BadInput as error:
            raise BadInput(f"{name}: row {row + 1} of {column!r} is not a readable picture: drop it") from error

    cells = table.column(column)
    rows = [f"row {row + 1}" for row in range(len(cells))]
    return stacked((each(row, cell.as_py()) for row, cell in enumerate(cells)), rows, cropped=cropped)
