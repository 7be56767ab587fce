"""The algebra of a denoiser, and a network that sees unit variance at every level."""

import math

import pytest
import torch

from monge import denoisers, rng
from monge.denoisers import ByChannel, Labelled, Neural, Oracle, Symmetric, Tiled, Wrapper
from monge.densities import Empirical, Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.linalg import DenseCovariance
from monge.samplers import log_prob, reverse_diffusion


def mixture():
    means = torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -2.0]], dtype=torch.float64)
    covs = torch.stack([torch.diag(torch.tensor(v, dtype=torch.float64)) for v in ([0.3, 0.1], [0.2, 0.5], [0.1, 0.1])])
    return GaussianMixture(means, covs, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))


LAWS = {
    "gaussian": lambda: Gaussian(
        torch.tensor([1.0, -1.0], dtype=torch.float64), torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=torch.float64)
    ),
    "mixture": mixture,
    "empirical": lambda: Empirical(rng.normal((20, 2), 0, "points", dtype=torch.float64)),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_oracle_is_tweedie(law, sigma):
    density = LAWS[law]()
    y = 2 * rng.normal((50, 2), 0, "y", dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(density.noised(sigma).log_prob(y).value.sum(), y)
    x_hat = Oracle(density)(y.detach(), torch.full((50,), sigma, dtype=torch.float64))
    assert torch.allclose(y.detach() + sigma**2 * score, x_hat, rtol=1e-8, atol=1e-8)
    assert torch.allclose(denoisers.score(x_hat, y.detach(), sigma), score, rtol=1e-6, atol=1e-6)


def test_readings_are_linear_in_the_denoiser():
    y, x_hat, sigma = torch.randn(4, 1, 3).double(), torch.randn(4, 1, 3).double(), torch.rand(4).double() + 0.1
    level = sigma[:, None, None]
    assert torch.allclose(y + level.square() * denoisers.score(x_hat, y, sigma), x_hat)
    assert torch.allclose(y - level * denoisers.noise(x_hat, y, sigma), x_hat)
    assert torch.allclose(
        denoisers.velocity(x_hat, y, sigma), -denoisers.per_sample(sigma, y) * denoisers.score(x_hat, y, sigma)
    )


class Probe(torch.nn.Module):
    """Keeps what it is shown."""

    def forward(self, y, level, label=None):
        self.seen = y
        return torch.zeros_like(y)


@pytest.mark.parametrize("sigma", [2e-3, 0.1, 1.0, 80.0])
@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_network_sees_unit_variance_in_and_out(sigma, blind, sigma_data):
    n, d = 20_000, 16
    probe = Probe()
    denoiser = Neural(probe, sigma_data=sigma_data, blind=blind).double()
    x = sigma_data * rng.normal((n, d), 0, "x", dtype=torch.float64)
    z = rng.normal((n, d), 0, "z", dtype=torch.float64)
    level = torch.full((n,), sigma, dtype=torch.float64)
    without = denoiser(x + sigma * z, level)
    tolerance = 5 * math.sqrt(2 / (n * d))
    assert abs(probe.seen.var().item() - 1) < tolerance
    if not blind:
        # the target of the network is (x - c_skip y) / c_out; with a net of zero, D = c_skip y
        target = (x - without) * denoiser.loss_weight(level).sqrt()[:, None]
        assert abs(target.var().item() - 1) < tolerance


@pytest.mark.parametrize("sigma", [2e-3, 0.3, 80.0])
def test_with_moments_it_starts_from_the_best_linear_denoiser(sigma):
    n, d = 20_000, 8
    root = rng.normal((d, d), 0, "root", dtype=torch.float64)
    mean = rng.normal((d,), 0, "mean", dtype=torch.float64)
    moments = Gaussian(mean, DenseCovariance(root @ root.T))
    probe = Probe()
    denoiser = Neural(probe).double()
    denoiser.moments = moments
    x = moments.from_noise(rng.normal((n, d), 0, "x", dtype=torch.float64))
    y = x + sigma * rng.normal((n, d), 0, "z", dtype=torch.float64)
    level = torch.full((n,), sigma, dtype=torch.float64)
    guess = denoiser(y, level)
    torch.testing.assert_close(guess, moments.denoise(y, sigma))
    few = d / float((moments.covariance.eigenvalues.sum() ** 2) / moments.covariance.eigenvalues.square().sum())
    tolerance = 5 * math.sqrt(2 * few / (n * d))  # few of the directions have most of the variance
    assert abs(probe.seen.var().item() - 1) < tolerance
    target = (x - guess) * denoiser.loss_weight(level).sqrt()[:, None]
    assert abs(target.square().mean().item() - 1) < tolerance


def test_blind_does_not_read_sigma():
    y = torch.randn(3, 4)
    denoiser = Neural(Probe(), blind=True)
    assert torch.equal(denoiser(y, torch.full((3,), 0.1)), denoiser(y, torch.full((3,), 9.0)))


def test_residual_level_of_a_law_with_little_to_keep():
    """Points on a line in 64 dimensions: the residual is the noise, but for its part along the line."""
    d, sigma, n = 64, 0.3, 4_000
    variances = torch.zeros(d, dtype=torch.float64)
    variances[0] = 1.0
    law = Gaussian(torch.zeros(d, dtype=torch.float64), variances)
    y = law.noised(sigma).sample(n, seed=0)
    level = denoisers.residual_level(Oracle(law)(y, torch.full((n,), sigma, dtype=torch.float64)), y)
    exact = sigma**2 * (1 - (1.0 / (1.0 + sigma**2)) / d)
    assert abs(level.square().mean() - exact) < 5 * exact * math.sqrt(2 / (n * d))


def scaled_by_label(y, sigma, label):
    """Each row by its own number; sees no other row, and no neighbour."""
    return y * label.reshape(-1, *[1] * (y.ndim - 1)) / (1 + sigma.reshape(-1, *[1] * (y.ndim - 1)))


scaled_by_label.blind = True

WRAPPERS = {
    "symmetric": Symmetric,
    "tiled": lambda D: Tiled(D, side=(4, 4)),
    "by channel": ByChannel,
    "bare": Wrapper,
}


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", WRAPPERS)
def test_wrappers_compose_in_any_order_and_pass_on_what_is_known(inner, outer):
    label = torch.arange(1.0, 8.0)
    y, sigma = rng.normal((7, 3, 8, 8), 0, "y"), torch.linspace(0, 1, 7)
    wanted = scaled_by_label(y, sigma, label)
    D = WRAPPERS[outer](WRAPPERS[inner](Labelled(scaled_by_label, label)))
    assert D.blind
    assert D.count == 7
    torch.testing.assert_close(D(y, sigma), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(D.rows(2, 3)(y[2:5], sigma[2:5]), wanted[2:5], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(D.rows(2, 3).rows(1, 1)(y[3:4], sigma[3:4]), wanted[3:4], rtol=1e-4, atol=1e-5)
    late = Labelled(WRAPPERS[outer](WRAPPERS[inner](scaled_by_label)), label)  # told from outside
    torch.testing.assert_close(late(y, sigma), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(late.rows(2, 3)(y[2:5], sigma[2:5]), wanted[2:5], rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInput, match="7 labels for 5 rows"):
        late(y[:5], 1.0)


def test_labels_are_each_their_row_s_in_batches_of_a_wrapped_denoiser():
    """Point masses at the label: of 300 labels in batches of 100 each row ends at its own."""
    law = Gaussian(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 1e-8))

    def far(y, sigma, label):
        about = label[:, None, None, None]
        return about + law.denoise(y - about, sigma)

    label = torch.arange(300.0)
    x = reverse_diffusion(Symmetric(Labelled(far, label)), (1, 2, 2), 300, nfe=12, batch_size=100)
    torch.testing.assert_close(x, label[:, None, None, None].expand_as(x), rtol=1e-3, atol=1e-2)
    value = log_prob(Symmetric(Labelled(far, label)), x, batch_size=100).value
    torch.testing.assert_close(value, log_prob(Labelled(far, label), x).value, rtol=1e-3, atol=0.1)


def test_a_wrapper_passes_moments_on_unless_it_changes_the_law():
    D = Oracle(Gaussian(torch.ones(1, 4, 4), torch.ones(1, 4, 4)))
    assert Symmetric(D).moments is D.moments
    assert Symmetric(Symmetric(D)).moments is D.moments
    for other in (Tiled(D, side=(4, 4)), ByChannel(D), Symmetric(ByChannel(D)), Wrapper(lambda y, sigma: y)):
        assert other.moments is None
        assert other.count is None
        assert other.rows(3, 2) is other


def test_a_wrapper_says_what_it_knows():
    law = Gaussian(torch.zeros(2), torch.ones(2))

    class Shift(Wrapper):
        def __init__(self, denoiser):
            super().__init__(denoiser)
            self.moments, self.blind = Gaussian(torch.full((2,), 50.0), torch.ones(2)), True

        def denoised(self, y, sigma):
            return 50 + self.denoiser(y - 50, sigma)

    shifted = Shift(Oracle(law))
    assert shifted.blind
    assert Symmetric(shifted).moments is shifted.moments
    assert not list(Shift(Oracle(law)).parameters())
    shifted.blind = False
    x = reverse_diffusion(shifted, (2,), 500, nfe=5)
    assert torch.allclose(x.mean(0), torch.full((2,), 50.0), atol=4 / 500**0.5)

    class Busy(torch.nn.Module):  # names of its own
        count, moments = 7, "many"

        def forward(self, y, sigma):
            return y / (1 + sigma[:, None] ** 2)

    assert reverse_diffusion(Busy(), (2,), 20, nfe=4).shape == (20, 2)


def test_moments_of_other_events_are_refused():
    with pytest.raises(BadInput, match=r"moments of events \[3\]"):
        reverse_diffusion(Oracle(Gaussian(torch.zeros(3), torch.ones(3))), (2,), 5)


def test_a_label_is_bound_once():
    told = Labelled(scaled_by_label, torch.tensor([2.0]))
    assert told(torch.ones(3, 1), 0.0).tolist() == [[2.0]] * 3
    again = Labelled(told, torch.ones(1))
    for call in (lambda: told(torch.ones(3, 1), 0.0, torch.ones(3)), lambda: again(torch.ones(3, 1), 0.0)):
        with pytest.raises(BadInput, match="is bound"):
            call()


@pytest.mark.parametrize("made", [lambda D: D, Wrapper, Symmetric], ids=["bare", "wrapper", "symmetric"])
def test_an_answer_of_another_shape_is_refused(made):
    with pytest.raises(BadInput, match=r"in the shape of y, \[2, 1, 3, 3\], not \[2, 1, 1, 3\]"):
        Wrapper(made(Wrapper(lambda y, sigma: y.mean(2, keepdim=True))))(torch.ones(2, 1, 3, 3), 1.0)
