"""The residual perceptron for vectors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.embedding import Condition


class MLPBlock(nn.Module):
    """Residual block x + W2 silu((1 + a) W1 norm(x) + b), (a, b) from the condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inside = nn.Linear(width, width)
        self.modulation = nn.Linear(condition, 2 * width)
        self.outside = nn.Linear(width, width)
        nn.init.zeros_(self.outside.weight)
        nn.init.zeros_(self.outside.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        out: Tensor = h + self.outside(F.silu(torch.addcmul(shift, self.inside(self.norm(h)), scale + 1)))
        return out


class MLP(nn.Module):
    """Residual multilayer perceptron [n, d] -> [n, d] told a noise level and, optionally, a class.

    >>> MLP(features=3, width=16, blocks=1)(torch.zeros(5, 3), torch.zeros(5)).shape
    torch.Size([5, 3])
    """

    def __init__(self, features: int, width: int = 128, blocks: int = 3, classes: int = 0) -> None:
        super().__init__()
        self.condition = Condition(width, classes)
        self.first = nn.Linear(features, width)
        self.blocks = nn.ModuleList(MLPBlock(width, width) for _ in range(blocks))
        out = nn.Linear(width, features)
        nn.init.zeros_(out.weight)
        nn.init.zeros_(out.bias)
        self.last = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), out)

    def forward(
        self, x: Float[Tensor, "n d"], level: Float[Tensor, " n"], label: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n d"]:
        condition = self.condition(level, label)
        h = self.first(x)
        for block in self.blocks:
            h = block(h, condition)
        out: Tensor = self.last(h)
        return out
