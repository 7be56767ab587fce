"""Laws of the plane that are written down and far from Gaussian."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.densities.checks import events
from monge.protocols import LogProb


class Banana:
    """p(x) = N(x_1 | x_2^2 / 4, 1) N(x_2 | 0, 4), a bent Gaussian of the plane (variances 1 and 4); Z = 4 pi.

    >>> Banana().log_prob(torch.zeros(1, 2)).value
    tensor([-2.5310])
    """

    event_shape = (2,)

    def energy(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """(x_1 - x_2^2 / 4)^2 / 2 + x_2^2 / 8."""
        x1, x2 = events(x, self.event_shape).unbind(1)
        return 0.5 * (x1 - x2.square() / 4).square() + x2.square() / 8

    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        return LogProb.exact(-self.energy(x) - math.log(4 * math.pi))

    def score(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
        """grad log p."""
        x1, x2 = events(x, self.event_shape).unbind(1)
        away = x1 - x2.square() / 4
        return torch.stack([-away, away * x2 / 2 - x2 / 4], 1)

    def sample(
        self, n: int, *, seed: int = 0, start: int = 0, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "n 2"]:
        z = rng.normal((n, 2), seed, "banana", start=start, dtype=dtype)
        x2 = 2 * z[:, 1]
        return torch.stack([x2.square() / 4 + z[:, 0], x2], 1)
