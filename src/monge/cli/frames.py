"""Samples as a file with named axes: NetCDF, Zarr, HDF5."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from monge.errors import BadInput

ENDINGS = ".nc", ".zarr", ".h5", ".hdf5"
SAMPLE, LABEL = "sample", "y"


def write(path: Path, x: Tensor, about: dict[str, Any], labels: Any = None) -> None:
    """Samples [n, *event] under the name, with the axes, coordinates, units and other attributes that the data had in
    their file; packed numbers are written unpacked. about: the `data` of a run's record. labels: [n], beside them under
    the name that they had, `y`, or `label` where the data or an axis is called so."""
    frame = about.get("frame") or {}
    values = x.numpy()
    sizes = tuple(frame.get("sizes", ()))
    names = list(frame.get("axes", ()))
    event = values.shape[1:]
    if sizes and event == (1, *sizes):  # a channel of ours
        values = values[:, 0]
    elif sizes and event != sizes and event == (sizes[-1], *sizes[:-1]):  # channels last in the file
        values = np.moveaxis(values, 1, -1)
    elif event != sizes:
        names = [f"axis{i + 1}" for i in range(len(event))]
    names = [name or f"axis{i + 1}" for i, name in enumerate(names)]
    own = about.get("reading", {}).get("label_column")
    name, attributes = frame.get("name", "x"), frame.get("attributes", {})
    import xarray

    coordinates = {
        axis: (axis, of, about) for axis, (of, about) in frame.get("coordinates", {}).items() if axis in names
    }
    taken = {name, *names}
    sample = _free(taken, SAMPLE)
    data = xarray.DataArray(values, dims=(sample, *names), coords=coordinates, attrs=attributes, name=name)
    beside = _free(taken | {sample}, *[own] * (own is not None), LABEL, "label")
    labels = labels.astype(object) if labels is not None and labels.dtype.kind == "U" else labels
    file = data.to_dataset() if labels is None else data.to_dataset().assign({beside: (sample, labels)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder) / path.name
        if path.suffix != ".zarr":  # NetCDF 4 is HDF5
            file.to_netcdf(made, engine="h5netcdf")
        else:
            file.to_zarr(made, consolidated=False)
        if path.is_dir():  # --force was given
            if not (path / "zarr.json").exists() and not (path / ".zgroup").exists():
                raise BadInput(f"{path} is a folder of other things: give another name")
            shutil.rmtree(path)
        os.replace(made, path)


def _free(taken: set[str], *names: str) -> str:
    """The first of these names that is not taken, or the last with a line behind it."""
    found = next((name for name in names if name not in taken), None)
    return found if found is not None else _free(taken, f"{names[-1]}_")
