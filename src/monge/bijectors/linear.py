"""Linear maps of the channels [n, C, *space], or of the coordinates [n, d], the same at every site."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import rng
from monge.bijectors.base import Bijector, Label, Mapped
from monge.errors import BadInput


def _sites(x: Tensor) -> int:
    return math.prod(x.shape[2:])


class Permutation(Bijector):
    """z_i = x_order[i]; the order reversed unless given.

    Raises BadInput if `order` is not a permutation of 0..channels - 1.

    >>> Permutation(3)(torch.tensor([[1.0, 2.0, 3.0]])).value
    tensor([[3., 2., 1.]])
    """

    labelled = False

    order: Tensor

    def __init__(self, channels: int, order: Sequence[int] | None = None) -> None:
        super().__init__()
        order = list(reversed(range(channels))) if order is None else list(order)
        if sorted(order) != list(range(channels)):
            raise BadInput(f"order must hold each of 0..{channels - 1} once, not {order}")
        self._channels = channels
        self.register_buffer("order", torch.tensor(order))

    def forward(self, x: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        return Mapped(x[:, self.order], x.new_zeros(len(x)))

    def inverse(self, z: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        return Mapped(z[:, torch.argsort(self.order)], z.new_zeros(len(z)))


class ActNorm(Bijector):
    """z = s (x + b) channel by channel; `start` makes z of mean 0 and variance 1, then s and b are learned.

    log |det| = sites sum log |s| (course (86); Kingma and Dhariwal, *Glow*, 2018).

    >>> norm = ActNorm(1)
    >>> norm.start(torch.tensor([[1.0], [3.0]]))
    tensor([[-1.],
            [ 1.]])
    """

    labelled = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._channels = channels
        self.shift, self.log_scale = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def _shaped(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (x.ndim - 2))
        return self.shift.reshape(shape), self.log_scale.reshape(shape)

    def forward(self, x: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        shift, log_scale = self._shaped(x)
        return Mapped((x + shift) * log_scale.exp(), (_sites(x) * self.log_scale.sum()).expand(len(x)))

    def inverse(self, z: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        shift, log_scale = self._shaped(z)
        return Mapped(z * (-log_scale).exp() - shift, (-_sites(z) * self.log_scale.sum()).expand(len(z)))

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n c *space"], label: Label = None) -> Float[Tensor, "n c *space"]:
        if not len(x):
            raise BadInput("a first look needs a row or more")
        axes = (0, *range(2, x.ndim))
        std = x.std(axes, correction=0)
        self.shift.copy_(-x.mean(axes))
        self.log_scale.copy_(-torch.where(std > 0, std, 1.0).log())
        return super().start(x, label)


class Linear(Bijector):
    """z = W x over channels, W = P L (U + diag(s)) with P a fixed permutation, L unit lower and U strictly upper.

    log |det| = sites sum log |s|, in O(C) (course (83-85)). It starts as a random rotation of `seed`, or as P alone.

    >>> Linear(3)(torch.ones(1, 3)).value.norm().round(decimals=4)
    tensor(1.7321, grad_fn=<RoundBackward1>)
    """

    labelled = False

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int, *, seed: int = 0, rotate: bool = True) -> None:
        super().__init__()
        self._channels = channels
        square = rng.normal((channels, channels), seed, "linear", dtype=torch.float64)
        start = torch.linalg.qr(square).Q
        permutation, lower, upper = torch.linalg.lu(start)
        if not rotate:
            lower = upper = torch.eye(channels, dtype=torch.float64)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("sign", diagonal.sign().float())
        self.log_scale = nn.Parameter(diagonal.abs().log().float())
        self.lower, self.upper = nn.Parameter(lower.tril(-1).float()), nn.Parameter(upper.triu(1).float())

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), dtype=self.lower.dtype, device=self.lower.device)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())

    def door(self, x: Any, label: Label) -> Tensor:
        found = super().door(x, label)
        return found.to(torch.promote_types(found.dtype, self.lower.dtype))  # half precision solves nothing

    def forward(self, x: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        lower, upper = self._factors()
        weight = (self.permutation @ lower @ upper).to(x)
        z = x @ weight.T if x.ndim == 2 else torch.einsum("ij,nj...->ni...", weight, x)
        return Mapped(z, (_sites(x) * self.log_scale.sum()).expand(len(x)))

    def inverse(self, z: Float[Tensor, "n c *space"], label: Label = None) -> Mapped:
        lower, upper = (factor.to(z) for factor in self._factors())
        columns = self.permutation.to(z).T @ z.transpose(0, 1).reshape(z.shape[1], -1)
        columns = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
        columns = torch.linalg.solve_triangular(upper, columns, upper=True)
        x = columns.reshape(z.shape[1], len(z), *z.shape[2:]).transpose(0, 1)
        return Mapped(x, (-_sites(z) * self.log_scale.sum()).expand(len(z)))
