"""Samples as a file with named axes: NetCDF, Zarr, HDF5."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from monge.errors import BadInput
from monge.files import write_atomic

ENDINGS = ".nc", ".zarr", ".h5", ".hdf5"
SAMPLE = "sample"


def write(path: Path, x: Tensor, about: dict[str, Any]) -> None:
    """Samples [n, *event] under the name, with the axes, coordinates, units and other attributes that the data had in
    their file; packed numbers are written unpacked. about: the `data` of a run's record."""
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
    name, attributes = frame.get("name", "x"), frame.get("attributes", {})
    if path.suffix in (".h5", ".hdf5"):
        write_atomic(path, _hdf5(name, values, attributes))
        return
    import xarray

    coordinates = {
        axis: (axis, of, about) for axis, (of, about) in frame.get("coordinates", {}).items() if axis in names
    }
    data = xarray.DataArray(values, dims=(SAMPLE, *names), coords=coordinates, attrs=attributes, name=name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder) / path.name
        if path.suffix == ".nc":
            data.to_netcdf(made, engine="h5netcdf")
        else:
            data.to_dataset().to_zarr(made, consolidated=False)
        if path.is_dir():  # --force was given
            if not (path / "zarr.json").exists() and not (path / ".zgroup").exists():
                raise BadInput(f"{path} is a folder of other things: give another name")
            shutil.rmtree(path)
        os.replace(made, path)


def _hdf5(name: str, values: np.ndarray, attributes: dict[str, Any]) -> bytes:
    import io

    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset(name, data=values).attrs.update(attributes)
    return content.getvalue()
