"""Shapes of level sets: one-point distribution, boundaries, Euler characteristic (Minkowski), and peaks."""

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from monge.evaluation.descriptors.base import Descriptor, Fitted, kinds

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)  # quantiles of real values
MEAN_POOL: dict[int, Any] = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
MAX_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def morphology(real: Tensor, seed: int) -> Fitted:
    """At levels that real values exceed with probability .9 to .02: the share of sites above, of neighbours that the
    level separates, the Euler characteristic and the number of peaks above, each a site.

    The Euler characteristic of the union of sites is the sum over axes S of (-1)^|S| times the number of blocks of
    2^|S| neighbours that are all above.
    """
    values = real[:: max(1, real.numel() // 2**22)].flatten()
    levels = _between(values[:: max(1, len(values) // 2**20)])
    d = real.ndim - 2

    def measure(x: Tensor) -> Tensor:
        top = x == MAX_POOL[d](x, 3, stride=1, padding=1)
        peak = top & (MEAN_POOL[d](top.float(), 3, stride=1, padding=1) * 3**d < 1.5)  # no plateau
        parts = []
        for level in levels:
            above = x > level
            sites = above.flatten(1).shape[1]
            total, edge = above.flatten(1).sum(1), torch.zeros(len(x))
            euler = total.clone()
            for size in range(1, d + 1):
                for axes in itertools.combinations(range(2, 2 + d), size):
                    block = _together(above, axes)
                    euler = euler + (-1) ** size * block.flatten(1).sum(1)
                    if size == 1:
                        edge = edge + above.diff(dim=axes[0]).flatten(1).sum(1)
            parts += [total, edge, euler, (peak & above).flatten(1).sum(1)]
        return torch.stack([part.float() / sites for part in parts], 1)

    of = ("share above", "boundary at", "Euler characteristic at", "peaks above")
    return Fitted(measure, tuple(f"{o} level {level:.6g}" for level in levels for o in of))


def _between(values: Tensor) -> list[float]:
    """Quantiles of values, each half way to the next value that occurs: what is equal to it is not torn by rounding."""
    seen = torch.unique(values)
    found = torch.quantile(values, torch.tensor(LEVELS))
    at = torch.searchsorted(seen, found, right=True).clamp(1, len(seen) - 1)
    return sorted(set(((seen[at - 1] + seen[at]) / 2).tolist()))


def _together(above: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Whether all 2^|axes| sites of a block are above."""
    for axis in axes:
        n = above.shape[axis]
        above = above.narrow(axis, 0, n - 1) & above.narrow(axis, 1, n - 1)
    return above


MORPHOLOGY = Descriptor(
    "shapes of level sets", morphology, kinds(vectors=False, spatial=True, least=3), "50 n d", "moves"
)
