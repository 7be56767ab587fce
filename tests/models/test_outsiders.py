"""What strangers build on the public surface (`toys.py`) does what it should."""

import json
import math

import pytest
import torch
from toys import Guided, Matching, NeuralEnergy, ToyBigram, ToyEnergy, ToyGaussian, ToyMatching

import monge
from monge import rng
from monge.data import Samples, Scaling
from monge.denoisers import Oracle, Symmetric, Wrapper
from monge.densities import DoubleWell, Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.models import Walker
from monge.nets import Size
from monge.samplers import hmc

SMALL = Size(widths=(16,), blocks=1)


def modes():
    return GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.tensor([0.1, 0.3]), torch.tensor([0.3, 0.7]))


# -- a velocity network ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matching():
    return ToyMatching().fit(Samples(modes().sample(4000)), steps=600, show=False)


def test_flow_matching_draws_the_law_and_knows_its_likelihood(matching):
    x, law = matching.sample(2000), modes()
    left = float((x[:, 0] < 0).double().mean())
    assert abs(left - 0.3) < 0.06  # four standard errors, and what so small a network errs
    assert float(law.log_prob(x).value.mean() - law.log_prob(law.sample(4000)).value.mean()) > -0.5
    assert (
        float(
            matching.log_prob(law.sample(300, seed=9)).value.mean() - law.log_prob(law.sample(300, seed=9)).value.mean()
        )
        > -0.3
    )


def test_a_stranger_s_network_gets_muon():
    model = ToyMatching().fit(Samples(rng.normal((60, 1, 8, 8), 0, "x"), kind="fields"), steps=1, show=False)
    assert len(list(Matching(model).kernels())) == len(model.net.net.kernels()) > 0
    plain = monge.Diffusion(net=torch.nn.Linear(2, 2)).fit(Samples(torch.randn(60, 2)), steps=1, show=False)
    assert list(plain.objectives()[0].kernels()) == []


# -- a guided denoiser -------------------------------------------------------------------------------------------------


def test_a_guided_walk_ends_where_the_guide_leads():
    """Of N(0, 1) guided half way to N(6, 1): N(3, 1), exactly."""
    law = Gaussian(torch.zeros(2), torch.ones(2))
    walker = Walker(Oracle(law), (2,))
    walker.look(law.sample(1000), law)
    through = lambda D: Guided(D, torch.full((2,), 6.0))  # noqa: E731
    x = walker.draw(4000, 0, through=through, nfe=10)
    assert torch.allclose(x.mean(0), torch.full((2,), 3.0), atol=4 / 4000**0.5)
    assert torch.allclose(x.std(0), torch.ones(2), atol=4 / 8000**0.5)
    torch.testing.assert_close(walker.draw(5, 0, 7, through=through, nfe=10), x[7:12])  # but for last digits
    assert abs(float(walker.draw(4000, 0, nfe=10).mean())) < 4 / 8000**0.5  # the plan of the law itself is kept


def test_a_walk_through_a_wrapper_keeps_the_labels_of_its_rows():
    def told(y, sigma, label):
        about = 10.0 * label[:, None]
        return about + (y - about) / (1 + sigma[:, None] ** 2)

    walker = Walker(told, (1,))
    walker.look(torch.cat([torch.randn(500, 1), 10 + torch.randn(500, 1)]))
    label = torch.arange(600) % 2
    for options in ({}, {"through": Symmetric}, {"through": Symmetric, "typical": torch.arange(64) % 2}):
        x = walker.draw(600, 0, label=label, batch_size=100, nfe=10, **options)[:, 0]
        assert torch.allclose(x[::2].mean(), torch.tensor(0.0), atol=4 / 300**0.5)
        assert torch.allclose(x[1::2].mean(), torch.tensor(10.0), atol=4 / 300**0.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda walker: walker.draw(3, 0), "looks at data before it walks"),
        (lambda walker: walker.look(torch.randn(9, 1)), r"events \[2\], and these are \[1\]"),
        (
            lambda walker: walker.look(torch.randn(9, 2)) or walker.draw(3, 0, label=torch.ones(2)),
            "2 labels for 3 rows",
        ),
    ],
)
def test_a_walker_refuses_what_it_cannot_walk(call, words):
    with pytest.raises(BadInput, match=words):
        call(Walker(Oracle(Gaussian(torch.zeros(2), torch.ones(2))), (2,)))


def test_a_look_on_the_way_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("monge.training.loop.WATCH_S", 0.0)
    monkeypatch.setattr("monge.training.loop.WATCH_SHARE", 1e9)
    data = Samples(rng.normal((60, 1, 8, 8), 0, "x"), kind="images")
    options = {"steps": 8, "show": False}
    for make in (lambda: monge.Diffusion(blind=True, net=Size((8,), 1)), lambda: monge.Diffusion(net=Size((8,), 1))):
        alone = make().fit(data, **options)
        seen = make().fit(data, **options, watch=lambda model: model.sample(2, nfe=3, show=False))
        assert torch.equal(seen.sample(4, nfe=5, show=False), alone.sample(4, nfe=5, show=False))
    with pytest.raises(BadInput, match="a model in training is not saved"):
        make().fit(data, **options, watch=lambda model: model.save(tmp_path / "half"))


def test_a_diffusion_is_drawn_through_a_wrapper():
    data = Samples(rng.normal((500, 1, 4, 4), 0, "x"), torch.arange(500) % 2, kind="fields")
    model = monge.Diffusion(net=SMALL).fit(data, steps=60, show=False)
    goal = torch.full((1, 4, 4), 4.0)
    x = model.sample(300, through=lambda D: Guided(D, goal), nfe=8, show=False)
    assert abs(float(x.mean()) - 2.0) < 0.3
    one = model.sample(20, through=Symmetric, label=1, nfe=8, show=False)
    assert one.shape == (20, 1, 4, 4)
    assert torch.allclose(model.sample(5, start=5, through=Symmetric, label=1, nfe=8, show=False), one[5:10], atol=1e-4)
    drawn = model.sample(12, through=Symmetric, nfe=8, show=False)
    for k in (0, 5):  # whatever its company, and its labels
        assert torch.allclose(
            model.sample(1, start=k, through=Symmetric, nfe=8, show=False), drawn[k : k + 1], atol=1e-4
        )
    bare = model.sample(30, through=lambda D: lambda y, sigma: D(y, sigma), nfe=8, batch_size=7, show=False)
    assert torch.allclose(bare, model.sample(30, through=Wrapper, nfe=8, show=False), atol=0.2)
    assert model.sample(3, through=Symmetric, trace=True, show=False).y.shape[1:] == (3, 1, 4, 4)


# -- a neural energy ---------------------------------------------------------------------------------------------------


def test_an_energy_is_learned_from_its_second_derivative():
    """Of a double well by score matching: its score is nearer the law's than the best Gaussian's, and chains go."""
    law = DoubleWell(-2.0, d=1)
    x = quiet(lambda: hmc(law, chains=50, draws=60, warmup=100, show=False).x).flatten(0, 1)
    model = ToyEnergy().fit(Samples(x), steps=500, batch_size=256, lr=5e-3, show=False)
    at = model.scaled(x[:500], 0)
    exact = law.score(x[:500]) * model.scaling.unit
    with torch.no_grad():
        learned = (model.law.score(at) - exact).square().mean()
    assert learned < 0.3 * (-at - exact).square().mean()
    drawn = quiet(lambda: hmc(model.law, chains=16, draws=50, warmup=50, show=False))
    assert not drawn.x.requires_grad
    again = NeuralEnergy((1,))
    again.load_state_dict(model.law.state_dict())
    assert torch.equal(again.energy(at), model.law.energy(at))


def quiet(run):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", monge.samplers.DoubtfulChains)
        return run()


# -- two models that share their units ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: monge.Diffusion(net=SMALL), ToyMatching], ids=["Diffusion", "ToyMatching"])
def test_two_models_share_their_units_and_one_noise_is_one_start(make, tmp_path):
    data = Samples(modes().sample(400) * 3 + 1)
    halves = data.take(range(200)), data.take(range(200, 400))
    first = make().fit(halves[0], steps=20, show=False)
    alone = make().fit(halves[1], steps=20, show=False)
    shared = {"scaling": first.scaling, "moments": first.moments}
    second = make().fit(halves[1], steps=20, show=False, out=tmp_path / "run", **shared)
    assert not torch.equal(alone.scaling.shift, first.scaling.shift)
    assert torch.equal(second.scaling.shift, first.scaling.shift)
    assert torch.equal(second.moments.mean, first.moments.mean)
    assert second.walker.levels() == first.walker.levels() != alone.walker.levels()
    ways = [model.walker.draw(9, 3, nfe=6, trace=True) for model in (first, second)]
    starts = [first.moments.noised(float(way.sigma[0])).whiten(way.y[0]) for way in ways]
    assert torch.allclose(starts[0], starts[1], atol=1e-4)
    again = type(second).load(tmp_path / "run")
    assert torch.equal(again.sample(4), second.sample(4))
    assert set(json.loads((tmp_path / "run" / "model.json").read_text())["shared"]) == {"scaling", "moments"}
    with pytest.raises(BadInput, match="shared="):  # another run than one of its own
        make().fit(halves[1], steps=20, show=False, out=tmp_path / "run", resume=True)
    assert make().fit(halves[1], steps=20, show=False, out=tmp_path / "run", resume=True, **shared).fitted


def test_what_is_shared_is_a_copy_and_levels_are_shared_of_vectors_with_variances_alone():
    """1,100 values that vary together: their longest axis is far longer than any standard deviation."""
    x = rng.normal((80, 1), 0, "x") + 0.1 * rng.normal((80, 1100), 0, "e")
    first = ToyMatching().fit(Samples(x[:40]), steps=1, show=False)
    second = ToyMatching().fit(Samples(x[40:]), steps=1, show=False, scaling=first.scaling, moments=first.moments)
    assert second.walker.levels() == first.walker.levels()
    assert first.walker.levels().sigma_max > 100
    second.double()
    assert first.moments.mean.dtype == torch.float32


INTEGERS = torch.cat([torch.arange(200.0)[:, None] % 7, torch.randn(200, 1)], 1)
STEPS = (torch.rand(200, 2) * 200).round()


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (Samples(STEPS, quantum=1.0, limits=(0.0, 255.0)), Samples(STEPS, quantum=1.0, limits=(0.0, 200.0)), "limits"),
        (Samples(STEPS, quantum=1.0, limits=(0.0, 255.0)), Samples(STEPS), "quantum"),
        (Samples(INTEGERS), Samples(torch.randn(200, 2)), "rounds other columns"),
        (Samples(torch.randn(200, 2)), Samples(STEPS.long(), kind="sequences"), "symbols"),
    ],
)
def test_a_scaling_of_data_of_another_nature_is_refused(first, second, words):
    family = ToyBigram if second.kind == "sequences" else ToyGaussian
    with pytest.raises(BadInput, match=words):
        family().fit(second, scaling=Scaling.fit(first))


UNITS = Scaling.fit(Samples(torch.randn(9, 2)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"moments": Gaussian(torch.zeros(2), torch.ones(2))}, "give that of the same model"),
        ({"scaling": Scaling.fit(Samples(torch.randn(9, 3)))}, r"event_shape \(3,\), and that of data is \(2,\)"),
        (
            {"scaling": Scaling.fit(Samples(torch.randn(9, 2))), "moments": Gaussian(torch.zeros(3), torch.ones(3))},
            r"\[3\]",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(options, words):
    with pytest.raises(BadInput, match=words):
        monge.Diffusion(net=SMALL).fit(Samples(torch.randn(60, 2)), steps=1, show=False, **options)


def test_a_family_without_moments_takes_none():
    data, own = Samples(torch.randn(60, 2)), Gaussian(torch.zeros(2), torch.ones(2))
    with pytest.raises(BadInput, match="ToyGaussian keeps no moments"):
        ToyGaussian().fit(data, scaling=Scaling.fit(data), moments=own)
    other = ToyGaussian().fit(Samples(2 * data.x), scaling=Scaling.fit(data))
    assert torch.allclose(other.std, torch.full((2,), 2.0), rtol=0.3)


# -- sequences ---------------------------------------------------------------------------------------------------------


def chains(n=2000, t=6):
    """A Markov chain on three symbols."""
    step = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
    u, x = rng.uniform((n, t), 0, "u"), [torch.zeros(n, dtype=torch.int64)]
    for k in range(1, t):
        x.append((step[x[-1]].cumsum(1) < u[:, k : k + 1]).sum(1).clamp(max=2))
    return torch.stack(x, 1), step


def test_sequences_are_symbols_from_end_to_end(tmp_path):
    x, step = chains()
    data = Samples(x, kind="sequences", name="chain")
    assert data.limits == (0.0, 2.0)
    assert data.batch([0, 1]).dtype == torch.int64
    model = ToyBigram().fit(data, out=tmp_path / "run")
    assert not model.units.spreads
    y = model.sample(1000)
    assert y.dtype == torch.int64
    assert set(y.flatten().tolist()) == {0, 1, 2}
    found = model.log_prob(x[:50])
    exact = torch.stack([step[x[:50, k], x[:50, k + 1]].log() for k in range(5)]).sum(0)
    assert found.measure == "counting"
    assert torch.allclose(found.value, exact, atol=0.4)
    every = torch.cartesian_prod(*[torch.arange(3)] * 6)
    assert float(model.log_prob(every).value.exp().sum()) == pytest.approx(1, abs=1e-4)  # probabilities
    again = ToyBigram.load(tmp_path / "run")
    assert torch.equal(again.sample(20), y[:20])
    assert "symbols 0 to 2" in again.units.statement
    loaded = monge.data.load(x.numpy(), kind="sequences")
    assert loaded.batch([3]).dtype == torch.int64
    assert loaded.quantum is None
    train, held = data.split(0.25)
    assert train.kind == held.kind == "sequences"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Samples(torch.rand(4, 3), kind="sequences"), "whole numbers"),
        (lambda: monge.data.load(torch.rand(4, 3), kind="sequences"), "not whole"),
        (lambda: monge.data.load(torch.arange(24).reshape(4, 3, 2), kind="sequences"), r"need \[n, T\]"),
        (lambda: Samples(torch.tensor([[0, -1]]), kind="sequences"), "-1 to 0"),
        (lambda: Samples(torch.tensor([[0, 5]]), kind="sequences", limits=(0, 4)), "0 to 4, and these are 0 to 5"),
        (lambda: Samples(torch.tensor([[0, 5]]), kind="sequences", quantum=1.0), "leave quantum out"),
        (
            lambda: monge.Diffusion().fit(Samples(chains(20)[0], kind="sequences")),
            "learns from vectors, images, fields",
        ),
        (lambda: ToyBigram().fit(Samples(torch.randn(20, 2))), "learns from sequences, and data is vectors"),
        (lambda: ToyBigram().fit(Samples(chains(20)[0], kind="sequences")).log_prob(torch.full((1, 6), 7)), "0 to 2"),
    ],
)
def test_what_is_no_sequence_is_refused(call, words):
    with pytest.raises(BadInput, match=words):
        call()


def test_densities_say_by_which_measure():
    spins = monge.densities.Ising((4, 4))
    assert spins.log_prob(torch.ones(1, 1, 4, 4)).measure == "counting"
    assert spins.tempered(0.5).log_prob(torch.ones(1, 1, 4, 4)).measure == "counting"
    assert DoubleWell().log_prob(torch.ones(1, 1)).measure == "lebesgue"
    for call in (
        lambda: spins.transformed(lambda x: (x, torch.zeros(len(x)))),
        lambda: spins + monge.densities.Phi4((4, 4), 0.2, 0.1),
    ):
        with pytest.raises(BadInput, match="measure"):
            call()
    assert math.isfinite(float(spins.log_z))
