"""Tables of text, however they are written."""

import gzip

import numpy as np
import pytest

from monge import data
from monge.data import dialects

ROWS = [(1.5, "a"), (-2.25, "b"), (3.0, "a"), (0.125, "b"), (10.5, "a"), (7.0, "b")]


def table(tmp_path, text, name="t.csv", encoding="utf-8", **options):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return data.load(tmp_path / name, **options)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings(tmp_path, delimiter, encoding):
    text = "\n".join(delimiter.join(map(str, row)) for row in [("size", "été"), *ROWS])
    found = table(tmp_path, text, encoding=encoding)
    assert found.columns == ("size", "été=b")
    assert found.x[:, 0].tolist() == [row[0] for row in ROWS]


def test_blanks_part_numbers_and_not_words(tmp_path):
    values = np.random.default_rng(0).normal(size=(9, 3))
    np.savetxt(tmp_path / "t.txt", values, header="a b c")
    found = data.load(tmp_path / "t.txt")
    assert found.columns == ("a", "b", "c")
    assert found.x.tolist() == values.astype(np.float32).tolist()
    words = table(tmp_path, "name\n" + "New York\nOld Town\n" * 4)
    assert words.columns == ("name=Old Town",)


def test_decimal_commas_and_thousands(tmp_path):
    found = table(tmp_path, 'a;b\n1,5;"1.234,50"\n2,25;"12,00"\n-3,0;"1.000.000,25"\n')
    assert found.x.tolist() == [[1.5, 1234.5], [2.25, 12.0], [-3.0, 1000000.25]]
    text = found.code.decode(found.x.double().numpy())
    assert dialects.write(text, found.dialect).decode().splitlines()[1] == '1,5;"1.234,50"'.replace('"', "")
    english = table(tmp_path, 'a,b\n1.5,"1,234"\n2.5,"1,000,000"\n4.5,"12"\n')
    assert english.x[:, 1].tolist() == [1234, 1000000, 12]


def test_names_or_none(tmp_path):
    body = "\n".join(f"{a},{b},{c}" for a, b, c in np.random.default_rng(0).normal(size=(30, 3)))
    with pytest.warns(UserWarning, match="the first line, 2019, 2020, 2021, ..., is taken for names"):
        years = table(tmp_path, "2019,2020,2021\n" + body)
    assert (len(years), years.columns) == (30, ("2019", "2020", "2021"))
    assert len(table(tmp_path, body)) == 30
    assert table(tmp_path, body).columns is None
    assert len(table(tmp_path, "\n".join(f"{i},{i + 1}" for i in range(9)))) == 9  # rows that count, too
    headless = table(tmp_path, "\n".join(f"{c},{v}" for v, c in ROWS))
    assert (len(headless), headless.columns) == (6, ("x1=b", "x2"))


def test_a_column_that_numbers_the_rows_is_left_out_and_told(tmp_path):
    body = "\n".join(f"{i},{v},{c}" for i, (v, c) in enumerate(ROWS))
    for head in (",size,c\n", "size,c\n"):
        with pytest.warns(UserWarning, match="the column '' numbers the rows, and is left out"):
            assert table(tmp_path, head + body).columns == ("size", "c=b")


def test_compressed_tables_are_read_and_written_alike(tmp_path):
    text = "size\tcode\n" + "".join(f"{v}\t00{i}\n" for i, (v, _) in enumerate(ROWS))
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(text.encode()))
    found = data.load(tmp_path / "t.tsv.gz")
    assert found.x[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    written = dialects.write(found.code.decode(found.x.double().numpy()), found.dialect, compressed=True)
    assert gzip.decompress(written).decode() == text.replace("3.0", "3").replace("7.0", "7")
