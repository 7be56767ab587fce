"""The best separable denoiser: exact posterior means of single directions, by their own laws."""

import math

import pytest
import torch

from monge.denoisers import Neural, Separable
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.linalg import DenseCovariance

N = 20_000


@pytest.fixture(scope="module")
def turned():
    """Two independent laws, two tight modes of s.d. .2 at +-2 and a Gaussian of s.d. .5, in a basis turned by 30
    degrees."""
    g = torch.Generator().manual_seed(0)
    modes = 2 * (2 * torch.randint(0, 2, (N,), generator=g) - 1) + 0.2 * torch.randn(N, generator=g)
    plain = 0.5 * torch.randn(N, generator=g)
    angle = math.pi / 6
    U = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return torch.stack([modes, plain], 1) @ U.T, U


def exact(v, sigma):
    """E[t | t + sigma z = v] of the two modes."""
    wide = 0.2**2 + sigma**2
    side = torch.tanh(2 * v / wide)
    return (sigma**2 * 2 * side + 0.2**2 * v) / wide


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5, 5.0])
def test_it_is_the_posterior_mean_where_directions_are_independent(turned, sigma):
    x, U = turned
    D = Separable.estimate(x, Gaussian.estimate(x))
    assert len(D.directions) == 1  # the Gaussian one is left to Wiener
    y = x[:2000] + sigma * torch.randn(2000, 2, generator=torch.Generator().manual_seed(1))
    v = y @ U
    best = torch.stack([exact(v[:, 0], sigma), v[:, 1] * 0.25 / (0.25 + sigma**2)], 1) @ U.T
    found, wiener = D.denoise(y, sigma), D.moments.denoise(y, sigma)
    error = (x[:2000] - best).square().mean()
    assert (found - best).square().mean() < 0.1 * (wiener - best).square().mean() + 2e-3 * error
    told = D.error(torch.tensor([sigma]))
    squares = (x[:2000] - found).square().mean(1)
    assert float(told) == pytest.approx(float(squares.mean()), abs=4 * float(squares.std()) / 2000**0.5)
    rows = D.denoise(y, torch.full((2000,), sigma))
    assert torch.allclose(rows, found, atol=1e-6)


def test_a_gaussian_law_is_left_to_wiener():
    x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 7.0)
    D = Separable.estimate(x, Gaussian.estimate(x))
    assert len(D.directions) <= 1  # two standard errors, of six
    y = 3 * x[:100]
    if not len(D.directions):
        assert torch.equal(D.denoise(y, 2.0), D.moments.denoise(y, 2.0))
        assert torch.equal(D.error(torch.ones(1)), D.moments.error(torch.ones(1)))


def test_units_change_nothing(turned):
    x, _ = turned
    y = x[:50] + 0.3
    one = Separable.estimate(x, Gaussian.estimate(x)).denoise(y, 0.7)
    moved = 100 * x - 3000
    many = Separable.estimate(moved, Gaussian.estimate(moved)).denoise(100 * y - 3000, 70.0)
    assert torch.allclose((many + 3000) / 100, one, atol=2e-3)


@pytest.mark.parametrize("law", ["t", "ties", "sparse", "few"])
def test_ugly_laws_keep_it_finite_and_no_worse_than_wiener(law):
    g = torch.Generator().manual_seed(3)
    z = torch.randn(3000, 4, generator=g)
    x = {
        "t": z / (torch.randn(3000, 1, generator=g).abs().clamp_min(0.05)),
        "ties": z.round(),
        "sparse": z * (torch.rand(3000, 4, generator=g) < 0.02),
        "few": z[:8],
    }[law]
    D = Separable.estimate(x[::2], Gaussian.estimate(x[::2]))
    for sigma in (1e-3, 0.5, 1e3):
        y = x + sigma * torch.randn(x.shape, generator=g)
        found = D.denoise(y, sigma)
        assert found.isfinite().all()
        away, wiener = ((d - x[1::2]).square().flatten() for d in (found[1::2], D.moments.denoise(y, sigma)[1::2]))
        gap = away - wiener
        assert gap.mean() <= 4 * gap.std() / len(gap) ** 0.5 + 1e-6


def test_slopes_are_those_of_the_map(turned):
    """Divergences are taken through it."""
    x, _ = turned
    D = Separable.estimate(x, Gaussian.estimate(x))
    y = x[:20].double().requires_grad_()
    slope = torch.autograd.grad(D.denoise(y, 0.8).sum(), y)[0]
    h = 1e-5
    by_hand = [(D.denoise(y + h * e, 0.8) - D.denoise(y - h * e, 0.8)).sum(1) / (2 * h) for e in torch.eye(2).double()]
    assert torch.allclose(slope, torch.stack(by_hand, 1), atol=1e-4)


def test_a_state_makes_it_again_and_a_network_starts_from_it(turned):
    x, _ = turned
    D = Separable.estimate(x, Gaussian.estimate(x))
    again = Separable.from_state(D.state(), D.moments)
    assert torch.equal(again.denoise(x[:9], 0.5), D.denoise(x[:9], 0.5))
    net = Neural(Nothing(), guided=False)
    net.moments, net.start = D.moments, D
    assert torch.equal(net(x[:9], 0.5), D.denoise(x[:9], 0.5))
    assert net.loss_weight(torch.ones(1)) == 1 / D.error(torch.ones(1))
    assert not net.state_dict()  # its tables are kept beside the weights


class Nothing(torch.nn.Module):
    def forward(self, y, level, label):
        return torch.zeros_like(y)


def test_other_events_are_refused():
    law = Gaussian(torch.zeros(2), DenseCovariance(torch.eye(2)))
    with pytest.raises(BadInput, match=r"of events \[2\], not \[3\]"):
        Separable.estimate(torch.randn(10, 3), law)
