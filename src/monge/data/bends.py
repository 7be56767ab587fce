"""The bend that makes a one-point law most nearly normal: Johnson's, asinh((x - c) / b), by maximum likelihood."""

import torch
from jaxtyping import Float
from torch import Tensor

QUANTILES = 1024  # of the values, by which it is found
GAIN = 0.05  # nats a value, from which on a law is bent
AWAY = 0.25  # from normal, by moments, at least
BY_CHANCE = 5.0  # nats in all that its two numbers may gain where the law is normal
FEWEST = 20  # values
SHIFTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)  # of c off the median, in quartile distances
WIDTHS = torch.arange(-10.0, 4.0).exp2()  # of b, in the same


def bend(x: Float[Tensor, " n"]) -> tuple[float, float]:
    """Centre c and width b of the bend of a law, 0 and 0 where it is near enough to normal, or its middle half is one
    value.

    With z = asinh((x - c) / b), Johnson's S_U family (Johnson 1949), whose limits are the logarithm of x - c, b -> 0,
    and x itself, b -> infinity, the likelihood of a normal z gains over that of a normal x

        log std(x) - log std(z) - E log sqrt((x - c)^2 + b^2)      nats a value

    and x is bent where that is .05 or more and skewness^2 + k^2 / 4, k the excess kurtosis or 0, is above .25 and
    halved: skew or heavy tails, not modes, which no such map takes away. A change of units
    x -> s x + m changes c and b alike.

    >>> z = torch.randn(2000, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> bend(z), all(b > 0 for b in (bend(z.exp())[1], bend(z / z.roll(1))[1]))
    ((0.0, 0.0), True)
    """
    n, x = len(x), x.double().sort()[0]
    if not n:
        return 0.0, 0.0
    if n > QUANTILES:
        x = x[(torch.arange(QUANTILES) * n + n // 2) // QUANTILES]
    low, middle, high = torch.quantile(x, torch.tensor([0.25, 0.5, 0.75], dtype=x.dtype))
    unit = high - low
    if n < FEWEST or not bool(unit > 0):
        return 0.0, 0.0
    x = (x - middle) / unit
    shifts = torch.tensor(SHIFTS, dtype=x.dtype)
    c, b = torch.cat([-shifts[1:].flip(0), shifts]), WIDTHS.to(x)
    best, at, wide = -torch.inf, 0.0, 0.0
    for _ in range(2):
        gain = _gain(x, c, b)
        k = int(gain.argmax())
        i, j = divmod(k, len(b))
        best, at, wide = float(gain.flatten()[k]), float(c[i]), float(b[j])
        step = float((c[min(i + 1, len(c) - 1)] - c[max(i - 1, 0)]) / 2)
        c = at + step * torch.linspace(-1, 1, 9, dtype=x.dtype)
        b = wide * torch.linspace(-1, 1, 9, dtype=x.dtype).exp2()
    away, left = _away(x), _away(((x - at) / wide).asinh())
    if best < GAIN + BY_CHANCE / n or away < AWAY or left > away / 2:
        return 0.0, 0.0
    return float(middle + unit * at), float(unit * wide)


def _gain(x: Float[Tensor, " n"], c: Float[Tensor, " k"], b: Float[Tensor, " l"]) -> Float[Tensor, "k l"]:
    away = (x - c[:, None])[:, None] / b[:, None]  # [k, l, n]
    slope = b.log() + 0.5 * away.square().log1p().mean(2)
    return x.std().log() - away.asinh().std(2).log() - slope


def _away(x: Float[Tensor, " n"]) -> float:
    """From normal, by the third and fourth moments (Jarque and Bera 1980), light tails being near enough."""
    z = (x - x.mean()) / x.std(correction=0)
    return float(z.pow(3).mean() ** 2 + (z.pow(4).mean() - 3).clamp(min=0) ** 2 / 4)
