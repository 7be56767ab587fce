"""Samples of two models of disjoint halves: with each other, and with what these learned from."""

import math

import pytest
import torch

from monge.errors import BadInput
from monge.evaluation import distinct, twins


def _cloud(n: int, seed: int, d: int = 12) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.manual_seed(seed))


def test_copies_are_told_from_new_samples_in_any_unit():
    mine, theirs, held, new = (_cloud(80, seed) for seed in range(4))
    for scale, shift in ((1.0, 0.0), (1e-3, 0.0), (1e3, 1e3)):
        x = [scale * part + shift for part in (mine, theirs, held, new)]
        copied = twins(x[0][:40] + 0.05 * scale * _cloud(40, 9), x[1][:40], x[0], x[1], x[2])
        fresh = twins(x[3][:40], x[3][:40], x[0], x[1], x[2])
        assert copied.copied.all()
        assert not copied.nearer_to_twin.any()
        assert copied.nearest[1].tolist() == list(range(40))
        assert not fresh.copied.any()
        assert fresh.nearer_to_twin.all()
        torch.testing.assert_close(fresh.twin.cosine, torch.ones(40, dtype=torch.float64))
        assert copied.near[0].p_value < 1e-6 < fresh.near[0].p_value


def test_cosine_and_distance_are_those_of_a_formula():
    mine, theirs, held, new = (_cloud(30, seed, d=3) for seed in range(4))
    found = twins(new[:10], held[:10], mine, theirs, held)
    mean = torch.cat([mine, theirs]).double().mean(0)
    unit = math.sqrt((torch.cat([mine, theirs]).double() - mean).square().sum(1).mean())
    row = (new[0] - mine).norm(dim=1).argmin()
    expected = torch.nn.functional.cosine_similarity(new[0].double() - mean, mine[row].double() - mean, dim=0)
    assert found.own.cosine[0, 0] == pytest.approx(float(expected), abs=1e-9)
    assert found.own.distance[0, 0] == pytest.approx(float((new[0] - mine[row]).double().norm()) / unit, rel=1e-6)
    assert found.twin.distance[0] == pytest.approx(float((new[0] - held[0]).double().norm()) / unit, rel=1e-6)


def test_repeats_are_left_out_and_near_ones_where_asked():
    rows = _cloud(100, 0)
    film = torch.cat([rows, rows[:3], rows[5:7] + 1e-2, rows[6:7] + 2e-2])
    assert distinct(film).tolist() == [*range(100), 103, 104, 105]
    assert distinct(film, near=True).tolist() == list(range(100))
    assert len(distinct(torch.ones(5, 2))) == 1
    plane = torch.rand(2000, 2, generator=torch.manual_seed(0))
    assert len(distinct(plane)) == 2000  # near rows of the plane are no repeats


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": torch.full((4, 2), math.nan)}, "a must be finite"),
        ({"b": torch.zeros(3, 2)}, "row by row"),
        ({"train_a": torch.zeros(4, 3)}, "train_a has events"),
        ({"held_out": torch.zeros(1, 2)}, "held_out has 1 rows"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, told):
    given = {name: _cloud(4, i, d=2) for i, name in enumerate(("a", "b", "train_a", "train_b", "held_out"))}
    with pytest.raises(BadInput, match=told):
        twins(**(given | change))
