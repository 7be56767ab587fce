"""A perceptron without normalisation or kinks, for fields whose divergence is differentiated again."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.nets.embedding import Condition, Waves
from monge.objects import Recorded


class SmoothMLP(Recorded, nn.Module):
    """h -> silu(W h + b + U c) in each layer, [n, d] -> [n, d], c what is told: a level, and a class or a vector.

    Layer normalisation and modulated blocks, which `MLP` has, take three times as long to differentiate twice. It
    starts as the function 0. features: d. width, layers: of the hidden ones. classes, condition: number of labels, or
    length of a vector condition. waves: directions in which it sees waves of the input beside it (`Waves`). A level
    that is the same for all rows is best given expanded: it is then worked on once.

    >>> SmoothMLP(3, width=16)(torch.zeros(5, 3), torch.zeros(1).expand(5)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self, features: int, width: int = 64, layers: int = 3, classes: int = 0, condition: int = 0, waves: int = 0
    ) -> None:
        super().__init__()
        self.condition = Condition(width, classes, condition)
        self.waves = Waves(features, waves) if waves else None
        self.layers = nn.ModuleList(nn.Linear(width if k else features + 2 * waves, width) for k in range(layers))
        self.told = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.last = nn.Linear(width, features)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, x: Float[Tensor, "n d"], level: Float[Tensor, " n"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n d"]:
        condition, h = told_once(self.condition, len(x), level, label), x if self.waves is None else self.waves(x)
        for layer, told in zip(self.layers, self.told, strict=True):
            h = F.silu(layer(h) + told(condition))
        out: Tensor = self.last(h)
        return out

    def pushed(
        self, x: Float[Tensor, "n d"], directions: Float[Tensor, "m n d"], level: Tensor, label: Tensor | None = None
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m n d"]]:
        """The value, and J e of each direction e: forwards, so that a loss of both is differentiated only once more."""
        condition = told_once(self.condition, len(x), level, label)
        h, moved = (x, directions) if self.waves is None else self.waves.pushed(x, directions)
        for layer, told in zip(self.layers, self.told, strict=True):
            assert isinstance(layer, nn.Linear)
            both = torch.cat([h[None], moved]) @ layer.weight.T
            a = both[0] + (layer.bias + told(condition))
            gate = a.sigmoid()
            h = a * gate
            moved = both[1:] * (gate + h * (1 - gate))  # silu'
        return self.last(h), moved @ self.last.weight.T


def told_once(condition: Condition, n: int, level: Tensor, label: Tensor | None) -> Float[Tensor, "m width"]:
    """The condition of n rows; of one where it is the same for all, m = 1."""
    if level.stride(0) == 0 and label is None:
        n, level = 1, level[:1]
    found: Tensor = condition(n, level, label)
    return found
