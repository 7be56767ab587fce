"""Coverage and precision: which real neighbourhoods the generator visits, and how often it stays inside them."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monge.doors import two_clouds
from monge.errors import BadInput
from monge.linalg.pairwise import ROWS_AT_ONCE, fill_own_pairs, nearest, squared_distances

K = 5
ROUNDING = 1e-12  # of the squared norms: keeps a tie on the inside whatever the rounding


class Visits(NamedTuple):
    """Where a cloud falls with respect to the balls around real rows.

    counts: how many rows of each group of the cloud lie in each ball, [balls, groups]; row i is in group i % groups.
    inside: whether each row of the cloud lies in at least one ball, [n].
    """

    counts: Int[Tensor, "balls groups"]
    inside: Bool[Tensor, " n"]


class Coverage(NamedTuple):
    """Expected coverage by a random subset of the cloud.

    value: share of the balls that hold at least one of the subset's rows, averaged over all subsets.
    balls: each ball's own chance of being visited, [balls].
    error: standard error of `value` from the choice of the cloud, the balls being given (grouped jackknife).
    """

    value: float
    balls: Float[Tensor, " balls"]
    error: float


def ball_radii(real: Float[Tensor, "m d"], k: int = K, *, chunk: int = ROWS_AT_ONCE) -> Float[Tensor, " m"]:
    """Distance from each real row to its k-th nearest other real row, [m].

    >>> ball_radii(torch.tensor([[0.0], [1.0], [3.0]]), k=1).tolist()
    [1.0, 1.0, 2.0]
    """
    if len(real) <= k:
        raise BadInput(f"{len(real)} real rows have no {k}-th neighbour: give more than {k} rows, or a smaller k")
    return nearest(real, real, k, skip_self=True, chunk=chunk).distance[:, -1]


def visits(
    x: Float[Tensor, "n d"],
    centres: Float[Tensor, "m d"],
    radii: Float[Tensor, " m"],
    *,
    groups: int = 1,
    skip_self: bool = False,
    chunk: int = ROWS_AT_ONCE,
) -> Visits:
    """Count the rows of x in each closed ball, in blocks of `chunk` x `chunk`.

    With `skip_self`, x and centres are the same rows and no row counts as a visitor of its own ball.

    >>> seen = visits(torch.tensor([[0.5], [9.0]]), torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 0.1]))
    >>> seen.counts.ravel().tolist(), seen.inside.tolist()
    ([1, 0], [True, False])
    """
    counts = torch.zeros(len(centres), groups, dtype=torch.float64)
    inside = torch.zeros(len(x), dtype=torch.bool)
    group = torch.nn.functional.one_hot(torch.arange(len(x)) % groups, groups).double()
    for b in range(0, len(centres), chunk):
        centre = centres[b : b + chunk].double()
        balls = slice(b, b + len(centre))
        reach = radii[balls].double().square() + ROUNDING * centre.square().sum(1)
        for a in range(0, len(x), chunk):
            squared = squared_distances(x[a : a + chunk], centre)
            rows = slice(a, a + len(squared))
            visit = squared <= reach
            if skip_self:
                fill_own_pairs(visit, a, b, False)
            inside[rows] |= visit.any(dim=1)
            counts[balls] += visit.T.double() @ group[rows]
    return Visits(counts.long(), inside)


def expected_coverage(seen: Visits, n: int) -> Coverage:
    """Coverage that n rows drawn from the cloud without replacement reach on average, exactly.

    A ball with c of the N rows inside is missed with probability C(N - c, n) / C(N, n): no subset is drawn.
    The error is that of a jackknife which leaves out one group of rows at a time.

    >>> seen = Visits(torch.tensor([[1], [0]]), torch.tensor([True, False]))
    >>> round(expected_coverage(seen, 2).value, 6), round(expected_coverage(seen, 1).value, 6)
    (0.5, 0.25)
    """
    total, groups = len(seen.inside), seen.counts.shape[1]
    counts = seen.counts.sum(1)
    balls = (1.0 - _missed(counts, total, n)).clamp(min=0.0)
    value = float(balls.mean())
    if groups == 1:
        return Coverage(value, balls, math.nan)
    without = []
    for g in range(groups):
        left = total - len(range(g, total, groups))
        without.append((1.0 - _missed(counts - seen.counts[:, g], left, max(1, round(n * left / total)))).mean())
    spread = torch.stack(without)
    error = math.sqrt((groups - 1) * float(spread.var(correction=0)))
    return Coverage(value, balls, error)


def coverage_of_one_law(m: int, n: int, k: int = K) -> float:
    """Coverage that n new real rows reach on m real rows, on average, whatever their continuous law.

    1 - product over i < k of (m - 1 - i) / (m - 1 + n - i) (Naeem et al. 2020): the k nearest of the m - 1 + n
    exchangeable neighbours of a row must all come from the m - 1.

    >>> round(coverage_of_one_law(1000, 1000), 3)
    0.969
    """
    return 1.0 - math.prod((m - 1 - i) / (m - 1 + n - i) for i in range(k))


def _about_real(x: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds by their door, less the mean of the real one, so that no digits are lost far from zero."""
    x, real = (rows.double() for rows in two_clouds(x, real, names=("x", "real")))
    return x - real.mean(0), real - real.mean(0)


def coverage(x: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int = K, *, chunk: int = ROWS_AT_ONCE) -> float:
    """Share of real rows whose ball, reaching to their k-th nearest real row, holds a row of x (Naeem et al. 2020).

    >>> real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> coverage(torch.tensor([[0.4], [0.6]]), real, k=1)
    0.5
    """
    x, real = _about_real(x, real)
    return float((visits(x, real, ball_radii(real, k, chunk=chunk), chunk=chunk).counts > 0).double().mean())


def precision(x: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int = K, *, chunk: int = ROWS_AT_ONCE) -> float:
    """Share of the rows of x that lie in the ball of at least one real row (Kynkaanniemi et al. 2019).

    >>> real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> precision(torch.tensor([[0.4], [5.0]]), real, k=1)
    0.5
    """
    x, real = _about_real(x, real)
    return float(visits(x, real, ball_radii(real, k, chunk=chunk), chunk=chunk).inside.double().mean())


def _missed(counts: Int[Tensor, " m"], total: int, n: int) -> Float[Tensor, " m"]:
    """C(total - c, n) / C(total, n), zero where total - c < n."""
    outside = (total - counts).double()
    room = (outside - n).clamp(min=0.0)
    log_ratio = torch.lgamma(outside + 1) - torch.lgamma(room + 1)
    log_ratio -= math.lgamma(total + 1) - math.lgamma(total - n + 1)
    return torch.where(outside >= n, log_ratio.exp(), 0.0)
