"""Entropic optimal transport: Sinkhorn's coupling, its divergence and its map.

With KL to the product of the marginals (Cuturi 2013; Feydy et al. 2019),

    OT_epsilon(a, b) = min_P <P, C> + epsilon KL(P | a b') = max_{f, g} <a, f> + <b, g>, P_ij = a_i b_j
    e^{(f_i + g_j - c_ij) / epsilon} having the marginals a and b.

By the envelope theorem its gradient is f in a, g in b, and sum_j P_ij grad c(x_i, y_j) in x_i: nothing is
differentiated through the iteration.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monge.errors import BadInput
from monge.ot.clouds import Clouds, Cost, checked_cost, clouds, squared_euclidean
from monge.ot.potentials import SAMPLE, check_epsilon, plan_rows, scale_of, solve
from monge.ot.simplex import OURS

SHARE = 0.05  # epsilon, of the mean cost, unless given
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}  # of the marginals, in L1, unless given
MOST = 10_000  # sweeps
ROUNDED = 1e-6  # of the largest cost: costs there and back that are the same
WIDE = 2**21  # pairs up to which potentials are found in float64, whatever the clouds' own precision


@dataclass(frozen=True)
class EntropicCoupling:
    """Sinkhorn's plan, as its potentials; the matrix is made only by `plan`.

    value: [*batch], OT_epsilon, differentiable in clouds and weights. f, g: potentials, [*batch, n] and [*batch, m].
    marginal_error: [*batch], sum_j |sum_i P_ij - b_j|; the rows sum to a. gap: [*batch], value of the plan less value
    of the potentials. sweeps: how many were made.

    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.5], [3.0]])
    >>> P = sinkhorn(x, y, epsilon=0.1)
    >>> P.plan().round(decimals=3), P.barycentric().round(decimals=3)
    (tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]]), tensor([[1.5000],
            [3.0000]]))
    """

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    f: Tensor
    g: Tensor
    value: Tensor
    marginal_error: Tensor
    gap: Tensor
    sweeps: int
    epsilon: float
    cost: Cost

    @torch.no_grad()
    def plan(self) -> Tensor:
        """P, [*batch, n, m]."""
        given, f, g = self._flat()
        plan = plan_rows(given, self.cost, self.epsilon, f, g, slice(None))
        return plan.reshape(*self.x.shape[:-1], self.y.shape[-2])

    @torch.no_grad()
    def transport_cost(self) -> Tensor:
        """<P, C>, [*batch]: what the plan costs, without the entropy."""
        given, f, g = self._flat()
        total = given.x.new_zeros(len(given.x))
        for rows in given.rows():
            costs = self.cost(given.x[:, rows], given.y)
            total += (plan_rows(given, self.cost, self.epsilon, f, g, rows) * costs).sum((1, 2))
        return total.reshape(self.x.shape[:-2])

    @torch.no_grad()
    def map(self, points: Tensor) -> Tensor:
        """The entropic map, sum_j y_j b_j e^{(g_j - c(x, y_j)) / epsilon} over sum_j b_j e^{...}, at any points
        [*batch, k, d] (Pooladian and Niles-Weed 2021); at x it is the barycentric projection of the plan."""
        given = _batched(Clouds(points, self.y, points.new_ones(points.shape[:-1]), self.b))
        g, moved = self.g.reshape(given.b.shape), torch.empty_like(given.x)
        bias = g / self.epsilon + given.b.log()
        for rows in given.rows():
            entries = bias[:, None] - self.cost(given.x[:, rows], given.y) / self.epsilon
            moved[:, rows] = entries.softmax(-1) @ given.y
        return moved.reshape(points.shape)

    def barycentric(self) -> Tensor:
        """sum_j P_ij y_j / a_i, [*batch, n, d]."""
        return self.map(self.x)

    def _flat(self) -> tuple[Clouds, Tensor, Tensor]:
        """Clouds and potentials with one dimension of batches."""
        given = _batched(Clouds(self.x, self.y, self.a, self.b))
        return given, self.f.reshape(given.a.shape), self.g.reshape(given.b.shape)


def sinkhorn(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: float | None = None,
    cost: Cost = squared_euclidean,
    tolerance: float | None = None,
    iterations: int = MOST,
    show: bool = False,
) -> EntropicCoupling:
    """The coupling of x [*batch, n, d] and y [*batch, m, d] with entropy, on the device where they are.

    a, b: weights, [*batch, n] and [*batch, m], uniform unless given. epsilon: in units of the cost; .05 of the mean
    cost unless given. cost: `squared_euclidean`, `euclidean`, or any function of x and y that gives [*batch, n, m].
    tolerance: L1 distance of the plan's marginals from a and b; 1e-6, or 1e-5 in float32, unless given. A matrix of
    costs of more than 256 MB is never held.

    Raises BadInput for clouds, weights or costs that cannot be used, and an epsilon that the precision cannot resolve;
    NumericalFailure, naming the error, if the plan has not converged after so many iterations.

    >>> x = torch.randn(100, 2, requires_grad=True)
    >>> P = sinkhorn(x, torch.randn(80, 2) + 1)
    >>> P.value.backward(); x.grad.shape, bool(P.marginal_error < 1e-5)
    (torch.Size([100, 2]), True)
    """
    given = _checked(x, y, a, b, iterations, tolerance)
    epsilon, scale = _epsilon(epsilon, given, cost)
    return _coupled(given, epsilon, scale, cost, tolerance, iterations, show)


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: float | None = None,
    cost: Cost = squared_euclidean,
    tolerance: float | None = None,
    iterations: int = MOST,
    show: bool = False,
) -> Tensor:
    """OT_epsilon(x, y) - OT_epsilon(x, x) / 2 - OT_epsilon(y, y) / 2, [*batch] (Feydy et al. 2019).

    Zero for equal clouds and positive for others, which OT_epsilon is not; differentiable. Arguments and errors are
    those of `sinkhorn`.

    >>> x = torch.randn(50, 2)
    >>> bool(sinkhorn_divergence(x, x).abs() < 1e-5), bool(sinkhorn_divergence(x, x + 1) > 1.9)
    (True, True)
    """
    given = _checked(x, y, a, b, iterations, tolerance)
    epsilon, scale = _epsilon(epsilon, given, cost)
    own = Clouds(given.x, given.x, given.a, given.a), Clouds(given.y, given.y, given.b, given.b)
    between, *within = (
        _coupled(each, epsilon, scale, cost, tolerance, iterations, show).value for each in (given, *own)
    )
    return between - (within[0] + within[1]) / 2


class _Envelope(torch.autograd.Function):
    """OT_epsilon of potentials that are optimal, differentiated as if they did not change."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, y, a, b, f, g, cost, epsilon = inputs
        ctx.save_for_backward(x, y, a, b, f, g)
        ctx.cost, ctx.epsilon = cost, epsilon
        value: Tensor = (a * f).sum(-1) + (b * g).sum(-1)
        return value

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        x, y, a, b, f, g = ctx.saved_tensors
        (weight,), given = outputs, Clouds(x, y, a, b)
        of_x, of_y = torch.zeros_like(x), torch.zeros_like(y)
        if any(ctx.needs_input_grad[:2]):
            for rows in given.rows():
                mass = plan_rows(given, ctx.cost, ctx.epsilon, f, g, rows) * weight[:, None, None]
                with torch.enable_grad():
                    some, all_y = x[:, rows].detach().requires_grad_(), y.detach().requires_grad_()
                    paid = (mass * ctx.cost(some, all_y)).sum()
                of_x[:, rows], more = torch.autograd.grad(paid, (some, all_y))
                of_y += more
        return of_x, of_y, weight[:, None] * f, weight[:, None] * g, None, None, None, None


def _checked(
    x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, iterations: int, tolerance: float | None
) -> Clouds:
    given = clouds(x, y, a, b, batches=True)
    if iterations < 1 or (tolerance is not None and not 0 < tolerance < 1):
        raise BadInput(f"Sinkhorn needs iterations >= 1 and a tolerance in (0, 1), not {iterations} and {tolerance}")
    return given


def _epsilon(epsilon: float | None, given: Clouds, cost: Cost) -> tuple[float, float]:
    """Epsilon, and the mean cost."""
    with torch.no_grad():
        scale = scale_of(_batched(given), cost)
    chosen = (SHARE * scale or 1.0) if epsilon is None else float(epsilon)
    check_epsilon(chosen, given, scale)
    return chosen, scale


def _batched(given: Clouds) -> Clouds:
    """With exactly one dimension of batches."""
    (n, d), m = given.x.shape[-2:], given.y.shape[-2]
    x, y = given.x.reshape(-1, n, d), given.y.reshape(-1, m, d)
    return Clouds(x, y, given.a.reshape(-1, n), given.b.reshape(-1, m))


def _coupled(
    given: Clouds, epsilon: float, scale: float, cost: Cost, tolerance: float | None, iterations: int, show: bool
) -> EntropicCoupling:
    flat, tolerance = _batched(given), tolerance or TOLERANCE[given.x.dtype]
    wide = torch.float64 if flat.a.shape[1] * flat.b.shape[1] <= WIDE else given.x.dtype
    still = Clouds(*(each.detach().to(wide) for each in flat))
    for some in ((still.x[:, :1], still.y), (still.x, still.y[:, :1])):
        checked_cost(cost, *some)
    itself = given.x.shape == given.y.shape and torch.equal(given.x, given.y) and torch.equal(given.a, given.b)
    if itself and cost not in OURS:  # f = g only where it costs as much to come back
        few = still.x[:, :: max(1, still.x.shape[1] // SAMPLE)]
        there = cost(few, few)
        itself = bool((there - there.mT).abs().max() <= ROUNDED * there.abs().max())
    options: dict[str, Any] = {"tolerance": tolerance, "most": iterations, "symmetric": itself, "show": show}
    found = solve(still, cost, epsilon, scale=scale, **options)
    f, g = found.f.to(given.x), found.g.to(given.x)
    value = _Envelope.apply(*flat, f, g, cost, epsilon)  # type: ignore[no-untyped-call]
    batch = given.x.shape[:-2]
    off = found.columns - still.b
    return EntropicCoupling(
        x=given.x.detach(),
        y=given.y.detach(),
        a=given.a.detach(),
        b=given.b.detach(),
        f=f.reshape(given.a.shape),
        g=g.reshape(given.b.shape),
        value=value.reshape(batch),
        marginal_error=off.abs().sum(-1).reshape(batch).to(given.x),
        gap=(off * found.g).sum(-1).abs().reshape(batch).to(given.x),
        sweeps=found.sweeps,
        epsilon=epsilon,
        cost=cost,
    )
