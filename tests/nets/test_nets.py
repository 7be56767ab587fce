"""Every network: shapes kept in every dimension, the identity of padding, labels and levels that matter."""

import pytest
import torch

from monge.errors import BadInput
from monge.nets import MLP, UNet, network


def stirred(net):
    """Residual branches start at zero: move all parameters so that a test sees every path."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return net.eval()


@pytest.mark.parametrize("event", [(2,), (1, 7), (2, 16), (1, 8, 8), (3, 5, 9), (1, 28, 28), (1, 4, 6, 8)])
def test_network_keeps_shape_and_passes_gradients(event):
    net = stirred(network(event))
    y = torch.randn(3, *event, requires_grad=True)
    out = net(y, torch.zeros(3))
    assert out.shape == y.shape
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert y.grad is not None


@pytest.mark.parametrize("event", [(3,), (1, 8, 8)])
def test_level_is_seen(event):
    y, low, high = torch.randn(2, *event), torch.full((2,), -1.0), torch.full((2,), 1.0)
    net = stirred(network(event))
    assert not torch.allclose(net(y, low), net(y, high))


@pytest.mark.parametrize("event", [(3,), (1, 8, 8)])
def test_labels_are_seen_and_may_be_left_out(event):
    net = stirred(network(event, classes=3))
    y, level = torch.randn(2, *event), torch.zeros(2)
    outs = [net(y, level, torch.tensor([label, label])) for label in range(3)] + [net(y, level)]
    for i, first in enumerate(outs):
        for second in outs[i + 1 :]:
            assert not torch.allclose(first, second)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_periodic_padding_commutes_with_shifts_on_the_torus(dimension):
    periodic = stirred(UNet(dimension, 1, widths=(8, 8), periodic=True)).double()
    padded = stirred(UNet(dimension, 1, widths=(8, 8))).double()
    y = torch.randn(1, 1, *[8] * dimension, dtype=torch.float64)
    level = torch.zeros(1, dtype=torch.float64)
    axes = tuple(range(2, 2 + dimension))
    shift = tuple(2 for _ in axes)  # by the pooling's step

    def defect(net):
        return (net(y.roll(shift, axes), level) - net(y, level).roll(shift, axes)).abs().max()

    assert defect(periodic) < 1e-12
    assert defect(padded) > 1e-3


def test_attention_reaches_across_the_image():
    """Influence of one corner on the other, by the gradient; normalisation has global statistics, so freeze it."""

    def influence(attention):
        net = stirred(UNet(2, 1, widths=(8,), blocks=1, attention=attention))
        for module in net.modules():
            if isinstance(module, torch.nn.GroupNorm):
                module.forward = lambda x: x
        y = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
        (gradient,) = torch.autograd.grad(net(y, torch.zeros(1))[..., -1, -1].sum(), y)
        return gradient[..., 0, 0].abs().item()

    assert influence(()) == 0.0
    assert influence((0,)) > 0.0


def test_bad_dimensions_are_refused():
    with pytest.raises(BadInput, match="1, 2 or 3 space dimensions"):
        UNet(4, 1)
    with pytest.raises(BadInput, match="no network for events of shape"):
        network((1, 2, 2, 2, 2))


def test_mlp_of_one_feature():
    assert MLP(1, width=8, blocks=1)(torch.zeros(2, 1), torch.zeros(2)).shape == (2, 1)
