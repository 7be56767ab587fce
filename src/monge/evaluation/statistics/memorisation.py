"""Copying: are generated samples closer to the training set than new real samples are?"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge.doors import finite
from monge.errors import BadInput
from monge.evaluation.statistics.resampling import (
    DRAWS,
    Interval,
    normal_upper_tail,
    numpy_generator,
    percentile_interval,
)


class Closeness(NamedTuple):
    """An estimate with its interval, what new real samples reach, and the one-sided p-value of being larger."""

    value: float
    interval: Interval
    floor: float
    p_value: float


def distances(generated: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the nearest row of one training set, [n] and [m], by their door."""
    found = []
    for values, name in ((generated, "generated"), (held_out, "held_out")):
        values = finite(values, name)
        if values.ndim != 1 or len(values) < 2:
            raise BadInput(f"{name} must be distances [n], two or more, not {list(values.shape)}: see `nearest`")
        found.append(values)
    return found[0], found[1]


def closer_to_training(
    generated: Float[Tensor, " n"], held_out: Float[Tensor, " m"], *, z: float = 1.959964
) -> Closeness:
    """P(d(generated, training) < d(held-out, training)) + P(equal) / 2, which is 1/2 when nothing is copied.

    generated, held_out: distances to the nearest row of the same training set. The rank test of Meehan et al. 2020 over
    one cell, z = (U - nm/2) / sqrt(nm (n + m + 1) / 12); interval by the variance of DeLong et al. 1988.

    >>> closer_to_training(torch.zeros(200), torch.rand(200) + 1).value
    1.0
    """
    generated, held_out = distances(generated, held_out)
    n, m = len(generated), len(held_out)
    a, b = generated.double().sort().values, held_out.double().sort().values
    below = torch.searchsorted(a, b).double() / n
    farther_b = (below + torch.searchsorted(a, b, right=True).double() / n) / 2  # share of generated nearer than each
    above = 1.0 - torch.searchsorted(b, a, right=True).double() / m
    nearer_a = (above + 1.0 - torch.searchsorted(b, a).double() / m) / 2
    value = float(farther_b.mean())
    error = math.sqrt(float(farther_b.var()) / m + float(nearer_a.var()) / n)
    null_error = math.sqrt((n + m + 1) / (12 * n * m))
    interval = (max(0.0, value - z * error), min(1.0, value + z * error))
    return Closeness(value, interval, 0.5, normal_upper_tail((value - 0.5) / null_error))


def near_copies(
    generated: Float[Tensor, " n"],
    held_out: Float[Tensor, " m"],
    *,
    level: float = 0.05,
    seed: int = 0,
) -> Closeness:
    """Share of generated samples that are nearer to training than all but the nearest `level` of held-out ones.

    The threshold is the K-th smallest held-out distance, K = level m. When both kinds of samples have one law the
    number below it is beta-binomial, Beta(K, m + 1 - K), whatever that law: the p-value is exact. Interval: bootstrap
    of both sets of distances (the rank of a resampled K-th smallest value is itself a beta variable).

    >>> found = near_copies(torch.cat([torch.zeros(50), torch.rand(50) + 1]), torch.rand(200) + 1)
    >>> found.value >= 0.5, found.p_value < 1e-9
    (True, True)
    """
    from scipy.stats import betabinom

    generated, held_out = distances(generated, held_out)
    if not 0 < level < 1:
        raise BadInput(f"level is a share of the held-out distances, between 0 and 1, not {level}")
    n, m = len(generated), len(held_out)
    rank = max(1, int(level * m))
    near = generated.double().sort().values
    far = held_out.double().sort().values
    hits = int(torch.searchsorted(near, far[rank - 1]))
    draw = numpy_generator(seed, "near copies")
    ranks = np.ceil(m * draw.beta(rank, m + 1 - rank, DRAWS)).astype(np.int64).clip(1, m) - 1
    shares = torch.searchsorted(near, far[torch.from_numpy(ranks)]).numpy() / n
    interval = percentile_interval(torch.from_numpy(draw.binomial(n, shares) / n))
    return Closeness(hits / n, interval, rank / (m + 1), float(betabinom.sf(hits - 1, n, rank, m + 1 - rank)))
