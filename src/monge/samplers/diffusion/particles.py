"""Twisted sequential Monte Carlo: reverse diffusion led to an observation, its weights kept (Wu et al. 2023)."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import Guided
from monge.errors import NumericalFailure
from monge.observations import Linear
from monge.samplers.diffusion.linearisation import Linearisation
from monge.samplers.diffusion.solvers import ExponentialMultistep, Rule

EXCLUDED = -1e6  # nats, of what is looked ahead at: what D excludes, x may still be
MORE = 1.5  # over what is estimated of the variance: that of 200 laws by 128 particles
HALF = 0.5  # share of the particles that count, below which they are drawn anew


class Cloud(NamedTuple):
    """Particles at the end: x [systems, particles, *event], their log-weights [systems, particles], log p(obs) of each
    system and its variance [systems], levels [k] and the particles that counted there [k, systems]."""

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    variance: Tensor
    sigma: Tensor
    ess: Tensor


class Particles:
    """Systems of particles on their way from noise to the posterior.

    From one level to the next x goes by the Gaussian kernel of reverse diffusion with alpha = 1,

        p(x' | x) = N(keep v + (1 - keep) q, noise^2)   in the data's principal directions,

    of which the denoiser gives q (`monge.samplers.ExponentialMultistep`, order 1), but is drawn with q of the `Guided`
    denoiser, and is weighted by p(x' | x) t(x') / (t(x) p_guided(x' | x)), t the likelihood of the observation that is
    looked ahead at. The last step draws from the kernel given the observation, where that is linear. So whatever the
    guidance is, the weighted particles tend to the posterior of the chain of kernels as they become many, and the mean
    weight is log p(obs) without bias before the logarithm. The kernels tend to the law of the denoiser as steps become
    many.

    Where few particles count, ESS = 1 / sum w^2 < particles / 2, they are drawn anew from themselves, systematically.
    """

    def __init__(
        self, guided: Guided, mean: Tensor, linear: Linearisation, systems: int, particles: int, seed: int
    ) -> None:
        self.guided, self.mean, self.linear = guided, mean, linear
        self.systems, self.particles, self.seed = systems, particles, seed

    def run(self, y: Float[Tensor, "n *event"], grid: Float[Tensor, " k"], advance: progress.Advance) -> Cloud:
        """y: where all particles begin, systems one after the other. grid: levels that fall."""
        log_w = torch.full_like(self._each(y.flatten(1)[:, 0]), -math.log(self.particles))
        log_z = log_w.new_zeros(self.systems)
        eve = torch.arange(self.particles, device=y.device).expand(self.systems, -1)
        drawn, ess, spread = 0, [], torch.zeros_like(log_z)
        before = torch.zeros_like(log_w)
        rules = ExponentialMultistep(order=1).plan(self.linear, grid, 1.0, y.dtype)
        for index, (level, rule) in enumerate(zip(grid.tolist(), rules, strict=True)):
            twist = self.guided.look(y, y.new_full((len(y),), level))
            if not bool(twist.x_hat.isfinite().all()):
                raise NumericalFailure(f"the denoiser's answers are not finite at level {level:.3g}")
            advance(len(y))
            ahead = self._each(twist.log_likelihood).clamp_min(EXCLUDED)
            log_w = log_w + ahead - before
            log_w, log_z, count = _normalised(log_w, log_z)
            ess.append(count)
            few = count < HALF * self.particles
            if bool(few.any()):
                rows = self._drawn_anew(log_w, few, index)
                y, ahead = y[rows.flatten()], ahead.flatten()[rows]
                twist = type(twist)(*(part[rows.flatten()] for part in twist))
                eve = eve.flatten()[rows]
                log_w = torch.where(few[:, None], -math.log(self.particles), log_w)
                spread, drawn = spread + torch.where(few, 1 / count - 1 / self.particles, 0.0), drawn + 1
            z = rng.normal(tuple(y.shape), self.seed, "particles", index, dtype=y.dtype, device=y.device)
            last = index + 1 == len(grid)
            y, gained = self._step(y, twist, rule, z, last)
            log_w, before = log_w + self._each(gained), ahead
        final = self._each(self._end(y))
        log_w, log_z, count = _normalised(log_w + final - before, log_z)
        x = y.reshape(self.systems, self.particles, *y.shape[1:])
        sigma = torch.cat([grid, grid.new_zeros(1)])
        variance = MORE * torch.maximum(_variance(log_w, eve, drawn), spread + 1 / count - 1 / self.particles)
        return Cloud(x, log_w, log_z, variance, sigma, torch.stack([*ess, count]))

    # -- a step --------------------------------------------------------------------------------------------

    def _step(self, y: Tensor, twist: Any, rule: Rule, z: Tensor, last: bool) -> tuple[Tensor, Tensor]:
        """Where particles go, and the log of what their weights gain by not going as the kernel does."""
        C = self.linear.covariance
        v = C.coordinates(y - self.mean)
        share = rule.weights[0]
        plain = rule.keep * v + share * (v + C.coordinates(twist.x_hat - y) / rule.rest)
        if last and isinstance(self.guided.observation, Linear):
            return self._last(plain, rule, z, self.guided.observation)
        moved = share * C.coordinates(twist.guided - twist.x_hat) / rule.rest
        noise = rule.noise.clamp_min(torch.finfo(y.dtype).tiny)
        z = z.reshape(v.shape)
        apart = moved / noise
        gained = -(z * apart + 0.5 * apart.square()).flatten(1).sum(1)
        return self.mean + C.compose(plain + moved + noise * z), gained

    def _last(self, plain: Tensor, rule: Rule, z: Tensor, seen: Linear) -> tuple[Tensor, Tensor]:
        """From the kernel to 0 given the observation, in closed form; weights gain its likelihood by the kernel."""
        C = self.linear.covariance
        noise = rule.noise
        center = self.mean + C.compose(plain)
        x = center + C.compose(noise * z.reshape(plain.shape))

        def products(u: Tensor, _: Any) -> Tensor:
            return C.compose(noise.to(u).square() * C.coordinates(u))

        e = rng.normal((len(x), seen.size), self.seed, "particles", "noise", dtype=x.dtype, device=x.device)
        r = seen.residual(center)
        weighing, one = seen.weighing(products, center[:1]), torch.zeros(len(x), dtype=torch.long, device=x.device)
        return weighing.conditioned(x, one, e), -0.5 * ((weighing(r, one, x) * r).sum(1) + weighing.log_det.to(r))

    def _end(self, x: Tensor) -> Tensor:
        """What is still to be counted at the end: the likelihood, unless the last step drew by it."""
        seen = self.guided.observation
        return x.new_zeros(len(x)) if isinstance(seen, Linear) else seen.log_likelihood(x)

    def _each(self, value: Tensor) -> Tensor:
        return value.double().reshape(self.systems, self.particles)

    def _drawn_anew(self, log_w: Tensor, few: Tensor, index: int) -> Tensor:
        """Rows that take the place of each, in the systems where few count: systematic."""
        P = self.particles
        u = rng.uniform((self.systems, 1), self.seed, "anew", index, dtype=torch.float64).to(log_w.device)
        at = (torch.arange(P, device=log_w.device) + u) / P
        found = torch.searchsorted(log_w.exp().cumsum(1), at).clamp_max(P - 1)
        own = torch.arange(P, device=log_w.device).expand_as(found)
        first = P * torch.arange(self.systems, device=log_w.device)[:, None]
        return first + torch.where(few[:, None], found, own)


def _normalised(log_w: Tensor, log_z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights of sum 1, the log evidence with their sum, and how many count; of none that are possible, none do."""
    total = log_w.logsumexp(1)
    dead = total.isinf()
    even = torch.full_like(log_w, -math.log(log_w.shape[1]))
    log_w = torch.where(dead[:, None], even, log_w - total[:, None])
    return log_w, log_z + total, torch.where(dead, 0.0, (-(2 * log_w).logsumexp(1)).exp())


def _variance(log_w: Tensor, eve: Tensor, drawn: int) -> Tensor:
    """Of the evidence, in its square, by the particles that all came from: 1 - (P / (P - 1))^(drawn + 1) times the
    weight of pairs that came from two (Lee and Whiteley 2018); a rough one, of few particles, and so not below the sum
    of the variances of the mean weight at each time that they were drawn anew."""
    P = log_w.shape[1]
    if P == 1:
        return torch.full_like(log_w[:, 0], math.nan)
    shares = torch.zeros_like(log_w).scatter_add_(1, eve, log_w.exp())
    apart = 1 - shares.square().sum(1)
    return (1 - (P / (P - 1)) ** (drawn + 1) * apart).clamp_min(0.0)
