"""More rows from few: moved, and the network told by how much, so that what is drawn is not."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

SHARE = 0.5  # of the rows, moved in each way
FURTHEST = 8  # pictures are shifted by up to an eighth of each side


class Augmentation:
    """Random shifts of pictures, or mirrors of fields, and the numbers by which a network is told of them.

    A network that sees few rows many times learns these rows; of moved ones there are many more. It is told the move,
    0 for none, and with 0 samples are drawn, so that no move leaks into them (Karras et al. 2022, section 5).

    Shifts are by whole pixels, what comes in at a border being the border's value; fields are mirrored along each axis,
    and a square is transposed: no value is interpolated. features: how many numbers tell a move.

    >>> augment = Augmentation("images", (1, 8, 8))
    >>> x, told = augment(torch.randn(5, 1, 8, 8), torch.Generator().manual_seed(0))
    >>> x.shape, told.shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 2]))
    """

    def __init__(self, kind: str, event_shape: tuple[int, ...]) -> None:
        self.mirrors, self.space = kind == "fields", tuple(event_shape[1:])
        self.square = self.mirrors and len(self.space) == 2 and self.space[0] == self.space[1]
        self.features = len(self.space) + self.square

    def __call__(
        self, x: Float[Tensor, "n c *space"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "n c *space"], Float[Tensor, "n features"]]:
        n = len(x)
        options: dict[str, Any] = {"generator": generator, "device": x.device}
        told = []
        for axis, side in enumerate(self.space, start=2):
            on, place = torch.rand(n, **options) < SHARE, torch.arange(side, device=x.device).expand(n, side)
            if self.mirrors:
                moved = torch.where(on[:, None], side - 1 - place, place)
                told.append(on.to(x))
            else:
                most = max(1, side // FURTHEST)
                shift = torch.randint(-most, most + 1, (n,), **options) * on
                moved = (place - shift[:, None]).clamp(0, side - 1)
                told.append(shift.to(x) / most)
            wide = [n, *[1] * (x.ndim - 1)]
            wide[axis] = side
            x = x.gather(axis, moved.reshape(wide).expand(x.shape))
        if self.square:
            on = torch.rand(n, **options) < SHARE
            x = torch.where(on.reshape(-1, 1, 1, 1), x.transpose(2, 3), x)
            told.append(on.to(x))
        return x, torch.stack(told, 1)
