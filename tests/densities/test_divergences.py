"""Divergences against closed forms, on grids and by Monte Carlo."""

import math

import pytest
import torch

from monge import densities
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput

F = torch.float64


def gaussian(mean, variance):
    return Gaussian(torch.full((1,), mean, dtype=F), torch.full((1, 1), variance, dtype=F))


def on_a_grid(law, line):
    p = law.log_prob(line[:, None]).value.exp() * (line[1] - line[0])
    return p / p.sum()


def test_gaussians_on_a_grid_and_by_monte_carlo():
    """KL = (r - 1 - log r + m^2) / 2, r the ratio of the variances, m the distance; TV of equal ones 2 Phi(m/2) - 1."""
    p, q = gaussian(0.3, 1.0), gaussian(-0.5, 1.0)
    line = torch.linspace(-9, 9, 20_001, dtype=F)
    gridded = on_a_grid(p, line), on_a_grid(q, line)
    found = densities.divergences(p, q, 20_000, seed=0)
    apart = math.erf(0.8 / 2 / math.sqrt(2))
    assert math.isclose(densities.kl_divergence(*gridded), 0.32, rel_tol=1e-6)
    assert math.isclose(densities.total_variation(*gridded), apart, rel_tol=1e-6)
    for estimate, exact in (
        (found.kl, 0.32),
        (found.reverse_kl, 0.32),
        (found.js, densities.js_divergence(*gridded)),
        (found.total_variation, apart),
    ):
        assert 0 < estimate.error < 0.01
        assert abs(estimate.value - exact) < 4.5 * estimate.error
    wide = gaussian(0.0, 4.0)
    assert math.isclose(
        densities.kl_divergence(on_a_grid(wide, 3 * line), on_a_grid(gaussian(0.0, 1.0), 3 * line)),
        (4 - 1 - math.log(4)) / 2,
        rel_tol=1e-6,
    )


def test_monte_carlo_errors_are_standard_errors():
    """Of 200 estimates: their spread is the error they state, within 4.5 of the chi law's own deviations."""
    p, q = gaussian(0.0, 1.0), gaussian(1.0, 2.0)
    found = [densities.divergences(p, q, 200, seed=2 * seed) for seed in range(200)]
    for name in ("kl", "js", "total_variation"):
        values = torch.tensor([getattr(each, name).value for each in found])
        errors = torch.tensor([getattr(each, name).error for each in found])
        assert abs(float(values.std() / errors.square().mean().sqrt()) - 1) < 4.5 / math.sqrt(2 * 200)


def test_supports_that_do_not_meet():
    """Note 48: whatever the distance, KL is infinite, JS log 2 and TV 1, where W1 is the distance."""
    p = torch.zeros(100, dtype=F)
    p[0] = 1.0
    for theta in (1, 50):
        q = p.roll(theta)
        assert densities.kl_divergence(p, q) == math.inf
        assert math.isclose(densities.js_divergence(p, q), math.log(2))
        assert densities.total_variation(p, q) == 1.0
    far = GaussianMixture(torch.tensor([[60.0]], dtype=F), torch.tensor([1.0], dtype=F))
    found = densities.divergences(gaussian(0.0, 1.0), far, 100)
    assert found.js.value == pytest.approx(math.log(2))
    assert found.total_variation.value == pytest.approx(1.0)
    assert found.kl.value == pytest.approx(1800, rel=0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: densities.kl_divergence(torch.ones(2) / 2, torch.ones(3) / 3),
            r"on one grid: p has \[2\] weights, q \[3\]",
        ),
        (lambda: densities.js_divergence(torch.ones(2), torch.ones(2) / 2), "weights p must sum to one, not to 2"),
        (
            lambda: densities.total_variation(torch.ones(2) / 2, torch.tensor([1.5, -0.5])),
            "weights q must be zero or more",
        ),
        (lambda: densities.divergences(gaussian(0.0, 1.0), gaussian(0.0, 1.0), 1), "at least 2 samples, not 1"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(BadInput, match=words):
        call()
