"""Any unit will do: x -> s x + m scales the samples, moves nothing else, and takes d log s off a log-density."""

import math

import pytest
import torch

from monge.denoisers import Oracle
from monge.densities import Empirical, Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.samplers import decode, encode, log_prob, pilot, reverse_diffusion
from monge.samplers.scale import coarse

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
