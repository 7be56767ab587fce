"""Denoisers of events of any size: networks without constants, and tiles without seams."""

import pytest
import torch
from torch import nn

from monge import rng
from monge.denoisers import Neural, Symmetric, Tiled, tiles
from monge.nets import BiasFreeUNet


def shaken(dimension=2, channels=1, **options):
    """A network whose weights are none of them zero."""
    torch.manual_seed(0)
    net = BiasFreeUNet(dimension, channels, **options).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5 * parameter[0].numel() ** -0.5)
    return net


def field(*shape, name="y"):
    return rng.normal(shape, 0, name, dtype=torch.float64)


@pytest.mark.parametrize(
    ("dimension", "space", "options"),
    [
        (1, (45,), {"widths": (8, 16), "stem": 1}),
        (2, (21, 30), {"widths": (8, 16, 24), "blocks": 2}),
        (2, (16, 16), {"widths": (8,), "stem": 4, "periodic": True}),
        (3, (9, 8, 10), {"widths": (4, 8)}),
    ],
)
def test_a_network_without_constants_is_homogeneous(dimension, space, options):
    net, y = shaken(dimension, 2, **options), field(2, 2, *space)
    out = net(y)
    assert out.shape == y.shape
    assert float(out.detach().std()) > 0.01
    assert torch.allclose(net(3.7 * y), 3.7 * out, rtol=1e-10)
    _, slope = torch.autograd.functional.jvp(net, y, y)
    assert torch.allclose(slope, out, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "options", [{"widths": (8,), "stem": 1}, {"widths": (8, 8), "blocks": 1}, {"widths": (4, 4, 4)}]
)
def test_the_reach_is_the_largest_distance_at_which_a_site_matters(options):
    net = shaken(1, 1, **options)
    y = field(1, 1, 512).requires_grad_(True)
    furthest = 0
    for site in range(256, 256 + net.multiple):
        (weights,) = torch.autograd.grad(net(y)[0, 0, site], y)
        sites = weights[0, 0].nonzero()[:, 0]
        furthest = max(furthest, site - int(sites.min()), int(sites.max()) - site)
    assert net.reach - 2 * net.multiple <= furthest <= net.reach


def test_tiles_are_the_whole_where_the_reach_is_known(monkeypatch):
    net = shaken(widths=(4, 8))
    D = Neural(net, blind=True)
    y = 0.1 * field(1, 1, 150, 203)
    monkeypatch.setattr(tiles, "SITES", 120**2)
    seen = []

    def watched(tile, sigma):
        seen.append(tuple(tile.shape))
        return D(tile, sigma)

    found = Tiled(watched, reach=net.reach, multiple=net.multiple)(y, 1.0)
    assert torch.allclose(found, D(y, 1.0), rtol=1e-10, atol=1e-12)
    assert len(seen) > 1
    assert max(shape[2] for shape in seen) <= 120


def test_a_symmetric_denoiser_turns_with_the_event():
    D = Symmetric(lambda y, sigma: y.cumsum(-1))
    y = field(2, 1, 5, 8)
    for turn in (lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.transpose(2, 3)):
        assert torch.allclose(D(turn(y), 1.0), turn(D(y, 1.0)))
    along = [y.cumsum(axis) + y.flip(axis).cumsum(axis).flip(axis) for axis in (2, 3)]
    assert torch.allclose(D(y, 1.0), sum(along) / 4)


@pytest.mark.parametrize("space", [(40, 25), (5, 40), (12, 12)])
def test_tiles_of_one_size_overlap_without_a_seam(space):
    """A map that does nothing is undone exactly; of one that is wrong at the sides of its tiles, little is seen."""
    y = 1 + 0 * field(2, 1, *space)

    def fading(tile, sigma):
        assert tile.shape[2:] == (12, 12)
        dull = torch.ones(12, 12, dtype=torch.float64)
        dull[[0, -1]], dull[:, [0, -1]] = 0.0, 0.0
        return tile * dull

    assert torch.allclose(Tiled(lambda tile, sigma: tile, side=(12, 12))(y, 1.0), y)
    inside = Tiled(fading, side=(12, 12))(y, 1.0)[..., 2:-2, 2:-2]
    assert inside.min() > 0.8
