"""The objective of flow matching: the velocity of straight ways between pairs, by regression (Lipman et al. 2023)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge.denoisers import per_sample
from monge.models.pairing import paired
from monge.models.velocity import Velocity
from monge.protocols import SupportsKernels
from monge.training import Batch, Objective

USES = 4  # times that a pair is seen, at other times of its way, before there are others
UNIFORM_SHARE = 0.1
EARLIEST = 1e-3  # of the times of a bridge, whose velocity is without bound at its ends

Beginnings = Callable[[Batch, Tensor], Tensor]  # of a batch and its scaled rows x0: x1


class Matching(Objective):
    """min E |V(x_t, t) - (x1 - x0)|^2 / c(t)^2, x_t = (1 - t) x0 + t x1, c^2 what the best linear V leaves.

    Over all V the minimum is E[x1 - x0 | x_t], which carries the law of x1 to that of x0 whatever the pairs (x0, x1)
    are; the nearer their points, the straighter its ways.

    beginnings: x1 of rows. condition: what the velocity is told of them. pool: of how many rows pairs are chosen
    together (`monge.models.pairing`), 0 for none chosen. weight: of a condition that is a vector. bridge: s.d. of the
    Brownian bridge from x1 to x0 that takes the place of the line, with an entropic coupling of epsilon 2 bridge^2:
    the marginals of Schrodinger's bridge, and V that of its probability flow (Tong et al. 2024). times: mean and
    deviation of log t / (1 - t), for nine in ten rows; None for t uniform in [0, 1].
    """

    def __init__(
        self,
        velocity: Velocity,
        scaled: Callable[[Tensor, torch.Generator], Tensor],
        beginnings: Beginnings,
        condition: Callable[[Batch], Tensor | None],
        *,
        pool: int = 0,
        weight: float = 0.0,
        bridge: float = 0.0,
        times: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.velocity, self.scaled, self.beginnings, self.condition = velocity, scaled, beginnings, condition
        self.pool, self.bridge, self.weight, self.times = pool, bridge, weight, times
        self.held: tuple[int, list[tuple[Tensor, Tensor, Tensor | None]]] | None = None

    def kernels(self) -> Iterable[nn.Parameter]:
        net = self.velocity.net
        return net.kernels() if isinstance(net, SupportsKernels) else ()

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        x0, x1, label = self._of_the_draw(batch)
        options: dict[str, Any] = {"generator": batch.generator, "device": x0.device, "dtype": x0.dtype}
        t = torch.rand(len(x0), **options)
        if self.times is not None:
            most = (self.times[0] + self.times[1] * torch.randn(len(x0), **options)).sigmoid()
            t = torch.where(torch.rand(len(x0), **options) < UNIFORM_SHARE, t, most)
        t = EARLIEST + (1 - 2 * EARLIEST) * t if self.bridge else t
        s, velocity = per_sample(t, x0), x1 - x0
        x = torch.lerp(x0, x1, s)
        if self.bridge:
            z = torch.randn(x.shape, **options)
            width = self.bridge * (s * (1 - s)).sqrt()
            x, velocity = x + width * z, velocity + (1 - 2 * s) * self.bridge**2 / (2 * width) * z
        error = (self.velocity(x, t, label) - velocity) / self.velocity.left(x, t)
        loss: Tensor = error.square().mean()
        return loss

    def _draws(self, each: int) -> int:
        """Batches of `each` rows that a pool has."""
        return max(1, math.ceil(self.pool / each))

    def _of_the_draw(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """x0, x1 and labels: of this batch, or its part of a pool that is paired together."""
        if not self.pool or batch.draw is None or batch.others is None:
            return self._pairs(batch)
        each = len(batch.x)
        draws = self._draws(each)
        number, place = divmod(batch.draw, draws * USES)
        if self.held is None or self.held[0] != number:  # the same whenever it is asked for, in a resumed run too
            rows = batch.others(number * draws * USES, draws)
            x0, x1, label = self._pairs(rows)
            parts: list[tuple[Tensor, Tensor, Tensor | None]] = []
            for _ in range(USES):
                order = torch.randperm(len(x0), generator=rows.generator, device=rows.generator.device).to(x0.device)
                of = torch.split(order, each)
                parts += [(x0[some], x1[some], None if label is None else label[some]) for some in of]
            self.held = number, parts
        return self.held[1][place]

    def _pairs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        x0 = self.scaled(batch.x, batch.generator)
        label = self.condition(batch)
        x1 = self.beginnings(batch, x0)
        if self.pool:
            told: dict[str, Any] = {"weight": self.weight, "bridge": self.bridge, "generator": batch.generator}
            x1 = x1[paired(x0, x1, label, **told)]
        return x0, x1, label
