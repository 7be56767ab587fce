"""The bend that makes a one-point law most nearly normal: Johnson's, asinh((x - c) / b), by maximum likelihood."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES, OUTER = 1024, 64  # of the values, by which it is found; and how many at either end are all looked at
FEWEST = 20  # values
GAIN = 0.05  # nats a value, from which on a law is bent
BY_CHANCE = 5.0  # nats in all that its two numbers may gain where the law is normal
AWAY, NEAR, FAR = 0.01, 0.03, 0.5  # from normal: a law that is bent, to what it is bent, unless it is as far as that
SHIFTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)  # of c off the median, in quartile distances
EDGES = torch.arange(-24.0, 1.0, 2.0).exp2()  # of c off the outermost value, in the distance of that from the median
WIDTHS = torch.arange(-24.0, 4.0).exp2()  # of b, in quartile distances
ROUNDS, FINER = 4, 7  # of the search around the best, on so many values each way


def bend(x: Float[Tensor, " n"]) -> tuple[float, float]:
    """Centre c and width b of the bend of a law, 0 and 0 where it is near enough to normal, or would not come nearer.

    With z = asinh((x - c) / b), Johnson's S_U family (Johnson 1949), whose limits are the logarithm of x - c, b -> 0,
    and x itself, b -> infinity, the likelihood of a normal z gains over that of a normal x

        log std(x) - log std(z) - E log sqrt((x - c)^2 + b^2)      nats a value

    and x is bent where that is .05 or more, and where of what its sorted values lack of a straight line over those of a
    normal law, 1 - r^2 (Shapiro and Francia 1972), .01 or more, half or more is taken away and .03 or less is left
    (more where it was .5: a few values are so far off that nothing else is seen). That is, of skew or heavy tails; not
    of modes, or values that come again and again, which no such map takes away. A change of units x -> s x + m changes
    c and b alike.

    >>> z = torch.randn(2000, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> bend(z), all(b > 0 for b in (bend(z.exp())[1], bend(z / z.roll(1))[1]))
    ((0.0, 0.0), True)
    """
    n, x = len(x), x.double().sort()[0]
    if n < FEWEST:
        return 0.0, 0.0
    low, middle, high = x[[n // 4, n // 2, (3 * n) // 4]].tolist()
    unit = high - low
    if not unit > 0:
        return 0.0, 0.0
    x, share = _few((x - middle) / unit)
    shifts = x.new_tensor(SHIFTS)
    c = torch.cat([shifts, -shifts[1:], x[0] * (1 + EDGES), x[-1] * (1 + EDGES)]).sort()[0]
    b = WIDTHS.to(x)
    best, at, wide, factor = -torch.inf, 0.0, 0.0, 2.0
    for _ in range(1 + ROUNDS):
        gain = _gain(x, share, c, b)
        k = int(gain.argmax())
        i, j = divmod(k, len(b))
        best, at, wide = float(gain.flatten()[k]), float(c[i]), float(b[j])
        ends = c[[max(i - 1, 0), i, min(i + 1, len(c) - 1)]].tolist()
        c = torch.cat([torch.linspace(first, last, FINER, dtype=x.dtype) for first, last in pairwise(ends)])
        b = wide * factor ** torch.linspace(-1, 1, 2 * FINER - 1, dtype=x.dtype)
        factor **= 2 / FINER
    normal = torch.special.ndtri(share.cumsum(0) - share / 2)
    before, after = (_lack(values, normal, share) for values in (x, ((x - at) / wide).asinh()))
    if best < GAIN + BY_CHANCE / n or before < AWAY or after > min(before / 2, NEAR if before < FAR else 1.0):
        return 0.0, 0.0
    return middle + unit * at, unit * wide


def _few(x: Float[Tensor, " n"]) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Sorted values, all of the outermost and quantiles of those between, and the share of the law of each."""
    n, inside = len(x), QUANTILES - 2 * OUTER
    if n <= QUANTILES:
        return x, torch.full_like(x, 1 / n)
    between = n - 2 * OUTER
    places = OUTER + (torch.arange(inside) * between + between // 2) // inside
    share = torch.full((QUANTILES,), 1 / n, dtype=x.dtype)
    share[OUTER:-OUTER] = between / n / inside
    return torch.cat([x[:OUTER], x[places], x[-OUTER:]]), share


def _gain(
    x: Float[Tensor, " n"], share: Float[Tensor, " n"], c: Float[Tensor, " k"], b: Float[Tensor, " l"]
) -> Float[Tensor, "k l"]:
    away = (x - c[:, None])[:, None] / b[:, None]  # [k, l, n]
    slope = b.log() + 0.5 * away.square().log1p() @ share
    return 0.5 * (_variance(x, share).log() - _variance(away.asinh(), share).log()) - slope


def _variance(x: Float[Tensor, "*k n"], share: Float[Tensor, " n"]) -> Float[Tensor, "*k"]:
    away: Tensor = x - (x @ share)[..., None]
    return away.square() @ share


def _lack(x: Float[Tensor, " n"], normal: Float[Tensor, " n"], share: Float[Tensor, " n"]) -> float:
    """1 - r^2 of sorted values and those of a normal law."""
    r = ((x - x @ share) * normal) @ share
    return float(1 - r.square() / (_variance(x, share) * _variance(normal, share)))
