"""Pictures of a model in training."""

import numpy as np
import pytest
import torch
from PIL import Image

import monge as m
from monge.cli.watching import Watcher
from monge.data import Samples


@pytest.mark.parametrize(("event", "kind"), [((2,), "vectors"), ((1, 8, 8), "images"), ((1, 16), "fields")])
def test_a_picture_is_drawn_anew_and_fit_ends_with_one(tmp_path, event, kind):
    data = Samples(torch.randn(64, *event, generator=torch.Generator().manual_seed(0)), kind=kind)
    seen = []

    class Seen(Watcher):
        def __call__(self, model):
            seen.append((model.fitted, model.looked_at))
            super().__call__(model)

    watch = Seen(tmp_path / "watch.png", data)
    model = m.Diffusion().fit(data, steps=2, watch=watch, show=False)
    assert seen == [(False, True)]
    assert model.fitted
    assert not model.looked_at
    first = np.asarray(Image.open(tmp_path / "watch.png"))
    assert first.shape[1] > 500
    assert first.std() > 0
    watch(model)  # fitted, it is right in its moments, which it was not yet
    first = np.asarray(Image.open(tmp_path / "watch.png"))
    model.sample = lambda n, seed: torch.full((n, *event), torch.inf)
    watch(model)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "watch.png")), first)
