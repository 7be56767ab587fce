"""The grid solver against the exact Ornstein-Uhlenbeck law, and against particles."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from monge.denoisers import Oracle, to_score
from monge.densities import DoubleWell, GaussianMixture
from monge.errors import BadInput
from monge.noise import OrnsteinUhlenbeck, fokker_planck

F = torch.float64


def test_ornstein_uhlenbeck_is_exact_to_its_orders():
    """dx = -x dt + sqrt 2 dW from N(1, 1/4): mean e^-t, variance 1 - 3/4 e^-2t."""
    errors = []
    for cells, steps in ((100, 50), (200, 200)):
        found = fokker_planck(
            lambda x: -x, 2**0.5, lambda x: (-2 * (x[:, 0] - 1) ** 2).exp(), [-7], [7], [cells], 1.0, steps=steps
        )
        (x,), p = found.sides, found.p[-1] * found.volume
        mean = (x * p).sum()
        variance = ((x - mean) ** 2 * p).sum()
        errors.append(max(abs(mean - math.exp(-1)), abs(variance - 1 + 0.75 * math.exp(-2))))
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 3  # second order in cells, first in steps


@pytest.mark.parametrize("cells", [[80], [40, 30]])
def test_mass_is_kept_and_nothing_is_negative(cells):
    d = len(cells)
    start = lambda x: ((x - 0.5).abs() < 0.3).all(1).to(F)  # noqa: E731
    found = fokker_planck(lambda x: 30 * x.flip(1) - x**3, 0.3, start, [-3.0] * d, [3.0] * d, cells, 2.0, steps=20)
    assert np.allclose(found.p.reshape(21, -1).sum(1) * found.volume, 1, atol=1e-10)
    assert (found.p >= 0).all()


def test_kl_falls_along_langevin_and_slowly_across_a_barrier():
    law = DoubleWell(mu=-4.0)
    begin = lambda x: (-4 * (x[:, 0] - 2) ** 2).exp()  # noqa: E731
    found = fokker_planck(law.score, 2**0.5, begin, [-4], [4], [200], 4.0)
    kl = found.kl(lambda x: -law.energy(x))
    assert (np.diff(kl) < 0).all()
    assert kl[25] > 0.9 * math.log(2) > 0.1  # one well is full, the other empty
    assert kl[-1] > 0.3


def test_the_random_walk_becomes_brownian_motion():
    """Steps of +-sqrt dt: at t = 1 the distance of its law to N(0, 1) falls as sqrt dt (109-113), and the heat equation
    from a point gives that law."""
    distance = []
    for steps in (16, 64, 256):
        k = np.arange(steps + 1)
        at, law = (2 * k - steps) / math.sqrt(steps), stats.binom(steps, 0.5)
        assert (at**2 * law.pmf(k)).sum() == pytest.approx(1)
        distance.append(np.abs(law.cdf(k) - stats.norm.cdf(at)).max())
    assert np.allclose(np.array(distance[:-1]) / distance[1:], 2, rtol=0.05)
    heat = fokker_planck(lambda x: 0 * x, 1.0, lambda x: (-200 * x[:, 0] ** 2).exp(), [-6], [6], [600], 1.0, steps=400)
    (x,) = heat.sides
    assert np.abs(heat.p[-1] - stats.norm.pdf(x, scale=math.sqrt(1 + 1 / 400))).max() < 2e-3


def test_a_separable_law_of_the_plane_is_the_product_of_two_on_the_line():
    one = fokker_planck(lambda x: -x, 1.0, lambda x: (-((x[:, 0] - 1) ** 2)).exp(), [-4], [4], [50], 0.5, steps=200)
    start = lambda x: (-((x - 1) ** 2).sum(1)).exp()  # noqa: E731
    two = fokker_planck(lambda x: -x, 1.0, start, [-4, -4], [4, 4], [50, 50], 0.5, steps=200)
    assert np.allclose(two.p[-1], one.p[-1][:, None] * one.p[-1], atol=2e-4)


def test_noise_in_space_is_ito_s():
    """dx = -x dt + sqrt(2 (1 + x^2)) dW rests at (1 + x^2)^(-3/2): no flux, V p = (D p)'."""
    rest = fokker_planck(
        lambda x: -x,
        lambda x: (2 * (1 + x[:, 0] ** 2)).sqrt(),
        lambda x: (-(x[:, 0] ** 2)).exp(),
        [-9],
        [9],
        [450],
        60.0,
    )
    (x,) = rest.sides
    exact = (1 + x**2) ** -1.5
    assert np.abs(rest.p[-1] - exact / (exact.sum() * rest.volume)).max() < 2e-4
    same = [
        fokker_planck(lambda x: -x, sigma, lambda x: (-(x[:, 0] ** 2)).exp(), [-4], [4], [60], 1.0).p
        for sigma in (0.7, lambda x: 0 * x[:, 0] + 0.7, lambda x, t: 0 * x[:, 0] + 0.7)
    ]
    assert np.allclose(same[0], same[1])
    assert np.allclose(same[0], same[2])


def test_drift_and_noise_in_time():
    """dx = cos(t) dt + (1 + t) dW from N(0, 1/16): mean sin t, variance 1/16 + ((1 + t)^3 - 1) / 3."""
    errors = []
    for steps in (100, 200):
        found = fokker_planck(
            lambda x, t: 0 * x + math.cos(t),
            lambda x, t: 0 * x[:, 0] + 1 + t,
            lambda x: (-8 * x[:, 0] ** 2).exp(),
            *([-12], [12], [800], 1.0),
            steps=steps,
        )
        (x,), p = found.sides, found.p[-1] * found.volume
        mean = (x * p).sum()
        errors.append(max(abs(mean - math.sin(1)), abs(((x - mean) ** 2 * p).sum() - 1 / 16 - 7 / 3)))
    assert errors[0] < 0.03
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)  # of first order in the steps


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0])
def test_the_reversed_diffusion_runs_the_laws_backwards_for_any_alpha(alpha):
    """(135) from p_T to p_t_min, against the exact laws of Ornstein-Uhlenbeck on the way."""
    law = GaussianMixture(torch.tensor([[-1.5], [1.0]], dtype=F), torch.tensor([0.05, 0.2], dtype=F))
    clock, ends = OrnsteinUhlenbeck(), (0.1, 2.0)
    at = lambda t: scaled(law, *clock.marginal(torch.tensor(t, dtype=F)))  # noqa: E731

    def back(x, s):
        score = to_score(Oracle(law), clock)(x, torch.full((len(x),), ends[1] - s, dtype=F))
        return x + (1 + alpha) * score

    found = fokker_planck(
        back, (2 * alpha) ** 0.5, lambda x: at(ends[1])(x).exp(), [-5], [5], [400], ends[1] - ends[0], steps=400
    )
    kl = [found.kl(at(ends[1] - s))[k] for k, s in ((100, found.t[100]), (300, found.t[300]), (400, found.t[400]))]
    assert max(kl) < 2e-3
    assert found.kl(at(ends[1]))[-1] > 0.25  # which is far from where it began


def scaled(law, scale, sigma):
    """log p of x_t = scale (x_0 + sigma z)."""
    noised = law.noised(float(sigma))
    return lambda x: noised.log_prob(x / scale).value - scale.log()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": [2]}, "3 cells"),
        ({"sigma": 0.0}, "above 0"),
        ({"start": lambda x: -x[:, 0]}, "nowhere negative"),
        ({"drift": lambda x: x[:, 0]}, r"a drift gives \[m, 1\]"),
        ({"drift": lambda x: x.numpy()}, "not ndarray"),
        ({"sigma": lambda x: None}, "one for each of"),
        ({"drift": lambda x: x / 0}, "a drift gives .* finite"),
        ({"sigma": lambda x: x}, r"one for each of \[10\] points, not \[10, 1\]"),
        ({"sigma": lambda x: x[:, 0]}, "above 0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    given = {"drift": lambda x: -x, "sigma": 1.0, "start": lambda x: x[:, 0] * 0 + 1, "cells": [10]} | options
    with pytest.raises(BadInput, match=message):
        fokker_planck(low=[-1.0], high=[1.0], t=1.0, **given)
