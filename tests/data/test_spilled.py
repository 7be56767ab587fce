"""Tables larger than memory, which are read part by part: the same rows as at once."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from monge.data import load, readers, textfiles
from monge.errors import BadInput

DRAW = np.random.default_rng(0)
N = 3000


@pytest.fixture
def small(monkeypatch):
    """Whatever has more than 10 kB is too large, and a part has 20 kB."""
    monkeypatch.setattr(readers, "SPILLED", 10_000)
    monkeypatch.setattr(readers, "HEAD", 20_000)
    monkeypatch.setattr(readers, "ROWS_AT_ONCE", 300)
    monkeypatch.setattr(textfiles, "PART_BYTES", 20_000)


def table(last="c"):
    text = np.array(["a", "b", "c"])[DRAW.choice(3, N)].astype(object)
    text[-1] = last
    when = np.datetime64("2020-01-01") + DRAW.integers(0, 900, N)
    return pa.table(
        {"x": DRAW.normal(size=N).round(4), "t": text.tolist(), "d": pa.array(when), "y": DRAW.integers(0, 4, N)}
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_read_part_by_part_is_the_table(tmp_path, monkeypatch, small, ending):
    path = tmp_path / f"t{ending}"
    made = table()
    csv.write_csv(made, path) if ending == ".csv" else parquet.write_table(made, path, row_group_size=500)
    found = load(path, label_column="y", derived=True)
    monkeypatch.setattr(readers, "SPILLED", 2**30)
    whole = load(path, label_column="y")
    assert np.array_equal(found.x, whole.x)
    assert found.y.tolist() == whole.y.tolist()
    assert (found.columns, found.code) == (whole.columns, whole.code)
    assert isinstance(found.view[:2], np.ndarray)
    assert found.split(0.2)[0].fingerprint == whole.split(0.2)[0].fingerprint


def test_a_text_that_the_first_rows_do_not_have_is_refused_and_why(tmp_path, small):
    parquet.write_table(table(last="z"), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=r"'t' holds 'z', which is none of a, b, c: .*by its first [\d,]+ rows or so"):
        load(tmp_path / "t.parquet")
    (tmp_path / "t.txt").write_text("a b\n" + "1.5 2\n" * 3000)
    with pytest.raises(BadInput, match="too large for cells that blanks part"):
        load(tmp_path / "t.txt")
