"""Laws whose chains get stuck: two wells, and a funnel."""

import math

import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from monge import rng
from monge.densities.law import Law
from monge.errors import BadInput


class DoubleWell(Law):
    """Energy 1/2 mu x^2 + 1/4 b x^4, summed over d independent values: for mu < 0, wells at +- sqrt(-mu / b).

    The barrier is mu^2 / 4 b. With u = mu^2 / 8 b, one value has (Gradshteyn and Ryzhik, 3.323 and 3.469)

        Z = sqrt(mu / 2 b) e^u K_1/4(u) for mu > 0,    pi/2 sqrt(-mu / b) e^u (I_-1/4(u) + I_1/4(u)) for mu < 0,
        Gamma(1/4) (4 / b)^1/4 / 2 for mu = 0.

    Raises BadInput for b <= 0 or d < 1.

    >>> DoubleWell(mu=-4.0).log_prob(torch.tensor([[2.0], [0.0]])).value
    tensor([-0.6396, -4.6396])
    """

    def __init__(self, mu: float = -4.0, b: float = 1.0, d: int = 1) -> None:
        if not b > 0 or d < 1:
            raise BadInput(f"a double well needs b > 0 and d >= 1, not b={b} and d={d}")
        self.mu, self.b, self.event_shape = mu, b, (d,)
        self.log_z = d * self._log_z()

    def _log_z(self) -> float:
        u = self.mu**2 / (8 * self.b)
        if self.mu > 0:
            return 0.5 * math.log(self.mu / (2 * self.b)) + math.log(special.kve(0.25, u))
        if self.mu < 0:
            both = special.ive(-0.25, u) + special.ive(0.25, u)
            return math.log(math.pi / 2) + 0.5 * math.log(-self.mu / self.b) + 2 * u + math.log(both)
        return math.lgamma(0.25) + 0.25 * math.log(4 / self.b) - math.log(2)

    def tempered(self, beta: float) -> Law:
        """The double well of beta mu and beta b, whose Z is known; for beta = 0 the flat law."""
        return DoubleWell(beta * self.mu, beta * self.b, *self.event_shape) if beta > 0 else super().tempered(beta)

    def energy(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        square = x.square()
        return (0.5 * self.mu * square + 0.25 * self.b * square.square()).sum(1)

    def energy_and_score(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]:
        return self.energy(x), -x * (self.mu + self.b * x.square())


class Funnel(Law):
    """x_1 ~ N(0, scale^2), the others ~ N(0, e^x_1): a neck that no single step fits (Neal, *Slice sampling*, 2003).

    Raises BadInput for d < 2 or scale <= 0.

    >>> Funnel(d=2).log_prob(torch.zeros(1, 2)).value
    tensor([-2.9365])
    """

    log_z = 0.0

    def __init__(self, d: int = 10, scale: float = 3.0) -> None:
        if d < 2 or not scale > 0:
            raise BadInput(f"a funnel needs d >= 2 and scale > 0, not d={d} and scale={scale}")
        self.scale, self.event_shape = scale, (d,)

    def energy(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        neck, rest = x[:, 0], x[:, 1:]
        constant = math.log(self.scale) + 0.5 * x.shape[1] * math.log(2 * math.pi)
        wide = rest.square().sum(1) * (-neck).exp() + (x.shape[1] - 1) * neck
        return 0.5 * (neck / self.scale).square() + 0.5 * wide + constant

    def sample(
        self, n: int, *, seed: int = 0, start: int = 0, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n d"]:
        z = rng.normal((n, *self.event_shape), seed, "funnel", start=start, dtype=dtype or self.dtype)
        neck = self.scale * z[:, :1]
        return torch.cat([neck, z[:, 1:] * (0.5 * neck).exp()], 1)
