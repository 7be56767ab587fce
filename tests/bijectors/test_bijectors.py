"""The contract of a bijector: its log_det is that of autograd's Jacobian, and its inverse is its inverse."""

import pytest
import torch

from monge import rng
from monge.bijectors import (
    ActNorm,
    Affine,
    AffineSpline,
    Autoregressive,
    Chain,
    Coupling,
    Elementwise,
    Inverse,
    Linear,
    Logit,
    Permutation,
    Spline,
    Tanh,
    spline,
)
from monge.bijectors import compiled as by_kernels
from monge.errors import BadInput
from monge.nets import Size, Spec

VECTOR, IMAGE = Spec((4,)), Spec((4, 3, 3))
SMALL = Size(widths=(8,), blocks=1)
TOLD = Spec((4,), classes=3), Spec((4,), features=2)
ALL = {
    "elementwise": lambda: Elementwise((4,)),
    "logit": lambda: Logit(-30.0, 40.0),
    "tanh": lambda: Tanh(3.0),
    "permutation": lambda: Permutation(4, [2, 0, 3, 1]),
    "actnorm": lambda: ActNorm(4),
    "linear": lambda: Linear(4, seed=1),
    "linear without rotation": lambda: Linear(4, rotate=False),
    "affine coupling": lambda: Coupling(VECTOR, Affine(), SMALL),
    "affine coupling, flipped": lambda: Coupling(VECTOR, Affine(), SMALL, flip=True),
    "spline coupling": lambda: Coupling(VECTOR, Spline(5, 2.0), SMALL),
    "affine autoregression": lambda: Autoregressive(VECTOR, Affine(), SMALL),
    "spline autoregression": lambda: Autoregressive(VECTOR, Spline(5, 2.0), SMALL),
    "affine and spline": lambda: Autoregressive(VECTOR, AffineSpline(5, 2.0), SMALL),
    "labelled coupling": lambda: Coupling(TOLD[0], Spline(5, 2.0), SMALL),
    "labelled autoregression": lambda: Autoregressive(TOLD[0], Affine(), SMALL),
    "told coupling": lambda: Coupling(TOLD[1], Affine(), SMALL),
    "told autoregression": lambda: Autoregressive(TOLD[1], AffineSpline(5, 2.0), SMALL),
    "chain": lambda: Chain(
        [ActNorm(4), Coupling(VECTOR, Affine(), SMALL), Linear(4), Coupling(VECTOR, Spline(5, 2.0), SMALL, flip=True)]
    ),
    "inverse": lambda: Inverse(Coupling(VECTOR, Spline(5, 2.0), SMALL)),
    "actnorm of images": lambda: ActNorm(4),
    "linear of images": lambda: Linear(4),
    "coupling of images": lambda: Coupling(IMAGE, Spline(4, 2.0), SMALL),
}


def built(name, dtype):
    """Parameters away from where they start, little enough for a Jacobian that float32 can invert."""
    torch.manual_seed(0)
    return stirred(ALL[name](), dtype, 0.05 if "images" in name else 0.15)


def stirred(bijector, dtype, size=0.15):
    with torch.no_grad():
        for i, p in enumerate(bijector.parameters()):
            p.add_(size * rng.normal((p.numel(),), 0, "stir", i).reshape(p.shape))
    return bijector.to(dtype).requires_grad_(False)


def given(name, n=6, dtype=torch.float64):
    event = IMAGE.event_shape if "images" in name else (4,)
    x = 1.5 * rng.normal((n, *event), 0, "x", dtype=dtype)
    label = None
    if "labelled" in name:
        label = torch.arange(n) % 4  # 3 is "none given"
    if "told" in name:
        label = rng.normal((n, 2), 0, "label", dtype=dtype)
        label[0] = float("nan")
    return x, label


@pytest.mark.parametrize("name", ALL)
def test_log_det_is_that_of_the_jacobian(name):
    bijector = built(name, torch.float64)
    x, label = given(name)
    z, log_det = bijector(x, label)
    assert torch.equal(bijector.log_det(x, label), log_det)
    _, log_det_back = bijector.inverse(z, label)
    size = x[0].numel()
    for i in range(len(x)):
        own = None if label is None else label[i : i + 1]

        def one(v, own=own, shape=x[:1].shape):
            return bijector(v.reshape(shape), own).value.flatten()

        jacobian = torch.autograd.functional.jacobian(one, x[i].flatten())
        assert jacobian.shape == (size, size)
        assert float(torch.linalg.slogdet(jacobian).logabsdet) == pytest.approx(float(log_det[i]), abs=1e-9)

    def back(v):  # of the last row
        return bijector.inverse(v.reshape(x[:1].shape), own).value.flatten()

    other_way = torch.autograd.functional.jacobian(back, z[-1].flatten())
    assert torch.allclose(other_way @ jacobian, torch.eye(size, dtype=x.dtype), atol=1e-9)
    assert torch.allclose(log_det_back, -log_det, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("name", ALL)
def test_inverse_is_the_inverse(name, dtype, tolerance):
    bijector = built(name, dtype)
    x, label = given(name, n=200, dtype=dtype)
    z = bijector(x, label).value
    assert (bijector.inverse(z, label).value - x).abs().max() < tolerance
    with torch.no_grad():  # by the compiled kernels, where there are some
        assert (bijector.inverse(z, label).value - x).abs().max() < tolerance
    latent = z if name in ("tanh", "logit", "inverse") else x
    assert (bijector(bijector.inverse(latent, label).value, label).value - latent).abs().max() < tolerance


@pytest.mark.parametrize("name", [name for name in ALL if "labelled" in name or "told" in name])
def test_what_is_told_is_seen(name):
    bijector = built(name, torch.float64)
    x, label = given(name)
    other = label.roll(1, 0)
    assert not torch.allclose(bijector(x, label).value, bijector(x, other).value)


@pytest.mark.parametrize("scalar", [Affine(), Spline(6, 3.0), AffineSpline(6, 3.0)], ids=lambda s: type(s).__name__)
def test_scalar_maps_start_as_the_identity_and_increase(scalar):
    x = torch.linspace(-5, 5, 501, dtype=torch.float64)
    value, log_slope = scalar.forward(x, torch.zeros(501, scalar.size, dtype=torch.float64))
    assert torch.allclose(value, x, atol=1e-12)
    assert torch.allclose(log_slope, torch.zeros_like(x), atol=1e-12)
    strong = 3 * rng.normal((1, scalar.size), 0, "strong", dtype=torch.float64).expand(501, -1)
    value, log_slope = scalar.forward(x, strong)
    assert (value.diff() > 0).all()
    # the slope is the derivative, in the middle of each step to second order
    middle = scalar.forward((x[1:] + x[:-1]) / 2, strong[1:]).log_slope.exp()
    assert (value.diff() / x.diff() - middle).abs().median() < 1e-3


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("bins", [2, 5])
@pytest.mark.parametrize("kind", [Spline, AffineSpline])
def test_the_spline_s_gradient_by_hand_is_the_gradient(bins, kind, compiled, monkeypatch):
    """Of values and slopes, in the values and in all parameters, by finite differences; and where autograd does it."""
    monkeypatch.setattr(spline, "COMPILED", compiled)
    scalar = kind(bins, 2.0)
    x = 2.4 * (2 * rng.uniform((40,), 0, "x", dtype=torch.float64) - 1)
    parameters = 1.5 * rng.normal((40, scalar.size), 0, "p", dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a, b: tuple(scalar.forward(a, b)), (x.requires_grad_(), parameters.requires_grad_())
    )
    # x as a function of z and the parameters has the gradient that the implicit function theorem gives
    z, _ = scalar.forward(x.detach(), parameters.detach())
    (through,) = torch.autograd.grad(scalar.inverse(z, parameters).value.sum(), parameters)
    value, log_slope = scalar.forward(x, parameters)
    (direct,) = torch.autograd.grad((value * (-log_slope).exp().detach()).sum(), parameters)
    assert torch.allclose(through, -direct, rtol=1e-6, atol=1e-9)
    assert torch.autograd.gradcheck(lambda a, b: tuple(scalar.inverse(a, b)), (z.requires_grad_(), parameters))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", [Spline, AffineSpline])
def test_the_spline_has_second_derivatives(kind, compiled, monkeypatch):
    monkeypatch.setattr(spline, "COMPILED", compiled)
    scalar = kind(4, 2.0)
    x = (1.8 * (2 * rng.uniform((12,), 0, "x", dtype=torch.float64) - 1)).requires_grad_()
    parameters = rng.normal((12, scalar.size), 0, "p", dtype=torch.float64).requires_grad_()
    for way in (scalar.forward, scalar.inverse):
        assert torch.autograd.gradgradcheck(lambda a, b, way=way: tuple(way(a, b)), (x, parameters), atol=1e-4)
    here = x.detach()[:1]
    curved = torch.autograd.functional.hessian(
        lambda z: scalar.inverse(z, parameters.detach()[:1]).value.sum() + (z**2).sum(), here
    )
    with torch.no_grad():
        up, at, down = (scalar.inverse(here + k * 1e-4, parameters[:1]).value for k in (1, 0, -1))
    assert abs(float(curved) - 2 - float(up - 2 * at + down) / 1e-8) < 1e-3


@pytest.mark.parametrize("scalar", [Spline(), AffineSpline()], ids=lambda s: type(s).__name__)
def test_the_spline_comes_back_as_well_with_gradients_as_without(scalar):
    x = 4 * (2 * rng.uniform((2000,), 0, "x") - 1)
    parameters = rng.normal((2000, scalar.size), 0, "p")
    z, log_slope = scalar.forward(x, parameters)
    with torch.no_grad():
        back = scalar.inverse(z, parameters).value
    assert ((back - x).abs() * log_slope.exp()).max() < 4e-6  # roundings of z, as far as the slope lets them be seen
    with_gradients = scalar.inverse(z, parameters.requires_grad_()).value
    assert torch.equal(back, with_gradients.detach())
    half = scalar.forward(x.bfloat16(), parameters.detach().bfloat16()).value
    assert half.dtype == torch.bfloat16
    wide = scalar.forward(x.bfloat16().double(), parameters.detach().bfloat16().double()).value
    assert (half.double() - wide).abs().max() < 2**-8 * wide.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Spline, AffineSpline])
@pytest.mark.parametrize("each", [8192, 100])
def test_compiled_or_in_tensors_the_spline_is_the_same(dtype, kind, each, monkeypatch):
    monkeypatch.setattr(by_kernels, "EACH", each)  # rows shared among threads, or not
    scalar, found = kind(6, 2.0), []
    for compiled in (True, False):
        monkeypatch.setattr(spline, "COMPILED", compiled)
        x = (1.5 * rng.normal((300, 3), 0, "x", dtype=dtype)).requires_grad_()
        parameters = rng.normal((300, 3, scalar.size), 0, "p", dtype=dtype).requires_grad_()
        value, slope = scalar.forward(x, parameters)
        weight = rng.normal((300, 3), 0, "w", dtype=dtype)
        with torch.no_grad():
            back = scalar.inverse(value, parameters)
        found.append(
            (value, slope, *back, *torch.autograd.grad((weight * value + weight * slope).sum(), (x, parameters)))
        )
    tolerance = {"rtol": 1e-2, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-10}
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, **tolerance)


def test_an_autoregression_is_triangular():
    bijector = stirred(Autoregressive(VECTOR, AffineSpline(5, 2.0), SMALL), torch.float64)
    x = given("")[0][0]
    jacobian = torch.autograd.functional.jacobian(lambda v: bijector(v[None]).value[0], x)
    assert torch.equal(jacobian, jacobian.tril())
    assert (jacobian.tril(-1)[torch.ones(4, 4).tril(-1) > 0].abs() > 0).all()


def test_the_first_look_standardises():
    x, _ = given("actnorm of images", n=50)
    norm = ActNorm(4).double()
    z = Chain([norm, Permutation(4)]).start(5 * x + 3)
    assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(4, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(z.std((0, 2, 3), correction=0), torch.ones(4, dtype=torch.float64), atol=1e-9)
    constant = torch.ones(10, 1)
    assert ActNorm(1).start(constant).isfinite().all()


def test_tails_beyond_the_box_are_not_bent():
    """Far out an affine and spline map is affine: nothing is lost where a spline alone knows nothing."""
    scalar, far = AffineSpline(6, 3.0), torch.tensor([50.0, 80.0], dtype=torch.float64)
    parameters = rng.normal((1, scalar.size), 0, "far", dtype=torch.float64).expand(2, -1)
    value, log_slope = scalar.forward(far, parameters)
    assert torch.allclose(value.diff() / far.diff(), log_slope[:1].exp())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Coupling(Spec((1,)), Affine()), "use an autoregressive map"),
        (lambda: Autoregressive(IMAGE, Affine()), r"orders the values of vectors \[d\]"),
        (lambda: Permutation(3, [0, 0, 2]), "each of 0..2 once"),
        (lambda: Elementwise((2,), scale=0.0), "scale must be above 0"),
        (lambda: Logit(1.0, 1.0), "low < high"),
        (lambda: Logit()(torch.ones(1, 1)), "between 0.0 and 1.0"),
        (lambda: Tanh(2.0).inverse(torch.full((1, 1), 2.0)), "between -2.0 and 2.0"),
        (lambda: Tanh(0.0), "bound must be"),
        (lambda: Affine(0.0), "bound must be"),
        (lambda: Spline(bins=1), "bins >= 2"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call()
