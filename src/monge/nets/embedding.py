"""What a network is told besides its input: a noise level, and a class or a vector."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.errors import BadInput


class Fourier(nn.Module):
    """Fourier features of a scalar: (cos 2 pi f_k s, sin 2 pi f_k s) with f_k spaced geometrically.

    s: [n] (log sigma, of order one). Returns [n, features].

    >>> Fourier(8)(torch.zeros(3)).shape
    torch.Size([3, 8])
    """

    frequencies: Tensor

    def __init__(self, features: int, lowest: float = 1 / 16, highest: float = 4.0) -> None:
        super().__init__()
        steps = torch.linspace(math.log(lowest), math.log(highest), features // 2)
        self.register_buffer("frequencies", 2 * math.pi * steps.exp(), persistent=False)

    def forward(self, s: Float[Tensor, " n"]) -> Float[Tensor, "n features"]:
        angle = s[:, None] * self.frequencies.to(s.dtype)
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class Waves(nn.Module):
    """x beside waves of it, (x, cos w_k . x, sin w_k . x): what a perceptron sees fine structure by.

    w_k ~ N(0, scale^2 Id / d), so that w . x has deviation `scale` for white x (Tancik et al. 2020). x: [n, d]; returns
    [n, d + 2 count].

    >>> Waves(3, 8)(torch.zeros(5, 3)).shape
    torch.Size([5, 19])
    """

    directions: Tensor

    def __init__(self, features: int, count: int, scale: float = 6.0) -> None:
        super().__init__()
        self.outputs = features + 2 * count
        self.register_buffer("directions", scale / math.sqrt(features) * torch.randn(features, count))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n outputs"]:
        angle = x @ self.directions.to(x.dtype)
        return torch.cat([x, angle.cos(), angle.sin()], 1)

    def pushed(
        self, x: Float[Tensor, "n d"], directions: Float[Tensor, "m n d"]
    ) -> tuple[Float[Tensor, "n outputs"], Float[Tensor, "m n outputs"]]:
        """Beside what it gives, how that changes along each direction."""
        wave = self.directions.to(x.dtype)
        angle, turned = x @ wave, directions @ wave
        cos, sin = angle.cos(), angle.sin()
        return torch.cat([x, cos, sin], 1), torch.cat([directions, -sin * turned, cos * turned], 2)


class Condition(nn.Module):
    """One vector per sample from what is given: the blocks of a network are modulated by it.

    level: whether a noise level is told. classes: labels 0 to classes - 1, and `classes` for "no label given" (course
    (21), classifier-free form). features: length of a vector condition; a row of NaN is "none given". A label or vector
    that is None is given to no sample. moves: numbers by which a move of a row is told, 0 for none; None is no move.
    """

    def __init__(self, width: int, classes: int = 0, features: int = 0, level: bool = True, moves: int = 0) -> None:
        super().__init__()
        self.classes, self.features = classes, features
        self.level = (
            nn.Sequential(Fourier(64), nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)) if level else None
        )
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.vector = (
            nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width)) if features else None
        )
        self.start = nn.Parameter(torch.zeros(width)) if features or not level else None
        self.move = nn.Linear(moves, width, bias=False) if moves else None

    def forward(
        self,
        n: int,
        level: Float[Tensor, " n"] | None,
        label: Shaped[Tensor, " n *k"] | None,
        moved: Float[Tensor, "n moves"] | None = None,
    ) -> Float[Tensor, "n width"]:
        total: Tensor | float = 0.0
        if self.level is not None:
            if level is None:
                raise BadInput("this network is told a noise level: give one for each row")
            total = self.level(level)
        if self.label is not None:
            none = self.label.weight[-1:].expand(n, -1)
            total = total + (none if label is None else self.label(label))
        if self.start is not None:
            told = self.start.expand(n, -1)
            if self.vector is not None and label is not None:
                given = label.isfinite().all(1, keepdim=True)
                told = torch.where(given, self.vector(label.nan_to_num()), told)
            total = total + told
        if self.move is not None and moved is not None:
            total = total + self.move(moved)
        return nn.functional.silu(torch.as_tensor(total))
