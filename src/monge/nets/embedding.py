"""What a network is told besides y: the noise level and, when there is one, the class."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


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


class Condition(nn.Module):
    """One vector per sample from the noise level and the class: what the blocks of a network are modulated by.

    Class index `classes` (one past the last) stands for "no class given" (course (21), classifier-free form).
    """

    def __init__(self, width: int, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.level = nn.Sequential(Fourier(64), nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, level: Float[Tensor, " n"], label: Int[Tensor, " n"] | None) -> Float[Tensor, "n width"]:
        total: Tensor = self.level(level)
        if self.label is not None:
            total = total + self.label(
                torch.full_like(level, self.classes, dtype=torch.long) if label is None else label
            )
        return nn.functional.silu(total)
