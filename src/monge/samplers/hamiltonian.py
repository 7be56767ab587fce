"""Hamiltonian Monte Carlo: long moves along level sets of the energy, with a mass learned from the chains."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.linalg import Covariance, DiagonalCovariance, StationaryCovariance
from monge.samplers.states import Info, State, chosen, noise, towards

TARGET = 0.8  # acceptance that the step is tuned to
LENGTHS = tuple(math.pi / 2 * ratio for ratio in (0.25, 0.5, 1.0, 2.0))  # trajectories tried, in whitened time
JITTER = 0.6  # of a trajectory's length, at most, so that no period is met twice
MOST = 1000  # leapfrog steps of a trajectory
DIVERGED = 1000.0  # nats of energy that no good integrator gains
WINDOWS = 0.1, 0.25, 0.5  # shares of the warm-up at which the mass is taken from what was seen, and looking begins anew
ENOUGH = 50  # looks, of all chains, that a mass is taken from
PRIOR, LEAST = 10, 1e-3  # looks, and share of the mean variance, that the prior of a variance is worth


@dataclass(frozen=True)
class Hamiltonian:
    """Momentum p ~ N(0, C^-1), leapfrog steps of dx = C p dt, dp = grad log p(x) dt, and Metropolis' coin.

    C is what is known of the covariance: variances of the values or, with `fourier`, of the Fourier modes of a
    stationary field [C, *space], so that long waves move as fast as short ones. The warm-up tunes the step to an
    acceptance of .8, C to what the chains visit, then the length to the one that changes the squared distance from the
    mean the most for its cost (Hoffman, Radul and Sountsov 2021). All chains share them.

    h: step. length: time of a trajectory, jittered by up to 60%. fixed: leave that length as it is. variance:
    eigenvalues of C, [*event].
    """

    law: Any
    h: float = 0.1
    length: float = LENGTHS[1]
    fourier: bool = False
    fixed: bool = False
    seed: int = 0
    variance: Tensor | None = None
    window: int = 0  # of the warm-up; what it has seen so far:
    seen: int = 0
    first: Tensor | None = None
    second: Tensor | None = None
    worth: Tensor | None = None
    adapted: ClassVar[tuple[str, ...]] = ("h", "length", "variance", "window", "seen", "first", "second", "worth")

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        energy, score = self.law.energy_and_score(x)
        return State(x, energy, score, steps)

    def covariance(self, x: Tensor) -> Covariance:
        variance = torch.ones_like(x[0]) if self.variance is None else self.variance.to(x)
        return StationaryCovariance(variance) if self.fourier else DiagonalCovariance(variance)

    def leaps(self, count: int) -> int:
        """Leapfrog steps of this step's trajectory."""
        u = float(rng.uniform((1,), self.seed, "length", count))
        return max(1, min(MOST, round(self.length * (1 + JITTER * (2 * u - 1)) / self.h)))

    def step(self, state: State) -> tuple[State, Info]:
        assert state.score is not None
        covariance = self.covariance(state.x)
        p = covariance.apply(torch.rsqrt, noise(state, self.seed, "momentum"))
        before = state.energy + _kinetic(p, covariance)
        x, energy, score = state.x, state.energy, state.score
        p = p + 0.5 * self.h * score
        for _ in range(self.leaps(state.steps)):
            x = x + self.h * covariance.apply(_itself, p)
            energy, score = self.law.energy_and_score(x)
            p = p + self.h * score
        p = p - 0.5 * self.h * score
        gained = energy + _kinetic(p, covariance) - before
        new, probability = chosen(state, State(x, energy, score, state.steps), -gained, self.seed)
        return new, Info(probability, ~(gained < DIVERGED))

    # -- warm-up -------------------------------------------------------------------------------------------

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Hamiltonian":
        h, window = towards(self.h, info, TARGET, self.seen), sum(done > share for share in WINDOWS)
        if self.window == len(WINDOWS):
            judged = {} if self.fixed else self._judged(before, after, done)
            return dataclasses.replace(self, h=h, seen=self.seen + 1, **judged)
        looked = dataclasses.replace(self, h=h, seen=self.seen + 1, **self._looked(after.x))
        if window == self.window:
            return looked
        enough = looked.seen * len(after.x) >= ENOUGH
        variance = looked._variance(len(after.x)) if enough else self.variance
        return dataclasses.replace(looked, variance=variance, window=window, seen=0)

    def _looked(self, x: Tensor) -> dict[str, Any]:
        """The sums of x and of its squares, or of its periodogram, with one more look at the chains."""
        square = x.square()
        if self.fourier:
            square = torch.fft.fftn(x, dim=tuple(range(2, x.ndim))).abs().square() / x[0, 0].numel()
        sums = {"first": x.mean(0), "second": square.mean(0)}
        if self.seen and self.first is not None and self.second is not None:
            share = 1 / (self.seen + 1)
            sums = {
                "first": torch.lerp(self.first.to(x), sums["first"], share),
                "second": torch.lerp(self.second.to(x), sums["second"], share),
            }
        return sums

    def _mean(self) -> Tensor:
        assert self.first is not None
        return self.first.mean() if self.fourier else self.first

    def _variance(self, chains: int) -> Tensor:
        """Of the values or, with `fourier`, of the modes about the mean of all sites; never quite 0."""
        assert self.second is not None
        variance, mean, n = self.second.clone(), self._mean(), self.seen * chains
        if self.fourier:
            variance.view(len(variance), -1)[:, 0] -= mean.square() * variance[0].numel()
        else:
            variance -= mean.square()
        variance.clamp_min_(0)
        return (n * variance + PRIOR * LEAST * variance.mean()) / (n + PRIOR)

    def _judged(self, before: State, after: State, done: float) -> dict[str, Any]:
        """What the last length was worth, and the next one to try; at the end, the best."""
        covariance, mean, i = self.covariance(after.x), self._mean(), LENGTHS.index(self.length)
        far = [covariance.apply(torch.rsqrt, x - mean).flatten(1).square().sum(1) for x in (before.x, after.x)]
        worth = torch.zeros(2, len(LENGTHS), dtype=torch.float64) if self.worth is None else self.worth.clone()
        worth[0, i] += float((far[1] - far[0]).square().mean())
        worth[1, i] += self.leaps(before.steps)
        best = int((worth[0] / worth[1].clamp_min(1)).argmax())
        return {"worth": worth, "length": LENGTHS[best if done >= 1 else (i + 1) % len(LENGTHS)]}


def _itself(lam: Tensor) -> Tensor:
    return lam


def _kinetic(p: Tensor, covariance: Covariance) -> Tensor:
    return 0.5 * (p * covariance.apply(_itself, p)).flatten(1).sum(1)
