"""Clouds of weighted points, and what it costs to move a unit of mass between them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from monge.doors import SUM_TO_ONE, real, single
from monge.errors import BadInput

Cost = Callable[[Tensor, Tensor], Tensor]  # of x [*batch, n, d] and y [*batch, m, d]: [*batch, n, m]

# entries of the matrix of costs that are looked at together: on a CPU they stay in its cache
BLOCK_VALUES = {"cpu": 2**18, "cuda": 2**26}


def squared_euclidean(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2, [*batch, n, m].

    >>> squared_euclidean(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    centre = y.mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    squares = x.square().sum(-1)[..., None], y.square().sum(-1)[..., None, :]
    return (x @ (-2 * y).mT).add_(squares[0]).add_(squares[1]).clamp_min_(0.0)


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|, [*batch, n, m].

    >>> euclidean(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


class Clouds(NamedTuple):
    """x: [*batch, n, d], y: [*batch, m, d], and their weights a: [*batch, n], b: [*batch, m], of sum one."""

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor

    def rows(self) -> Iterator[slice]:
        """Of [batch, n, m], a few at a time."""
        return blocks(self.x.shape[1], self.y.shape[1], len(self.x), device=self.x.device)


def clouds(x: Tensor, y: Tensor, a: Tensor | None = None, b: Tensor | None = None, *, batches: bool = False) -> Clouds:
    """Two clouds that can be coupled; BadInput, in one line, for those that cannot.

    a, b: weights, uniform unless given.

    >>> clouds(torch.zeros(2, 1), torch.ones(4, 1)).b
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    x, y = single(real(x, "cloud x")), single(real(y, "cloud y"))
    for name, cloud in (("x", x), ("y", y)):
        if cloud.ndim < 2 or (cloud.ndim > 2 and not batches):
            more = "[*batch, n, d]" if batches else "[n, d], flatten events with .flatten(1)"
            raise BadInput(f"cloud {name} must be {more}, not {list(cloud.shape)}")
        if cloud.shape[-2] == 0:
            raise BadInput(f"cloud {name} is empty: give at least one point")
        if not cloud.isfinite().all():
            raise BadInput(f"cloud {name} has {int((~cloud.isfinite()).sum())} values that are NaN or infinite")
    if x.shape[-1] != y.shape[-1]:
        raise BadInput(f"the clouds must have one dimension: x is in {x.shape[-1]}, y in {y.shape[-1]}")
    if x.shape[:-2] != y.shape[:-2] or x.dtype != y.dtype or x.device != y.device:
        had = f"{list(x.shape)} {x.dtype} on {x.device} and {list(y.shape)} {y.dtype} on {y.device}"
        raise BadInput(f"the clouds must have one batch, dtype and device, not {had}")
    return Clouds(x, y, weights(a, x, "a"), weights(b, y, "b"))


def weights(a: Tensor | None, x: Tensor, name: str) -> Tensor:
    """Of the points of a cloud [*batch, n, d], [*batch, n]; BadInput unless they are a law on them."""
    if a is not None:
        a = real(a, f"weights {name}")
    if a is None:
        return x.new_full(x.shape[:-1], 1 / x.shape[-2])
    if a.shape != x.shape[:-1]:
        raise BadInput(f"weights {name} must be one for each point, {list(x.shape[:-1])}, not {list(a.shape)}")
    if not (a >= 0).all():  # NaN too
        raise BadInput(f"weights {name} must be zero or more, not {float(a.min())}")
    total = a.sum(-1, keepdim=True, dtype=torch.float64)
    if not ((total - 1).abs() < SUM_TO_ONE).all():
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise BadInput(f"weights {name} must sum to one, not to {worst:.6g}: divide them by their sum")
    return (a / total).to(x)


def blocks(n: int, m: int, batch: int = 1, *, device: torch.device | None = None) -> Iterator[slice]:
    """Rows of an n x m matrix of costs, as many at a time as stay in the cache."""
    size = max(1, BLOCK_VALUES.get(device.type if device else "cpu", 2**22) // (m * batch))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def distance_to_the(p: float) -> Cost:
    """The cost |x - y|^p."""
    return squared_euclidean if p == 2 else euclidean if p == 1 else lambda x, y: euclidean(x, y) ** p


def checked_cost(cost: Cost, x: Tensor, y: Tensor) -> Tensor:
    """cost(x, y), if it is a finite matrix of costs; BadInput if it is not."""
    costs = cost(x, y)
    if costs.shape != (*x.shape[:-1], y.shape[-2]):
        raise BadInput(f"the cost must be [*batch, n, m], {[*x.shape[:-1], y.shape[-2]]}, not {list(costs.shape)}")
    if not costs.isfinite().all():
        raise BadInput(f"{int((~costs.isfinite()).sum())} of the costs are NaN or infinite: every move needs a cost")
    return costs


def c_transform(x: Tensor, y: Tensor, g: Tensor, cost: Cost = squared_euclidean) -> tuple[Tensor, Tensor]:
    """g^c(x_i) = min_j c(x_i, y_j) - g_j, the largest f with f + g <= c, and where the minimum is, [n] both.

    >>> c_transform(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [3.0]]), torch.zeros(2))
    (tensor([0., 1.]), tensor([0, 1]))
    """
    found = [(cost(x[rows], y) - g).min(1) for rows in blocks(len(x), len(y))]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])
