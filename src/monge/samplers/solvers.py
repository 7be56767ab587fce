"""One step of the reverse diffusion, from noise level sigma down to a lower one.

In the coordinate y = x + sigma z the reverse family of the course, (135), reads for any alpha >= 0, with
lambda = -log sigma increasing along the way,

    dy = (1 + alpha) (D(y, sigma) - y) dlambda + sqrt(2 alpha) sigma dW_lambda.

alpha = 0 is the deterministic transport, alpha = 1 Anderson's reversed diffusion. A solver is one `step`; it may
call the denoiser `calls` times and look at the denoised images of earlier steps. `order` is the order of its
error in the step for alpha = 0, and is tested.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from monge.denoisers import velocity
from monge.errors import BadInput
from monge.linalg import Moments

# Gauss-Legendre quadrature on [0, 1]
_points, _weights = np.polynomial.legendre.leggauss(12)
NODES, SHARES = torch.from_numpy((_points + 1) / 2), torch.from_numpy(_weights / 2)
Denoise = Callable[[Tensor, Tensor], Tensor]


class Past(NamedTuple):
    """What an earlier step saw: its noise level, [1 or n, 1, ...], and how its denoiser differed from Wiener's."""

    sigma: Tensor
    residual: Tensor


@dataclass
class Step:
    """Everything that one step may use.

    y, x_hat: the noisy samples at level sigma and what the denoiser makes of them, [n, *event].
    sigma, sigma_next: noise levels now and after, [1 or n, 1, ...]; sigma_next > 0.
    z: unit noise [n, *event], or None when alpha = 0.
    moments: mean and covariance of the data; a point at zero if they are not known.
    past: earlier steps, latest first.
    """

    y: Tensor
    x_hat: Tensor
    sigma: Tensor
    sigma_next: Tensor
    alpha: float
    z: Tensor | None
    denoise: Denoise
    moments: Moments
    past: list[Past] = field(default_factory=list)

    @property
    def residual(self) -> Tensor:
        """D - D_G, what the denoiser knows beyond the mean and covariance (D_G is Wiener's filter)."""
        return self.x_hat - self.moments.wiener(self.y, self.sigma)


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
    """Explicit Euler in sigma, the noise added with the variance that accrues, alpha (sigma^2 - sigma_next^2)."""

    order: int = field(default=1, init=False)
    calls: int = field(default=1, init=False)
    memory: int = field(default=0, init=False)

    def step(self, now: Step) -> Tensor:
        slope = (1 + now.alpha) * velocity(now.x_hat, now.y, now.sigma)
        return _diffused(now, now.y + (now.sigma_next - now.sigma) * slope)


@dataclass(frozen=True)
class Heun:
    """Heun's second-order rule in sigma (Karras et al. 2022, Algorithm 1); two calls a step."""

    order: int = field(default=2, init=False)
    calls: int = field(default=2, init=False)
    memory: int = field(default=0, init=False)

    def step(self, now: Step) -> Tensor:
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
    """The Gaussian part and the noise solved exactly; the rest of D extrapolated through its last `order` values.

    Let the data have mean m and covariance C = U diag(lam) U', D_G be the Wiener filter, r = U'(D - D_G) and
    v = U'(y - m). With c = 1 + alpha, s(u) = lam + sigma^2 e^{-2u} and h = log(sigma / sigma_next), coordinate by
    coordinate,

        v_next = (s(h)/s(0))^{c/2} v + int_0^h c (s(h)/s(u))^{c/2} r(u) du + sqrt(s(h) (1 - (s(h)/s(0))^alpha)) z,

    r(u) the polynomial through the values at hand, the integral by Gauss-Legendre quadrature. A Gaussian law
    costs nothing: it comes out exact for any number of steps. Without moments (lam = 0, m = 0) order 1 is DDIM
    (alpha = 0), and orders 2 and 3 are multistep exponential integrators of the kind of DPM-Solver++ (Lu et al.
    2022), for every alpha.
    """

    order: int = 2
    calls: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise BadInput(f"ExponentialMultistep has order 1, 2 or 3, not {self.order}")

    @property
    def memory(self) -> int:
        return self.order - 1

    def step(self, now: Step) -> Tensor:
        c, covariance, mean = 1 + now.alpha, now.moments.covariance, now.moments.mean.to(now.y)
        n = len(now.sigma)
        lam = covariance.eigenvalues.to(now.y)[None]
        before, after = (covariance.level(sigma.reshape(-1), n).to(now.y) for sigma in (now.sigma, now.sigma_next))
        end, h = lam + after.square(), (before / after).log()
        nodes, shares = (t.to(now.y).reshape(-1, *[1] * lam.ndim) for t in (NODES, SHARES))
        u = nodes * h
        kernel = shares * h * c * (end / (lam + (before * (-u).exp()).square())).pow(c / 2)
        ratio = end / (lam + before.square())
        y = covariance.apply(lambda _: ratio.pow(c / 2), now.y - mean)
        for power, coefficient in enumerate(_polynomial(now)):
            weight = (kernel * u**power).sum(0)
            y = y + covariance.apply(lambda _, weight=weight: weight, coefficient)  # type: ignore[misc]
        if now.z is not None:
            y = y + covariance.apply(lambda _: (end * -torch.expm1(now.alpha * ratio.log())).sqrt(), now.z)
        return mean + y


def _polynomial(now: Step) -> list[Tensor]:
    """Coefficients of 1, u, u^2 of the residual, u = log(sigma_now / sigma), by Newton's differences."""
    residual = now.residual
    if not now.past:
        return [residual]
    back = (now.past[0].sigma / now.sigma).log()
    slope = (residual - now.past[0].residual) / back
    if len(now.past) == 1:
        return [residual, slope]
    further = (now.past[1].sigma / now.past[0].sigma).log()
    curve = (slope - (now.past[0].residual - now.past[1].residual) / further) / (back + further)
    return [residual, slope + back * curve, curve]
