"""Rows that do not count the same: learned from, judged by, and refused where they are no weights."""

import numpy as np
import pytest
import torch

from monge.data import Samples, load
from monge.data.weights import as_often, kept, worth
from monge.errors import BadInput
from monge.evaluation import LINES, Energy, audit, distance
from monge.models import Diffusion
from monge.nets import Size
from monge.training.rows import Rows


def two(n: int, seed: int) -> Samples:
    """Halves at 0 and at 10, of which the second is meant to be a tenth of the law."""
    g = np.random.default_rng(seed)
    high = g.random(n) < 0.5
    x = torch.from_numpy(np.stack([np.where(high, 10.0, 0.0) + g.standard_normal(n), g.standard_normal(n)], 1))
    return Samples(x.float(), weights=torch.from_numpy(np.where(high, 1.0, 9.0)))


def meant(n: int, seed: int) -> torch.Tensor:
    g = np.random.default_rng(seed)
    high = g.random(n) < 0.1
    return torch.from_numpy(
        np.stack([np.where(high, 10.0, 0.0) + g.standard_normal(n), g.standard_normal(n)], 1)
    ).float()


def test_rows_come_as_often_as_they_weigh_rounded_up_or_down():
    weights = torch.rand(500, generator=torch.Generator().manual_seed(0)).double() ** 4
    expected = 500 * weights / weights.sum()
    counts = torch.stack([torch.bincount(as_often(weights, seed), minlength=500) for seed in range(400)]).double()
    assert bool(((counts - expected).abs() < 1).all())
    error = (expected % 1 * (1 - expected % 1) / 400).sqrt()
    assert bool(((counts.mean(0) - expected).abs() <= 5 * error + 3 / 400).all())


def test_rows_that_are_kept_are_independent_and_none_comes_twice():
    weights = torch.tensor([4.0, 2.0, 1.0, 0.0]).double()
    found = torch.stack([torch.isin(torch.arange(4), kept(weights, seed)) for seed in range(2000)]).double()
    assert found.mean(0).tolist() == pytest.approx([1.0, 0.5, 0.25, 0.0], abs=5 * (0.25 / 2000) ** 0.5)
    both = (found[:, 1] * found[:, 2]).mean()
    assert float(both) == pytest.approx(0.125, abs=5 * (0.11 / 2000) ** 0.5)
    assert worth(weights) == pytest.approx(49 / 21)


def test_a_column_of_weights_is_none_of_the_values_and_goes_with_its_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,w,b\n" + "".join(f"{i},{i % 3},{-i}\n" for i in range(30)))
    data = load(str(path), weights="w")
    assert data.columns == ("a", "b")
    assert data.weights is not None
    assert data.weights.tolist() == [float(i % 3) for i in range(30)]
    assert data.reading == {"weights": "w"}
    assert any("worth" in note for note in data.notes)
    part, other = data.split(0.3, seed=1)
    for some in (part, other):
        assert torch.equal(some.weights, some.x[:, 0].double() % 3)
    again = load(str(path), drop_missing=True, weights="w")
    assert torch.equal(again.weights, data.weights)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("1,-1", "row 2 is -1"),
        ("1,", "no 'w'"),
        ("1,inf", "infinite"),
        ("0,0", "all weights are 0"),
        ("1,x", "no number"),
    ],
)
def test_what_is_no_weight_is_refused(tmp_path, cells, words):
    path = tmp_path / "t.csv"
    path.write_text("a,w\n" + "".join(f"{i},{w}\n" for i, w in enumerate(cells.split(","))))
    with pytest.raises(BadInput, match=words):
        load(str(path), weights="w")


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,w\n1,2\n3,4\n")
    with pytest.raises(BadInput, match="no column 'v'"):
        load(str(path), weights="v")
    with pytest.raises(BadInput, match="with an array"):
        load(np.zeros((3, 2)), weights="w")
    with pytest.raises(BadInput, match=r"weights are \[2\]"):
        Samples(torch.eye(2), weights=torch.ones(3))


def test_a_model_learns_the_law_that_is_meant():
    data = two(2000, 0)
    model = Diffusion().fit(data, steps=1)
    drawn = data.by_weight(0)
    usual = drawn.x.double().mean(0)
    assert float(usual[0]) == pytest.approx(1.0, abs=0.3)
    moments = model.walker.moments.mean * model.units.scale.flatten() + model.units.shift.flatten()
    unbent = (
        model.units.marginals.unbent(moments.double().reshape(1, 2, 1)).flatten() if model.units.marginals else moments
    )
    assert abs(float(unbent[0])) < 2.0  # the mean of all rows is 5


def test_rows_that_come_twice_are_on_one_side_of_a_validation():
    data = two(200, 1).by_weight()
    rows = Rows(len(data), 10, 0, 0.2, groups=data.groups)
    learned = torch.unique(rows.at(0))
    for draw in range(1, 30):
        learned = torch.unique(torch.cat([learned, rows.at(draw)]))
    assert len(rows.held_out) >= 30
    assert not set(data.groups[rows.held_out].tolist()) & set(data.groups[learned].tolist())


def test_an_audit_and_a_distance_judge_by_the_law_that_is_meant():
    holdout = two(1500, 2)
    lines = [line for line in LINES if line.name in ("one coordinate at a time", "regions")]
    right = audit(meant(600, 3), holdout=holdout, train=two(1500, 5), lines=lines)
    assert right.status != "fail"
    assert "1,500 held-out rows with weights" in right.context["warnings"][0]
    assert right.context["n_holdout"] == len(holdout.thinned(0))
    assert audit(holdout.x[:600], holdout=holdout, lines=lines).status == "fail"
    assert abs(distance(meant(600, 4), holdout, Energy()).value) < 0.1 < distance(holdout.x, holdout, Energy()).value


def test_groups_are_whole_where_a_table_is_read_by_blocks():
    groups = torch.arange(1000) // 100
    rows = Rows(1000, 100, 0, 0.2, block=50, groups=groups)
    learned = torch.cat([rows.at(k) for k in range(8)])
    assert len(rows.held_out) == 200
    assert not set(groups[rows.held_out].tolist()) & set(groups[learned].tolist())


def test_a_run_goes_on_with_its_own_weights_alone(tmp_path):
    data, options = two(300, 0), {"out": tmp_path / "run", "show": False, "resume": True}
    net = Size(widths=(8,), blocks=1)
    Diffusion(net=net).fit(data, steps=2, **options)
    record = (tmp_path / "run" / "model.json").read_text()
    for steps in (2, 4):
        with pytest.raises(BadInput, match="labels, groups and weights"):
            Diffusion(net=net).fit(Samples(data.x), steps=steps, **options)
    assert (tmp_path / "run" / "model.json").read_text() == record
    (tmp_path / "run" / "model.json").write_text(record.replace('"beside"', '"before"'))
    Diffusion(net=net).fit(data, steps=4, **options)  # a run of before it was kept


def test_parts_without_a_weight_are_parts_until_they_are_learned_from():
    data = Samples(torch.eye(3), weights=torch.tensor([0.0, 1.0, 1.0]))
    assert len(data.take([])) == 0
    assert len(data.take([0])) == 1
    with pytest.raises(BadInput, match="all weights are 0"):
        data.take([0]).by_weight()
    heavy = Samples(torch.randn(900, 2), weights=torch.cat([torch.ones(1), 1e-9 * torch.ones(899)]))
    lines = [line for line in LINES if line.name == "one coordinate at a time"]
    assert audit(torch.randn(200, 2), holdout=torch.randn(200, 2), train=heavy, rows=150, lines=lines).lines


def test_too_few_rows_by_weight_and_words_for_weights_are_told():
    heavy = Samples(torch.randn(300, 2), weights=torch.cat([torch.full((1,), 1e6), torch.ones(299)]), name="mine")
    with pytest.raises(BadInput, match="of 300 weighted rows of mine 1 are left"):
        audit(torch.randn(200, 2), holdout=heavy)
    with pytest.raises(BadInput, match="weights are numbers"):
        Samples(torch.eye(2), weights=["a", "b"])
