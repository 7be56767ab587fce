"""Where a law stands and how wide it is, in whatever unit, when only its denoiser is known."""

import contextlib
import math
from typing import NamedTuple

import torch
from torch import Tensor

from monge import rng
from monge.denoisers import informed
from monge.densities import Gaussian
from monge.linalg import DiagonalCovariance
from monge.protocols import Denoiser
from monge.samplers.diffusion.descent import answer

ROUGH = 2e-3, 80.0  # levels of a denoiser of which nothing is known, in units of its law's width
ROWS = 16  # of the coarse walk, at each level
FIRST, HIGHER, TIMES = 80.0, 1e3, 4  # levels at which the law is looked for from above: 80, 8e4, 8e7, 8e10
AFAR = 8.0  # widths from which a law is seen whole
LOOKS = 40  # at most
QUIET = 0.25  # of the noise at most is left in an answer that says where the law is
DIGITS = 2.0  # roundings of the mean: s.d. below that is that of a point


class Scale(NamedTuple):
    """mean: [*event]. width: the standard deviation of a value, in the root mean square. calls: rows of all calls."""

    mean: Tensor
    width: float
    calls: int = 0

    @property
    def rough(self) -> tuple[float, float]:
        """The levels between which a law of this width is walked down when nothing else is known."""
        return max(ROUGH[0] * self.width, point(self.mean)), ROUGH[1] * self.width

    @property
    def moments(self) -> Gaussian:
        return Gaussian(self.mean, DiagonalCovariance(torch.full_like(self.mean, self.width**2)))


def of_moments(moments: Gaussian) -> Scale:
    """Of a law whose moments are known; a point has the width of the digits that its mean has."""
    return Scale(moments.mean, max(float(moments.covariance.eigenvalues.mean().sqrt()), point(moments.mean)))


class Survey(NamedTuple):
    """moments: of the law, as far as they are known. width: of the law. ends: the lowest and the highest level."""

    moments: Gaussian
    width: float
    ends: tuple[float, float]


def survey(
    denoiser: Denoiser,
    event_shape: tuple[int, ...],
    moments: Gaussian | None,
    low: float | None,
    high: float | None,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Survey:
    """Between which levels a denoiser is asked, where these or its moments are not all given: moments first, then what
    the levels say, then a coarse walk, over rows with a label each, too."""
    if moments is not None:
        scale = of_moments(moments)
    elif low is not None and high is not None:
        scale = Scale(torch.zeros(event_shape, dtype=dtype, device=device), high / ROUGH[1])
        moments = Gaussian(scale.mean, DiagonalCovariance(scale.mean))
    else:
        least, most = low or 0.0, high or math.inf
        scale = coarse(denoiser, event_shape, least=least, most=most, dtype=dtype, device=device)
        moments = scale.moments
    ends = (scale.rough[0] if low is None else low), (scale.rough[1] if high is None else high)
    return Survey(moments, scale.width, ends)


def point(mean: Tensor) -> float:
    """The width below which a law about this mean cannot be told from a point."""
    size = float(mean.abs().max())
    return DIGITS * torch.finfo(mean.dtype).eps * size if size > 0 else torch.finfo(mean.dtype).tiny ** 0.5


@torch.no_grad()
def coarse(
    denoiser: Denoiser,
    event_shape: tuple[int, ...],
    *,
    most: float = math.inf,
    least: float = 0.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Scale:
    """A walk over levels: from above, down to where the answers fill an eighth of the noise.

    For sigma far above the law's width s, D(m + sigma z, sigma) = m + (s^2 / sigma) z + o(1 / sigma), so that the
    spread of the answers tells s^2; the level is then brought to 8 s about the mean of the answers, until it stays.
    The first level is the highest of 80, 8e4, 8e7, 8e10 at which it answers, with finite values that leave out most of
    the noise, and higher where the law is. most, least: levels beyond which the denoiser is not asked, but where the
    law is wider than an eighth of `most`. A denoiser whose answers grow with the noise at any level has no width: it
    gets mean 0 and width 1. A call is of 16 rows, or of as many as the denoiser is made for.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> law = Gaussian(torch.full((2,), 3e-6), 1e-18 * torch.eye(2, dtype=torch.float64))
    >>> 0.5 < coarse(Oracle(law), (2,), dtype=torch.float64).width / 1e-9 < 2
    True
    """
    denoiser = informed(denoiser)
    rows = min(ROWS, denoiser.count or ROWS)
    denoiser = denoiser.rows(0, rows)
    z = rng.normal((rows, *event_shape), 0, "scale", dtype=dtype, device=device)
    about, calls = torch.zeros_like(z[0]), 0

    def look(sigma: float) -> tuple[Tensor, float]:
        """Mean of the answers, and the width that their spread tells."""
        nonlocal calls
        x_hat = answer(denoiser, about + sigma * z, z.new_full((1,), sigma))
        calls += rows
        mean = x_hat.mean(0)
        return mean, math.sqrt(sigma * float((x_hat - mean).double().square().mean().sqrt()))

    sigma, mean, width = 0.0, about, math.nan
    levels = sorted({min(most, max(least, FIRST * HIGHER**k)) for k in range(TIMES)})
    for sigma in reversed(levels):
        try:
            mean, width = look(sigma)
        except Exception:  # beyond the levels that a stranger's denoiser answers at; at the last it is told
            if sigma == levels[0]:
                raise
            continue
        if 0 < width**2 <= QUIET * sigma**2 and bool(mean.isfinite().all()):
            break
    for _ in range(LOOKS):
        away, seen = float((mean - about).double().square().mean().sqrt()), AFAR * max(width, point(mean))
        wanted = max(seen, AFAR * away) if AFAR * away > sigma else seen
        wanted = max(least, wanted if wanted > 2 * most else min(most, wanted))
        if not wanted < math.inf or 0.5 < wanted / sigma < 2.0:
            break
        about, sigma = mean, wanted
        mean, width = look(sigma)
    else:
        width = math.nan  # it follows the level
    found = Scale(mean, max(width, point(mean)), calls)
    if 0 < width < math.inf and FIRST * sigma <= min(most, levels[-1]):
        with contextlib.suppress(Exception):
            width = width if look(FIRST * sigma)[1] < HIGHER**0.5 * found.width else math.nan
    if not bool(mean.isfinite().all()) or not 0 <= width < math.inf:  # the walk will say so
        return Scale(torch.zeros_like(mean), 1.0, calls)
    return found._replace(calls=calls)
