"""Tables as numbers and back: every column, by name, as it was."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from monge import data
from monge.cli.drawing import write_samples
from monge.data import Columns, textfiles
from monge.data.texts import Grouped
from monge.errors import BadInput

TEXT = "size,colour\n" + "".join(f"{i / 7},{'red' if i % 3 else 'blue'}\n" for i in range(12))
N = 500


@pytest.fixture(scope="module")
def mixed():
    """Columns of every kind that is told."""
    draw = np.random.default_rng(0)
    when = np.datetime64("2023-01-01") + draw.integers(0, 400, N)
    price = np.exp(draw.normal(8, 1, N))
    rare = np.array(["x", "y", *"abcdef"])[draw.choice(8, N, p=[0.5, 0.494, *[0.001] * 6])].tolist()
    rare[:2] = ["a", "b"]
    size = draw.normal(size=N).round(3)
    height = np.where(draw.random(N) < 0.2, np.nan, draw.normal(size=N))
    return pa.table(
        {
            "date": pa.array(when.astype("datetime64[D]")),
            "american": [f"{d.month}/{d.day}/{d.year}" for d in draw.permutation(when).astype(object)],
            "whole date": [int(f"{d:%Y%m%d}") for d in draw.permutation(when).astype(object)],
            "moment": pa.array(
                np.datetime64("2024-01-01T00:00:00") + draw.integers(0, 10**6, N).astype("timedelta64[m]")
            ),
            "zoned": pa.array(1.7e9 + draw.integers(0, 1000, N)).cast(pa.int64()).cast(pa.timestamp("s", "UTC")),
            "time": pa.array([dt.time(int(h), int(m)) for h, m in draw.integers(0, 24, (N, 2))]),
            "dollars": [f"-${v:,.2f}" if v > 9000 else f"${v:,.2f}" for v in price],
            "euros": [f"{v:,.2f} €".translate(str.maketrans(",.", ".,")) for v in draw.permutation(price)],
            "percent": [f"{v:.1f}%" for v in draw.random(N) * 100],
            "code": [f"{v:05d}" for v in draw.permutation(N)],
            "true": draw.random(N) < 0.3,
            "size": size,
            "whole": pa.array(draw.integers(0, 50, N), pa.int16()),
            "rare": rare,
            "ville": draw.choice(["Paris", "Orléans", "東京", "Köln"], N),
            "height": pa.array(height, from_pandas=True),
            "unix": 1.7e9 + draw.uniform(0, 1000, N),
        }
    )


def test_every_kind_of_column_comes_back_as_it_was(mixed):
    found = Columns.fit(mixed, "t", learn_missing=True)
    x = found.encode(mixed, "t")
    assert x.shape == (N, len(found.names))
    again = Columns.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    back = again.decode(x + 1e-4 * np.array([name.startswith(("ville", "true", "whole")) for name in found.names]))
    assert back.schema.names == mixed.schema.names
    for name in set(mixed.schema.names) - {"rare"}:
        assert back.column(name).combine_chunks().equals(mixed.column(name).combine_chunks()), name
    rare, was = back.column("rare").to_numpy(), mixed.column("rare").to_numpy()
    assert ((rare == was) | np.isin(was, list("abcdef"))).all()
    assert set(rare) <= set(was)


def test_missing_cells_are_drawn_missing_and_their_values_are_of_the_column(mixed):
    found = Columns.fit(mixed, "t", learn_missing=True)
    x = dict(zip(found.names, found.encode(mixed, "t").T, strict=True))
    missing = mixed.column("height").is_null().to_numpy()
    assert (x["height is missing"] == missing).all()
    assert np.isin(x["height"][missing], x["height"][~missing]).all()
    assert len(np.unique(x["height"][missing])) > 0.7 * missing.sum()  # drawn, not one for all
    with pytest.raises(BadInput, match=r"column 'height' has .* missing cells, the first in row .*--missing learn"):
        Columns.fit(mixed, "t").encode(mixed, "t")


def test_columns_that_others_tell_are_found_told_and_restored(tmp_path):
    draw = np.random.default_rng(1)
    a, b, country = draw.normal(size=300).round(2), draw.integers(0, 9, 300), draw.choice(["FR", "DE", "US"], 300)
    land = np.where(country == "US", "America", "Europe")
    table = pa.table(
        {"a": a, "b": b, "sum": 1 + a + 2 * b, "copy": b, "one": [0.001] * 300, "c": country, "land": land}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    whole, found = (data.load(tmp_path / "t.parquet", derived=derived) for derived in (False, True))
    assert whole.columns == ("a", "b", "sum", "copy", "one", "c=DE", "c=FR", "c=US", "land=Europe")
    assert found.columns == ("a", "b", "c=DE", "c=FR", "c=US")
    assert found.code.statement.endswith("sum = a + 2 b + 1, copy = b, one = 0.001, land by c")
    back = found.code.decode(found.x.numpy())
    for name in ("b", "copy", "one", "c", "land"):
        assert back.column(name).combine_chunks().equals(table.column(name).combine_chunks()), name
    assert np.abs(back.column("sum").to_numpy() - table.column("sum").to_numpy()).max() < 1e-6
    nearly = pa.table({"a": a, "b": b, "sum": np.where(np.arange(300) == 250, 0.0, a + b)})
    assert Columns.fit(nearly, "t").derived == ()


def test_few_rows_and_chance_derive_nothing():
    draw = np.random.default_rng(2)
    few = pa.table({f"x{i}": draw.normal(size=30) for i in range(29)})
    assert Columns.fit(few, "t").derived == ()
    assert Columns.fit(pa.table({"a": list("xyxyxyxy"), "b": list("uvuvuvuv")}), "t").derived != ()
    assert Columns.fit(pa.table({"a": list("xyzwxyzw"), "b": list("uvuuuvuu")}), "t").derived == ()


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (1.7e9 + np.random.default_rng(0).uniform(0, 1000, N), True),
        (20_000_000 + np.arange(N), True),
        (1e-45 * np.random.default_rng(0).uniform(1, 2, N), True),
        (np.random.default_rng(0).normal(size=N), False),
    ],
    ids=["unix", "id", "tiny", "plain"],
)
def test_digits_are_kept_where_float32_would_lose_them(tmp_path, values, kept):
    parquet.write_table(pa.table({"c": values, "v": np.arange(N) / 7}), tmp_path / "t.parquet")
    found = data.load(tmp_path / "t.parquet")
    assert found.wide is kept
    assert len(found.x[:, 0].unique()) == N
    scaling = data.Scaling.fit(found)
    z = scaling.forward(found.batch(range(N)))
    assert z.dtype == np.float32 or str(z.dtype) == "torch.float32"
    back = scaling.quantise(scaling.inverse(z))
    spread = float(found.x[:, 0].double().std())
    assert float((back[:, 0] - found.x[:, 0]).abs().max()) < 1e-5 * spread


def test_whole_numbers_beyond_float64_are_refused(tmp_path):
    parquet.write_table(pa.table({"id": np.arange(10**19, 10**19 + 9, dtype=np.uint64)}), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=r"column 'id' holds whole numbers beyond 2\^53, up to 10000000000000000008"):
        data.load(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("id,v\n" + "".join(f"{10**19 + i},{i}\n" for i in range(9)))
    with pytest.raises(BadInput, match=r"column 'id' holds whole numbers beyond 2\^53, such as 10000000000000000000"):
        data.load(tmp_path / "t.csv")
    assert len(data.load(tmp_path / "t.csv", columns=["v"])) == 9


def test_texts_that_repeat_are_columns_of_their_own(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    table = data.load(tmp_path / "t.csv")
    assert table.columns == ("size", "colour=red")
    assert table.x[:, 1].tolist() == [float(i % 3 > 0) for i in range(12)]
    assert table.quantum is None
    part = table.split(0.5)[1]
    assert part.code is table.code
    coded = pa.table({"c": pa.array(["b", "a", "c", "a", "b", "c"]).dictionary_encode(), "k": [1, 2, 3, 4, 5, 7]})
    parquet.write_table(coded, tmp_path / "t.parquet")
    assert data.load(tmp_path / "t.parquet").x[:2].tolist() == [[0, 1, 0, 1], [1, 0, 0, 2]]


def test_another_table_is_told_alike_by_name_in_any_order(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    real = data.load(tmp_path / "t.csv")
    (tmp_path / "o.csv").write_text("colour,size\nred,1\nred,2.5\nred,4\n")
    assert data.load(tmp_path / "o.csv", like=real).x.tolist() == [[1, 1], [2.5, 1], [4, 1]]
    for text, message in (
        (TEXT.replace("blue", "violet"), "column 'colour' holds 'violet', which is none of blue, red: correct it"),
        ("size\n1\n2\n", "has no column 'colour': its columns are to be size, colour"),
        (TEXT.replace("size,colour", "size,color"), "has no column 'colour'"),
        ("size,colour,more\n1,red,2\n2,red,2\n", "has a column that is not of the others, 'more'"),
    ):
        (tmp_path / "o.csv").write_text(text)
        with pytest.raises(BadInput, match=message):
            data.load(tmp_path / "o.csv", like=real)


def test_rows_with_a_missing_text_or_number_are_left_out(tmp_path):
    path = tmp_path / "t.parquet"
    cells = {"x": [0.5, 1.5, 2.5, 4.0, None, float("nan"), 1.0], "c": ["a", None, "a", "b", "a", "b", "b"]}
    parquet.write_table(pa.table(cells), path)
    assert data.load(path, drop_missing=True).x.tolist() == [[0.5, 0], [2.5, 0], [4, 1], [1, 1]]


def test_names_of_single_rows_are_no_categories(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "".join(f"row{i},{i / 3}\n" for i in range(300)))
    with pytest.raises(BadInput, match="column 'id' is not numeric: 300 different texts in 300 rows"):
        data.load(path)
    assert data.load(path, columns=["x"]).columns == ("x",)


def test_a_label_column_is_the_label_of_each_row(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    found = data.load(tmp_path / "t.csv", label_column="colour")
    assert (found.columns, found.classes) == (("size",), ("blue", "red"))
    assert found.y.tolist() == [int(i % 3 > 0) for i in range(12)]
    assert found.reading == {"label_column": "colour"}
    with pytest.raises(BadInput, match="has no column 'color': its columns are size, colour"):
        data.load(tmp_path / "t.csv", label_column="color")
    with pytest.raises(BadInput, match="label_column 'colour' was given with an array"):
        data.load(np.zeros((3, 2)), label_column="colour")


def test_what_does_not_vary_and_names_that_would_be_one_are_refused():
    with pytest.raises(BadInput, match="has no column that varies"):
        Columns.fit(pa.table({"a": [1.0] * 30, "b": [2] * 30}), "t")
    twice = pa.table({"a": [1.0, None] * 20, "a is missing": [0.5 * i for i in range(40)]})
    with pytest.raises(BadInput, match="two columns would be told by one of the name 'a is missing': rename"):
        Columns.fit(twice, "t", learn_missing=True)


def test_signs_behind_what_is_before_and_codes_of_several_lengths():
    money = pa.table({"m": ["$-5.25", "$3.00", "$17.50", "$-0.75"]})
    found = Columns.fit(money, "t")
    assert found.encode(money, "t")[:, 0].tolist() == [-5.25, 3.0, 17.5, -0.75]
    assert found.decode(found.encode(money, "t")).equals(money)
    codes = pa.table({"c": ["007", "7", "007", "7", "012", "012"] * 2})
    assert Columns.fit(codes, "t").names == ("c=007", "c=012", "c=7")
    with pytest.raises(BadInput, match="column 'm' is not numeric"):
        Columns.fit(pa.table({"m": [f"({i}.50)" for i in range(30)]}), "t")


def test_rows_without_a_label_or_with_a_blank_text_are_left_out(tmp_path):
    path = tmp_path / "t.parquet"
    cells = {"x": [0.5, 1.5, 2.5, 4.0, 5.0, 7.0], "c": ["a", " ", "a", "b", "b", "a"], "y": ["u", "u", None, *"vuu"]}
    parquet.write_table(pa.table(cells), path)
    found = data.load(path, label_column="y", drop_missing=True)
    assert (found.x[:, 0].tolist(), found.y.tolist()) == ([0.5, 4.0, 5.0, 7.0], [0, 1, 0, 0])


def test_labels_of_yes_and_no_are_names_and_moments_are_no_labels(tmp_path):
    path = tmp_path / "t.parquet"
    day = pa.array(np.datetime64("2020-01-01") + np.arange(30))
    parquet.write_table(pa.table({"x": np.arange(30) / 7, "on": [True, False, False] * 10, "day": day}), path)
    found = data.load(path, label_column="on")
    assert (found.classes, found.y[:3].tolist()) == (("False", "True"), [1, 0, 0])
    labels = data.Labels.of(found)
    assert labels.encode("True", 1).tolist() == labels.encode(True, 1).tolist() == [1]
    with pytest.raises(BadInput, match="labels are Python objects: give whole numbers, texts"):
        data.load(path, label_column="day")


@pytest.mark.parametrize(
    "values",
    [
        np.datetime64("2023-01-01T00:00:00") + np.arange(3000) * np.timedelta64(45, "m"),
        np.random.default_rng(0).integers(10**8, 2 * 10**9, 3000),
        np.exp(np.random.default_rng(0).normal(11, 2, 3000)).round(2),
    ],
    ids=["minutes", "ids", "cents"],
)
def test_every_number_comes_back_to_its_last_digit(tmp_path, values):
    table = pa.table({"v": values, "w": np.arange(3000) / 7})
    parquet.write_table(table, tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")  # of Parquet's own types
    found = data.load(tmp_path / "t.parquet")
    assert found.wide
    assert found.code.decode(found.x.numpy()).column("v").combine_chunks().equals(table.column("v").combine_chunks())


def test_one_far_value_makes_no_sum_of_others():
    draw = np.random.default_rng(0)
    revenue = draw.uniform(0, 1000, 3000)
    revenue[7] = 1e10
    fee = revenue + draw.integers(0, 5, 3000)
    assert Columns.fit(pa.table({"revenue": revenue, "fee": fee}), "t").derived == ()
    exact = Columns.fit(pa.table({"revenue": revenue, "fee": revenue + 2}), "t")
    assert exact.statement.endswith("fee = revenue + 2")


def test_the_clock_keeps_its_zeros_and_days_lose_them():
    table = pa.table({"t": ["8/12/2020 01:00", "17/1/2020 13:05", "3/2/2021 00:30", "28/11/2019 09:00"]})
    found = Columns.fit(table, "t")
    assert found.decode(found.encode(table, "t")).equals(table)


def test_types_of_parquet_come_back():
    from decimal import Decimal

    cells = {"d": [Decimal("1.50"), Decimal("2.25"), Decimal("-7.75"), Decimal("0.10")]}
    table = pa.table(cells | {"c": pa.array(["a", "b", "b", "a"]).dictionary_encode()})
    found = Columns.fit(table, "t")
    back = found.decode(found.encode(table, "t"))
    assert back.schema.field("d").type == table.schema.field("d").type
    assert back.column("d").to_pylist() == cells["d"]
    assert pa.types.is_dictionary(back.schema.field("c").type)


def test_an_infinite_cell_and_another_type_are_refused_by_name(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"a": [1.0, float("inf"), 2.0]}), path)
    with pytest.raises(BadInput, match="column 'a' is infinite in row 2"):
        data.load(path)
    parquet.write_table(pa.table({"a": [1.0, 2.5, 2.0]}), path)
    real = data.load(path)
    parquet.write_table(pa.table({"a": pa.array([1, 2, 3], pa.date32())}), path)
    with pytest.raises(BadInput, match=r"column 'a' is date32\[day\] and holds what is no number"):
        data.load(path, like=real)
    fine = pa.array([1, 2, 3], pa.timestamp("ns"))
    with pytest.raises(BadInput, match="finer than microseconds in places: round it"):
        Columns.fit(pa.table({"t": fine}), "t")


def test_an_index_of_pandas_is_left_out_and_told(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": [1.5, 2.5, 4.0], "__index_level_0__": [7, 3, 5]}), path)
    with pytest.warns(UserWarning, match="'__index_level_0__' is an index of rows, and is left out"):
        assert data.load(path).columns == ("x",)


def many(n: int, k: int, seed: int) -> pa.Table:
    """k shops, a third of them dear, of which some are much more frequent than others."""
    draw = np.random.default_rng(seed)
    shop = np.minimum(draw.exponential(k / 4, n).astype(int), k - 1)
    dear = shop % 3 == 0
    price = np.exp(draw.normal(size=n) * 0.2 + 3 * dear)
    return pa.table({"shop": [f"shop {s:04d}" for s in shop], "price": price, "cash": np.where(dear, "no", "yes")})


def test_many_texts_are_told_by_groups_of_alike_ones_and_come_back():
    table = many(6000, 300, 0)
    code = Columns.fit(table, "t", derive=False)
    shop = code.codes[0]
    assert isinstance(shop, Grouped)
    assert len(shop.own) < 50
    x = code.encode(table, "t")
    assert code.decode(x).equals(table)
    assert [stop - start for start, stop in code.blocks] == [32, 10, 1]
    for start, stop in code.blocks[:2]:
        assert (x[:, start:stop].sum(1) == 1).all()
    names = shop.own[: code.blocks[0][1]]
    assert names[0].startswith("shop like shop ")
    dear = np.array([int(text[-4:]) % 3 == 0 for text in shop.texts])
    often = np.array(shop.count) >= 20
    groups = [dear[(np.array(shop.group) == g) & often] for g in range(len(names))]
    share = np.array([each.mean() for each in groups if len(each)])
    assert len(share) > 6
    assert np.minimum(share, 1 - share).mean() < 0.1  # groups are of dear ones or of others; .33 by chance


def test_a_number_that_a_group_does_not_have_is_drawn_as_often_as_its_texts_came():
    texts, group, count = ("a", "b", "c", "d", "e"), (0, 0, 1, 1, 1), (30, 10, 5, 5, 50)
    code = Grouped("k", "string", texts=texts, group=group, count=count)
    assert code.place.tolist() == [0, 1, 1, 2, 0]
    x = np.tile([1.0, 0.0, 0.0, 0.0, 1.0], (4000, 1))  # number 3 of the first group, which has two
    drawn = code.decode(x, seed=1).to_pylist()
    assert set(drawn) == {"a", "b"}
    assert drawn.count("a") / 4000 == pytest.approx(0.75, abs=5 * (0.1875 / 4000) ** 0.5)
    assert Columns.from_dict(json.loads(json.dumps(Columns((code,), (), ("k",)).to_dict()))).codes == (code,)


@pytest.mark.parametrize(
    "cells",
    [
        ["1/5/2023 3:07 PM", "12/25/2023 11:59 AM", "2/1/2023 12:00 AM"],
        ["01/13/24 03:07:09 PM", "12/25/23 11:59:00 AM"],
        ["1/5/2023 9:07", "12/25/2023 11:59"],
        ["05.01.99", "31.12.24", "01.02.68"],
        ["5 Jan 2023", "15 Dec 2022"],
        ["Jan 05 2023", "Dec 15 2022"],
        ["January 05, 2023", "December 15, 2022"],
        ["2020-01-05T10:00", "2020-01-06T11:30"],
    ],
)
@pytest.mark.filterwarnings("ignore:column 'w' is read as")
def test_moments_come_back_as_they_were_written(cells):
    table = pa.table({"w": cells * 4})
    found = Columns.fit(table, "t", derive=False)
    assert found.codes[0].kind == "moment"
    assert found.decode(found.encode(table, "t")).equals(table)


def test_a_moment_with_a_t_in_it_comes_back_so(tmp_path):
    written = "a,b\n" + "".join(f"2020-01-{i + 1:02}T10:{i:02}:00,{i}.5\n" for i in range(20))
    (tmp_path / "t.csv").write_text(written)
    table = data.load(tmp_path / "t.csv")
    assert textfiles.write(table.code.decode(table.x.double().numpy()), table.dialect).decode() == written


def test_what_is_drawn_beyond_the_type_of_a_file_is_its_last_value():
    import decimal

    prices = pa.array([decimal.Decimal(f"{v}.25") for v in range(20)], pa.decimal128(5, 2))
    table = pa.table(
        {"small": pa.array(range(20), pa.uint8()), "price": prices, "half": pa.array(np.arange(20) / 8, pa.float16())}
    )
    code = Columns.fit(table, "t", derive=False)
    x = np.array([[-1.0, 1219.04, 1e6], [300.0, -1219.04, -1e6], [7.0, 3.5, 0.5]])
    back = code.decode(x)
    assert back.schema == table.schema
    assert back["small"].to_pylist() == [0, 255, 7]
    assert [float(v) for v in back["price"].to_pylist()] == [999.99, -999.99, 3.5]
    assert back["half"].to_pylist() == [65504.0, -65504.0, 0.5]


def test_texts_are_counted_by_the_weights_of_their_rows(tmp_path):
    rows = [("a", 1.0)] * 500 + [("b", 1.0)] * 492 + [("r1", 100.0)] * 4 + [("r2", 0.01)] * 4
    (tmp_path / "t.csv").write_text("k,x,w\n" + "".join(f"{k},{i},{w}\n" for i, (k, w) in enumerate(rows)))
    found = data.load(tmp_path / "t.csv", weights="w")
    drawn = found.code.decode(found.by_weight(0).x.double().numpy())["k"].to_pylist()
    assert drawn.count("r1") / 1000 == pytest.approx(400 / 1392.04, abs=0.01)
    assert drawn.count("r2") <= 1
    draw = np.random.default_rng(0)
    texts = np.repeat([f"s{i:03}" for i in range(200)], 10)
    many = pa.table({"k": texts, "x": draw.normal(size=2000), "w": np.where(texts == "s000", 100.0, 1.0)})
    code = data.load(many, weights="w").code.codes[0]
    assert dict(zip(code.texts, code.count, strict=True))["s000"] == 1000.0


@pytest.mark.parametrize(
    "cells",
    [
        ["red", "blue", "", " "],
        ["$1,200.50", "$3.25", "", "$17.00"],
        ["05.01.2023", "", "31.12.2024", "01.02.2020"],
        ["007", "042", "", "113"],
    ],
)
def test_texts_that_are_empty_are_missing_and_learned_so(tmp_path, cells):
    (tmp_path / "t.csv").write_text("k;x\n" + "".join(f"{k};{i / 7}\n" for i, k in enumerate(cells * 12)))
    with pytest.raises(BadInput, match="missing learn"):
        data.load(tmp_path / "t.csv")
    found = data.load(tmp_path / "t.csv", missing="learn")
    assert "k is missing" in found.columns
    back = found.code.decode(found.x.double().numpy())["k"].to_pylist()
    assert back == [k.strip() or None for k in cells * 12]
    assert len(data.load(tmp_path / "t.csv", drop_missing=True)) == 12 * sum(bool(k.strip()) for k in cells)
    arrow = pa.table({"k": pa.array(cells * 12).dictionary_encode(), "x": np.arange(len(cells) * 12) / 7})
    assert data.load(arrow, missing="learn").columns == found.columns
    assert len(data.load(arrow, drop_missing=True)) == 12 * sum(bool(k.strip()) for k in cells)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_column_of_labels_comes_back_in_its_place_and_type(tmp_path, ending):
    draw = np.random.default_rng(0)
    told = pa.table(
        {
            "a": draw.normal(size=40).round(3),
            "kind": pa.array(draw.integers(0, 3, 40), pa.int8()),
            "sure": draw.random(40) < 0.5,
            "b": draw.normal(size=40).round(3),
        }
    )
    for column in ("kind", "sure"):
        path = tmp_path / f"{column}{ending}"
        parquet.write_table(told, path) if ending == ".parquet" else csv.write_csv(told, path)
        found = data.load(path, label_column=column)
        out = tmp_path / f"new{column}{ending}"
        write_samples(out, found.x, json.loads(json.dumps(found.describe())), found.y)
        if ending == ".csv":
            assert out.read_text().replace('"', "") == path.read_text().replace('"', "")
        else:
            assert parquet.read_table(out).schema.equals(told.schema)
            assert parquet.read_table(out)[column].equals(told[column])


def test_moments_and_money_keep_their_zeros(tmp_path):
    days = [f"2021-09-{i + 1:02}T20:0{i % 7}" for i in range(24)]
    cells = zip(days, (f"2021-09-05 20:09:00.{125 * (1 + i % 7):03}" for i in range(24)), range(24), strict=True)
    written = "a;b;c;d\n" + "".join(f"{a};{b};1.0{i:02},50 €;{i},5\n" for a, b, i in cells)
    (tmp_path / "t.csv").write_text(written)
    found = data.load(tmp_path / "t.csv")
    assert textfiles.write(found.code.decode(found.x.double().numpy()), found.dialect).decode() == written


def test_ten_thousand_columns_are_a_table(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 10_000)).round(3)
    table = pa.table({f"c{i}": column for i, column in enumerate(x.T)})
    csv.write_csv(table, tmp_path / "wide.csv")
    found = data.load(tmp_path / "wide.csv", derived=True)
    assert found.event_shape == (10_000,)
    assert found.code.decode(found.x.double().numpy()).equals(table)


def test_names_and_texts_of_any_alphabet_come_back(tmp_path):
    written = "возраст,город,收入\n" + "".join(f"{20 + i % 9},{'Київ' if i % 3 else '東京'},{i}.5\n" for i in range(30))
    (tmp_path / "t.csv").write_text(written, encoding="utf-8")
    found = data.load(tmp_path / "t.csv", label_column="город")
    assert found.columns == ("возраст", "收入")
    assert set(found.classes) == {"Київ", "東京"}
    out = tmp_path / "new.csv"
    write_samples(out, found.x, json.loads(json.dumps(found.describe())), found.y)
    assert out.read_text(encoding="utf-8") == written


def test_labels_that_are_nan_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(4, 2)), y=np.array([0.0, 1.0, np.nan, 1.0]))
    with pytest.raises(BadInput, match="NaN or infinity"):
        data.load(tmp_path / "a.npz")
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,\n3,1\n")
    with pytest.raises(BadInput, match="1 of 3 rows have no 'y'"):
        data.load(tmp_path / "t.csv", label_column="y")
