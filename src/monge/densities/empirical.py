"""The empirical measure: the law that puts equal weight on finitely many points."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.densities.law import Law
from monge.doors import finite, levels
from monge.errors import BadInput
from monge.protocols import LogProb

CHUNK_VALUES = 2**22  # pairs held at a time
COLUMNS = 4096
SMALLEST = 1e-100  # stands for sigma = 0: the square does not underflow


class Empirical(Law):
    """The uniform measure on finitely many points; its denoiser is the one that memorises.

    E[x | y] = sum_i x_i softmax_i(-|y - x_i|^2 / (2 sigma^2)): at small sigma, the nearest point. Computed in chunks,
    online over the points, so that 50,000 points of 784 values need no matrix of all pairs.

    points: [m, *event]. It has no density at sigma = 0: `log_prob` and `score` are those of `noised(sigma)`.

    Raises BadInput for no points, or a bandwidth that is not zero or more.

    >>> law = Empirical(torch.tensor([[-1.0], [1.0]]))
    >>> law.denoise(torch.tensor([[0.9]]), 0.1)
    tensor([[1.]])
    """

    log_z = 0.0
    points: Tensor

    def __init__(self, points: Tensor, bandwidth: float = 0.0) -> None:
        points = finite(points, "points")
        if points.ndim < 2 or len(points) < 1:
            raise BadInput(f"points must be [m, *event] with at least one row, not {list(points.shape)}")
        if not 0 <= bandwidth < math.inf:
            raise BadInput(f"a bandwidth must be zero or more, and finite, not {bandwidth}")
        self.keep(points=points)
        self.bandwidth, self.event_shape, self.dtype = bandwidth, tuple(points.shape[1:]), points.dtype

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """-log p(x) of the noised measure; Z = 1."""
        return -self.log_prob(x).value

    def log_prob(self, x: Float[Tensor, "n *event"]) -> LogProb:
        """log of the mean over points of N(x; x_i, bandwidth^2). Raises BadInput without noise."""
        level = levels(self._must_be_noised(), x)
        log_sum, _ = self._sums(x.flatten(1), level, want_mean=False)
        return LogProb.exact(log_sum - self._log_z())

    def _log_z(self) -> float:
        size = math.prod(self.event_shape)
        return math.log(len(self.points)) + size * (0.5 * math.log(2 * math.pi) + math.log(self.bandwidth))

    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        """The score is (E[x_i | x] - x) / bandwidth^2. Raises BadInput without noise."""
        level = self._must_be_noised()
        log_sum, mean = self._sums(x.flatten(1), levels(level, x), want_mean=True)
        return self._log_z() - log_sum, (mean.reshape(x.shape) - x) / level**2

    def sample(self, n: int, *, seed: int = 0, start: int = 0) -> Float[Tensor, "n *event"]:
        u = rng.uniform((n, 1), seed, "empirical", start=start, dtype=torch.float64)[:, 0]
        x = self.points[(u * len(self.points)).long()]
        if not self.bandwidth:
            return x
        z = rng.normal((n, *self.event_shape), seed, "empirical", "z", start=start, dtype=x.dtype)
        return x + self.bandwidth * z

    def noised(self, sigma: float) -> "Empirical":
        """The law of x + sigma z: a kernel density estimate."""
        return Empirical(self.points, math.hypot(self.bandwidth, sigma))

    def denoise(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """E[x | x + sigma z = y], exact. sigma: a number or [n]; at sigma = 0 without bandwidth, the nearest point."""
        total = (levels(sigma, y).double().square() + self.bandwidth**2).sqrt().clamp_min(SMALLEST)
        _, mean = self._sums(y.flatten(1), total, want_mean=True)
        # with a bandwidth, x is a point plus noise of its own: keep the share of y - x_i that is not the new noise's
        share = (self.bandwidth / total).square()[:, None].to(y)
        return torch.lerp(mean, y.flatten(1), share).reshape(y.shape)

    def _must_be_noised(self) -> float:
        if not self.bandwidth:
            raise BadInput(
                "an empirical measure has no density: use .noised(sigma), its law after noise of level sigma"
            )
        return self.bandwidth

    def _sums(self, y: Tensor, level: Tensor, want_mean: bool) -> tuple[Tensor, Tensor]:
        """log sum_i exp(-|y - x_i|^2 / 2 level^2) and the mean of x_i under those weights, chunk by chunk.

        In float64: the square is expanded into products, and small levels would magnify float32's rounding.
        """
        points = self.points.flatten(1)
        columns = min(len(points), COLUMNS)
        rows = max(1, CHUNK_VALUES // columns)
        logs, means = [], []
        for part, scale in zip(torch.split(y, rows), torch.split(level, rows), strict=True):
            log_sum = torch.full((len(part),), -math.inf, dtype=torch.float64)
            mean = torch.zeros_like(part, dtype=torch.float64)
            for chunk in torch.split(points, columns):
                # differences about a point of the chunk, so that the square expands without losing digits
                origin = chunk[:1]
                a, b = (part - origin).double(), (chunk - origin).double()
                square = a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)
                exponent = square.clamp_min_(0.0).div_(-2 * scale.double().square()[:, None])
                new = exponent.logsumexp(1)
                both = torch.logaddexp(log_sum, new)
                if want_mean:
                    mean = (log_sum - both).exp()[:, None] * mean + (exponent - both[:, None]).exp() @ chunk.double()
                log_sum = both
            logs.append(log_sum)
            means.append(mean)
        return torch.cat(logs).to(y), torch.cat(means).to(y)
