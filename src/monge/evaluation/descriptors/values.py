"""Descriptors of the values themselves, for any event: principal coordinates, their energies, ranks, random Fourier."""

import itertools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.evaluation.descriptors.base import Descriptor, Fitted, kinds

MOST = 64  # coordinates that are kept
DEGREES = 4  # of Legendre polynomials of a rank
WIDTHS, FREQUENCIES = (0.5, 1.0, 2.0), 64  # of the median distance between two rows
TINY = 1e-6  # share of an energy below which its logarithm is flat


def principal_axes(rows: Float[Tensor, "n d"], most: int = MOST) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [d], axes [d, k] and standard deviations [k] of the leading directions of rows, those that move.

    >>> [part.shape for part in principal_axes(torch.randn(9, 3))]
    [torch.Size([3]), torch.Size([3, 3]), torch.Size([3])]
    """
    mean = rows.double().mean(0)
    centred = rows.double() - mean
    k = min(most, len(rows) - 1, rows.shape[1])
    if rows.shape[1] > 4 * most and len(rows) > 4 * most:  # a sketch first: Halko, Martinsson & Tropp 2011
        sketch = centred @ rng.normal((rows.shape[1], 2 * most), 0, "principal").double()
        for _ in range(4):
            sketch = centred @ (centred.T @ torch.linalg.qr(sketch).Q)
        basis = torch.linalg.qr(centred.T @ torch.linalg.qr(sketch).Q).Q
        _, s, vh = torch.linalg.svd(centred @ basis, full_matrices=False)
        axes = basis @ vh.T
    elif rows.shape[1] > len(rows):
        _, s, vh = torch.linalg.svd(centred, full_matrices=False)
        axes = vh.T
    else:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        s, axes = values.clamp(min=0).sqrt().flip(0), vectors.flip(1)
    kept = int((s[:k] > TINY * s[0]).sum())
    return mean, axes[:, :kept], s[:kept] / (len(rows) - 1) ** 0.5


def principal(real: Tensor, seed: int) -> Fitted:
    mean, axes, deviation = principal_axes(real.flatten(1))
    turn, shift = (axes / deviation).float(), (mean @ (axes / deviation)).float()
    names = tuple(f"direction {i + 1}" for i in range(turn.shape[1]))
    return Fitted(lambda x: x.flatten(1) @ turn - shift, names, deviation.float())


def leading(d: int) -> int:
    """How many of d directions are called leading: a quarter of them, from 1 to 64.

    >>> leading(2), leading(64)
    (1, 16)
    """
    return max(1, min(MOST, d // 4))


def energies_in(raw: Float[Tensor, " d"]) -> Descriptor:
    """Energies of directions of standardised vectors, and of vectors in units of their own, `raw` times as large."""
    own = bool((raw < 0.999).any())

    def fit(real: Tensor, seed: int) -> Fitted:
        first = energies(real, seed)
        if not own:
            return first
        second = energies(real * raw, seed)
        names = (*first.names, *(f"{name} in their own units" for name in second.names))
        return Fitted(lambda x: torch.cat([first(x), second(x * raw)], 1), names)

    return Descriptor(
        f"energies of directions{' in two units' * own}", fit, ANY, "n d k", ENERGIES.invariances, alike=True
    )


def energies(real: Tensor, seed: int) -> Fitted:
    """log of |coordinates|^2 in bands of principal directions: four each to 16, then twice as many each time to 128,
    an edge of them where the leading ones end; and of what is left. Of one direction, and of fewer than four values,
    squares."""
    rows = real.flatten(1)
    mean, axes, deviation = principal_axes(rows, 2 * MOST)
    k = axes.shape[1]
    if rows.shape[1] < 4:  # the logarithm of one square is a poor measure of a variance
        turn, shift = (axes / deviation).float(), (mean @ (axes / deviation)).float()
        names = [f"variance of direction {i + 1}" for i in range(k)]
        return Fitted(lambda x: (x.flatten(1) @ turn - shift).square(), tuple(names))
    edges = [0]
    while edges[-1] < k:
        edges.append(min(k, edges[-1] + 4 if edges[-1] < 16 else 2 * edges[-1]))
    bands = list(itertools.pairwise(sorted({*edges, min(k, leading(rows.shape[1]))})))
    turn, shift, centre = axes.float(), (mean @ axes).float(), mean.float()
    usual = [float(deviation[a:b].square().sum()) for a, b in bands]
    left = max(float((rows - centre).square().sum(1).mean()) - sum(usual), TINY * sum(usual))

    def measure(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        squares = (flat @ turn - shift).square()
        parts = [squares[:, a:b].sum(1) / u for (a, b), u in zip(bands, usual, strict=True)]
        alone = [b - a == 1 for a, b in bands]
        if k < rows.shape[1]:
            parts.append(((flat - centre).square().sum(1) - squares.sum(1)).clamp(min=0) / left)
            alone.append(False)
        return torch.stack([part if one else (part + TINY).log() for part, one in zip(parts, alone, strict=True)], 1)

    names = [f"variance of directions {a + 1}-{b}" for a, b in bands]
    return Fitted(measure, (*names, *(["variance of other directions"] if k < rows.shape[1] else [])))


def ranks(real: Tensor, seed: int) -> Fitted:
    """Legendre polynomials of degree 1 to 4 of the rank of each coordinate, or of the leading directions, among
    real ones."""
    rows = real.flatten(1)
    wide = rows.shape[1] > MOST
    if wide:
        mean, axes, _ = principal_axes(rows, MOST // 2)
        turn, shift = axes.float(), (mean @ axes).float()
    told = (
        [f"direction {i + 1}" for i in range(turn.shape[1])]
        if wide
        else [f"column {i + 1}" for i in range(rows.shape[1])]
    )

    def look(x: Tensor) -> Tensor:
        return x.flatten(1) @ turn - shift if wide else x.flatten(1)

    of_ranks = legendre_of_ranks(look(rows))
    of = ("mean", "spread", "skew", "tails")
    return Fitted(lambda x: of_ranks(look(x)), tuple(f"{o} of {name}" for name in told for o in of))


def legendre_of_ranks(real: Float[Tensor, "n k"]) -> Callable[[Tensor], Tensor]:
    """A function of rows [n, k]: Legendre polynomials of degree 1 to 4 of the rank, from -1 to 1, of each value among
    the real ones of its column, ties in the middle, [n, 4 k].

    >>> legendre_of_ranks(torch.arange(4.0)[:, None])(torch.tensor([[1.5]])).tolist()
    [[0.0, -0.5, -0.0, 0.375]]
    """
    table = real.T.contiguous().sort(1).values

    def measure(x: Tensor) -> Tensor:
        values = x.T.contiguous()
        below = torch.searchsorted(table, values) + torch.searchsorted(table, values, right=True)
        u = (below.T.float() / table.shape[1] - 1.0).clamp(-1, 1)
        polynomials = [torch.ones_like(u), u]
        for n in range(1, DEGREES):
            polynomials.append(((2 * n + 1) * u * polynomials[n] - n * polynomials[n - 1]) / (n + 1))
        return torch.stack(polynomials[1:], 2).flatten(1)

    return measure


def fourier(real: Tensor, seed: int) -> Fitted:
    """cos and sin of w.x, w Gaussian at three widths (Rahimi & Recht 2007): a Gaussian kernel is the mean of
    products."""
    rows = real.flatten(1)
    some = rows[:500]
    usual = float(torch.cdist(some, some).median()) or 1.0
    w = rng.normal((rows.shape[1], FREQUENCIES), seed, "fourier")
    turns = torch.cat([w / (width * usual) for width in WIDTHS], 1)
    names = tuple(
        f"width {width:g}, {f} {i + 1}" for width in WIDTHS for f in ("cos", "sin") for i in range(FREQUENCIES)
    )

    def measure(x: Tensor) -> Tensor:
        phase = torch.split(x.flatten(1) @ turns, FREQUENCIES, 1)
        return torch.cat([f(part) for part in phase for f in (torch.cos, torch.sin)], 1)

    return Fitted(measure, names)


ANY = kinds(vectors=True, spatial=True)
VALUES = Descriptor("values", lambda real, seed: Fitted(lambda x: x.flatten(1)), ANY, "n d", "none")
PRINCIPAL = Descriptor("principal coordinates", principal, ANY, "n d k", "none, within the leading 64 directions")
ENERGIES = Descriptor(
    "energies of directions", energies, ANY, "n d k", "signs and turns in a band of directions", (), True
)
RANKS = Descriptor("one coordinate at a time", ranks, ANY, "n d log n", "whatever joins coordinates")
FOURIER = Descriptor("random Fourier features", fourier, ANY, "192 n d", "none; dull to details of large events")
