"""Arrays that stay in their files: the same rows, the same model, in bounded memory."""

import h5py
import numpy as np
import pytest
import torch
import zarr

import monge
from monge.data import archives, load
from monge.data.stored import KEPT, Stored
from monge.training import Rows

X = np.random.default_rng(0).normal(size=(600, 1, 6, 6)).astype(np.float32)


class Counted:
    """An array that counts what is read of it."""

    def __init__(self, x):
        self.x, self.shape, self.read = x, x.shape, []

    def __getitem__(self, rows):
        self.read.append(rows.start)
        return self.x[rows]


def test_rows_in_any_order_are_those_of_the_array():
    source = Counted(X)
    table = Stored(source, block=37)
    rows = torch.randint(600, (90,), generator=torch.Generator().manual_seed(0))
    assert np.array_equal(table[rows], X[rows])
    assert np.array_equal(table[100:130], X[100:130])
    assert len(source.read) == 1 + len(set((rows // 37).tolist()) | {2, 3})  # each block once
    last_first = table.arranged(lambda x: x.movedim(1, -1))
    assert np.array_equal(last_first[rows], np.moveaxis(X, 1, -1)[rows])


def test_blocks_are_kept_for_a_while_and_not_for_ever():
    source = Counted(X)
    table = Stored(source, block=2)
    table[torch.arange(600)]
    read = len(source.read)
    table.ahead(torch.arange(600 - 2 * KEPT, 600))
    assert np.array_equal(table[598:], X[598:])
    assert len(source.read) == read
    assert np.array_equal(table[:2], X[:2])
    assert len(source.read) == read + 1


@pytest.mark.parametrize("n", [50, 51, 600])
def test_blocks_are_shuffled_and_every_row_comes_once(n):
    rows = Rows(n, 7, seed=0, block=3)
    epoch = torch.cat([rows.at(k) for k in range(-(-n // 7))])[:n]
    assert sorted(epoch.tolist()) == list(range(n))
    assert epoch.tolist() != sorted(epoch.tolist())
    for k in range(0, n - 48, 48):  # the rows of 16 blocks together
        assert len(set((epoch[k : k + 48] // 3).tolist())) <= 17
    aside = Rows(n, 7, seed=0, validation=0.2, block=3)
    assert len(set((aside.held_out // 3).tolist())) <= len(aside.held_out) / 3 + 1
    assert not set(aside.held_out.tolist()) & set(aside.at(0).tolist())
    assert torch.equal(Rows(n, 7, seed=0, block=3).at(11), rows.at(11))


@pytest.mark.parametrize("ending", [".h5", ".zarr"])
def test_a_large_array_stays_in_its_file_and_trains_as_one_in_memory(tmp_path, monkeypatch, ending):
    path = tmp_path / f"x{ending}"
    if ending == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=X, chunks=(10, 1, 6, 6))
    else:
        zarr.create_array(path, data=X, chunks=(10, 1, 6, 6))
    whole = load(path)
    assert whole.block is None
    monkeypatch.setattr(archives, "IN_MEMORY", 1000)
    monkeypatch.setattr("monge.data.stored.BLOCK_BYTES", 3000)
    there = load(path)
    assert (there.block, there.kind, there.event_shape, there.quantum) == (20, "fields", (1, 6, 6), None)
    assert np.array_equal(there.x, whole.x)
    assert np.array_equal(there.batch([5, 599, 3]), whole.batch([5, 599, 3]))
    assert there.fingerprint == whole.fingerprint
    train, held = there.split(0.25)
    assert sorted(torch.cat([train.x, held.x])[:, 0, 0, 0].tolist()) == sorted(X[:, 0, 0, 0].tolist())
    models = [monge.RealNVP().fit(train, steps=5, seed=1, show=False, out=tmp_path / f"run{i}") for i in range(2)]
    assert torch.equal(*(model.sample(3) for model in models))
    assert (held.view[:4] == held.x[:4].numpy()).all()


def test_channels_last_and_packed_numbers_are_read_by_blocks_too(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "IN_MEMORY", 1000)
    packed = np.random.default_rng(0).integers(0, 200, (90, 8, 8, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = packed
        file["t"] = packed[..., 0]
        file["t"].attrs["scale_factor"] = 0.5
    with pytest.warns(UserWarning, match="t .* is not read"):
        pictures = load(tmp_path / "x.h5")
    assert (pictures.kind, pictures.quantum) == ("images", 1.0)
    assert np.array_equal(pictures.batch([7]), np.moveaxis(packed[7:8], -1, 1))
    assert np.allclose(load(tmp_path / "x.h5", key="t").batch([7])[:, 0], packed[7:8, ..., 0] / 2)
    with pytest.raises(monge.errors.BadInput, match="stays in its file are not left out one by one"):
        load(tmp_path / "x.h5", key="t", drop_missing=True)


def test_rows_are_taken_in_the_order_that_is_asked_for_and_split_in_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "IN_MEMORY", 1000)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
    there = load(tmp_path / "x.h5")
    assert np.array_equal(there.take([2, 0, 5]).x, X[[2, 0, 5]])
    train, _ = there.split(0.5)
    assert train.x[:, 0, 0, 0].tolist() == [v for v in X[:, 0, 0, 0].tolist() if v in set(train.x[:, 0, 0, 0].tolist())]


def test_cells_that_are_filled_far_from_the_beginning_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "IN_MEMORY", 1000)
    monkeypatch.setattr("monge.data.stored.BLOCK_BYTES", 1000)
    values = np.random.default_rng(0).integers(0, 99, (300, 20), dtype=np.int16)
    values[250, 3] = -1
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = values
        file["x"].attrs["_FillValue"] = np.int16(-1)
    with pytest.raises(
        monge.errors.BadInput, match=r"1 NaN or infinite value in 1 of 300 rows, the first at \[250, 3\]"
    ):
        load(tmp_path / "x.h5")
