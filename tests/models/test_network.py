"""The network for the time there is: sizes, the choice, and a run that keeps it."""

import json
import math
import re

import pytest
import torch

import monge
from monge.data import Samples
from monge.models import network
from monge.nets import Size, Spec
from monge.training import Training

IMAGES = Samples(torch.rand(40, 1, 20, 20, generator=torch.Generator().manual_seed(0)), kind="images")


@pytest.mark.parametrize("event", [(1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 100, 60), (1, 4096), (2, 24, 24, 24)])
def test_sizes_grow_and_leave_few_sites(event):
    found = network.sizes(Spec(event, "fields"))
    coarse = math.prod(-(-side // found[0].stem) for side in event[1:])
    assert 16 <= coarse <= 256
    assert [size.widths[0] for size in found] == sorted({size.widths[0] for size in found})


def test_the_largest_that_makes_enough_steps_is_chosen(monkeypatch):
    spec, seconds = Spec((1, 28, 28), "images"), lambda size: size.widths[0] / 1000
    monkeypatch.setattr(network, "_timed", lambda spec, size, training=None: network.Choice(size, 1, seconds(size)))
    assert network.choose(spec, Training(None, 1500 * 0.1)).size.widths == (96, 192)
    assert network.choose(spec, Training(None, 1.0)).size == network.sizes(spec)[0]
    assert network.choose(spec, Training()).size == network.sizes(spec)[1]
    assert network.choose(Spec((1, 8, 8), "images"), Training(None, 60.0)) is None
    assert network.choose(Spec((9,)), Training(None, 60.0)) is None


def test_a_run_keeps_its_network_and_goes_on_with_it(tmp_path, capsys):
    model = monge.Diffusion().fit(IMAGES, budget=1.0, out=tmp_path / "run", show=True)
    kept = json.loads((tmp_path / "run" / "model.json").read_text())["network"]
    assert kept["size"]["settings"]["stem"] == 2
    told = capsys.readouterr().err
    assert "network: Size(widths=" in told
    assert re.search(
        r"about [\d,]+ steps of 64 in the time there is.*; 1,000 samples will take about \d+ s; [\d.]+ GB", told
    )
    again = monge.load(tmp_path / "run")
    torch.testing.assert_close(again.sample(2, nfe=2, show=False), model.sample(2, nfe=2, show=False))
    (tmp_path / "run" / "weights.safetensors").unlink()  # as if it had been stopped
    monge.Diffusion().fit(IMAGES, budget=1.0, out=tmp_path / "run", resume=True, show=False)
    assert json.loads((tmp_path / "run" / "model.json").read_text())["network"] == kept


def test_a_size_of_the_user_s_is_obeyed():
    model = monge.Diffusion(net=Size(widths=(8,), blocks=1, stem=4)).fit(IMAGES, steps=1, show=False)
    assert model.record["network"] is None
    assert model.denoiser.net.stem == 4
