"""Wasserstein distances between clouds.

Convention: W_p = (min_P sum_ij P_ij |x_i - y_j|^p)^(1/p), the course's (59) with the root that makes it a distance.
"""

import math

from torch import Tensor

from monge.errors import BadInput
from monge.ot.clouds import clouds, distance_to_the
from monge.ot.exact import couple
from monge.ot.line import line_cost


def wasserstein(
    x: Tensor, y: Tensor, p: float = 2.0, a: Tensor | None = None, b: Tensor | None = None, *, show: bool = False
) -> float:
    """W_p of two weighted clouds [n, d] and [m, d], exact: by quantiles on the line, by `couple` elsewhere.

    Raises BadInput for p < 1, and what `couple` raises.

    >>> import torch
    >>> x = torch.randn(30, 2)
    >>> round(wasserstein(x, x + torch.tensor([3.0, 4.0]), 1), 4), round(wasserstein(x, x + 1.0), 4)  # translations
    (5.0, 1.4142)
    """
    check_power(p)
    given = clouds(x, y, a, b)
    if x.shape[1] == 1:
        weights = (None, None) if a is None and b is None else (given.a, given.b)
        return math.pow(line_cost(x.double().T, y.double().T, *weights, p=p), 1 / p)
    return math.pow(max(0.0, couple(*given, cost=distance_to_the(p), show=show).value), 1 / p)


def check_power(p: float) -> None:
    if not 1 <= p < math.inf:
        raise BadInput(f"W_p is a distance for 1 <= p < infinity, not for p={p}")
