"""Wavelet scattering: how the moduli of wavelet coefficients are spread, and how scales go together (Mallat 2012)."""

import itertools
import math

import torch
from torch import Tensor

from monge.evaluation.descriptors.base import Descriptor, Fitted, kinds

MOST_SCALES = 4
TINY = 1e-6


def scattering(real: Tensor, seed: int) -> Fitted:
    """log means, over sites and channels, of |x * psi_j|^2, of |x * psi_j| over its root, of ||x * psi_i| * psi_j|
    over |x * psi_i|, i < j, and correlations of |x * psi_i| with |x * psi_j|: energy, sparsity, clustering, edges.

    psi_j: band-pass of frequencies about 2^-j of Nyquist's, in four orientations in 2-D, one-sided; j at most 4 scales.
    """
    space = tuple(real.shape[2:])
    bank = wavelets(space)  # [scales, orientations, *space]
    scales, orientations = bank.shape[:2]
    axes = tuple(range(-len(space), 0))
    pairs = list(itertools.combinations(range(scales), 2))
    usual = real.var(0).mean().clamp(min=1e-30)

    def measure(x: Tensor) -> Tensor:
        x = x / usual.sqrt()
        hat = torch.fft.fftn(x, dim=axes)[:, :, None, None]
        modulus = torch.fft.ifftn(hat * bank, dim=axes).abs()  # [n, C, scales, orientations, *space]
        flat = modulus.flatten(4)
        square = flat.square().mean((1, 4)) + TINY
        mean = flat.mean((1, 4)) + TINY
        found = [square.log().flatten(1), (mean / square.sqrt()).log().flatten(1)]
        centred = flat - flat.mean(4, keepdim=True)
        norm = centred.square().mean((1, 4)) + TINY
        for i, j in pairs:
            again = torch.fft.ifftn(torch.fft.fftn(modulus[:, :, i], dim=axes) * bank[j], dim=axes).abs()
            found.append(((again.flatten(3).mean((1, 3)) + TINY) / mean[:, i]).log())
            found.append((centred[:, :, i] * centred[:, :, j]).mean((1, 3)) / (norm[:, i] * norm[:, j]).sqrt())
        return torch.cat(found, 1)

    angle = [""] if orientations == 1 else [f", orientation {o + 1}" for o in range(orientations)]
    single = [f"{what} at scale {j + 1}{o}" for what in ("energy", "sparsity") for j in range(scales) for o in angle]
    double = [
        f"{what} of scales {i + 1} and {j + 1}{o}" for i, j in pairs for what in ("clustering", "edges") for o in angle
    ]
    return Fitted(measure, (*single, *double))


def wavelets(space: tuple[int, ...]) -> Tensor:
    """Filters in Fourier, [scales, orientations, *space]: exp(-log2(|k| / k_j)^2) times max(cos angle, 0)^2.

    k_j = 2^-j of 3/4 of Nyquist's frequency; orientations: one side in 1-D, four angles in 2-D, axes and diagonals in
    3-D.

    >>> wavelets((16, 16)).shape
    torch.Size([3, 4, 16, 16])
    """
    scales = max(1, min(MOST_SCALES, int(math.log2(min(space))) - 1))
    frequency = torch.stack(torch.meshgrid(*(torch.fft.fftfreq(side) for side in space), indexing="ij"), -1)
    k = frequency.norm(dim=-1)
    centre = 0.375 * 2.0 ** -torch.arange(scales)
    radial = torch.exp(-(torch.log2(k.clamp(min=1e-9) / centre.reshape(-1, *[1] * len(space))) ** 2) * 2)
    radial[:, k == 0] = 0.0
    axes = {
        1: [(1.0,)],
        2: [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0)],
        3: [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (1.0, 1, 1), (1.0, 1, -1), (1.0, -1, 1), (-1.0, 1, 1)],
    }[len(space)]
    units = torch.nn.functional.normalize(torch.tensor(axes), dim=1)
    cosine = (frequency @ units.T / k.clamp(min=1e-9)[..., None]).movedim(-1, 0).clamp(min=0)
    bank: Tensor = radial[:, None] * cosine.square()
    return bank


SCATTERING = Descriptor(
    "wavelet scattering", scattering, kinds(vectors=False, spatial=True, least=4), "40 n d log d", "moves"
)
