"""Fields on periodic lattices whose energy couples neighbours: phi^4, and the Ising model with its exact answers."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from monge import rng
from monge.densities.law import Law
from monge.errors import BadInput

CRITICAL = 0.5 * math.log(1 + math.sqrt(2))  # inverse temperature of the Ising transition on the square lattice


FROZEN = 300.0  # 2 beta from which on cosh g is (e^2 beta) / 2 to rounding


def neighbours(x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
    """The sum over the 2 D nearest neighbours of each site.

    >>> neighbours(torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]))
    tensor([[[0., 1., 0., 1.]]])
    """
    total = torch.zeros_like(x)
    for axis in range(2, x.ndim):
        total += x.roll(1, axis) + x.roll(-1, axis)
    return total


def _event(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not 1 <= len(shape) <= 3 or min(shape) < 2:
        raise BadInput(f"a lattice has 1, 2 or 3 sides of 2 sites or more, not {list(shape)}")
    return (1, *(int(side) for side in shape))


class Phi4(Law):
    """Energy sum_x (1 - 2 lam) phi_x^2 + lam phi_x^4 - 2 kappa sum_mu phi_x phi_{x+mu} - field phi_x (24).

    The lattice form of a scalar field in a double well: kappa couples neighbours, lam > 0 is the quartic coupling. On
    the square lattice at lam = .02 the magnetisation appears near kappa = .2692.

    shape: sides of the periodic lattice, 1 to 3 of them; events are [1, *shape].

    Raises BadInput for a lattice of other dimensions, lam < 0, and lam = 0 where the energy is not bounded below.

    >>> Phi4((4, 4), kappa=0.25, lam=0.02).energy(torch.ones(1, 1, 4, 4))
    tensor([-0.3200])
    """

    def __init__(self, shape: tuple[int, ...], kappa: float, lam: float, field: float = 0.0) -> None:
        self.event_shape = _event(shape)
        self.kappa, self.lam, self.field = kappa, lam, field
        if not lam >= 0 or (lam == 0 and 2 * abs(kappa) * len(shape) >= 1):
            raise BadInput(f"the energy of phi^4 is not bounded below for lam={lam} and kappa={kappa}: give lam > 0")

    def energy(self, x: Float[Tensor, "n 1 *space"]) -> Float[Tensor, " n"]:
        square = x.square()
        each = ((1 - 2 * self.lam) + self.lam * square) * square - (self.kappa * neighbours(x) + self.field) * x
        return each.flatten(1).sum(1)

    def energy_and_score(
        self, x: Float[Tensor, "n 1 *space"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 1 *space"]]:
        square, around = x.square(), self.kappa * neighbours(x)
        each = ((1 - 2 * self.lam) + self.lam * square) * square - (around + self.field) * x
        score = 2 * around + self.field - ((2 - 4 * self.lam) + 4 * self.lam * square) * x
        return each.flatten(1).sum(1), score


class Ising(Law):
    """Spins +-1 on a periodic lattice, energy -beta sum over bonds of s_x s_y.

    shape: sides of the lattice, of 1, 2 or 3 dimensions; events are [1, *shape], of values +1. and -1. beta: inverse
    temperature, critical on the square lattice at log(1 + sqrt 2) / 2, where `beta` stands if it is not given.

    Raises BadInput for a lattice of other dimensions, beta < 0, and values that are not spins.

    >>> law = Ising((4, 4))
    >>> law.energy(torch.ones(1, 1, 4, 4)) / 32  # bonds
    tensor([-0.4407])
    """

    measure = "counting"

    def __init__(self, shape: tuple[int, ...], beta: float = CRITICAL) -> None:
        self.event_shape = _event(shape)
        if not beta >= 0:
            raise BadInput(f"an inverse temperature must be 0 or more, not {beta}")
        self.beta = beta
        self.log_z = self.exact_log_z() if len(shape) == 2 else None

    def energy(self, x: Float[Tensor, "n 1 *space"]) -> Float[Tensor, " n"]:
        spins = x
        if not (spins.abs() == 1).all():
            raise BadInput("spins are +1 or -1")
        return -0.5 * self.beta * (spins * neighbours(spins)).flatten(1).sum(1)

    def energy_and_score(
        self, x: Float[Tensor, "n 1 *space"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 1 *space"]]:
        raise BadInput("spins have no score: use gibbs or wolff")

    def scattered(self, n: int, *, seed: int = 0) -> Float[Tensor, "n 1 *space"]:
        """Spins up or down at random."""
        return (rng.uniform((n, *self.event_shape), seed, "scattered") < 0.5).float() * 2 - 1

    def tempered(self, beta: float) -> "Ising":
        """Ising at beta times this inverse temperature."""
        return Ising(self.event_shape[1:], beta * self.beta)

    # -- exact answers on the square lattice ---------------------------------------------------------------

    def exact_log_z(self, beta: float | None = None) -> float:
        """log of the sum over all states of the m x n torus (Kaufman, *Phys. Rev.* 76, 1949).

        With cosh g_l = cosh(2 beta)^2 / sinh(2 beta) - cos(pi l / n) and g_0 = 2 beta + log tanh beta, 2 Z is
        (2 sinh 2 beta)^(mn/2) times the sum, over odd and even l, of prod 2 cosh(m g_l / 2) + prod 2 sinh(m g_l / 2).
        """
        b = self.beta if beta is None else beta
        m, n = self._square()
        if b == 0:
            return m * n * math.log(2)
        number = np.arange(2 * n)
        log_two_sinh = 2 * b + math.log(-math.expm1(-4 * b))
        if 2 * b < FROZEN:
            sinh = math.sinh(2 * b)
            g = np.arccosh(np.maximum(sinh + 1 / sinh - np.cos(np.pi * number / n), 1.0))
        else:
            g = np.full(2 * n, log_two_sinh)
        g[0] = 2 * b + math.log(math.tanh(b))
        half = 0.5 * m * np.abs(g)
        log_cosh, log_sinh = half + np.log1p(np.exp(-2 * half)), half + np.log(-np.expm1(-2 * half) + 1e-300)
        terms = [part[parity::2].sum() for parity in (1, 0) for part in (log_cosh, log_sinh)]
        signs = [1.0, 1.0, 1.0, math.copysign(1.0, g[0])]
        top = float(max(terms))
        total = sum(sign * math.exp(term - top) for sign, term in zip(signs, terms, strict=True))
        return 0.5 * m * n * log_two_sinh + top + math.log(total) - math.log(2)

    def exact_energy(self) -> float:
        """Mean of -sum over bonds of s_x s_y, per site of this torus: -d log Z / d beta / (m n)."""
        m, n = self._square()
        h = 1e-4
        weights = {-2: 1, -1: -8, 1: 8, 2: -1} if self.beta > 2 * h else {0: -25, 1: 48, 2: -36, 3: 16, 4: -3}
        slope = sum(w * self.exact_log_z(self.beta + k * h) for k, w in weights.items()) / (12 * h)
        return -slope / (m * n)

    def onsager_energy(self) -> float:
        """The same on the infinite lattice (Onsager 1944): -coth(2 b) (1 + 2/pi (2 tanh(2 b)^2 - 1) K(k)).

        K is the complete elliptic integral of modulus k = 2 sinh(2 b) / cosh(2 b)^2.
        """
        self._square()
        b = self.beta
        if b == 0:
            return 0.0
        k = 2 * math.tanh(2 * b) / math.cosh(2 * b) if 2 * b < FROZEN else 0.0
        factor = 2 * math.tanh(2 * b) ** 2 - 1
        if abs(factor) < 1e-12:
            return -1 / math.tanh(2 * b)
        elliptic = float(special.ellipk(k**2))
        return -(1 + 2 / math.pi * factor * elliptic) / math.tanh(2 * b)

    def onsager_magnetisation(self) -> float:
        """|mean spin| on the infinite lattice: (1 - sinh(2 b)^-4)^(1/8) in the ordered phase, else 0 (Yang 1952)."""
        self._square()
        return float((1 - math.sinh(min(2 * self.beta, FROZEN)) ** -4) ** 0.125) if self.beta > CRITICAL else 0.0

    def _square(self) -> tuple[int, int]:
        if len(self.event_shape) != 3:
            raise BadInput(f"exact answers are for 2 dimensions, not {len(self.event_shape) - 1}")
        _, m, n = self.event_shape
        return m, n
