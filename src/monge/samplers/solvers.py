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

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]


class Past(NamedTuple):
    """What an earlier step saw: its noise level ([n, 1, ...]) and its denoised samples."""

    sigma: Tensor
    x_hat: Tensor


@dataclass
class Step:
    """Everything that one step may use.

    y, x_hat: the noisy samples at level sigma and what the denoiser makes of them, [n, *event].
    sigma, sigma_next: noise levels now and after, broadcastable to y; sigma_next > 0.
    z: unit noise [n, *event], or None when alpha = 0.
    past: earlier steps, latest first.
    """

    y: Tensor
    x_hat: Tensor
    sigma: Tensor
    sigma_next: Tensor
    alpha: float
    z: Tensor | None
    denoise: Denoise
    past: list[Past] = field(default_factory=list)


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
        slope = (1 + now.alpha) * (now.y - now.x_hat) / now.sigma
        return _diffused(now, now.y + (now.sigma_next - now.sigma) * slope)


@dataclass(frozen=True)
class Heun:
    """Heun's second-order rule in sigma (Karras et al. 2022, Algorithm 1); two calls a step."""

    order: int = field(default=2, init=False)
    calls: int = field(default=2, init=False)
    memory: int = field(default=0, init=False)

    def step(self, now: Step) -> Tensor:
        width = now.sigma_next - now.sigma
        slope = (1 + now.alpha) * (now.y - now.x_hat) / now.sigma
        guess = _diffused(now, now.y + width * slope)
        slope_next = (1 + now.alpha) * (guess - now.denoise(guess, now.sigma_next)) / now.sigma_next
        return guess + width * (slope_next - slope) / 2


def _diffused(now: Step, y: Tensor) -> Tensor:
    if now.z is None:
        return y
    return y + (now.alpha * (now.sigma.square() - now.sigma_next.square())).sqrt() * now.z


@dataclass(frozen=True)
class ExponentialMultistep:
    """The linear part and the noise solved exactly, D extrapolated through its last `order` values in log sigma.

    With c = 1 + alpha and h = log(sigma / sigma_next),

        y_next = e^{-c h} y + int_0^h c e^{-c (h - u)} D(u) du + sigma_next sqrt(1 - e^{-2 alpha h}) z,

    D(u) the polynomial through the values at hand. One call a step. Order 1 is DDIM (alpha = 0); orders 2 and 3
    are the multistep DPM-Solver++ of Lu et al. (2022), here for every alpha.
    """

    order: int = 2
    calls: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise ValueError(f"ExponentialMultistep has order 1, 2 or 3, not {self.order}")

    @property
    def memory(self) -> int:
        return self.order - 1

    def step(self, now: Step) -> Tensor:
        c = 1 + now.alpha
        h = (now.sigma / now.sigma_next).log()
        gain = -torch.expm1(-c * h)  # int_0^h c e^{-c (h - u)} du
        y = now.y + gain * (now.x_hat - now.y)
        if now.past:
            linear = h - gain / c  # the same with u
            back = (now.past[0].sigma / now.sigma).log()
            slope = (now.x_hat - now.past[0].x_hat) / back
            y = y + linear * slope
            if len(now.past) > 1:
                square = h * h - 2 * linear / c  # the same with u^2
                further = (now.past[1].sigma / now.past[0].sigma).log()
                slope_before = (now.past[0].x_hat - now.past[1].x_hat) / further
                y = y + (square + back * linear) * (slope - slope_before) / (back + further)
        if now.z is not None:
            y = y + now.sigma_next * (-torch.expm1(-2 * now.alpha * h)).sqrt() * now.z
        return y
