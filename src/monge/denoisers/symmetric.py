"""A denoiser made equivariant: the mean over the symmetries of a square."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.wrapper import Wrapper


class Symmetric(Wrapper):
    """mean over g of g^-1 D(g y, sigma), g being the flips of axes and their exchange: 8 of them in two dimensions.

    Of data whose law does not change by g neither does E[x | y]; the mean of D's errors is then smaller than each.

    >>> D = Symmetric(lambda y, sigma: y.cumsum(-1))
    >>> D(torch.ones(1, 1, 1, 3), 1.0)
    tensor([[[[1.5000, 1.5000, 1.5000]]]])
    """

    def denoised(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        axes = tuple(range(2, y.ndim))
        total, count = torch.zeros_like(y), 0
        for order in itertools.permutations(axes):
            back = [order.index(axis) + 2 for axis in axes]
            for flips in itertools.product((False, True), repeat=len(axes)):
                flipped = [axis for axis, flip in zip(axes, flips, strict=True) if flip]
                turned = y.permute(0, 1, *order).flip(flipped)
                total += self.denoiser(turned, sigma).flip(flipped).permute(0, 1, *back)
                count += 1
        return total / count
