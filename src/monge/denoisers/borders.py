"""Events continued beyond their borders."""

import torch
from torch import Tensor


def mirrored(y: Tensor, axis: int, before: int, total: int) -> Tensor:
    """An axis continued by its mirror images to `total` sites, `before` of them ahead of the first.

    >>> mirrored(torch.tensor([1, 2, 3]), 0, 2, 8)
    tensor([2, 1, 1, 2, 3, 3, 2, 1])
    """
    side = y.shape[axis]
    place = torch.arange(-before, total - before, device=y.device) % (2 * side)
    return y.index_select(axis, torch.minimum(place, 2 * side - 1 - place))
