"""What a denoiser makes of samples at growing noise, for the strip of the report."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.protocols import SupportsDenoise

LEVELS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # in standard deviations of the data


class Denoising(NamedTuple):
    """Samples with noise added and taken away again, in data units.

    clean: [k, *event]. sigma: [s]; in standard deviations of each channel, as it is bent, where the model keeps one
    scale a channel or bends them.
    noisy, denoised: [s, k, *event].
    """

    clean: Tensor
    sigma: Tensor
    noisy: Tensor
    denoised: Tensor


def denoising(
    model: SupportsDenoise, x: Float[Tensor, "k *event"], *, sigma: Sequence[float] | None = None, seed: int = 0
) -> Denoising:
    """Add noise of standard deviation sigma to x and let the model take it away: y = x + sigma z, D(y, sigma).

    sigma: levels in data units; by default 0.1 to 4 standard deviations of x. A model that keeps one scale a channel,
        or bends them, has its noise in units of them.

    >>> class Shrink:  # E[x | y] for x ~ N(0, Id)
    ...     def denoise(self, y, sigma):
    ...         return y / (1 + sigma**2)
    >>> denoising(Shrink(), torch.ones(3, 2), sigma=[0.5, 1.0]).denoised.shape
    torch.Size([2, 3, 2])
    """
    scaling = getattr(model, "scaling", None)
    own = None if scaling is None or scaling.is_common else scaling
    bent = {"bent": True} if own is not None and own.bends else {}
    spread = 1.0 if own else float(x.std()) or 1.0
    levels = torch.tensor([level * spread for level in LEVELS] if sigma is None else list(sigma))
    noise = [rng.normal(tuple(x.shape), seed, "report", "noise", i, dtype=x.dtype) for i in range(len(levels))]
    unit = own.scale.to(x) if own else torch.ones(())
    noisy = [
        own.inverse(own.forward(x) + level * z) if own and bent else x + level * unit * z
        for level, z in zip(levels, noise, strict=True)
    ]
    denoised = [model.denoise(y, float(level), **bent) for level, y in zip(levels, noisy, strict=True)]
    return Denoising(x, levels, torch.stack(noisy), torch.stack(denoised))
