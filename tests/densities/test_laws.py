"""Laws by their energy: their algebra, and their exact answers against sums over all states and integrals."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from monge import rng
from monge.bijectors import Elementwise
from monge.densities import (
    Banana,
    DoubleWell,
    Empirical,
    Energy,
    Funnel,
    Gaussian,
    GaussianMixture,
    Ising,
    Law,
    Moons,
    Phi4,
    Pinwheel,
    Rings,
)
from monge.errors import BadInput
from monge.samplers import annealed_langevin, mala, simulated_annealing

F = torch.float64


@pytest.mark.parametrize(("mu", "b"), [(-4.0, 1.0), (-0.3, 2.0), (0.0, 1.5), (2.0, 0.7), (-40.0, 1.0)])
def test_the_double_well_is_normalised(mu, b):
    x = torch.linspace(-12, 12, 40_001, dtype=F)[:, None]
    law = DoubleWell(mu, b)
    assert float(law.log_prob(x).value.exp().sum() * 24 / 40_000) == pytest.approx(1, abs=1e-9)
    assert DoubleWell(mu, b, d=3).log_z == pytest.approx(3 * law.log_z)


LAWS = pytest.mark.parametrize(
    "law",
    [
        DoubleWell(d=2),
        Funnel(d=3),
        Phi4((5,), kappa=0.2, lam=0.3, field=0.4),
        Phi4((4, 3), kappa=0.2, lam=0.1),
        Phi4((3, 4, 3), kappa=0.15, lam=0.1, field=-0.2),
        DoubleWell(d=2).tempered(0.3),
        DoubleWell(d=2) + Gaussian(torch.zeros(2, dtype=F), torch.ones(2, dtype=F)),
        Gaussian(torch.zeros(2, dtype=F), torch.ones(2, dtype=F)).tempered(2.0),
        Funnel(d=2).transformed(Elementwise((2,), scale=2.0, shift=1.0).double()),
        Energy(lambda x: (x**4).sum(1), (2,)),
        Energy(lambda x: (x**4).sum(1), (2,), score=lambda x: -4 * x**3),
        Gaussian(torch.ones(2, dtype=F), torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F)),
        Gaussian.stationary(torch.tensor([[3.0, 1.0, 0.5, 1.0]], dtype=F)),
        GaussianMixture(torch.eye(2, dtype=F), torch.tensor([0.3, 0.5], dtype=F)),
        Empirical(torch.eye(2, dtype=F), 0.7),
        Rings(noise=0.3),
        Moons(noise=0.3, points=50),
        Banana(),
    ],
    ids=lambda law: type(law).__name__,
)


@LAWS
def test_the_score_is_minus_the_gradient_of_the_energy(law):
    x = rng.normal((6, *law.event_shape), 0, "x", dtype=F).requires_grad_()
    (gradient,) = torch.autograd.grad(law.energy(x).sum(), x)
    energy, score = law.energy_and_score(x.detach())
    assert torch.allclose(score, -gradient, rtol=1e-9, atol=1e-9)
    assert torch.allclose(law.score(x.detach()), score)
    assert torch.allclose(energy, law.energy(x.detach()))


@LAWS
def test_energy_and_score_can_be_differentiated_again(law):
    x = rng.normal((4, *law.event_shape), 0, "x", dtype=F).requires_grad_()
    v = rng.normal((4, *law.event_shape), 0, "v", dtype=F)
    (slope,) = torch.autograd.grad(law.energy(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope, x, v)
    energy, score = law.energy_and_score(x)
    assert torch.allclose(torch.autograd.grad(energy.sum(), x, retain_graph=True)[0], slope, atol=1e-9)
    assert torch.allclose(torch.autograd.grad(score, x, -v)[0], bend, rtol=1e-6, atol=1e-8)


class Learned(Law):
    """A law without super().__init__(), and with something to learn."""

    def __init__(self):
        self.event_shape, self.net = (3,), nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1)).double()

    def energy(self, x):
        return self.net(x)[:, 0] + 0.5 * x.square().sum(1)


def test_a_law_is_a_module_that_learns():
    law, x = Learned(), rng.normal((64, 3), 0, "x", dtype=F)
    assert len(list(law.parameters())) == 4
    assert not law.double().score(x.clone().requires_grad_(False)).isnan().any()
    weight = law.net[0].weight
    loss = law.score(x).square().sum(1).mean()
    (slope,) = torch.autograd.grad(loss, weight)
    step = torch.zeros_like(weight)
    step[0, 0] = 1e-6
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
            losses.append(law.score(x).square().sum(1).mean())
            weight -= sign * step
    assert float(slope[0, 0]) == pytest.approx(float(losses[0] - losses[1]) / 2e-6, rel=1e-4)
    with torch.no_grad():
        assert not law.energy_and_score(x)[0].requires_grad
    moved = Energy(law.net, (3,))
    assert [name for name, _ in moved.named_parameters()][:1] == ["function.0.weight"]


@pytest.mark.filterwarnings("ignore::monge.samplers.DoubtfulChains")
def test_chains_of_a_law_that_learns_keep_no_graph():
    chains = mala(Learned(), draws=5, warmup=5, x=torch.zeros(3, dtype=F, requires_grad=True), show=False)
    assert not chains.x.requires_grad
    assert not chains.energy.requires_grad


def test_a_law_goes_into_another_precision_with_all_its_tensors():
    mixture, field = GaussianMixture(torch.eye(2), torch.ones(2)), Gaussian.stationary(torch.ones(1, 4))
    for law in (mixture, field, DoubleWell(), mixture.tempered(0.5), mixture + mixture):
        assert law.double().dtype == F
        assert law.scattered(2).dtype == F
    assert mixture.sample(3).dtype == field.sample(3).dtype == field.covariance.eigenvalues.dtype == F
    assert not mixture.state_dict()  # of what is learned


def test_a_gaussian_that_is_learned_knows_its_z():
    v = torch.ones(2, dtype=F, requires_grad=True)
    law, x = Gaussian(torch.zeros(2, dtype=F), v), rng.normal((50, 2), 0, "x", dtype=F)
    for _ in range(2):  # a graph of its own each time
        torch.autograd.grad(law.log_prob(x).value.sum(), v)
    with torch.no_grad():
        v *= 9
    fresh = Gaussian(torch.zeros(2, dtype=F), 9 * torch.ones(2, dtype=F))
    assert torch.allclose(law.log_prob(x).value, fresh.log_prob(x).value)
    plain = Gaussian(torch.zeros(2, dtype=F), torch.ones(2, dtype=F))
    before = plain.log_prob(x).value
    plain.covariance.eigenvalues.mul_(9)
    assert torch.allclose(plain.log_prob(x).value, fresh.log_prob(x).value)
    plain.covariance = plain.covariance.scaled(1 / 9)
    assert torch.allclose(plain.log_prob(x).value, before)


def test_what_a_law_is_made_of_is_learned_where_it_is_a_parameter():
    mean = nn.Parameter(torch.zeros(2))
    for law in (Gaussian(mean, torch.ones(2)), GaussianMixture(mean[None].detach().requires_grad_(), torch.ones(1))):
        assert law.log_prob(torch.ones(3, 2)).value.requires_grad
    assert [name for name, _ in Gaussian(mean, torch.ones(2)).named_parameters()] == ["mean"]
    assert list(Gaussian(mean, torch.ones(2)).state_dict()) == ["mean"]
    for law in (Rings(), Banana(), Funnel(2)):
        assert law.double().sample(2).dtype == F
        assert torch.allclose(type(law)(*([2] if isinstance(law, Funnel) else [])).sample(2).double(), law.sample(2))


def test_laws_come_as_dataclasses_and_through_the_door():
    @dataclass
    class Quartic(Law):
        power: float = 4.0
        event_shape: tuple = (2,)

        def energy(self, x):
            return (x.abs() ** self.power).sum(1)

    @dataclass(frozen=True)
    class Frozen(Law):
        power: float = 4.0
        event_shape: tuple = (2,)
        energy = Quartic.energy

    for law in (Quartic(2.0), Frozen(2.0)):
        assert law.score(torch.ones(1, 2)).tolist() == [[-2.0, -2.0]]
        assert law.double().dtype == F

    class Late(Law):
        def __init__(self):
            self.event_shape, self.net = (1,), nn.Linear(1, 1)
            super().__init__()

        def energy(self, x):
            return self.net(x)[:, 0]

    assert len(list(Late().parameters())) == 2
    ones = torch.ones(2, 2, dtype=torch.int64)
    for law in (Funnel(2), Pinwheel(), Quartic(2.0)):
        assert torch.allclose(law.score(ones), law.score(ones.float()))
        assert law.score(ones.half()).dtype == torch.float32


@pytest.mark.filterwarnings("ignore::monge.samplers.DoubtfulChains")
def test_annealed_chains_of_a_law_that_learns_keep_no_graph():
    for run in (annealed_langevin, simulated_annealing):
        assert not run(Learned().double(), chains=4, steps=2, levels=2, show=False).x.requires_grad


def test_z_is_known_where_it_can_be():
    x = torch.linspace(-20, 20, 40_001, dtype=F)[:, None]
    one, other = (Gaussian(torch.full((1,), m, dtype=F), torch.full((1,), v, dtype=F)) for m, v in ((0, 1), (1, 0.3)))
    map_ = Elementwise((1,), scale=2.0, shift=0.5).double()
    for law in (one + other, one.tempered(0.3), DoubleWell(-2.0).tempered(0.5), DoubleWell().transformed(map_), one):
        assert law.tempered(1).log_z == law.log_z
        assert float(law.log_prob(x).value.detach().exp().sum() * 1e-3) == pytest.approx(1, abs=1e-6), law
    dense = Gaussian(torch.ones(2, dtype=F), torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F))
    both, grid = dense + dense.noised(1.0), torch.cartesian_prod(*[torch.linspace(-12, 12, 601, dtype=F)] * 2)
    assert float(both.log_prob(grid).value.exp().sum() * 0.04**2) == pytest.approx(1, abs=1e-6)
    for law in (dense.tempered(0.0), Rings().tempered(0.5), Rings() + Rings()):
        with pytest.raises(BadInput, match="unknown"):
            law.log_prob(grid[:2])


def test_the_algebra_of_energies():
    x = rng.normal((5, 2), 0, "x", dtype=F)
    wide, narrow = (Gaussian(torch.zeros(2, dtype=F), v * torch.ones(2, dtype=F)) for v in (4.0, 1.0))
    assert torch.allclose(narrow.tempered(0.25).energy(x), wide.energy(x))
    assert torch.allclose((narrow + narrow).energy(x), narrow.tempered(2.0).energy(x))
    mixture = GaussianMixture(torch.zeros(1, 2, dtype=F), torch.ones(1, dtype=F))
    assert torch.allclose((mixture + Rings()).energy(x), mixture.energy(x) + Rings().energy(x))
    map_ = Elementwise((2,), scale=2.0, shift=0.5).double()
    exact = Gaussian(torch.full((2,), -0.5, dtype=F), 0.25 * torch.ones(2, dtype=F))
    assert torch.allclose(narrow.transformed(map_).log_prob(x).value, exact.log_prob(x).value)
    assert isinstance(narrow, Law)


def test_the_funnel_is_normalised_and_drawn():
    law = Funnel(d=2, scale=1.0)
    side = torch.linspace(-40, 40, 2001, dtype=F)
    total = (
        law.log_prob(torch.cartesian_prod(torch.linspace(-5, 5, 501, dtype=F), side)).value.exp().sum() * 0.02 * 0.04
    )
    assert float(total) == pytest.approx(1, abs=2e-3)
    x = Funnel(d=3, scale=1.0).sample(40_000, dtype=F)
    scaled = x[:, 1:] * (-0.5 * x[:, :1]).exp()
    assert abs(float(scaled.var()) - 1) < 5 * math.sqrt(2 / 80_000)


@pytest.mark.parametrize(
    ("shape", "beta"), [((4, 4), 0.44), ((3, 4), 0.2), ((4, 3), 0.7), ((3, 3), 0.0), ((4, 4), 1.5)]
)
def test_kaufman_s_sum_is_the_sum_over_all_states(shape, beta):
    law, sites = Ising(shape, beta), math.prod(shape)
    codes = np.arange(2**sites)[:, None] >> np.arange(sites) & 1
    x = torch.from_numpy(2.0 * codes - 1).reshape(-1, 1, *shape)
    energy = law.energy(x)
    assert law.log_z == pytest.approx(float((-energy).logsumexp(0)), rel=1e-10)
    if beta:
        bonds = (energy / beta * (-energy - law.log_z).exp()).sum() / sites
        assert law.exact_energy() == pytest.approx(float(bonds), rel=1e-6)


def test_onsager_is_the_limit_of_kaufman():
    for beta in (0.3, 0.6):
        assert Ising((64, 64), beta).exact_energy() == pytest.approx(Ising((64, 64), beta).onsager_energy(), abs=1e-6)
    critical = Ising((32, 32))
    assert critical.onsager_energy() == pytest.approx(-math.sqrt(2))
    assert critical.exact_energy() == pytest.approx(-1.4340, abs=5e-4)  # -sqrt 2 - .63 / 32
    assert critical.onsager_magnetisation() == 0
    assert Ising((8, 8), 0.5).onsager_magnetisation() == pytest.approx(0.911319, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DoubleWell(b=0.0), "b > 0"),
        (lambda: Funnel(d=1), "d >= 2"),
        (lambda: Phi4((1, 4), 0.2, 0.1), "sides of 2 sites"),
        (lambda: Phi4((4, 4), 0.3, 0.0), "not bounded below"),
        (lambda: Phi4((4, 4), 0.2, 0.1).energy(torch.zeros(2, 1, 5, 4)), r"events of shape \[1, 4, 4\]"),
        (lambda: Ising((4, 4), -0.1), "0 or more, not -0.1"),
        (lambda: Ising((4, 4)).energy(torch.zeros(1, 1, 4, 4)), r"\+1 or -1"),
        (lambda: Ising((4, 4)).score(torch.ones(1, 1, 4, 4)), "no score"),
        (lambda: Ising((4, 4, 4), 0.2).exact_energy(), "2 dimensions, not 3"),
        (lambda: DoubleWell().tempered(-1.0), "0 or more, not -1"),
        (lambda: DoubleWell(d=2) + Funnel(d=3), "one shape"),
        (lambda: Energy(lambda x: x, (2,)).energy(torch.zeros(3, 2)), r"shape \[3\], not \[3, 2\]"),
        (lambda: Energy(lambda x: 1.0, (2,)).energy(torch.zeros(3, 2)), "not float"),
        (lambda: Energy(lambda x: x.detach().sum(1), (2,)).score(torch.zeros(3, 2)), "no gradient"),
        (lambda: Energy(lambda x: x.sum(1), (2,)).log_prob(torch.zeros(3, 2)), "unknown"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(BadInput, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
