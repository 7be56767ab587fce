"""Space folded into channels, so that convolutions run on fewer sites; exactly undone."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def fold(x: Float[Tensor, "n c *space"], stem: int, periodic: bool = False) -> Float[Tensor, "n _ *coarse"]:
    """Blocks of `stem` sites a side become channels: [n, C, *space] -> [n, C stem^d, *space / stem] (space to depth).

    Sides that are not multiples of stem are filled up, by what is at the edge, or at the other edge of a torus.

    >>> fold(torch.zeros(5, 3, 8, 6), 4).shape
    torch.Size([5, 48, 2, 2])
    """
    n, channels, *space = (x := filled(x, stem, periodic)).shape
    d = len(space)
    split = x.reshape(n, channels, *(part for side in space for part in (side // stem, stem)))
    order = [0, 1, *(3 + 2 * i for i in range(d)), *(2 + 2 * i for i in range(d))]
    return split.permute(order).reshape(n, channels * stem**d, *(side // stem for side in space))


def filled(x: Float[Tensor, "n c *space"], multiple: int, periodic: bool = False) -> Float[Tensor, "n c *more"]:
    """Sides brought to multiples, by what is at the edge, or at the other edge of a torus.

    >>> filled(torch.tensor([[[1.0, 2.0, 3.0]]]), 4), filled(torch.tensor([[[1.0, 2.0, 3.0]]]), 4, periodic=True)
    (tensor([[[1., 2., 3., 3.]]]), tensor([[[1., 2., 3., 1.]]]))
    """
    for axis, side in enumerate(x.shape[2:], start=2):
        if side % multiple:
            place = torch.arange(-(-side // multiple) * multiple, device=x.device)
            x = x.index_select(axis, place % side if periodic else place.clamp(max=side - 1))
    return x


def unfold(x: Float[Tensor, "n _ *coarse"], stem: int, space: Sequence[int]) -> Float[Tensor, "n c *space"]:
    """The inverse of `fold` to events of this space.

    >>> x = torch.randn(2, 3, 5, 7)
    >>> torch.equal(unfold(fold(x, 2), 2, (5, 7)), x)
    True
    """
    n, channels, *coarse = x.shape
    d = len(coarse)
    split = x.reshape(n, channels // stem**d, *[stem] * d, *coarse)
    order = [0, 1, *(axis for i in range(d) for axis in (2 + d + i, 2 + i))]
    whole = split.permute(order).reshape(n, channels // stem**d, *(side * stem for side in coarse))
    for axis, side in enumerate(space, start=2):
        whole = whole.narrow(axis, 0, side)
    return whole
