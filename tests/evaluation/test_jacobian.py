"""Jacobians of denoisers whose derivative is known."""

import math

import pytest
import torch

from monge import rng
from monge.denoisers import Oracle, WaveletShrinkage, Wiener
from monge.densities import GaussianMixture
from monge.errors import BadInput
from monge.evaluation import jacobian, minimax_slope
from monge.linalg import wavenumbers

SIGMA = 0.6


class Linear:
    """D(y) = A y on flattened events."""

    def __init__(self, A):
        self.A = A

    def __call__(self, y, sigma):
        return (y.flatten(1) @ self.A.T.to(y)).reshape(y.shape)


def test_of_wiener_it_is_the_filter():
    """J = C (C + sigma^2)^-1, whose eigenvectors are those of C."""
    root = rng.normal((12, 12), 0, "root", dtype=torch.float64)
    C = root @ root.T / 12
    found = jacobian(Wiener.dense(C), torch.zeros(12).double(), SIGMA, k=5)
    lam, vectors = torch.linalg.eigh(C)
    gains = lam / (lam + SIGMA**2)
    assert torch.allclose(found.eigenvalues, gains.flip(0)[:5])
    assert torch.allclose((found.basis @ vectors.flip(1)[:, :5]).diagonal().abs(), torch.ones(5).double())
    assert found.dimension == pytest.approx(float(gains.sum()))
    assert (found.dimension_error, found.negative, found.reach) == (0.0, 0.0, None)
    assert found.asymmetry < 1e-12
    assert found.lowest == pytest.approx(float(gains[0]))


def test_of_the_posterior_mean_it_is_its_covariance():
    """J = Cov(x | y) / sigma^2, of a mixture in closed form."""
    law = GaussianMixture(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.5, 0.2]]).double(), torch.tensor([0.1, 0.1]).double())
    y = torch.tensor([0.1, 0.2, -0.3]).double()
    found = jacobian(Oracle(law), y, SIGMA, k=3)
    n = 200_000
    x = law.sample(n, seed=0).double()
    weight = torch.softmax(-(x - y).square().sum(1) / (2 * SIGMA**2), 0)
    mean = weight @ x
    cov = (weight[:, None] * (x - mean)).T @ (x - mean) / SIGMA**2
    effective = 1 / float(weight.square().sum())
    expected = torch.linalg.eigvalsh(cov).flip(0)
    assert torch.allclose(found.eigenvalues, expected, rtol=5 * math.sqrt(2 / effective))
    assert found.asymmetry < 1e-6
    assert found.lowest > 0
    assert found.negative == 0


@pytest.fixture(scope="module")
def skewed():
    """A matrix with a known antisymmetric part and one negative eigenvalue, on 36 x 36 sites."""
    d = 36 * 36
    k = wavenumbers((36, 36), torch.float32).flatten()
    waves = torch.linalg.qr(rng.normal((d, d), 1, "basis"))[0]
    gains = 1 / (1 + k.sort().values.square() / 4)
    gains[-1] = -0.5
    A = waves @ (gains[:, None] * waves.T)
    turn = rng.normal((d, d), 2, "turn") / d
    return A, A + (turn - turn.T), gains


def test_products_agree_with_the_matrix(skewed):
    """Above 1,024 values nothing is made whole: eigenvalues, trace within its error, asymmetry, the lowest."""
    A, whole, gains = skewed
    found = jacobian(Linear(whole), torch.zeros(1, 36, 36), SIGMA, k=4, probes=64)
    assert torch.allclose(found.eigenvalues, gains[:4], atol=2e-3)
    for vector in found.basis.flatten(1):
        assert torch.allclose(A @ vector, vector * (vector @ A @ vector), atol=5e-2)
    assert abs(found.dimension - float(whole.trace())) < 4 * found.dimension_error
    assert found.asymmetry == pytest.approx(float((whole - whole.T).norm() / whole.norm()), rel=0.1)
    assert found.lowest == pytest.approx(-0.5, abs=1e-2)
    assert found.negative is None


@pytest.mark.parametrize("radius", [1, 3])
def test_a_receptive_field_is_that_of_the_kernel(radius):
    class Mean:
        def __call__(self, y, sigma):
            return torch.nn.functional.avg_pool2d(y, 2 * radius + 1, 1, radius)

    found = jacobian(Mean(), torch.zeros(1, 21, 21), SIGMA, k=1)
    assert found.reach == pytest.approx(radius * math.sqrt(2), abs=0.5)


def test_wavelets_shrink_along_edges():
    """On a photograph-like edge the basis is not that of a flat patch, and fewer directions are kept than there are."""
    x = torch.zeros(1, 16, 16)
    x[:, :, 8:] = 4.0
    y = x + 0.3 * rng.normal((1, 16, 16), 0, "edge")
    found = jacobian(WaveletShrinkage("haar", levels=2), y, 0.3, k=4)
    assert 4 < found.dimension < 128
    assert found.eigenvalues[0] > 0.9


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_slopes_of_what_is_known(alpha):
    """Of D = y the slope is 1, of a constant 0; of wavelets the same on other images, within the errors told."""
    assert minimax_slope(lambda y, sigma: y, alpha, size=16, n=8).value == 1.0
    flat = minimax_slope(lambda y, sigma: torch.full_like(y, 0.5), alpha, size=16, n=8)
    assert (flat.value, flat.best) == (0.0, alpha / (alpha + 1))
    assert flat.error < 1e-12
    few, many = (minimax_slope(WaveletShrinkage(), alpha, size=32, n=n, seed=s) for n, s in ((16, 0), (64, 1)))
    assert 0.3 < many.value < 1.0
    assert abs(few.value - many.value) < 4 * math.hypot(few.error, many.error)
    assert many.psnr.shape == (4, 2)


@pytest.mark.parametrize(("k", "sigma"), [(0, 1.0), (5, 1.0), (1, 0.0), (1, math.inf)])
def test_what_makes_no_sense_is_refused(k, sigma):
    with pytest.raises(BadInput, match="directions and a level"):
        jacobian(Linear(torch.eye(4)), torch.zeros(4), sigma, k=k)
    with pytest.raises(BadInput, match="two levels"):
        minimax_slope(lambda y, sigma: y, 2.0, levels=(0.1,))
