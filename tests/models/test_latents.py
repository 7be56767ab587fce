"""What a latent gives, of any model that has one."""

import math

import pytest
import torch

import monge
from monge import rng
from monge.data import Samples
from monge.errors import BadInput
from monge.models import attribute, interpolate, move
from monge.nets import Size


class Exact:
    """x = 2 z + 1 in any dimension."""

    def encode(self, x, *, label=None):
        return (x - 1) / 2

    def decode(self, z, *, label=None):
        return 2 * z + 1


@pytest.mark.parametrize("path", ["arc", "line"])
def test_ways_start_and_end_where_they_should(path):
    x0, x1 = rng.normal((5, 3, 4), 0, "a"), rng.normal((5, 3, 4), 0, "b")
    way = interpolate(Exact(), x0, x1, 6, path=path)
    assert way.shape == (6, 5, 3, 4)
    assert torch.allclose(way[0], x0, atol=1e-5)
    assert torch.allclose(way[-1], x1, atol=1e-5)


def test_an_arc_stays_where_noise_lives_and_a_line_does_not():
    z0, z1 = rng.normal((200, 64), 0, "a"), rng.normal((200, 64), 0, "b")
    model = Exact()
    arc, line = (
        model.encode(interpolate(model, model.decode(z0), model.decode(z1), 3, path=path)[1]).norm(dim=1).mean()
        for path in ("arc", "line")
    )
    usual = z0.norm(dim=1).mean()
    assert abs(arc / usual - 1) < 0.02
    assert abs(line / usual - math.sqrt(0.5)) < 0.02
    # evenly: equal angles between neighbours
    way = model.encode(interpolate(model, model.decode(z0[:1]), model.decode(z1[:1]), 5))[:, 0]
    cosines = torch.nn.functional.cosine_similarity(way[1:], way[:-1], dim=1)
    assert torch.allclose(cosines, cosines[:1].expand(4), atol=1e-4)


def test_ends_that_are_parallel_are_joined_by_a_line():
    way = interpolate(Exact(), torch.full((1, 4), 3.0), torch.full((1, 4), 5.0), 3)
    assert torch.allclose(way[1], torch.full((1, 4), 4.0), atol=1e-4)


def test_an_attribute_is_the_direction_between_the_groups():
    x = rng.normal((4000, 3), 0, "x")
    with_it = x + torch.tensor([0.0, 3.0, 4.0])
    direction = attribute(Exact(), with_it, x)
    assert torch.allclose(direction, torch.tensor([0.0, 0.6, 0.8]), atol=0.05)
    assert direction.norm() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(move(Exact(), x, direction, 2.5), x + 5.0 * direction, atol=1e-5)


@pytest.mark.parametrize(
    "family", [lambda: monge.SplineFlow(layers=1, net=Size(widths=(16,), blocks=1)), lambda: monge.Diffusion()]
)
def test_models_with_a_latent_do_it_and_others_say_so(family):
    data = Samples(rng.normal((300, 2), 0, "d") * torch.tensor([1.0, 2.0]) + 3)
    model = family().fit(data, steps=20, show=False)
    way = interpolate(model, data.x[:2], data.x[2:4], 3)
    assert way.shape == (3, 2, 2)
    assert torch.allclose(way[0], data.x[:2], atol=0.05)
    direction = attribute(model, data.x[data.x[:, 0] > 3], data.x[data.x[:, 0] < 3])
    assert direction[0] > 0.7
    assert (move(model, data.x[:20], direction, 1.0) - data.x[:20])[:, 0].mean() > 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: interpolate(object(), x, x), "object has no latent"),
        (lambda x: interpolate(Exact(), x, x[:2]), "as many events at both ends"),
        (lambda x: interpolate(Exact(), x, x, 1), "n >= 2"),
        (lambda x: attribute(Exact(), x, x), "no direction"),
        (lambda x: move(Exact(), x, torch.ones(4)), r"of shape \[3\], not \[4\]"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call(torch.ones(5, 3))
