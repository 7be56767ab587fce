"""A distance with its interval and its floor, by every metric."""

import math

import numpy as np
import pytest
import torch

from monge import evaluation
from monge.errors import BadInput

METRICS = [
    evaluation.Wasserstein(),
    evaluation.Wasserstein(1.0),
    evaluation.Sliced(),
    evaluation.SinkhornDivergence(epsilon=1.0),
    evaluation.Energy(),
]


def draw(n, d, seed, *, move=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double() + move


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_shift_is_seen_and_no_shift_is_what_real_data_give(metric):
    far = evaluation.distance(draw(200, 2, 0, move=1.5), draw(200, 2, 1), metric)
    assert far.rows == (200, 200)
    assert far.size == 100
    assert far.interval[0] < far.value < far.interval[1]
    assert far.at_size > 4 * abs(far.real)
    same = evaluation.distance(draw(200, 2, 2), draw(200, 2, 1), metric)
    assert same.interval[0] <= same.value <= same.interval[1]
    assert abs(same.at_size) < 2.5 * abs(same.real) + 0.05


def test_w2_of_a_translation_is_its_length():
    x = draw(150, 3, 3)
    found = evaluation.distance(x + torch.tensor([2.0, 0.0, 0.0]), x)
    assert math.isclose(found.value, 2.0, rel_tol=1e-9)
    assert found.metric == "W2"


@pytest.mark.parametrize(
    "metric", [evaluation.Wasserstein(), evaluation.SinkhornDivergence(epsilon=1.0)], ids=["w2", "sinkhorn"]
)
def test_interval_covers_the_mean_of_many_draws(metric):
    """95 of 100, within 4.5 binomial standard deviations."""
    draws = [(draw(60, 2, 2 * k, move=1.0), 1.5 * draw(60, 2, 2 * k + 1)) for k in range(100)]
    found = [metric.influenced(x, y, 0) for x, y in draws]
    mean = np.mean([each.powered for each in found])
    held = [low <= mean <= high for low, high in (evaluation.interval_of(each) for each in found)]
    assert sum(held) >= 95 - 4.5 * math.sqrt(100 * 0.05 * 0.95)


def test_rows_are_drawn_by_the_seed():
    x, y = draw(500, 1, 4), draw(400, 1, 5)
    first, again, other = (evaluation.distance(x, y, n=100, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.value != other.value
    assert first.rows == (100, 100)


@pytest.mark.parametrize(
    ("x", "real", "words"),
    [
        (np.zeros((9, 2)), np.zeros((20, 2)), "the first cloud has 9 rows, and a distance with its interval needs 10"),
        (np.zeros((20, 2)), np.zeros((20, 3)), "one size of events: 2 and 3 values"),
        (np.full((20, 2), np.nan), np.zeros((20, 2)), "the first cloud has 40 NaN or infinite values"),
    ],
)
def test_bad_input_is_told_in_one_line(x, real, words):
    with pytest.raises(BadInput, match=words):
        evaluation.distance(x, real)
