"""Lean perceptrons: residual; and masked, where output i sees the inputs before i."""

from typing import Any

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
    """h = first(x), h += layer(silu(h)) for each block, last(silu(h)); with `zero` it starts as the function 0.

    What is told, a class or a vector, is added to h at the start.
    """

    def __init__(
        self,
        first: nn.Linear,
        blocks: list[nn.Linear],
        last: nn.Linear,
        width: int,
        classes: int,
        condition: int,
        zero: bool = True,
    ) -> None:
        super().__init__()
        told = classes > 0 or condition > 0
        self.condition = Condition(width, classes, condition, level=False) if told else None
        self.told = nn.Linear(width, width) if told else None
        self.first, self.last = first, last
        self.blocks = nn.ModuleList(blocks)
        for layer in (last, *blocks) if zero else ():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def base(self, n: int, label: Tensor | None) -> Tensor | None:
        """What the condition adds to h, [n, width]; None if there is none."""
        if self.condition is None or self.told is None:
            return None
        added: Tensor = self.told(self.condition(n, None, label))
        return added

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        h: Tensor = self.first(x)
        added = self.base(len(x), label)
        if added is not None:
            h = h + added
        for block in self.blocks:
            h = h + block(F.silu(h))
        out: Tensor = self.last(F.silu(h))
        return out


class ResidualMLP(Recorded, nn.Module):
    """[n, inside] -> [n, outside], told a class or a vector, or neither. zero: start as the function 0.

    >>> ResidualMLP(3, 2, width=8, blocks=1)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        width: int = 64,
        blocks: int = 2,
        classes: int = 0,
        condition: int = 0,
        zero: bool = True,
    ) -> None:
        super().__init__()
        layers = [nn.Linear(width, width) for _ in range(blocks)]
        ends = nn.Linear(inside, width), nn.Linear(width, outside)
        self.trunk = _Trunk(ends[0], layers, ends[1], width, classes, condition, zero)

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
        # a unit of degree k sees the first k inputs; in order, so that those of a degree are neighbours
        hidden = (torch.arange(width) % max(1, features - 1) + 1).sort().values
        self.ends = torch.bincount(hidden, minlength=features + 1).cumsum(0).tolist()  # units of degree at most k
        last = MaskedLinear(hidden, inside.repeat_interleave(outputs), strict=True)
        layers: list[nn.Linear] = [MaskedLinear(hidden, hidden) for _ in range(blocks)]
        self.trunk = _Trunk(MaskedLinear(inside, hidden), layers, last, width, classes, condition)

    def forward(
        self, x: Float[Tensor, "n d"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Float[Tensor, "n d outputs"]:
        out: Tensor = self.trunk(x, label)
        return out.reshape(*x.shape, self.outputs)

    def one_by_one(self, n: int, label: Tensor | None = None) -> "OneByOne":
        """The same function where x_i is only known once the outputs of i are."""
        return OneByOne(self, n, label)


class OneByOne:
    """A `MaskedMLP` read one coordinate after the other: each unit is computed once, as soon as its inputs are known.

    So d steps cost one pass, where d passes would do it without this.

    >>> net = MaskedMLP(3, 2, width=8, blocks=1)
    >>> walk = net.one_by_one(5)
    >>> for i in range(3):
    ...     parameters = walk.outputs()  # [5, 2], of x_i
    ...     walk.tell(torch.zeros(5))
    """

    def __init__(self, net: MaskedMLP, n: int, label: Tensor | None) -> None:
        trunk = net.trunk
        self.net, self.known = net, 0
        layers: list[Any] = [trunk.first, *trunk.blocks, trunk.last]
        self.layers = [(layer.weight * layer.mask, layer.bias) for layer in layers]
        weight = self.layers[0][0]
        width = len(weight)
        self.x = weight.new_zeros(n, weight.shape[1])
        # what each layer sees: h after the first layer and after each block, after silu
        self.seen = [weight.new_zeros(n, width) for _ in range(len(self.layers) - 1)]
        self.added = trunk.base(n, label)

    def outputs(self) -> Float[Tensor, "n outputs"]:
        """Those of the next coordinate."""
        weight, bias = self.layers[-1]
        rows, units = slice(self.known * self.net.outputs, (self.known + 1) * self.net.outputs), self.units
        return F.linear(_now(self.seen[-1][:, :units]), weight[rows, :units], bias[rows])

    @property
    def units(self) -> int:
        """How many units of a layer are known."""
        ends: list[int] = self.net.ends
        return ends[self.known]

    def tell(self, x: Float[Tensor, " n"]) -> None:
        """The next coordinate's value; the units that see it, and nothing later, are computed."""
        before = self.units
        self.x[:, self.known] = x
        self.known += 1
        new = slice(before, self.units)
        if new.start == new.stop:
            return
        first, *inside = self.layers[:-1]
        h = F.linear(_now(self.x[:, : self.known]), first[0][new, : self.known], first[1][new])
        if self.added is not None:
            h = h + self.added[:, new]
        self.seen[0][:, new] = F.silu(h)
        for i, (weight, bias) in enumerate(inside):
            h = h + F.linear(_now(self.seen[i][:, : new.stop]), weight[new, : new.stop], bias[new])
            self.seen[i + 1][:, new] = F.silu(h)


def _now(part: Tensor) -> Tensor:
    """A part of what is known, as it stands: a gradient must not see it change."""
    return part.clone() if torch.is_grad_enabled() else part
