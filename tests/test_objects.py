"""Objects as settings: what is ours comes back, what is not is named, and nothing else is made."""

import json

import pytest
import torch

from monge import objects, rng
from monge.bijectors import ActNorm, AffineSpline, Chain, Coupling, Inverse, Linear
from monge.denoisers import Labelled, Oracle, PatchMixture, Symmetric, WaveletShrinkage, from_noise
from monge.densities import DoubleWell, Gaussian, GaussianMixture, Rings
from monge.errors import BadInput
from monge.nets import MLP, Size, Spec, UNet
from monge.noise import OrnsteinUhlenbeck
from monge.samplers import ExponentialMultistep, Heun


@pytest.mark.parametrize(
    "value", [None, True, 3, 2.5, "a", (1, 2), Size(widths=(8, 16)), OrnsteinUhlenbeck(kappa=2.0)], ids=repr
)
def test_values_and_ours_come_back_through_json(value):
    assert objects.rebuild(json.loads(json.dumps(objects.describe(value)))) == value


@pytest.mark.parametrize("net", [MLP(3, width=8), UNet(2, channels=1, widths=(8, 16), blocks=1)], ids=str)
def test_networks_come_back_with_the_arguments_that_they_were_made_with(net):
    again = objects.rebuild(json.loads(json.dumps(objects.describe(net))))
    assert type(again) is type(net)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}


OURS = [
    Chain(
        [ActNorm(2), Inverse(Linear(2, seed=3)), Coupling(Spec((2,)), AffineSpline(8, 3.0), Size((16,), 1), flip=True)]
    ),
    Gaussian(torch.tensor([1.0, 2.0]), torch.eye(2)),
    GaussianMixture(torch.eye(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)).tempered(0.5),
    DoubleWell(-2.0, d=3),
    Rings(noise=0.2),
    Oracle(Gaussian(torch.zeros(1), torch.ones(1))),
    Symmetric(WaveletShrinkage("db2", rule="bayes")),
    from_noise(MLP(2, width=8), OrnsteinUhlenbeck(2.0)),
    ExponentialMultistep(2, atoms=True),
    Heun(),
]


@pytest.mark.parametrize("made", OURS, ids=lambda made: type(made).__name__)
def test_bijectors_laws_denoisers_and_solvers_come_back(made):
    described = json.loads(json.dumps(objects.describe(made)))
    assert not objects.needed(described)
    again = objects.rebuild(described)
    assert type(again) is type(made)
    assert objects.describe(again) == objects.describe(made)
    if isinstance(made, torch.nn.Module):
        assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in made.state_dict().items()}
    if hasattr(made, "energy"):
        x = rng.normal((3, *made.event_shape), 0, "x", dtype=made.dtype)
        assert torch.equal(again.energy(x), made.energy(x))


def test_what_became_something_else_is_a_stranger():
    noised = GaussianMixture(torch.eye(2), torch.ones(2)).noised(1.0)
    learned = PatchMixture.of(rng.normal((4, 1, 8, 8), 0, "x"), side=4, components=2)
    row = Symmetric(Labelled(lambda y, sigma, label: y, torch.arange(4))).rows(1, 2)
    wide = Gaussian(torch.zeros(2), torch.ones(2)).double()
    odd = torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse(), Gaussian(torch.zeros(5000), torch.ones(5000))
    for other in (noised, learned, row, wide, Oracle(noised), *odd):
        assert objects.needed(objects.describe(other))


def test_strangers_are_named_and_refused():
    described = objects.describe({"net": torch.nn.Linear(2, 2), "more": (MLP(2),)})
    assert objects.needed(described) == ["torch.nn.modules.linear.Linear"]
    with pytest.raises(BadInput, match="cannot be made again"):
        objects.rebuild(described["net"])


ODD = (
    {"tensor": [[1], [1, 2]], "dtype": "float32"},
    {"tensor": [1], "dtype": "save"},
    {"object": "monge.densities.DoubleWell", "settings": {"foo": 1}},
)


@pytest.mark.parametrize("described", ODD)
def test_a_damaged_record_is_told(described):
    with pytest.raises(BadInput, match="made again"):
        objects.rebuild(described)


@pytest.mark.parametrize(
    "name", ["os.system", "monge.nets.roles", "monge.files.write_atomic", "monge.nets.torch", "monge.samplers.hmc", "x"]
)
def test_a_record_makes_nothing_but_public_classes_of_ours(name):
    with pytest.raises(BadInput, match="cannot be made again"):
        objects.rebuild({"object": name, "settings": {}})
