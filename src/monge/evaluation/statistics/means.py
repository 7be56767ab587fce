"""Two clouds through the means of their features: one exact test for histograms, moments and kernels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monge import rng
from monge.evaluation.statistics.resampling import Interval, permutation_p_value, two_regime_interval

PERMUTATIONS = 1999
RIDGE = 0.01  # added to a correlation before it is inverted
ROUNDING = 1e-5  # of statistics of float32 means
RELABELLINGS_AT_ONCE = 250  # relabellings at once
Compare = Callable[[Tensor, Tensor], Tensor]  # mean features [b, k] of x, of y -> statistics [b, s], none negative


class MeansTest(NamedTuple):
    """value: the first statistic, and its 95% interval; floor: its mean over relabellings.

    statistic: the largest of the standardised statistics; null: the same of each relabelling; p_value: exact where x
    and y are exchangeable. standard: what standardises the statistics, [2, s].
    """

    value: float
    interval: Interval
    floor: float
    statistic: float
    null: Float[Tensor, " permutations"]
    p_value: float
    standard: Float[Tensor, "2 s"]


def whitened(rows: Float[Tensor, "n k"], aimed: Float[Tensor, "q k"] | None = None) -> Compare:
    """Statistics of two mean vectors: their squared Mahalanobis distance (Hotelling's), the covariance that of all
    rows, a hundredth of the variances added; the largest squared difference of one feature in standard deviations; and
    for each difference that is aimed at the squared projection on it after whitening: Fisher's discriminant, the most
    powerful linear test of that difference.

    >>> whitened(torch.randn(99, 2))(torch.zeros(1, 2), torch.ones(1, 2)).shape
    torch.Size([1, 2])
    """
    centred = rows.double() - rows.double().mean(0)
    deviation = centred.square().mean(0).sqrt()
    kept = deviation > 1e-9 * (1e-9 + rows.abs().amax(0).double())
    scale = torch.where(kept, 1 / deviation.clamp(min=1e-300), 0.0)
    scaled = centred * scale
    values, vectors = torch.linalg.eigh(scaled.T @ scaled / len(rows))
    turn = (scale[:, None] * vectors * (values.clamp(min=0) + RIDGE).rsqrt()).float()
    ways = torch.nn.functional.normalize((rows[:0] if aimed is None else aimed) @ turn, dim=1).T
    unit = scale.float()

    def compare(p: Tensor, q: Tensor) -> Tensor:
        gap = p - q
        each = (gap * unit).square()
        white = gap @ turn
        return torch.cat(
            [white.square().sum(-1, keepdim=True), each.amax(-1, keepdim=True), (white @ ways).square()], -1
        )

    return compare


def histograms(sizes: Sequence[int], share: float) -> Compare:
    """Statistics of shares in several sets of cells, `sizes` of each: triangular discrimination 1/2 sum (p - q)^2 /
    (p + q) of the first set, its mean over the sets, and the largest (p - q)^2 / (mean of both) of one cell; share: of
    x among all rows.

    >>> histograms([2], 0.5)(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).tolist()
    [[1.0, 1.0, 2.0]]
    """

    def compare(p: Tensor, q: Tensor) -> Tensor:
        square = (p - q).square()
        parts = square / (p + q).clamp(min=1e-30) / 2
        one = square / (share * p + (1 - share) * q).clamp(min=1e-30)
        return torch.stack([parts[..., : sizes[0]].sum(-1), parts.sum(-1) / len(sizes), one.amax(-1)], -1)

    return compare


def kernels(size: int) -> Compare:
    """Squared distance of the means within each block of `size` features: MMD^2 of one kernel each (Gretton et al.
    2012).

    >>> kernels(1)(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])).tolist()
    [[1.0, 4.0]]
    """
    return lambda p, q: torch.stack([part.square().sum(-1) for part in torch.split(p - q, size, -1)], -1)


def aggregated(statistics: Float[Tensor, "b s"], standard: Float[Tensor, "2 s"]) -> Float[Tensor, " b"]:
    """The largest of the statistics, each by its cube root (Wilson & Hilferty: nearly normal) standardised."""
    return ((statistics.pow(1 / 3) - standard[0]) / standard[1]).amax(-1)


@dataclass(frozen=True)
class Relabellings:
    """Seeded relabellings of n + m rows, n of which play x: the same for every test of these rows."""

    n: int
    m: int
    seed: int = 0
    count: int = PERMUTATIONS

    @cached_property
    def marks(self) -> Bool[Tensor, "count total"]:
        """Which rows play x, in each relabelling."""
        generator, total = rng.generator(self.seed, "relabellings"), self.n + self.m
        marks = torch.zeros(self.count, total, dtype=torch.bool)
        for row in marks:
            row[torch.randperm(total, generator=generator)[: self.n]] = True
        return marks

    def means(self, x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> tuple[Tensor, Tensor]:
        """Mean features of x and of y under each relabelling, [count, k] each."""
        total = x.sum(0, dtype=torch.float64) + y.sum(0, dtype=torch.float64)
        chunks = (marks.float() for marks in torch.split(self.marks, RELABELLINGS_AT_ONCE))
        sums = torch.cat([marks[:, : len(x)] @ x + marks[:, len(x) :] @ y for marks in chunks]).double()
        return (sums / self.n).float(), ((total - sums) / self.m).float()


def means_test(
    x: Float[Tensor, "n k"],
    y: Float[Tensor, "m k"],
    compare: Compare,
    relabellings: Relabellings,
    handicap: Sequence[float] = (),
) -> MeansTest:
    """Compare the mean features of two clouds by the statistics of `compare`, the largest of which is tested.

    handicap: by how many standard deviations the first statistics must be larger than the others to count as much.
    The interval is that of the first statistic: its linear part by bootstrap, what it does by chance by relabelling.

    >>> x, y = torch.randn(99, 3), torch.randn(80, 3) + 1
    >>> means_test(x, y, whitened(torch.cat([x, y])), Relabellings(99, 80)).p_value
    0.0005
    """
    p, q = x.double().mean(0).float(), y.double().mean(0).float()
    drawn = compare(*relabellings.means(x, y))
    roots = drawn.double().pow(1 / 3)
    standard = torch.stack([roots.mean(0), roots.std(0).clamp(min=1e-12)])
    standard[0, : len(handicap)] += torch.tensor(handicap, dtype=torch.float64) * standard[1, : len(handicap)]
    null = aggregated(drawn.double(), standard)
    p.requires_grad_()
    q.requires_grad_()
    observed = compare(p[None], q[None])
    grad_p, grad_q = torch.autograd.grad(observed[0, 0], (p, q))
    observed = observed.detach().double()
    value, statistic = float(observed[0, 0]), float(aggregated(observed, standard)[0])
    seed = relabellings.seed
    low, high = two_regime_interval(value, [x @ grad_p, y @ grad_q], drawn[:, 0], seed, "means")
    return MeansTest(
        value,
        (max(0.0, low), max(0.0, high)),
        float(drawn[:, 0].mean()),
        statistic,
        null,
        permutation_p_value(statistic, null, ROUNDING),
        standard,
    )


def one_hot(cells: Int[Tensor, "n sets"], sizes: Sequence[int]) -> Float[Tensor, "n k"]:
    """Indicators of the cell of each row in several sets of cells, [n, sum of sizes].

    >>> one_hot(torch.tensor([[1, 0]]), [2, 1]).tolist()
    [[0.0, 1.0, 1.0]]
    """
    starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
    return torch.zeros(len(cells), sum(sizes)).scatter_(1, cells + starts, 1.0)
