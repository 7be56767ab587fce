"""One integrator of fields: against the exponential of a matrix, its trace, and their gradients."""

import pytest
import torch
from torch import nn

from monge import rng
from monge.denoisers import Neural, Oracle, from_noise, to_velocity
from monge.densities import Gaussian
from monge.errors import BadInput, NumericalFailure
from monge.nets import MLP
from monge.noise import LinearInterpolant, VariancePreserving
from monge.samplers import decode, encode, integrate, log_prob
from monge.samplers.transport import divergence_of

F = torch.float64
FINE = {"rtol": 1e-9, "atol": 1e-9}


class Linear(nn.Module):
    """V = (1 + t) A x: x moves by exp((t + t^2 / 2) A)."""

    def __init__(self, d=3):
        super().__init__()
        self.a = nn.Parameter(0.5 * rng.normal((d, d), 0, "a", dtype=F))

    def forward(self, x, t):
        return (1 + t)[:, None] * (x @ self.a.T)

    def exact(self, x):
        return x @ torch.linalg.matrix_exp(1.5 * self.a).T


def start(n=5, d=3):
    return rng.normal((n, d), 0, "x", dtype=F)


@pytest.mark.parametrize(
    "method", ["dopri5", "dopri8", "bosh3", "rk4", "explicit_adams", "implicit_adams", "scipy_solver"]
)
def test_a_linear_field_moves_by_the_exponential(method):
    field, x = Linear(), start()
    found = integrate(field, x, 0.0, 1.0, divergence=True, method=method, **FINE)
    assert torch.allclose(found.x, field.exact(x), atol=1e-6)
    assert torch.allclose(found.divergence, 1.5 * field.a.trace().expand(5), atol=1e-6)
    assert not found.x.requires_grad
    assert not found.divergence.requires_grad
    assert not found.error.any()
    back = integrate(field, found.x, 1.0, 0.0, divergence=True, method=method, **FINE)
    assert torch.allclose(back.x, x, atol=1e-6)
    assert torch.allclose(back.divergence, -found.divergence, atol=1e-6)


def test_fixed_steps_err_as_their_order_says():
    field, x = Linear().requires_grad_(False), start()
    for method, order in (("euler", 1), ("midpoint", 2)):
        errors = [
            float((integrate(field, x, 0.0, 1.0, method=method, options={"step_size": h}).x - field.exact(x)).norm())
            for h in (0.05, 0.025)
        ]
        assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.15)


def test_hutchinson_s_error_is_its_error():
    field, x = Linear(6), start(400, 6)
    found = integrate(field, x, 0.0, 1.0, probes=8)
    away = (found.divergence - 1.5 * field.a.detach().trace()) / found.error
    assert 0.75 < float(away.std()) < 1.5  # t of 7 degrees
    assert abs(float(away.mean())) < 4 * float(away.std()) / 20
    assert torch.allclose(integrate(field, x[7:9], 0.0, 1.0, probes=8, start=7).divergence, found.divergence[7:9])


@pytest.mark.parametrize("gradients", ["direct", "adjoint"])
def test_gradients_are_those_of_the_exponential(gradients):
    field, x = Linear(), start().requires_grad_()
    exact = torch.autograd.grad(field.exact(x).square().sum() + 1.5 * field.a.trace() * 5, (x, field.a))
    found = integrate(field, x, 0.0, 1.0, divergence=True, gradients=gradients, **FINE)
    mine = torch.autograd.grad(found.x.square().sum() + found.divergence.sum(), (x, field.a))
    for a, b in zip(mine, exact, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("signs", [0, 3])
@pytest.mark.parametrize("shape", [(4,), (1, 3, 3)])
def test_the_divergence_of_a_network_is_the_trace_of_its_jacobian(shape, signs):
    """In batches of directions, and one by one; to be differentiated again."""
    for layer, together in ((nn.Tanh(), 1), (nn.Tanh(), 4), (OneByOne(), 1)):
        net = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 9), layer, nn.Linear(9, 9)).double()
        x = rng.normal((3, *shape), 0, "x", dtype=F).requires_grad_()
        e = rng.normal((3, signs, *shape), 0, "e", dtype=F)
        v = net(x)[:, : x[0].numel()].reshape(x.shape)
        found = divergence_of(v, x, e, together, graph=True)
        full = torch.autograd.functional.jacobian(lambda z, net=net: net(z)[:, : z[0].numel()], x)
        J = full.flatten(3).diagonal(0, 0, 2).permute(2, 0, 1)  # [n, d, d]
        flat = e.flatten(2)
        wanted = torch.einsum("nki,nij,nkj->nk", flat, J, flat) if signs else J.diagonal(0, 1, 2).sum(1, keepdim=True)
        assert torch.allclose(found, wanted)
        assert torch.autograd.grad(found.sum(), net[1].weight)[0].abs().sum() > 0


def test_a_field_that_takes_no_batch_of_gradients_is_asked_one_by_one():
    field = lambda x, t: OneByOne()(x) + 0 * t[:, None]  # noqa: E731
    found, plain = (integrate(f, start(), 0.0, 0.5, divergence=True) for f in (field, lambda x, t: x.tanh()))
    assert torch.allclose(found.divergence, plain.divergence)


class OneByOne(nn.Module):
    """tanh whose gradient takes no batch."""

    class Tanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.tanh()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            if torch._C._functorch.is_batchedtensor(g):
                raise RuntimeError("not in a batch")
            return g * (1 - x.tanh() ** 2)

    def forward(self, x):
        return self.Tanh.apply(x)


def test_the_transport_of_a_denoiser_is_one_field():
    """From noise at t near 1 to data at t near 0 along straight lines, as `decode` does it by log sigma."""
    law = Gaussian(torch.tensor([1.0, -2.0], dtype=F), torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=F))
    sigma = 20.0
    z, t = start(4, 2), sigma / (1 + sigma)
    at_t = (1 - t) * law.noised(sigma).from_noise(z)
    x = integrate(to_velocity(Oracle(law), LinearInterpolant()), at_t, t, 1e-5, **FINE).x
    assert torch.allclose(x, decode(Oracle(law), z, sigma_min=1e-5, sigma_max=sigma, **FINE), atol=1e-4)
    assert torch.allclose(x, law.from_noise(z), atol=1e-4)


@pytest.mark.parametrize("gradients", ["direct", "adjoint"])
def test_the_likelihood_of_a_denoiser_can_be_learned_by(gradients):
    """Its gradient to a weight, against a difference."""
    D = Neural(MLP(2, width=8)).double()
    for p in D.parameters():
        p.data += 0.3 * rng.normal(tuple(p.shape), 0, "p", dtype=F)
    x, options = start(2, 2), {"sigma_min": 0.5, "sigma_max": 2.0, "rtol": 1e-6, "atol": 1e-7}
    bias = [p for p in D.parameters() if p.ndim == 1][-1]
    value = log_prob(D, x, gradients=gradients, **options).value.sum()
    (slope,) = torch.autograd.grad(value, bias)
    found = []
    for h in (1e-2, -1e-2):
        with torch.no_grad():
            bias[0] += h
            found.append(float(log_prob(D, x, **options).value.sum()))
            bias[0] -= h
    assert float(slope[0]) == pytest.approx((found[0] - found[1]) / 2e-2, rel=1e-3)
    assert not encode(D, x, **options).requires_grad
    assert encode(D, x, gradients=gradients, **options).requires_grad


def test_no_grad_holds_for_what_comes_back():
    x, D = start(3, 2), Neural(MLP(2, width=8)).double()
    options = {"sigma_min": 0.1, "sigma_max": 5.0, "gradients": "direct"}
    with torch.no_grad():
        assert not integrate(Linear(), start(), 0.0, 1.0, divergence=True, gradients="direct").divergence.requires_grad
        assert not log_prob(D, x, **options).value.requires_grad
    with torch.inference_mode():
        assert log_prob(D, start(3, 2), sigma_min=0.1, sigma_max=5.0).value.isfinite().all()
        assert not encode(D, start(3, 2), **options).requires_grad


def test_an_adjoint_that_would_miss_a_parameter_is_refused():
    net = nn.Linear(2, 2).double()
    hidden = from_noise(lambda x, t: net(x), VariancePreserving())
    options = {"sigma_min": 0.1, "sigma_max": 5.0}
    with pytest.raises(BadInput, match="give it as a module"):
        log_prob(hidden, start(3, 2), gradients="adjoint", **options)
    seen = from_noise(Timed(net), VariancePreserving())
    both = []
    for gradients in ("adjoint", "direct"):
        value = log_prob(seen, start(3, 2), gradients=gradients, **options, **FINE).value.sum()
        both.append(torch.autograd.grad(value, net.weight)[0])
    assert torch.allclose(*both, rtol=1e-4)


class Timed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, t):
        return self.net(x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "dopri55"}, "method: .*dopri5"),
        ({"probes": 1}, "at least 2 probes"),
        ({"rtol": 0.0}, "above 0"),
        ({"begin": 1.0}, "finite and apart"),
        ({"x": torch.full((2, 3), float("nan"))}, "x must be finite, and 6 of 6"),
        ({"end": float("inf")}, "finite and apart"),
        ({"x": torch.zeros(3)}, r"\[n, \*event\]"),
        ({"field": lambda x, t: x[:, :1]}, r"in the shape of x, \[5, 3\], not \[5, 1\]"),
        ({"field": lambda x, t: None}, "not NoneType"),
        ({"gradients": "adjoint"}, "give the field as one"),
        ({"gradients": "direct", "method": "scipy_solver"}, "gives no gradients"),
        ({"gradients": "direkt"}, "did you mean direct"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, words):
    given = {"field": lambda x, t: -x, "x": start(), "begin": 0.0, "end": 1.0, **options}
    with pytest.raises(BadInput, match=words) as caught:
        integrate(**given)
    assert "\n" not in str(caught.value)


def test_a_field_that_leaves_the_numbers_says_so():
    with pytest.raises(NumericalFailure, match="not finite"):
        integrate(lambda x, t: x / 0, torch.ones(2, 1), 0.0, 1.0, method="euler")
    with pytest.raises(NumericalFailure, match="did not converge"):
        integrate(lambda x, t: x**2 * 1e6, torch.ones(2, 1), 0.0, 1.0)
    still = integrate(lambda x, t: torch.ones_like(x), torch.ones(2, 1), 0.0, 2.0, divergence=True)
    assert still.x.tolist() == [[3.0], [3.0]]
    assert still.divergence.tolist() == [0.0, 0.0]
