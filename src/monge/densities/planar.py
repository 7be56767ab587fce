"""Laws of the plane that are written down and far from Gaussian."""

import math
from abc import abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.densities.law import Law
from monge.errors import BadInput
from monge.protocols import LogProb

SOLID = 64.0  # values that one step of a sum over points may hold, in millions


class Planar(Law):
    """A mixture of pieces of the plane, drawn exactly: which piece, and where in it."""

    event_shape = (2,)
    log_z = 0.0
    name: str

    @abstractmethod
    def draw(self, n: int, *, seed: int = 0, start: int = 0) -> tuple[Float[Tensor, "n 2"], Tensor]:
        """n samples, and the number of the piece that each is of, int64 [n]."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        """log p, normalised, computed in float64."""

    def energy(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """-log p."""
        return -self.log_prob(x).value

    def sample(self, n: int, *, seed: int = 0, start: int = 0) -> Float[Tensor, "n 2"]:
        return self.draw(n, seed=seed, start=start)[0].to(self.dtype)

    def _uniform(self, n: int, columns: int, seed: int, start: int) -> Tensor:
        return rng.uniform((n, columns), seed, "data", self.name, "uniform", start=start)

    def _normal(self, n: int, seed: int, start: int) -> Tensor:
        return rng.normal((n, 2), seed, "data", self.name, "normal", start=start)


class Rings(Planar):
    """Concentric circles of equal mass: x = (3 k / count) (cos t, sin t) + noise z, t and k = 1..count uniform.

    p(x) = 1/count sum_k exp(-(r^2 + R_k^2) / 2 s^2) I_0(r R_k / s^2) / (2 pi s^2), r = |x|, R_k = 3 k / count, s the
    noise (Grathwohl et al., FFJORD, 2019).

    Raises BadInput for count < 1 or noise < 0; log_prob and score also for noise = 0, which has no density.

    >>> Rings().log_prob(torch.tensor([[0.75, 0.0]])).value
    tensor([-1.3283])
    """

    name = "rings"

    def __init__(self, count: int = 4, noise: float = 0.08) -> None:
        self.count, self.noise = _pieces(count, "count"), _noise(noise)

    def draw(self, n: int, *, seed: int = 0, start: int = 0) -> tuple[Float[Tensor, "n 2"], Tensor]:
        u = self._uniform(n, 2, seed, start)
        k = _index(u[:, 0], self.count)
        radius = 3.0 * (k + 1) / self.count
        return radius[:, None] * _circle(2 * math.pi * u[:, 1]) + self.noise * self._normal(n, seed, start), k

    def _rings(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """r [n, 1], the radii [count], and the log of each ring's density but for constants [n, count]."""
        s2 = _smooth(self.noise) ** 2
        r: Tensor = x.double().norm(dim=1, keepdim=True)
        radius = 3.0 * torch.arange(1, self.count + 1, dtype=r.dtype, device=r.device) / self.count
        return r, radius, torch.special.i0e(r * radius / s2).log() - (r - radius) ** 2 / (2 * s2)

    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        return LogProb.exact(-self._energy(self._rings(x)[2]).to(x.dtype))

    def _energy(self, logs: Tensor) -> Tensor:
        return math.log(2 * math.pi * self.noise**2 * self.count) - logs.logsumexp(1)

    def energy_and_score(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 2"]]:
        """The score is (x / r) E_k[(R_k I_1 / I_0 - r) / s^2], k ~ p(k | x)."""
        r, radius, logs = self._rings(x)
        at = r * radius / self.noise**2
        pull = (radius * torch.special.i1e(at) / torch.special.i0e(at) - r) / self.noise**2
        away = (logs.softmax(1) * pull).sum(1, keepdim=True)
        pulled: Tensor = x.double() / r.clamp_min(1e-300) * away
        return self._energy(logs).to(x.dtype), pulled.to(x.dtype)


class Moons(Planar):
    """Two half circles of equal mass: (cos t, sin t) or (1 - cos t, 1/2 - sin t), plus noise z, t uniform in [0, pi].

    p(x) is the mean of N(x | a, noise^2 Id) over points a along both arcs: `points` midpoints on each, which is exact
    to rounding once they are closer than the noise (`sklearn.datasets.make_moons`).

    Raises BadInput as `Rings` does.

    >>> Moons().log_prob(torch.tensor([[0.0, 1.0]])).value
    tensor([-0.4530])
    """

    name = "moons"

    def __init__(self, noise: float = 0.1, points: int = 2000) -> None:
        self.noise, self.points = _noise(noise), _pieces(points, "points")

    def draw(self, n: int, *, seed: int = 0, start: int = 0) -> tuple[Float[Tensor, "n 2"], Tensor]:
        u = self._uniform(n, 2, seed, start)
        k = _index(u[:, 0], 2)
        upper = _circle(math.pi * u[:, 1])
        x = torch.where(k[:, None] == 0, upper, torch.tensor([1.0, 0.5]) - upper)
        return x + self.noise * self._normal(n, seed, start), k

    def _arcs(self, x: Tensor) -> Tensor:
        upper = _circle((torch.arange(self.points, dtype=x.dtype, device=x.device) + 0.5) / self.points * math.pi)
        return torch.cat([upper, upper.new_tensor([1.0, 0.5]) - upper])

    def _near(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Parts of x in float64, each with the log-weight -|x - a|^2 / 2 s^2 of all points a."""
        s2, wide = 2 * _smooth(self.noise) ** 2, x.double()
        parts = torch.split(wide, max(1, int(SOLID * 1e6) // (2 * 8 * self.points)))
        arcs = self._arcs(wide)
        return ((part, -(part[:, None] - arcs).square().sum(2) / s2) for part in parts)

    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        total = torch.cat([logs.logsumexp(1) for _, logs in self._near(x)])
        return LogProb.exact((total - self._log_count()).to(x.dtype))

    def _log_count(self) -> float:
        return math.log(4 * math.pi * self.points * self.noise**2)

    def energy_and_score(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 2"]]:
        """The score is (E[a | x] - x) / noise^2."""
        both = [(logs.logsumexp(1), logs.softmax(1) @ self._arcs(part) - part) for part, logs in self._near(x)]
        total, pull = (torch.cat(parts) for parts in zip(*both, strict=True))
        return (self._log_count() - total).to(x.dtype), (pull / self.noise**2).to(x.dtype)


class Checkerboard(Planar):
    """Uniform on the 8 dark squares of a 4x4 board on [-4, 4]^2, column + row even: p = 1/32 there, 0 elsewhere.

    >>> Checkerboard().log_prob(torch.tensor([[0.5, 0.5], [0.5, 2.5]])).value
    tensor([-3.4657,    -inf])
    """

    name = "checkerboard"

    def draw(self, n: int, *, seed: int = 0, start: int = 0) -> tuple[Float[Tensor, "n 2"], Tensor]:
        u = self._uniform(n, 4, seed, start)
        column = _index(u[:, 0], 4)
        row = 2 * _index(u[:, 1], 2) + column % 2
        return 2.0 * (torch.stack([column, row], 1) + u[:, 2:]) - 4.0, 4 * column + row

    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        square = (x / 2).floor()
        dark = (x.abs() <= 4).all(1) & (square.sum(1) % 2 == 0)
        return LogProb.exact(torch.where(dark, -math.log(32.0), -math.inf).to(x.dtype))


class Pinwheel(Planar):
    """Spiral arms of equal mass: 2 R(angle) (a, b), a = 1 + radial z_1, b = tangential z_2, angle = 2 pi k / arms +
    rate exp(a) (Johnson et al., *Structured variational autoencoders*, 2016).

    p(x) is the sum over arms, and over all a that x may come from, of p(a) p(b) / |det|: with u = R(angle)^-1 x / 2,
    those a are the roots of u_1(a) = a, b is u_2 there and |det| = 4 |1 - rate e^a u_2|. `grid` points bracket them
    within 6 deviations of a; beyond, p counts as 0.

    Raises BadInput for arms < 1 or deviations that are not positive.

    >>> Pinwheel().log_prob(torch.tensor([[1.0, 1.0]])).value
    tensor([-3.8930])
    """

    name = "pinwheel"

    def __init__(
        self, arms: int = 5, radial: float = 0.3, tangential: float = 0.1, rate: float = 0.25, grid: int = 6000
    ) -> None:
        self.arms, self.rate, self.grid = _pieces(arms, "arms"), rate, _pieces(grid, "grid")
        self.radial, self.tangential = _noise(radial), _noise(tangential)

    def draw(self, n: int, *, seed: int = 0, start: int = 0) -> tuple[Float[Tensor, "n 2"], Tensor]:
        k = _index(self._uniform(n, 1, seed, start)[:, 0], self.arms)
        z = self._normal(n, seed, start)
        a, b = 1.0 + self.radial * z[:, 0], self.tangential * z[:, 1]
        return 2.0 * _turned(a, b, 2 * math.pi * k / self.arms + self.rate * a.exp()), k

    def log_prob(self, x: Float[Tensor, "n d"]) -> LogProb:
        _smooth(min(self.radial, self.tangential))
        parts = torch.split(x.double() / 2, max(1, int(SOLID * 1e6) // (32 * self.grid)))
        return LogProb.exact(torch.cat([self._density(part).log() for part in parts]).to(x.dtype))

    def _density(self, x: Tensor) -> Tensor:
        a = 1 + self.radial * torch.linspace(-6, 6, self.grid, dtype=x.dtype, device=x.device)
        density = x.new_zeros(len(x))
        for arm in range(self.arms):
            turn = 2 * math.pi * arm / self.arms
            miss = _turned(x[:, None, 0], x[:, None, 1], -turn - self.rate * a.exp())[..., 0] - a
            row, cell = (miss[:, :-1] * miss[:, 1:] <= 0).nonzero(as_tuple=True)
            before, after = miss[row, cell], miss[row, cell + 1]
            root = a[cell] + (a[cell + 1] - a[cell]) * before / (before - after)
            u1, u2 = x[row].unbind(1)
            for _ in range(4):  # Newton
                v1, v2 = _turned(u1, u2, -turn - self.rate * root.exp()).unbind(-1)
                root = root - (v1 - root) / (self.rate * root.exp() * v2 - 1)
            b = _turned(u1, u2, -turn - self.rate * root.exp())[..., 1]
            det = 4 * (1 - self.rate * root.exp() * b).abs()
            weight = 1 / (det * 2 * math.pi * self.radial * self.tangential * self.arms)
            each = (-0.5 * ((root - 1) / self.radial) ** 2 - 0.5 * (b / self.tangential) ** 2).exp() * weight
            density = density.index_add(0, row, each)
        return density


class Banana(Law):
    """p(x) = N(x_1 | x_2^2 / 4, 1) N(x_2 | 0, 4), a bent Gaussian of the plane (variances 1 and 4); Z = 4 pi.

    >>> Banana().log_prob(torch.zeros(1, 2)).value
    tensor([-2.5310])
    """

    event_shape = (2,)
    log_z = math.log(4 * math.pi)

    def energy(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """(x_1 - x_2^2 / 4)^2 / 2 + x_2^2 / 8."""
        x1, x2 = x.unbind(1)
        return 0.5 * (x1 - x2.square() / 4).square() + x2.square() / 8

    def energy_and_score(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 2"]]:
        x1, x2 = x.unbind(1)
        away = x1 - x2.square() / 4
        return self.energy(x), torch.stack([-away, away * x2 / 2 - x2 / 4], 1)

    def sample(
        self, n: int, *, seed: int = 0, start: int = 0, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n 2"]:
        z = rng.normal((n, 2), seed, "banana", start=start, dtype=dtype or self.dtype)
        x2 = 2 * z[:, 1]
        return torch.stack([x2.square() / 4 + z[:, 0], x2], 1)


def _pieces(count: int, option: str) -> int:
    if count < 1:
        raise BadInput(f"{option}={count}: give 1 or more")
    return count


def _noise(noise: float) -> float:
    if not noise >= 0:
        raise BadInput(f"a noise must be 0 or more, not {noise}")
    return noise


def _smooth(noise: float) -> float:
    if not noise > 0:
        raise BadInput("without noise the law lies on curves and has no density: give a noise above 0")
    return noise


def _index(u: Tensor, count: int) -> Tensor:
    """Uniform u in (0, 1) to a uniform index in 0..count-1."""
    return (u * count).long().clamp_(max=count - 1)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], 1)


def _turned(a: Tensor, b: Tensor, angle: Tensor) -> Tensor:
    """(a, b) turned by the angle, [*, 2]."""
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)
