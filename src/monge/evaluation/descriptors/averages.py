"""What physicists average: the laws of global means and of power, two-point functions, one-point moments."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from monge.evaluation.descriptors.base import Descriptor, Fitted, kinds
from monge.evaluation.descriptors.spectra import band_edges, bands
from monge.evaluation.descriptors.values import legendre_of_ranks
from monge.linalg.spectrum import power_spectrum

LAGS = (1, 2, 4, 8)  # of two-point functions, along each axis, and half the side
JOINED = 3.0  # of a field that is periodic the ends are so many times as unlike as neighbours, at most


def averages(real: Tensor, seed: int) -> Fitted:
    """By channel, with M the mean of an event over its sites: M, |M|, M^2, M^4, about the mean of M and in its standard
    deviations (Binder's cumulant is 1 - <M^4> / 3 <M^2>^2), and Legendre polynomials of the rank of M; power in bands
    of |k|, its square and its rank's polynomials; <x(s) x(s + r)> along each axis, around the torus where fields are
    periodic; <x>, <x^2>, <x^3>, <x^4> over sites."""
    space, d = tuple(real.shape[2:]), real.ndim - 2
    usual = power_spectrum(real).power.mean(0)
    edges = band_edges(usual.shape[1] - 1)
    usual = bands(usual[None], edges)[0].clamp(min=1e-30)
    site, spread = real.mean(), real.std().clamp(min=1e-30)
    of_means = real.flatten(2).mean(2)
    centre, width = of_means.mean(0), of_means.std(0).clamp(min=1e-30)
    around = [periodic(real, axis) for axis in range(2, 2 + d)]
    lags = [(axis, lag) for axis, side in enumerate(space) for lag in sorted({*LAGS, side // 2}) if lag <= side // 2]

    def power(x: Tensor) -> Tensor:
        return (bands(power_spectrum(x).power, edges) / usual).flatten(1)

    ranks_of_means = legendre_of_ranks(of_means)
    ranks_of_power = legendre_of_ranks(power(real))

    def measure(x: Tensor) -> Tensor:
        means, in_bands = x.flatten(2).mean(2), power(x)
        m = (means - centre) / width
        flat = (x - site) / spread
        found = [m, m.abs(), m.square(), m.pow(4), ranks_of_means(means), in_bands, in_bands.square()]
        found.append(ranks_of_power(in_bands))
        found += [_two_point(flat, axis + 2, lag, around[axis]) for axis, lag in lags]
        found += [flat.pow(k).flatten(2).mean(2) for k in range(1, 5)]
        return torch.cat(found, 1)

    return Fitted(measure, tuple(_names(real.shape[1], edges, lags)))


def periodic(x: Tensor, axis: int) -> bool:
    """Whether events join at the ends of an axis: the first and the last site are as alike as neighbours are.

    >>> x = torch.arange(16.0).expand(3, 1, 16)
    >>> periodic(x, 2), periodic((x * torch.pi / 8).sin(), 2)
    (False, True)
    """
    n = x.shape[axis]
    ends = (x.narrow(axis, 0, 1) - x.narrow(axis, n - 1, 1)).square().mean()
    return bool(ends <= JOINED * x.diff(dim=axis).square().mean())


def _two_point(x: Tensor, axis: int, lag: int, around: bool) -> Tensor:
    if around:
        return (x * x.roll(-lag, axis)).flatten(2).mean(2)
    n = x.shape[axis] - lag
    return (x.narrow(axis, 0, n) * x.narrow(axis, lag, n)).flatten(2).mean(2)


def _names(channels: int, edges: Sequence[int], lags: Sequence[tuple[int, int]]) -> list[str]:
    of = [""] if channels == 1 else [f", channel {c + 1}" for c in range(channels)]
    polynomials = ("mean", "spread", "skew", "tails")
    k = [f"k = {a}" + (f"-{b - 1}" if b - 1 > a else "") for a, b in itertools.pairwise(edges)]
    names = [f"{what} of means{c}" for what in ("M", "|M|", "M^2", "M^4") for c in of]
    names += [f"{what} of ranks of means{c}" for c in of for what in polynomials]
    names += [f"power at {band}{c}" for c in of for band in k] + [
        f"squared power at {band}{c}" for c in of for band in k
    ]
    names += [f"{what} of ranks of power at {band}{c}" for c in of for band in k for what in polynomials]
    names += [f"two-point function at {lag} along axis {axis + 1}{c}" for axis, lag in lags for c in of]
    return names + [f"<x^{power}>{c}" for power in range(1, 5) for c in of]


AVERAGES = Descriptor(
    "averages", averages, kinds(vectors=False, spatial=True, least=4), "20 n d log d", "all that these averages join"
)
