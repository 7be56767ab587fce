"""Finite chains against what is known of them."""

import numpy as np
import pytest

from monge.errors import BadInput
from monge.noise.finite import FiniteChain, metropolis


def cycle(n, stay=0.0):
    p = np.zeros((n, n))
    for i in range(n):
        p[i, (i + 1) % n] = p[i, (i - 1) % n] = (1 - stay) / 2
        p[i, i] = stay
    return p


def test_the_walk_on_a_cycle():
    even, odd, lazy = FiniteChain(cycle(6)), FiniteChain(cycle(5)), FiniteChain(cycle(6, 0.5))
    assert even.period() == 2
    assert not even.is_aperiodic()
    assert odd.is_aperiodic()
    assert lazy.is_aperiodic()
    assert np.allclose(odd.stationary(), 0.2)
    assert lazy.gap() == pytest.approx(1 - (0.5 + 0.5 * np.cos(2 * np.pi / 6)))
    assert odd.is_reversible()
    turning = FiniteChain(np.roll(np.eye(4), 1, axis=1) * 0.7 + np.eye(4) * 0.3)
    assert not turning.is_reversible()


def test_total_variation_falls_at_the_rate_of_the_gap_and_below_its_bound():
    chain = metropolis([1.0, 2.0, 3.0, 10.0], cycle(4, 0.1))
    assert np.allclose(chain.stationary(), np.array([1, 2, 3, 10]) / 16)
    assert chain.is_reversible()
    away = chain.total_variation([1, 0, 0, 0], 60)
    assert (away <= chain.bound(60) + 1e-12).all()
    assert (np.diff(away) <= 1e-12).all()
    assert away[60] / away[59] == pytest.approx(1 - chain.gap(), rel=1e-3)


def test_asymmetric_proposals_are_corrected():
    generator = np.random.default_rng(0)
    q = generator.random((5, 5))
    weights = generator.random(5) + 0.1
    chain = metropolis(weights, q / q.sum(1, keepdims=True))
    assert np.allclose(chain.stationary(), weights / weights.sum())
    assert chain.is_reversible()


def test_classes():
    split = FiniteChain([[1.0, 0, 0], [0.3, 0.4, 0.3], [0, 0, 1.0]])
    assert split.classes()[0] == 3
    assert not split.is_irreducible()
    with pytest.raises(BadInput, match="2 closed classes"):
        split.stationary()
    with pytest.raises(BadInput, match="irreducible"):
        split.period()
    ends = FiniteChain([[0.5, 0.5], [0.0, 1.0]])
    assert np.allclose(ends.stationary(), [0, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FiniteChain(np.ones((2, 3))), "square"),
        (lambda: FiniteChain([[0.5, 0.5], [0.5, 0.6]]), "row 1"),
        (lambda: metropolis([1.0, -1.0, 1.0], cycle(3)), "positive"),
        (lambda: FiniteChain(cycle(3)).laws([1.0, 0.5, 0], 3), "a probability of 3 states"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()
