"""The contract of a sampler: an exact law stays as it is, within standard errors; runs go on, and say their doubts."""

import math
import warnings

import arviz
import numpy as np
import pytest
import torch

from monge import rng
from monge.densities import DoubleWell, Energy, Gaussian, GaussianMixture, Ising, Phi4
from monge.errors import BadInput
from monge.samplers import (
    DoubtfulChains,
    Hamiltonian,
    LatticeMoves,
    Metropolis,
    annealed_langevin,
    gibbs,
    hmc,
    mala,
    metropolis_hastings,
    replica_exchange,
    simulated_annealing,
    ula,
    wolff,
)

F = torch.float64
GAUSSIAN = Gaussian(torch.tensor([1.0, -2.0], dtype=F), torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=F))

WIDE = Gaussian(torch.zeros(100), torch.ones(100))


class Drift:
    """y = x + 1/2 + z: asymmetric."""

    def draw(self, x, z):
        return x + 0.5 + z

    def log_density(self, x, y):
        return -0.5 * (y - x - 0.5).square().sum(1)


def within(values, exact, most=5.0):
    """Whether the mean of draws [chains, draws] is the exact one within so many standard errors."""
    values = np.asarray(values, dtype=np.float64)
    return abs(values.mean() - exact) < most * np.asarray(arviz.mcse(values)).item()


@pytest.mark.parametrize(
    "sample",
    [
        lambda law, **o: metropolis_hastings(law, **o),
        lambda law, **o: metropolis_hastings(law, proposal=Drift(), **o),
        mala,
        hmc,
        lambda law, **o: replica_exchange(law, replicas=3, hottest=0.2, **o),
        lambda law, **o: replica_exchange(law, replicas=3, hottest=0.2, kernel=Hamiltonian, **o),
    ],
    ids=["walk", "asymmetric", "mala", "hmc", "replicas of mala", "replicas of hmc"],
)
def test_the_law_stays_as_it_is(sample):
    start = GAUSSIAN.sample(64, seed=1)
    chains = sample(GAUSSIAN, x=start, draws=600, warmup=200, show=False)
    x, mean, covariance = chains.x, GAUSSIAN.mean, torch.tensor([[2.0, 0.7], [0.7, 0.5]], dtype=F)
    assert x.shape == (64, 600, 2)
    for i in range(2):
        assert within(x[..., i], float(mean[i]))
        for j in range(2):
            assert within((x - mean)[..., i] * (x - mean)[..., j], float(covariance[i, j]))
    assert within(chains.energy, 1.0)
    assert torch.allclose(chains.energy, GAUSSIAN.energy(x.reshape(-1, 2)).reshape(64, 600))


def test_langevin_s_bias_is_of_first_order_and_its_adjustment_has_none():
    """Of N(0, 1), ULA leaves N(0, 1 / (1 - h / 2)) stationary, exactly."""
    law = Gaussian(torch.zeros(1, dtype=F), torch.ones(1, dtype=F))
    for h in (0.4, 0.2):
        x = ula(law, h=h, chains=2000, draws=100, warmup=60, thin=4, show=False, x=law.sample(2000)).x
        assert within(x[..., 0].square(), 1 / (1 - h / 2))
        assert not within(x[..., 0].square(), 1.0)
        x = mala(law, h=h, chains=2000, draws=100, warmup=0, thin=4, show=False, x=law.sample(2000)).x
        assert within(x[..., 0].square(), 1.0)


def test_hamiltonian_warm_up_finds_the_scales_and_long_waves_move_as_fast_as_short_ones():
    k = torch.fft.fftfreq(16, 1 / 16, dtype=F)
    spectrum = (1 / (0.05 + k[:, None] ** 2 + k[None] ** 2))[None]
    law = Gaussian.stationary(spectrum)
    plain, fourier = (
        hmc(law, fourier=way, chains=16, draws=120, warmup=200, show=False, observe={"M": lambda x: x.mean((1, 2, 3))})
        for way in (False, True)
    )
    assert (fourier.kernel.variance / spectrum).log().abs().max() < 0.5
    ess = [float(arviz.ess(chains.observed["M"].numpy())) for chains in (plain, fourier)]
    assert ess[1] > 10 * ess[0]
    assert within(fourier.observed["M"].square(), 20 / 256)


@pytest.mark.parametrize(("chains", "warmup"), [(1, 10), (1, 200), (2, 40)])
@pytest.mark.filterwarnings("ignore::monge.samplers.DoubtfulChains")
def test_a_short_warm_up_of_few_chains_does_no_harm(chains, warmup):
    found = hmc(DoubleWell(), chains=chains, draws=100, warmup=warmup, show=False)
    assert found.divergences == 0
    assert found.acceptance.min() > 0.3


def test_replicas_cross_the_barrier_and_mala_says_that_it_does_not():
    law, start = DoubleWell(mu=-4.0), torch.tensor([2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = replica_exchange(law, x=start, chains=400, replicas=4, hottest=0.1, draws=1000, warmup=200, show=False)
    right = (found.x > 0).float().mean()
    assert abs(float(right) - 0.5) < 0.01
    assert found.swaps.min() > 0.3
    with pytest.warns(DoubtfulChains, match="disagree|are worth"):
        alone = mala(law, x=start, chains=16, draws=500, warmup=200, show=False)
    assert alone.doubts


def test_the_ladder_swaps_at_equal_rates():
    law = GaussianMixture(torch.tensor([[-8.0], [8.0]], dtype=F), torch.tensor([1.0, 1.0], dtype=F))
    found = replica_exchange(law, chains=64, replicas=5, hottest=0.02, draws=300, warmup=400, show=False)
    assert found.swaps.max() - found.swaps.min() < 0.15
    assert within((found.x > 0)[..., 0].double(), 0.5)


def test_the_ising_model_at_its_transition():
    law = Ising((8, 8))
    for sample, thin in ((wolff, 1), (gibbs, 10)):
        chains = sample(law, chains=32, draws=400, warmup=200, thin=thin, show=False)
        assert within(chains.energy / (law.beta * 64), law.exact_energy())
    assert chains.x.unique().tolist() == [-1, 1]


def test_a_lattice_of_32_at_its_transition_has_kaufman_s_energy():
    law = Ising((32, 32))
    chains = wolff(law, chains=16, draws=600, warmup=200, keep=False, show=False)
    assert within(chains.energy / (law.beta * 1024), law.exact_energy(), most=3)


def test_twenty_five_modes_have_their_weights():
    side = torch.arange(5, dtype=F) * 2 - 4
    weights = 1 + torch.arange(25, dtype=F) % 3
    law = GaussianMixture(torch.cartesian_prod(side, side), torch.full((25,), 0.05, dtype=F), weights)
    chains = replica_exchange(law, chains=400, replicas=5, hottest=0.03, draws=200, warmup=200, show=False)
    nearest = torch.cdist(chains.x.double(), law.means).argmin(-1)
    for k in range(25):
        assert within((nearest == k).double(), float(law.weights[k]), most=4)  # the largest of 25, at 3 alone


@pytest.mark.parametrize("shape", [(6,), (3, 4), (2, 3, 3)])
def test_spins_on_any_lattice_have_their_exact_law(shape):
    """Against the sum over all states, of a lattice with sides odd, even, and of two sites."""
    law, sites = Ising(shape, 0.3), math.prod(shape)
    codes = np.arange(2**sites)[:, None] >> np.arange(sites) & 1
    every = torch.from_numpy(2.0 * codes - 1).reshape(-1, 1, *shape)
    energy = law.energy(every)
    p = (-energy).softmax(0)
    exact = float((p * energy).sum()), float((p * every.flatten(1).sum(1).abs()).sum())
    for sample in (
        wolff,
        gibbs,
        lambda law, **o: replica_exchange(law, kernel=LatticeMoves, replicas=2, hottest=0.5, **o),
    ):
        chains = sample(law, chains=64, draws=400, warmup=50, show=False)
        assert within(chains.energy, exact[0])
        assert within(chains.x.flatten(2).sum(2).abs(), exact[1])


@pytest.mark.parametrize("field", [0.0, 0.1])
def test_phi4_by_clusters_by_heat_bath_and_by_hamiltonian_are_one_law(field):
    law = Phi4((6, 6), kappa=0.25, lam=0.5, field=field)
    options = {"chains": 64, "draws": 400, "show": False}
    observe = {"|M|": lambda x: x.mean((1, 2, 3)).abs(), "M": lambda x: x.mean((1, 2, 3))}
    found = [sample(law, observe=observe, **options) for sample in (wolff, gibbs, hmc)]
    for value in (lambda c: c.energy, lambda c: c.observed["|M|"], lambda c: c.observed["M"]):
        means = [float(value(c).double().mean()) for c in found]
        errors = [np.asarray(arviz.mcse(value(c).double().numpy())).item() for c in found]
        for i in (1, 2):
            assert abs(means[0] - means[i]) < 5 * math.hypot(errors[0], errors[i])
    # the virial theorem: E x . dU/dx = number of values
    virial = (
        -(found[0].x[:, ::8] * law.score(found[0].x[:, ::8].flatten(0, 1)).unflatten(0, (64, -1))).flatten(2).sum(2)
    )
    assert within(virial, 36)


def test_below_its_transition_phi4_visits_both_signs():
    chains = wolff(
        Phi4((16, 16), 0.30, 0.02),
        chains=8,
        draws=400,
        keep=False,
        show=False,
        observe={"M": lambda x: x.mean((1, 2, 3))},
    )
    m = chains.observed["M"].double()
    assert m.abs().mean() > 1
    assert bool(((m > 0).double().mean(1) - 0.5).abs().max() < 0.25)  # in each chain
    assert within(m, 0.0)


def test_annealing_finds_the_modes_and_the_lowest_energy():
    law = GaussianMixture(torch.tensor([[-3.0], [3.0]]), torch.tensor([0.5, 0.5]))
    levels = [law.noised(s) for s in (6.0, 3.0, 1.5, 0.7, 0.3, 0.0)]
    x = annealed_langevin(levels, chains=1000, steps=60, show=False).x[:, 0, 0]
    assert abs(float((x > 0).float().mean()) - 0.5) < 5 * 0.5 / 1000**0.5
    assert abs(float(x.abs().mean()) - 3) < 0.1
    tilted = Energy(lambda x: 0.25 * x[:, 0] ** 4 - 2 * x[:, 0] ** 2 + x[:, 0], (1,))
    x = simulated_annealing(tilted, chains=64, steps=60, show=False).x
    assert float((x < 0).float().mean()) > 0.9


def test_a_chain_is_the_same_whatever_the_others_are():
    for sample, law in ((mala, GAUSSIAN), (metropolis_hastings, GAUSSIAN), (wolff, Phi4((4, 4), 0.2, 0.1))):
        x = rng.normal((6, *law.event_shape), 0, "start", dtype=F)
        options = {"draws": 20, "warmup": 0, "show": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole, part = sample(law, x=x, **options).x, sample(law, x=x[:3], **options).x
        assert torch.allclose(part, whole[:3], atol=1e-10)


@pytest.mark.parametrize(
    ("sample", "law"),
    [
        (hmc, GAUSSIAN),
        (lambda law, **o: replica_exchange(law, replicas=3, kernel=Metropolis, **o), GAUSSIAN),
        (wolff, Phi4((4, 4), 0.2, 0.1)),
    ],
)
@pytest.mark.parametrize("stop", [30, 70])
@pytest.mark.filterwarnings("ignore::monge.samplers.DoubtfulChains")
def test_a_run_that_is_stopped_goes_on_to_the_same_draws(sample, law, stop, tmp_path, monkeypatch):
    options = {"chains": 4, "draws": 40, "warmup": 50, "show": False}
    whole = sample(law, **options)
    from monge.samplers.chains import walk

    step, out = walk.Walk.step, tmp_path / "run.safetensors"

    def stopping(self):
        if self.state.steps == stop:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(walk.Walk, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        sample(law, out=out, **options)
    monkeypatch.setattr(walk.Walk, "step", step)
    resumed = sample(law, out=out, resume=True, **options)
    assert torch.equal(resumed.x, whole.x)
    assert torch.equal(resumed.energy, whole.energy)
    again = sample(law, out=out, resume=True, **options)
    assert torch.equal(again.x, whole.x)
    with pytest.raises(BadInput, match="exists already"):
        sample(law, out=out, **options)
    with pytest.raises(BadInput, match="of another run, with seed=0"):
        sample(law, out=out, resume=True, seed=1, **options)
    out.write_bytes(b"something else")
    with pytest.raises(BadInput, match="not a file of chains"):
        sample(law, out=out, resume=True, **options)


def test_what_is_kept_and_what_arviz_gets(tmp_path):
    chains = mala(GAUSSIAN, chains=4, draws=400, observe={"r": lambda x: x.norm(dim=1)}, show=False)
    data = chains.to_arviz()
    assert data.posterior["x"].shape == (4, 400, 2)
    assert set(data.posterior) == {"x", "r"}
    table = arviz.summary(data, round_to="none")
    own = chains.summary()
    assert own["r"]["ess"] == pytest.approx(table.loc["r", "ess_bulk"], rel=1e-6)
    assert own["x1"]["r_hat"] == pytest.approx(table.loc["x[0]", "r_hat"], rel=1e-6)
    data.to_netcdf(tmp_path / "chains.nc")
    few = mala(GAUSSIAN, chains=4, draws=400, keep=False, show=False)
    assert torch.equal(few.x[:, 0], mala(GAUSSIAN, chains=4, draws=400, show=False).x[:, -1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mala(Energy(lambda x: x.sum(1) * math.nan, (2,))), "energy where chain 0 starts is nan"),
        (lambda: mala(Energy(lambda x: x, (2,))), r"shape \[16\], not \[16, 2\]"),
        (lambda: mala(Energy(lambda x: x.detach().sum(1), (2,))), "no gradient"),
        (lambda: mala(3.0), "give a law"),
        (lambda: mala(GAUSSIAN, h=0.0), "h must be above 0"),
        (lambda: mala(GAUSSIAN, draws=0), "1 or more"),
        (lambda: mala(GAUSSIAN, draws=10**12), "too many for .* GB of memory: keep only what is observed"),
        (lambda: hmc(Phi4((4, 4), 0.2, 0.1), x=torch.zeros(2, 1, 4, 5)), r"events of shape \[1, 4, 4\]"),
        (lambda: wolff(GAUSSIAN), "for Ising and Phi4"),
        (lambda: mala(Ising((4, 4))), "no score"),
        (lambda: replica_exchange(GAUSSIAN, betas=torch.tensor([1.0, 1.0])), "fall from 1"),
        (lambda: replica_exchange(GAUSSIAN, betas=torch.tensor([1.0, -0.5])), "fall from 1"),
        (lambda: replica_exchange(GAUSSIAN, replicas=1), "2 replicas"),
        (lambda: mala(GAUSSIAN, draws=3, observe={"x": lambda x: x}, show=False), "a number for each of 16 chains"),
        (lambda: simulated_annealing(GAUSSIAN, hottest=2.0, coldest=1.0), "not below"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, message):
    with pytest.raises(BadInput, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metropolis_hastings(GAUSSIAN, size=1e6, warmup=0, draws=50, show=False),
            "of the proposals were accepted",
        ),
        (
            lambda: replica_exchange(WIDE, betas=torch.tensor([1.0, 0.1]), draws=50, warmup=100, show=False),
            "replicas 0 and 1 swapped",
        ),
        (lambda: ula(DoubleWell(), h=5.0, draws=50, show=False), "steps diverged"),
        (lambda: mala(DoubleWell(), draws=20, warmup=50, show=False), "are worth"),
    ],
)
def test_chains_that_should_not_be_believed_say_so(call, message):
    with pytest.warns(DoubtfulChains, match=message):
        chains = call()
    assert chains.doubts
