"""Diffusions of mixed tables: what is drawn is a table of the same columns, and of the same law."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

import monge

N = 1500


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A table in which the plan hangs on the income, and a score is missing where it is basic; and its model."""
    draw = np.random.default_rng(0)
    income = np.exp(draw.normal(10, 0.7, N)).round(2)
    plan = np.where(income > 22_000, draw.choice(3, N, p=[0.05, 0.15, 0.8]), draw.choice(3, N, p=[0.7, 0.25, 0.05]))
    score = np.where((plan == 0) & (draw.random(N) < 0.5), np.nan, draw.normal(size=N) + plan)
    path = tmp_path_factory.mktemp("table") / "t.parquet"
    day = np.datetime64("2020-01-01") + draw.integers(0, 900, N)
    cells = {"day": pa.array(day), "income": income, "plan": np.array(["basic", "family", "gold"])[plan]}
    cells |= {"twice": 2 * income, "active": draw.random(N) < 0.2, "score": pa.array(score, from_pandas=True)}
    parquet.write_table(pa.table(cells), path)
    samples = monge.data.load(path, missing="learn", derived=True)
    return samples, monge.Diffusion().fit(samples, steps=400, show=False)


def test_a_mixed_table_is_drawn_as_it_was(fitted):
    samples, model = fitted
    x = model.sample(1500, show=False)
    real, new = (samples.code.decode(each.double().numpy()).to_pandas() for each in (samples.x, x))
    assert list(new.columns) == ["day", "income", "plan", "twice", "active", "score"]
    assert ((new["twice"] - 2 * new["income"]).abs() < 0.011).all()
    assert set(new["plan"]) == {"basic", "family", "gold"}
    error = (2 * 0.25 / N) ** 0.5
    for side in "basic", "family", "gold":
        assert abs((new["plan"] == side).mean() - (real["plan"] == side).mean()) < 4 * error
    missing = new["score"].isna()
    assert abs(missing.mean() - real["score"].isna().mean()) < 4 * error
    assert (new["plan"][missing] == "basic").mean() > 0.9
    rich = new["income"] > 22_000
    assert abs((new["plan"][rich] == "gold").mean() - 0.8) < 0.15  # near 22,000 it is one or the other
    assert abs(np.log(new["income"]).std() / np.log(real["income"]).std() - 1) < 0.1


def test_a_run_of_a_table_comes_back_from_its_folder(fitted, tmp_path):
    samples, model = fitted
    model.save(tmp_path / "run")
    again = monge.load(tmp_path / "run")
    assert np.array_equal(again.sample(20, show=False), model.sample(20, show=False))
    assert monge.data.Columns.from_dict(again.record["data"]["code"]) == samples.code


def test_digits_of_a_wide_column_are_drawn(tmp_path):
    draw = np.random.default_rng(1)
    when = 1.7e9 + draw.uniform(0, 1000, 600)
    parquet.write_table(pa.table({"t": when, "v": draw.normal(size=600)}), tmp_path / "t.parquet")
    samples = monge.data.load(tmp_path / "t.parquet")
    x = monge.Diffusion().fit(samples, steps=60, show=False).sample(500, show=False)
    assert len(x[:, 0].unique()) == 500
    assert abs(float(x[:, 0].mean()) - when.mean()) < 5 * when.std() / 500**0.5


def test_the_density_of_a_text_is_its_probability():
    """E log p(x, k) = E log p(x) + E log P(k) for x normal and k independent of it, about."""
    draw = np.random.default_rng(2)
    n = 600
    table = pa.table({"x": draw.normal(size=n), "k": draw.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])})
    code = monge.data.Columns.fit(table, "t")
    x = torch.from_numpy(code.encode(table, "t")).float()
    samples = monge.data.Samples(x, columns=code.names, code=code)
    model = monge.RealNVP().fit(samples, steps=100, show=False)
    p = np.array([0.6, 0.3, 0.1])
    right = -0.5 * np.log(2 * np.pi * np.e) + (p * np.log(p)).sum()
    found = model.log_prob(x).value.mean()
    assert right - 1.5 < float(found) < right + 0.1  # three times log 5 higher before it was counted
