"""Reverse diffusion: exact laws come back, the budget holds, a sample belongs to its index."""

import math

import pytest
import torch

from monge import rng, samplers
from monge.denoisers import Labelled, Oracle, residual_level
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput, NumericalFailure
from monge.samplers import EulerMaruyama, ExponentialMultistep, Heun, Linearisation, Plan, pilot, reverse_diffusion

SOLVERS = [EulerMaruyama(), Heun(), ExponentialMultistep(1), ExponentialMultistep(2), ExponentialMultistep(3)]
NAMES = ["euler-maruyama", "heun", "exponential-1", "exponential-2", "exponential-3"]


def gaussian():
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    root = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.4, 0.0], [-0.3, 0.2, 0.1]], dtype=torch.float64)
    return Gaussian(mean, root @ root.T)


def ring():
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    means = torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixture(means, torch.full((8, 2), 0.15**2, dtype=torch.float64), torch.full((8,), 1 / 8).double())


def assert_gaussian(x, mean, covariance, k=4.5):
    """Mean and every entry of the covariance within k standard errors."""
    n = len(x)
    assert ((x.mean(0) - mean).abs() <= k * (covariance.diagonal() / n).sqrt()).all()
    seen = torch.cov(x.T)
    error = ((covariance**2 + covariance.diagonal()[:, None] * covariance.diagonal()) / n).sqrt()
    assert ((seen - covariance).abs() <= k * error).all()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_gaussian_comes_back(alpha, solver):
    law = gaussian()
    # the exponential rules move a Gaussian exactly; the others have a bias of the order of their step: give them
    # the calls that bring it below the Monte Carlo error
    nfe = 10 if isinstance(solver, ExponentialMultistep) else 1000
    x = reverse_diffusion(Oracle(law), (3,), 4000, nfe=nfe, alpha=alpha, seed=1, solver=solver, dtype=torch.float64)
    assert_gaussian(x, law.mean, law.moments.covariance.apply(lambda lam: lam, torch.eye(3, dtype=torch.float64)))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_mixture_weights_and_spread_come_back(alpha):
    law = ring()
    n = 8000
    x = reverse_diffusion(Oracle(law), (2,), n, nfe=200, alpha=alpha, dtype=torch.float64)
    distance = torch.cdist(x, law.means)
    weights = torch.bincount(distance.argmin(1), minlength=8) / n
    assert ((weights - 1 / 8).abs() < 4.5 * math.sqrt(7 / 64 / n)).all()
    near = distance.min(1).values / 0.15
    assert abs(near.mean() - math.sqrt(math.pi / 2)) < 4.5 * math.sqrt((2 - math.pi / 2) / n)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_solver_has_the_order_it_declares(solver):
    """Error at the end of the transport against the step, on a law that is not Gaussian."""
    law, denoiser = ring(), Oracle(ring())
    linear = Linearisation(law.moments.covariance)
    mean = law.mean

    def run(solver, y, levels, past=()):
        for sigma, sigma_next in zip(levels[:-1, None, None], levels[1:, None, None], strict=True):
            x_hat = denoiser(y, sigma[0].expand(len(y)))
            call = lambda y, s: denoiser(y, s[0].expand(len(y)))  # noqa: E731
            now = samplers.Step(y, x_hat, sigma, sigma_next, 0.0, None, call, mean, linear, list(past))
            past = [samplers.Past(now.log_sigma, now.q, now.v, now.v), *past][: solver.memory]
            y = solver.step(now)
        return y

    def end(solver, steps):
        """From 2 to 0.2 in even steps of log sigma, with a past that a fine walk from 4 gives."""
        ratio, y, level, past = 10 ** (1 / steps), law.noised(4.0).sample(64, seed=3), 4.0, []
        for target in (2.0 * ratio**2, 2.0 * ratio, 2.0):
            walk = torch.logspace(math.log10(level), math.log10(target), 100, dtype=torch.float64)
            y, level, sigma = run(ExponentialMultistep(2), y, walk), target, torch.full((1, 1), target).double()
            now = samplers.Step(y, denoiser(y, sigma[0].expand(64)), sigma, sigma, 0.0, None, denoiser, mean, linear)
            past = [samplers.Past(now.log_sigma, now.q, now.v, now.v), *past]
        past = past[1 : 1 + solver.memory]
        return run(solver, y, 2.0 * torch.logspace(0, -1, steps + 1, dtype=torch.float64), past)

    exact = end(ExponentialMultistep(3), 800)
    coarse, fine = ((end(solver, steps) - exact).square().mean().sqrt() for steps in (100, 200))
    slope = math.log2(coarse / fine)
    assert abs(slope - solver.order) < 0.25


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("nfe", [1, 2, 3, 5, 8, 20])
def test_budget_is_never_exceeded(solver, nfe):
    calls = 0

    def denoiser(y, sigma):
        nonlocal calls
        calls += 1
        assert sigma.shape == (len(y),)
        return y / (1 + sigma[:, None] ** 2)

    reverse_diffusion(denoiser, (2,), 4, nfe=nfe, sigma_min=0.01, sigma_max=10.0, solver=solver)
    assert calls <= nfe
    assert calls >= nfe - solver.calls + 1


def test_a_pilot_is_counted_and_its_plan_passed_on():
    seen = []

    def denoiser(y, sigma):
        seen.append(len(y))
        return y / (1 + sigma[:, None] ** 2)

    plan = pilot(denoiser, (2,))
    assert sum(seen) == plan.calls < 2 * 64 * 30 + 150  # moments and gains, and how wide the law is
    assert torch.allclose(plan.moments.mean, torch.zeros(2), atol=4.5 / 8)
    seen.clear()
    way = reverse_diffusion(denoiser, (2,), 100, nfe=5, plan=plan, trace=True)
    assert sum(seen) == 5 * 100
    assert way.pilot_calls == plan.calls
    torch.testing.assert_close(reverse_diffusion(denoiser, (2,), 7, nfe=5), way.x[:7])  # but for last digits
    assert sum(seen) == 5 * 107 + plan.calls
    again = Plan.from_state(plan.state())
    torch.testing.assert_close(reverse_diffusion(denoiser, (2,), 7, nfe=5, plan=again), way.x[:7])
    wider = lambda y, sigma: 9 * y / (9 + sigma[:, None] ** 2)  # noqa: E731
    turned = [denoiser]
    both = lambda y, sigma: turned[0](y, sigma)  # noqa: E731
    reverse_diffusion(both, (2,), 10, nfe=5)
    turned[0] = wider
    assert torch.equal(reverse_diffusion(both, (2,), 10, nfe=5), reverse_diffusion(wider, (2,), 10, nfe=5))


def test_a_plan_without_gains_says_where_the_law_is():
    law = Gaussian(torch.full((2,), 1e3), torch.ones(2))
    for D in (law.denoise, Labelled(lambda y, sigma, label: law.denoise(y, sigma), torch.arange(200))):
        x = reverse_diffusion(D, (2,), 200, nfe=12, plan=Plan(law))
        assert torch.allclose(x.mean(0), torch.full((2,), 1e3), atol=1.0)


def test_a_plan_of_another_shape_is_refused():
    D = Oracle(ring())
    with pytest.raises(BadInput, match=r"plan is what pilot.* gives, not one of events \[3\]"):
        reverse_diffusion(D, (2,), 5, plan=Plan(Gaussian(torch.zeros(3), torch.ones(3))))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_sample_belongs_to_its_index(alpha, solver):
    options = {"nfe": 12, "alpha": alpha, "seed": 5, "solver": solver, "dtype": torch.float64}
    denoiser = Oracle(ring())
    whole = reverse_diffusion(denoiser, (2,), 30, **options)
    in_batches = reverse_diffusion(denoiser, (2,), 30, batch_size=7, **options)
    spread = torch.cat([reverse_diffusion(denoiser, (2,), k, start=s, **options) for s, k in ((0, 11), (11, 19))])
    assert torch.allclose(whole, in_batches, rtol=0, atol=1e-12)
    assert torch.allclose(whole, spread, rtol=0, atol=1e-12)
    other = reverse_diffusion(denoiser, (2,), 30, **{**options, "seed": 6})
    assert not torch.allclose(whole, other)


def test_samples_belong_to_their_index_whatever_comes_before():
    """The pilot of a stranger is the same for any seed, number and order of runs."""
    denoiser = lambda y, sigma: ring().denoise(y, sigma)  # noqa: E731
    alone = reverse_diffusion(denoiser, (2,), 5, seed=3, start=2, dtype=torch.float64)
    again = lambda y, sigma: ring().denoise(y, sigma)  # noqa: E731
    reverse_diffusion(again, (2,), 50, seed=8, nfe=7, alpha=1.0, dtype=torch.float64)
    whole = reverse_diffusion(again, (2,), 7, seed=3, dtype=torch.float64)
    assert torch.allclose(alone, whole[2:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_stranger_without_moments_is_sampled_well(alpha):
    n, law = 4000, ring()
    x = reverse_diffusion(law.denoise, (2,), n, nfe=12, alpha=alpha, dtype=torch.float64)
    distance = torch.cdist(x, law.means)
    weights = torch.bincount(distance.argmin(1), minlength=8) / n
    assert ((weights - 1 / 8).abs() < 4.5 * math.sqrt(7 / 64 / n)).all()
    near = distance.min(1).values / 0.15
    assert abs(near.mean() / math.sqrt(math.pi / 2) - 1) < 0.1


def test_trace_tells_the_way():
    way = reverse_diffusion(Oracle(ring()), (2,), 10, nfe=6, trace=True, batch_size=4)
    assert way.sigma.shape == (6,)
    assert way.y.shape == way.x_hat.shape == (6, 10, 2)
    assert (way.x - way.x_hat[-1]).abs().max() < 0.15  # the last step, from the width of a mode to 0
    assert (way.sigma.diff() < 0).all()
    assert torch.equal(way.x, reverse_diffusion(Oracle(ring()), (2,), 10, nfe=6))


class Blind:
    """The exact denoiser of points on a circle in 64 dimensions, which looks for the noise level in y itself."""

    blind = True

    def __init__(self):
        self.law = GaussianMixture(
            torch.cat([ring().means, torch.zeros(8, 62, dtype=torch.float64)], 1),
            torch.full((8, 64), 0.01**2, dtype=torch.float64),
            torch.full((8,), 1 / 8, dtype=torch.float64),
        )

    def __call__(self, y, sigma):
        level = y[:, 2:].square().mean(1).sqrt()
        return self.law.denoise(y, level.clamp_min(1e-4))


def test_blind_denoiser_finds_the_level_and_samples():
    blind = Blind()
    n = 2000
    x = reverse_diffusion(blind, (64,), n, nfe=60, dtype=torch.float64)
    distance = torch.cdist(x, blind.law.means)
    weights = torch.bincount(distance.argmin(1), minlength=8) / n
    assert ((weights - 1 / 8).abs() < 4.5 * math.sqrt(7 / 64 / n)).all()
    assert distance.min(1).values.max() < 0.5  # everything ends near a point; radius between points is 0.77
    y = blind.law.noised(0.5).sample(100, seed=0)
    found = residual_level(blind(y, torch.zeros(100)), y)
    assert abs(found.mean() - 0.5) < 0.02


def test_moments_start_a_gaussian_exactly_even_from_low_noise():
    law = gaussian()
    x = reverse_diffusion(Oracle(law), (3,), 4000, nfe=60, sigma_max=2.0, dtype=torch.float64)
    assert_gaussian(x, law.mean, law.moments.covariance.apply(lambda lam: lam, torch.eye(3, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nfe": 0}, "nfe must be at least 1"),
        ({"alpha": -0.1}, "alpha must be 0"),
        ({"alpha": math.nan}, "alpha must be 0"),
        ({"alpha": math.inf}, "alpha must be 0"),
        ({"sigma_max": math.inf}, "sigma_max < infinity"),
        ({"sigma_min": 50.0}, "lower it"),
        ({"sigma_min": 1.0, "sigma_max": 1.0}, "sigma_min < sigma_max"),
        ({"sigma_min": 0.0}, "0 < sigma_min"),
        ({"n": 0}, "n must be at least 1"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options, message):
    with pytest.raises(BadInput, match=message) as caught:
        reverse_diffusion(Oracle(ring()), (2,), **{"n": 3, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"sigma_min": 0.01, "sigma_max": 10.0}], ids=["chosen", "given"])
def test_a_denoiser_that_diverges_is_an_error(options):
    with pytest.raises(NumericalFailure, match="samples are not finite: the denoiser diverged"):
        reverse_diffusion(lambda y, sigma: y * math.nan, (2,), 3, nfe=4, **options)


@pytest.mark.parametrize("answer", [lambda y: y[:, :1], lambda y: y[0], lambda y: None], ids=["few", "row", "none"])
def test_a_denoiser_of_another_shape_is_told(answer):
    with pytest.raises(BadInput, match=r"in the shape of y, \[\d+, 2\], not"):
        reverse_diffusion(lambda y, sigma: answer(y), (2,), 3, nfe=4)


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_denoiser_that_says_one_thing_samples_it(value, alpha):
    x = reverse_diffusion(lambda y, sigma: torch.full_like(y, value), (2,), 5, nfe=4, alpha=alpha)
    assert torch.allclose(x, torch.full((5, 2), value), atol=1e-3)


def test_levels_fall_from_max_to_min():
    grid = samplers.noise_levels(10, 0.01, 50.0)
    assert grid[0] == 50.0
    assert grid[-1] == 0.01
    assert (grid.diff() < 0).all()


def test_noise_of_a_step_is_addressed():
    z = rng.normal((2, 2), 0, "step", 3, start=5)
    assert torch.equal(z, rng.normal((7, 2), 0, "step", 3)[5:])
