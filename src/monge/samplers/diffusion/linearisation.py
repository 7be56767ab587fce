"""The linear part of a denoiser, its mean Jacobian, in which reverse diffusion is solved exactly.

Let the data have mean m and covariance C = U diag(lam) U', v = U'(y - m), t = log sigma. The gain of direction i,

    g_i(sigma) = E[d (U'D)_i / d v_i] = E[(U'(x - D))_i^2] / sigma^2 = 1 - E[(U'(y - D))_i^2] / sigma^2,

is lam / (lam + sigma^2) for a Gaussian (Wiener), about 0 for tight modes seen from afar, and 1 within a mode; the last
form, Fisher's information of the noisy law, needs noisy samples only. With the clock dA_i = (1 - g_i) dt and
q = (U'(D - m) - g v) / (1 - g), the deterministic transport dv/dt = v - U'(D - m) is

    dv / dA = v - q,

where q varies little at every sigma: 0 for a Gaussian, the centre of the mode for a mixture. A stays bounded below as
sigma falls to 0 wherever the law has a width, so that the last step ends at sigma = 0.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from monge.linalg import Covariance, bins

# Gauss-Legendre quadrature on [0, 1]
_points, _shares = np.polynomial.legendre.leggauss(8)
NODES, SHARES = torch.from_numpy((_points + 1) / 2), torch.from_numpy(_shares / 2)
LEAST = -60.0  # of log-odds: a direction whose gain is nothing
KNEE = 5.0  # q changes in log sigma down to a fifth of the largest principal s.d., and in sigma^2 below


class Gains(NamedTuple):
    """What was measured of a denoiser, for a file.

    log_sigma: [K], increasing. excess: [K, bins], log-odds of the gain less those of Wiener's, for directions in the
    order of falling eigenvalues. pace: [K], how closely steps should stand there.
    """

    log_sigma: Float[Tensor, " levels"]
    excess: Float[Tensor, "levels bins"]
    pace: Float[Tensor, " levels"]


class Coefficients(NamedTuple):
    """v_next = keep v + (1 - keep) sum_k rule[k] q_k + noise z, all [1 or n, *eigenvalues].

    rules: one for each order, by how many levels it looks at, its weights of sum 1, the present level's first.
    """

    keep: Tensor
    rules: list[list[Tensor]]
    noise: Tensor


def lagrange(knots: list[Tensor], at: Tensor) -> list[Tensor]:
    """The polynomials that are 1 at one knot and 0 at the others.

    >>> lagrange([torch.tensor(0.0), torch.tensor(1.0)], torch.tensor(3.0))
    [tensor(-2.), tensor(3.)]
    """
    made = []
    for own in knots:
        factors = [(at - other) / (own - other) for other in knots if other is not own]
        made.append(torch.stack(factors).prod(0) if factors else torch.ones_like(at))
    return made


class Linearisation:
    """Gains of every direction at every level: log-odds piecewise linear in log sigma, as they are for a Gaussian.

    covariance: whose eigenbasis is used. gains: measured ones; without, those of Wiener.

    >>> from monge.linalg import DiagonalCovariance
    >>> L = Linearisation(DiagonalCovariance(torch.tensor([1.0, 4.0])))
    >>> L.rest(torch.zeros(1))  # 1 - g at sigma = 1
    tensor([[0.5000, 0.2000]], dtype=torch.float64)
    """

    def __init__(self, covariance: Covariance, gains: Gains | None = None) -> None:
        lam = covariance.eigenvalues
        lam = lam.cpu().double() if lam.device.type == "mps" else lam.double()
        self.covariance, self.gains = covariance, gains
        self.top = float(lam.max().sqrt())
        log_lam = lam.clamp_min(torch.finfo(torch.float64).tiny).log()
        if gains is None:
            self.knots, excess = torch.tensor([-1.0, 1.0]).to(lam), torch.zeros(2, *lam.shape).to(lam)
        else:
            self.knots, excess = gains.log_sigma.to(lam), gains.excess.to(lam)[:, bins(lam)]
        self.odds = (log_lam - 2 * self._wide(self.knots) + excess).clamp_min(LEAST)
        # pieces: the first and the last, without end, fall as a Gaussian's
        fall = torch.full_like(self.odds[:1], -2.0)
        self.slope = torch.cat([fall, self.odds.diff(dim=0) / self._wide(self.knots.diff()), fall])
        first = torch.arange(len(self.knots) + 1).sub(1).clamp_min(0).to(lam.device)
        self.begin, self.begin_odds = self.knots[first], self.odds[first]
        pieces = self._way(self.begin_odds[1:-1], self.odds[1:], self.slope[1:-1], self._wide(self.knots.diff()))
        zero = torch.zeros_like(self.odds[:1])
        self.elapsed = torch.cat([zero, zero, pieces]).cumsum(0)

    def at(self, t: Float[Tensor, " m"]) -> tuple[Tensor, Tensor]:
        """Log-odds of the gains, log g / (1 - g), and the clock A, the integral of 1 - g over log sigma, at log sigma
        = t, [m, *eigenvalues]; t = -inf is sigma = 0."""
        piece = torch.searchsorted(self.knots, t.contiguous())
        width, slope, begin = self._wide(t - self.begin[piece]), self.slope[piece], self.begin_odds[piece]
        odds = begin + slope * width
        return odds, self.elapsed[piece] + self._way(begin, odds, slope, width)

    def rest(self, t: Float[Tensor, " m"]) -> Tensor:
        """1 - g, [m, *eigenvalues]."""
        return torch.sigmoid(-self.at(t)[0])

    def clock(self, t: Float[Tensor, " m"]) -> Tensor:
        """A, [m, *eigenvalues]."""
        return self.at(t)[1]

    def coefficients(
        self, t: Float[Tensor, " m"], t_next: Float[Tensor, " m"], past: list[Tensor], alpha: float
    ) -> Coefficients:
        """Of one step from log sigma = t to t_next (-inf: to sigma = 0), q extrapolated through t and past levels.

        keep = e^{-cA} with c = 1 + alpha and A the clock's way; the rules integrate c e^{-c(A(s) - A_next)} dA(s)
        against Lagrange's polynomials; the noise is that of the Gaussian law which would have this A, exact for a
        Gaussian and to second order for any.
        """
        c, m = 1 + alpha, max(len(t), len(t_next))
        nodes = t_next + NODES.to(t)[:, None] * (t - t_next) if past else t.new_zeros(0, m)
        odds, clock = self.at(torch.cat([t.expand(m), t_next.expand(m), nodes.flatten()]))
        odds, clock = (each.reshape(-1, m, *each.shape[1:]) for each in (odds, clock))
        way = (clock[0] - clock[1]).clamp_min(0.0)
        shift = t.exp().square() - t_next.exp().square()
        share = torch.where(way > 0, torch.exp(-2 * way) * torch.expm1(-2 * alpha * way) / torch.expm1(-2 * way), alpha)
        noise = (self._wide(shift) * share.nan_to_num(nan=alpha)).sqrt()
        keep = torch.exp(-c * way)
        rules = [[torch.ones_like(keep)]]
        if not past:
            return Coefficients(keep, rules, noise)
        kernel = torch.exp(-c * (clock[2:] - clock[1])) * torch.sigmoid(-odds[2:])
        kernel = SHARES.to(t).reshape(-1, *[1] * clock[0].ndim) * kernel
        kernel = kernel / kernel.sum(0)
        knots, at = [self.knee(s) for s in (t, *past)], self.knee(nodes)
        polynomials = [lagrange(knots[: order + 1], at) for order in range(1, len(knots))]
        rules += [[(kernel * self._wide(p)).sum(0) for p in own] for own in polynomials]
        return Coefficients(keep, rules, noise)

    def knee(self, t: Tensor) -> Tensor:
        """The coordinate in which q is extrapolated: log(1 + (sigma / s)^2), s a fifth of the largest principal s.d."""
        return torch.log1p((KNEE / self.top * t.exp()).square())

    def information(self) -> Float[Tensor, " levels"]:
        """KL(law of y, N(m, C + sigma^2)) in nats at each knot: the integral of sum_i (g_Wiener - g) d log sigma above.

        By the relation of mutual information and mean square error (Guo, Shamai and Verdu 2005).
        """
        lam = self.covariance.eigenvalues.to(self.odds)
        wiener = lam / (lam + self._wide((2 * self.knots).exp()))
        less = (wiener - torch.sigmoid(self.odds)).flatten(1).sum(1)
        pieces = (less[1:] + less[:-1]) / 2 * self.knots.diff()
        return torch.cat([pieces.flip(0).cumsum(0).flip(0), less.new_zeros(1)])

    def _way(self, begin: Tensor, end: Tensor, slope: Tensor, width: Tensor) -> Tensor:
        """Integral of 1 - g = 1 / (1 + e^l) over a width in which the log-odds l go from begin to end by a slope."""
        flat = slope.abs() < 1e-9
        closed = (softplus(-begin) - softplus(-end)) / torch.where(flat, 1.0, slope)
        return torch.where(flat, torch.sigmoid(-begin) * width, closed)

    def _wide(self, t: Tensor) -> Tensor:
        """[...] as what multiplies [..., *eigenvalues]."""
        return t.reshape(*t.shape, *[1] * self.covariance.eigenvalues.ndim)
