"""Networks at x_t as denoisers at y, and back: every Gaussian process is a clock and a scale (course, section 6.1).

With x_t = scale(t) y, y = x_0 + sigma(t) z, and dx = f x dt + g dW (`monge.noise.Process`), a network at (x_t, t) that
predicts one of

    noise     e = E[z | x_t]
    score     grad log p_t(x_t) = -e / (scale sigma)
    velocity  dx/dt = f x_t - g^2 / 2 grad log p_t = f x_t + g^2 / (2 scale sigma) e

of the deterministic transport, which for the straight line x_t = (1 - t) x_0 + t z is E[z - x_0 | x_t], says

    D(y, sigma) = y - sigma e,

at the time at which the noise level is sigma; and a denoiser says all three at any time above 0.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.algebra import noise as noise_seen
from monge.denoisers.algebra import per_sample
from monge.denoisers.wrapper import Wrapper
from monge.densities import Gaussian
from monge.doors import levels, like
from monge.errors import BadInput
from monge.noise import Process
from monge.protocols import Denoiser

Prediction = Literal["noise", "score", "velocity"]
Net = Callable[..., Tensor]  # (x_t [n, *event], t [n], and a label where it takes one) -> [n, *event]


class _Moment(NamedTuple):
    """Of a process at the times of rows, each [n, 1, ...]: pull = g^2 / (2 scale sigma)."""

    scale: Tensor
    sigma: Tensor
    drift: Tensor
    pull: Tensor

    @classmethod
    def at(cls, process: Process, t: Tensor, x: Tensor) -> "_Moment":
        """In float64, where the device has it: some clocks crowd towards their ends."""
        (scale, sigma), (drift, diffusion) = process.marginal(t), process.drive(t)
        pull = diffusion.square() / (2 * scale * sigma)
        return cls(*(per_sample(each, x) for each in (scale, sigma, drift, pull)))


class AtTime(Wrapper):
    """D of a network at x_t."""

    def __init__(self, net: Net, process: Process, kind: Prediction, moments: Gaussian | None) -> None:
        super().__init__(cast(Denoiser, net))
        _refuse_other(process)
        self.process, self.kind, self.moments = process, kind, moments

    def denoised(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        t = self.process.time(_wide(sigma))
        now = _Moment.at(self.process, t, y)
        x = now.scale * y
        e = like(x, self.denoiser(x, t.to(y)), "a network at x_t must return the shape of x_t")
        if self.kind == "score":
            e = -now.scale * now.sigma * e
        elif self.kind == "velocity":
            e = (e - now.drift * x) / torch.where(now.sigma > 0, now.pull, 1.0)
        return torch.where(now.sigma > 0, y - now.sigma * e, y)


def from_noise(net: Net, process: Process, *, moments: Gaussian | None = None) -> Wrapper:
    """The denoiser of a network that predicts E[z | x_t] at (x_t, t), as those of DDPM do.

    net: (x_t [n, *event], t [n]) -> [n, *event]; a label goes in as with any denoiser, by `Labelled`. process: whose
    x_t and t the network was trained at. moments: mean and covariance of the data, if they are known.

    >>> from monge.noise import OrnsteinUhlenbeck
    >>> D = from_noise(lambda x, t: torch.zeros_like(x), OrnsteinUhlenbeck())
    >>> D(torch.ones(1, 2), 0.5)
    tensor([[1., 1.]])
    """
    return AtTime(net, process, "noise", moments)


def from_score(net: Net, process: Process, *, moments: Gaussian | None = None) -> Wrapper:
    """The denoiser of a network that predicts grad log p_t at (x_t, t) (course (142)); as `from_noise`.

    >>> from monge.noise import OrnsteinUhlenbeck  # leaves N(0, 1) as it is, whose score is -x
    >>> from_score(lambda x, t: -x, OrnsteinUhlenbeck())(torch.ones(1, 1), 1.0)
    tensor([[0.5000]])
    """
    return AtTime(net, process, "score", moments)


def from_velocity(net: Net, process: Process, *, moments: Gaussian | None = None) -> Wrapper:
    """The denoiser of a network that predicts dx/dt of the deterministic transport at (x_t, t); as `from_noise`.

    For `monge.noise.LinearInterpolant` this is the network of flow matching, E[z - x_0 | x_t]. Raises BadInput, when
    asked, at levels that the process does not reach.

    >>> from monge.noise import LinearInterpolant
    >>> D = from_velocity(lambda x, t: -x / (1 - t[:, None]), LinearInterpolant())  # x_0 = 0: z - x_0 = ...
    >>> D(torch.ones(1, 1), 1.0)
    tensor([[1.]])
    """
    return AtTime(net, process, "velocity", moments)


def to_noise(denoiser: Denoiser, process: Process) -> Net:
    """(x_t, t) -> E[z | x_t] of a denoiser, t > 0: the inverse of `from_noise`."""
    return _said(denoiser, process, lambda e, x, now: e)


def to_score(denoiser: Denoiser, process: Process) -> Net:
    """(x_t, t) -> grad log p_t(x_t) of a denoiser, t > 0: the inverse of `from_score`.

    >>> from monge.densities import Gaussian; from monge.noise import VariancePreserving
    >>> score = to_score(Gaussian(torch.zeros(1), torch.ones(1)).denoise, VariancePreserving())
    >>> score(torch.tensor([[2.0]]), torch.tensor([0.3]))
    tensor([[-2.]])
    """
    return _said(denoiser, process, lambda e, x, now: -e / (now.scale * now.sigma))


def to_velocity(denoiser: Denoiser, process: Process) -> Net:
    """(x_t, t) -> dx/dt of the deterministic transport of a denoiser, t > 0: the inverse of `from_velocity`, and a
    field that `monge.samplers.integrate` integrates."""
    return _said(denoiser, process, lambda e, x, now: now.drift * x + now.pull * e)


def _said(denoiser: Denoiser, process: Process, read: Callable[[Tensor, Tensor, _Moment], Tensor]) -> Net:
    _refuse_other(process)

    def at_time(x: Tensor, t: Tensor | float, *label: Any) -> Tensor:
        now = _Moment.at(process, _wide(levels(t, x, "t")), x)
        y, told = x / now.scale, cast(Any, denoiser)
        x_hat = like(y, told(y, now.sigma.flatten(), *label))
        return read(noise_seen(x_hat, y, now.sigma), x, now)

    return at_time


def _refuse_other(process: Any) -> None:
    if not isinstance(process, Process):
        raise BadInput(f"a process is one of monge.noise, OrnsteinUhlenbeck() for instance, not {process!r}")


def _wide(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()
