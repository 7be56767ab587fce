"""Intervals and p-values that never recompute a distance."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng

DRAWS = 1000
CONFIDENCE = 0.95
Z = 1.959964  # half the width of such an interval of a normal law, in standard deviations
Interval = tuple[float, float]


def resampled_means(values: Float[Tensor, " n"], *address: int | str, draws: int = DRAWS) -> Float[Tensor, " b"]:
    """Means of `draws` bootstrap resamples of `values`, [b] float64.

    >>> resampled_means(torch.ones(5), 0, "example", draws=3).tolist()
    [1.0, 1.0, 1.0]
    """
    generator = rng.generator(int(address[0]), *address[1:])
    values, n = values.double(), len(values)
    return torch.stack([values[torch.randint(n, (n,), generator=generator)].mean() for _ in range(draws)])


def percentile_interval(draws: Float[Tensor, " b"], confidence: float = CONFIDENCE) -> Interval:
    """Central interval of bootstrap draws.

    >>> percentile_interval(torch.arange(101.0), 0.5)
    (25.0, 75.0)
    """
    tail = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = torch.quantile(draws.double(), tail).tolist()
    return low, high


def two_regime_interval(
    value: float,
    influences: Sequence[Float[Tensor, " _"]],
    null: Float[Tensor, " p"],
    *address: int | str,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Bootstrap interval of a statistic that is quadratic in the difference of two empirical laws.

    Such a statistic T (energy distance, squared Wasserstein) errs by a linear part, the sum over the samples s of
    the mean of their influences psi_s(x_i) (Hajek's projection), which dominates when the laws differ, plus a part
    of order 1/n, which is all there is when they agree and which the permuted values `null` follow. The bootstrap
    resamples the influences and adds centred null draws; the interval is value minus the quantiles of that error.
    Estimated influences carry noise of their own, so the interval is too wide, by up to sqrt(3), when the laws agree.

    influences: one tensor per sample, any mean; null: permuted values of T, any mean.

    >>> low, high = two_regime_interval(1.0, [torch.randn(100)], torch.zeros(9), 0, "example")
    >>> low < 1.0 < high
    True
    """
    centred = [influence.double() - influence.double().mean() for influence in influences]
    null = null.double() - null.double().mean()
    linear = torch.stack([resampled_means(psi, *address, "linear", s) for s, psi in enumerate(centred)]).sum(0)
    pick = torch.randint(len(null), (DRAWS,), generator=rng.generator(int(address[0]), *address[1:], "null"))
    low, high = percentile_interval(linear + null[pick], confidence)
    return value - high, value - low


def share_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Clopper-Pearson interval of a share, which stays honest at 0 and 1.

    >>> [round(bound, 4) for bound in share_interval(0, 100)]
    [0.0, 0.0362]
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


def larger_share_p_value(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """Fisher's exact one-sided p-value that hits / n is larger than other_hits / other_n by chance.

    >>> round(larger_share_p_value(5, 10, 0, 10), 4)
    0.0163
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(hits - 1, n + other_n, hits + other_hits, n))


def difference_interval(hits: int, n: int, real_hits: int, real_n: int) -> Interval:
    """Interval of hits / n that also carries the uncertainty of the real share it is held against.

    Newcombe's (1998) hybrid: the distances from each share to the ends of its own Clopper-Pearson interval, added in
    quadrature, so that interval minus real share is an interval of the difference.

    >>> [round(bound, 4) for bound in difference_interval(10, 100, 0, 100)]
    [0.0375, 0.1762]
    """
    share, real = hits / n, real_hits / real_n
    (low, high), (real_low, real_high) = share_interval(hits, n), share_interval(real_hits, real_n)
    down, up = math.hypot(share - low, real_high - real), math.hypot(high - share, real - real_low)
    return max(0.0, share - down), min(1.0, share + up)


def permutation_p_value(value: float, null: Float[Tensor, " p"], slack: float = 1e-12) -> float:
    """(1 + number of permuted values >= value) / (1 + number of permutations): exact under exchangeability.

    slack: relative error of the values, within which two are equal: ties that rounding broke would count for the value.

    >>> permutation_p_value(2.0, torch.tensor([0.0, 1.0, 3.0]))
    0.5
    """
    return (1 + int((null >= value - slack * max(abs(value), float(null.abs().max()) if len(null) else 0.0)).sum())) / (
        1 + len(null)
    )


def normal_upper_tail(z: float) -> float:
    """P(Z > z) for a standard normal Z.

    >>> round(normal_upper_tail(1.96), 3)
    0.025
    """
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def numpy_generator(*address: int | str) -> np.random.Generator:
    """A numpy generator of an address, for the laws that torch does not draw."""
    return np.random.Generator(np.random.Philox(key=rng.key(int(address[0]), *address[1:])))
