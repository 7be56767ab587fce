"""Bad input: one line that says what was wrong, where, and what to do."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
import zarr
from PIL import Image

from monge.data import BUILTINS, load, read_image
from monge.errors import BadInput

GOOD = np.random.default_rng(0).normal(size=(200, 3))


def _refused(source: object, message: str, **options: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load(source, **options)
    assert "\n" not in str(caught.value)


HOLED = GOOD.copy()
HOLED[4, 1], HOLED[4, 2], HOLED[150, 0] = np.nan, np.inf, -np.inf


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HOLED, r"the array has 3 NaN or infinite values in 2 of 200 rows, the first at \[4, 1\]"),
        (np.where(GOOD > 2, 1e300, GOOD), "NaN or infinite"),
        (np.array([[1.0], [np.inf]], dtype=np.float16), "1 NaN or infinite value in 1 of 2 rows"),
        (np.array([[{}], [[]]], dtype=object), r"Python objects \(dtype object\)"),
        (GOOD + 1j, "complex numbers"),
        (np.array([["a"], ["b"]]), "holds text"),
        (np.zeros(3, dtype=[("a", float)]), "records"),
        (np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]"), "datetime64"),
        (None, "Python objects"),
        (3.0, r"holds no samples \(shape \[\]\)"),
        (np.zeros((0, 3)), r"holds no samples \(shape \[0, 3\]\)"),
        (np.zeros((5, 0)), r"holds no samples \(shape \[5, 0\]\)"),
        (GOOD[:1], "the array has 1 sample: at least 2"),
        (np.tile(GOOD[0], (9, 1)), "zero variance, all its 9 samples being the same"),
        ([[1.0, 2.0], [3.0]], "the rows differ"),
        (GOOD.flat[:64].reshape((2,) * 6), r"shape \[2, 2, 2, 2, 2, 2\], and data need \[n, d\]"),
        (torch.full((4, 2), float("nan")), "8 NaN or infinite values in 4 of 4 rows"),
        (torch.zeros(4, 2, dtype=torch.complex64), "complex numbers"),
    ],
)
def test_arrays(source: object, message: str) -> None:
    _refused(source, message)


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((20, 3), "pictures", "kind 'pictures' is not known: give one of vectors, images, fields"),
        ((20, 3), "images", r"images need \[n, H, W\]"),
        ((20,), "fields", r"fields need \[n, L\]"),
        ((5, 4, 3), "vectors", r"vectors need \[n, d\]"),
        ((3, 2, 5, 2), "images", "has 2 channels"),
    ],
)
def test_kinds_that_do_not_fit(shape: tuple[int, ...], kind: str, message: str) -> None:
    _refused(GOOD.flat[: np.prod(shape)].reshape(shape), message, kind=kind)


def test_nan_is_found_in_a_later_chunk_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monge.data.layout.CHUNK_BYTES", 1000)
    np.save(tmp_path / "x.npy", HOLED)
    _refused(tmp_path / "x.npy", r"x\.npy has 3 NaN or infinite values in 2 of 200 rows, the first at \[4, 1\]")
    late = GOOD.copy()
    late[199, 2] = np.nan
    np.save(tmp_path / "y.npy", late)
    _refused(tmp_path / "y.npy", r"has 1 NaN or infinite value in 1 of 200 rows, the first at \[199, 2\]")


def _good_file(path: Path) -> Path:
    ending = path.suffix
    if ending == ".npy":
        np.save(path, GOOD)
    elif ending == ".npz":
        np.savez(path, x=GOOD)
    elif ending == ".h5":
        with h5py.File(path, "w") as file:
            file["x"] = GOOD
    elif ending == ".parquet":
        pyarrow.parquet.write_table(pa.table({"a": GOOD[:, 0]}), path)
    else:
        path.write_text("a,b\n1,2\n3,4\n")
    return path


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".csv", ".parquet"])
def test_missing_empty_and_truncated_files(tmp_path: Path, ending: str) -> None:
    _refused(tmp_path / f"none{ending}", "no such file or folder")
    path = tmp_path / f"a{ending}"
    path.touch()
    _refused(path, r"is empty \(0 bytes\)")
    whole = _good_file(path).read_bytes()
    assert len(load(path)) >= 2
    if ending != ".csv":
        for cut in (3, len(whole) // 2, len(whole) - 10):
            path.write_bytes(whole[:cut])
            _refused(path, "cannot be read .*: if it is truncated or corrupt, write it again")
    path.write_bytes(b"\x00garbage\xff" * 50)
    _refused(path, "cannot be read|is not numeric|NaN")


def test_a_damaged_npz_member(tmp_path: Path) -> None:
    path = _good_file(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    content[500] ^= 0xFF
    path.write_bytes(content)
    _refused(path, "cannot be read .*CRC")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    objects = np.array([Trap(), Trap()], dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "o.npz", x=objects)
    _refused(tmp_path / "o.npy", "Python objects in dtype")
    _refused(tmp_path / "o.npz", "Object arrays cannot be loaded")
    assert not (tmp_path / "sprung").exists()


def test_contents_of_files(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", GOOD + 1j)
    _refused(tmp_path / "c.npy", "complex numbers")
    np.save(tmp_path / "b.npy", GOOD.astype(">f8"))
    _refused(tmp_path / "b.npy", "stored as >f8, not mappable: save it again as float32")
    np.save(tmp_path / "e.npy", np.zeros((0, 3)))
    _refused(tmp_path / "e.npy", "holds no samples")
    np.savez(tmp_path / "s.npz", x=np.array(["a", "b"]))
    _refused(tmp_path / "s.npz", "holds text")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["x"] = ["a", "b"]
    _refused(tmp_path / "s.h5", "holds text")


@pytest.mark.parametrize("ending", [".npz", ".h5", ".zarr"])
def test_keys(tmp_path: Path, ending: str) -> None:
    path, bare = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    arrays = {"one": GOOD, "two": GOOD}
    if ending == ".npz":
        np.savez(path, **arrays)
        np.savez(bare)
    elif ending == ".h5":
        with h5py.File(path, "w") as file:
            file.update(arrays)
        h5py.File(bare, "w").close()
    else:
        group = zarr.open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array)
        zarr.open_group(bare, mode="w")
    _refused(path, "no array 'x': choose a key among one .*, two .*, as in a")
    _refused(path, "no array 'three': choose a key among one .*, two", key="three")
    _refused(f"{path}#three", "no array 'three'")
    _refused(bare, r"choose a key among \(none there\)")


def test_a_key_where_there_is_none_to_choose(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GOOD)
    Image.new("L", (3, 3)).save(tmp_path / "p.png")
    _refused(tmp_path / "x.npy", "holds one table, and key 'x' was given", key="x")
    _refused(tmp_path, "holds one table, and key 'x' was given", key="x")
    _refused(GOOD, "key 'x' was given with an array", key="x")
    _refused("digits", "has its own kind and name", kind="images")


def test_a_zarr_that_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    _refused(tmp_path / "a.zarr", "cannot be read")
    zarr.save_array(tmp_path / "b.zarr", GOOD)
    (tmp_path / "b.zarr" / "zarr.json").write_text("{")
    _refused(tmp_path / "b.zarr", "cannot be read")


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, message in (
        ("a,name\n1,x\n2,y\n", "column 'name' is not numeric: 2 different texts in 2 rows, too many for a category"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n3\n", "cannot be read .*Expected 2 columns, got 1"),
        (
            "a,b\n1,2\n,4\n",
            "column 'a' has 1 missing cells, the first in row 2: leave those rows out with drop_missing",
        ),
        ("a,a,b\n1,2,3\n3,4,5\n", "two columns 'a': give each a name of its own"),
        ("a,b\n1,2\n1,2\n", "zero variance"),
    ):
        path.write_text(text)
        _refused(path, message)
    pyarrow.parquet.write_table(
        pa.table({"a": [1.0, 2.0], "many": pa.array([[1], [2]], pa.list_(pa.int64()))}), tmp_path / "t.parquet"
    )
    _refused(tmp_path / "t.parquet", "column 'many' is list<.*>, neither numbers, moments nor texts: leave it out")


def test_endings(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_text("?")
    _refused(tmp_path / "x.xlsx", r"ends in '\.xlsx': give \.npy, \.npz, \.h5")


def test_image_folders(tmp_path: Path) -> None:
    _refused(tmp_path, "holds no picture")
    Image.new("L", (4, 5)).save(tmp_path / "a.png")
    Image.new("L", (4, 5), 9).save(tmp_path / "b.png")
    Image.new("L", (6, 5)).save(tmp_path / "c.png")
    _refused(tmp_path, r"a\.png is 5x4 gray and c\.png is 5x6 gray: bring all to one size")
    Image.new("RGB", (4, 5)).save(tmp_path / "c.png")
    _refused(tmp_path, r"a\.png is 5x4 gray and c\.png is 5x4 RGB")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    _refused(tmp_path, r"c\.png is not a readable picture")
    (tmp_path / "c.png").unlink()
    (tmp_path / "sub").mkdir()
    Image.new("L", (4, 5)).save(tmp_path / "sub" / "d.png")
    _refused(tmp_path, "pictures of its own and others in sub/")


def test_pictures(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (1, 2, 3, 100)).save(tmp_path / "clear.png")
    for name, message in (
        ("clear.png", "transparent in places"),
        ("none.png", "no such picture"),
    ):
        with pytest.raises(BadInput, match=message):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", r"no data 'digit'.*did you mean digits\?.*built in are digits, patches, rings"),
        ("gausian-field?n=3", r"did you mean gaussian-field\?"),
        ("zzzz", "neither built in nor a file here: built in are digits"),
        ("rings?radius=2", r"unknown option 'radius': rings has n, seed, count, noise"),
        ("digits?n=5", "unknown option 'n': digits has none"),
        ("rings?n=many", "option n is 'many', give a number as in 10000"),
        ("rings?noise=nan", "option noise is 'nan'"),
        ("gaussian-field?shape=8,8", "give sides as in 32x32"),
        ("gaussian-field?shape=2x2x2x2", "give 1 to 3 sides"),
        ("gaussian-field?slope=inf", "option slope is 'inf'"),
        ("c-alpha?alpha=0", "0 < alpha < 20"),
        ("rings?count=0", "count=0: give 1 or more"),
        ("patches?size=1000", "patches of size 1000"),
        ("patches?n=5000", "photographs hold 2 to 2080 of size 16"),
    ],
)
def test_names_and_options(source: str, message: str) -> None:
    _refused(source, message)


@pytest.mark.parametrize("name", [name for name in BUILTINS if name != "digits"])
def test_too_few_are_refused_by_each_simulator(name: str) -> None:
    _refused(f"{name}?n=1", r"2 ")
