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
from monge.samplers.chains.states import Info, State, chosen, near, noise, ready, towards

TARGET = 0.8  # acceptance that the step is tuned to
LENGTHS = tuple(math.pi / 2 * ratio for ratio in (0.25, 0.5, 1.0, 2.0))  # trajectories tried, in whitened time
JITTER = 0.6  # of a trajectory's length, at most, so that no period is met twice
MOST = 1000  # leapfrog steps of a trajectory
EARLY = 32, 128, 512  # the same in the windows of the warm-up, before the mass is known
DIVERGED = 1000.0  # nats of energy that no good integrator gains
WINDOWS = 0.1, 0.25, 0.5  # shares of the warm-up at which the mass is taken from what was seen, and looking begins anew
ENOUGH = 50  # looks, of all chains, that a mass is taken from
PRIOR, LEAST = 10, 1e-3  # looks, and share of the least variance, that the prior of a variance is worth


@dataclass(frozen=True)
class Hamiltonian:
    """Momentum p ~ N(0, C^-1), leapfrog steps of dx = C p dt, dp = grad log p(x) dt, and Metropolis' coin.

    C is what is known of the covariance: variances of the values or, with `fourier`, of the Fourier modes of a
    stationary field [C, *space], so that long waves move as fast as short ones. The warm-up tunes the step to an
    acceptance of .8, C to what the chains visit, then the length to the one that changes the squared distance from the
    mean the most for its cost (Hoffman, Radul and Sountsov 2021). All chains share them.

    h: step. length: time of a trajectory, jittered by up to 60%. fixed: leave that length as it is. fourier: None for
    fields, the basis in which the variances have the smaller product, of those bases the one that is nearer to C's own
    (Hadamard). variance: eigenvalues of C, [*event]; waves: whether they are those of Fourier modes.
    """

    law: Any
    h: float = 0.1
    length: float = LENGTHS[1]
    fourier: bool | None = None
    fixed: bool = False
    seed: int = 0
    variance: Tensor | None = None
    waves: bool = False
    most: int = MOST
    window: int = 0  # of the warm-up; what it has seen so far:
    seen: int = 0
    pivot: Tensor | None = None
    first: Tensor | None = None
    second: Tensor | None = None
    power: Tensor | None = None
    worth: Tensor | None = None
    lately: Tensor | None = None
    adapted: ClassVar[tuple[str, ...]] = (
        *("h", "length", "variance", "waves", "most", "window", "seen", "pivot"),
        *("first", "second", "power", "worth", "lately"),
    )

    def start(self, x: Float[Tensor, "chains *event"], steps: int = 0) -> State:
        energy, score = self.law.energy_and_score(x)
        return State(x, energy, score, steps)

    def covariance(self, x: Tensor) -> Covariance:
        variance = torch.ones_like(x[0]) if self.variance is None else self.variance.to(x)
        return StationaryCovariance(variance) if self.waves else DiagonalCovariance(variance)

    def leaps(self, count: int) -> int:
        """Leapfrog steps of this step's trajectory."""
        u = float(rng.uniform((1,), self.seed, "length", count))
        return max(1, min(self.most, round(self.length * (1 + JITTER * (2 * u - 1)) / self.h)))

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
        return new, Info(probability, ~(gained < DIVERGED), energy.isnan() & near(state, x))

    # -- warm-up -------------------------------------------------------------------------------------------

    def ready(self, state: State) -> "Hamiltonian":
        once = dataclasses.replace(self, most=1)
        h: float = ready(once, state, "h", TARGET, 2.0).h
        return dataclasses.replace(self, h=h, most=EARLY[min(self.window, len(EARLY) - 1)])

    def tuned(self, before: State, after: State, info: Info, done: float) -> "Hamiltonian":
        h, lately = towards(self.h, info, TARGET, self.seen, self.lately)
        window = sum(done > share for share in WINDOWS)
        known: dict[str, Any] = {"h": h, "lately": lately, "seen": self.seen + 1}
        known["most"] = EARLY[self.window] if self.window < len(EARLY) and done < 1 else MOST
        if self.window == len(WINDOWS):
            return dataclasses.replace(self, **known, **({} if self.fixed else self._judged(before, after, done)))
        looked = dataclasses.replace(self, **known, **self._looked(after.x))
        if window == self.window:
            return looked
        enough = looked.seen * len(after.x) >= ENOUGH
        looked = dataclasses.replace(looked, **(looked._mass(len(after.x)) if enough else {}), window=window, seen=0)
        return looked.ready(after) if enough else looked  # the step is in the unit of the mass

    def _looked(self, x: Tensor) -> dict[str, Any]:
        """Means of x, of its squares and of its periodogram, about the mean of the first look, so that no digits are
        lost, with one more look at the chains."""
        pivot = x.mean(0) if self.pivot is None else self.pivot.to(x)
        away = x - pivot
        sums = {"first": away.mean(0), "second": away.square().mean(0)}
        if x.ndim > 2 and self.fourier is not False:
            even = x - pivot.mean(tuple(range(1, pivot.ndim)), keepdim=True)
            sums["power"] = torch.fft.fftn(even, dim=tuple(range(2, x.ndim))).abs().square().mean(0) / x[0, 0].numel()
        if self.seen and self.first is not None:
            share = 1 / (self.seen + 1)
            sums = {name: torch.lerp(getattr(self, name).to(x), value, share) for name, value in sums.items()}
        return {"pivot": pivot, **sums}

    def _mean(self) -> Tensor:
        assert self.first is not None
        assert self.pivot is not None
        mean = self.pivot + self.first
        return mean.mean(tuple(range(1, mean.ndim)), keepdim=True) if self.waves else mean

    def _mass(self, chains: int) -> dict[str, Any]:
        """Variances of the values, or of the modes about the mean of all sites; never quite 0."""
        assert self.first is not None
        assert self.second is not None
        n = self.seen * chains

        def never_quite_0(variance: Tensor) -> Tensor:
            least = LEAST * variance[variance > 0].min() if bool((variance > 0).any()) else 1.0
            return (n * variance.clamp_min(0) + PRIOR * least) / (n + PRIOR)

        values = never_quite_0(self.second - self.first.square())
        if self.power is None:
            return {"variance": values, "waves": False}
        modes, axes = self.power.clone(), tuple(range(1, self.first.ndim))
        modes.view(len(modes), -1)[:, 0] -= self.first.mean(axes).square() * self.first[0].numel()
        modes = never_quite_0(modes)
        waves = bool(self.fourier) or float(modes.log().sum()) <= float(values.log().sum())
        return {"variance": modes if waves else values, "waves": waves}

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
