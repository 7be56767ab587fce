"""Columns of vectors two by two: scores of each, and their products, whose means say what goes together with what."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge.evaluation.descriptors.base import Descriptor, Fitted
from monge.evaluation.descriptors.values import DEGREES, VALUES, legendre_of_ranks

MOST_SCORES = 48  # of all columns together
MOST_PAIRS = 400
MOST_COMPARED = 2000  # columns that these are chosen among


class Scores(NamedTuple):
    """Scores of mean 0 and variance 1 of real rows: Legendre polynomials of each value's rank. owner: the column of the
    table that each is of; column, degree: of which polynomial in which column of numbers it is."""

    measure: Fitted
    owner: Int[Tensor, " s"]
    column: Int[Tensor, " s"]
    degree: Int[Tensor, " s"]


def scores(real: Float[Tensor, "n d"], owners: Sequence[int], most: int = DEGREES) -> Scores:
    """Up to `most` scores of each column of numbers, fewer where it has few values; of all at most 48, in turn one of
    each column of the table, ranks first and of texts the most frequent; of more than 48 columns those
    that go together most, two by two (of the first 2,000 that vary).

    >>> scores(torch.tensor([[0.0, 3.0], [1.0, 3.0], [1.0, 3.0]]), (0, 1)).column.tolist()
    [0]
    """
    vary = (real != real[0]).any(0)
    there = torch.unique(torch.tensor(owners)[vary])
    there = there if len(there) <= MOST_SCORES else _bound(real, vary, torch.tensor(owners))
    used = (vary & torch.isin(torch.tensor(owners), there)).nonzero()[:, 0]
    legendre = legendre_of_ranks(real[:, used])
    found = legendre(real[:, used])
    column = used.repeat_interleave(DEGREES)
    degree = torch.arange(1, DEGREES + 1).repeat(len(used))
    values = torch.tensor([len(torch.unique(each)) for each in real[:, used].T]).repeat_interleave(DEGREES)
    varying = ((degree < values) & (degree <= most)).nonzero()[:, 0]
    of = torch.tensor(owners)[column[varying]]
    first = np.lexsort((-found[:, varying].var(0, correction=0).numpy(), degree[varying].numpy(), of.numpy()))
    turn = np.arange(len(first)) - np.searchsorted(of.numpy()[first], of.numpy()[first])
    chosen = varying[torch.from_numpy(np.sort(first[np.argsort(turn, kind="stable")[:MOST_SCORES]]))]
    mean = found[:, chosen].mean(0)
    deviation = found[:, chosen].std(0, correction=0).clamp(min=1e-6)

    def measure(x: Tensor) -> Tensor:
        return (legendre(x[:, used])[:, chosen] - mean) / deviation

    owner = torch.tensor(owners)[column[chosen]]
    return Scores(Fitted(measure), owner, column[chosen], degree[chosen])


def _bound(real: Float[Tensor, "n d"], vary: Tensor, owners: Int[Tensor, " d"]) -> Int[Tensor, " k"]:
    """Owners whose ranks go most with those of some other."""
    columns = vary.nonzero()[:, 0][:MOST_COMPARED]
    ranks = legendre_of_ranks(real[:, columns])(real[:, columns])[:, ::DEGREES]
    z = (ranks - ranks.mean(0)) / ranks.std(0)
    bond = (z.T @ z / len(z)).abs()
    bond[owners[columns][:, None] == owners[columns]] = 0.0
    ranked = owners[columns][bond.amax(1).sort(descending=True, stable=True).indices]
    return torch.tensor(list(dict.fromkeys(ranked.tolist()))[:MOST_SCORES])


def associations(
    base: Descriptor, owners: Sequence[int], most: int = MOST_PAIRS, named: Callable[[int], str] = str
) -> Descriptor:
    """Products of the scores of two columns, one score of each: of numbers the rank, of texts whether it is that one,
    so that means are rank correlations, correlation ratios and tables of shares, by kind; of `most` pairs, those that
    go together most. named: what a column of numbers is called."""

    def fit(real: Tensor, seed: int) -> Fitted:
        found = scores(real, owners, 1)
        i, j = torch.triu_indices(len(found.owner), len(found.owner), 1)
        apart = found.owner[i] != found.owner[j]
        i, j = i[apart], j[apart]
        if len(i) > most:
            z = found.measure(real)
            bond = (z.T @ z)[i, j].abs()
            kept = bond.sort(descending=True, stable=True).indices[:most].sort().values
            i, j = i[kept], j[kept]
        first, second = (found.column[part].tolist() for part in (i, j))
        names = tuple(f"{named(a)} with {named(b)}" for a, b in zip(first, second, strict=True))

        def measure(x: Tensor) -> Tensor:
            z = found.measure(x)
            return z[:, i] * z[:, j]

        return Fitted(measure, names)

    note = "what three columns show and no two, and pairs that hardly go together where there are many"
    return Descriptor("pairs of columns", fit, VALUES.applies, "n d^2", note, (base,))


def second_moments(base: Descriptor, owners: Sequence[int]) -> Descriptor:
    """1 and all scores of a row, times one another: their means are all that regressions of one column on the others
    need. `moments_of` brings means back to matrices."""

    def fit(real: Tensor, seed: int) -> Fitted:
        found = scores(real, owners)
        i, j = torch.triu_indices(len(found.owner) + 1, len(found.owner) + 1)

        def measure(x: Tensor) -> Tensor:
            z = torch.cat([torch.ones(len(x), 1), found.measure(x)], 1)
            return z[:, i] * z[:, j]

        return Fitted(measure)

    note = "how several columns together tell another, beyond the sum of what each tells"
    return Descriptor("regressions on columns", fit, VALUES.applies, "n d^2", note, (base,))


def moments_of(means: Float[Tensor, "b k"]) -> Float[Tensor, "b s s"]:
    """Symmetric matrices from the means of their upper triangles.

    >>> moments_of(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[[1.0, 2.0], [2.0, 3.0]]]
    """
    s = int(((8 * means.shape[1] + 1) ** 0.5 - 1) / 2)
    i, j = torch.triu_indices(s, s)
    full = means.new_zeros(len(means), s, s)
    full[:, i, j] = means
    full[:, j, i] = means
    return full
