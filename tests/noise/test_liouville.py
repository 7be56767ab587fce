"""Liouville's equation on a grid: against exact laws and particles, for fields written down and learned; and the random
walk against the binomial law, and against Brownian motion."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import monge
from monge.densities import Gaussian, Moons
from monge.errors import BadInput
from monge.nets import Size
from monge.noise import liouville, random_walk
from monge.samplers import integrate

F = torch.float64


def gaussian(mean, var):
    return lambda x: (-((x[:, 0] - mean) ** 2) / (2 * var)).exp()


def test_a_contraction_is_exact_to_second_order_and_runs_backwards():
    """dx/dt = -x from N(1, 1/4): N(e^-t, e^-2t / 4)."""
    errors = []
    for cells in (100, 200):
        found = liouville(lambda x, t: -x, gaussian(1.0, 0.25), [-4], [4], [cells], 0.0, 0.7, frames=3)
        exact = stats.norm.pdf(found.sides[0], math.exp(-0.7), 0.5 * math.exp(-0.7))
        errors.append(float(np.abs(found.p[-1] - exact).sum() * found.volume))
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 3
    back = liouville(lambda x, t: -x, gaussian(math.exp(-0.7), 0.25 * math.exp(-1.4)), [-4], [4], [200], 0.7, 0.0)
    assert np.abs(back.p[-1] - stats.norm.pdf(back.sides[0], 1, 0.5)).sum() * back.volume < 0.01
    assert back.t[0] == 0.7
    assert back.t[-1] == 0.0


def test_mass_is_kept_and_nothing_is_negative():
    whirl = lambda x, t: 3 * torch.stack([-x[:, 1], x[:, 0]], 1) + t[:, None]  # noqa: E731
    start = lambda x: ((x - 0.5).abs() < 0.3).all(1).to(F)  # noqa: E731
    found = liouville(whirl, start, [-2.0, -1.5], [2.0, 1.5], [40, 30], 0.0, 2.0, frames=8)
    assert np.allclose(found.p.reshape(9, -1).sum(1) * found.volume, 1, atol=1e-10)
    assert (found.p > -1e-12).all()


@pytest.fixture(scope="module")
def learned():
    model = monge.FlowMatching(pairing="transport", pool=256, bend=False, net=Size(widths=(32,), blocks=1))
    return model.fit(Moons(noise=0.3).sample(4000, seed=0), steps=200, show=False)


def test_the_density_of_a_learned_velocity_is_that_of_the_grid_and_of_particles(learned):
    """What `log_prob` says, Liouville's equation solved on a grid, and a histogram of samples: one density."""
    scaling, carrier = learned.scaling, learned.carrier
    base = lambda x: carrier.moments.log_prob(x.float()).value.exp()  # noqa: E731
    field = carrier.field(None)
    found = liouville(field, base, [-4.0, -4.0], [4.0, 4.0], [60, 60], 1.0, 0.0, frames=2)
    side = torch.from_numpy(found.sides[0]).float()
    points = scaling.inverse(torch.cartesian_prod(side, side))
    said = learned.log_prob(points, show=False).value - scaling.log_dets(torch.cartesian_prod(side, side))
    p = said.exp().reshape(60, 60).double().numpy()
    assert abs(p.sum() * found.volume - 1) < 0.01
    assert np.abs(found.p[-1] - p).sum() * found.volume < 0.08  # of 2: the grid smears a little
    n = 10_000
    x = scaling.forward(learned.sample(n, nfe=50, show=False)).double().numpy()
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins=[np.linspace(-4, 4, 21)] * 2)
    mass = p.reshape(20, 3, 20, 3).sum((1, 3)) * found.volume
    away = (counts / n - mass) / np.sqrt(np.maximum(mass, 1 / n) / n)
    assert np.sqrt((away**2).mean()) < 1.3  # standard errors
    coarse = found.p[-1].reshape(20, 3, 20, 3).sum((1, 3)) * found.volume
    assert np.abs(coarse - mass).sum() < 0.04


def test_particles_follow_the_grid_under_a_field_in_time():
    field = lambda x, t: torch.sin(2 * x) + t[:, None]  # noqa: E731
    found = liouville(field, gaussian(0.0, 0.25), [-3], [5], [400], 0.0, 1.0, frames=1)
    x = integrate(field, Gaussian(torch.zeros(1), 0.25 * torch.eye(1)).sample(20_000, seed=0), 0.0, 1.0).x[:, 0]
    edges = found.sides[0] + found.volume / 2
    below = np.searchsorted(np.sort(x.numpy()), edges) / 20_000
    assert np.abs(below - np.cumsum(found.p[-1]) * found.volume).max() < 1.95 / 20_000**0.5 + 0.005


@pytest.mark.parametrize("frames", [1, 20])
def test_a_field_that_stands_still_at_the_frames_is_seen_between_them(frames):
    k = 10 if frames == 20 else 1
    field = lambda x, t: 2 * torch.sin(k * 2 * math.pi * t)[:, None].expand_as(x) ** 2  # noqa: E731
    found = liouville(field, gaussian(0.0, 1 / 16), [-3], [3], [120], 0.0, 1.0, frames=frames)
    assert abs(float((found.sides[0] * found.p[-1]).sum() * found.volume) - 1) < 0.02
    assert (found.p > -1e-12).all()


@pytest.mark.parametrize("steps", [4, 64])
def test_a_random_walk_is_binomial_and_becomes_brownian(steps):
    n, t, sigma = 20_000, 2.0, 1.5
    x = random_walk(n, steps, t=t, sigma=sigma, d=2, seed=1)
    assert x.shape == (steps + 1, n, 2)
    dx = sigma * (t / steps) ** 0.5
    up = ((x[-1] / dx + steps) / 2).round().long()
    counts = torch.bincount(up[:, 0], minlength=steps + 1).double().numpy()
    wanted = n * stats.binom.pmf(np.arange(steps + 1), steps, 0.5)
    some = wanted > 5
    assert stats.chisquare(counts[some], wanted[some] * counts[some].sum() / wanted[some].sum()).pvalue > 1e-3
    for k in (steps // 2, steps):  # sigma^2 t at any time
        spread = float(x[k].var())
        assert abs(spread / (sigma**2 * t * k / steps) - 1) < 4 * (2 / (2 * n)) ** 0.5
    # independent increments, axes apart
    half = x[steps // 2].flatten(), (x[-1] - x[steps // 2]).flatten()
    assert abs(float(torch.corrcoef(torch.stack(half))[0, 1])) < 4 / (2 * n) ** 0.5
    kurtosis = float(((x[-1] / x[-1].std()) ** 4).mean()) - 3
    assert abs(kurtosis + 2 / steps) < 4 * (24 / (2 * n)) ** 0.5
    jump = stats.kstest(x[-1, :, 0].numpy() / (sigma * t**0.5), "norm").statistic
    assert abs(jump - stats.binom.pmf(steps // 2, steps, 0.5) / 2) < 1.95 / n**0.5
    assert torch.equal(random_walk(3, steps, t=t, sigma=sigma, d=2, seed=1, start=5), x[:, 5:8])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: liouville(lambda x, t: x, gaussian(0, 1), [1], [0], [10], 0.0, 1.0), "low < high"),
        (lambda: liouville(lambda x, t: x, gaussian(0, 1), [0], [1], [10], 0.0, math.inf), "finite and apart"),
        (lambda: liouville(lambda x, t: x[:, 0], gaussian(0, 1), [0], [1], [10], 0.0, 1.0), "a field gives"),
        (lambda: liouville(lambda x, t: x / 0, gaussian(0, 1), [-1], [1], [10], 0.0, 1.0), "finite values"),
        (lambda: liouville(lambda x, t: 1e7 + x, gaussian(0, 1), [-1], [1], [10], 0.0, 1.0), "20,000 steps"),
        (lambda: liouville(lambda x, t: x, lambda x: -x[:, 0], [0], [1], [10], 0.0, 1.0), "nowhere negative"),
        (lambda: random_walk(0, 3), "n must"),
        (lambda: random_walk(3, 3, t=0.0), "positive and finite"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(BadInput, match=words):
        call()
