"""Lean perceptrons that steer bijectors: residual; and masked, where output i sees the inputs before i."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.embedding import Condition
from monge.objects import Recorded


class MaskedLinear(nn.Linear):
    """A linear layer whose unit of degree k sees the units of degree at most k; `strict`: below k."""

    mask: Tensor

    def __init__(self, inside: Tensor, outside: Tensor, *, strict: bool = False) -> None:
        super().__init__(len(inside), len(outside))
        seen = outside[:, None] > inside if strict else outside[:, None] >= inside
        self.register_buffer("mask", seen.to(self.weight), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class _Trunk(nn.Module):
    """h = first(x), h += second(silu(first(silu(h)))) in each block, last(silu(h)); it starts as the function 0.

    What is told, a class or a vector, is added to h at the start.
    """

    def __init__(
        self, first: nn.Module, blocks: list[list[nn.Linear]], last: nn.Linear, width: int, classes: int, condition: int
    ) -> None:
        super().__init__()
        told = classes > 0 or condition > 0
        self.condition = Condition(width, classes, condition, level=False) if told else None
        self.told = nn.Linear(width, width) if told else None
        self.first, self.last = first, last
        self.blocks = nn.ModuleList(nn.ModuleList(block) for block in blocks)
        for layer in (last, *(block[1] for block in blocks)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        h: Tensor = self.first(x)
        if self.condition is not None and self.told is not None:
            h = h + self.told(self.condition(len(x), None, label))
        for block in self.blocks:
            first, second = block.children()
            h = h + second(F.silu(first(F.silu(h))))
        out: Tensor = self.last(F.silu(h))
        return out


class ResidualMLP(Recorded, nn.Module):
    """[n, inside] -> [n, outside], told a class or a vector, or neither.

    >>> ResidualMLP(3, 2, width=8, blocks=1)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self, inside: int, outside: int, width: int = 64, blocks: int = 2, classes: int = 0, condition: int = 0
    ) -> None:
        super().__init__()
        layers = [[nn.Linear(width, width) for _ in range(2)] for _ in range(blocks)]
        self.trunk = _Trunk(nn.Linear(inside, width), layers, nn.Linear(width, outside), width, classes, condition)

    def forward(
        self, x: Float[Tensor, "n inside"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n outside"]:
        out: Tensor = self.trunk(x, label)
        return out


class MaskedMLP(Recorded, nn.Module):
    """MADE [n, d] -> [n, d, outputs]: those of i are a function of x_1 .. x_{i-1} (Germain et al. 2015).

    A class or a vector, where told, is seen by all.

    >>> MaskedMLP(3, 2, width=8, blocks=1)(torch.zeros(5, 3)).shape
    torch.Size([5, 3, 2])
    """

    def __init__(
        self, features: int, outputs: int, width: int = 64, blocks: int = 2, classes: int = 0, condition: int = 0
    ) -> None:
        super().__init__()
        self.outputs = outputs
        inside = torch.arange(1, features + 1)
        hidden = torch.arange(width) % max(1, features - 1) + 1  # a unit of degree k sees the first k inputs
        last = MaskedLinear(hidden, inside.repeat_interleave(outputs), strict=True)
        layers: list[list[nn.Linear]] = [[MaskedLinear(hidden, hidden) for _ in range(2)] for _ in range(blocks)]
        self.trunk = _Trunk(MaskedLinear(inside, hidden), layers, last, width, classes, condition)

    def forward(
        self, x: Float[Tensor, "n d"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n d outputs"]:
        out: Tensor = self.trunk(x, label)
        return out.reshape(*x.shape, self.outputs)
