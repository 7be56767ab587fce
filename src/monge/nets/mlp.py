"""The residual perceptron for vectors."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.embedding import Condition, Waves
from monge.objects import Recorded


class MLPBlock(nn.Module):
    """Residual block x + W2 silu((1 + a) W1 norm(x) + b), (a, b) from the condition."""

    def __init__(self, width: int, condition: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inside = nn.Linear(width, width)
        self.modulation = nn.Linear(condition, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.outside = nn.Linear(width, width)
        nn.init.zeros_(self.outside.weight)
        nn.init.zeros_(self.outside.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        inside = F.silu(torch.addcmul(shift, self.inside(self.norm(h)), scale + 1))
        out: Tensor = h + self.outside(self.dropout(inside))
        return out


class MLP(Recorded, nn.Module):
    """Residual multilayer perceptron [n, d] -> [n, outputs], told a noise level and a class or a vector, or neither.

    features: d. outputs: d unless given. width, blocks: of the layers. classes, condition: number of labels, or length
    of a vector condition. waves: directions in which it sees waves of the input beside it (`Waves`), 0 for none: where
    there are few features, it learns what is finer than the law's width many times faster. level: whether it is told a
    noise level. zero: start as the function 0, as a denoiser does.

    >>> MLP(features=3, width=16, blocks=1)(torch.zeros(5, 3), torch.zeros(5)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        features: int,
        width: int = 128,
        blocks: int = 3,
        classes: int = 0,
        condition: int = 0,
        outputs: int | None = None,
        level: bool = True,
        zero: bool = True,
        dropout: float = 0.0,
        waves: int = 0,
    ) -> None:
        super().__init__()
        self.condition = Condition(width, classes, condition, level)
        self.waves = Waves(features, waves) if waves else None
        self.first = nn.Linear(features + 2 * waves, width)
        self.blocks = nn.ModuleList(MLPBlock(width, width, dropout) for _ in range(blocks))
        out = nn.Linear(width, outputs or features)
        if zero:
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)
        self.last = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), out)

    def forward(
        self,
        x: Float[Tensor, "n d"],
        level: Float[Tensor, " n"] | None = None,
        label: Shaped[Tensor, " n *k"] | None = None,
    ) -> Float[Tensor, "n outputs"]:
        condition = self.condition(len(x), level, label)
        h = self.first(x if self.waves is None else self.waves(x))
        for block in self.blocks:
            h = block(h, condition)
        out: Tensor = self.last(h)
        return out
