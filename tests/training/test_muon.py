"""Kernels moved by their momentum made orthogonal."""

import pytest
import torch
from torch import nn

from monge import nets
from monge.data import Samples
from monge.training import Muon, Objective, Training, orthogonal, train


@pytest.mark.parametrize("shape", [(4, 9, 30), (3, 30, 9), (2, 16, 16)])
def test_all_directions_become_about_one(shape):
    """Singular vectors are kept, and singular values over four orders of magnitude come between .6 and 1.3."""
    u, _, v = torch.linalg.svd(torch.randn(shape, dtype=torch.float64, generator=torch.manual_seed(0)), False)
    values = torch.logspace(0, -1.8, u.shape[-1], dtype=torch.float64)
    turned = u.mT @ orthogonal(u * values @ v) @ v.mT
    found = torch.diagonal(turned, dim1=1, dim2=2)
    assert found.min() > 0.6
    assert found.max() < 1.3
    assert (turned - torch.diag_embed(found)).abs().max() < 1e-10


def test_a_step_has_the_size_of_adam_s():
    w = nn.Parameter(torch.zeros(32, 16, 3, 3))
    w.grad = 1e-4 * torch.randn(w.shape, generator=torch.manual_seed(1))
    Muon([w], lr=0.01).step()
    assert float(w.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)


def test_kernels_together_move_as_alone():
    g = torch.manual_seed(2)
    together, alone = ([nn.Parameter(torch.randn(8, 4, 3, generator=g.manual_seed(i))) for i in (0, 1)] for _ in "ab")
    movers = [Muon(together, lr=0.1), *(Muon([w], lr=0.1) for w in alone)]
    for step in range(3):
        for w, v in zip(together, alone, strict=True):
            w.grad = v.grad = torch.randn(w.shape, generator=g.manual_seed(10 + step))
        for mover in movers:
            mover.step()
    for w, v in zip(together, alone, strict=True):
        torch.testing.assert_close(w, v)


class Fit(Objective):
    """A map of the plane through a hidden kernel."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def kernels(self):
        return [self.net[0].weight]

    def forward(self, batch):
        return (self.net(batch.x) - batch.x.flip(1)).square().mean()


def linear():
    return nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 2))


def convolutions():
    """Whose kernels do not lie in memory as their shape says."""
    layers = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1))
    return layers.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("layers", "event"), [(linear, (2,)), (convolutions, (2, 3, 3))])
def test_it_learns_and_a_resumed_training_ends_with_the_same_bits(layers, event, tmp_path):
    data = Samples(
        torch.randn(256, *event, generator=torch.manual_seed(0)), kind="images" if len(event) > 1 else "vectors"
    )

    def run(out=None, **settings):
        torch.manual_seed(0)
        net = layers()
        train(net, [Fit(net)], data, Training(steps=60, warmup=5, lr=0.02, **settings), out=out, show=False)
        return net

    whole = run()
    assert float((whole(data.x) - data.x.flip(1)).square().mean()) < 0.02
    calls = []

    def stop(self, batch, learn=Fit.forward):
        calls.append(batch.step)
        if len(calls) == 31:
            raise RuntimeError("killed")
        return learn(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fit, "forward", stop)
        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path, checkpoint_s=0.0)
    for mine, theirs in zip(run(tmp_path).parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_u_net_tells_its_hidden_kernels():
    net = nets.UNet(2, 1, widths=(8, 16), blocks=1, attention=(1,), classes=3)
    names = {name for name, p in net.named_parameters() if any(p is k for k in net.kernels())}
    assert {name for name in names if "conv1" in name} == {
        name for name in dict(net.named_parameters()) if "conv1.w" in name
    }
    assert not any(
        word in name for name in names for word in ("first", "last", "condition", "bias", "modulation", "norm")
    )
