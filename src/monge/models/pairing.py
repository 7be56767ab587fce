"""Which point of noise, or of another cloud, goes with which row of data: couplings of minibatches (Tong et al. 2024).

The condition is part of the cost. Noise that is coupled to data whatever their labels is another noise for each label,
and samples of a label are drawn from all of it: so each point of noise first takes the label of a row at random, and
labels are kept apart, or vectors near each other (Cheng and Schwing 2025).
"""

import torch
from jaxtyping import Float, Int, Shaped
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from monge import ot

NEAR = 0.1  # root mean square move of a condition by a pairing, in standard deviations of each of its values
SHARPEST = 1e-3  # epsilon, of the mean cost, of an entropic coupling
DOUBLINGS = 24


def paired(
    x0: Float[Tensor, "n *event"],
    x1: Float[Tensor, "n *event"],
    condition: Shaped[Tensor, " n *k"] | None = None,
    *,
    weight: float = 0.0,
    bridge: float = 0.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " n"]:
    """For each row of x0 which of x1 it goes with, so that the mean of |x0 - x1|^2 is least; each is taken once.

    condition: labels [n], of both: rows are paired within each; or vectors [n, k], whose squared distance counts
    `weight` times, rows of NaN ("none given") being apart. bridge: in place of the exact coupling one is drawn from
    the entropic one of epsilon 2 bridge^2, where points may come more than once or never; below a thousandth of the
    mean cost the two are the same to the eye, and the exact one is taken.

    >>> x0, x1 = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[2.1], [0.1], [0.9]])
    >>> paired(x0, x1), paired(x0, x1, torch.tensor([0, 0, 1]))
    (tensor([1, 2, 0]), tensor([1, 0, 2]))
    """
    found = torch.arange(len(x0), device=x0.device)
    flat = x0.flatten(1), x1.flatten(1)
    told = condition is not None and condition.ndim > 1
    groups = torch.zeros_like(found)
    if condition is not None:
        groups = condition.isfinite().flatten(1).all(1).long() if told else condition
    for group in torch.unique(groups):
        rows = (groups == group).nonzero()[:, 0]
        a, b = (part[rows] for part in flat)
        if told and bool(group):
            assert condition is not None
            more = weight**0.5 * condition[rows].flatten(1)
            a, b = torch.cat([a, more], 1), torch.cat([b, more], 1)
        found[rows] = rows[_coupled(a, b, bridge, generator)]
    return found


def _coupled(x: Tensor, y: Tensor, bridge: float, generator: torch.Generator | None) -> Tensor:
    if len(x) == 1:
        return torch.zeros(1, dtype=torch.long, device=x.device)
    costs = ot.squared_euclidean(x.double(), y.double())
    if 2 * bridge**2 <= SHARPEST * float(costs.mean()):
        exact = ot.couple(x, y, cost=costs)
        if len(exact.split):  # by rounding: between as many points of equal mass there always is a map
            return torch.from_numpy(linear_sum_assignment(costs.cpu().numpy())[1]).to(x.device)
        return exact.monge_map()
    plan = ot.sinkhorn(x.double(), y.double(), epsilon=2 * bridge**2, tolerance=1e-3).plan()
    return torch.multinomial(plan.clamp_min(0), 1, generator=generator)[:, 0]


def weight_of(x0: Float[Tensor, "n *event"], x1: Float[Tensor, "n *event"], condition: Float[Tensor, "n k"]) -> float:
    """The least weight of the condition's squared distance, by powers of 2 over the ratio of mean costs, with which a
    pairing moves it by at most a tenth of a standard deviation, root mean square."""
    y = condition[condition.isfinite().flatten(1).all(1)].flatten(1)
    if len(y) < 2:
        return 0.0
    x0, x1 = x0[: len(y)], x1[: len(y)]
    unit = float((x0 - x1).square().flatten(1).sum(1).mean() / (2 * y.var(0).sum()).clamp_min(1e-12))
    for k in range(DOUBLINGS):
        weight = unit * 2.0**k
        moved = y[paired(x0, x1, y, weight=weight)] - y
        if float((moved.square() / y.var(0).clamp_min(1e-12)).mean()) <= NEAR**2:
            break
    return weight
