"""The endings that samples can be written with."""

from pathlib import Path
from typing import Any

from monge.errors import BadInput
from monge.files import ending_of

ARRAYS, TABLES = (".npz", ".npy", ".nc", ".zarr", ".h5", ".hdf5"), (".csv", ".tsv", ".txt", ".parquet")


def refuse_ending(path: Path, about: dict[str, Any]) -> None:
    """Raise BadInput where samples of such data, the `data` of a run's record, cannot be written to such a path."""
    vectors, ending = about["kind"] == "vectors", ending_of(path)
    if ending not in (*ARRAYS, *TABLES, ""):
        raise BadInput(f"{path} must end in {', '.join((*ARRAYS, *TABLES))}, or be a folder, for pictures")
    if ending in TABLES and not vectors:
        raise BadInput(f"{path} would be a table, and these samples are {about['kind']}: write .npz, .npy or a folder")
    if ending == "" and (about["kind"] != "images" or about["event_shape"][0] not in (1, 3)):
        raise BadInput(
            f"{path} would be a folder of pictures, and these samples are {about['kind']}: write .npz or .npy"
        )
