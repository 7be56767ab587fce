"""The power spectrum of each event, in bands of scale."""

import itertools

import torch
from torch import Tensor

from monge.evaluation.descriptors.base import Descriptor, Fitted, kinds
from monge.linalg.spectrum import power_spectrum

BANDS = 10
TINY = 1e-4  # of the mean power of a band: below, its logarithm is flat


def spectrum(real: Tensor, seed: int) -> Fitted:
    """log of the power of each event in at most ten bands of |k|, of equal ratio, and its mean: [n, C (bands + 1)]."""
    usual = power_spectrum(real).power.mean(0)  # [C, rings]
    edges = band_edges(usual.shape[1] - 1)
    usual = bands(usual[None], edges)[0]

    def measure(x: Tensor) -> Tensor:
        found = bands(power_spectrum(x).power, edges) / usual.clamp(min=1e-30)
        return torch.cat([(found + TINY).log().flatten(1), x.flatten(2).mean(2)], 1)

    of = [""] if real.shape[1] == 1 else [f", channel {c + 1}" for c in range(real.shape[1])]
    shown = [f"power at k = {a}" + (f"-{b - 1}" if b - 1 > a else "") for a, b in itertools.pairwise(edges)]
    return Fitted(measure, (*(f"{band}{c}" for c in of for band in shown), *(f"mean of the event{c}" for c in of)))


def band_edges(highest: int) -> list[int]:
    """Edges of bands of k from 1 to `highest`: about ten, equally wide in log k.

    >>> band_edges(16)
    [1, 2, 3, 4, 5, 7, 10, 13, 17]
    """
    wanted = torch.logspace(0, float(torch.tensor(highest + 1.0).log10()), BANDS + 1).round().long().tolist()
    return sorted(set(wanted))


def bands(power: Tensor, edges: list[int]) -> Tensor:
    """Mean power, [..., rings], in each band.

    >>> bands(torch.tensor([9.0, 1.0, 2.0, 4.0]), [1, 2, 4]).tolist()
    [1.0, 3.0]
    """
    return torch.stack([power[..., a:b].mean(-1) for a, b in itertools.pairwise(edges)], -1)


SPECTRUM = Descriptor(
    "power spectrum", spectrum, kinds(vectors=False, spatial=True, least=4), "n d log d", "moves, turns, all phases"
)
