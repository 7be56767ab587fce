"""Fourier on the torus: wavenumbers, and the power that a field has at each."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class PowerSpectrum(NamedTuple):
    """Power per sample and channel in rings of wavenumber.

    k: [bins] mean wavenumber of a ring, cycles per shortest side. power: [n, C, bins], mean of |x_hat(k)|^2 / sites.
    """

    k: Float[Tensor, " bins"]
    power: Float[Tensor, "n c bins"]


def wavenumbers(space: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Float[Tensor, "*space"]:
    """|k| on the grid of `torch.fft.fftn`, in cycles per shortest side, [*space]; pixels are square.

    >>> wavenumbers((4,))
    tensor([0., 1., 2., 1.], dtype=torch.float64)
    """
    axes = [min(space) * torch.fft.fftfreq(side, dtype=dtype) for side in space]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()


def power_spectrum(x: Float[Tensor, "n c *space"]) -> PowerSpectrum:
    """Isotropic power spectrum of fields [n, C, *space], in rings of width one, up to the shortest axis's Nyquist.

    White noise of variance s^2 has power s^2 at every k; a stationary law has the mean of its spectrum in the ring.

    >>> power_spectrum(torch.ones(1, 1, 4)).power
    tensor([[[4., 0., 0.]]])
    """
    space = tuple(x.shape[2:])
    axes = tuple(range(2, x.ndim))
    power = torch.fft.fftn(x, dim=axes).abs().square().flatten(2) / x[0, 0].numel()
    k = wavenumbers(space, x.dtype).to(x.device).flatten()
    ring = k.round().long()
    kept = ring <= min(space) // 2
    bins = int(ring[kept].max()) + 1
    count = torch.bincount(ring[kept], minlength=bins).to(x.dtype)
    mean_k = torch.zeros(bins, dtype=x.dtype, device=x.device).index_add(0, ring[kept], k[kept]) / count
    rings = torch.zeros(*power.shape[:2], bins, dtype=x.dtype, device=x.device)
    return PowerSpectrum(mean_k, rings.index_add(2, ring[kept], power[..., kept]) / count)
