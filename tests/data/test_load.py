"""`load`: every source gives the values that were written, with the right kind and labels."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
import zarr
from PIL import Image

from monge.data import Samples, load, read_image
from monge.errors import BadInput

VALUES = np.random.default_rng(0).normal(size=(12, 3))
LABELS = np.arange(12) % 4


def _write(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    else:
        group = zarr.open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array)
    return path


@pytest.mark.parametrize("ending", [".npz", ".h5", ".zarr"])
def test_archives(tmp_path: Path, ending: str) -> None:
    path = _write(tmp_path / f"a{ending}", x=VALUES, y=LABELS, other=VALUES[:, :2])
    with pytest.warns(UserWarning, match=r"other \[12, 2\] beside x is not read"):
        data = load(path)
    assert data.x.dtype == torch.float32
    assert np.array_equal(data.x.numpy(), VALUES.astype(np.float32))
    assert data.y is not None
    assert np.array_equal(data.y.numpy(), LABELS)
    assert (data.name, data.kind, data.quantum, data.source) == ("a", "vectors", None, str(path))
    for other in (load(path, key="other"), load(f"{path}#other")):
        assert other.event_shape == (2,)
        assert other.y is not None
    with pytest.raises(BadInput, match="y has 3 rows, and field has 12"):
        load(_write(tmp_path / f"b{ending}", field=VALUES, y=LABELS[:3]))


def test_h5_and_zarr_groups_and_a_bare_zarr_array(tmp_path: Path) -> None:
    for ending in (".h5", ".zarr"):
        path = _write(tmp_path / f"n{ending}", **{"run/x": VALUES, "run/z": VALUES[:, :1]})
        assert load(f"{path}#run/z").event_shape == (1,)
    zarr.save_array(tmp_path / "bare.zarr", VALUES)
    assert load(tmp_path / "bare.zarr").event_shape == (3,)


def test_large_archives_are_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monge.data.archives.CHUNK_BYTES", 50)
    monkeypatch.setattr("monge.data.layout.CHUNK_BYTES", 50)
    path = _write(tmp_path / "a.h5", x=VALUES)
    assert np.array_equal(load(path).x.numpy(), VALUES.astype(np.float32))


def test_text_labels_become_classes(tmp_path: Path) -> None:
    data = load(_write(tmp_path / "a.npz", x=VALUES, y=np.array(["cat", "ant", "bee"] * 4)))
    assert data.classes == ("ant", "bee", "cat")
    assert data.y is not None
    assert data.y[:3].tolist() == [2, 0, 1]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "uint8", "int16", "uint16", "bool"])
def test_npy_is_mapped_in_its_own_dtype(tmp_path: Path, dtype: str) -> None:
    values = np.maximum(3 * VALUES, 0).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    data = load(tmp_path / "x.npy")
    assert str(data.x.dtype) == f"torch.{dtype}"
    assert np.array_equal(data.batch(range(12)).numpy(), values.astype(np.float32))


@pytest.mark.parametrize("header", ["a,b,c\n", "", "0,1,2\n", '"a","b","c"\n', "\ufeffa,b,c\n", "# a, b, c\n"])
def test_csv_with_and_without_header(tmp_path: Path, header: str) -> None:
    rows = "".join(",".join(repr(float(v)) for v in row) + "\n" for row in VALUES)
    (tmp_path / "t.csv").write_text(header + rows, encoding="utf-8")
    data = load(tmp_path / "t.csv")
    assert np.array_equal(data.x.numpy(), VALUES.astype(np.float32))
    assert data.kind == "vectors"


def test_csv_with_a_byte_order_mark_and_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf1.5,2\n3,4\n")
    assert load(tmp_path / "t.csv").x.tolist() == [[1.5, 2.0], [3.0, 4.0]]


def test_parquet(tmp_path: Path) -> None:
    columns = {"a": VALUES[:, 0], "b": LABELS, "c": LABELS > 1}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet")
    assert np.array_equal(data.x.numpy(), np.stack(list(columns.values()), 1).astype(np.float32))
    assert data.quantum is None
    pyarrow.parquet.write_table(pa.table({"count": LABELS}), tmp_path / "n.parquet")
    assert (load(tmp_path / "n.parquet").quantum, load(tmp_path / "n.parquet").limits) == (1.0, (0.0, 3.0))


def _picture(path: Path, mode: str, size: tuple[int, int] = (6, 4), shift: int = 0) -> np.ndarray:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "I;16": ()}[mode]
    values = (np.arange(np.prod((*size[::-1], *channels))).reshape(*size[::-1], *channels) + shift) % 200
    values = values.astype(np.uint16 if mode == "I;16" else np.uint8)
    if mode == "RGBA":
        values[..., 3] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return values


def test_image_folder_with_labels(tmp_path: Path) -> None:
    for i, name in enumerate(("dog/1.png", "cat/2.png", "cat/deep/3.png")):
        _picture(tmp_path / name, "RGB", shift=i)
    (tmp_path / "readme.txt").write_text("not a picture")
    (tmp_path / ".cache").mkdir()
    _picture(tmp_path / ".cache" / "thumb.png", "L", (2, 2))
    data = load(tmp_path)
    assert data.x.shape == (3, 3, 4, 6)
    assert data.x.dtype == torch.uint8
    assert (data.kind, data.quantum, data.limits, data.classes) == ("images", 1.0, (0.0, 255.0), ("cat", "dog"))
    assert data.y is not None
    assert data.y.tolist() == [0, 0, 1]
    assert torch.equal(data.x[2].permute(1, 2, 0), torch.from_numpy(np.asarray(Image.open(tmp_path / "dog/1.png"))))


def test_image_folder_without_labels(tmp_path: Path) -> None:
    for i in range(3):
        _picture(tmp_path / f"{i}.png", "L", shift=i)
    data = load(str(tmp_path))
    assert (data.event_shape, data.y, data.classes) == ((1, 4, 6), None, None)


def test_read_image_modes(tmp_path: Path) -> None:
    for mode, dtype, channels in (("L", "uint8", 1), ("RGB", "uint8", 3), ("RGBA", "uint8", 3), ("I;16", "uint16", 1)):
        values = _picture(tmp_path / f"{channels}{dtype}.png", mode)
        image = read_image(tmp_path / f"{channels}{dtype}.png")
        assert image.shape == (channels, 4, 6)
        assert image.dtype == dtype
        assert np.array_equal(np.moveaxis(image, 0, -1), np.atleast_3d(values)[..., :channels])
    binary = Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert("1")
    binary.save(tmp_path / "binary.png")
    assert np.array_equal(read_image(tmp_path / "binary.png")[0], np.eye(4) * 255)
    Image.fromarray(_picture(tmp_path / "c.png", "RGB")).quantize(8).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (3, 4, 6)


REAL, WHOLE = np.random.default_rng(1).normal(size=10_000), np.random.default_rng(2).integers(0, 9, 10_000)
SOUND = np.convolve(REAL, np.ones(4), "same")  # neighbours correlate by 3/4


@pytest.mark.parametrize(
    ("values", "shape", "kind", "expected", "event"),
    [
        (REAL, (100,), None, "vectors", (1,)),
        (REAL, (20, 5), None, "vectors", (5,)),
        (REAL, (20, 5), "fields", "fields", (1, 5)),
        (REAL, (16, 600), None, "vectors", (600,)),
        (SOUND, (16, 600), None, "fields", (1, 600)),
        (SOUND, (16, 600), "vectors", "vectors", (600,)),
        (SOUND, (20, 500), None, "vectors", (500,)),
        (REAL, (5, 8, 9), None, "fields", (1, 8, 9)),
        (REAL, (5, 8, 9), "fields", "fields", (8, 9)),
        (REAL, (5, 8, 9), "images", "images", (1, 8, 9)),
        (REAL, (5, 2, 8, 9), None, "fields", (2, 8, 9)),
        (REAL, (5, 8, 9, 3), None, "fields", (3, 8, 9)),
        (REAL, (5, 8, 9, 3), "fields", "fields", (8, 9, 3)),
        (REAL, (5, 3, 8, 9), "images", "images", (3, 8, 9)),
        (REAL, (5, 1, 4, 5, 6), None, "fields", (1, 4, 5, 6)),
        (WHOLE, (5, 8, 9), None, "images", (1, 8, 9)),
        (WHOLE, (5, 8, 9, 1), None, "images", (1, 8, 9)),
        (WHOLE, (5, 8, 9, 3), None, "images", (3, 8, 9)),
        (WHOLE, (5, 3, 9, 3), None, "images", (3, 9, 3)),
        (WHOLE, (5, 4, 8, 9), None, "fields", (4, 8, 9)),
        (WHOLE, (5, 1, 4, 5, 6), None, "fields", (1, 4, 5, 6)),
        (WHOLE, (20, 5), None, "vectors", (5,)),
    ],
)
def test_layouts(
    values: np.ndarray, shape: tuple[int, ...], kind: str | None, expected: str, event: tuple[int, ...]
) -> None:
    array = values[: np.prod(shape)].reshape(shape)
    data = load(array, kind=kind)
    assert (data.kind, data.event_shape) == (expected, event)
    assert data.quantum == (1.0 if values is WHOLE else None)


def test_rows_with_named_columns_are_no_signals(tmp_path: Path) -> None:
    header = ",".join(f"gene{i}" for i in range(600))
    np.savetxt(tmp_path / "genes.csv", SOUND[: 16 * 600].reshape(16, 600), delimiter=",", header=header, comments="")
    assert load(tmp_path / "genes.csv").kind == "vectors"


def test_channels_last_keeps_each_pixel_in_place() -> None:
    array = WHOLE[: 5 * 8 * 9 * 3].reshape(5, 8, 9, 3)
    assert np.array_equal(load(array).x.numpy(), np.moveaxis(array, 3, 1))


def test_whole_numbers_are_quantised_with_their_range() -> None:
    grid = (np.arange(128) % 17).reshape(2, 8, 8)
    grid[1, 0, 0] = 3
    assert load(grid).limits == (0.0, 16.0)
    assert load(grid.astype(float)).limits == (0.0, 16.0)
    assert load(grid.astype(np.uint8)).limits == (0.0, 255.0)
    assert load(grid + 0.5).quantum is None
    assert load(grid * 10**7).quantum is None


def test_arrays_and_tensors_in_memory_become_float32() -> None:
    for source in (
        VALUES,
        VALUES.tolist(),
        torch.tensor(VALUES),
        torch.tensor(VALUES, requires_grad=True),
        VALUES.astype(">f4"),
    ):
        data = load(source, name="mine")
        assert data.x.dtype == torch.float32
        np.testing.assert_array_equal(data.x.numpy(), VALUES.astype(np.float32))
        assert (data.name, data.source) == ("mine", None)
    assert load(torch.tensor(VALUES).bfloat16()).x.dtype == torch.float32


def test_samples_come_back_as_they_are() -> None:
    data = Samples(torch.rand(4, 2))
    assert load(data) is data


def test_a_group_column_and_missing_rows(tmp_path):
    rows = ["patient,age,weight"] + [f"p{i // 3},{20 + i},{60 + 0.5 * i}" for i in range(30)]
    rows[5] = "p1,,61"
    path = tmp_path / "patients.csv"
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(BadInput, match=r"column 'age' has 1 missing cells, the first in row 5: .*drop_missing=True"):
        load(str(path), group="patient")
    data = load(str(path), group="patient", drop_missing=True)
    assert (len(data), data.columns) == (29, ("age", "weight"))
    assert data.describe()["reading"] == {"group": "patient", "drop_missing": True}
    train, holdout = data.split(0.3, seed=0)
    assert not set(train.groups.tolist()) & set(holdout.groups.tolist())
    again = load(data.source, **data.reading)
    assert again.split(0.3, seed=0)[0].fingerprint == train.fingerprint
    with pytest.raises(BadInput, match="no column 'day': its columns are patient, age, weight"):
        load(str(path), group="day")
    for text, message in (("g,a\n1,2\n,3\n", "1 of 2 rows have no 'g'"), ("g\n1\n2\n", "has no column but 'g'")):
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            load(str(path), group="g")
    with pytest.raises(BadInput, match="group 'day' was given with an array: it is of a table"):
        load(np.zeros((3, 2)), group="day")
    assert len(load(np.array([[0.0, 1.0], [np.nan, 1.0], [1.0, 2.0]]), drop_missing=True)) == 2
