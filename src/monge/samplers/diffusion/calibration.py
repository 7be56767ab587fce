"""A denoiser made right in its first two moments: by so much as a walk shows that they go wrong.

The noisy law of data of mean m and covariance C = U diag(lam) U' has, at every level, E[U'D] = U'm and

    Cov(v_k, (U'D)_k) = Cov(v_k, x_k) = lam_k,    v = U'(y - m),

and along dv/dlog sigma = v - U'(D - m) the variances are lam + sigma^2 at every level if and only if this holds. What
was learned fits the rows that it was learned from, and on the way from noise the identity fails by a few percent,
always to the same side: fine directions come out too narrow. With the slope and the shift that restore it,

    D'(y, sigma) = D(y, sigma) + U (a_k(sigma) v_k + b_k(sigma)),

the law that is walked through has the right mean and variance in each direction at every level, whatever the number of
steps and alpha, in the likelihood too, and what enters the network is as it was in training.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers import Wrapper
from monge.densities import Gaussian
from monge.linalg import bins
from monge.protocols import Denoiser


class Calibration(NamedTuple):
    """What was measured of a denoiser, for a file.

    log_sigma: [K], increasing. slope: [K, bins], a, one for all directions of like eigenvalues. shift: [K,
    *eigenvalues], b. Between levels both are linear in log sigma; above the highest they are 0, below the lowest as
    there.
    """

    log_sigma: Float[Tensor, " levels"]
    slope: Float[Tensor, "levels bins"]
    shift: Float[Tensor, "levels *eigenvalues"]


class Calibrated(Wrapper):
    """D' of a denoiser D, a calibration of it, and the moments of the data.

    >>> from monge.denoisers import Oracle
    >>> law = Gaussian(torch.zeros(1), torch.eye(1))
    >>> one = Calibration(torch.zeros(1), torch.full((1, 1), 0.1), torch.zeros(1, 1))
    >>> D = Calibrated(Oracle(law), one, law)
    >>> D(torch.ones(1, 1), 1.0), D(torch.ones(1, 1), 2.0)  # beyond the levels that were looked at it is D
    (tensor([[0.6000]]), tensor([[0.2000]]))
    """

    def __init__(self, denoiser: Denoiser, calibration: Calibration, moments: Gaussian) -> None:
        super().__init__(denoiser)
        self.calibration, self.law = calibration, moments
        self.bins = bins(moments.covariance.eigenvalues)

    def denoised(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        x_hat: Tensor = self.denoiser(y, sigma)
        slope, shift = self._at(sigma)
        covariance = self.law.covariance
        v = covariance.coordinates(y - self.law.mean.to(y))
        more: Tensor = x_hat + covariance.compose(torch.addcmul(shift.to(v), slope.to(v), v))
        return more

    def _at(self, sigma: Float[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Slope and shift of each direction, [n, *eigenvalues]."""
        knots, slope, shift = (part.to(sigma.device) for part in self.calibration)
        t = sigma.to(knots.dtype).log()
        if len(knots) == 1:
            left, share = torch.zeros_like(t, dtype=torch.long), torch.zeros_like(t)
            right = left
        else:
            left = (torch.searchsorted(knots, t.detach().contiguous()) - 1).clamp(0, len(knots) - 2)
            right = left + 1
            share = ((t - knots[left]) / (knots[right] - knots[left])).clamp(0, 1)
        inside = (t <= knots[-1] + 1e-6).to(t)

        def between(table: Tensor) -> Tensor:
            wide = (-1, *[1] * (table.ndim - 1))
            return torch.lerp(table[left], table[right], share.reshape(wide)) * inside.reshape(wide)

        return between(slope)[:, self.bins.to(sigma.device)], between(shift)


class Calibrating(Wrapper):
    """D' of a denoiser, whose slopes and shifts are found while a walk goes down with it, one call a level.

    least: a level up to which it is left as it is.
    """

    def __init__(self, denoiser: Denoiser, moments: Gaussian, least: float = 0.0) -> None:
        super().__init__(denoiser)
        self.law, self.least = moments, least * (1 + 1e-6)
        self.bins = bins(moments.covariance.eigenvalues)
        self.found: list[tuple[float, Tensor, Tensor]] = []

    def denoised(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        x_hat: Tensor = self.denoiser(y, sigma)
        covariance = self.law.covariance
        v, x = (covariance.coordinates(frame - self.law.mean.to(frame)).double() for frame in (y, x_hat))
        slope, shift = measured(v, x, covariance.eigenvalues.to(v), self.bins.to(v.device))
        if float(sigma[0]) <= self.least:
            slope, shift = torch.zeros_like(slope), torch.zeros_like(shift)
        self.found.append((math.log(float(sigma[0])), slope.cpu(), shift.cpu()))
        return x_hat + covariance.compose(torch.addcmul(shift, slope[self.bins.to(v.device)], v).to(y))

    def calibration(self) -> Calibration:
        """What was found on the way down."""
        log_sigma, slope, shift = zip(*self.found[::-1], strict=True)
        return Calibration(torch.tensor(log_sigma), torch.stack(slope).float(), torch.stack(shift).float())


def measured(
    v: Float[Tensor, "n *eigenvalues"], x: Float[Tensor, "n *eigenvalues"], lam: Tensor, bin_of: Tensor
) -> tuple[Float[Tensor, " bins"], Float[Tensor, "*eigenvalues"]]:
    """Slopes and shifts by which E[x] = 0 and Cov(v, x) = lam, pooled over the directions of a bin.

    Each is drawn towards 0 by the share of its square that is its own variance: what so many rows do not show is left
    alone.
    """
    n, where = len(v), bin_of.flatten()
    mean = x.mean(0)
    away, each = v - v.mean(0), x - mean

    def pooled(values: Tensor) -> Tensor:
        """Sums over the directions of each bin, [..., bins]."""
        flat = values.reshape(-1, where.numel())
        return flat.new_zeros(len(flat), int(where.max()) + 1).index_add(1, where, flat)

    moved, square = pooled(away * each), pooled(away.square())
    own = moved.mean(0) / square.mean(0)
    slope = pooled(lam[None])[0] / square.mean(0) - own
    slope = slope * _kept(slope.square(), (moved - own * square).var(0) / n / square.mean(0).square())
    shift = -mean * _kept(pooled(mean.square()), pooled(each.var(0)) / n)[0][where].reshape(mean.shape)
    return slope, shift


def _kept(square: Tensor, variance: Tensor) -> Tensor:
    return (1 - variance / square.clamp_min(torch.finfo(square.dtype).tiny)).clamp_min(0.0)


def matched(y: Float[Tensor, "n *event"], law: Gaussian) -> Float[Tensor, "n *event"]:
    """Rows brought to the mean and the variances of a law exactly, so that what a walk shows is the denoiser's own."""
    covariance = law.covariance
    v = covariance.coordinates(y - law.mean.to(y)).double()
    spread = v.std(0).clamp_min(torch.finfo(v.dtype).tiny)
    v = (v - v.mean(0)) / spread * covariance.eigenvalues.to(v).sqrt()
    return law.mean.to(y) + covariance.compose(v.to(y))
