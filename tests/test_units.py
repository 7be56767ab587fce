"""Any unit will do, of every noun: what is measured in units of x scales with it, what has none does not change."""

import pytest
import torch

from monge import denoisers as dn
from monge import densities as de
from monge import evaluation as ev
from monge import ot
from monge.data import Samples, Scaling

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 3, generator=G).double(), 1.2 * torch.randn(50, 3, generator=G).double() + 0.3
PICTURE = torch.randn(2, 1, 16, 16, generator=G).double().cumsum(-1)
SCALES = [1e-9, 1e-4, 1e5, 1e9]

DENOISERS = {
    "wavelets sure": lambda y, s: dn.WaveletShrinkage(rule="sure")(y, s),
    "wavelets bayes": lambda y, s: dn.WaveletShrinkage(rule="bayes")(y, s),
    "wavelets universal": lambda y, s: dn.WaveletShrinkage(rule="universal")(y, s),
    "wiener": lambda y, s: dn.Wiener()(y, s),
    "wiener of": lambda y, s: dn.Wiener.of(y)(y, s),
    "patches": lambda y, s: dn.PatchMixture(side=4, components=3)(y, s),
    "noise level": lambda y, s: dn.noise_level(y),
}
DISTANCES = {
    "wasserstein": (ot.wasserstein, 1),
    "w1": (lambda x, y: ot.wasserstein(x, y, 1), 1),
    "sliced": (ot.sliced_wasserstein, 1),
    "max sliced": (lambda x, y: ot.max_sliced_wasserstein(x, y).value, 1),
    "sinkhorn": (lambda x, y: float(ot.sinkhorn(x, y).value), 2),
    "divergence": (lambda x, y: float(ot.sinkhorn_divergence(x, y)), 2),
    "energy": (ev.energy_distance, 1),
    "energy p": (lambda x, y: ev.energy_test(x, y, permutations=99).p_value, 0),
    "sliced p": (lambda x, y: ev.sliced_test(x, y, permutations=99).p_value, 0),
    "frechet": (lambda x, y: float(ev.frechet_distance(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))), 2),
    "coverage": (ev.coverage, 0),
    "precision": (ev.precision, 0),
    "classifier": (lambda x, y: ev.classifier_two_sample(x, y).accuracy, 0),
}


@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("name", DENOISERS)
def test_what_is_denoised_scales(name, s):
    one, other = DENOISERS[name](PICTURE, 0.5), DENOISERS[name](s * PICTURE, s * 0.5)
    torch.testing.assert_close(other / s, one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("name", DISTANCES)
def test_distances_scale_and_p_values_do_not(name, s):
    measure, power = DISTANCES[name]
    assert measure(s * X, s * Y) / s**power == pytest.approx(measure(X, Y), rel=1e-5)


@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("structure", ["dense", "diagonal", "separable", "stationary"])
def test_moments_scale(s, structure):
    events = PICTURE if structure in ("separable", "stationary") else X
    one, other = de.Gaussian.estimate(events, structure), de.Gaussian.estimate(s * events, structure)
    torch.testing.assert_close(other.covariance.eigenvalues / s**2, one.covariance.eigenvalues, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(other.denoise(s * events, s) / s, one.denoise(events, 1.0), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("s", [1e-9, 1e9])
@pytest.mark.parametrize("m", [0.0, 3.0])
def test_scaled_data_have_no_unit(s, m):
    x = X.float()
    one, other = Scaling.fit(Samples(x)), Scaling.fit(Samples(s * (x + m)))
    torch.testing.assert_close(other.forward(s * (x + m)), one.forward(x), rtol=0, atol=1e-5)
