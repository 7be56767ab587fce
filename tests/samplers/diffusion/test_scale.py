"""Any unit will do: x -> s x + m scales the samples, moves nothing else, and takes d log s off a log-density."""

import math

import pytest
import torch

from monge.denoisers import Labelled, Oracle, WaveletShrinkage, Wiener
from monge.densities import Empirical, Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.samplers import decode, encode, log_prob, pilot, reverse_diffusion
from monge.samplers.diffusion.scale import coarse

SCALES = [1e-9, 1e-4, 1e3, 1e9]
WIDE = torch.float64


def mixture(s=1.0, m=0.0, dtype=WIDE):
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=dtype)
    return GaussianMixture(s * (means + m), s**2 * torch.tensor([[0.01, 0.3], [0.02, 0.01]], dtype=dtype))


def points(s=1.0, m=0.0, dtype=WIDE):
    return Empirical(s * (torch.tensor([[-2.0], [2.0], [3.0]], dtype=dtype) + m))


@pytest.mark.parametrize("law", [mixture, points])
@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("m", [0.0, 10.0])
@pytest.mark.parametrize("levels", [{}, {"sigma_max": 50.0}])
def test_samples_are_scaled(law, s, m, levels):
    one = reverse_diffusion(Oracle(law()), law().event_shape, 200, nfe=12, dtype=WIDE, **levels)
    given = {name: s * value for name, value in levels.items()}
    other = reverse_diffusion(Oracle(law(s, m)), law().event_shape, 200, nfe=12, dtype=WIDE, **given)
    # levels are found about a mean that is known to a few parts of a thousand of the width
    torch.testing.assert_close(other / s - m, one, rtol=0, atol=5e-3)


@pytest.mark.parametrize("s", SCALES)
def test_single_precision_keeps_the_shares_of_points(s):
    x = reverse_diffusion(Oracle(points(s, dtype=torch.float32)), (1,), 600) / s
    for at in (-2.0, 2.0, 3.0):
        share = float(((x - at).abs() < 0.1).float().mean())
        assert abs(share - 1 / 3) < 4 * math.sqrt(2 / 9 / 600)


@pytest.mark.parametrize(("s", "m"), [(1e-9, 0.0), (1e-3, 10.0), (1e9, 10.0)])
def test_log_densities_and_latents_know_no_unit(s, m):
    x = mixture().sample(6)
    law = mixture(s, m)
    one, other = log_prob(Oracle(mixture()), x), log_prob(Oracle(law), s * (x + m))
    assert (other.value - law.log_prob(s * (x + m)).value).abs().max() < 0.02  # the law is smoothed by sigma_min
    torch.testing.assert_close(other.value, one.value - 2 * math.log(s), rtol=0, atol=1e-3)
    z = encode(Oracle(law), s * (x + m))
    torch.testing.assert_close(z, encode(Oracle(mixture()), x), rtol=0, atol=5e-3)
    torch.testing.assert_close(decode(Oracle(law), z) / s - m, x, rtol=0, atol=5e-3)


def test_latents_of_a_wide_law_are_normal():
    law = mixture(1e3)
    z = encode(Oracle(law), law.sample(400))
    excess = (z**4).mean(0) / (z**2).mean(0) ** 2 - 3
    assert excess.abs().max() < 4 * math.sqrt(24 / 400)


@pytest.mark.parametrize("width", [1e-12, 1e-5, 1.0, 1e4, 1e11])
@pytest.mark.parametrize("mean", [0.0, 1.0, -1e3])
def test_the_width_is_found_from_afar(width, mean):
    law = Gaussian(torch.full((3,), mean * width, dtype=WIDE), width**2 * torch.eye(3, dtype=WIDE))
    found = coarse(Oracle(law), (3,), dtype=WIDE)
    assert 0.5 < found.width / width < 2
    assert (found.mean / width - mean).abs().max() < 0.5
    assert found.calls <= 24 * 16


def test_levels_that_are_given_bound_where_the_width_is_looked_for():
    asked = []

    def denoiser(y, sigma):
        asked.append(float(sigma.max()))
        return y / (1 + sigma[:, None] ** 2)

    reverse_diffusion(denoiser, (2,), 3, nfe=4, sigma_max=7.0)
    assert max(asked) <= 7.0


def test_one_denoiser_serves_events_of_several_shapes():
    def denoiser(y, sigma):
        return y / (1 + sigma.reshape(-1, *[1] * (y.ndim - 1)) ** 2)

    for shape in ((2,), (3,), (1, 4), (2,)):
        assert reverse_diffusion(denoiser, shape, 5, nfe=4).shape == (5, *shape)
        assert pilot(denoiser, shape, dtype=WIDE).moments.mean.dtype == WIDE


def test_levels_of_a_transport_must_rise():
    with pytest.raises(BadInput, match="need 0 < sigma_min < sigma_max"):
        log_prob(Oracle(mixture()), mixture().sample(2), sigma_min=2.0, sigma_max=1.0)


@pytest.mark.parametrize("highest", [0.3, 1.0, 7.0])
def test_a_first_level_within_the_law_does_not_narrow_it(highest):
    x = reverse_diffusion(lambda y, s: y / (1 + s[:, None] ** 2), (2,), 3000, sigma_max=highest)
    assert abs(float(x.std()) - 1) < 0.1
    two = GaussianMixture(torch.tensor([[-2.0], [2.0]]), torch.tensor([0.1, 0.1]))
    x = reverse_diffusion(lambda y, s: two.denoise(y, s), (1,), 3000, sigma_max=highest)
    assert abs(float(x.std()) - 4.1**0.5) < 0.1


def test_a_denoiser_that_answers_between_levels_is_asked_there():
    asked = []

    def table(y, sigma):
        if float(sigma.max()) > 80:
            raise ValueError("no such level")
        asked.extend([float(sigma.min()), float(sigma.max())])
        return y / (1 + sigma[:, None] ** 2)

    x = reverse_diffusion(table, (2,), 2000)
    assert abs(float(x.std()) - 1) < 0.05
    asked.clear()
    reverse_diffusion(table, (2,), 20, sigma_min=0.02, sigma_max=70.0)
    assert 0.02 - 1e-6 < min(asked) < max(asked) < 70 + 1e-3


def test_labels_of_few_rows_and_laws_far_from_zero():
    def far(y, sigma, label=None):
        return 100 + (y - 100) * 0.01 / (0.01 + sigma[:, None] ** 2)

    for count in (2, 5, 400):
        x = reverse_diffusion(Labelled(far, torch.arange(count) % 2), (1,), count)
        assert (x - 100).abs().max() < 0.6
        assert log_prob(Labelled(far, torch.arange(count) % 2), x[:count]).value.shape == (count,)
    law = Gaussian(torch.full((2,), 1e6), torch.ones(2))
    x = reverse_diffusion(lambda y, s: law.denoise(y, s), (2,), 2000).double() - 1e6
    assert (x.std(0) - 1).abs().max() < 0.1
    assert x.mean(0).abs().max() < 0.15


@pytest.mark.parametrize("s", [1e-6, 1e-9])
def test_single_precision_about_zero(s):
    x = reverse_diffusion(lambda y, sigma: y * s**2 / (s**2 + sigma[:, None] ** 2), (2,), 1000)
    assert abs(float(x.std()) / s - 1) < 0.1


@pytest.mark.parametrize("denoiser", [Wiener(), WaveletShrinkage()], ids=["wiener", "wavelets"])
def test_a_denoiser_without_a_width_is_walked_as_one_of_width_one(denoiser):
    assert reverse_diffusion(denoiser, (1, 16, 16), 2, nfe=5).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, WIDE])
@pytest.mark.parametrize("d", [1, 3])
def test_the_likelihood_of_a_gaussian_at_every_unit(d, dtype):
    for s in (1e-6, 1.0, 1e6):
        law = Gaussian(torch.zeros(d, dtype=dtype), s**2 * torch.ones(d, dtype=dtype))
        x = law.sample(5)
        for denoiser in (Oracle(law), lambda y, sigma, law=law: law.denoise(y, sigma)):
            assert (log_prob(denoiser, x).value - law.log_prob(x).value).abs().max() < 5e-3
            assert (decode(denoiser, encode(denoiser, x)) - x).abs().max() < 5e-3 * s


def test_a_transport_asks_between_its_levels():
    asked = []

    def between(y, sigma):
        asked.extend([float(sigma.min()), float(sigma.max())])
        return y / (1 + sigma[:, None] ** 2)

    x = torch.randn(4, 1)
    log_prob(between, x, sigma_min=0.01, sigma_max=80.0)
    encode(between, x, sigma_min=0.01, sigma_max=80.0)
    assert 0.01 * (1 - 1e-5) <= min(asked) < max(asked) <= 80 * (1 + 1e-5)
