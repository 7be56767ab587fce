"""Tables in memory, and as Hugging Face keeps them."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray
from PIL import Image
from pyarrow import ipc, parquet

from monge.data import load
from monge.errors import BadInput

LEVELS = np.random.default_rng(0).integers(0, 255, (6, 5, 4), dtype=np.uint8)
NAMES = ["cat", "dog", "10"]


def png(levels):
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "png")
    return content.getvalue()


def of_pictures(cells=None):
    cells = [{"bytes": png(each), "path": f"{i}.png"} for i, each in enumerate(LEVELS)] if cells is None else cells
    table = pa.table({"image": cells, "label": [2, 0, 1, 2, 0, 1]})
    about = {"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}, "image": {"_type": "Image"}}}}
    return table.replace_schema_metadata({"huggingface": json.dumps(about)})


def saved(table, folder, state=None):
    folder.mkdir(parents=True)
    for name, part in (("data-0.arrow", table.slice(0, 4)), ("data-1.arrow", table.slice(4))):
        with ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(part)
    usual = {"_data_files": [{"filename": "data-0.arrow"}, {"filename": "data-1.arrow"}], "_indices_data_files": None}
    (folder / "state.json").write_text(json.dumps(usual | (state or {})))
    return folder


def test_a_data_frame_is_a_table_by_name():
    frame = pd.DataFrame(
        {
            "day": pd.date_range("2024-01-01", periods=40),
            "job": ["a", "b"] * 20,
            "w": range(40),
            "pay": np.arange(40) / 8,
        }
    )
    data = load(frame, weights="w", label_column="job")
    assert data.columns == ("day", "pay")
    assert data.classes == ("a", "b")
    assert data.weights.tolist() == list(range(40))
    assert data.code.decode(data.x.double().numpy()).column("day").to_pylist() == frame["day"].tolist()
    assert load(pa.Table.from_pandas(frame)).columns == ("day", "job=b", "w", "pay")
    with pytest.warns(UserWarning, match="index of rows"):
        assert load(frame[["pay"]].sample(40, random_state=0)).columns == ("pay",)
    with pytest.raises(BadInput, match=r"the table: column 'z' is list.*, neither numbers"):
        load(pa.table({"z": [[1], [2, 3]]}))
    with pytest.raises(BadInput, match="has no column 'x'"):
        load(frame, columns=["x"])
    with pytest.raises(BadInput, match="with a table: keys are for archives"):
        load(frame, key="x")


def test_pictures_in_a_table_are_samples_and_their_classes_have_names(tmp_path):
    parquet.write_table(of_pictures(), tmp_path / "p.parquet")
    for source in (tmp_path / "p.parquet", saved(of_pictures(), tmp_path / "set"), of_pictures()):
        data = load(source)
        assert np.array_equal(data.x[:, 0].numpy(), LEVELS)
        assert data.y.tolist() == [2, 0, 1, 2, 0, 1]
        assert data.classes == tuple(NAMES)
        assert data.kind == "images"
    bare = pa.table({"picture": [png(each) for each in LEVELS], "shelf": ["x"] * 6})
    with pytest.warns(UserWarning, match="shelf are not read beside the pictures in 'picture'"):
        assert load(bare).y is None


def test_what_is_no_picture_or_kept_elsewhere_is_refused(tmp_path):
    with pytest.raises(BadInput, match="row 2 has no picture in 'image'"):
        load(of_pictures([{"bytes": png(LEVELS[0]), "path": ""}, {"bytes": None, "path": "b.png"}] * 3))
    with pytest.raises(BadInput, match="row 1 of 'image' is not a readable picture"):
        load(of_pictures([{"bytes": b"?", "path": ""}] * 6))
    several = tmp_path / "several"
    saved(of_pictures(), several / "train")
    (several / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.raises(BadInput, match=r"holds train, test, each a data set: give .*several/train"):
        load(several)
    with pytest.raises(BadInput, match="flatten_indices"):
        load(saved(of_pictures(), tmp_path / "chosen", {"_indices_data_files": [{"filename": "i.arrow"}]}))
    with pytest.raises(BadInput, match="out of it"):
        load(saved(of_pictures(), tmp_path / "out", {"_data_files": [{"filename": "../set.arrow"}]}))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "state.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path / "torn")


def test_classes_of_numbers_have_their_names_in_tables_too():
    about = {"info": {"features": {"kind": {"names": NAMES, "_type": "ClassLabel"}}}}
    table = pa.table({"kind": [0, 1, 2, 1], "size": [1.5, 2.0, 3.25, 4.0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    assert load(table, label_column="kind").classes == tuple(NAMES)


def test_groups_weights_and_missing_rows_go_with_pictures():
    table = of_pictures().append_column("owner", [list("aabbcc")]).append_column("w", [[1.0, 2.0, 3.0, 1.0, 1.0, 0.0]])
    found = load(table, group="owner", weights="w")
    assert found.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.weights.tolist() == [1.0, 2.0, 3.0, 1.0, 1.0, 0.0]
    assert found.classes == tuple(NAMES)
    with pytest.raises(BadInput, match="has no column 'nope'"):
        load(table, group="nope")
    with pytest.raises(BadInput, match="is of cells, and 'image' holds pictures"):
        load(table, missing="learn")
    holed = table.set_column(0, "image", [[None, *table["image"].to_pylist()[1:]]])
    with pytest.raises(BadInput, match="row 1 has no picture"):
        load(holed)
    assert len(load(holed, drop_missing=True)) == 5


@pytest.mark.parametrize(
    "source",
    [
        pd.Series([1.0, 2.0]),
        pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
        pd.DataFrame({"a": [1, "x", 2.5]}),
        pd.DataFrame({"a": [1 + 2j, 2j]}),
        pd.DataFrame(index=range(3)),
        pa.chunked_array([[1, 2]]),
    ],
)
def test_what_is_no_plain_table_is_refused_in_one_line(source):
    with pytest.raises(BadInput, match="the table"):
        load(source)


def test_texts_of_every_kind_of_arrow_are_texts():
    cells = ["red", "blue"] * 20
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        table = pa.table({"k": pa.array(cells, kind), "x": np.arange(40) / 8})
        assert load(table).columns == ("k=red", "x")


def test_empty_tables_and_options_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "head.csv").write_text("a,w\n")
    with pytest.raises(BadInput, match="has no rows"):
        load(tmp_path / "head.csv", weights="w")
    for cells in ([], [None, None]):
        with pytest.raises(BadInput, match="has no rows"):
            load(pa.table({"image": pa.array(cells, pa.binary())}), drop_missing=True)
    with pytest.raises(BadInput, match="group 'g' was given with arrays of xarray"):
        load(xarray.DataArray(np.arange(9.0).reshape(3, 3), dims=("n", "x")), group="g")
