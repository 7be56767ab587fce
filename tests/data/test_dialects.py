"""Tables of text, however they are written."""

import gzip

import numpy as np
import pytest

from monge import data
from monge.data import textfiles
from monge.errors import BadInput

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
    assert textfiles.write(text, found.dialect).decode().splitlines()[1] == '1,5;"1.234,50"'.replace('"', "")
    english = table(tmp_path, 'a,b\n1.5,"1,234"\n2.5,"1,000,000"\n4.5,"12"\n')
    assert english.x[:, 1].tolist() == [1234, 1000000, 12]


def test_names_or_none(tmp_path):
    body = "\n".join(f"{a},{b},{c}" for a, b, c in np.random.default_rng(0).normal(size=(30, 3)))
    with pytest.warns(UserWarning, match="the first line, 2019, 2020, 2021, is taken for names"):
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
    written = textfiles.write(found.code.decode(found.x.double().numpy()), found.dialect, compressed=True)
    assert gzip.decompress(written).decode() == text.replace("3.0", "3").replace("7.0", "7")


def test_thousands_of_a_semicolon_file_are_no_decimals(tmp_path):
    with pytest.warns(UserWarning, match="the commas of 'income', as in 63,095, are read as marks of thousands"):
        assert table(tmp_path, "id;income\n5;63,095\n7;1,024,000\n9;120\n").x[:, 1].tolist() == [63095, 1024000, 120]
    assert table(tmp_path, "id;v\n5;0,446\n7;1,024\n9;120,5\n").x[:, 1].tolist() == pytest.approx([0.446, 1.024, 120.5])
    percent = table(tmp_path, 'a;p\n1;"0,446%"\n2;"1,250%"\n3;"7,001%"\n')
    assert percent.x[:, 1].tolist() == pytest.approx([0.446, 1.25, 7.001])


def test_zeros_before_numbers_are_seen_wherever_they_are(tmp_path):
    rows = [f"{10_000 + i},{i / 7}" for i in range(9000)] + ["00501,1.5", "00601,2.5"]
    found = table(tmp_path, "zip,v\n" + "\n".join(rows))
    text = textfiles.write(found.code.decode(found.x.double().numpy()), found.dialect).decode().splitlines()
    assert [line.split(",")[0] for line in text[-2:]] == ["00501", "00601"]


def test_a_first_row_that_is_like_the_others_is_a_row(tmp_path):
    for text, shape in (
        ("2020-01-01,3.4\n2020-01-02,2.2\n2020-01-05,7.1\n", (3, 2)),
        ("Anna;23\nAnna;25\nBert;31\nBert;30\n", (4, 2)),
        ("1,2\n5.5,7.5\n6.25,1.5\n", (3, 2)),
    ):
        assert table(tmp_path, text).x.shape == shape
    with pytest.warns(UserWarning, match="the first line, a, 7, is taken for a row, not for names"):
        table(tmp_path, "a,7\nb,8\na,9\nb,9\n")


def test_one_column_of_decimal_commas_is_one(tmp_path):
    assert table(tmp_path, "x\n1,5\n2,25\n3,75\n").x[:, 0].tolist() == [1.5, 2.25, 3.75]


def test_a_mark_in_every_text_does_not_part_cells(tmp_path):
    for mark in ";|":
        found = table(tmp_path, "a,b,t\n" + "".join(f"{i},{i / 3},x{mark}y\n{i},{i},z{mark}w\n" for i in range(6)))
        assert found.columns == ("a", "b", f"t=z{mark}w")


def test_texts_over_several_lines_quotes_and_long_cells(tmp_path):
    found = table(tmp_path, "a,t\n" + '1,"one\ntwo"\n2,"x, ""y"""\n' * 6)
    assert found.columns == ("a", 't=x, "y"')
    text = textfiles.write(found.code.decode(found.x.double().numpy()), found.dialect)
    (tmp_path / "again.csv").write_bytes(text)
    assert np.array_equal(data.load(tmp_path / "again.csv", like=found).x, found.x)
    with pytest.raises(BadInput, match="is no table that can be read"):
        table(tmp_path, "a,b\n1," + "x" * 140_000 + "\n")


def test_yes_and_no_and_times_come_back_as_they_were(tmp_path):
    text = "on,t\n" + "True,00:01\nFalse,13:30\nTrue,07:15\n" * 4
    found = table(tmp_path, text)
    assert textfiles.write(found.code.decode(found.x.double().numpy()), found.dialect).decode() == text


def test_missing_cells_that_blanks_part_are_told(tmp_path):
    (tmp_path / "t.txt").write_text("a b\n" + "1.5 2\nNA 3\n2.5 7\n" * 4)
    found = data.load(tmp_path / "t.txt", missing="learn")
    lines = textfiles.write(found.code.decode(found.x.double().numpy()), found.dialect).decode().splitlines()
    assert lines[2] == "NA 3"


def test_a_letter_far_on_that_is_no_utf8_is_told(tmp_path):
    text = "a,t\n" + "1,Paris\n2,Rome\n" * 40_000 + "3,Orl\xe9ans\n4,Orl\xe9ans\n" * 5
    with pytest.warns(UserWarning, match="is no UTF-8, and is read as Windows-1252"):
        found = table(tmp_path, text, encoding="cp1252")
    assert "t=Orléans" in found.columns


def test_the_country_na_is_a_text(tmp_path):
    assert table(tmp_path, "a,c\n1,NA\nNA,FR\n3,NA\n4,FR\n", missing="learn").columns == ("a", "a is missing", "c=NA")
