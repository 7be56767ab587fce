"""One step of the reverse diffusion, from noise level sigma down to a lower one.

In the coordinate y = x + sigma z the reverse family of the course, (135), reads for any alpha >= 0, with
lambda = -log sigma increasing along the way,

    dy = (1 + alpha) (D(y, sigma) - y) dlambda + sqrt(2 alpha) sigma dW_lambda.

alpha = 0 is the deterministic transport, alpha = 1 Anderson's reversed diffusion. A solver is one `step`; it may
call the denoiser `calls` times and look at what earlier steps saw. `order` is the order of its error in the step for
alpha = 0, and is tested.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from monge.denoisers import velocity
from monge.errors import BadInput
from monge.samplers.diffusion.linearisation import Linearisation

# of the absolute weights of an extrapolation, at orders 2 and 3: those of the Adams-Bashforth rules with even steps
MOST_WEIGHT = 2.0, 11 / 3
PLAN_VALUES = 2**15  # of each coefficient, worked out at a time
APART = 1e-3  # least distance of levels in an extrapolation, as a share of the step
Denoise = Callable[[Tensor, Tensor], Tensor]


class Past(NamedTuple):
    """What an earlier step saw (`monge.samplers.diffusion.linearisation`): log sigma, [1] or [n], q, [n, *eigenvalues].

    v, predicted: where it began, and the mean of where it went, if the solver said so.
    """

    log_sigma: Tensor
    q: Tensor
    v: Tensor
    predicted: Tensor | None = None


class Rule(NamedTuple):
    """Coefficients of one step, each [1 or n, *eigenvalues]: v_next = keep v + sum_k weights[k] q_k + noise z.

    rest: 1 - g where it begins. before: keep and weights by which the step before is taken again when its end is seen,
    on the values of q where it began, here, and earlier.
    """

    rest: Tensor
    keep: Tensor
    weights: list[Tensor]
    noise: Tensor
    before: tuple[Tensor, list[Tensor]] | None = None


@dataclass
class Step:
    """Everything that one step may use.

    y, x_hat: the noisy samples at level sigma and what the denoiser makes of them, [n, *event].
    sigma, sigma_next: noise levels now and after, [1 or n, 1, ...]. last: sigma_next is 0, and this the last step.
    z: unit noise [n, *event], or None when alpha = 0.
    mean, linear: mean of the data, which broadcasts to [n, *event], and the linear part of the denoiser.
    past: earlier steps, latest first. rule: of this step, if it was worked out ahead.
    """

    y: Tensor
    x_hat: Tensor
    sigma: Tensor
    sigma_next: Tensor
    alpha: float
    z: Tensor | None
    denoise: Denoise
    mean: Tensor
    linear: Linearisation
    past: list[Past] = field(default_factory=list)
    last: bool = False
    rule: Rule | None = None
    predicted: Tensor | None = field(default=None, init=False)  # by the solver, the mean of v at sigma_next

    @cached_property
    def log_sigma(self) -> Tensor:
        """[1] or [n], in the precision of the coefficients."""
        return self.sigma.reshape(-1).to(self.linear.knots).log()

    @cached_property
    def v(self) -> Tensor:
        """y less the mean, in the eigenbasis."""
        return self.linear.covariance.coordinates(self.y - self.mean)

    @cached_property
    def q(self) -> Tensor:
        """What the denoiser adds to its linear part, (U'(D - m) - g v) / (1 - g)."""
        rest = self.rule.rest if self.rule else self.linear.rest(self.log_sigma).to(self.v)
        # U'(D - m) - v is small where 1 - g is: the difference is taken before the division
        return self.v + self.linear.covariance.coordinates(self.x_hat - self.y) / rest


@runtime_checkable
class Solver(Protocol):
    """A rule for one step of the reverse diffusion."""

    @property
    def order(self) -> int: ...
    @property
    def calls(self) -> int:
        """Denoiser calls per step, the one that gives `x_hat` included."""
        ...

    @property
    def memory(self) -> int:
        """How many earlier steps it looks at."""
        ...

    def step(self, now: Step) -> Tensor:
        """The samples at level `now.sigma_next`."""
        ...


@dataclass(frozen=True)
class EulerMaruyama:
    """Explicit Euler in sigma, the noise added with the variance that accrues, alpha (sigma^2 - sigma_next^2); the last
    step is the denoiser's answer."""

    order: int = field(default=1, init=False)
    calls: int = field(default=1, init=False)
    memory: int = field(default=0, init=False)

    def step(self, now: Step) -> Tensor:
        if now.last:
            return now.x_hat
        slope = (1 + now.alpha) * velocity(now.x_hat, now.y, now.sigma)
        return _diffused(now, now.y + (now.sigma_next - now.sigma) * slope)


@dataclass(frozen=True)
class Heun:
    """Heun's second-order rule in sigma (Karras et al. 2022, Algorithm 1); two calls a step, the last step one."""

    order: int = field(default=2, init=False)
    calls: int = field(default=2, init=False)
    memory: int = field(default=0, init=False)

    def step(self, now: Step) -> Tensor:
        if now.last:
            return now.x_hat
        width = now.sigma_next - now.sigma
        slope = (1 + now.alpha) * velocity(now.x_hat, now.y, now.sigma)
        guess = _diffused(now, now.y + width * slope)
        slope_next = (1 + now.alpha) * velocity(now.denoise(guess, now.sigma_next), guess, now.sigma_next)
        return guess + width * (slope_next - slope) / 2


def _diffused(now: Step, y: Tensor) -> Tensor:
    if now.z is None:
        return y
    return y + (now.alpha * (now.sigma.square() - now.sigma_next.square())).sqrt() * now.z


@dataclass(frozen=True)
class ExponentialMultistep:
    """The linear part and the noise solved exactly; the rest of D, q, extrapolated through its last `order` values.

    In the eigenbasis of the data's covariance, with the gains g and the clock A of
    `monge.samplers.diffusion.linearisation`, c = 1 + alpha, and A' = A(sigma_next),

        v_next = e^{-c (A - A')} v + int c e^{-c (A(s) - A')} q(s) dA(s) + noise,

    q(s) the polynomial through the values at hand in log(1 + (sigma / s)^2), the last step constant. The sum of its
    absolute weights is held below that of the Adams-Bashforth rules with even steps, by going over to the rule of one
    order less: no step, however long, can amplify. Each step is corrected at its end, at no call, by the polynomial
    through the value that is seen there (Zhao et al. 2023, UniC). A Gaussian law costs nothing: it comes out exact for
    any number of steps, from one. Without moments (g = 0) order 1 is DDIM at alpha = 0, and orders 2 and 3 are
    multistep exponential integrators of the kind of DPM-Solver++ (Lu et al. 2022), for every alpha. (Measured gains are
    piecewise in log sigma: at their knots the order is 2 at most.)

    atoms: whether the law is one of atoms, such as quantised data: the last step is then the denoiser's answer.
    """

    order: int = 3
    atoms: bool = False
    calls: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise BadInput(f"ExponentialMultistep has order 1, 2 or 3, not {self.order}")

    @property
    def memory(self) -> int:
        return self.order - 1

    def step(self, now: Step) -> Tensor:
        if now.last and self.atoms:
            return now.x_hat
        rule = now.rule or self.rule_for(now)
        qs = [now.q, *(past.q for past in now.past)]
        before = now.past[0] if now.past else None
        if rule.before is not None and before is not None and before.predicted is not None:
            now.v = now.v - before.predicted + _mean(*rule.before, before.v, [before.q, now.q, *qs[2:]])
        v = now.predicted = _mean(rule.keep, rule.weights, now.v, qs)
        if now.z is not None:
            v = torch.addcmul(v, rule.noise, now.z.reshape(v.shape))
        return now.mean + now.linear.covariance.compose(v)

    def rule_for(self, now: Step) -> Rule:
        """The rule of a step that was not foreseen, so that what it has seen corrects nothing."""
        t, t_next = now.log_sigma, now.sigma_next.reshape(-1).to(now.linear.knots).log()
        levels: list[Tensor] = []
        apart = APART * (t - t_next).nan_to_num(posinf=0.0)
        for past in now.past:  # a blind walk may find that the level did not fall
            levels.append(torch.maximum(past.log_sigma, (levels[-1] if levels else t) + apart))
        return self._rule(now.linear, t, t_next, levels, now.alpha, now.y.dtype)

    def plan(self, linear: Linearisation, grid: Tensor, alpha: float, dtype: torch.dtype) -> Iterator[Rule]:
        """The rules of all steps of a grid of levels, [n], the last step to 0."""
        t = grid.to(linear.knots).log()
        t_next = torch.cat([t[1:], t.new_full((1,), -math.inf)])
        many = max(1, PLAN_VALUES // linear.covariance.eigenvalues.numel())
        first = 0
        while first < len(t):
            end = min(first + (many if first >= self.memory else 1), len(t))
            levels = [t[first - k : end - k] for k in range(1, min(first, self.memory) + 1)]
            found = self._rule(linear, t[first:end], t_next[first:end], levels, alpha, dtype, foreseen=True)
            yield from _each(found, end - first)
            first = end

    def _rule(
        self,
        linear: Linearisation,
        t: Tensor,
        t_next: Tensor,
        levels: list[Tensor],
        alpha: float,
        dtype: torch.dtype,
        foreseen: bool = False,
    ) -> Rule:
        keep, rules, noise = linear.coefficients(t, t_next, levels, alpha)
        weights = rules[0]
        for rule, most in zip(rules[1:], MOST_WEIGHT, strict=False):
            weights = _bounded(rule, weights, most)
        end = t_next.isinf().reshape(-1, *[1] * (keep.ndim - 1))  # the last step: q as it is
        weights = [torch.where(end, float(k == 0), weight) for k, weight in enumerate(weights)]
        before = None
        if foreseen and levels:
            kept, corrected, _ = linear.coefficients(levels[0], t, [t, *levels[1:]], alpha)
            before = kept.to(dtype), [((1 - kept) * weight).to(dtype) for weight in corrected[-1]]
        shares = [((1 - keep) * weight).to(dtype) for weight in weights]
        return Rule(linear.rest(t).to(dtype), keep.to(dtype), shares, noise.to(dtype), before)


def _each(rule: Rule, rows: int) -> Iterator[Rule]:
    """Rules of one level each, of one for several."""
    for k in range(rows):
        row = slice(k, k + 1)
        before = rule.before and (rule.before[0][row], [weight[row] for weight in rule.before[1]])
        yield Rule(rule.rest[row], rule.keep[row], [weight[row] for weight in rule.weights], rule.noise[row], before)


def _mean(keep: Tensor, weights: list[Tensor], v: Tensor, qs: list[Tensor]) -> Tensor:
    total = keep * v
    for weight, q in zip(weights, qs, strict=True):
        total = torch.addcmul(total, weight, q)
    return total


def _bounded(weights: list[Tensor], lower: list[Tensor], most: float) -> list[Tensor]:
    """As much of `weights` as keeps the sum of absolute values below `most`, the rest of the rule of lower order."""
    lower = [*lower, torch.zeros_like(lower[0])]
    size, least = (torch.stack(rule).abs().sum(0) for rule in (weights, lower))
    share = ((most - least) / (size - least).clamp_min(1e-12)).clamp(0.0, 1.0)
    return [share * high + (1 - share) * low for high, low in zip(weights, lower, strict=True)]
