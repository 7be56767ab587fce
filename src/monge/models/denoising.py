"""The objective of a denoiser: squared error at levels drawn where there is most to be learned."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge.data import Labels
from monge.denoisers import Neural, per_sample
from monge.densities import Gaussian
from monge.models.augmentation import Augmentation
from monge.models.guidance import told_to_some
from monge.noise import Process
from monge.protocols import SupportsKernels
from monge.training import Batch, Objective

UNIFORM_SHARE = 0.1
VECTOR_LEVELS = -1.0, 1.2  # mean and deviation of log sigma
EVENT_STD = 1.5
SEEN, LEAST_SHARE, MOST_SHARE = 64, 0.1, 1 / 3  # of the directions of an event, those that are seen at the mean level


class Denoising(Objective):
    """min E |D(x + sigma z) - x|^2 / c_out(sigma)^2 (course (141); Karras et al. 2022).

    log sigma is normal, where most is to be learned; for a network without constants, which is for denoising above all,
    sigma is uniform up to the s.d. of the data. For a tenth of the samples log sigma is uniform over the range of the
    transport, so that no level is met for the first time while sampling. With a process, sigma is that of a time drawn
    uniformly. Labels are dropped for a share of the rows, so that one network is both conditional and not.

    levels: that range. settings: of the family. scaled, labels, augmentation: its own.
    """

    def __init__(
        self,
        denoiser: Neural,
        levels: tuple[float, float],
        settings: Mapping[str, Any],
        scaled: Callable[[Tensor, torch.Generator], Tensor],
        labels: Labels | None,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__()
        self.denoiser, self.scaled, self.labels, self.augmentation = denoiser, scaled, labels, augmentation
        self.dropout: float = settings["label_dropout"]
        asked = settings["level_mean"], settings["level_std"]
        self.top = min(1.0, levels[1]) if denoiser.homogeneous and asked == (None, None) else None
        assert denoiser.moments is not None
        own = _trained_levels(denoiser.moments)
        self.center, self.width = (b if a is None else a for a, b in zip(asked, own, strict=True))
        self.lowest, self.highest = map(math.log, levels)
        self.process: Process | None = settings["noise"]
        if self.process is not None:
            self.first, self.last = (float(self.process.time(level)) for level in levels)

    def kernels(self) -> Iterable[nn.Parameter]:
        net = self.denoiser.net
        return net.kernels() if isinstance(net, SupportsKernels) else ()

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        x = self.scaled(batch.x, batch.generator)
        options: dict[str, Any] = {"generator": batch.generator, "device": x.device, "dtype": x.dtype}
        sigma, label = self._levels(len(x), options), told_to_some(self.labels, batch, self.dropout)
        moved = None
        if self.augmentation is not None and self.training:
            x, moved = self.augmentation(x, batch.generator)
        z = torch.randn(x.shape, **options)
        error = self.denoiser(x + per_sample(sigma, x) * z, sigma, label, moved) - x
        loss: Tensor = (self.denoiser.loss_weight(sigma) * error.square().flatten(1).mean(1)).mean()
        return loss

    def _levels(self, n: int, options: dict[str, Any]) -> Float[Tensor, " n"]:
        if self.process is not None:
            return self.process.marginal(self.first + (self.last - self.first) * torch.rand(n, **options)).sigma
        if self.top is None:
            most = (self.center + self.width * torch.randn(n, **options)).exp()
        else:
            most = self.top * torch.rand(n, **options)
        uniform = (self.lowest + (self.highest - self.lowest) * torch.rand(n, **options)).exp()
        return torch.where(torch.rand(n, **options) < UNIFORM_SHARE, uniform, most)


def _trained_levels(moments: Gaussian) -> tuple[float, float]:
    """Mean and deviation of log sigma in training, by the moments of the data."""
    event = moments.mean.shape
    if len(event) == 1:
        return VECTOR_LEVELS
    log_sigma = torch.linspace(-4, 4, 161, dtype=torch.float64)
    sigma = log_sigma.exp()
    share = moments.to(torch.device("cpu")).error(sigma) / sigma.square()
    wanted = min(max(SEEN / event.numel(), LEAST_SHARE), MOST_SHARE)
    return float(log_sigma[(share > wanted).sum().clamp(max=160)]), EVENT_STD
