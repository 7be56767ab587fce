"""Random convolutional features: patches of the data itself, whitened, as filters."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from monge import rng
from monge.evaluation.descriptors.base import Descriptor, Fitted, describe, kinds
from monge.evaluation.descriptors.values import principal_axes

COUNT, SIDE, POOL = 64, 5, 3
PATCHES, FIT_ROWS = 20_000, 1000
FLOOR = 0.01  # of the mean variance of a patch's directions, added before whitening
KEPT = 64
CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
POOLED: dict[int, Any] = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}


def filters(real: Tensor, seed: int) -> Fitted:
    """64 whitened random patches of 5 sites a side, both signs rectified, pooled to 3 a side, the leading 64
    directions.

    After Coates & Ng (2011): a filter is the whitening matrix twice applied to a patch of the data, made of norm one.
    """
    space = tuple(real.shape[2:])
    sides = tuple(min(SIDE, side) for side in space)
    patches = _patches(real, sides, seed)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T.double()))
    whiten = (vectors * (values.clamp(min=0) + FLOOR * values.mean()).rsqrt()) @ vectors.T
    pick = torch.randperm(len(patches), generator=rng.generator(seed, "filters"))[:COUNT]
    white = (patches[pick] - mean).double() @ whiten
    white = functional.normalize(white, dim=1)
    kernel = (white @ whiten).float()
    bias, convolve, pool = -(kernel @ mean), CONV[len(space)], POOLED[len(space)]
    weight = kernel.reshape(-1, real.shape[1], *sides)
    grid = tuple(min(POOL, side - s + 1) for side, s in zip(space, sides, strict=True))

    def maps(x: Tensor) -> Tensor:
        answer = convolve(x, weight, bias)
        mean, positive = pool(answer, grid), pool(answer.relu_(), grid)
        return torch.cat([positive, positive - mean], 1).flatten(1)  # of max(a, 0) and of max(-a, 0) = max(a, 0) - a

    raw = describe(Fitted(maps), real[:FIT_ROWS])
    centre, axes, deviation = principal_axes(raw, KEPT)
    turn = (axes / deviation).float()
    shift = (centre @ (axes / deviation)).float()
    names = tuple(f"pattern {i + 1}" for i in range(turn.shape[1]))
    return Fitted(lambda x: maps(x) @ turn - shift, names, deviation.float())


def _patches(real: Tensor, sides: tuple[int, ...], seed: int) -> Tensor:
    """Patches of real events at random places, [patches, C * sites]."""
    found = real[:FIT_ROWS]
    for axis, side in enumerate(sides, start=2):
        found = found.unfold(axis, side, 1)
    d = len(sides)
    places = found.shape[2 : 2 + d].numel()
    n = min(PATCHES, len(found) * places)
    generator = rng.generator(seed, "patches")
    row = torch.randint(len(found), (n,), generator=generator)
    at = torch.unravel_index(torch.randint(places, (n,), generator=generator), found.shape[2 : 2 + d])
    return found.movedim(1, 1 + d)[(row, *at)].flatten(1)


FILTERS = Descriptor(
    "random filters",
    filters,
    kinds(vectors=False, spatial=True, least=3),
    "64 n d",
    "moves within a ninth of the event",
)
