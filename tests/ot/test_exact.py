"""Exact couplings against linear programming, assignments, and laws whose transport is known."""

import math

import numpy as np
import pytest
import torch
from drawn import F, cloud, law
from scipy.optimize import linear_sum_assignment, linprog

from monge import ot
from monge.densities import Gaussian
from monge.errors import BadInput, NumericalFailure
from monge.ot import simplex


def linear_program(costs, a, b):
    n, m = costs.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    found = linprog(costs.flatten().numpy(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    return found.fun


def check_optimal(P):
    assert torch.allclose(P.plan().sum(1), P.a, atol=1e-12)
    assert torch.allclose(P.plan().sum(0), P.b, atol=1e-12)
    assert abs(P.gap) < 1e-8 * P.value


@pytest.mark.parametrize("cost", [ot.squared_euclidean, ot.euclidean, lambda x, y: (x[:, :1] - y[:, 0]).abs() ** 3])
def test_value_and_potentials_are_those_of_the_linear_program(cost):
    x, y, a, b = cloud(7, 2, 0), cloud(9, 2, 1, move=0.5), law(7, 2), law(9, 3)
    a[3], b[5] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    P = ot.couple(x, y, a, b, cost=cost)
    check_optimal(P)
    costs = cost(x, y)
    assert math.isclose(P.value, linear_program(costs, a, b), rel_tol=1e-9)
    assert (P.f[:, None] + P.g <= costs + 1e-12).all()  # feasible, points without mass too
    assert torch.allclose((P.f[:, None] + P.g)[P.rows, P.columns], costs[P.rows, P.columns])  # complementary slackness
    by_matrix = ot.couple(x, y, a, b, cost=costs)
    assert math.isclose(by_matrix.value, P.value, rel_tol=1e-12)
    assert (by_matrix.f[:, None] + by_matrix.g <= costs + 1e-12).all()


@pytest.mark.parametrize("d", [1, 2, 20])
def test_generated_pairs_give_the_optimum_of_all_pairs(d):
    x, y = cloud(700, d, 4), cloud(700, d, 5, move=1.0)
    assert len(x) * len(y) > simplex.SMALL
    P = ot.couple(x, y)
    check_optimal(P)
    costs = torch.cdist(x, y).square().numpy()
    i, j = linear_sum_assignment(costs)
    assert math.isclose(P.value, costs[i, j].mean(), rel_tol=1e-9)
    assert torch.equal(P.monge_map(), torch.from_numpy(j))
    assert torch.allclose(P.barycentric(), y[j])


def test_generated_pairs_with_weights_and_another_cost():
    x, y, a, b = cloud(600, 2, 6), cloud(500, 2, 7, move=1.0), law(600, 8), law(500, 9)
    a[:50] = 0.0
    a = a / a.sum()
    P = ot.couple(x, y, a, b, cost=ot.euclidean)
    check_optimal(P)
    assert math.isclose(P.value, ot.couple(x, y, a, b, cost=torch.cdist(x, y)).value, rel_tol=1e-10)
    assert (P.f[:, None] + P.g <= torch.cdist(x, y) + 1e-12).all()


def test_w1_by_its_dual_is_a_difference_of_means_of_a_lipschitz_function():
    """Kantorovich-Rubinstein (62): for the distance as cost f = -g on both clouds, and is 1-Lipschitz."""
    points = cloud(40, 2, 10)
    a, b = law(40, 11), law(40, 12)
    P = ot.couple(points, points, a, b, cost=ot.euclidean)
    check_optimal(P)
    phi = ot.c_transform(points, points, P.g, ot.euclidean)[0]
    assert ((phi[:, None] - phi).abs() <= torch.cdist(points, points) + 1e-12).all()
    assert math.isclose(float(phi @ (a - b)), P.value, rel_tol=1e-9)


def test_sorting_is_optimal_on_the_line():
    x, y = cloud(300, 1, 13), 2 * cloud(300, 1, 14)
    P = ot.couple(x, y)
    assert torch.equal(P.y[P.monge_map()].flatten().argsort(), x.flatten().argsort())


def test_one_point_cannot_be_mapped_to_two():
    """Course (57): no map moves a point's mass to two points, the coupling does."""
    x, y = torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    P = ot.couple(x, y)
    assert P.split.tolist() == [0]
    assert P.value == pytest.approx(1.0)
    with pytest.raises(NumericalFailure, match=r"no map: the mass of 1 of 1 points of x splits \(points 0\)"):
        P.monge_map()
    assert torch.allclose(P.barycentric(), torch.zeros(1, 2))


def test_the_map_between_gaussians_out_of_sample():
    """T(x) = m2 + A (x - m1), A = C1^-1/2 (C1^1/2 C2 C1^1/2)^1/2 C1^-1/2, here diagonal: the error falls as n^-1/d."""
    first, second = Gaussian(torch.zeros(1), torch.eye(1)), Gaussian(torch.ones(1), 4 * torch.eye(1))
    P = ot.couple(first.sample(1000, seed=0), second.sample(1000, seed=1))
    points = torch.linspace(-1.5, 1.5, 7)[:, None]
    # the error of a quantile q: sqrt(q (1 - q) / n) / density, of both clouds; 4.5 standard errors at |z| = 1.5
    assert torch.allclose(P.project(points), 1 + 2 * points, atol=4.5 * 2 * math.sqrt(2 * 0.0625 / 1000) / 0.13)


def test_a_sample_moves_by_the_map_out_of_sample_too():
    x, y = cloud(50, 3, 15), cloud(50, 3, 16)
    P = ot.couple(x, y)
    assert torch.allclose(P.project(x), P.barycentric())


def test_duplicates_and_single_points():
    x = torch.zeros(600, 2, dtype=F)
    P = ot.couple(x, x)
    assert P.value == P.gap == 0.0
    doubled = cloud(400, 2, 17).repeat(2, 1)
    P = ot.couple(doubled, doubled.flip(0) + 1.0)
    check_optimal(P)
    assert P.value == pytest.approx(2.0)  # a translation
    assert ot.couple(torch.zeros(1, 3), torch.ones(1, 3)).value == pytest.approx(3.0)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("n", [30, 600])
def test_any_unit_of_length_will_do(n, size):
    x, y = cloud(n, 2, 22), cloud(n, 2, 23)
    one, other = ot.couple(x, y), ot.couple(size * x, size * y)
    check_optimal(other)
    assert math.isclose(other.value, size**2 * one.value, rel_tol=1e-9)


def test_all_mass_on_one_point():
    a = torch.tensor([1.0] + [0.0] * 49)
    x = cloud(50, 2, 24).float()
    P = ot.couple(x, x, a)
    assert P.value == pytest.approx(float(ot.squared_euclidean(x[:1], x).mean()))
    assert abs(P.gap) < 1e-8 * P.value


def test_dtype_stays_and_the_gap_does_not_suffer():
    P = ot.couple(cloud(20, 2, 18).float(), cloud(20, 2, 19).float())
    assert P.f.dtype == P.mass.dtype == torch.float32
    assert abs(P.gap) < 1e-8 * P.value


BAD = {
    "sum": ({"a": torch.full((3,), 0.5)}, "weights a must sum to one, not to 1.5"),
    "negative": ({"a": torch.tensor([1.5, -0.5, 0.0])}, "weights a must be zero or more, not -0.5"),
    "short": ({"b": torch.ones(2) / 2}, r"weights b must be one for each point, \[4\], not \[2\]"),
    "empty": ({"x": torch.zeros(0, 2)}, "cloud x is empty"),
    "dimension": ({"y": torch.zeros(4, 3)}, "the clouds must have one dimension: x is in 2, y in 3"),
    "nan": ({"x": torch.tensor([[math.nan, 0.0]])}, "cloud x has 1 values that are NaN or infinite"),
    "event": ({"x": torch.zeros(3, 2, 1)}, r"cloud x must be \[n, d\]"),
    "dtype": ({"x": torch.zeros(3, 2, dtype=F)}, "the clouds must have one batch, dtype and device"),
    "infinite cost": ({"cost": torch.full((3, 4), math.inf)}, "12 of the costs are NaN or infinite"),
    "matrix": ({"cost": torch.zeros(4, 3)}, r"the matrix of costs must be \[3, 4\], not \[4, 3\]"),
    "shape of cost": ({"cost": lambda x, y: torch.zeros(2)}, "the cost must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_line(name):
    change, words = BAD[name]
    with pytest.raises(BadInput, match=words):
        ot.couple(**{"x": torch.zeros(3, 2), "y": torch.ones(4, 2)} | change)


def test_too_large_a_problem_names_the_memory_and_another_way():
    with pytest.raises(BadInput, match=r"hold \d+ GB: use sinkhorn, sliced_wasserstein"):
        ot.couple(torch.zeros(200_000, 1), torch.zeros(200_000, 1))


def test_no_plan_is_told_not_made_up(monkeypatch):
    monkeypatch.setattr(simplex, "SIMPLEX_STEPS", 2)
    with pytest.raises(NumericalFailure, match="no optimal plan"):
        ot.couple(cloud(30, 2, 20), cloud(30, 2, 21))
