"""Columns of a table as numbers, and texts as categories."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from monge import data
from monge.errors import BadInput

TEXT = "size,colour\n" + "".join(f"{i / 7},{'red' if i % 3 else 'blue'}\n" for i in range(12))


def test_texts_that_repeat_are_categories(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    table = data.load(tmp_path / "t.csv")
    assert table.categories == {"colour": ("blue", "red")}
    assert table.x[:, 1].tolist() == [float(i % 3 > 0) for i in range(12)]
    assert table.quantum is None
    assert table.describe()["categories"] == {"colour": ["blue", "red"]}
    part = table.split(0.5)[1]
    assert part.categories == table.categories
    coded = pa.table({"c": pa.array(["b", "a", "b", "a"]).dictionary_encode(), "k": [1, 2, 3, 4]})
    parquet.write_table(coded, tmp_path / "t.parquet")
    assert data.load(tmp_path / "t.parquet").x.tolist() == [[1, 1], [0, 2], [1, 3], [0, 4]]


def test_another_table_is_numbered_alike_and_unknown_texts_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("size,colour\n1,red\n2,red\n4,red\n")
    assert data.load(path, categories={"colour": ("blue", "red")}).x[:, 1].tolist() == [1, 1, 1]
    path.write_text(TEXT.replace("blue", "violet"))
    with pytest.raises(BadInput, match="column 'colour' holds 'violet', which is none of blue, red: correct it"):
        data.load(path, categories={"colour": ("blue", "red")})


def test_a_missing_text_is_a_missing_value(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": [0.5, 1.5, 2.5, 4.0], "c": ["a", None, "a", "b"]}), path)
    with pytest.raises(BadInput, match=r"1 NaN or infinite value in 1 of 4 rows, the first at \[1, 1\]"):
        data.load(path)
    assert data.load(path, drop_missing=True).x[:, 1].tolist() == [0, 0, 1]


def test_names_of_single_rows_are_no_categories(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "".join(f"row{i},{i / 3}\n" for i in range(300)))
    with pytest.raises(BadInput, match="column 'id' is not numeric: 300 different texts in 300 rows"):
        data.load(path)
