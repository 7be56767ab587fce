"""Posterior means by chains, beside those in closed form."""

import torch

from monge.densities import Gaussian, Phi4
from monge.evaluation import certificate
from monge.samplers import ByChains, hmc


def test_means_are_those_of_the_closed_form():
    law = Gaussian(torch.tensor([1.0, -2.0, 0.0]), torch.diag(torch.tensor([4.0, 1.0, 0.25])))
    y = law.sample(30, seed=1) + 0.7 * torch.randn(30, 3, generator=torch.manual_seed(0))
    found = ByChains(law, draws=400).means(y, 0.7)
    off = (found.value - law.denoise(y, 0.7)) / found.error.square().mean().sqrt()
    assert float(off.square().mean()) < 2
    assert float(found.error.mean()) < 0.07


def test_the_optimum_of_phi4_certifies_a_linear_denoiser():
    law = Phi4((4, 4), kappa=0.2, lam=0.1)
    chains = hmc(law, chains=300, draws=100, warmup=200, show=False).x[:, -1]
    rows, others = chains.split(150)
    linear = Gaussian.estimate(others, "stationary")
    found = certificate(linear.denoise, rows, [0.6], optimum=ByChains(law, draws=200), identities=())
    (at,) = found.at
    assert 0 < at.bias.value < 0.2 * at.error.value
    assert abs(at.bias.value - at.excess.value) < 3.3 * at.excess.error
