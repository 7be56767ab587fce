"""Drawn samples go back in the format that the data came in, with names, axes, coordinates and units."""

import contextlib

import h5py
import numpy as np
import pytest
import torch
import xarray

from monge.cli.drawing import write_samples
from monge.data import Samples, load
from monge.errors import BadInput

RAIN = np.random.default_rng(0).normal(size=(40, 6, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def rain(tmp_path_factory):
    path = tmp_path_factory.mktemp("nc") / "rain.nc"
    axes = {
        "time": np.arange(40),
        "lat": ("lat", np.linspace(40, 45, 6), {"units": "degrees_north"}),
        "lon": np.arange(8.0),
    }
    made = xarray.DataArray(RAIN, dims=("time", "lat", "lon"), coords=axes, name="rain", attrs={"units": "mm/h"})
    made.to_netcdf(path, engine="h5netcdf")
    return load(path)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_axes_coordinates_and_units_come_back(rain, tmp_path, ending):
    path = tmp_path / f"new{ending}"
    for n in (7, 5):  # over what stands there, as --force has it
        write_samples(path, torch.rand(n, 1, 6, 8), rain.describe())
    found = xarray.open_dataset(
        path, engine="h5netcdf" if ending == ".nc" else "zarr", **({} if ending == ".nc" else {"consolidated": False})
    )["rain"]
    assert (found.dims, found.shape, found.attrs["units"]) == (("sample", "lat", "lon"), (5, 6, 8), "mm/h")
    assert np.allclose(found["lat"], np.linspace(40, 45, 6))
    assert found["lat"].attrs["units"] == "degrees_north"
    assert load(path).event_shape == (1, 6, 8)


def test_hdf5_has_the_name_and_the_attributes(rain, tmp_path):
    write_samples(tmp_path / "new.h5", torch.rand(5, 1, 6, 8), rain.describe())
    with h5py.File(tmp_path / "new.h5") as file:
        assert (file["rain"].shape, file["rain"].attrs["units"]) == ((5, 6, 8), "mm/h")
        assert [file["rain"].dims[k][0].name for k in (1, 2)] == ["/lat", "/lon"]
    assert load(tmp_path / "new.h5").frame["coordinates"]["lat"][1] == {"units": "degrees_north"}


@pytest.mark.parametrize("ending", [".nc", ".zarr", ".h5", ".npz", ".csv", ".parquet", ""])
def test_labels_go_along_by_their_names(tmp_path, ending):
    names, y = ("ant", "bee", "cat"), torch.tensor([2, 0, 0, 1, 2])
    levels = torch.arange(5 * 36).reshape(5, 1, 6, 6).float()
    x = levels if ending in ("", ".nc", ".zarr", ".h5") else levels.flatten(1)[:, :3]
    data = Samples(x, y, "images" if x.ndim == 4 else "vectors", classes=names, quantum=1.0, limits=(0.0, 255.0))
    path = tmp_path / f"new{ending}"
    write_samples(path, x, data.describe(), y)
    found = load(path, label_column="label" if ending in (".csv", ".parquet") else None)
    assert found.classes == names
    assert sorted(found.y.tolist()) == sorted(y.tolist())
    if ending:
        assert found.y.tolist() == y.tolist()


def test_channels_that_were_last_are_last_and_arrays_without_a_file_have_axes_too(tmp_path):
    path = tmp_path / "p.nc"
    pixels = np.random.default_rng(0).integers(0, 255, (30, 8, 9, 3), dtype=np.uint8)
    xarray.DataArray(pixels, dims=("n", "y", "x", "band"), name="picture").to_netcdf(path, engine="h5netcdf")
    data = load(path)
    assert data.event_shape == (3, 8, 9)
    write_samples(tmp_path / "new.nc", data.x[:4], data.describe())
    found = xarray.open_dataset(tmp_path / "new.nc", engine="h5netcdf")["picture"]
    assert found.dims == ("sample", "y", "x", "band")
    assert np.array_equal(found, pixels[:4])
    plain = load(RAIN)
    write_samples(tmp_path / "plain.nc", plain.x[:4], plain.describe())
    assert xarray.open_dataset(tmp_path / "plain.nc", engine="h5netcdf")["x"].dims == (
        "sample",
        "axis1",
        "axis2",
        "axis3",
    )


def test_labels_take_no_place_of_data_and_axes(tmp_path):
    x, kinds = np.random.default_rng(0).normal(size=(9, 4, 5)).astype(np.float32), np.arange(9) % 2
    for name, dims in (
        ("y", ("time", "lat", "lon")),
        ("rain", ("time", "y", "x")),
        ("rain", ("time", "sample", "lon")),
    ):
        made = xarray.Dataset({name: (dims, x), "cls": ("time", kinds)})
        data = load(made, key=name, label_column="cls")
        write_samples(tmp_path / "new.nc", data.x, data.describe(), data.y)
        found = load(tmp_path / "new.nc", key=name, label_column="cls")
        assert torch.equal(found.x, data.x)
        assert torch.equal(found.y, data.y)
        with (
            pytest.warns(UserWarning, match="are not read|is not read") if name == "rain" else contextlib.nullcontext()
        ):
            assert torch.equal(load(tmp_path / "new.nc", key=None if name == "rain" else "y").x, data.x)


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hid", "", "..", "a\\b"])
def test_names_of_classes_are_no_paths(tmp_path, name):
    x = torch.arange(2 * 16).reshape(2, 1, 4, 4).float()
    data = Samples(x, torch.tensor([0, 1]), "images", classes=(name, "ok"), quantum=1.0, limits=(0.0, 255.0))
    with pytest.raises(BadInput, match="is no name of a folder of its own"):
        write_samples(tmp_path / "out", x, data.describe(), data.y)
    assert not list(tmp_path.iterdir())


def test_arrays_with_axes_in_memory_are_read_as_from_a_file(rain, tmp_path):
    days = np.arange("2024-01-01", "2024-01-09", dtype="datetime64[D]").astype("datetime64[ns]")
    made = xarray.DataArray(
        RAIN,
        dims=("n", "lat", "day"),
        coords={"day": days, "lat": np.arange(6.0)},
        name="rain",
        attrs={"units": "mm/h"},
    )
    data = load(made)
    assert torch.equal(data.x, rain.x)
    write_samples(tmp_path / "new.nc", data.x[:4], data.describe())
    found = xarray.open_dataset(tmp_path / "new.nc", engine="h5netcdf")["rain"]
    assert found.attrs["units"] == "mm/h"
    assert (found["day"].values == days).all()
    both = made.to_dataset().assign(kind=("n", np.arange(40) % 2))
    assert load(both, key="rain", label_column="kind").y.tolist() == [0, 1] * 20
    with pytest.raises(BadInput, match=r"the arrays has no array 'x': choose a key among"):
        load(xarray.Dataset({"a": ("n", np.arange(9.0)), "b": ("n", np.arange(9.0))}))
