"""Paths of linear fields: Picard's factorial rate, Euler's steps as residual blocks, steps of order 2."""

import math

import pytest
import torch

from monge import rng
from monge.errors import BadInput, NumericalFailure
from monge.nets import SmoothMLP
from monge.samplers import integrate, picard, residual_blocks, walk
from monge.samplers.transport import jacobian_of

F = torch.float64
A = torch.tensor([[-0.3, 2.0], [-2.0, -0.3]], dtype=F)


def turning(x, t):
    return x @ A.T


def start(n=5):
    return rng.normal((n, 2), 0, "x", dtype=F)


def test_picard_s_iterates_are_partial_sums_of_the_exponential():
    """x_k = sum_{j <= k} (t A)^j / j! x, whose remainder falls as (L T)^k / k!."""
    x, iterations = start(), 14
    times, found = picard(turning, x, 0.0, 1.5, iterations=iterations, nodes=24)
    term, total = x.expand(len(times), *x.shape), torch.zeros(len(times), *x.shape, dtype=F)
    lipschitz = float(torch.linalg.matrix_norm(A, 2))
    exact = torch.stack([x @ torch.linalg.matrix_exp(t * A).T for t in times])
    for k in range(iterations + 1):
        total = total + term
        assert torch.allclose(found[k], total, atol=1e-10)
        bound = (1.5 * lipschitz) ** (k + 1) / math.factorial(k + 1) * math.exp(1.5 * lipschitz)
        assert float((found[k] - exact).norm(dim=-1).max()) <= bound * float(x.norm(dim=1).max())
        term = times[:, None, None] * (term @ A.T) / (k + 1)
    assert float((found[-1] - exact).abs().max()) < 1e-3


def test_picard_s_fixed_point_is_the_path_of_a_field_that_changes_in_time():
    field = lambda x, t: x.sin() + t.cos()[:, None]  # noqa: E731
    times, found = picard(field, start(), 2.0, 0.5, iterations=40, nodes=20)
    for t, x in zip(times[1:], found[-1][1:], strict=True):
        assert torch.allclose(x, integrate(field, start(), 2.0, float(t), rtol=1e-10, atol=1e-10).x, atol=1e-8)


def test_residual_blocks_are_euler_s_steps_and_invertible_when_small():
    x = start()
    blocks = residual_blocks(turning, 0.0, 1.0, 8)
    assert torch.allclose(blocks(x), integrate(turning, x, 0.0, 1.0, method="euler", options={"step_size": 0.125}).x)
    back, left = blocks[0].inverse(blocks[0](x))
    assert torch.allclose(back, x)
    assert left < 1e-12
    assert residual_blocks(turning, 0.0, 4.0, 4)[0].inverse(x)[1] > 1.0  # h Lip(V) = 2: no contraction


def test_walking_errs_by_the_square_of_the_steps_and_one_is_euler_s():
    x = start()
    exact = x @ torch.linalg.matrix_exp(-A).T
    errors = [float((list(walk(turning, x, 1.0, 0.0, nfe))[-1] - exact).norm()) for nfe in (40, 80)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    (once,) = walk(turning, x, 1.0, 0.0, 1)
    assert torch.allclose(once, x - turning(x, None))


@pytest.mark.parametrize("told", [{}, {"classes": 3}, {"condition": 2}])
def test_a_smooth_perceptron_tells_its_jacobian(told):
    net = SmoothMLP(4, 16, **told).double()
    torch.nn.init.normal_(net.last.weight)
    x, e = rng.normal((6, 4), 0, "x", dtype=F).requires_grad_(), rng.normal((3, 6, 4), 0, "e", dtype=F)
    label = {"classes": torch.arange(6) % 4, "condition": rng.normal((6, 2), 0, "y", dtype=F)}.get(next(iter(told), ""))
    level = torch.tensor(0.3, dtype=F).expand(6)
    v, moved = net.pushed(x, e, level, label)
    assert torch.allclose(v, net(x, level, label))
    assert torch.allclose(v, net(x, level.clone(), label))  # told once, or row by row
    found = jacobian_of(net(x, level, label), x, e.transpose(0, 1))
    assert torch.allclose((moved * e).sum(2).T, found[0])
    exact = jacobian_of(net(x, level, label), x, torch.empty(6, 0, 4))
    units = torch.eye(4, dtype=F)[:, None].expand(4, 6, 4)
    assert torch.allclose(net.pushed(x, units, level, label)[1].square().sum((0, 2)), exact[1])


def test_energies_of_the_way_are_those_of_the_exponential():
    """dx/dt = B x, |B|^2 of Frobenius all the way; int |B x|^2 by a fine sum; Hutchinson's is unbiased."""
    x, B = start(400), torch.tensor([[0.5, 1.5], [0.2, -1.0]], dtype=F)
    shear = lambda x, t: x @ B.T  # noqa: E731
    found = integrate(shear, x, 0.0, 1.0, energies=True, divergence=True, rtol=1e-9, atol=1e-9)
    assert torch.allclose(found.jacobian, B.square().sum().expand(400))
    t = torch.linspace(0, 1, 2001, dtype=F)
    speed = torch.stack([(x @ torch.linalg.matrix_exp(s * B).T @ B.T).square().sum(1) for s in t])
    assert torch.allclose(found.kinetic, torch.trapezoid(speed, t, dim=0), rtol=1e-6)
    probed = integrate(shear, x, 0.0, 1.0, energies=True, probes=2)
    assert abs(float(probed.jacobian.mean() - B.square().sum())) < 4 * float(probed.jacobian.std()) / 20
    one = integrate(shear, x, 0.0, 1.0, probes=1, gradients="direct")
    assert one.error.isinf().all()


def test_a_failure_names_the_time():
    with pytest.raises(NumericalFailure, match=r"iterate \d+ of 20 left"):
        picard(lambda x, t: 50 * x**2, torch.ones(1, 1), 0.0, 1.0, iterations=20)
    with pytest.raises(NumericalFailure, match=r"did not converge at t = 0\.\d+ .*stiff there or grows without bound"):
        integrate(lambda x, t: x.square(), torch.full((1, 1), 2.0, dtype=F), 0.0, 1.0)  # infinite at t = 1/2
    with pytest.raises(NumericalFailure, match=r"left the real numbers after t = 0\.\d+"):
        integrate(lambda x, t: x.exp(), torch.full((1, 1), 3.0, dtype=F), 0.0, 1.0, method="euler")
    few = {"max_num_steps": 50}
    with pytest.raises(NumericalFailure, match="max_num_steps exceeded"):
        integrate(lambda x, t: -1e6 * (x - t[:, None].cos()), torch.ones(1, 1, dtype=F), 0.0, 1.0, options=few)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: picard(turning, start(), 0.0, float("inf")), "finite and apart"),
        (lambda: picard(turning, start(), 0.0, 1.0, nodes=1), "nodes"),
        (lambda: list(walk(turning, start(), 1.0, 0.0, 0)), "nfe"),
        (lambda: residual_blocks(turning, 0.0, 1.0, 0), "steps"),
        (lambda: list(walk(turning, start(), 0.0, math.inf, 2)), "finite"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(BadInput, match=words):
        call()
