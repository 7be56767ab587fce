"""Sinkhorn's plans against a plain iteration, exact couplings and closed forms."""

import math

import pytest
import torch
from drawn import F, cloud, law
from torch.autograd import gradcheck

from monge import ot
from monge.errors import BadInput, NumericalFailure
from monge.ot import potentials


def plain(costs, a, b, epsilon, steps):
    """The textbook's iteration on the whole matrix."""
    g = torch.zeros_like(b)
    for _ in range(steps):
        f = -epsilon * ((g - costs) / epsilon + b.log()).logsumexp(1)
        g = -epsilon * ((f[:, None] - costs) / epsilon + a.log()[:, None]).logsumexp(0)
    return a[:, None] * b * torch.exp((f[:, None] + g - costs) / epsilon)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("cost", [ot.squared_euclidean, ot.euclidean, lambda x, y: ot.euclidean(x, y) ** 1.5])
def test_plan_is_that_of_the_plain_iteration(cost, held, monkeypatch):
    if not held:
        monkeypatch.setattr(potentials, "HELD_BYTES", {})
    x, y, a, b = cloud(40, 2, 0), cloud(50, 2, 1, move=1.0), law(40, 2), law(50, 3)
    P = ot.sinkhorn(x, y, a, b, epsilon=0.2, cost=cost, tolerance=1e-10)
    wanted = plain(cost(x, y), a, b, 0.2, 3000)
    plan = P.plan()
    assert torch.allclose(plan, wanted, atol=1e-9)
    assert torch.allclose(plan.sum(1), a, atol=1e-12)
    assert float(P.marginal_error) < 1e-10
    information = (wanted * (wanted / (a[:, None] * b)).log()).sum()
    assert math.isclose(P.value, (wanted * cost(x, y)).sum() + 0.2 * information, rel_tol=1e-8)
    assert math.isclose(P.transport_cost(), (wanted * cost(x, y)).sum(), rel_tol=1e-8)
    assert float(P.gap) < 1e-8
    assert torch.allclose(P.barycentric(), plan @ y / a[:, None], atol=1e-8)


def test_value_tends_to_the_exact_one_at_the_known_rate():
    """(OT_epsilon - OT) / epsilon tends to KL(P | a b'), log n for a permutation (Cominetti and San Martin 1994)."""
    x, y = cloud(10, 2, 32), cloud(10, 2, 33, move=0.5)
    exact = ot.couple(x, y).value
    found = [ot.sinkhorn(x, y, epsilon=e, tolerance=1e-10) for e in (5e-2, 5e-4)]
    rates = [(float(P.value) - exact) / P.epsilon for P in found]
    assert abs(rates[0] - math.log(10)) < 0.5
    assert abs(rates[1] - math.log(10)) < 1e-5
    assert all(float(P.transport_cost()) >= exact for P in found)
    assert math.isclose(found[1].transport_cost(), exact, rel_tol=1e-6)


def test_closed_form_between_gaussians():
    """In one dimension, laws on a fine grid: Janati, Muzellec, Peyre and Cuturi 2020, Theorem 1, epsilon = 2 s^2."""
    epsilon, first, second, move = 0.5, 0.7, 1.3, 0.4
    line = torch.linspace(-8, 8, 321, dtype=F)[:, None]
    a, b = (torch.exp(-((line[:, 0] - m) ** 2) / (2 * v)) for m, v in ((0.0, first), (move, second)))
    P = ot.sinkhorn(line, line, a / a.sum(), b / b.sum(), epsilon=epsilon, tolerance=1e-9)
    s2 = epsilon / 2
    spread = math.sqrt(4 * first * second + s2**2)
    value = move**2 + first + second - spread + s2 * (1 - math.log(2 * s2)) + s2 * math.log(spread + s2)
    assert math.isclose(P.value, value, rel_tol=1e-7)


def test_gradients_are_those_of_finite_differences():
    x, y, a, b = cloud(5, 2, 6), cloud(6, 2, 7), law(5, 8), law(6, 9)
    leaves = [each.clone().requires_grad_() for each in (x, y)]

    def value(x, y):
        return ot.sinkhorn(x, y, a, b, epsilon=0.3, tolerance=1e-13).value

    def divergence(x, y):
        return ot.sinkhorn_divergence(x, y, a, b, epsilon=0.3, cost=ot.euclidean, tolerance=1e-13)

    assert gradcheck(value, leaves, eps=1e-5, atol=1e-7)
    assert gradcheck(divergence, leaves, eps=1e-5, atol=1e-7)

    # weights move within the simplex
    logits = [each.log().clone().requires_grad_() for each in (a, b)]

    def of_weights(p, q):
        return ot.sinkhorn(x, y, p.softmax(0), q.softmax(0), epsilon=0.3, tolerance=1e-13).value

    assert gradcheck(of_weights, logits, eps=1e-5, atol=1e-7)


def test_batches_are_solved_as_one_by_one():
    x, y, a = (
        cloud(60, 2, 10).reshape(3, 20, 2),
        cloud(45, 2, 11, move=1.0).reshape(3, 15, 2),
        law(60, 12).reshape(3, 20),
    )
    a = a / a.sum(1, keepdim=True)
    scale = torch.tensor([0.3, 1.0, 3.0], dtype=F)[:, None, None]
    whole = ot.sinkhorn(scale * x, y, a, epsilon=0.1, tolerance=1e-9)
    assert whole.value.shape == (3,)
    assert whole.plan().shape == (3, 20, 15)
    for k in range(3):
        one = ot.sinkhorn(scale[k] * x[k], y[k], a[k], epsilon=0.1, tolerance=1e-9)
        assert math.isclose(one.value, whole.value[k], rel_tol=1e-7)
        assert torch.allclose(one.barycentric(), whole.barycentric()[k], atol=1e-6)
    deep = ot.sinkhorn(x.reshape(3, 1, 20, 2), y.reshape(3, 1, 15, 2), epsilon=0.1)
    assert deep.f.shape == (3, 1, 20)


def test_divergence_is_zero_on_equal_clouds_and_positive_otherwise():
    x, b = cloud(80, 3, 13), law(80, 14)
    for epsilon in (0.05, 1.0, 100.0):
        options = {"epsilon": epsilon, "tolerance": 1e-9}
        assert abs(ot.sinkhorn_divergence(x, x.clone(), **options)) < 1e-7
        assert ot.sinkhorn_divergence(x, x, None, b, **options) > 1e-5
        assert ot.sinkhorn_divergence(x, x + 0.05, **options) == pytest.approx(3 * 0.05**2, rel=1e-4)  # a translation


def test_small_epsilon_converges_where_the_plain_iteration_does_not():
    x, y = cloud(100, 2, 15), cloud(100, 2, 16, move=0.5)
    P = ot.sinkhorn(x, y, epsilon=1e-3)
    uniform = x.new_full((100,), 1 / 100)
    off = (plain(ot.squared_euclidean(x, y), uniform, uniform, 1e-3, P.sweeps).sum(1) - 1 / 100).abs().sum()
    assert off > 1e-3
    assert float(P.marginal_error) < 1e-6


def test_the_map_out_of_sample_moves_a_gaussian_to_another():
    """T(x) = 1 + 2 x; the entropic map of Gaussians is linear too, with a slope that epsilon lowers a little."""
    line = torch.linspace(-5, 5, 200, dtype=F)[:, None]
    a, b = torch.exp(-line[:, 0].square() / 2), torch.exp(-(line[:, 0] - 0.5).square() / 2)
    P = ot.sinkhorn(line, 2 * line, a / a.sum(), b / b.sum(), epsilon=0.1)
    points = torch.tensor([[-1.0], [0.3], [1.7]], dtype=F)
    assert torch.allclose(P.map(points), 1 + 2 * points, atol=0.05)


def test_one_point_duplicates_and_empty_weights():
    one = ot.sinkhorn(torch.zeros(1, 2), torch.ones(1, 2), epsilon=0.1)
    assert one.value == pytest.approx(2.0)
    x = torch.zeros(30, 2, dtype=F)
    assert ot.sinkhorn(x, x.clone(), epsilon=0.1).value == pytest.approx(0.0, abs=1e-9)
    assert ot.sinkhorn(x, x.clone()).epsilon == 1.0  # a cost without a scale
    a = law(20, 17)
    a[:5] = 0.0
    a = a / a.sum()
    x, y = cloud(20, 2, 18), cloud(20, 2, 19)
    P = ot.sinkhorn(x, y, a, a, epsilon=0.1)
    assert torch.allclose(P.plan()[5:, 5:], ot.sinkhorn(x[5:], y[5:], a[5:], a[5:], epsilon=0.1).plan(), atol=1e-5)


BAD = {
    "small epsilon": ({"epsilon": 1e-9}, "epsilon must be finite and above .* use float64"),
    "zero epsilon": ({"epsilon": 0.0}, "epsilon must be finite and above"),
    "tolerance": ({"tolerance": 0.0}, "a tolerance in \\(0, 1\\)"),
    "iterations": ({"iterations": 0}, "iterations >= 1"),
    "batch": ({"x": torch.zeros(2, 3, 2)}, "one batch"),
    "infinite cost": ({"cost": lambda x, y: ot.euclidean(x, y) / 0.0}, "costs are NaN or infinite"),
    "dimension": ({"x": torch.zeros(3, 5)}, "one dimension"),
    "sum": ({"a": torch.ones(3)}, "must sum to one, not to 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_line(name):
    change, words = BAD[name]
    with pytest.raises(BadInput, match=words):
        ot.sinkhorn(**{"x": torch.zeros(3, 2), "y": torch.ones(4, 2)} | change)


def test_no_convergence_is_told_not_made_up():
    with pytest.raises(NumericalFailure, match=r"after \d+ sweeps the marginals are off by"):
        ot.sinkhorn(cloud(100, 2, 20), cloud(100, 2, 21), epsilon=0.01, iterations=5)
