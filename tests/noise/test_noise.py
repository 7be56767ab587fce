"""Every process is y = x + sigma z by another clock; the simulated equation has the law that the formula says."""

import math

import numpy as np
import pytest
import torch

from monge import rng
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.noise import (
    LinearInterpolant,
    OrnsteinUhlenbeck,
    Process,
    VarianceExploding,
    VariancePreserving,
    perturb,
    simulate,
)

F = torch.float64
PROCESSES = [
    OrnsteinUhlenbeck(),
    OrnsteinUhlenbeck(kappa=0.3, sigma=2.0),
    VarianceExploding(0.05, 10.0),
    VariancePreserving(),
    VariancePreserving(2.0, 2.0),
    LinearInterpolant(),
]


@pytest.fixture(params=PROCESSES, ids=repr)
def process(request):
    return request.param


def test_is_a_process(process):
    assert isinstance(process, Process)


@pytest.mark.parametrize("t", [0.5, [0.25, 0.5], np.float64(0.5), np.array([0.25, 0.5]), 0])
def test_times_and_levels_are_numbers_arrays_or_tensors(process, t):
    exact = torch.as_tensor(t, dtype=F)
    for part, expected in zip(process.marginal(t), process.marginal(exact), strict=True):
        assert torch.allclose(part.to(F), expected, rtol=1e-5)
    for part, expected in zip(process.drive(t), process.drive(exact), strict=True):
        assert torch.allclose(part.to(F), expected, rtol=1e-5)
    assert torch.allclose(process.time(t).to(F), process.time(exact), rtol=1e-5)
    x, z = torch.ones(2, 3), torch.zeros(2, 3)
    assert torch.allclose(perturb(process, x, t, z), perturb(process, x, exact, z), rtol=1e-5)
    for call in (process.marginal, process.drive, process.time):
        with pytest.raises(BadInput, match="not ndarray"):
            call(np.array(["late"]))
        with pytest.raises(BadInput, match=r"t = 0|zero or more"):
            call(-1.0)


def test_nothing_has_happened_at_the_start(process):
    scale, sigma = process.marginal(torch.zeros((), dtype=F))
    assert scale == 1
    assert sigma == 0


def test_time_inverts_the_noise_level(process):
    t = torch.linspace(0.01, 0.95, 20, dtype=F)
    assert torch.allclose(process.time(process.marginal(t).sigma), t)


def test_marginal_solves_the_equations_of_its_drive(process):
    """d log scale / dt = f and d sigma^2 / dt = g^2 / scale^2, by autograd."""
    t = torch.linspace(0.05, 0.9, 10, dtype=F, requires_grad=True)
    scale, sigma = process.marginal(t)
    drift, diffusion = process.drive(t)
    (rate,) = torch.autograd.grad((scale.log() + 0 * t).sum(), t, retain_graph=True)
    assert torch.allclose(rate, drift.expand_as(rate))
    (growth,) = torch.autograd.grad(sigma.square().sum(), t)
    assert torch.allclose(growth, (diffusion / scale).square())


def test_ornstein_uhlenbeck_is_the_course_s():
    """(124), (130) and (140): scale e^{-kappa t}, noise sigma sqrt((1 - e^{-2 kappa t}) / 2 kappa)."""
    t = torch.tensor([0.2, 1.5], dtype=F)
    scale, level = OrnsteinUhlenbeck(kappa=0.7, sigma=1.3).marginal(t)
    assert torch.allclose(scale, (-0.7 * t).exp())
    assert torch.allclose(scale * level, 1.3 * ((1 - (-1.4 * t).exp()) / 1.4).sqrt())
    assert torch.allclose(OrnsteinUhlenbeck().marginal(t).sigma, ((2 * t).exp() - 1).sqrt())


def test_variance_preserving_is_ornstein_uhlenbeck_by_another_clock():
    t = torch.tensor([0.1, 0.6], dtype=F)
    scale, sigma = VariancePreserving(0.5, 3.0).marginal(t)
    clock = OrnsteinUhlenbeck().time(sigma)
    assert torch.allclose(OrnsteinUhlenbeck().marginal(clock).scale, scale)


@pytest.mark.parametrize("t", [0.1, 0.7])
def test_perturbed_law_is_the_noised_law_scaled(process, t):
    """(130): p_t is p_0 * N(0, sigma^2) after a change of scale."""
    law = Gaussian(torch.tensor([1.0, -1.0], dtype=F), torch.tensor([[1.0, 0.4], [0.4, 0.3]], dtype=F))
    n = 40_000
    x, z = law.sample(n, seed=0), rng.normal((n, 2), 0, "z", dtype=F)
    times = torch.full((n,), t, dtype=F)
    y = perturb(process, x, times, z)
    assert torch.allclose(y, perturb(process, x, times[0], z))
    scale, sigma = process.marginal(times[0])
    noised = law.noised(float(sigma))
    # log-likelihood of y / scale under the noised law, whose mean is minus the entropy
    value = noised.log_prob(y / scale).value
    entropy = noised.log_z + 1.0
    assert abs(value.mean() + entropy) < 5 * value.std() / math.sqrt(n)


def test_simulation_has_the_law_of_the_formula(process):
    """Euler-Maruyama from one point: mean and variance within the Monte Carlo error and the bias of the step."""
    n, t_end = 40_000, 0.6
    x0 = torch.full((n, 1), 1.5, dtype=F)
    scale, sigma = process.marginal(torch.tensor(t_end, dtype=F))
    biases = []
    for steps in (200, 400):
        end = simulate(process, x0, t_end, steps).x[-1]
        error = float(scale * sigma) / math.sqrt(n)
        mean_bias = float(end.mean() - scale * 1.5)
        variance_bias = float(end.var() / (scale * sigma) ** 2) - 1
        biases.append((mean_bias, variance_bias))
        # the Euler step's own bias is of the order of rate^2 t h / 2, rate at most 12 here
        step_bias = 0.5 * 144 * t_end * (t_end / steps)
        assert abs(mean_bias) < 5 * error + step_bias * float(scale) * 1.5
        assert abs(variance_bias) < 5 * math.sqrt(2 / n) + step_bias


def test_euler_maruyama_s_exact_variance():
    """For Ornstein-Uhlenbeck the scheme's own law is known: v <- v (1 - h)^2 + 2 h. No bias to allow."""
    n, steps, t_end = 40_000, 40, 1.0
    h, variance, mean = t_end / steps, 0.0, 1.5
    for _ in range(steps):
        variance, mean = variance * (1 - h) ** 2 + 2 * h, mean * (1 - h)
    end = simulate(OrnsteinUhlenbeck(), torch.full((n, 1), 1.5, dtype=F), t_end, steps).x[-1]
    assert abs(float(end.mean()) - mean) < 5 * math.sqrt(variance / n)
    assert abs(float(end.var()) / variance - 1) < 5 * math.sqrt(2 / n)


def test_simulated_sample_belongs_to_its_index():
    x = rng.normal((10, 2), 0, "x")
    whole = simulate(OrnsteinUhlenbeck(), x, 1.0, 5).x[-1]
    part = simulate(OrnsteinUhlenbeck(), x[4:], 1.0, 5, start=4).x[-1]
    assert torch.equal(whole[4:], part)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OrnsteinUhlenbeck(kappa=0.0), "kappa must be positive"),
        (lambda: OrnsteinUhlenbeck(sigma=-1.0), "sigma must be positive"),
        (lambda: VarianceExploding(1.0, 0.5), "below sigma_max"),
        (lambda: VariancePreserving(3.0, 1.0), "not be above beta_max"),
        (lambda: OrnsteinUhlenbeck().marginal(torch.tensor(-1.0)), "zero or more"),
        (lambda: LinearInterpolant().marginal(torch.tensor(1.0)), "t < 1"),
        (lambda: simulate(OrnsteinUhlenbeck(), torch.zeros(1, 1), 1.0, 0), "at least one step"),
        (lambda: simulate(OrnsteinUhlenbeck(), torch.zeros(1, 1), 0.0, 5), "t_end > 0"),
    ],
)
def test_bad_input_is_told_in_one_line(make, message):
    with pytest.raises(BadInput, match=message):
        make()
