"""Every network: shapes kept in every dimension, the identity of padding, labels and levels that matter."""

import pytest
import torch

from monge import rng
from monge.errors import BadInput
from monge.nets import MLP, Adapted, MaskedMLP, Size, Spec, UNet, conditioner, critic, denoiser, generator
from monge.nets.stem import fold, unfold


def stirred(net):
    """Residual branches start at zero: move all parameters so that a test sees every path."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return net.eval()


@pytest.mark.parametrize("event", [(2,), (1, 7), (2, 16), (1, 8, 8), (3, 5, 9), (1, 28, 28), (1, 4, 6, 8)])
def test_network_keeps_shape_and_passes_gradients(event):
    net = stirred(denoiser(Spec(event)))
    y = torch.randn(3, *event, requires_grad=True)
    out = net(y, torch.zeros(3))
    assert out.shape == y.shape
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert y.grad is not None


@pytest.mark.parametrize("event", [(2, 12), (1, 28, 28), (3, 5, 9), (1, 4, 6, 8)])
@pytest.mark.parametrize("periodic", [False, True])
def test_a_stem_folds_the_space_and_unfolds_it(event, periodic):
    space = event[1:]
    x = torch.randn(2, *event)
    folded = fold(x, 4, periodic)
    assert folded.shape[1:] == (event[0] * 4 ** len(space), *(-(-side // 4) for side in space))
    assert torch.equal(unfold(folded, 4, space), x)
    net = stirred(denoiser(Spec(event, periodic=periodic), Size(widths=(16,), blocks=1, stem=4)))
    out = net(x, torch.zeros(2))
    assert out.shape == x.shape
    assert out.flatten(1).std(1).min() > 0
    if periodic and all(side % 4 == 0 for side in space):
        axes = tuple(range(2, x.ndim))
        moved = net(x.roll([4] * len(space), axes), torch.zeros(2))
        torch.testing.assert_close(moved, out.roll([4] * len(space), axes), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("event", [(3,), (1, 8, 8)])
def test_level_is_seen(event):
    y, low, high = torch.randn(2, *event), torch.full((2,), -1.0), torch.full((2,), 1.0)
    net = stirred(denoiser(Spec(event)))
    assert not torch.allclose(net(y, low), net(y, high))


@pytest.mark.parametrize("event", [(3,), (1, 8, 8)])
def test_labels_are_seen_and_may_be_left_out(event):
    net = stirred(denoiser(Spec(event, classes=3)))
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


@pytest.mark.parametrize("widths", [(32, 64, 100), (7, 14), (33,)])
def test_attention_takes_any_number_of_channels(widths):
    net = denoiser(Spec((1, 16, 16)), Size(widths=widths, blocks=1, attention=(len(widths) - 1,)))
    assert net(torch.zeros(2, 1, 16, 16), torch.zeros(2)).shape == (2, 1, 16, 16)


def test_bad_dimensions_are_refused():
    with pytest.raises(BadInput, match="1, 2 or 3 space dimensions"):
        UNet(4, 1)
    with pytest.raises(BadInput, match="no network for events of shape"):
        Spec((1, 2, 2, 2, 2))


def test_mlp_of_one_feature():
    assert MLP(1, width=8, blocks=1)(torch.zeros(2, 1), torch.zeros(2)).shape == (2, 1)


EVENTS = [(2,), (1, 7), (3, 5, 9), (1, 16, 16), (1, 4, 6, 8)]
TOLD = {"nothing": {}, "labels": {"classes": 3}, "vectors": {"features": 2}}


def given(told, n):
    if told == "nothing":
        return [None]
    if told == "labels":
        return [torch.full((n,), label) for label in range(4)]  # the last is "none given"
    return [torch.zeros(n, 2), torch.ones(n, 2), torch.full((n, 2), float("nan"))]


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("event", EVENTS)
def test_every_role_has_its_shapes_gradients_and_conditions(event, told):
    spec, size, n = Spec(event, **TOLD[told]), Size(widths=(16,) if len(event) == 1 else (8, 8), blocks=1), 3
    roles = {
        "denoiser": (denoiser(spec, size), (n, *event), lambda net, y: net(torch.randn(n, *event), torch.zeros(n), y)),
        "critic": (critic(spec, size, outputs=2), (n, 2), lambda net, y: net(torch.randn(n, *event), y)),
        "generator": (generator(spec, size, latent=5), (n, *event), lambda net, y: net(torch.randn(n, 5), y)),
        "conditioner": (
            conditioner(spec, size, inside=1, outside=4),
            (n, 4, *event[1:]),
            lambda net, y: net(torch.randn(n, 1, *event[1:]), y),
        ),
    }
    for name, (net, shape, call) in roles.items():
        stirred(net)
        outs = []
        for label in given(told, n):
            torch.manual_seed(0)
            outs.append(call(net, label))
        assert all(out.shape == shape for out in outs), name
        sum(out.square().sum() for out in outs).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters()), name
        for i, first in enumerate(outs):
            assert all(not torch.allclose(first, second) for second in outs[i + 1 :]), name
        if told != "nothing":  # a row without a condition is a row of which nothing is said
            torch.manual_seed(0)
            assert torch.allclose(call(net, None), outs[-1], atol=1e-6), name


def test_sizes_can_be_set():
    spec = Spec((1, 16, 16))
    net = denoiser(spec, Size(widths=(8, 16, 24), blocks=3, attention=(2,), dropout=0.1))
    assert [len(stage) for stage in net.down] == [3, 3, 3]
    assert net.made_with["widths"] == (8, 16, 24)
    assert sum("Attention" in type(module).__name__ for module in net.modules()) == 7  # down, middle and up
    assert denoiser(Spec((5,)), Size(widths=(77,), blocks=2)).first.out_features == 77


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: denoiser(Spec((5,)), Size(widths=(8, 16))), "give one width"),
        (lambda: denoiser(Spec((5,)), Size(attention=(0,))), "leave attention out"),
        (lambda: denoiser(Spec((5,)), Size(stem=2)), "leave stem out"),
        (lambda: critic(Spec((1, 8, 8)), Size(stem=2)), "only a denoiser folds"),
        (lambda: Size(stem=0), "stem must be"),
        (lambda: Size(widths=()), "widths must be"),
        (lambda: Size(widths=(8,), attention=(1,)), "attention names scales 0 to 0"),
        (lambda: Size(blocks=0), "blocks must be"),
        (lambda: Size(dropout=1.0), "dropout must be"),
        (lambda: Spec((2,), classes=3, features=2), "no two of them"),
        (lambda: MLP(2)(torch.zeros(3, 2)), "give one for each row"),
        (lambda: Adapted(torch.nn.Linear(2, 3), Spec((2,))), r"must return \[2, 2\] for \[2, 2\], not \[2, 3\]"),
        (lambda: Adapted(torch.nn.Linear(4, 4), Spec((2,))), r"Linear fails on events of shape \[2\]"),
    ],
)
def test_sizes_and_networks_that_do_not_fit_are_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call()


def test_networks_of_strangers_take_what_they_take():
    class Told(torch.nn.Module):
        def forward(self, x, level):
            return x * level[:, None]

    net = Adapted(Told(), Spec((2,)))
    assert torch.equal(net(torch.ones(3, 2), torch.full((3,), 2.0), None), torch.full((3, 2), 2.0))
    assert Adapted(torch.nn.Linear(2, 2), Spec((2,))).takes == 1
    assert Adapted(MLP(2, width=8), Spec((2,))).takes == 3


@pytest.mark.parametrize(("features", "width", "classes"), [(1, 8, 0), (5, 3, 0), (4, 16, 3)])
def test_one_by_one_is_the_masked_network(features, width, classes):
    """Also where the network is narrower than the events, and some units have no inputs in between."""
    net = MaskedMLP(features, 2, width=width, blocks=2, classes=classes).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(generator=torch.manual_seed(0))
    x = rng.normal((7, features), 0, "x", dtype=torch.float64)
    label = torch.arange(7) % 3 if classes else None
    walk, found = net.one_by_one(7, label), []
    for column in x.unbind(1):
        found.append(walk.outputs())
        walk.tell(column)
    assert torch.allclose(torch.stack(found, 1), net(x, label), atol=1e-12)
