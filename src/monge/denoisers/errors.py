"""How far a denoiser is from the events under the noise, level by level."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.protocols import Denoiser

TOGETHER = 2**21  # values of events that are denoised together


def noisy(x: Float[Tensor, "n *event"], sigma: float, *address: int | str) -> Float[Tensor, "n *event"]:
    """x + sigma z, the same z for one address."""
    z = rng.normal(tuple(x.shape), int(address[0]), *address[1:], dtype=x.dtype)
    return x + sigma * z.to(x.device)


@torch.no_grad()
def denoised(denoiser: Denoiser, y: Float[Tensor, "n *event"], sigma: float) -> Float[Tensor, "n *event"]:
    """D(y, sigma), a few rows at a time.

    >>> denoised(lambda y, sigma: y / 2, torch.ones(3, 1), 1.0).T
    tensor([[0.5000, 0.5000, 0.5000]])
    """
    some = max(1, TOGETHER // max(1, y[:1].numel()))
    parts = [denoiser(part, torch.full((len(part),), sigma).to(part)) for part in torch.split(y, some)]
    return torch.cat(parts)


def denoising_errors(
    denoiser: Denoiser, x: Float[Tensor, "n *event"], levels: Sequence[float], *, seed: int = 0
) -> Float[Tensor, "levels n"]:
    """|D(x + sigma z, sigma) - x|^2 / d of each event at each level, z by the seed.

    >>> denoising_errors(lambda y, sigma: y, torch.zeros(1000, 2), [2.0]).mean().round()
    tensor(4., dtype=torch.float64)
    """
    found = [denoised(denoiser, noisy(x, sigma, seed, "denoising", i), sigma) for i, sigma in enumerate(levels)]
    return torch.stack([(x_hat - x).double().square().flatten(1).mean(1) for x_hat in found])
