"""Wavelet transforms on the torus in one, two or three dimensions, orthonormal or invariant by translations."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from monge.errors import BadInput


class Wavelets:
    """Coefficients <x, psi_j,k(. - u)> of fields on a torus, and back.

    At scale j = 1, 2, ... `levels` (fine to coarse) and for each choice k of low or high pass along the axes, not all
    low, psi_j,k is a product of wavelets and scaling functions of unit norm; and the coarsest averages come last.
    Decimated, u is on the grid of step 2^j, and they are an orthonormal basis (Mallat 1989). Else u is every site: all
    translates of that basis at once, a tight frame, whose synthesis is the mean over the translates (Coifman and Donoho
    1995).

    space: sides, multiples of 2^levels. name: of an orthogonal wavelet of PyWavelets: "haar", "db2", "sym8", "coif2".

    Raises BadInput for a wavelet that is not orthogonal, or sides that 2^levels does not divide.

    >>> W = Wavelets((8, 8), "db2", levels=2)
    >>> x = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    >>> coefficients = W.analyse(x)
    >>> len(coefficients), torch.allclose(W.synthesise(coefficients), x)
    (7, True)
    """

    def __init__(self, space: Sequence[int], name: str = "sym4", *, levels: int, decimated: bool = False) -> None:
        self.space, self.levels, self.decimated = tuple(space), levels, decimated
        if levels < 1 or any(side % 2**levels for side in self.space):
            raise BadInput(f"a transform of {levels} levels needs sides that {2**levels} divides, not {list(space)}")
        low, high = _filters(name)
        # by scale and axis, [2, side]: what low and high pass do to each frequency, of unit norm
        self.responses = [
            [torch.stack([_response(taps, side, 2**j) for taps in (low, high)]) for side in self.space]
            for j in range(levels)
        ]
        self.bands = [
            (j, kind)
            for j in range(levels)
            for kind in product((0, 1), repeat=len(self.space))
            if any(kind) or j == levels - 1
        ]
        self.bands.sort(key=lambda band: (not any(band[1]), band))  # the averages last

    def analyse(self, x: Float[Tensor, "n c *space"]) -> list[Float[Tensor, "n c *_"]]:
        """One tensor a band: details of the finest scale first, averages last."""
        axes = tuple(range(2, x.ndim))
        waves, found = torch.fft.fftn(x, dim=axes), []
        for (j, _), response in zip(self.bands, self._each(x), strict=True):
            band = torch.fft.ifftn(waves * response.conj(), dim=axes).real
            found.append(band[self._grid(j)] if self.decimated else band)
        return found

    def synthesise(self, bands: Sequence[Float[Tensor, "n c *_"]]) -> Float[Tensor, "n c *space"]:
        """The field of these coefficients; of others than a field's, the nearest."""
        axes = tuple(range(2, 2 + len(self.space)))
        total: Tensor | float = 0.0
        for (j, _), band, response in zip(self.bands, bands, self._each(bands[0]), strict=True):
            if self.decimated:
                whole = band.new_zeros(*band.shape[:2], *self.space)
                whole[self._grid(j)] = band
            else:
                whole = band / 2.0 ** ((j + 1) * len(self.space))
            total = total + torch.fft.fftn(whole, dim=axes) * response
        field: Tensor = torch.fft.ifftn(torch.as_tensor(total), dim=axes).real
        return field

    def _grid(self, j: int) -> tuple[slice, ...]:
        return (slice(None), slice(None), *[slice(None, None, 2 ** (j + 1))] * len(self.space))

    def _each(self, like: Tensor) -> Iterator[Tensor]:
        """The frequency response of each band, made as it is needed."""
        kind = torch.complex128 if like.dtype == torch.float64 else torch.complex64
        for j, choice in self.bands:
            total = torch.ones((), dtype=kind, device=like.device)
            for axis, (high, side) in enumerate(zip(choice, self.space, strict=True)):
                # the filters before this scale are low pass
                one = torch.ones(side, dtype=torch.complex128)
                for i in range(j):
                    one = one * self.responses[i][axis][0]
                one = (one * self.responses[j][axis][high]).to(kind).to(like.device)
                total = total * one.reshape([-1 if a == axis else 1 for a in range(len(self.space))])
            yield total


def _filters(name: str) -> tuple[Tensor, Tensor]:
    import pywt

    try:
        wavelet = pywt.Wavelet(name)
    except (ValueError, TypeError) as error:
        raise BadInput(f"no wavelet {name!r}: give one of PyWavelets, haar, db4 or sym8 for instance") from error
    if not wavelet.orthogonal:
        raise BadInput(f"{name} is not orthogonal: give haar, db4, sym8 or coif2 for instance")
    low, high = (torch.tensor(taps, dtype=torch.float64) for taps in wavelet.filter_bank[2:])
    return low, high


def _response(taps: Tensor, side: int, stride: int) -> Tensor:
    """Fourier transform on a side of a filter whose taps are `stride` apart, [side]; its middle is at the origin."""
    middle = len(taps) // 2 - 1
    place = torch.arange(len(taps)) - middle
    angle = -2 * math.pi * torch.outer(torch.arange(side, dtype=torch.float64), stride * place.double()) / side
    return (taps * torch.polar(torch.ones_like(angle), angle)).sum(1)
