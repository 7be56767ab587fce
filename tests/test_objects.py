"""Objects as settings: what is ours comes back, what is not is named, and nothing else is made."""

import json

import pytest
import torch

from monge import objects
from monge.errors import BadInput
from monge.nets import MLP, Size, UNet
from monge.noise import OrnsteinUhlenbeck


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


def test_strangers_are_named_and_refused():
    described = objects.describe({"net": torch.nn.Linear(2, 2), "more": (MLP(2),)})
    assert objects.needed(described) == ["torch.nn.modules.linear.Linear"]
    with pytest.raises(BadInput, match="cannot be made again"):
        objects.rebuild(described["net"])


@pytest.mark.parametrize("name", ["os.system", "monge.nets.roles", "monge.files.write_atomic", "monge.nets.torch", "x"])
def test_a_record_makes_nothing_but_public_classes_of_ours(name):
    with pytest.raises(BadInput, match="cannot be made again"):
        objects.rebuild({"object": name, "settings": {}})
