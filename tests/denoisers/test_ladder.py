"""Rungs that are no networks: Wiener, wavelets, patches, against closed forms and other implementations."""

import math

import numpy as np
import pytest
import pywt
import torch

from monge import rng, samplers
from monge.data import load
from monge.denoisers import PatchMixture, WaveletShrinkage, Wiener, noise_level
from monge.errors import BadInput
from monge.linalg import Wavelets, wavenumbers

SPACES = [(16,), (16, 8), (8, 8, 16)]


def fields(n, space, seed=0, name="x"):
    return rng.normal((n, 2, *space), seed, name, dtype=torch.float64)


def psnr(x_hat, x):
    return 10 * math.log10(255**2 / float((x_hat.clamp(0, 255) - x).square().mean()))


@pytest.fixture(scope="module")
def photo():
    x = load("patches?size=128&n=8").x.double()
    return x, 25.0 * rng.normal(tuple(x.shape), 1, "noise", dtype=torch.float64)


# -- transforms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES, ids=len)
@pytest.mark.parametrize("name", ["haar", "db3", "sym4"])
def test_wavelets_are_a_basis_and_its_translates(space, name):
    x = fields(3, space)
    basis, frame = (Wavelets(space, name, levels=2, decimated=decimated) for decimated in (True, False))
    coefficients, translates = basis.analyse(x), frame.analyse(x)
    assert sum(band.numel() for band in coefficients) == x.numel()
    energy = sum(band.square().sum() for band in coefficients)
    assert torch.allclose(energy, x.square().sum(), rtol=1e-9)
    for transform, bands in ((basis, coefficients), (frame, translates)):
        assert torch.allclose(transform.synthesise(bands), x, atol=1e-9)
    moved = frame.analyse(x.roll(3, 2))
    assert all(torch.allclose(a.roll(3, 2), b, atol=1e-9) for a, b in zip(translates, moved, strict=True))


def test_translates_are_those_of_pywavelets():
    """Bands of the stationary transform, each up to a shift."""
    x = fields(1, (16, 32))[:, :1]
    theirs = pywt.swt2(x[0, 0].numpy(), "sym4", level=2)  # coarse first
    bands = Wavelets((16, 32), "sym4", levels=2).analyse(x)
    mine = [np.sort(band.flatten().numpy()) for band in bands]
    for level, start in ((1, 0), (0, 3)):
        for band in theirs[level][1]:
            assert any(np.allclose(np.sort(band.ravel()), one, atol=1e-9) for one in mine[start : start + 3])
    assert np.allclose(np.sort(theirs[0][0].ravel()), mine[-1], atol=1e-9)


# -- Wiener ---------------------------------------------------------------------------------------------------------


def spectrum(side=12):
    k = wavenumbers((side, side))
    return (4.0 / (1 + k.square()))[None]


def test_wiener_of_a_gaussian_field_is_its_posterior_mean():
    """The circulant covariance as a matrix, solved; the error is the least that there can be."""
    power, sigma = spectrum(), 0.7
    D, d = Wiener.stationary(power, mean=2.0), power[0].numel()
    delta = torch.eye(d, dtype=torch.float64).reshape(d, 1, 12, 12)
    C = D.moments.covariance.apply(lambda lam: lam, delta).reshape(d, d)
    y = 2 + fields(5, (12, 12))[:, :1]
    gain = torch.linalg.solve(C + sigma**2 * torch.eye(d, dtype=torch.float64), C)
    exact = 2 + ((y - 2).reshape(5, d) @ gain).reshape(y.shape)
    level = torch.full((5,), sigma, dtype=torch.float64)
    assert torch.allclose(D(y, level), exact, atol=1e-5)
    assert torch.allclose(Wiener.dense(C, torch.full((1, 12, 12), 2.0).double())(y, level), exact, atol=1e-5)
    n = 4000
    x = 2 + D.moments.covariance.apply(torch.sqrt, fields(n, (12, 12), 3)[:, :1])
    y = x + sigma * fields(n, (12, 12), 4)[:, :1]
    each = (D(y, torch.full((n,), sigma)) - x).square().flatten(1).mean(1)
    least = float(D.error(torch.tensor([sigma], dtype=torch.float64)))
    assert least == pytest.approx(float((power * sigma**2 / (power + sigma**2)).mean()))
    assert abs(float(each.mean()) - least) < 4 * float(each.std()) / math.sqrt(n)


def test_wiener_of_samples_and_of_nothing():
    """By the spectrum of 1,000 samples nearly as good as by the true one; by that of each event, better than none."""
    power, sigma, n = spectrum(16)[:, :16, :16], 0.7, 2000
    true = Wiener.stationary(power)
    x = true.moments.covariance.apply(torch.sqrt, fields(n, (16, 16))[:, :1])
    y = x + sigma * fields(n, (16, 16), 1)[:, :1]
    level = torch.full((n,), sigma, dtype=torch.float64)
    error = {
        name: float((D(y, level) - x).square().mean())
        for name, D in (("true", true), ("samples", Wiener.of(x[: n // 2], periodic=True)), ("alone", Wiener()))
    }
    assert error["true"] < error["samples"] < 1.02 * error["true"]
    assert error["true"] < error["alone"] < 0.9 * sigma**2
    with pytest.raises(BadInput, match="needs moments"):
        Wiener().error(level)


# -- shrinkage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_shrinkage_in_a_basis_is_that_of_pywavelets(mode):
    y = fields(1, (16, 16))[:, :1]
    coarse, *details = pywt.wavedec2(y[0, 0].numpy(), "haar", mode="periodization", level=2)
    cut = [tuple(pywt.threshold(band, 0.8, mode) for band in level) for level in details]
    expected = pywt.waverec2([coarse, *cut], "haar", mode="periodization")
    D = WaveletShrinkage("haar", levels=2, rule=1.6, mode=mode, invariant=False, periodic=True)
    assert np.allclose(D(y, torch.tensor([0.5]).double())[0, 0].numpy(), expected)


def test_invariant_shrinkage_is_the_mean_over_shifts():
    y = fields(2, (16, 16))
    level = torch.tensor([0.5, 0.9]).double()
    options = {"levels": 2, "rule": 1.5, "periodic": True}
    one, every = WaveletShrinkage("db2", invariant=False, **options), WaveletShrinkage("db2", **options)
    shifts = [(a, b) for a in range(4) for b in range(4)]
    mean = sum(one(y.roll(s, (2, 3)), level).roll((-s[0], -s[1]), (2, 3)) for s in shifts) / len(shifts)
    assert torch.allclose(every(y, level), mean, atol=1e-9)


def test_the_threshold_of_sure_is_the_best_that_can_be_known():
    """No other threshold has a smaller unbiased estimate of the error, which is that of the true error."""
    n, sigma = 4096, 1.0
    x = 3.0 * (rng.uniform((n,), 0, "sparse") < 0.1).double()
    c = (x + rng.normal((n,), 1, "z", dtype=torch.float64)).reshape(1, 1, n)
    from monge.denoisers.wavelets import _sure

    def estimate(t):
        return n - 2 * float((c.abs() <= t).sum()) + float(c.abs().clamp(max=t).square().sum())

    found = float(_sure(c, torch.tensor([[[sigma]]]).double()))
    assert estimate(found) <= min(estimate(t) for t in np.linspace(0.05, 4, 400)) + 1e-9
    soft = c.sign() * (c.abs() - found).clamp(min=0)
    terms = (soft[0, 0] - x).square()
    assert abs(estimate(found) / n - float(terms.mean())) < 5 * math.sqrt(2.0 / n) + 4 * float(terms.std()) / math.sqrt(
        n
    )


def test_each_rung_is_better_on_photographs(photo):
    x, z = photo
    level = torch.full((len(x),), 25.0, dtype=torch.float64)
    rungs = {
        "wiener": Wiener(),
        "basis": WaveletShrinkage(invariant=False, rule="bayes"),
        "translates": WaveletShrinkage(rule="bayes"),
        "sure": WaveletShrinkage(),
    }
    found = {name: psnr(D(x + z, level), x) for name, D in rungs.items()}
    assert found["wiener"] > psnr(x + z, x) + 3
    assert found["translates"] > found["basis"] + 0.5
    assert found["sure"] > found["translates"] > found["wiener"]


def test_noise_levels_are_found(photo):
    x, z = photo
    n, d = 50, 32 * 32
    white = rng.normal((n, 1, 32, 32), 0, "white", dtype=torch.float64)
    found = noise_level(5.0 * white)
    # the median of m values |z| has variance 1 / (4 m f^2), f = 2 phi(.6745)
    spread = 5.0 / 0.6745 / (2 * math.sqrt(d / 4) * 0.6356)
    assert abs(float(found.mean()) - 5.0) < 4 * spread / math.sqrt(n) + 0.02
    assert float(found.std()) < 1.5 * spread
    assert abs(float(noise_level(x + z).mean()) / 25 - 1) < 0.1
    assert float(noise_level(torch.zeros(1, 1, 8, 8))) == 0.0
    assert noise_level(white[:, :, 0]).shape == (n,)


@pytest.mark.parametrize("space", [(20,), (9, 14), (5, 6, 7)])
def test_events_of_any_sides_in_one_to_three_dimensions(space):
    y = 100 + fields(2, space)
    x_hat = WaveletShrinkage()(y, torch.tensor([0.0, 1.0]).double())
    assert x_hat.shape == y.shape
    assert torch.equal(x_hat[0], y[0])
    assert (x_hat[1] - 100).square().mean() < 0.8 * (y[1] - 100).square().mean()


@pytest.mark.parametrize("denoiser", [WaveletShrinkage(periodic=True), Wiener.stationary(spectrum(16).float())])
def test_a_rung_drives_the_reversed_diffusion(denoiser):
    x = samplers.reverse_diffusion(denoiser, (1, 16, 16), 4, nfe=8, sigma_min=0.05, sigma_max=20.0, show=False)
    assert x.shape == (4, 1, 16, 16)
    assert x.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WaveletShrinkage("bior4.4"), "not orthogonal"),
        (lambda: WaveletShrinkage("nothing"), "no wavelet 'nothing'"),
        (lambda: Wavelets((12, 16), levels=3), "sides that 8 divides"),
        (lambda: WaveletShrinkage()(torch.zeros(3, 5), 1.0), "images or fields"),
        (lambda: Wiener()(torch.zeros(3, 5), 1.0), "images or fields"),
        (lambda: noise_level(torch.zeros(1, 1, 3, 3)), "sides of 4 or more"),
    ],
)
def test_what_they_cannot_do_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call()


# -- patches --------------------------------------------------------------------------------------------------------


def test_one_component_is_wiener_of_patches_less_their_mean():
    x = fields(500, (6, 6), name="one")[:, :1]
    x = x + x.roll(1, 3)
    y, sigma = x[:40] + 0.7 * fields(40, (6, 6), 1)[:, :1], 0.7
    away = (x - x.mean((1, 2, 3), keepdim=True)).flatten(1)
    C = away.T @ away / len(x)
    mean = y.mean((1, 2, 3), keepdim=True)
    expected = mean.flatten(1) + (y - mean).flatten(1) @ torch.linalg.solve(C + sigma**2 * torch.eye(36), C)
    found = PatchMixture.of(x, side=6, components=1)(y, sigma)
    assert torch.allclose(found.flatten(1), expected, atol=1e-3)  # the floor of eigenvalues


def test_a_mixture_of_directions_is_denoised_as_well_as_by_its_own_law():
    """Stripes along one axis or the other: two components are a quarter below Wiener, and within 5% of the oracle."""
    n, s = 1500, 0.5
    stripe = rng.normal((n, 1, 6, 1), 0, "stripe", dtype=torch.float64).expand(n, 1, 6, 6)
    x = torch.where(torch.arange(n)[:, None, None, None] % 2 == 0, stripe, stripe.transpose(2, 3))
    x = x - x.mean((1, 2, 3), keepdim=True)
    y = x + s * rng.normal(tuple(x.shape), 1, "noise", dtype=torch.float64)
    centre = torch.eye(6, dtype=torch.float64) - 1 / 6
    one, full = torch.ones(6, 6, dtype=torch.float64), []
    for C in (torch.kron(centre, one), torch.kron(one, centre)):
        total = C + s**2 * torch.eye(36, dtype=torch.float64)
        flat = y.flatten(1)
        score = -0.5 * ((flat @ torch.linalg.inv(total)) * flat).sum(1) - 0.5 * torch.logdet(total)
        full.append((score, flat @ torch.linalg.solve(total, C)))
    share = torch.stack([score for score, _ in full]).softmax(0)[..., None]
    oracle = (share * torch.stack([mean for _, mean in full])).sum(0)

    def error(x_hat):
        return float((x_hat.reshape(x.shape) - x).square().mean())

    found = PatchMixture.of(x, side=6, components=2)(y, s)
    assert error(found) < 0.75 * error(Wiener.of(x)(y, s))
    assert error(found) < 1.05 * (error(oracle) + s**2 / 36)  # the mean of a patch is kept as it is


def test_patches_of_a_photograph_are_known_from_the_noisy_one(photo):
    """A rung above Wiener, from nothing but the picture itself."""
    x, noise = (part[:1] for part in photo)
    x_hat = PatchMixture()(x + noise, 25.0)
    assert psnr(x_hat, x) > psnr(Wiener()(x + noise, 25.0), x) + 0.5
    assert torch.equal(PatchMixture()(x, 0.0), x)


@pytest.mark.parametrize("space", SPACES, ids=len)
def test_patches_are_cut_and_laid_in_any_dimension(space):
    x = fields(2, space)
    D = PatchMixture.of(x, side=3, components=2)
    assert torch.allclose(D(x, 1e-6), x, atol=1e-3)
    with pytest.raises(BadInput, match="images or fields"):
        D(torch.zeros(3, 4), 1.0)
    with pytest.raises(BadInput, match="sides of 2 or more"):
        PatchMixture(side=1)
