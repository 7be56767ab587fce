"""Archives: the array that holds the samples, what goes with each row, and axes that are neither."""

import h5py
import numpy as np
import pytest
import zarr
from scipy.io import netcdf_file

from monge.data import load
from monge.errors import BadInput

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, 4))
TEXTS = ["cat", "dog", "été"] * 20


def h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name.replace("__", "/")] = values
    return path


def test_labels_of_text_are_read_from_every_format(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = X
        file.create_dataset("y", data=TEXTS, dtype=h5py.string_dtype())
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["y"] = X, np.array([text.encode() for text in TEXTS])
    store = zarr.open_group(tmp_path / "c.zarr", mode="w")
    store["x"] = X
    store.create_array("y", shape=(60,), dtype=str)[:] = np.array(TEXTS)
    np.savez(tmp_path / "d.npz", x=X, y=np.array(TEXTS))
    for name in ("a.h5", "b.h5", "c.zarr", "d.npz"):
        found = load(tmp_path / name)
        assert (found.classes, found.y.tolist()) == (("cat", "dog", "été"), [0, 1, 2] * 20), name


def test_labels_stand_in_the_group_of_their_samples(tmp_path):
    path = h5(tmp_path / "a.h5", train__x=X, train__y=np.arange(60) % 3, test__x=X[:10])
    assert load(f"{path}#train/x").y.tolist() == [0, 1, 2] * 20
    assert load(f"{path}#test/x").y is None
    with pytest.raises(BadInput, match=r"choose a key among test/x \[10, 4\], train/x \[60, 4\], as in a.h5#KEY"):
        load(path)


def test_labels_of_another_number_are_refused_and_other_arrays_told(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=np.arange(59) % 3)
    with pytest.raises(BadInput, match="y has 59 rows, and x has 60: give a label for each"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=X, kappa=np.linspace(0, 1, 60), seed=3)
    with pytest.warns(UserWarning, match=r"kappa \[60\] beside x is not read: label_column="):
        assert load(tmp_path / "b.npz").y is None
    told = load(tmp_path / "b.npz", label_column="kappa")
    assert (told.y.shape, told.reading) == ((60, 1), {"label_column": "kappa"})
    with pytest.raises(BadInput, match="has no array 'beta' beside x: it has x, kappa, seed"):
        load(tmp_path / "b.npz", label_column="beta")


def test_axes_are_not_samples(tmp_path):
    rain = DRAW.normal(size=(30, 16, 16))
    with h5py.File(tmp_path / "a.h5", "w") as file:  # as NetCDF 4 has it
        file["rain"] = rain
        for i, name in enumerate(("time", "y", "x")):
            file[name] = np.arange(rain.shape[i])
            file[name].make_scale(name)
            file["rain"].dims[i].attach_scale(file[name])
    store = zarr.open_group(tmp_path / "b.zarr", mode="w")
    store.create_array("rain", data=rain, dimension_names=("time", "y", "x"))
    store.create_array("x", data=np.arange(16.0), dimension_names=("x",))
    two = zarr.open_group(tmp_path / "c.zarr", mode="w", zarr_format=2)
    for name, values, axes in (("rain", rain, ["time", "y", "x"]), ("x", np.arange(16.0), ["x"])):
        two.create_array(name, data=values).attrs["_ARRAY_DIMENSIONS"] = axes
    for name in ("a.h5", "b.zarr", "c.zarr"):
        assert load(tmp_path / name).event_shape == (1, 16, 16), name
        assert np.allclose(load(tmp_path / name).x[:, 0], rain)


def test_netcdf_is_unpacked_and_what_is_filled_is_missing(tmp_path):
    packed = DRAW.integers(0, 100, (20, 6), dtype=np.int16)
    with netcdf_file(tmp_path / "classic.nc", "w") as file:
        for name, size in (("time", 20), ("x", 6)):
            file.createDimension(name, size)
        file.createVariable("x", "f8", ("x",))[:] = np.arange(6)
        t = file.createVariable("t", "i2", ("time", "x"))
        t[:] = packed
        t.scale_factor, t.add_offset, t._FillValue = 0.01, 270.0, np.int16(-1)
    assert np.allclose(load(tmp_path / "classic.nc").x, 270 + 0.01 * packed, atol=1e-4)
    with h5py.File(tmp_path / "four.nc", "w") as file:
        file["t"] = np.where(np.arange(20)[:, None] == 3, -1, packed)
        file["t"].attrs.update(scale_factor=np.array([0.5]), _FillValue=np.array([-1]))
    with pytest.raises(BadInput, match=r"6 NaN or infinite values in 1 of 20 rows, the first at \[3, 0\]"):
        load(tmp_path / "four.nc")
    assert np.allclose(load(tmp_path / "four.nc", drop_missing=True).x, 0.5 * np.delete(packed, 3, 0))


def test_chains_are_rows_and_are_held_out_whole_where_there_are_enough(tmp_path):
    arviz = pytest.importorskip("arviz")
    draws = DRAW.normal(size=(8, 50, 3))
    arviz.from_dict(posterior={"x": draws}, sample_stats={"energy": draws[..., 0]}).to_netcdf(tmp_path / "c.nc")
    for source in (str(tmp_path / "c.nc"), f"{tmp_path / 'c.nc'}#posterior/x"):
        found = load(source)
        assert np.allclose(found.x, draws.reshape(400, 3))
        train, held = found.split(0.25)
        assert (len(held), set(held.groups.tolist()) & set(train.groups.tolist())) == (100, set())


def test_an_archive_that_expands_five_hundred_times_is_refused(tmp_path):
    zeros = np.zeros((2**15, 300))
    np.savez_compressed(tmp_path / "bomb.npz", x=zeros)
    with pytest.raises(BadInput, match=r"x\.npy would expand from .* to 78,643,.* bytes"):
        load(tmp_path / "bomb.npz")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("x", data=zeros, compression="gzip", compression_opts=9)
    with pytest.raises(BadInput, match="x would expand"):
        load(tmp_path / "bomb.h5")


@pytest.mark.parametrize("values", [np.array([{}, 1], dtype=object), np.ones(3) * 1j, np.array(["a", "b"])])
def test_objects_complex_numbers_and_texts_are_refused(tmp_path, values):
    np.savez(tmp_path / "a.npz", x=values)
    with pytest.raises(BadInput, match=r"Object arrays cannot be loaded|complex numbers|text"):
        load(tmp_path / "a.npz")
