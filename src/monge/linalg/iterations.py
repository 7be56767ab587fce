"""Equations that are solved by products."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    b: Float[Tensor, "n m"],
    *,
    within: float,
    most: int,
    diagonal: Float[Tensor, "n m"] | None = None,
) -> tuple[Float[Tensor, "n m"], bool]:
    """x with M x = b, row by row, for symmetric M >= 0 that is known by its products, and whether all rows are solved.

    apply: x [n, m] -> M x. within: residual at which a row stops, as a share of b, in the metric of the preconditioner.
    most: products. diagonal: of M or near it, which preconditions.

    >>> M = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    >>> x, solved = conjugate_gradients(lambda x: x @ M, torch.tensor([[3.0, 4.0]]), within=1e-6, most=10)
    >>> x.round(decimals=4), solved
    (tensor([[1., 1.]]), True)
    """
    unit = b.norm(dim=1, keepdim=True).clamp_min(torch.finfo(b.dtype).tiny)  # so that no product is out of range
    r = b / unit
    x = torch.zeros_like(b)
    p = scaled = r if diagonal is None else r / diagonal
    size = (r * scaled).sum(1, keepdim=True)
    least = within**2 * size
    going = size > least
    for _ in range(most):
        if not bool(going.any()):
            break
        q = apply(p)
        curve = (p * q).sum(1, keepdim=True)
        going = going & (curve > 0)
        step = torch.where(going, size / torch.where(going, curve, 1.0), 0.0)
        x, r = x + step * p, r - step * q
        scaled = r if diagonal is None else r / diagonal
        size, before = (r * scaled).sum(1, keepdim=True), size
        p = torch.where(going, scaled + size / before.clamp_min(torch.finfo(b.dtype).tiny) * p, p)
        going = going & (size > least)
    return unit * x, not bool((size > least).any())
