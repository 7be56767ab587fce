"""Moments made right: a denoiser that errs walks through the law's own mean and variances at every level."""

import pytest
import torch

from monge import samplers
from monge.denoisers import Oracle, Symmetric
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.linalg import DenseCovariance
from monge.samplers import Calibrated, calibration_rows, pilot
from monge.samplers.diffusion.calibration import measured

LAM = torch.tensor([9.0, 4.0, 1.0, 0.25])
TURN = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0]
LAW = Gaussian(torch.tensor([1.0, -2.0, 0.0, 3.0]), DenseCovariance(TURN @ torch.diag(LAM) @ TURN.T))


def timid(y, sigma):
    """Wiener's filter with fine directions drawn to the mean too much, and moved."""
    wrong = Gaussian(
        LAW.mean + 0.2, DenseCovariance(TURN @ torch.diag(LAM * torch.tensor([1, 0.9, 0.8, 0.6])) @ TURN.T)
    )
    return wrong.denoise(y, sigma)


def variances(x):
    return ((x - LAW.mean) @ TURN).var(0) / LAM


@pytest.fixture(scope="module")
def plan():
    return pilot(timid, (4,), LAW, calibrate=LAW)


@pytest.mark.parametrize(("nfe", "alpha"), [(10, 0.0), (20, 0.0), (60, 0.0), (60, 1.0)])
def test_variances_and_means_are_the_law_s_whatever_the_steps(plan, nfe, alpha):
    n = 8000
    options = {"nfe": nfe, "alpha": alpha, "moments": LAW}
    plain = samplers.reverse_diffusion(timid, (4,), n, **options)
    x = samplers.reverse_diffusion(plan.calibrated(timid), (4,), n, plan=plan, **options)
    error = (2 / n) ** 0.5
    assert variances(plain).min() < 0.7
    assert (variances(x) - 1).abs().max() < 4 * error + 0.02  # what 2,000 samples showed, and steps
    assert ((x.mean(0) - LAW.mean) @ TURN).abs().max() < 0.1


def test_the_likelihood_is_that_of_the_corrected_law(plan):
    x = LAW.sample(200)
    exact = LAW.log_prob(x).value
    told = samplers.log_prob(plan.calibrated(timid), x, moments=LAW).value
    assert (told - exact).abs().mean() < 0.3 * (samplers.log_prob(timid, x, moments=LAW).value - exact).abs().mean()


def test_what_is_right_is_left_alone():
    modes = GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.tensor([0.5, 0.8]))
    exact = Oracle(modes)
    moments = Gaussian.estimate(modes.sample(100_000))
    found = pilot(exact, (2,), moments, calibrate=moments).calibration
    assert found.slope.abs().max() < 0.02
    y = modes.sample(500) + 0.5
    D = Calibrated(exact, found, moments)
    level = torch.full((500,), 0.5)
    assert (D(y, level) - exact(y, level)).square().mean() < 1e-3 * exact(y, level).var()


def test_above_the_levels_that_were_looked_at_nothing_is_changed(plan):
    y = LAW.sample(5)
    D = plan.calibrated(timid)
    assert torch.equal(D(y, 1e4), timid(y, torch.full((5,), 1e4)))
    low, lower = float(plan.calibration.log_sigma[0].exp()), 1e-4
    moved = [(D(y, s) - timid(y, torch.full((5,), s))) for s in (low, lower)]
    assert torch.allclose(*moved, atol=1e-5)  # as at the lowest


def test_atoms_are_left_to_the_last_answer():
    found = pilot(timid, (4,), LAW, calibrate=LAW, atoms=True, lowest=0.2)
    assert not found.calibration.slope[0].any()
    assert found.calibration.slope[1].any()
    assert found.ends.shape == (calibration_rows((4,)), 4)


def test_wrappers_go_around_it(plan):
    D = plan.calibrated(timid)
    assert D.moments is None  # a function says nothing of itself
    images = Gaussian(torch.zeros(1, 2, 2), DenseCovariance(torch.eye(4), (1, 2, 2)))
    inner = pilot(images.denoise, (1, 2, 2), images, calibrate=images).calibrated(images.denoise)
    assert Symmetric(inner)(torch.ones(3, 1, 2, 2), 1.0).shape == (3, 1, 2, 2)


def test_moments_to_keep_are_those_of_the_law_and_of_its_shape():
    plan = pilot(timid, (4,), calibrate=LAW)
    x = samplers.reverse_diffusion(plan.calibrated(timid), (4,), 4000, plan=plan)
    assert (variances(x) - 1).abs().max() < 4 * (2 / 4000) ** 0.5 + 0.02
    with pytest.raises(BadInput, match=r"calibrate is the Gaussian of the moments of the data, events \[4\]"):
        pilot(timid, (4,), calibrate=Gaussian(torch.zeros(2), torch.eye(2)))


def test_a_plan_keeps_it(plan):
    again = samplers.Plan.from_state(plan.state())
    y = LAW.sample(5)
    assert torch.equal(again.calibrated(timid)(y, 0.7), plan.calibrated(timid)(y, 0.7))
    assert again.ends is None


@pytest.mark.parametrize("n", [200, 2000])
def test_chance_is_not_taken_for_an_error(n):
    """Under the null, D = x drawn with Cov(v, x) = lam: slopes are smaller than the chance that is in them."""
    g = torch.Generator().manual_seed(n)
    bins = torch.tensor([0, 0, 1, 2])
    slopes, raw = [], []
    for _ in range(200):
        v = torch.randn(n, 4, generator=g).double()
        v = (v - v.mean(0)) / v.std(0) * (LAM + 1).sqrt()  # as a walk begins
        x = v * LAM / (LAM + 1) + torch.randn(n, 4, generator=g) * (LAM / (LAM + 1)).sqrt()
        slopes.append(measured(v, x, LAM.double(), bins)[0])
        raw.append((LAM - (v * x).mean(0))[2:] / (LAM + 1)[2:])
    assert torch.stack(slopes)[:, 1:].square().mean() < 0.5 * torch.stack(raw).square().mean()
