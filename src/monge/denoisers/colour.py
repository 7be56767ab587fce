"""A denoiser of one channel on events of several."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.wrapper import Wrapper
from monge.protocols import Denoiser

S2, S3, S6 = math.sqrt(2), math.sqrt(3), math.sqrt(6)
OPPONENT = ((1 / S3, 1 / S3, 1 / S3), (1 / S2, 0.0, -1 / S2), (1 / S6, -2 / S6, 1 / S6))


class ByChannel(Wrapper):
    """D(y, sigma) channel by channel; of colours, [n, 3, H, W], along three axes in which they hardly correlate.

    The axes are light, red less blue, and green less both, (1, 1, 1) / sqrt 3, (1, 0, -1) / sqrt 2, (1, -2, 1) / sqrt
    6: orthonormal, so that white noise stays white and of the same level.

    denoiser: of events [n, 1, *space]. decorrelated: whether three channels are taken along those axes.

    >>> from monge.denoisers import WaveletShrinkage
    >>> y = torch.full((1, 3, 16, 16), 7.0)
    >>> bool((ByChannel(WaveletShrinkage())(y, torch.ones(1)) - y).abs().max() < 1e-4)
    True
    """

    moments = None  # those of a channel are not those of the whole

    def __init__(self, denoiser: Denoiser, *, decorrelated: bool = True) -> None:
        super().__init__(denoiser)
        self.decorrelated = decorrelated

    def denoised(self, y: Float[Tensor, "n c *space"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n c *space"]:
        turn = self.decorrelated and y.shape[1] == 3
        axes = torch.tensor(OPPONENT, dtype=y.dtype, device=y.device) if turn else None
        seen = y if axes is None else torch.einsum("ij,nj...->ni...", axes, y)
        if self.count is None:
            flat = self.denoiser(seen.flatten(0, 1)[:, None], sigma.repeat_interleave(y.shape[1]))
            x_hat = flat.reshape(seen.shape)
        else:  # what a row has of its own is that of its channels
            x_hat = torch.cat([self.denoiser(channel, sigma) for channel in torch.split(seen, 1, 1)], 1)
        return x_hat if axes is None else torch.einsum("ji,nj...->ni...", axes, x_hat)
