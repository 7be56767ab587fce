"""A covariance is a function calculus: every structure against the dense matrix it stands for."""

import math

import pytest
import torch
from sklearn.covariance import ledoit_wolf

from monge import rng
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.linalg import (
    DenseCovariance,
    DiagonalCovariance,
    SeparableCovariance,
    StationaryCovariance,
    power_spectrum,
    wavenumbers,
)

F = torch.float64


def dense():
    root = rng.normal((5, 5), 0, "root", dtype=F)
    return DenseCovariance(root @ root.T)


def stationary(*shape):
    k = wavenumbers(shape[1:])
    return StationaryCovariance(torch.stack([1 / (1.0 + c + k**2) for c in range(shape[0])]))


def separable(event):
    bases = [torch.linalg.qr(rng.normal((side, side), side, "basis", dtype=F))[0] for side in event]
    return SeparableCovariance(bases, rng.uniform(event, 0, "eigenvalues", dtype=F))


CASES = {
    "dense": dense,
    "separable": lambda: separable((2, 3, 4)),
    "diagonal": lambda: DiagonalCovariance(torch.tensor([[0.5, 2.0], [1.0, 3.0]], dtype=F)),
    "line": lambda: stationary(2, 5),
    "plane": lambda: stationary(1, 4, 3),
    "space": lambda: stationary(1, 3, 2, 4),
}


@pytest.fixture(params=CASES)
def covariance(request):
    return CASES[request.param]()


def matrix(covariance, f=lambda lam: lam):
    """f(C) as a matrix: what it does to each unit vector."""
    event = covariance.event_shape
    d = math.prod(event)
    return covariance.apply(f, torch.eye(d, dtype=F).reshape(d, *event)).reshape(d, d)


def test_functions_are_those_of_the_matrix(covariance):
    whole = matrix(covariance)
    assert torch.allclose(whole, whole.T, atol=1e-10)
    lam, vectors = torch.linalg.eigh(whole)
    assert torch.allclose(lam, covariance.eigenvalues.flatten().sort().values, atol=1e-9)
    for f in (torch.sqrt, lambda t: 1 / (t + 0.3), lambda t: t.square()):
        assert torch.allclose(matrix(covariance, f), vectors @ torch.diag(f(lam.clamp_min(0))) @ vectors.T, atol=1e-8)


def test_coordinates_are_an_orthonormal_basis_in_which_functions_multiply(covariance):
    y = rng.normal((7, *covariance.event_shape), 0, "y", dtype=F)
    v = covariance.coordinates(y)
    assert v.shape == (7, *covariance.eigenvalues.shape)
    assert torch.allclose(v.flatten(1).norm(dim=1), y.flatten(1).norm(dim=1))
    assert torch.allclose(covariance.compose(v), y)
    assert torch.allclose(covariance.compose(v * covariance.eigenvalues.sqrt()), covariance.apply(torch.sqrt, y))


def test_log_det_and_trace(covariance):
    whole = matrix(covariance)
    shifts = torch.tensor([0.1, 2.0], dtype=F)
    eye = torch.eye(len(whole), dtype=F)
    expected = torch.stack([torch.logdet(whole + s * eye) for s in shifts])
    assert torch.allclose(covariance.log_det(shifts, 2), expected)
    assert torch.allclose(covariance.trace, whole.trace())


def test_level_per_sample(covariance):
    y = rng.normal((2, *covariance.event_shape), 0, "y", dtype=F)
    moments = Gaussian(torch.ones(covariance.event_shape, dtype=F), covariance)
    together = moments.denoise(y, torch.tensor([0.1, 3.0], dtype=F))
    assert torch.allclose(together[:1], moments.denoise(y[:1], 0.1))
    assert torch.allclose(together[1:], moments.denoise(y[1:], 3.0))


def test_moments_are_the_gaussian_s(covariance):
    d = math.prod(covariance.event_shape)
    moments = Gaussian(torch.full(covariance.event_shape, 0.5, dtype=F), covariance)
    y = rng.normal((4, *covariance.event_shape), 0, "y", dtype=F)
    noisy = matrix(covariance) + 0.49 * torch.eye(d, dtype=F)
    exact = torch.distributions.MultivariateNormal(torch.full((d,), 0.5, dtype=F), noisy).log_prob(y.flatten(1))
    assert torch.allclose(moments.noised(0.7).log_prob(y).value, exact)
    expected = 0.5 + (y.flatten(1) - 0.5) @ torch.linalg.solve(noisy, matrix(covariance))
    assert torch.allclose(moments.denoise(y, 0.7).flatten(1), expected)
    assert torch.allclose(moments.noised(0.7).whiten(moments.noised(0.7).from_noise(y)), y)


def test_state_makes_it_again(covariance):
    moments = Gaussian(torch.ones(covariance.event_shape, dtype=F), covariance)
    again = Gaussian.from_state(moments.state())
    y = rng.normal((2, *covariance.event_shape), 0, "y", dtype=F)
    assert torch.equal(again.denoise(y, 0.5), moments.denoise(y, 0.5))


def test_dense_estimate_is_ledoit_and_wolf_s():
    x = rng.normal((30, 1, 4, 4), 0, "x", dtype=F) * torch.linspace(0.5, 2.0, 4, dtype=F)
    moments = Gaussian.estimate(x)
    expected, _ = ledoit_wolf(x.flatten(1).numpy())
    assert torch.allclose(matrix(moments.covariance), torch.from_numpy(expected) * 30 / 29, atol=1e-10)
    assert torch.allclose(moments.mean, x.mean(0))


@pytest.mark.parametrize(("n", "d"), [(2000, 100), (300, 100), (60, 100)])
def test_new_samples_vary_along_principal_directions_as_the_moments_say(n, d):
    """The sample covariance is wrong by a factor of (1 - (d / n)^(1/2))^2 at the fine end, Ledoit and Wolf's too."""
    lam = torch.cat([torch.ones(d - 3), torch.tensor([20.0, 50.0, 200.0])]).double()
    x = lam.sqrt() * rng.normal((n, d), 0, "x", dtype=F)
    C = Gaussian.estimate(x).covariance
    found, real = C.eigenvalues, (C.vectors.square() * lam[:, None]).sum(0)  # of the law, along its directions
    for part in (slice(0, d // 3), slice(d // 3, d - 3), slice(d - 3, d)):
        error = 4 * (2 / (n * (part.stop - part.start))) ** 0.5
        assert float(found[part].sum() / real[part].sum()) == pytest.approx(1, abs=error + 0.05)
    sample = torch.linalg.eigvalsh(torch.cov(x.T)).clamp_min(1e-6)
    shrunk = torch.linalg.eigvalsh(torch.from_numpy(ledoit_wolf(x.numpy())[0]))
    loss = [float((each.log() + real / each).sum()) for each in (found, sample, shrunk)]  # minus twice the likelihood
    assert loss[0] < min(loss[1:])


def test_moments_of_ugly_rows_are_finite_and_in_their_unit():
    z = rng.normal((200, 6), 0, "z", dtype=F)
    heavy = z / rng.normal((200, 1), 0, "w", dtype=F).abs().clamp_min(0.01)
    still = z * torch.tensor([1, 1, 0, 1, 0, 1], dtype=F)
    for x in (heavy, still, (z > 2).double(), z[:1].expand(200, 6) + 0 * z):
        lam = Gaussian.estimate(x).covariance.eigenvalues
        assert lam.isfinite().all()
        assert (lam >= 0).all()
        assert torch.allclose(Gaussian.estimate(1e6 * x - 3).covariance.eigenvalues, 1e12 * lam, rtol=1e-6, atol=1e-3)


def test_fewer_samples_than_values_still_give_a_usable_covariance():
    moments = Gaussian.estimate(rng.normal((10, 40), 0, "x", dtype=F))
    assert moments.covariance.eigenvalues.min() > 0.1


@pytest.mark.parametrize("structure", ["dense", "diagonal", "stationary", "separable"])
def test_estimates_converge(structure):
    law = stationary(1, 4, 4)
    n = 40_000
    x = Gaussian(torch.full((1, 4, 4), 2.0, dtype=F), law).from_noise(rng.normal((n, 1, 4, 4), 0, "x", dtype=F))
    moments = Gaussian.estimate(x, structure)
    exact = matrix(law) if structure != "diagonal" else torch.diag(matrix(law).diagonal())
    variance = matrix(law)[0, 0]
    assert ((matrix(moments.covariance) - exact).abs() < 5 * variance * math.sqrt(2 / n) + 0.02 / n).all()
    assert ((moments.mean - 2.0).abs() < 5 * (variance / n).sqrt()).all()


@pytest.mark.parametrize("shape", [(16,), (8, 12), (6, 4, 8)])
def test_power_spectrum_of_a_known_law(shape):
    law = stationary(1, *shape)
    n = 4000
    x = Gaussian(torch.zeros(1, *shape, dtype=F), law).from_noise(rng.normal((n, 1, *shape), 0, "x", dtype=F))
    k, power = power_spectrum(x)
    ring = wavenumbers(shape).round().long()
    for bin_ in range(len(k)):
        exact = law.eigenvalues[0][ring == bin_].mean()
        assert abs(power[:, 0, bin_].mean() - exact) < 5 * power[:, 0, bin_].std() / math.sqrt(n)
        assert abs(k[bin_] - wavenumbers(shape)[ring == bin_].mean()) < 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DenseCovariance(torch.ones(2, 3)), "square matrix"),
        (lambda: DiagonalCovariance(torch.tensor([math.nan])), "variances"),
        (lambda: SeparableCovariance([torch.eye(2)], torch.ones(1, 2)), "basis for each axis"),
        (lambda: SeparableCovariance([torch.eye(2)], -torch.ones(2)), "zero or more"),
        (lambda: StationaryCovariance(torch.ones(4)), "1 to 3 space dimensions"),
        (lambda: StationaryCovariance(-torch.ones(1, 4)), "zero or more"),
        (lambda: StationaryCovariance(torch.arange(4.0)[None]), "even"),
        (lambda: Gaussian.estimate(torch.ones(1, 2)), "at least 2 samples"),
    ],
)
def test_bad_input_is_told_in_one_line(make, message):
    with pytest.raises(BadInput, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
