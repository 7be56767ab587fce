"""Gaussian processes that turn x into noise; each is y = x + sigma z up to a change of scale and of time.

For dx = f(t) x dt + g(t) dW the state is x_t = scale(t) (x_0 + sigma(t) z), with

    d log scale / dt = f,     d sigma^2 / dt = g^2 / scale^2,

so y = x_t / scale(t) = x_0 + sigma z: samplers and denoisers work in y and sigma, and a process is a clock.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge.errors import BadInput

Numbers = Tensor | NDArray[np.generic] | Sequence[float] | float


class Marginal(NamedTuple):
    """x_t = scale (x_0 + sigma z), z ~ N(0, Id)."""

    scale: Tensor
    sigma: Tensor


class Drive(NamedTuple):
    """Coefficients of dx = drift x dt + diffusion dW."""

    drift: Tensor
    diffusion: Tensor


@runtime_checkable
class Process(Protocol):
    """A linear stochastic differential equation that starts at the data. t: times >= 0, of any shape."""

    def marginal(self, t: Numbers) -> Marginal: ...
    def drive(self, t: Numbers) -> Drive: ...
    def time(self, sigma: Numbers) -> Tensor:
        """The time at which the noise level is sigma."""
        ...


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """dx = -kappa x dt + sigma dW, course (123); kappa = 1, sigma = sqrt 2 is the normalised form (128).

    x_t = e^{-kappa t} x_0 + sigma sqrt((1 - e^{-2 kappa t}) / (2 kappa)) z (124), so that in y = e^{kappa t} x_t the
    noise level is sigma sqrt((e^{2 kappa t} - 1) / (2 kappa)), sqrt(e^{2t} - 1) when normalised (140).

    Raises BadInput unless kappa > 0 and sigma > 0.

    >>> OrnsteinUhlenbeck().marginal(torch.tensor(math.log(2.0)))
    Marginal(scale=tensor(0.5000), sigma=tensor(1.7321))
    """

    kappa: float = 1.0
    sigma: float = math.sqrt(2.0)

    def __post_init__(self) -> None:
        _positive(kappa=self.kappa, sigma=self.sigma)

    def marginal(self, t: Numbers) -> Marginal:
        t = _time(t)
        scale = (-self.kappa * t).exp()
        return Marginal(scale, self.sigma * (torch.expm1(2 * self.kappa * t) / (2 * self.kappa)).sqrt())

    def drive(self, t: Numbers) -> Drive:
        t = _time(t)
        return Drive(torch.full_like(t, -self.kappa), torch.full_like(t, self.sigma))

    def time(self, sigma: Numbers) -> Tensor:
        return torch.log1p(2 * self.kappa * (_level(sigma) / self.sigma).square()) / (2 * self.kappa)


@dataclass(frozen=True)
class VarianceExploding:
    """dx = g(t) dW with sigma(t) = sigma_max^t sigma_min^(1 - t) taken from its value at 0, t in [0, 1].

    sigma_t^2 = sigma_min^2 ((sigma_max / sigma_min)^{2t} - 1) (Song et al. 2021, SMLD): no noise at t = 0.

    Raises BadInput unless 0 < sigma_min < sigma_max.

    >>> VarianceExploding(0.01, 100.0).marginal(torch.tensor(0.5))
    Marginal(scale=tensor(1.), sigma=tensor(0.9999))
    """

    sigma_min: float = 0.01
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _positive(sigma_min=self.sigma_min, sigma_max=self.sigma_max)
        if self.sigma_min >= self.sigma_max:
            raise BadInput(f"sigma_min must be below sigma_max, not {self.sigma_min} and {self.sigma_max}")

    @property
    def _rate(self) -> float:
        return 2 * math.log(self.sigma_max / self.sigma_min)

    def marginal(self, t: Numbers) -> Marginal:
        t = _time(t)
        return Marginal(torch.ones_like(t), self.sigma_min * torch.expm1(self._rate * t).sqrt())

    def drive(self, t: Numbers) -> Drive:
        t = _time(t)
        diffusion = self.sigma_min * math.sqrt(self._rate) * (0.5 * self._rate * t).exp()
        return Drive(torch.zeros_like(t), diffusion)

    def time(self, sigma: Numbers) -> Tensor:
        return torch.log1p((_level(sigma) / self.sigma_min).square()) / self._rate


@dataclass(frozen=True)
class VariancePreserving:
    """dx = -beta(t) x / 2 dt + sqrt(beta(t)) dW, beta(t) = beta_min + t (beta_max - beta_min), t in [0, 1].

    An Ornstein-Uhlenbeck process by another clock (Ho et al. 2020; Song et al. 2021): with B = int_0^t beta,
    scale = e^{-B/2} and sigma = sqrt(e^B - 1), so that data of variance one keep it.

    Raises BadInput unless 0 < beta_min <= beta_max.

    >>> scale, sigma = VariancePreserving().marginal(torch.tensor(0.3))
    >>> scale**2 * (1 + sigma**2)
    tensor(1.0000)
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        _positive(beta_min=self.beta_min, beta_max=self.beta_max)
        if self.beta_min > self.beta_max:
            raise BadInput(f"beta_min must not be above beta_max, not {self.beta_min} and {self.beta_max}")

    def _integral(self, t: Tensor) -> Tensor:
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t.square()

    def marginal(self, t: Numbers) -> Marginal:
        integral = self._integral(_time(t))
        return Marginal((-0.5 * integral).exp(), torch.expm1(integral).sqrt())

    def drive(self, t: Numbers) -> Drive:
        t = _time(t)
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        return Drive(-0.5 * beta, beta.sqrt())

    def time(self, sigma: Numbers) -> Tensor:
        integral = torch.log1p(_level(sigma).square())
        # the positive root of slope t^2 / 2 + beta_min t = integral, in the form that holds for slope = 0
        slope = self.beta_max - self.beta_min
        return 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * slope * integral).sqrt())


@dataclass(frozen=True)
class LinearInterpolant:
    """x_t = (1 - t) x_0 + t z for t in [0, 1), the straight line of flow matching; scale = 1 - t, sigma = t / (1 - t).

    >>> LinearInterpolant().marginal(torch.tensor(0.5))
    Marginal(scale=tensor(0.5000), sigma=tensor(1.))
    """

    def marginal(self, t: Numbers) -> Marginal:
        t = self._before_the_end(t)
        return Marginal(1 - t, t / (1 - t))

    def drive(self, t: Numbers) -> Drive:
        t = self._before_the_end(t)
        return Drive(-1 / (1 - t), (2 * t / (1 - t)).sqrt())

    def time(self, sigma: Numbers) -> Tensor:
        sigma = _level(sigma)
        return sigma / (1 + sigma)

    @staticmethod
    def _before_the_end(t: Numbers) -> Tensor:
        t = _time(t)
        if t.device.type == "cpu" and (t >= 1).any():
            raise BadInput("the linear interpolant lives on 0 <= t < 1: at t = 1 nothing of the data is left")
        return t


def perturb(process: Process, x: Float[Tensor, "n *event"], t: Numbers, z: Float[Tensor, "n *event"]) -> Tensor:
    """x_t for unit noise z and times t, one for all or [n].

    >>> perturb(LinearInterpolant(), torch.ones(1, 2), torch.tensor(0.25), torch.zeros(1, 2))
    tensor([[0.7500, 0.7500]])
    """
    scale, sigma = (part.to(x) for part in process.marginal(t))
    shape = (-1, *[1] * (x.ndim - 1)) if scale.ndim else ()
    return scale.reshape(shape) * (x + sigma.reshape(shape) * z)


def _time(t: Numbers) -> Tensor:
    times = _real(t, "times")
    if times.device.type == "cpu" and not (times >= 0).all():  # elsewhere the question would wait
        raise BadInput("a noising process starts at t = 0: times must be zero or more")
    return times


def _level(sigma: Numbers) -> Tensor:
    levels = _real(sigma, "noise levels")
    if levels.device.type == "cpu" and not (levels >= 0).all():
        raise BadInput("noise levels must be zero or more")
    return levels


def _real(values: Numbers, what: str) -> Tensor:
    """As a tensor of real numbers; integers become float32."""
    try:
        tensor = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{what} must be numbers, an array or a tensor, not {type(values).__name__}") from error
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise BadInput(f"{name} must be positive, not {value}")
