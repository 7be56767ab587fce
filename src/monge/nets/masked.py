"""The masked perceptron: output i sees the inputs before i, and no other."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.embedding import Condition
from monge.objects import Recorded


class MaskedLinear(nn.Linear):
    """A linear layer with some weights held at 0. mask: [out, in], True where a weight is."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MaskedMLP(Recorded, nn.Module):
    """Residual MADE [n, d] -> [n, d, outputs]: those of i are a function of x_1 .. x_{i-1} (Germain et al. 2015).

    A class or a vector, where told, is seen by all. It starts as the function 0.

    >>> net = MaskedMLP(3, 2, width=8, blocks=1)
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 3, 2])
    """

    def __init__(
        self, features: int, outputs: int, width: int = 64, blocks: int = 2, classes: int = 0, condition: int = 0
    ) -> None:
        super().__init__()
        self.outputs = outputs
        inside = torch.arange(1, features + 1)
        hidden = torch.arange(width) % max(1, features - 1) + 1  # a unit of degree k sees the first k inputs
        out = inside.repeat_interleave(outputs)
        self.condition = Condition(width, classes, condition, level=False) if classes or condition else None
        self.told = nn.Linear(width, width) if classes or condition else None
        self.first = MaskedLinear(hidden[:, None] >= inside)
        self.blocks = nn.ModuleList(
            nn.ModuleList([MaskedLinear(hidden[:, None] >= hidden) for _ in range(2)]) for _ in range(blocks)
        )
        self.last = MaskedLinear(out[:, None] > hidden)
        for layer in (self.last, *(block[1] for block in self.blocks)):  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "n d"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n d outputs"]:
        h = self.first(x)
        if self.condition is not None and self.told is not None:
            h = h + self.told(self.condition(len(x), None, label))
        for block in self.blocks:
            first, second = block.children()
            h = h + second(F.silu(first(F.silu(h))))
        out: Tensor = self.last(F.silu(h))
        return out.reshape(*x.shape, self.outputs)
