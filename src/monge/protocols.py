"""The interfaces that strangers plug into. Ask for the capability, never for the class."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


class LogProb(NamedTuple):
    """Log-densities with their provenance: what every `log_prob` returns, of a law written down or learned.

    value: [n] nats.
    error: [n] standard error of `value` (zero where it is exact up to the integrator's tolerance).
    method: how it was obtained, in words.
    measure: what it is a density by: "lebesgue", per data unit, or "counting", of a law on points, whose densities are
        probabilities. Only those by one measure are compared.
    """

    value: Float[Tensor, " n"]
    error: Float[Tensor, " n"]
    method: str
    measure: str = "lebesgue"

    @classmethod
    def exact(cls, value: Float[Tensor, " n"], method: str = "closed form", measure: str = "lebesgue") -> "LogProb":
        """Of a formula: no error but rounding."""
        return cls(value, torch.zeros_like(value), method, measure)


@runtime_checkable
class Denoiser(Protocol):
    """D(y, sigma) = E[x | y] for y = x + sigma z, z ~ N(0, Id) (course, section 6.2.3, Tweedie-Miyasawa).

    y: [n, *event], sigma: [n]; returns [n, *event]. What else a denoiser may say of itself, its moments, whether it is
    blind, its part of the rows, is `monge.denoisers.Informed`; one that is made of another, `monge.denoisers.Wrapper`.
    """

    def __call__(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]: ...


@runtime_checkable
class Density(Protocol):
    """A law that can be written down: p(x) = exp(-energy(x)) / Z, score = grad log p."""

    @property
    def event_shape(self) -> tuple[int, ...]: ...
    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]: ...
    def log_prob(self, x: Float[Tensor, "n *event"]) -> LogProb: ...
    def score(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]: ...


@runtime_checkable
class SupportsSample(Protocol):
    def sample(self, n: int, *, seed: int = 0) -> Tensor: ...


@runtime_checkable
class SupportsLogProb(Protocol):
    def log_prob(self, x: Tensor) -> LogProb: ...


@runtime_checkable
class SupportsDenoise(Protocol):
    def denoise(self, y: Tensor, sigma: Tensor | float, **options: Any) -> Tensor: ...


@runtime_checkable
class SupportsEncode(Protocol):
    """A latent: z of x, N(0, Id) if the model is right, and back. options: a label, where the model takes one."""

    def encode(self, x: Tensor, **options: Any) -> Tensor: ...
    def decode(self, z: Tensor, **options: Any) -> Tensor: ...


@runtime_checkable
class SupportsKernels(Protocol):
    """A network that names its kernels, the weights of hidden layers that `monge.training.Muon` moves."""

    def kernels(self) -> Iterable[Any]: ...


@runtime_checkable
class SupportsCritic(Protocol):
    """A discriminator as a density ratio: D(x) -> p(x) / (p(x) + p_G(x)) (course (48))."""

    def critic(self, x: Tensor) -> Tensor: ...


class Generator(SupportsSample, Protocol):
    """What every family can do: learn from samples, and draw new ones."""

    def fit(self, data: Any, **options: Any) -> Any: ...
