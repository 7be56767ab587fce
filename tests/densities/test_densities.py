"""The contract of a density: its score is its gradient, its sampler its law, its denoiser Tweedie's."""

import math

import pytest
import torch

from monge import rng
from monge.densities import Banana, Checkerboard, Empirical, Gaussian, GaussianMixture, Moons, Pinwheel, Planar, Rings
from monge.errors import BadInput
from monge.linalg import StationaryCovariance
from monge.protocols import LogProb, SupportsLogProb

F = torch.float64


def spectrum():
    k = torch.fft.fftfreq(6, dtype=F).abs()
    return (1 / (0.1 + k[:, None] ** 2 + k[None, :] ** 2))[None] / 4


LAWS = {
    "dense gaussian": lambda: Gaussian(
        torch.tensor([1.0, -2.0], dtype=F), torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=F)
    ),
    "diagonal gaussian": lambda: Gaussian(
        torch.tensor([1.0, -2.0, 0.0], dtype=F), torch.tensor([2.0, 0.1, 1.0], dtype=F)
    ),
    "stationary gaussian": lambda: Gaussian.stationary(spectrum(), mean=0.5),
    "dense mixture": lambda: GaussianMixture(
        torch.tensor([[1.5, 0.0], [-1.0, 1.0]], dtype=F),
        torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, 0.0], [0.0, 0.6]]], dtype=F),
        torch.tensor([3.0, 1.0], dtype=F),
    ),
    "diagonal mixture": lambda: GaussianMixture(torch.eye(3, dtype=F) * 2, torch.full((3, 3), 0.2, dtype=F)),
    "spherical mixture": lambda: GaussianMixture(
        torch.tensor([[-2.0], [2.0]], dtype=F), torch.tensor([0.3, 0.1], dtype=F)
    ),
    "smoothed points": lambda: Empirical(rng.normal((7, 2), 0, "p", dtype=F)).noised(0.4),
    "banana": Banana,
    "rings": lambda: Rings(count=3, noise=0.2),
    "moons": lambda: Moons(noise=0.15, points=100),
}
WITH_DENOISER = [name for name in LAWS if name not in ("banana", "rings", "moons")]


def draws(law, n, **address):
    return law.sample(n, **address, **({"dtype": F} if isinstance(law, Banana) else {})).to(F)


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]()


def test_score_is_the_gradient_of_log_prob(law):
    x = (draws(law, 30, seed=1) * 1.3).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(x).value.sum(), x)
    assert torch.allclose(law.score(x.detach()), gradient, rtol=1e-9, atol=1e-9)


def test_energy_is_minus_log_prob_up_to_a_constant(law):
    x = draws(law, 20, seed=2)
    assert isinstance(law, SupportsLogProb)
    assert isinstance(law.log_prob(x), LogProb)
    constant = law.energy(x) + law.log_prob(x).value
    assert torch.allclose(constant, constant[:1].expand(20), atol=1e-9)
    if isinstance(law, Gaussian):
        assert abs(float(constant[0]) + law.log_z) < 1e-9


def test_sampler_follows_log_prob(law):
    """E f = E over samples for f = log p and its derivatives: E score = 0, E x . score = -d (integration by parts)."""
    n = 40_000
    x = draws(law, n, seed=3)
    score = law.score(x).flatten(1)
    assert (score.mean(0).abs() < 5 * score.std(0) / math.sqrt(n)).all()
    virial = (x.flatten(1) * score).sum(1) + score.shape[1]
    assert abs(virial.mean()) < 5 * virial.std() / math.sqrt(n)
    square = score.square() + torch.stack([*_laplacian_diagonal(law, x[:2000])], 1).mean(0)
    assert (square[:2000].mean(0).abs() < 6 * square[:2000].std(0) / math.sqrt(2000)).all()


def _laplacian_diagonal(law, x):
    """d score_i / dx_i by autograd, one tensor [n] a coordinate."""
    x = x.clone().requires_grad_()
    score = law.score(x).flatten(1)
    for i in range(score.shape[1]):
        (row,) = torch.autograd.grad(score[:, i].sum(), x, retain_graph=True)
        yield row.flatten(1)[:, i]


@pytest.mark.parametrize("name", ["spherical mixture", "dense mixture", "smoothed points", "banana", "dense gaussian"])
def test_log_prob_integrates_to_one(name):
    law = LAWS[name]()
    d = law.event_shape[0]
    half, steps = (14.0, 4001) if d == 1 else (30.0 if name == "banana" else 11.0, 1201)
    axis = torch.linspace(-half, half, steps, dtype=F)
    grid = axis[:, None] if d == 1 else torch.cartesian_prod(axis, axis)
    total = law.log_prob(grid).value.exp().sum() * (axis[1] - axis[0]) ** d
    assert abs(total - 1) < 1e-6


def test_sample_belongs_to_its_index(law):
    whole = draws(law, 20, seed=4)
    assert torch.equal(draws(law, 8, seed=4), whole[:8])
    assert torch.equal(draws(law, 12, seed=4, start=8), whole[8:])


def test_mixture_moments_are_those_of_its_samples():
    law = LAWS["dense mixture"]()
    n = 100_000
    x = law.sample(n, seed=0)
    assert ((x.mean(0) - law.mean).abs() < 5 * (law.covariance.diagonal() / n).sqrt()).all()
    away = x - law.mean
    products = away[:, :, None] * away[:, None]
    assert ((products.mean(0) - law.covariance).abs() < 5 * products.std(0) / math.sqrt(n)).all()


@pytest.mark.parametrize("law", [Rings(), Moons(points=100), Banana(), Checkerboard(), Pinwheel(grid=600)])
def test_planar_laws_integrate_to_one_and_have_the_entropy_of_their_samples(law):
    x = law.sample(1500, seed=3)
    low, high = x.amin(0) - 1, x.amax(0) + 1
    if isinstance(law, Checkerboard):
        low, high = torch.tensor([-4.0, -4.0]), torch.tensor([4.0, 4.0])
    sides = [torch.linspace(a, b, 121)[:-1] + (b - a) / 240 for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    area = float((high - low).prod()) / 120**2
    log_p = law.log_prob(torch.cartesian_prod(*sides)).value
    p = log_p.exp()
    assert float(p.sum() * area) == pytest.approx(1, abs=2e-3)
    entropy = -float(torch.where(p > 0, p * log_p, 0.0).sum()) * area
    own = -law.log_prob(x).value
    assert abs(float(own.mean()) - entropy) < 5 * float(own.std()) / 1500**0.5 + 0.01


@pytest.mark.parametrize("law", [Rings(noise=0.0), Moons(noise=0.0), Pinwheel(tangential=0.0)])
def test_a_law_on_curves_has_no_density(law):
    with pytest.raises(BadInput, match="without noise"):
        law.log_prob(law.sample(3))


@pytest.mark.parametrize("law", [Rings(), Moons(), Checkerboard(), Pinwheel()])
def test_planar_draws_belong_to_their_index(law):
    assert isinstance(law, Planar)
    x, piece = law.draw(20, seed=4)
    later = law.draw(12, seed=4, start=8)
    assert torch.equal(later[0], x[8:])
    assert torch.equal(later[1], piece[8:])


@pytest.mark.parametrize("name", WITH_DENOISER)
@pytest.mark.parametrize("sigma", [0.05, 0.7, 10.0])
def test_denoiser_is_tweedie_s(name, sigma):
    law = LAWS[name]()
    y = (law.noised(sigma).sample(20, seed=5)).requires_grad_()
    (score,) = torch.autograd.grad(law.noised(sigma).log_prob(y).value.sum(), y)
    expected = y.detach() + sigma**2 * score
    assert torch.allclose(law.denoise(y.detach(), sigma), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", WITH_DENOISER)
def test_denoiser_takes_a_level_per_row(name):
    law = LAWS[name]()
    y = law.noised(1.0).sample(3, seed=6)
    together = law.denoise(y, torch.tensor([0.1, 1.0, 5.0], dtype=F))
    apart = torch.cat([law.denoise(y[i : i + 1], s) for i, s in enumerate((0.1, 1.0, 5.0))])
    assert torch.allclose(together, apart, rtol=1e-10, atol=1e-12)
    assert torch.allclose(law.denoise(y, 0.0), y, atol=1e-9)


@pytest.mark.parametrize("name", WITH_DENOISER)
def test_noised_adds_noise_of_that_level(name):
    law = LAWS[name]()
    n = 50_000
    x, y = law.sample(n, seed=7).flatten(1), law.noised(0.8).sample(n, seed=8).flatten(1)
    variance = x.var(0) + 0.64
    error = ((y - y.mean(0)).square().std(0) + (x - x.mean(0)).square().std(0)) / math.sqrt(n)
    assert ((y.var(0) - variance).abs() < 5 * error).all()


def test_denoiser_minimises_the_squared_error():
    law = LAWS["dense mixture"]()
    n, sigma = 50_000, 0.8
    x = law.sample(n, seed=9)
    y = x + sigma * rng.normal((n, 2), 0, "noise", dtype=F)
    residual = x - law.denoise(y, sigma)
    for probe in (torch.ones_like(y), y, y.square(), y.flip(1), torch.tanh(y)):
        product = residual * probe
        assert (product.mean(0).abs() < 5 * product.std(0) / math.sqrt(n)).all()


class TestEmpirical:
    def test_memorises_at_low_noise_and_averages_at_high(self):
        points = rng.normal((50, 1, 4, 4), 0, "points")
        law = Empirical(points)
        assert torch.allclose(law.denoise(points + 0.01, 0.001), points, atol=1e-6)
        assert torch.allclose(law.denoise(points, 1e4), points.mean(0).expand_as(points), atol=1e-4)
        assert torch.equal(law.denoise(points, 0.0), points)

    def test_chunks_change_nothing(self, monkeypatch):
        points, y = rng.normal((301, 5), 0, "points", dtype=F), rng.normal((40, 5), 0, "y", dtype=F)
        whole = Empirical(points).denoise(y, 0.3), Empirical(points).noised(0.3).log_prob(y).value
        monkeypatch.setattr("monge.densities.empirical.COLUMNS", 17)
        monkeypatch.setattr("monge.densities.empirical.CHUNK_VALUES", 100)
        parts = Empirical(points).denoise(y, 0.3), Empirical(points).noised(0.3).log_prob(y).value
        for a, b in zip(whole, parts, strict=True):
            assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)

    def test_has_no_density_without_noise(self):
        with pytest.raises(BadInput, match=r"use .noised\(sigma\)"):
            Empirical(torch.zeros(3, 2)).log_prob(torch.zeros(1, 2))
        with pytest.raises(BadInput, match=r"use .noised\(sigma\)"):
            Empirical(torch.zeros(3, 2)).score(torch.zeros(1, 2))


def test_stationary_gaussian_has_its_spectrum():
    n = 20_000
    x = LAWS["stationary gaussian"]().sample(n, seed=0)
    power = torch.fft.fftn(x - 0.5, dim=(-2, -1)).abs().square() / 36
    assert ((power.mean(0) - spectrum()).abs() < 5 * power.std(0) / math.sqrt(n)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(torch.zeros(2), torch.zeros(3, 3)), "covariance of a mean"),
        (lambda: Gaussian(torch.zeros(2), torch.ones(2, 2)).log_prob(torch.zeros(1, 2)), "no density"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([1.0, 0.0])).score(torch.zeros(1, 2)), "no density"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])), "no negative eigenvalue"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "symmetric"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([1.0, -1.0])), "variances must be zero or more"),
        (lambda: Gaussian(torch.zeros(2), StationaryCovariance(torch.ones(1, 4))), "does not fit a mean"),
        (lambda: GaussianMixture(torch.zeros(2), torch.ones(2)), "means must be"),
        (lambda: GaussianMixture(torch.zeros(2, 3), torch.ones(3)), "covs must be"),
        (
            lambda: GaussianMixture(torch.zeros(2, 3), torch.ones(2), torch.tensor([1.0, -1.0])),
            "numbers of zero or more",
        ),
        (lambda: GaussianMixture(torch.zeros(2, 3), torch.zeros(2)), "positive definite"),
        (lambda: Empirical(torch.zeros(3)), "points must be"),
        (lambda: LAWS["banana"]().log_prob(torch.zeros(3, 3)), r"events of shape \[2\]"),
        (lambda: LAWS["dense gaussian"]().denoise(torch.zeros(2, 2), -1.0), "zero or more"),
        (lambda: LAWS["dense gaussian"]().denoise(torch.zeros(2, 2), torch.ones(3)), "one value for each of 2 rows"),
    ],
)
def test_bad_input_is_told_in_one_line(make, message):
    with pytest.raises(BadInput, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
