"""Wasserstein distances against linear programs, closed forms and each other."""

import math

import numpy as np
import pytest
import torch
from drawn import F, cloud, law
from scipy.stats import wasserstein_distance

from monge import ot
from monge.densities import Gaussian
from monge.errors import BadInput


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("m", [30, 44])
def test_line_is_the_exact_coupling(p, m):
    x, y, a, b = cloud(30, 1, 0), cloud(m, 1, 1, move=0.3), law(30, 2), law(m, 3)
    cost = lambda x, y: (x - y.T).abs() ** p  # noqa: E731
    for weights in ((None, None), (a, b), (a, None)):
        wanted = ot.couple(x, y, *weights, cost=cost).value
        assert math.isclose(ot.wasserstein(x, y, p, *weights), wanted ** (1 / p), rel_tol=1e-9)


def test_line_of_scipy_and_zero_weights():
    x, y, a, b = cloud(50, 1, 4), cloud(60, 1, 5), law(50, 6), law(60, 7)
    a[:10] = 0.0
    a = a / a.sum()
    wanted = wasserstein_distance(x[:, 0], y[:, 0], a, b)
    assert math.isclose(ot.wasserstein(x, y, 1, a, b), wanted, rel_tol=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_power_convention_makes_a_distance(p):
    """Root included: it scales with the clouds, and obeys the triangle inequality."""
    x, y, z = cloud(20, 2, 8), cloud(20, 2, 9), cloud(20, 2, 10, move=1.0)
    W = ot.wasserstein
    assert math.isclose(W(3 * x, 3 * y, p), 3 * W(x, y, p), rel_tol=1e-9)
    assert W(x, z, p) <= W(x, y, p) + W(y, z, p)
    assert W(x, x, p) < 1e-7
    assert W(x, y, p) >= W(x, y, 1) - 1e-12  # Jensen


def test_w2_of_gaussians_within_monte_carlo_error():
    """Closed form |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^1/2), in one dimension, where the bias falls as 1 / n."""
    n = 4000
    first, second = Gaussian(torch.zeros(1), torch.eye(1)), Gaussian(torch.ones(1), 4 * torch.eye(1))
    squared = ot.wasserstein(first.sample(n, seed=0), second.sample(n, seed=1)) ** 2
    # potentials: phi(x) = x^2 - 2 int T, with T = 1 + 2 x: -(x^2 + 2 x), and psi(y) = (y^2 + 2 (y - 1) - y^2 / 2) ...
    x, y = first.sample(10**5, seed=2)[:, 0], second.sample(10**5, seed=3)[:, 0]
    error = math.sqrt((x**2 + 2 * x).var() / n + (y**2 / 2 + y).var() / n)
    assert abs(squared - 2.0) < 4.5 * error


def test_sliced_of_a_translation_and_of_weights():
    x, move = cloud(200, 3, 11), torch.tensor([1.0, -2.0, 0.5], dtype=F)
    u = ot.directions(3, 64).double()
    assert math.isclose(ot.sliced_wasserstein(x, x + move), float((move @ u).square().mean().sqrt()), rel_tol=1e-9)
    twice = torch.cat([x, x[:50]])
    a = torch.full((200,), 1 / 250, dtype=F)
    a[:50] *= 2
    y = cloud(70, 3, 12)
    for p in (1.0, 2.0):
        repeated = ot.sliced_wasserstein(twice, y, p)
        assert math.isclose(ot.sliced_wasserstein(x, y, p, a), repeated, rel_tol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_max_sliced_finds_the_direction(weighted):
    """Two Gaussians that differ in one direction u: the maximum is along u; and it is a maximum."""
    u = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=F), dim=0)
    x = cloud(2000, 4, 13)
    y = x + (1.5 * (x @ u))[:, None] * u  # s.d. 2.5 along u
    weights = law(2000, 14) if weighted else None
    found = ot.max_sliced_wasserstein(x, y, 2.0, weights, weights)
    assert abs(found.direction @ u) > 0.999
    along = ot.wasserstein((x @ u)[:, None], (y @ u)[:, None], 2.0, weights, weights)
    assert found.value >= along * (1 - 1e-9)
    assert found.value >= ot.sliced_wasserstein(x, y, 2.0, weights, weights)
    assert math.isclose(
        found.value,
        ot.wasserstein((x @ found.direction)[:, None], (y @ found.direction)[:, None], 2.0, weights, weights),
        rel_tol=1e-6,
    )


def test_w1_is_below_the_root_of_kl_on_a_bounded_support():
    """Course (61), with Pinsker's C = diameter / sqrt(2)."""
    points = torch.rand(60, 2, dtype=F, generator=torch.Generator().manual_seed(15))
    diameter = float(torch.cdist(points, points).max())
    for seed in range(5):
        a, b = law(60, 20 + seed), law(60, 30 + seed)
        kl = float((a * (a / b).log()).sum())
        assert 0 < ot.wasserstein(points, points, 1, a, b) <= diameter * math.sqrt(kl / 2)


def test_displacement_goes_at_constant_speed():
    """McCann: W2(x, x_t) = t W2(x, y)."""
    x, y, a = cloud(40, 2, 16), cloud(30, 2, 17, move=2.0), law(40, 18)
    P = ot.couple(x, y, a)
    for t in (0.0, 0.3, 1.0):
        points, mass = P.displaced(t)
        assert math.isclose(ot.wasserstein(x, points, 2, a, mass), t * math.sqrt(P.value), rel_tol=1e-7, abs_tol=1e-7)


def test_two_segments():
    """Course, notes 48 and 53: uniform on {0} x [0, 1] and {theta} x [0, 1]: W1 = |theta|."""
    up = torch.linspace(0, 1, 200, dtype=F)
    segment = torch.stack([torch.zeros_like(up), up], 1)
    for theta in (-0.5, 0.01, 1.0):
        assert math.isclose(
            ot.wasserstein(segment, segment + torch.tensor([theta, 0.0], dtype=F), 1), abs(theta), rel_tol=1e-9
        )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, y: ot.wasserstein(x, y, 0.5), "1 <= p < infinity, not for p=0.5"),
        (lambda x, y: ot.sliced_wasserstein(x, y, math.inf), "not for p=inf"),
        (lambda x, y: ot.sliced_wasserstein(x, y, count=0), "at least one direction, not 0"),
        (lambda x, y: ot.max_sliced_wasserstein(x, y[:, :1]), "one dimension: x is in 2, y in 1"),
        (lambda x, y: ot.wasserstein(x, torch.full_like(y, np.nan)), "NaN or infinite"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(BadInput, match=words):
        call(torch.zeros(3, 2), torch.ones(4, 2))
