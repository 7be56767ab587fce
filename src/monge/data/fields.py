"""Simulated fields and images: Gaussian fields with a power law, and C^alpha images."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.data.checks import at_least_two
from monge.data.samples import Samples
from monge.errors import BadInput
from monge.linalg import StationaryCovariance, wavenumbers
from monge.progress import bar

BLOCK = 256  # samples simulated at once


def gaussian_field(n: int = 4096, seed: int = 0, *, shape: tuple[int, ...] = (32, 32), slope: float = 2.0) -> Samples:
    """Stationary periodic Gaussian fields with power spectrum P(k) ~ |k|^-slope, [n, 1, *shape].

    They have mean 0 and variance 1. k is in cycles per pixel, so the law is isotropic on any grid, and the
    power is normalised to mean_k P(k) = E x^2 = 1, with E |x_hat(k)|^2 = N P(k) for the unnormalised
    transform of N = prod(shape) sites. P(0), infinite in the power law, is set to the power of the lowest
    non-zero frequency: the mean of a field then fluctuates and the covariance is invertible. shape has 1 to
    3 sides.

    >>> gaussian_field(8, shape=(16,)).x.shape
    torch.Size([8, 1, 16])
    """
    if not 1 <= len(shape) <= 3 or min(shape) < 2 or not math.isfinite(slope):
        raise BadInput(f"shape {shape} and slope {slope}: give 1 to 3 sides of 2 or more, and a finite slope")
    at_least_two(n, "gaussian-field")
    x = torch.empty(n, 1, *shape)
    with bar("drawing gaussian-field", n) as advance:
        for start in range(0, n, BLOCK):
            rows = min(BLOCK, n - start)
            x[start : start + rows, 0] = _power_law(rows, shape, slope, seed, "data", "gaussian-field", start=start)
            advance(rows)
    return Samples(x, kind="fields", name="gaussian-field")


def c_alpha(n: int = 4096, seed: int = 0, *, size: int = 32, alpha: float = 2.0) -> Samples:
    """C^alpha images: two C^alpha regions on the sides of a C^alpha contour, [n, 1, size, size] in (0, 1).

    With (u, v) in [0, 1]^2 the two axes in random order, and g1, g2, c Gaussian fields of variance 1,

        x = m f1 + (1 - m) f2,    f = sigmoid(level + g(u, v) / 2),    m = 1[v < 1/2 + c(u) / 8],

    m being averaged over a pixel in v and the levels ±(3 + 5 t)/4, t uniform, in random order. A Gaussian
    field in d dimensions with P(k) ~ |k|^-(2 alpha + d) has paths in C^a for every a < alpha: this is the
    slope of g (d = 2) and of c (d = 1), both cropped out of a torus twice as large so that the images are
    not periodic. The optimal denoiser's PSNR grows as alpha/(alpha + 1) of the input's (Kadkhodaie, Guth,
    Simoncelli, Mallat, *Generalization in diffusion models arises from geometry-adaptive harmonic
    representations*, ICLR 2024; Korostelev and Tsybakov, 1993).

    >>> c_alpha(4, size=16).x.shape
    torch.Size([4, 1, 16, 16])
    """
    if size < 4 or not 0.0 < alpha < 20.0:
        raise BadInput(f"size {size} and alpha {alpha}: give a size of 4 or more and 0 < alpha < 20")
    at_least_two(n, "c-alpha")
    x = torch.empty(n, 1, size, size)
    with bar("drawing c-alpha", n) as advance:
        for start in range(0, n, BLOCK):
            rows = min(BLOCK, n - start)
            x[start : start + rows, 0] = _c_alpha_block(rows, seed, start, size, alpha)
            advance(rows)
    return Samples(x, kind="images", name="c-alpha")


def _c_alpha_block(n: int, seed: int, start: int, size: int, alpha: float) -> Float[Tensor, "n size size"]:
    path = ("data", "c-alpha")

    def regular(part: str, dimension: int) -> Tensor:
        torus = (2 * size,) * dimension
        field = _power_law(n, torus, 2 * alpha + dimension, seed, *path, part, start=start)
        return field[(slice(None), *[slice(size)] * dimension)]

    u = rng.uniform((n, 3, 1, 1), seed, *path, "levels", start=start)
    transpose, swap, contrast = u.unbind(1)
    level = (0.75 + 1.25 * contrast) * (2.0 * (swap < 0.5) - 1.0)
    v = (torch.arange(size) + 0.5) / size
    mask = ((0.5 + regular("contour", 1)[:, :, None] / 8 - v) * size + 0.5).clamp(0.0, 1.0)
    one = torch.sigmoid(level + regular("foreground", 2) / 2)
    two = torch.sigmoid(-level + regular("background", 2) / 2)
    x = mask * one + (1 - mask) * two
    return torch.where(transpose < 0.5, x, x.mT)


def _power_law(
    n: int, shape: tuple[int, ...], slope: float, seed: int, *path: str, start: int = 0
) -> Float[Tensor, "n *shape"]:
    """White noise filtered by the square root of the power."""
    covariance = StationaryCovariance(power_law_spectrum(shape, slope)[None].float())
    return covariance.apply(torch.sqrt, rng.normal((n, 1, *shape), seed, *path, start=start))[:, 0]


def power_law_spectrum(shape: tuple[int, ...], slope: float) -> Float[Tensor, "*shape"]:
    """P(k) of `gaussian_field` on the grid of torch.fft.fftn, mean 1, float64.

    >>> power_law_spectrum((4,), 2.0)
    tensor([1.2308, 1.2308, 0.3077, 1.2308], dtype=torch.float64)
    """
    radius = wavenumbers(shape)
    radius[(0,) * len(shape)] = radius[radius > 0].min()
    power = radius**-slope
    return power / power.mean()
