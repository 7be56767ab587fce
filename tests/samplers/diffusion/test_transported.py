"""The deterministic transport: its likelihood is the density, its latent is normal, its inverse is its inverse."""

import math

import pytest
import torch

from monge import samplers
from monge.denoisers import Oracle
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput, NumericalFailure


def mixture():
    means = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -2.0]], dtype=torch.float64)
    covs = torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, 0.0], [0.0, 0.6]], [[0.4, -0.1], [-0.1, 0.3]]]).double()
    return GaussianMixture(means, covs, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))


def test_log_prob_is_the_mixture_s():
    law = mixture()
    x = law.sample(40, seed=0)
    got = samplers.log_prob(Oracle(law), x, rtol=1e-6, atol=1e-6)
    assert (got.value - law.log_prob(x).value).abs().max() < 1e-3
    assert (got.error == 0).all()
    assert "exact divergence" in got.method


def test_probes_are_unbiased_and_state_their_error():
    law = mixture()
    x = law.sample(200, seed=1)
    exact = samplers.log_prob(Oracle(law), x, rtol=1e-5).value
    got = samplers.log_prob(Oracle(law), x, probes=16, rtol=1e-5)
    z = (got.value - exact) / got.error.clamp_min(1e-3)
    assert abs(z.mean()) < 4 * z.std() / math.sqrt(len(z))
    # Student with 15 degrees of freedom: variance 15 / 13, kurtosis of the estimate below 6
    assert abs(z.square().mean() - 15 / 13) < 4 * math.sqrt(6 / len(z))


def test_value_does_not_depend_on_the_batch():
    law = mixture()
    x = law.sample(9, seed=2)
    whole = samplers.log_prob(Oracle(law), x, probes=4, rtol=1e-7, atol=1e-9)
    parts = samplers.log_prob(Oracle(law), x, probes=4, rtol=1e-7, atol=1e-9, batch_size=4)
    assert (whole.value - parts.value).abs().max() < 1e-4


def test_latents_of_a_gaussian_are_normal_and_come_back():
    covariance = torch.tensor([[2.0, 0.9], [0.9, 0.5]], dtype=torch.float64)
    law = Gaussian(torch.tensor([3.0, -1.0], dtype=torch.float64), covariance)
    x = law.sample(3000, seed=0)
    z = samplers.encode(Oracle(law), x, rtol=1e-7, atol=1e-7)
    n = len(z)
    assert (z.mean(0).abs() < 4.5 / math.sqrt(n)).all()
    assert ((torch.cov(z.T) - torch.eye(2)).abs() < 4.5 * math.sqrt(2 / n)).all()
    back = samplers.decode(Oracle(law), z, rtol=1e-7, atol=1e-7)
    assert (back - x).abs().max() < 1e-3


def test_mixture_round_trip():
    law = mixture()
    x = law.sample(50, seed=0)
    options = {"rtol": 1e-7, "atol": 1e-7}
    back = samplers.decode(Oracle(law), samplers.encode(Oracle(law), x, **options), **options)
    assert (back - x).abs().max() < 1e-3


def test_one_probe_cannot_state_its_error():
    with pytest.raises(BadInput, match="at least 2 probes"):
        samplers.log_prob(Oracle(mixture()), torch.zeros(2, 2).double(), probes=1)


def test_a_field_without_values_is_an_error():
    with pytest.raises(NumericalFailure):
        samplers.log_prob(lambda y, sigma: y * math.nan, torch.zeros(2, 2))
