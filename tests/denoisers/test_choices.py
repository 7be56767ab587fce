"""One of several: the posterior mean is exact by Bayes, and a network moves it within the simplex."""

import pytest
import torch

from monge.denoisers import Choices, Neural
from monge.nets import MLP

P = torch.tensor([0.5, 0.2, 0.3, 0.1, 0.7], dtype=torch.float64)  # of three, of one, and of another one
BLOCKS = ((0, 3), (3, 4))
SCALE = torch.tensor([0.8, 0.8, 0.8, 0.3, 2.0], dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0, 50.0])
def test_the_posterior_mean_is_that_of_bayes(sigma):
    """Against E[x | y] of the three points, and of the two of a single coordinate, summed by hand."""
    choices = Choices(BLOCKS, P, SCALE, 0.0)
    y = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * (1 + sigma)
    found = choices.fill(torch.full_like(y, 9.0), y, torch.full((40,), sigma, dtype=torch.float64))
    for block, points, p in (
        (slice(0, 3), torch.eye(3), P[:3]),
        (slice(3, 4), torch.tensor([[0.0], [1.0]]), torch.stack([1 - P[3], P[3]])),
    ):
        x = (points.double() - P[block]) / SCALE[block]
        log_w = p.log() - (y[:, None, block] - x).square().sum(2) / (2 * sigma**2)
        assert torch.allclose(found[:, block], torch.softmax(log_w, 1) @ x, atol=1e-10)
    assert bool((found[:, 4] == 9).all())


def test_with_a_little_cube_about_each_point():
    """E[x | y] by Monte Carlo: the error of the mean of what has one y, within four standard errors."""
    g, n, v = torch.Generator().manual_seed(1), 400_000, 0.3**2 / 12
    p, scale, sigma = torch.tensor([0.6, 0.4]), torch.tensor([0.5, 0.5]), 0.3
    k = (torch.rand(n, generator=g) < 0.4).long()
    x = (torch.eye(2)[k] + 0.3 * (torch.rand(n, 2, generator=g) - 0.5) - p) / scale
    y = x + sigma * torch.randn(n, 2, generator=g)
    D = Choices([(0, 2)], p, scale, v).fill(y, y, torch.full((n,), sigma))
    far = (y.abs() < 3).all(1)
    for f in (torch.ones(n), y[:, 0], (4 * y[:, 1]).sin()):  # E[(x - D) f(y)] = 0
        gap = ((x - D)[:, 0] * f)[far]
        assert abs(float(gap.mean())) < 4 * float(gap.std()) / n**0.5 + 2e-4  # the cube is taken as a Gaussian


def test_a_network_cannot_leave_the_simplex_and_its_gradient_is_right():
    choices = Choices(BLOCKS, P, SCALE, 1e-3)
    y = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = torch.tensor([0.1, 1.0, 8.0], dtype=torch.float64)
    told = (9 * torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).requires_grad_()
    u = choices.fill(y, y, level, told) * SCALE + P
    kept = 1e-3 / ((level[:, None] * SCALE).square() + 1e-3)
    p = ((u - kept * (y * SCALE + P)) / (1 - kept))[:, :3]
    assert torch.allclose(p.sum(1), torch.ones(3, dtype=torch.float64))
    assert bool((p >= -1e-12).all())
    assert torch.autograd.gradcheck(lambda told: choices.fill(y, y, level, told), (told,))


def test_a_fresh_network_starts_from_the_choice():
    D = Neural(MLP(5, width=8))
    D.choices = Choices(BLOCKS, P.float(), SCALE.float(), 0.0)
    y, level = torch.randn(4, 5), torch.full((4,), 0.3)
    assert torch.allclose(D(y, level)[:, :4], D.choices.fill(y, y, level)[:, :4], atol=1e-5)
