"""The default of reverse diffusion at every budget: Gaussians exact, tight modes found, and nothing ever blows up."""

import functools
import math

import pytest
import torch

from monge.denoisers import Oracle
from monge.densities import Empirical, Gaussian, GaussianMixture
from monge.linalg import DenseCovariance, DiagonalCovariance, SeparableCovariance
from monge.samplers import Linearisation, pilot, reverse_diffusion

F = torch.float64
ALPHAS = [0.0, 0.5, 1.0, 2.0]
N = 1000


def tight():
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(6, 16, generator=generator)
    return GaussianMixture(means, torch.full((6,), 0.02**2), torch.rand(6, generator=generator) + 0.5)


def line():
    return GaussianMixture(torch.tensor([[-1.0], [0.2], [1.0]]), torch.full((3,), 1e-4), torch.tensor([1.0, 2.0, 1.0]))


def points():
    return Empirical(torch.randn(20, 3, generator=torch.Generator().manual_seed(1)))


def field():
    k = torch.fft.fftfreq(8) * 8
    return Gaussian.stationary(((1 + k[:, None] ** 2 + k**2) ** -1.5)[None])


LAWS = {"tight": tight, "line": line, "points": points, "field": field}


@functools.cache
def oracle(name):
    return Oracle(LAWS[name]())


@functools.cache
def plan(name):
    return pilot(oracle(name), oracle(name).density.event_shape)


def energy(x, y):
    """Unbiased energy distance."""
    within = [torch.cdist(a, a).sum() / (len(a) * (len(a) - 1)) for a in (x, y)]
    return float(2 * torch.cdist(x, y).mean() - sum(within))


@functools.cache
def floor(name):
    """Exact samples, and the standard deviation of the energy distance of others to them."""
    law = LAWS[name]()
    y = law.sample(N, seed=1)
    return y, float(torch.tensor([energy(law.sample(N, seed=50 + i), y) for i in range(10)]).std())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("name", ["tight", "line"])
def test_tight_modes_are_sampled_at_every_budget(name, alpha):
    y, error = floor(name)
    for nfe in range(4, 31):
        x = reverse_diffusion(oracle(name), tuple(y.shape[1:]), N, nfe=nfe, alpha=alpha, plan=plan(name))
        assert energy(x, y) < 4 * error, f"{nfe} calls"


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", LAWS)
def test_nothing_blows_up(name, alpha):
    denoiser = oracle(name)
    law = denoiser.density
    real = law.sample(500, seed=1).flatten(1)
    for nfe in range(1, 31):
        x = reverse_diffusion(denoiser, law.event_shape, 200, nfe=nfe, alpha=alpha, plan=plan(name)).flatten(1)
        assert x.norm(dim=1).max() < 2 * real.norm(dim=1).max(), f"{nfe} calls"


@pytest.mark.parametrize("bare", [{"sigma_min": 0.002, "sigma_max": 80.0}, {"sigma_min": 0.05}, {"sigma_max": 30.0}])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_nothing_blows_up_at_levels_that_are_given(bare, alpha):
    law = tight()
    real = law.sample(500, seed=1)
    for denoiser in (oracle("tight"), law.denoise):  # with moments, and without
        for nfe in (1, 2, 3, 5, 8, 13, 30):
            x = reverse_diffusion(denoiser, law.event_shape, 200, nfe=nfe, alpha=alpha, **bare)
            assert x.norm(dim=1).max() < 3 * real.norm(dim=1).max(), f"{nfe} calls"


def covariances():
    root = torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=F)
    turn = torch.linalg.qr(root)[0]
    spread = torch.logspace(-6, 1, 5, dtype=F)
    return {
        "dense": DenseCovariance(root @ root.T),
        "diagonal": DiagonalCovariance(spread),
        "singular": DiagonalCovariance(torch.tensor([0.0, 1.0, 4.0], dtype=F)),
        "separable": SeparableCovariance([turn, turn.T.contiguous()], spread[:, None] * spread),
    }


@pytest.mark.parametrize("name", covariances())
def test_a_gaussian_is_exact_for_any_number_of_calls(name):
    """For alpha = 0 the transport is m + C^(1/2) z, sample by sample."""
    covariance = covariances()[name]
    law = Gaussian(torch.full(covariance.event_shape, 3.0, dtype=F), covariance)
    denoiser = Oracle(law)
    starts = {}
    for nfe in (1, 2, 3, 5, 8, 20):
        way = reverse_diffusion(denoiser, law.event_shape, 50, nfe=nfe, dtype=F, trace=True)
        sigma = float(way.sigma[0])
        z = law.noised(sigma).whiten(way.y[0])
        assert torch.allclose(way.x, law.from_noise(z), atol=1e-4 * float(covariance.trace.sqrt()))
        starts[sigma] = nfe
    assert len(starts) == 1


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0])
def test_the_noise_of_a_gaussian_adds_up(alpha):
    """keep^2 (lam + sigma^2) + noise^2 = lam + sigma_next^2, whatever the step."""
    lam = torch.tensor([1e-8, 0.01, 1.0, 50.0], dtype=F)
    linear = Linearisation(DiagonalCovariance(lam))
    sigma, after = torch.tensor([3.0, 3.0, 0.5, 1e-3], dtype=F), torch.tensor([2.9, 0.1, 0.0, 0.0], dtype=F)
    found = linear.coefficients(sigma.log(), after.log(), [], alpha)
    before, wanted = lam + sigma[:, None].square(), lam + after[:, None].square()
    assert torch.allclose(found.keep.square() * before + found.noise.square(), wanted, rtol=1e-7, atol=1e-20)


def test_clock_is_the_integral_of_the_rest():
    denoiser = oracle("tight")
    linear = Linearisation(denoiser.moments.covariance, plan("tight").gains)
    t = torch.linspace(math.log(1e-3), math.log(20.0), 40_001, dtype=F)
    rest = linear.rest(t)
    assert ((rest > 0) & (rest <= 1)).all()
    clock = linear.clock(t)
    summed = ((rest[1:] + rest[:-1]) / 2 * t.diff()[:, None]).cumsum(0)
    assert torch.allclose(clock[1:] - clock[:1], summed, atol=1e-5)
    assert torch.allclose(
        linear.clock(torch.tensor([-40.0, -math.inf], dtype=F)).diff(dim=0), torch.zeros(1, 16).double()
    )


def test_gains_are_the_mean_jacobian():
    """Of a mixture, against the exact error of its denoiser: g = E (U'(x - D))^2 / sigma^2."""
    denoiser = oracle("tight")
    law = denoiser.density
    linear = Linearisation(denoiser.moments.covariance, plan("tight").gains)
    x = law.sample(20_000, seed=3)
    for sigma in (0.1, 0.5, 2.0):
        y = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
        away = denoiser.moments.covariance.coordinates(x - law.denoise(y, sigma)).double()
        gain = away.square().sum(1) / (16 * sigma**2)
        found = (1 - linear.rest(torch.tensor([math.log(sigma)], dtype=F))).mean()
        # 64 paths see a Fisher information of relative error sqrt(2 / 64) at most in each of 16 directions
        assert abs(found - gain.mean()) < 4 * math.sqrt(2 / (64 * 16)) + 4 * gain.std() / math.sqrt(len(x))
