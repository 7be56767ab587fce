"""Optimal transport on the line: the increasing map, quantile to quantile."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monge.compiling import side_by_side

SHARED = 2**16  # values below which one thread sorts them


def line_cost(x: Tensor, y: Tensor, a: Tensor | None = None, b: Tensor | None = None, *, p: float = 2.0) -> Tensor:
    """W_p^p between laws on the line, [batch] in float64, x: [batch, n], y: [batch, m].

    The integral over q in (0, 1) of |F_x^-1(q) - F_y^-1(q)|^p, exact: both quantile functions are steps. a, b: weights,
    [n] and [m], uniform unless given.

    >>> line_cost(torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 2.0]]), p=1.0)
    tensor([2.], dtype=torch.float64)
    """
    if a is None and b is None:
        x, y = sorted_rows(x), sorted_rows(y)
        if x.shape[1] == y.shape[1]:
            return power(x.double() - y, p).mean(1)
        into_x, into_y, width = (torch.from_numpy(each).to(x.device) for each in merged_steps(x.shape[1], y.shape[1]))
        return power(x[:, into_x].double() - y[:, into_y], p) @ width
    n, m = x.shape[1], y.shape[1]
    steps = []
    for values, weights in ((x, a), (y, b)):
        order = values.argsort(1)
        own = values.new_full((values.shape[1],), 1 / values.shape[1]) if weights is None else weights
        steps.append((values.gather(1, order), own.double()[order].cumsum(1)))
    (x, of_x), (y, of_y) = steps
    ends, order = torch.cat([of_x, of_y], 1).clamp_max(1.0).sort(stable=True, dim=1)
    passed = (order < n).long()
    at_x = (passed.cumsum(1) - passed).clamp_max(n - 1)
    at_y = ((1 - passed).cumsum(1) - (1 - passed)).clamp_max(m - 1)
    widths = torch.diff(ends, dim=1, prepend=torch.zeros_like(ends[:, :1]))
    return (power(x.gather(1, at_x).double() - y.gather(1, at_y), p) * widths).sum(1)


def power(gap: Tensor, p: float) -> Tensor:
    return gap.square() if p == 2 else gap.abs() if p == 1 else gap.abs() ** p


def sorted_rows(values: Tensor) -> Tensor:
    """Each row of [batch, n] in rising order; on the CPU by NumPy, which sorts floats several times as fast."""
    if values.device.type != "cpu" or values.requires_grad:
        return values.sort(1).values
    rows = values.clone(memory_format=torch.contiguous_format).numpy()
    side_by_side(lambda part: part.sort(axis=1), [rows], [], [], each=max(1, SHARED // rows.shape[1]))
    return torch.from_numpy(rows)


def merged_steps(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Index into n sorted values, into m sorted values, and width, of each common step of two quantile functions.

    >>> merged_steps(1, 2)
    (array([0, 0]), array([0, 1]), array([0.5, 0.5]))
    """
    unit = math.lcm(n, m)
    ends = np.union1d(np.arange(1, n + 1) * (unit // n), np.arange(1, m + 1) * (unit // m))
    starts = np.concatenate([[0], ends[:-1]])
    return starts // (unit // n), starts // (unit // m), (ends - starts) / unit
