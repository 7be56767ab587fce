"""Labels, vectors and objects, all the way: from the data to what is asked of a fitted diffusion."""

import json
import warnings

import pytest
import torch

import monge
from monge import rng
from monge.data import Samples
from monge.densities import Gaussian, GaussianMixture
from monge.errors import BadInput
from monge.nets import MLP, Size
from monge.noise import OrnsteinUhlenbeck, VarianceExploding

MEANS = torch.tensor([[4.0, 0.0], [-3.0, 3.0], [0.0, -4.0]])
STD = torch.tensor([[0.5, 0.5], [0.8, 0.3], [0.3, 0.8]])


def labelled(n=6000):
    y = (rng.uniform((n, 1), 0, "which")[:, 0] * 3).long().clamp(max=2)
    return Samples(MEANS[y] + STD[y] * rng.normal((n, 2), 0, "z"), y, classes=("east", "west", "south"))


@pytest.fixture(scope="module")
def model():
    return monge.Diffusion(net=Size(widths=(64,), blocks=2)).fit(labelled(), steps=800, show=False)


@pytest.mark.parametrize(("label", "k"), [("east", 0), (1, 1), (torch.tensor(2), 2)])
def test_a_label_draws_its_own_law(model, label, k):
    n = 1500
    x = model.sample(n, label=label)
    assert (torch.cdist(x, MEANS).argmin(1) == k).double().mean() > 0.99
    # Monte Carlo error, and a twentieth of the whole's deviation for what 800 steps have not learned
    whole = labelled().x.std(0)
    assert ((x.mean(0) - MEANS[k]).abs() < 4 * STD[k] / n**0.5 + whole / 20).all()
    assert ((x.std(0) - STD[k]).abs() < 4 * STD[k] / (2 * n) ** 0.5 + whole / 20).all()


def test_no_label_draws_the_law_of_all(model):
    n = 3000
    share = torch.bincount(torch.cdist(model.sample(n), MEANS).argmin(1), minlength=3) / n
    assert ((share - 1 / 3).abs() < 4 * (2 / 9 / n) ** 0.5 + 0.03).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_label_each_belongs_to_its_row_whatever_the_batch(model, alpha):
    asked = [0, 1, 2, 2, 1, 0, 1]
    x = model.sample(7, label=asked, alpha=alpha, batch_size=3)
    for k in range(3):
        mine = torch.tensor(asked) == k
        assert torch.allclose(x[mine], model.sample(7, label=k, alpha=alpha)[mine], atol=1e-4)
    names = ["east", "west", "south", "south", "west", "east", "west"]
    assert torch.allclose(model.sample(7, label=names, alpha=alpha), x, atol=1e-4)
    way = model.sample(7, label=asked, alpha=alpha, batch_size=3, trace=True)
    assert torch.allclose(way.x, x, atol=1e-4)


def test_density_latent_and_denoiser_take_a_label(model):
    data = labelled(90)
    laws = [Gaussian(MEANS[k], STD[k].square()) for k in range(3)]
    exact = torch.stack([laws[int(k)].log_prob(x[None]).value[0] for x, k in zip(data.x, data.y, strict=True)])
    told, whole = model.log_prob(data.x, label=data.y), model.log_prob(data.x)
    gap = exact - told.value
    assert abs(gap.mean()) < 4 * gap.std() / 90**0.5 + 0.1
    # knowing which of three separate parts a point is of is worth log 3
    assert abs((told.value - whole.value).mean() - torch.tensor(3.0).log()) < 0.15
    z = model.encode(data.x, label=data.y)
    assert (model.decode(z, label=data.y) - data.x).abs().max() < 0.05
    noisy = torch.zeros(3, 2)
    assert torch.allclose(model.denoise(noisy, 20.0, label=[0, 1, 2]), MEANS, atol=0.6)


def test_labels_go_through_the_folder(model, tmp_path):
    model.save(tmp_path)
    again = monge.load(tmp_path)
    assert again.labels == model.labels
    assert torch.equal(again.sample(3, label="west"), model.sample(3, label="west"))


@pytest.mark.parametrize("label", ["north", 3, -1, [0, 1], 0.5])
def test_a_label_that_was_not_trained_on_is_refused(model, label):
    for use in (model.sample, lambda n, label: model.log_prob(torch.zeros(n, 2), label=label)):
        with pytest.raises(BadInput, match=r"east, west, south|one for each of 3"):
            use(3, label=label)


def test_data_or_networks_without_labels_take_none():
    x = rng.normal((60, 2), 0, "x")
    plain = monge.Diffusion().fit(x, steps=1, show=False)
    with pytest.raises(BadInput, match="trained without labels"):
        plain.sample(2, label=0)
    with pytest.raises(BadInput, match="has no labels"):
        monge.Diffusion(labels=True).fit(x, steps=1, show=False)
    with pytest.raises(BadInput, match="the network takes none"):
        monge.Diffusion(labels=True, net=torch.nn.Linear(2, 2)).fit(labelled(60), steps=1, show=False)
    for model in (monge.Diffusion(labels=False), monge.Diffusion(net=torch.nn.Linear(2, 2))):
        assert model.fit(labelled(60), steps=1, show=False).labels is None
        assert model.record["labels"] is None
    with pytest.raises(BadInput, match="label_dropout"):
        monge.Diffusion(label_dropout=1.5)


def test_vectors_take_the_same_road():
    """x = c + noise: asked for c, the samples are around c; not asked, they are spread as c was."""
    c = 3 * rng.uniform((4000, 1), 0, "c") - 1.5
    data = Samples(torch.cat([c, -c], 1) + 0.2 * rng.normal((4000, 2), 0, "n"), c)
    model = monge.Diffusion(net=Size(widths=(64,), blocks=2)).fit(data, steps=500, show=False)
    for value in (-1.0, 0.2, 1.2):
        x = model.sample(400, label=[value])
        assert (x.mean(0) - torch.tensor([value, -value])).abs().max() < 0.12
        assert x.std(0).max() < 0.35
    assert abs(model.sample(800)[:, 0].std() - data.x[:, 0].std()) < 0.12
    each = torch.tensor([[-1.0], [1.0]])
    assert torch.allclose(model.sample(2, label=each)[1], model.sample(2, label=each[1])[1], atol=1e-4)
    with pytest.raises(BadInput, match="vectors of 1"):
        model.sample(2, label=[0.0, 1.0])


# -- objects -------------------------------------------------------------------------------------------------------


class Mine(torch.nn.Module):
    """A stranger's network: input and level."""

    def __init__(self, width):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Linear(width, 2))

    def forward(self, x, level):
        return self.layers(torch.cat([x, level[:, None]], 1))


X = rng.normal((80, 2), 0, "objects")


@pytest.mark.parametrize("net", [Size(widths=(16,), blocks=1), MLP(2, width=16, blocks=1)], ids=["size", "network"])
def test_networks_of_ours_are_made_again_from_the_run(tmp_path, net):
    model = monge.Diffusion(net=net).fit(X, steps=3, show=False, out=tmp_path / "run")
    again = monge.load(tmp_path / "run")
    assert torch.equal(again.sample(2), model.sample(2))
    assert again.denoiser.net.state_dict().keys() == model.denoiser.net.state_dict().keys()
    assert torch.equal(monge.Diffusion(net=net).fit(X, steps=3, show=False, seed=0).sample(2), model.sample(2))


def test_any_network_trains_and_load_asks_for_it(tmp_path):
    torch.manual_seed(0)
    net = Mine(8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.warns(UserWarning, match=r"cannot make its net again, a .*Mine: load it with monge.load\(.*net=Mine"):
        model = monge.Diffusion(net=net).fit(X, steps=3, show=False, out=tmp_path / "run")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())  # a copy was trained
    with pytest.raises(BadInput, match=r"load it with monge.load\(.*net=Mine\(...\)\)"):
        monge.load(tmp_path / "run")
    assert torch.equal(monge.load(tmp_path / "run", net=Mine(8)).sample(2), model.sample(2))
    with pytest.raises(BadInput, match="damaged or of another run"):
        monge.load(tmp_path / "run", net=Mine(9))
    with pytest.raises(BadInput, match="does not ask for noise: it needs net"):
        monge.load(tmp_path / "run", noise=OrnsteinUhlenbeck())
    with pytest.raises(BadInput, match=r"must return \[2, 2\]"):
        monge.Diffusion(net=torch.nn.Linear(2, 5)).fit(X, steps=1, show=False)


@pytest.mark.parametrize("process", [OrnsteinUhlenbeck(), VarianceExploding(0.01, 50.0)], ids=repr)
def test_levels_can_be_those_of_a_process(tmp_path, process):
    """Times are uniform: half of the levels lie below the one at the middle of the time."""
    model = monge.Diffusion(noise=process).fit(X, steps=2, show=False, out=tmp_path / "run")
    levels = model.levels(sampling=False)
    first, last = (float(process.time(level)) for level in levels)
    middle = float(process.marginal((first + last) / 2).sigma)
    (objective,) = model.objectives()
    sigma = objective._levels(10_000, {"generator": torch.Generator().manual_seed(0)})
    assert levels.sigma_min * 0.999 <= sigma.min() <= sigma.max() <= levels.sigma_max * 1.001
    assert abs((sigma < middle).double().mean() - 0.5) < 4 * 0.5 / 100
    assert monge.load(tmp_path / "run").settings["noise"] == process
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    assert record["settings"]["noise"]["object"] == f"monge.noise.{type(process).__name__}"


def test_dequantisation_noise_belongs_to_its_row():
    data = Samples((rng.uniform((60, 4), 0, "q") * 16).round(), quantum=1.0, limits=(0.0, 16.0))
    model = monge.Diffusion(net=Size(widths=(16,), blocks=1)).fit(data, steps=2, show=False)
    whole, parts = model.scaled(data.x, 3), [model.scaled(data.x[a:b], 3, start=a) for a, b in ((0, 7), (7, 60))]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, model.scaled(data.x, 4))


def test_the_levels_of_the_likelihood_are_trained():
    data = Samples((rng.uniform((60, 4), 0, "q") * 16).round(), quantum=1.0, limits=(0.0, 16.0))
    model = monge.Diffusion(net=Size(widths=(16,), blocks=1)).fit(data, steps=2, show=False)
    (objective,) = model.objectives()
    assert objective.lowest == pytest.approx(float(torch.tensor(model.levels(sampling=False).sigma_min).log()))
    assert model.levels(sampling=False).sigma_min < model.levels().sigma_min


def test_no_warning_where_everything_can_be_made_again(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monge.Diffusion().fit(X, steps=1, show=False, out=tmp_path / "run")


def test_the_mixture_of_the_labelled_laws_is_the_law_of_all(model):
    law = GaussianMixture(MEANS, STD.square())
    x = labelled(400).x
    gap = law.log_prob(x).value - model.log_prob(x).value
    assert abs(gap.mean()) < 4 * gap.std() / 20 + 0.1


def test_classes_whose_names_look_like_numbers_are_drawn_by_name():
    y = torch.arange(600) % 3
    x = torch.tensor([[0.0, 0], [20, 0], [0, 20]])[y] + torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    model = monge.Diffusion().fit(Samples(x, y, classes=("10", "2", "7")), steps=220, show=False)
    for label in (2, "2"):
        assert float((model.sample(50, label=label, show=False).mean(0) - torch.tensor([20.0, 0.0])).abs().max()) < 5
    assert float(model.sample(300, show=False).mean()) > 4  # of all
    with pytest.raises(BadInput, match="no label '1': the model was trained on 10, 2, 7"):
        model.sample(2, label="1")
    flow = monge.RealNVP(labels=True).fit(Samples(x, y, classes=("10", "2", "7")), steps=3, show=False)
    each = torch.stack([flow.log_prob(x[:5], label=name).value for name in ("10", "2", "7")])
    torch.testing.assert_close(flow.log_prob(x[:5]).value, (each - torch.tensor(3.0).log()).logsumexp(0))
