"""Chains from bad starts, of ugly laws, with wrong options: they move, they end, and they say what is to be doubted."""

import math
import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from monge.densities import Energy, Gaussian, GaussianMixture, Phi4, Rings
from monge.errors import BadInput
from monge.samplers import (
    DoubtfulChains,
    annealed_langevin,
    gibbs,
    hmc,
    mala,
    metropolis_hastings,
    replica_exchange,
    ula,
)
from monge.samplers.chains.walk import as_law

G = torch.Generator().manual_seed(0)
ROWS = torch.stack([torch.ones(1000), 3 * torch.randn(1000, generator=G) + 5], 1)
SEEN = ROWS @ torch.tensor([2.0, -1.0]) + 0.5 * torch.randn(1000, generator=G)
REGRESSION = Energy(lambda b: 2 * (SEEN - b @ ROWS.T).square().sum(1), (2,))


def quiet(run, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtfulChains)
        return run(*args, **{"show": False, **options})


@pytest.mark.parametrize("run", [hmc, mala])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_chain_of_a_regression_stays_where_it_starts(run, seed):
    assert REGRESSION.energy(REGRESSION.scattered(16, seed=seed)).max() > 1e4
    chains = quiet(run, REGRESSION, draws=300, seed=seed)
    assert (chains.x.double().std(1) > 0).all()
    assert (chains.x.mean(1) - torch.tensor([2.0, -1.0])).abs().max() < (
        0.3 if run is hmc else 0.6
    )  # posterior s.d. .03


def test_the_mass_is_found_far_from_zero():
    mean = torch.full((2,), 2e4)
    chains = quiet(hmc, Gaussian(mean, torch.tensor([1.0, 100.0])), draws=300, x=mean)
    spread = (chains.x - mean).double().flatten(0, 1).std(0)
    assert (spread / torch.tensor([1.0, 10.0]) - 1).abs().max() < 0.15
    assert (chains.kernel.variance / torch.tensor([1.0, 100.0])).log().abs().max() < 0.5


def test_a_field_that_is_not_stationary_has_no_mass_in_fourier():
    variances = torch.logspace(-2, 2, 16).reshape(1, 4, 4)
    assert not quiet(hmc, Gaussian(torch.zeros(1, 4, 4), variances), draws=50).kernel.waves
    spectrum = 20 / (1 + torch.fft.fftfreq(16, 1 / 16).square()).reshape(1, 16)
    assert quiet(hmc, Gaussian.stationary(spectrum), draws=50).kernel.waves


@pytest.mark.parametrize(("lam", "start"), [(0.02, 8.0), (0.02, 1e6), (100.0, None)])
def test_heat_bath_ends_and_has_its_law_wherever_it_starts(lam, start):
    law, exact = Phi4((4, 4), 0.05, lam), Energy(Phi4((4, 4), 0.05, lam).energy, (1, 4, 4))
    x = None if start is None else torch.full((1, 4, 4), start)
    square = quiet(gibbs, law, draws=600, chains=8, x=x).x.square().mean((2, 3, 4)).double()
    other = quiet(hmc, exact, draws=200, chains=8).x.square().mean((2, 3, 4)).double()
    error = math.hypot(*(float(v.mean(1).std()) / math.sqrt(8) for v in (square, other)))
    assert abs(float(square.mean() - other.mean())) < 5 * error


def test_chains_that_stand_apart_in_many_dimensions_are_doubted():
    a = 3 * torch.tensor([1.0, -1.0]).repeat(16)
    law = GaussianMixture(torch.stack([a, -a]), torch.ones(2), torch.tensor([0.6, 0.4]))
    chains = quiet(hmc, law, chains=4, draws=800)
    assert any("disagree on where they stand" in doubt for doubt in chains.doubts)
    calm = quiet(hmc, Gaussian(torch.zeros(32), torch.ones(32)), chains=4, draws=1600)
    assert not any("disagree" in doubt for doubt in calm.doubts)


def test_unadjusted_steps_find_their_size_and_say_by_how_much_they_widen():
    one = Gaussian(torch.zeros(1), torch.ones(1))
    wide = quiet(ula, one, h=1.0, draws=600)
    assert abs(wide.wider - 1.0) < 0.1  # variance 1 / (1 - h / 2)
    assert any("widen the law by some 10" in doubt or "widen the law by some 9" in doubt for doubt in wide.doubts)
    for s in (1e-3, 1e3):
        chains = quiet(ula, Gaussian(torch.zeros(1), torch.full((1,), s**2)), draws=400, warmup=400, x=torch.zeros(1))
        assert 0.01 < chains.wider < 0.04
        assert not any("widen" in doubt for doubt in chains.doubts)
    rings = quiet(ula, Rings(), draws=100, chains=4)
    assert rings.x.isfinite().all()
    assert rings.divergences == 0


def test_an_energy_that_is_not_a_number_is_told_as_that():
    law = Energy(lambda x: x[:, 0] - x[:, 0].log(), (1,))  # Gamma(2), nan where x < 0
    chains = quiet(metropolis_hastings, law, x=torch.ones(1), draws=200)
    assert any("met an energy that is not a number" in doubt for doubt in chains.doubts)
    assert not any("corners" in doubt for doubt in chains.doubts)


def test_annealing_ends_at_the_law_even_in_one_level():
    law = Gaussian(torch.zeros(1), torch.ones(1))
    x = annealed_langevin(law, levels=1, chains=2000, steps=40, show=False).x
    assert abs(float(x.var()) - 1) < 4 * math.sqrt(2 / 2000)
    with pytest.raises(BadInput, match="1 level or more"):
        annealed_langevin(law, levels=0, show=False)


def test_options_are_not_swallowed():
    with pytest.raises(BadInput, match="no option darws: did you mean draws"):
        hmc(Gaussian(torch.zeros(1), torch.ones(1)), darws=10)


def test_a_closed_score_is_used():
    class Mine:
        event_shape = (1,)

        def energy(self, x):
            return (x.detach() ** 2).sum(1) / 2  # no gradient

        def score(self, x):
            return -x

    assert as_law(Mine()).energy_and_score(torch.ones(2, 1))[1].tolist() == [[-1.0], [-1.0]]
    assert quiet(hmc, Mine(), draws=50).x.shape == (16, 50, 1)


@pytest.mark.parametrize("run", [hmc, mala, metropolis_hastings])
@pytest.mark.parametrize("s", [1e-9, 1e-3, 1e9])
def test_chains_know_no_unit(run, s):
    law = Gaussian(torch.zeros(2, dtype=torch.float64), s**2 * torch.tensor([1.0, 2.0], dtype=torch.float64))
    chains = quiet(run, law, draws=300)
    ratio = chains.x.flatten(0, 1).var(0) / s**2 / torch.tensor([1.0, 2.0])
    assert (ratio - 1).abs().max() < (0.1 if run is hmc else 0.3)


@pytest.mark.parametrize("s", [1e-4, 1e6])
def test_hamiltonian_chains_of_an_energy_find_its_unit(s):
    law = Energy(lambda x: (x / s).square().sum(1) / 2, (2,), dtype=torch.float64)
    chains = quiet(hmc, law, draws=300)
    assert (chains.x.flatten(0, 1).var(0) / s**2 - 1).abs().max() < 0.1


def test_a_file_of_before_goes_on(tmp_path):
    """Of a version that did not keep all of what is kept now."""
    law, out = Gaussian(torch.zeros(1), torch.ones(1)), tmp_path / "c.safetensors"
    whole = quiet(mala, law, chains=4, draws=20, out=out)
    with safe_open(out, "pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys() if name not in ("broken", "wider")}  # noqa: SIM118
        save_file(kept, out, file.metadata())
    assert torch.equal(quiet(mala, law, chains=4, draws=20, out=out, resume=True).x, whole.x)


@pytest.mark.parametrize("small", [1e-8, 1e-12])
def test_the_mass_of_a_narrow_value_is_its_own(small):
    law = Gaussian(torch.zeros(3, dtype=torch.float64), torch.tensor([small, 1.0, 1.0], dtype=torch.float64))
    chains = quiet(hmc, law, draws=200)
    assert (chains.kernel.variance / law.moments.covariance.eigenvalues).log().abs().max() < 1.0
    assert chains.kernel.h > 0.3


def test_what_breaks_far_away_is_the_step_not_the_energy():
    law = Energy(lambda p: ((1 - p[:, 0]) ** 2 + 100 * (p[:, 1] - p[:, 0] ** 2) ** 2) / 20, (2,))
    assert not any("not a number" in doubt for doubt in quiet(hmc, law, draws=200).doubts)


def test_a_run_goes_on_with_what_it_was_given(tmp_path):
    law, out = Gaussian(torch.zeros(1), torch.ones(1)), tmp_path / "c.safetensors"
    quiet(ula, law, h=0.1, draws=10, out=out)
    with pytest.raises(BadInput, match="with h="):
        ula(law, h=0.2, draws=10, out=out, resume=True)
    quiet(replica_exchange, law, replicas=3, draws=10, out=tmp_path / "r")
    with pytest.raises(BadInput, match="with replicas="):
        replica_exchange(law, replicas=4, draws=10, out=tmp_path / "r", resume=True)
