"""Networks at x_t as denoisers, and back, for every process."""

import pytest
import torch

from monge import rng
from monge.denoisers import (
    Labelled,
    Oracle,
    from_noise,
    from_score,
    from_velocity,
    to_noise,
    to_score,
    to_velocity,
)
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.noise import LinearInterpolant, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from monge.samplers import log_prob, reverse_diffusion

F = torch.float64
PROCESSES = [
    OrnsteinUhlenbeck(),
    OrnsteinUhlenbeck(0.6, 2.0),
    VarianceExploding(),
    VariancePreserving(),
    LinearInterpolant(),
]
ALL = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
KINDS = {"noise": (from_noise, to_noise), "score": (from_score, to_score), "velocity": (from_velocity, to_velocity)}


def mixture():
    return GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F), torch.tensor([0.05, 0.2], dtype=F))


@ALL
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_is_the_denoiser(process, kind):
    made, said = KINDS[kind]
    D, y = Oracle(mixture()), 2 * rng.normal((6, 2), 0, "y", dtype=F)
    sigma = torch.logspace(-2, 1.5, 6, dtype=F)
    again = made(said(D, process), process)
    torch.testing.assert_close(again(y, sigma), D(y, sigma), rtol=1e-6, atol=1e-8)
    assert torch.equal(again(y, 0.0), y)
    single = made(said(D, process), process)(y.float(), sigma.float())
    torch.testing.assert_close(single, D(y, sigma).float(), rtol=1e-3, atol=2e-3)


@ALL
def test_the_velocity_is_that_of_the_quantiles_of_a_gaussian(process):
    """x_t = scale (m + sqrt(C + sigma^2) z) with z kept: its derivative, by autograd."""
    m, c, z = 1.5, 0.3, torch.tensor([-1.0, 0.2, 2.0], dtype=F)
    t = torch.tensor([0.1, 0.5, 0.8], dtype=F, requires_grad=True)
    scale, sigma = process.marginal(t)
    x = scale * (m + (c + sigma.square()).sqrt() * z)
    (rate,) = torch.autograd.grad(x.sum(), t)
    D = Oracle(Gaussian(torch.full((1,), m, dtype=F), torch.full((1,), c, dtype=F)))
    found = to_velocity(D, process)(x.detach()[:, None], t.detach())
    torch.testing.assert_close(found[:, 0], rate, rtol=1e-9, atol=1e-9)


@ALL
def test_the_score_is_that_of_the_law_at_t(process):
    law, t = mixture(), torch.full((5,), 0.4, dtype=F)
    scale, sigma = process.marginal(t[0])
    x = rng.normal((5, 2), 0, "x", dtype=F).requires_grad_()
    (score,) = torch.autograd.grad(law.noised(float(sigma)).log_prob(x / scale).value.sum(), x)
    torch.testing.assert_close(to_score(Oracle(law), process)(x.detach(), t), score)


def test_the_straight_line_s_velocity_is_z_less_x():
    law, t = mixture(), torch.full((4,), 0.3, dtype=F)
    x = rng.normal((4, 2), 0, "x", dtype=F)
    x_0 = law.denoise(x / 0.7, 0.3 / 0.7)
    z = (x - 0.7 * x_0) / 0.3
    torch.testing.assert_close(to_velocity(Oracle(law), LinearInterpolant())(x, t), z - x_0)


@ALL
def test_a_network_at_x_t_draws_and_says_how_likely(process):
    """The exact velocity of a mixture as a network: modes as often as they should, likelihoods in closed form."""
    law = mixture()
    D = from_velocity(to_velocity(Oracle(law), process), process, moments=law.moments)
    assert D.moments is not None
    n = 2000
    x = reverse_diffusion(D, (2,), n, nfe=20, dtype=F, sigma_min=0.01, sigma_max=30.0)
    assert abs(float((x[:, 0] < 0).double().mean()) - 0.5) < 4 / (2 * n**0.5)
    value = log_prob(D, x[:20], sigma_min=1e-3, sigma_max=50.0).value
    torch.testing.assert_close(value, law.log_prob(x[:20]).value, rtol=1e-3, atol=5e-3)


def test_a_label_goes_in_as_with_any_denoiser():
    def net(x, t, label):
        return label[:, None] * torch.ones_like(x)

    D = from_noise(net, OrnsteinUhlenbeck())
    wanted = 1 - 0.5 * torch.tensor([[0.0], [1.0], [2.0]])
    labels = torch.arange(3.0)
    assert torch.allclose(Labelled(D, labels)(torch.ones(3, 1), 0.5), wanted)
    assert torch.allclose(from_noise(Labelled(net, labels), OrnsteinUhlenbeck())(torch.ones(3, 1), 0.5), wanted)
    assert torch.allclose(Labelled(D, labels).rows(1, 2)(torch.ones(2, 1), 0.5), wanted[1:])


def test_a_level_that_is_none_is_refused():
    D = from_noise(lambda x, t: x, VariancePreserving())
    with pytest.raises(BadInput, match="zero or more"):
        D(torch.ones(2, 1), -1.0)


@ALL
def test_a_gradient_at_no_noise_is_a_number(process):
    y = torch.ones(2, 1, dtype=F, requires_grad=True)
    D = from_velocity(to_velocity(Oracle(Gaussian(torch.zeros(1, dtype=F), torch.ones(1, dtype=F))), process), process)
    fixed = from_velocity(lambda x, t: -x, process)
    (slope,) = torch.autograd.grad(fixed(y, torch.tensor([0.0, 1.0], dtype=F)).sum(), y)
    assert slope.isfinite().all()
    assert float(slope[0]) == 1.0
    assert torch.equal(D(y.detach(), 0.0), y.detach())


def test_a_time_for_other_rows_is_refused():
    with pytest.raises(BadInput, match="t must be a number or one value for each of 2 rows"):
        to_score(lambda y, sigma: y, OrnsteinUhlenbeck())(torch.ones(2, 1), torch.ones(3))


def test_one_time_is_that_of_all_rows():
    score = to_score(Oracle(mixture()), OrnsteinUhlenbeck())
    x = rng.normal((3, 2), 0, "x", dtype=F)
    assert torch.equal(score(x, 0.5), score(x, torch.full((3,), 0.5, dtype=F)))


def test_a_network_of_another_shape_is_refused():
    for made in (from_noise, from_score, from_velocity):
        for net in (lambda x, t: x.mean(1, keepdim=True), lambda x, t: x[:1]):
            with pytest.raises(BadInput, match="a network at x_t must return"):
                made(net, VariancePreserving())(torch.ones(2, 3), 1.0)
    with pytest.raises(BadInput, match="the denoiser must return"):
        to_score(lambda y, sigma: y[:1], VariancePreserving())(torch.ones(2, 3), torch.ones(2))
