"""The certificate of a denoiser: exact laws, where bias and variance are known, and identities that faults break."""

import json
import math

import pytest
import torch

from monge.data.fields import c_alpha
from monge.denoisers import Oracle
from monge.densities import Empirical, Gaussian, GaussianMixture, Ising
from monge.errors import BadInput
from monge.evaluation import IDENTITIES, certificate

FAST = tuple(name for name in IDENTITIES if name != "no negative part")


def mixture() -> GaussianMixture:
    means = 2 * torch.randn(4, 6, generator=torch.manual_seed(1))
    return GaussianMixture(means, 0.25 * torch.eye(6).repeat(4, 1, 1), torch.ones(4) / 4)


def spins() -> Empirical:
    """Ising's law on 3 x 3 sites, all of its states, as often as they are likely to a part in 4,096."""
    states = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 9).reshape(-1, 1, 3, 3)
    weights = (-Ising((3, 3), 0.3).energy(states).double()).softmax(0)
    return Empirical(states.repeat_interleave((weights * 4096).round().long(), 0))


LAWS = {
    "gaussian": lambda: Gaussian(torch.zeros(5), torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5, 0.1]))),
    "field": lambda: Gaussian.stationary(
        1 / (0.02 + torch.fft.fftfreq(8)[:, None] ** 2 + torch.fft.fftfreq(8) ** 2)[None]
    ),
    "mixture": mixture,
    "spins": spins,
    "c_alpha": lambda: Empirical(c_alpha(200, 0, size=10, alpha=2.0).x),
}


@pytest.mark.parametrize("name", LAWS)
def test_bias_and_variance_are_the_excess_error(name):
    law = LAWS[name]()
    D, x, unit = Oracle(law), law.sample(400, seed=1), float(law.sample(400, seed=2).std())
    fits = [
        lambda y, s, c=c: c * D(y, s) + 0.05 * unit * torch.tanh((c - 1) * 40 * y / unit) for c in (0.93, 0.98, 1.01)
    ]
    found = certificate(fits[0], x, [0.3 * unit, 0.6 * unit], twins=fits[1:], optimum=D, identities=[])
    for at in found.at:
        assert abs(at.bias.value + at.disagreement.value - at.excess.value) < 3.3 * at.excess.error
        assert at.variance.value == pytest.approx(1.5 * at.disagreement.value)
        if len(x.shape) > 2:
            assert sum(at.bands.values()) == pytest.approx(at.disagreement.value, rel=1e-5)
    assert found.nats.value > found.variance_nats.value * 2 / 3


@pytest.mark.parametrize("name", LAWS)
def test_the_optimal_denoiser_satisfies_every_identity(name):
    law = LAWS[name]()
    unit = float(law.sample(400, seed=2).std())
    found = certificate(Oracle(law), law.sample(300, seed=3), [0.3 * unit, unit], seed=1)
    assert all(found.p_value(identity) > 0.005 for identity in IDENTITIES), str(found)
    assert "symmetric Jacobian" not in found.rejected


PLANTED = {
    "scale": (lambda D, y, s: 0.97 * D(y, s), {"orthogonality", "second-order Tweedie"}),
    "level": (lambda D, y, s: D(y, 1.3 * s), {"second-order Tweedie", "consistency in sigma", "whiteness"}),
    "skew": (
        lambda D, y, s: D(y, s) + 0.1 * torch.cat([-y[:, 1:2], y[:, :1], 0 * y[:, 2:]], 1),
        {"symmetric Jacobian", "loops"},
    ),
    "negative": (lambda D, y, s: D(y, s) - 0.3 * y[:, 4:] * torch.eye(5)[4], {"no negative part"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name):
    law = LAWS["gaussian"]()
    plant, seen = PLANTED[name]
    D, x = Oracle(law), law.sample(1500, seed=5)
    found = certificate(lambda y, s: plant(D, y, s), x, [0.5, 1.0], optimum=D)
    assert seen <= set(found.rejected)
    for at in found.at:  # each bound is one
        for check in at.checks.values():
            if check.cost is not None:
                assert check.cost[0] * at.error.value <= at.bias.value


def test_what_it_costs_the_law_is_above_the_divergence():
    lam, levels = 2.0, torch.logspace(-1.5, 1, 26).tolist()
    law = Gaussian(torch.zeros(1), torch.full((1, 1), lam))
    D = Oracle(law)
    for factor in (0.9, 1.05):
        found = certificate(lambda y, s, c=factor: c * D(y, s), law.sample(4000), levels, optimum=D, identities=[])
        tau, v = levels[-1] ** 2, lam + levels[-1] ** 2  # the variance of the reversed diffusion, by fine steps
        ratio = (levels[0] / levels[-1]) ** (2 / 20000)
        for _ in range(20000):
            new = tau * ratio
            slope = (factor * lam / (lam + tau) - 1) / tau
            v, tau = v + (tau - new) * (2 * slope * v + 1), new
        r = (lam + tau) / v
        divergence = (r - 1 - math.log(r)) / 2
        assert divergence < found.nats.value < 40 * divergence


def test_the_power_that_is_told_is_had():
    law, hits, told = LAWS["gaussian"](), 0, []
    D = Oracle(law)
    for seed in range(60):
        found = certificate(
            lambda y, s: 0.97 * D(y, s), law.sample(200, seed=seed + 10), [0.7], identities=FAST[:1], seed=seed
        )
        hits += found.p_value("orthogonality") <= 0.05
        told.append(found.at[0].checks["orthogonality"].power("scale", 0.03 / 0.97))
    assert abs(hits / 60 - sum(told) / 60) < 0.2


def test_units_and_a_table():
    law = LAWS["gaussian"]()
    D, x = Oracle(law), law.sample(200)
    one = certificate(lambda y, s: 0.9 * D(y, s), x, [0.5])
    for c in (1e-3, 1e3):
        other = certificate(lambda y, s, c=c: 0.9 * c * D(y / c, s / c), c * x, [0.5 * c])
        for name, check in one.at[0].checks.items():
            mine = other.at[0].checks[name]
            assert mine.p_value == pytest.approx(check.p_value, rel=0.05, abs=1e-9)
            assert (mine.cost is None) == (check.cost is None)
            assert mine.cost is None or mine.cost == pytest.approx(check.cost, rel=0.02, abs=1e-6)
            assert mine.value == pytest.approx(check.value, rel=0.02, abs=1e-6)
    assert "do not hold: orthogonality" in str(one)
    assert json.loads(json.dumps(one.to_dict()))["n"] == 200
    assert {finding.name for finding in one.findings()} == set(IDENTITIES) - {
        "consistency in sigma",
        "no negative part",
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"x": torch.zeros(10, 2)}, "20 events or more"),
        ({"x": torch.full((30, 2), math.nan)}, "x must be finite"),
        ({"levels": [0.0, 1.0]}, "above 0"),
        ({"levels": [1.0, 0.5]}, "increasing"),
        ({"levels": []}, "increasing"),
        ({"identities": ["orthogonal"]}, "no identity orthogonal"),
    ],
)
def test_what_cannot_be_certified_is_refused(change, told):
    given = {"x": torch.randn(30, 2), "levels": [1.0]} | change
    with pytest.raises(BadInput, match=told):
        certificate(lambda y, s: y, given.pop("x"), given.pop("levels"), **given)


def test_a_blind_denoiser_is_refused():
    class Blind:
        blind, moments, count = True, None, None

        def rows(self, first, n):
            return self

        def __call__(self, y, sigma):
            return y

    with pytest.raises(BadInput, match="blind"):
        certificate(Blind(), torch.randn(30, 2), [1.0])


def _signs(y, sigma):
    return torch.tanh(y / sigma[:, None] ** 2)


def _sparse(y, sigma):
    odds = math.log(0.004 / 0.996) + (2 * y - 1) / (2 * sigma[:, None] ** 2)
    return torch.sigmoid(odds)


UGLY = {
    "wide": (lambda g: torch.randn(60, 300, generator=g), lambda y, s: y / (1 + s[:, None] ** 2), 1.0),
    "signs": (lambda g: torch.randn(200, 16, generator=g).sign(), _signs, 0.4),
    "sparse": (lambda g: (torch.rand(100, 64, generator=g) < 0.004).float(), _sparse, 0.5),
}


@pytest.mark.parametrize("name", UGLY)
def test_optimal_denoisers_of_ugly_laws_are_not_rejected(name):
    draw, D, sigma = UGLY[name]
    names = ("orthogonality", "whiteness", "second-order Tweedie", "consistency in sigma")
    rejected = dict.fromkeys(names, 0)
    for seed in range(30):
        found = certificate(D, draw(torch.manual_seed(seed)), [sigma], identities=names, seed=seed)
        for identity in found.rejected:
            rejected[identity] += 1
        assert all(check.cost is None or check.cost[0] <= 0.02 for check in found.at[0].checks.values())
    assert max(rejected.values()) <= 5, rejected  # of 30, at 5%: more once in 3,000 times


def test_a_level_alone_costs_nothing_that_could_be_told():
    law = LAWS["gaussian"]()
    found = certificate(lambda y, s: 0.5 * Oracle(law)(y, s), law.sample(50), [1.0], optimum=Oracle(law), identities=[])
    assert found.nats is None
    assert "nats" not in str(found)
    two = certificate(
        lambda y, s: 0.5 * Oracle(law)(y, s), law.sample(50), [1.0, 2.0], optimum=Oracle(law), identities=[]
    )
    assert "between sigma 2 and 1" in str(two)


def test_odd_denoisers_are_judged_or_refused():
    x = torch.randn(40, 3, generator=torch.manual_seed(0)).requires_grad_(True)
    constant = certificate(lambda y, s: torch.zeros_like(y), x, [1.0, 2.0])
    assert "second-order Tweedie" in constant.rejected
    json.dumps(constant.to_dict(), allow_nan=False)
    with pytest.raises(BadInput, match="NaN or infinity at sigma 1"):
        certificate(lambda y, s: y * math.nan, x, [1.0])


def test_coordinates_beyond_the_first_are_looked_at():
    x = torch.randn(300, 100, generator=torch.manual_seed(0))

    def blind_to_the_last(y, sigma):
        answer = y / (1 + sigma[:, None] ** 2)
        return torch.cat([answer[:, :64], 0 * answer[:, 64:]], 1)

    found = certificate(blind_to_the_last, x, [1.0], twins=[lambda y, s: y / (1 + s[:, None] ** 2)])
    assert "whiteness" in found.rejected
    assert sum(found.at[0].bands.values()) == pytest.approx(found.at[0].disagreement.value)
