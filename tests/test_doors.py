"""Wrong calls of public functions: one line each, that says what was expected, what came and what to do."""

import math

import numpy as np
import pytest
import torch
from jaxtyping import config

from monge import denoisers as dn
from monge import densities as de
from monge import evaluation as ev
from monge import linalg as la
from monge import models, noise, ot
from monge import samplers as sa
from monge.bijectors import (
    ActNorm,
    Affine,
    Autoregressive,
    Bijector,
    Chain,
    Coupling,
    Elementwise,
    Linear,
    Logit,
    Mapped,
    Permutation,
    Spline,
    Tanh,
)
from monge.errors import BadInput
from monge.nets import Size, Spec

NAN, INF = math.nan, math.inf
Z = torch.zeros
ONES = torch.ones
GAUSS = de.Gaussian(Z(2), torch.eye(2))
MIX = de.GaussianMixture(Z(2, 2), ONES(2))


def walker():
    made = models.Walker(de.Gaussian(torch.zeros(2), torch.ones(2)).denoise, (2,))
    made.look(torch.eye(2).repeat(5, 1))
    return made


ORACLE = dn.Oracle(MIX)
FIELD = Z(2, 1, 16, 16)
CLOUD = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def as_users_call(monkeypatch):
    """Without the shape checks of the tests, which would refuse first."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


WRONG = {
    # laws
    "gauss mean nan": (lambda: de.Gaussian(torch.tensor([NAN]), ONES(1)), "mean must be finite"),
    "gauss covariance": (lambda: de.Gaussian(Z(2), torch.eye(3)), r"must be \[2, 2\] or \[2\], not \[3, 3\]"),
    "gauss not symmetric": (lambda: de.Gaussian(Z(2), torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "symmetric"),
    "gauss negative": (lambda: de.Gaussian(Z(2), -ONES(2)), "zero or more"),
    "gauss complex": (lambda: de.Gaussian(Z(2, dtype=torch.complex64), ONES(2)), "complex"),
    "gauss text": (lambda: de.Gaussian("zero", ONES(2)), "must be a tensor, not str"),
    "gauss one event": (lambda: GAUSS.log_prob(Z(2)), r"give x\[None\]"),
    "gauss other event": (lambda: GAUSS.energy(Z(3, 3)), r"\[n, 2\].*not \[3, 3\]"),
    "gauss sigma below 0": (lambda: GAUSS.denoise(Z(3, 2), -1.0), "zero or more"),
    "gauss sigma nan": (lambda: GAUSS.denoise(Z(3, 2), NAN), "zero or more"),
    "gauss sigma infinite": (lambda: GAUSS.denoise(Z(3, 2), INF), "finite"),
    "gauss sigmas": (lambda: GAUSS.denoise(Z(3, 2), ONES(2)), "one value for each of 3 rows"),
    "singular": (lambda: de.Gaussian(Z(2), torch.tensor([1.0, 0.0])).log_prob(Z(1, 2)), "no density"),
    "mixture shapes": (lambda: de.GaussianMixture(Z(2), ONES(2)), r"\[k, d\]"),
    "mixture covs": (lambda: de.GaussianMixture(Z(2, 2), ONES(3)), r"not \[3\]"),
    "mixture weights": (lambda: de.GaussianMixture(Z(2, 2), ONES(2), Z(2)), "not all zero"),
    "mixture negative weights": (lambda: de.GaussianMixture(Z(2, 2), ONES(2), -ONES(2)), "zero or more"),
    "mixture nan": (lambda: de.GaussianMixture(torch.full((2, 2), NAN), ONES(2)), "means must be finite, and 4 of 4"),
    "mixture flat": (lambda: de.GaussianMixture(Z(2, 2), Z(2)), "positive definite"),
    "mixture event": (lambda: MIX.score(Z(4)), r"\[n, 2\]"),
    "points": (lambda: de.Empirical(Z(3)), "at least one row"),
    "no points": (lambda: de.Empirical(Z(0, 2)), "at least one row"),
    "points bandwidth": (lambda: de.Empirical(Z(3, 2), -1.0), "zero or more"),
    "points density": (lambda: de.Empirical(Z(3, 2)).log_prob(Z(1, 2)), "no density"),
    "phi4 shape": (lambda: de.Phi4((4,) * 4, 0.1, 0.1), "1, 2 or 3 sides"),
    "phi4 event": (lambda: de.Phi4((4, 4), 0.1, 0.1).energy(Z(1, 4, 4)), r"\[n, 1, 4, 4\]"),
    "ising spins": (lambda: de.Ising((4, 4)).energy(Z(1, 1, 4, 4)), "spins are"),
    "ising score": (lambda: de.Ising((4, 4)).score(ONES(1, 1, 4, 4)), "use gibbs or wolff"),
    "ising beta": (lambda: de.Ising((4, 4), -1.0), "0 or more"),
    "energy shape": (lambda: de.Energy(lambda x: x, (2,)).energy(Z(3, 2)), "one number for each of 3 rows"),
    "energy without gradient": (
        lambda: de.Energy(lambda x: x.detach().sum(1), (2,)).score(Z(3, 2)),
        "no gradient",
    ),
    "energy score": (
        lambda: de.Energy(lambda x: x.sum(1), (2,), score=lambda x: x[0]).energy_and_score(Z(3, 2)),
        "the shape of x",
    ),
    "double well": (lambda: de.DoubleWell(b=0.0), "b > 0"),
    "funnel": (lambda: de.Funnel(1), "d >= 2"),
    "rings": (lambda: de.Rings(noise=-1.0), "noise"),
    "tempered": (lambda: GAUSS.tempered(-1.0), "0 or more"),
    "sum": (lambda: GAUSS + de.Funnel(3), "one shape"),
    # covariances
    "dense": (lambda: la.DenseCovariance(Z(2, 3)), "square matrix"),
    "dense nan": (lambda: la.DenseCovariance(torch.full((2, 2), NAN)), "finite"),
    "dense negative": (lambda: la.DenseCovariance(-torch.eye(2)), "no negative eigenvalue"),
    "spectrum": (lambda: la.StationaryCovariance(ONES(4)), r"\[C, \*space\]"),
    "spectrum uneven": (lambda: la.StationaryCovariance(torch.arange(5.0)[None]), "even"),
    "structure": (lambda: de.Gaussian.estimate(CLOUD, "dens"), "did you mean dense"),
    "structure of vectors": (lambda: de.Gaussian.estimate(CLOUD, "stationary"), "of fields"),
    "moments of one": (lambda: de.Gaussian.estimate(CLOUD[:1]), "at least 2 samples"),
    # bijectors
    "actnorm": (lambda: ActNorm(1)(Z(4, 3)), r"\[n, 1, \*space\], not \[4, 3\]"),
    "permutation": (lambda: Permutation(2)(Z(4, 3)), r"\[n, 2, \*space\]"),
    "permutation order": (lambda: Permutation(2, [0, 0]), "each of 0..1 once"),
    "linear": (lambda: Linear(2)(Z(4, 3)), r"\[n, 2, \*space\]"),
    "coupling": (lambda: Coupling(Spec((3,)), Affine())(Z(4, 2)), r"\[n, 3, \*space\]"),
    "coupling of one": (lambda: Coupling(Spec((1,)), Affine()), "2 channels"),
    "elementwise": (lambda: Elementwise((2,))(Z(4, 3)), r"\[n, 2\]"),
    "one axis": (lambda: Elementwise((2,))(Z(2)), "events"),
    "label": (lambda: Chain([Permutation(2)])(Z(4, 2), Z(4).long()), "not conditioned"),
    "logit": (lambda: Logit()(torch.tensor([[1.5]])), "between 0.0 and 1.0"),
    "logit bounds": (lambda: Logit(1.0, 0.0), "low < high"),
    "tanh": (lambda: Tanh().inverse(torch.tensor([[1.5]])), "between -1.0 and 1.0"),
    "spline": (lambda: Spline(bins=1), "bins >= 2"),
    "bijector complex": (lambda: Permutation(2)(Z(4, 2, dtype=torch.complex64)), "complex"),
    "size": (lambda: Size(widths=(0,)), "at least 1"),
    # denoisers
    "wavelet vectors": (lambda: dn.WaveletShrinkage()(CLOUD, 1.0), "images or fields"),
    "wavelet sigma": (lambda: dn.WaveletShrinkage()(FIELD, -0.5), "zero or more"),
    "wavelet levels 0": (lambda: dn.WaveletShrinkage(levels=0), "1 or more"),
    "wavelet levels 12": (lambda: dn.WaveletShrinkage(levels=12)(FIELD, 1.0), "sides of 4096"),
    "wavelet mode": (lambda: dn.WaveletShrinkage(mode="sof"), "did you mean soft"),
    "wavelet rule": (lambda: dn.WaveletShrinkage(rule="sur"), "rule must be"),
    "wiener vectors": (lambda: dn.Wiener()(CLOUD, 1.0), "give moments"),
    "wiener one event": (lambda: dn.Wiener.of(CLOUD)(Z(2), 1.0), r"y\[None\]"),
    "wiener error": (lambda: dn.Wiener().error(ONES(1)), "needs moments"),
    "patches": (lambda: dn.PatchMixture(side=1), "2 or more"),
    "noise level": (lambda: dn.noise_level(CLOUD), "images or fields"),
    "denoiser levels": (lambda: dn.Symmetric(lambda y, s: y)(FIELD, ONES(3)), "each of 2 rows"),
    # samplers
    "nfe": (lambda: sa.reverse_diffusion(ORACLE, (2,), 3, nfe=0), "at least 1"),
    "alpha": (lambda: sa.reverse_diffusion(ORACLE, (2,), 3, alpha=-1.0), "0 .deterministic. or more"),
    "levels": (lambda: sa.reverse_diffusion(ORACLE, (2,), 3, sigma_min=2.0, sigma_max=1.0), "sigma_min < sigma_max"),
    "transport": (lambda: sa.log_prob(ORACLE, Z(3, 2), sigma_min=2.0, sigma_max=1.0), "sigma_min < sigma_max"),
    "transport tolerance": (lambda: sa.log_prob(ORACLE, Z(3, 2), rtol=0.0), "above 0"),
    "transport of one event": (lambda: sa.encode(ORACLE, Z(2)), r"\[n, \*event\]"),
    "transport of none": (lambda: sa.log_prob(ORACLE, Z(0, 2)), "a row or more"),
    "transport batch": (lambda: sa.encode(ORACLE, Z(3, 2), batch_size=0), "1 or more"),
    "encode tolerance": (lambda: sa.encode(ORACLE, Z(3, 2), rtol=-1.0, atol=-1.0), "above 0"),
    "no denoiser": (lambda: sa.reverse_diffusion(3, (2,), 5), "a denoiser is a function .*, not int"),
    "wrapper of none": (lambda: dn.Wrapper(None), "a denoiser is a function .*, not NoneType"),
    "no clock": (lambda: dn.from_noise(lambda x, t: x, None), "a process is one of monge.noise"),
    "no clock back": (lambda: dn.to_score(lambda y, sigma: y, None), "a process is one of monge.noise"),
    "no network": (lambda: dn.from_noise(None, noise.OrnsteinUhlenbeck()), "a denoiser is a function"),
    "no field": (lambda: sa.integrate(3, Z(2, 2), 0.0, 1.0), "a field is a function .*, not int"),
    "no time": (lambda: sa.integrate(lambda x, t: x, Z(2, 2), "a", 1.0), "two times are needed"),
    "no bijector": (lambda: models.Flow("map"), "a bijector of monge.bijectors, not str"),
    "through none": (lambda: walker().draw(3, 0, through=lambda D: None), "a denoiser is a function .*, not NoneType"),
    "through a number": (lambda: walker().draw(3, 0, through=3), "through makes a denoiser of a denoiser.*not int"),
    "scaling as a dict": (lambda: models.MAF().fit(CLOUD, scaling={}), "first.scaling, not dict"),
    "transport option": (lambda: sa.encode(ORACLE, Z(3, 2), sigma_mim=1.0), "did you mean sigma_min"),
    "probes": (lambda: sa.log_prob(ORACLE, Z(3, 2), probes=1), "at least 2 probes"),
    "darws": (lambda: sa.hmc(GAUSS, darws=10), "did you mean draws"),
    "no draws": (lambda: sa.mala(GAUSS, draws=0), "1 or more"),
    "half a draw": (lambda: sa.mala(GAUSS, draws=5.5), "whole number"),
    "chains as text": (lambda: sa.mala(GAUSS, chains="3"), "whole number"),
    "chains and rows": (lambda: sa.mala(GAUSS, chains=16, x=Z(5, 2)), "not at 5 rows"),
    "no rows": (lambda: sa.mala(GAUSS, x=Z(0, 2)), "there is none"),
    "length": (lambda: sa.hmc(GAUSS, length=-1.0), "above 0"),
    "endless step": (lambda: sa.hmc(GAUSS, h=INF), "finite"),
    "n": (lambda: sa.reverse_diffusion(ORACLE, (2,), 10.5), "whole number"),
    "event shape": (lambda: sa.reverse_diffusion(ORACLE, 2, 3), "the sides of an event"),
    "event of none": (lambda: sa.reverse_diffusion(ORACLE, (0,), 3), "1 or more"),
    "event without axes": (lambda: sa.reverse_diffusion(ORACLE, (), 3), "an axis or more"),
    "dtype": (lambda: sa.reverse_diffusion(ORACLE, (2,), 3, dtype=torch.int64), "floating dtype"),
    "batch": (lambda: sa.reverse_diffusion(ORACLE, (2,), 3, batch_size=-1), "1 or more"),
    "moments": (lambda: sa.reverse_diffusion(ORACLE, (2,), 3, moments=de.Gaussian.estimate(Z(3, 4))), "moments are of"),
    "sigma": (lambda: GAUSS.denoise(Z(3, 2), None), "sigma must be a number"),
    "sigma told": (lambda: GAUSS.denoise(Z(2, 2), torch.tensor([1.0, -2.0])), "not -2"),
    "moments sigma": (lambda: de.Gaussian.estimate(CLOUD).denoise(CLOUD, -0.5), "zero or more"),
    "noise of nan": (lambda: dn.noise_level(torch.full((1, 1, 8, 8), NAN)), "finite"),
    "nearest": (lambda: ev.nearest(Z(3, 1), CLOUD), "one dimension"),
    "first look": (lambda: ActNorm(2).start(Z(0, 2)), "a row or more"),
    "step": (lambda: sa.mala(GAUSS, h=0.0), "above 0"),
    "start": (lambda: sa.hmc(GAUSS, x=Z(3, 3)), r"\[n, 2\]"),
    "start beyond": (lambda: sa.hmc(de.Phi4((2, 2), 0.1, 0.1), x=torch.full((1, 2, 2), 1e30)), "finite energy"),
    "no law": (lambda: sa.hmc(lambda x: x), "monge.densities.Energy"),
    "gibbs": (lambda: sa.gibbs(GAUSS), "Ising and Phi4"),
    "fourier": (lambda: sa.hmc(GAUSS, fourier=True), "of fields"),
    "betas": (lambda: sa.replica_exchange(GAUSS, betas=torch.tensor([0.5, 1.0])), "fall from 1"),
    "annealing": (lambda: sa.simulated_annealing(GAUSS, hottest=2.0, coldest=1.0), "rise from above 0"),
    "fokker-planck": (lambda: noise.fokker_planck(lambda x: x, 0.0, lambda x: x[:, 0], [0], [1], [9], 1.0), "above 0"),
    "process": (lambda: noise.VarianceExploding(2.0, 1.0), "below sigma_max"),
    "time": (lambda: noise.OrnsteinUhlenbeck().marginal(-1.0), "time"),
    # couplings and distances
    "clouds": (lambda: ot.wasserstein(CLOUD, Z(3, 3)), "one dimension"),
    "cloud": (lambda: ot.wasserstein(CLOUD, Z(3)), r"\[n, d\]"),
    "empty cloud": (lambda: ot.wasserstein(CLOUD, Z(0, 2)), "empty"),
    "power": (lambda: ot.wasserstein(CLOUD, CLOUD, 0.5), "not for p=0.5"),
    "directions": (lambda: ot.sliced_wasserstein(CLOUD, CLOUD, count=0), "at least one direction"),
    "epsilon": (lambda: ot.sinkhorn(CLOUD, CLOUD, epsilon=-1.0), "epsilon"),
    "energy dimensions": (lambda: ev.energy_distance(Z(30, 1), Z(20, 2)), "one dimension"),
    "energy nan": (lambda: ev.energy_test(torch.full((30, 2), NAN), CLOUD), "x must be finite, and 60 of 60"),
    "energy of one": (lambda: ev.energy_test(CLOUD[:1], CLOUD), "2 rows or more"),
    "energy of none": (lambda: ev.energy_distance(CLOUD, CLOUD[:0]), "2 rows or more"),
    "sliced test": (lambda: ev.sliced_test(Z(30, 1), Z(20, 2)), "one dimension"),
    "classifier": (lambda: ev.classifier_two_sample(CLOUD[:3], CLOUD), "3 rows for 5 folds"),
    "coverage": (lambda: ev.coverage(Z(30, 1), CLOUD), "one dimension"),
    "coverage of few": (lambda: ev.coverage(CLOUD, CLOUD[:3]), "more than 5 rows"),
    "closer": (lambda: ev.closer_to_training(Z(1), Z(9)), "two or more"),
    "copies": (lambda: ev.near_copies(Z(9), Z(9), level=2.0), "between 0 and 1"),
    "frechet": (lambda: ev.frechet_distance(Z(2), torch.eye(2), Z(3), torch.eye(3)), r"\[\*b, k, k\]"),
    "psnr": (lambda: ev.psnr(FIELD, FIELD[:1], 1.0), "the shape of"),
    "psnr span": (lambda: ev.psnr(FIELD, FIELD, 0.0), "above 0"),
    "ssim": (lambda: ev.ssim(Z(1, 1, 8, 8), Z(1, 1, 8, 8), 1.0), "11 or more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_are_refused_in_one_line(name):
    call, words = WRONG[name]
    with pytest.raises(BadInput, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_integers_are_numbers():
    whole = torch.tensor([[2, 1], [1, 2]])
    torch.testing.assert_close(la.DenseCovariance(whole).eigenvalues, torch.tensor([1.0, 3.0]))
    mix = de.GaussianMixture(torch.tensor([[-2], [2]]), torch.tensor([1, 1]))
    torch.testing.assert_close(
        mix.denoise(torch.tensor([[1]]), 1),
        de.GaussianMixture(torch.tensor([[-2.0], [2.0]]), ONES(2)).denoise(ONES(1, 1), 1.0),
    )
    half = de.Gaussian(torch.tensor([0]), torch.tensor([0.5]))
    assert float(half.log_prob(torch.tensor([[1]])).value) == pytest.approx(-0.5 * math.log(math.pi) - 1)
    g = torch.Generator().manual_seed(1)
    picture = (torch.rand(1, 1, 32, 32, generator=g) * 255).round()
    byte = picture.to(torch.uint8)
    torch.testing.assert_close(dn.WaveletShrinkage()(byte, 20.0), dn.WaveletShrinkage()(picture, 20.0))
    torch.testing.assert_close(dn.noise_level(byte.int()), dn.noise_level(picture))
    other = (picture + 20 * torch.randn(picture.shape, generator=g)).clamp(0, 255).round()
    for of in (ev.psnr, ev.ssim):
        torch.testing.assert_close(of(byte, other.to(torch.uint8), 255), of(picture, other, 255))
    moments, ints = de.Gaussian(Z(2), la.DiagonalCovariance(ONES(2))), torch.ones(1, 2, dtype=torch.int64)
    torch.testing.assert_close(moments.noised(0.5).log_prob(ints).value, moments.noised(0.5).log_prob(ONES(1, 2)).value)
    torch.testing.assert_close(moments.denoise(ints, 0.5), torch.full((1, 2), 0.8))
    torch.testing.assert_close(la.DiagonalCovariance(ONES(2) / 2).apply(torch.sqrt, ints), torch.full((1, 2), 0.5**0.5))
    torch.testing.assert_close(dn.score(2 * ints, ints, 0.5), torch.full((1, 2), 4.0))
    assert ev.energy_distance([[0], [1]], np.array([[10], [12]])) == 18.0
    assert ot.wasserstein(torch.tensor([[0], [1]]), torch.tensor([[1], [2]])) == pytest.approx(1.0)


def test_what_looks_odd_and_is_right_works():
    wide = de.Gaussian(Z(4096), torch.logspace(-4, 4, 4096))  # not singular: variances that were given
    assert wide.log_prob(wide.sample(1)).value.isfinite().all()
    k = torch.fft.fftfreq(64, 1 / 64)
    power = (1 + k[:, None] ** 2 + k**2) ** (-11 / 3)
    assert not de.Gaussian.stationary(power[None]).covariance.singular
    assert MIX.energy(CLOUD[:0]).shape == (0,)
    assert dn.Wiener.of(CLOUD)(CLOUD[:0], 1.0).shape == (0, 2)
    assert MIX.score(CLOUD.T.contiguous().T).shape == (30, 2)
    heavy = de.GaussianMixture(Z(2, 1), ONES(2), torch.tensor([1.0, 0.0]))
    assert heavy.log_prob(Z(1, 1)).value.isfinite().all()
    assert (heavy.sample(100) * 0 == 0).all()
    with torch.inference_mode():
        torch.testing.assert_close(de.DoubleWell().score(torch.tensor([[1.0]])), torch.tensor([[3.0]]))
        torch.testing.assert_close(
            de.Energy(lambda x: (x**2).sum(1) / 2, (1,)).score(torch.tensor([[1.0]])), torch.tensor([[-1.0]])
        )
        assert sa.log_prob(ORACLE, CLOUD[:2]).value.shape == (2,)
    assert sa.log_prob(ORACLE, torch.ones(2, 2, dtype=torch.int64)).value.shape == (2,)
    x = CLOUD.clone().requires_grad_()
    assert MIX.score(x).shape == x.shape
    for bijector in (Linear(2), Coupling(Spec((2,)), Affine()), Autoregressive(Spec((2,)), Affine())):
        z = bijector(CLOUD.double()).value
        assert z.dtype == torch.float64
        torch.testing.assert_close(bijector.inverse(z).value, CLOUD.double(), rtol=0, atol=1e-6)
    spread = 1e6 + CLOUD.double()
    assert ev.coverage(spread + 0.5, spread) == ev.coverage(CLOUD.double() + 0.5, CLOUD.double())
    cube = torch.randn(2, 1, 5, 6, 7)
    assert dn.Wiener()(cube, 0.5).shape == cube.shape
    assert dn.WaveletShrinkage()(cube.half(), 0.5).dtype == torch.float16
    odd = torch.randn(1, 3, 17, 13)
    assert dn.Symmetric(dn.WaveletShrinkage())(odd, torch.tensor(0.5)).shape == odd.shape


def test_values_that_round_to_a_bound_come_back():
    g = torch.Generator().manual_seed(0)
    for low, high in [
        (0.0, 1.0),
        (-1.0, 1.0),
        (0.0, 255.0),
        *((10 * torch.randn(100, 2, generator=g)).sort(1).values.tolist()),
    ]:
        beyond = torch.tensor([[20.0], [-40.0], [150.0], [-150.0]])
        x = Logit(low, high).inverse(beyond).value
        assert Logit(low, high)(x).value.isfinite().all()
    z = Tanh()(torch.tensor([[10.0], [-10.0]])).value
    assert Tanh().inverse(z).value.isfinite().all()


def test_a_permutation_comes_back_from_its_state():
    made, loaded = Permutation(3, [2, 0, 1]), Permutation(3)
    loaded.load_state_dict(made.state_dict())
    x = torch.randn(4, 3)
    torch.testing.assert_close(loaded.inverse(made(x).value).value, x)


def test_a_mixture_transformed_knows_its_density():
    law = MIX.transformed(Chain([Permutation(2)]))
    torch.testing.assert_close(law.log_prob(CLOUD).value, MIX.log_prob(CLOUD.flip(1)).value)


def test_ising_has_its_energy_at_every_temperature():
    assert abs(de.Ising((6, 6), 0.0).exact_energy()) < 1e-6
    assert de.Ising((6, 6), 1e-5).exact_energy() == pytest.approx(-2e-5, rel=1e-2)
    cold = de.Ising((6, 6), 200.0)
    assert cold.log_z == pytest.approx(2 * 36 * 200.0 + math.log(2))
    assert cold.exact_energy() == pytest.approx(-2.0)
    assert cold.onsager_energy() == pytest.approx(-2.0)


def test_chains_start_in_the_precision_of_their_law():
    wide = de.Gaussian(Z(2, dtype=torch.float64), ONES(2, dtype=torch.float64))
    assert sa.mala(wide, draws=5, warmup=5, show=False).x.dtype == torch.float64


def test_frechet_s_distance_of_equal_laws_is_not_below_zero():
    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        root = torch.randn(6, 6, generator=g)
        assert float(ev.frechet_distance(Z(6), root @ root.T, Z(6), root @ root.T)) >= 0


def test_the_moons_are_looked_at_a_part_at_a_time():
    near = de.Moons()._near(Z(20_000, 2))
    some, logs = next(near)
    assert len(some) == len(logs) < 4_000
    assert logs.numel() * 8 < 100e6  # bytes, where all would be 640e6


def test_a_coupling_keeps_the_digits_of_a_tiny_distance():
    x = CLOUD.double()
    assert ot.wasserstein(x, x + 1e-12) == pytest.approx(math.sqrt(2) * 1e-12, rel=1e-3)


def test_sinkhorn_of_a_cloud_to_itself_with_a_cost_that_is_not_symmetric():
    def cost(a, b):
        away = a[..., :, None, 0] - b[..., None, :, 0]
        return away.clamp(min=0) ** 2 + 0.3 * (-away).clamp(min=0)

    for s in (1.0, 1e-6):
        found = ot.sinkhorn(s * CLOUD.double(), s * CLOUD.double(), cost=lambda a, b, s=s: cost(a / s, b / s) * s**2)
        torch.testing.assert_close(found.plan().sum(0), found.b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 0.01, 0.001])
def test_fokker_planck_drifts_as_fast_as_it_should(sigma):
    found = noise.fokker_planck(
        lambda x: -x, sigma, lambda x: (-50 * (x[:, 0] - 3) ** 2).exp(), [-1], [5], [300], 1.0, steps=400
    )
    mean = float((found.p[-1] * found.sides[0]).sum() * found.volume)
    assert mean == pytest.approx(3 / math.e, abs=0.02)


def test_what_strangers_write_passes_the_doors_as_it_is():
    class Mine(de.Law):
        event_shape = (2,)

        def energy(self, x, power=2):
            return (x.abs() ** power).sum(1)

    assert Mine().energy(torch.ones(3, 2, dtype=torch.int64), 3).tolist() == [2.0, 2.0, 2.0]
    assert Mine().score(ONES(1, 2)).tolist() == [[-2.0, -2.0]]

    class Clipped(Mine):
        def energy_and_score(self, x):
            energy, score = super().energy_and_score(x)
            return energy, score.clamp(-1, 1)

    with pytest.raises(BadInput, match="its own score in energy_and_score"):

        class Scored(Mine):
            def score(self, x):
                return -x

    class Labelled(Mine):
        def denoise(self, y, sigma, label=None):
            return y * sigma[:, None] + label[:, None]

    assert Labelled().denoise(ONES(1, 2), 3.0, label=ONES(1)).tolist() == [[4.0, 4.0]]
    assert Clipped().score(ONES(1, 2)).tolist() == [[-1.0, -1.0]]
    energy, score = Clipped().energy_and_score(ONES(1, 2))
    assert energy.tolist() == [2.0]
    assert score.tolist() == [[-1.0, -1.0]]

    class Double(Bijector):
        def forward(self, x):
            return Mapped(2 * x, x.new_full((len(x),), x[0].numel() * math.log(2)))

    class Told(Bijector):
        def __init__(self):
            super().__init__()
            self.channels = torch.nn.Parameter(ONES(2))

        def forward(self, x, label=None, *, scale=1.0):
            return Mapped(x + label[:, None], x.new_zeros(len(x)))

    assert Told()(Z(1, 2), ONES(1), scale=3.0).value.tolist() == [[1.0, 1.0]]
    assert Permutation(2).inverse(z=torch.tensor([[1.0, 2.0]])).value.tolist() == [[2.0, 1.0]]
    assert Chain([Double(), Permutation(2)])(ONES(1, 2)).value.tolist() == [[2.0, 2.0]]
    assert Chain([Told(), Permutation(2)])(Z(1, 2), ONES(1)).value.tolist() == [[1.0, 1.0]]
