"""Score diffusion: learn to denoise at every level, then walk noise back to data (course, section 6.2)."""

import math
from collections.abc import Sequence

from torch import nn

from monge.errors import BadInput
from monge.models.denoiser_family import DenoiserFamily
from monge.models.denoising import Denoising
from monge.nets import Size
from monge.noise import Process
from monge.training import Objective


class Diffusion(DenoiserFamily):
    """Score diffusion with a network of the data's size as denoiser.

    net: the network, (y [n, *event], level [n], label or None) -> [n, *event], or one that takes fewer of these; or a
        `monge.nets.Size`; chosen from the data unless given. A network is copied.
    noise: a `monge.noise.Process`: levels are trained at times drawn uniformly between those of sigma_min and
        sigma_max. Unless given, log sigma is drawn around level_mean with deviation level_std, in units of the data's
        s.d.: -1 and 1.2 for vectors; for images and fields 1.5, and the mean is where the best linear denoiser still
        sees 64 directions over the noise, sum of lam / (lam + sigma^2), or a tenth of all where that is more, a third
        at most: there what they show is decided.
    labels: whether the denoiser is told the labels, or vectors, that data have; None: if there are any, and the
        network takes them. label_dropout: share of the rows for which it is not told, and learns the law of all.
    blind: the denoiser is not told the noise level (Mallat's version), and the sampler reads it off the residual. For
        images and fields it is a network without constants (`monge.nets.BiasFreeUNet`), which denoises events of any
        size, at levels that it was not trained on too; it is told labels only with labels=True, and is then an
        ordinary U-Net.
    periodic: circular padding, for fields on a torus.
    sigma_min, sigma_max: the range that is trained on and that samples are drawn through, in the same units. Unless
        given, sigma_max is 10 times the data's largest principal s.d., where their law is Gaussian to 1e-3, and
        sigma_min 0.002; samples are then drawn through levels between these that suit the trained denoiser. For
        quantised data none is below half a grid step, where rounding the posterior mean errs less than a network does
        (a quarter step where a step is more than a quarter of the data's s.d., as for binary data: there half a step
        would round rare values away).
    Of a table of 100 to 5,000 rows a tenth is kept aside, and the training stops where the loss on these rises, at the
    weights that had the lowest: else it learns the rows by heart. fit(validation=0) learns from all, to the end.

    augment: whether rows are moved while it learns, pictures shifted and fields mirrored, and the network told so;
        None: where rows are fewer than 5,000, which a network that sees them often would learn by heart. Not for
        vectors, a network of yours or a blind one.
    bend: whether columns of tables, and fields, whose values are skew or have heavy tails, as densities and rain, are
        learned bent, asinh((x - c) / b) (`monge.data.bends`); None: fields unless it is blind, and for denoising. Noise
        is then white after the bend: bend=False for a denoiser of noise in data units. Not for pictures, or integers.

    Raises BadInput unless 0 < sigma_min < sigma_max < infinity, level_std > 0 and 0 <= label_dropout <= 1.

    Can `fit`, `sample`, `denoise`, `log_prob`, `encode`, `decode`, `save`, each with a `label` where it was trained
    with labels.

    >>> import monge, torch
    >>> model = monge.Diffusion().fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3, nfe=5).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        *,
        net: nn.Module | Size | None = None,
        noise: Process | None = None,
        labels: bool | None = None,
        label_dropout: float = 0.2,
        blind: bool = False,
        periodic: bool = False,
        level_mean: float | None = None,
        level_std: float | None = None,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        augment: bool | None = None,
        bend: bool | None = None,
    ) -> None:
        super().__init__(
            net=net,
            noise=noise,
            labels=labels,
            label_dropout=label_dropout,
            blind=blind,
            periodic=periodic,
            level_mean=level_mean,
            level_std=level_std,
            sigma_min=sigma_min,
            sigma_max=sigma_max,
            augment=augment,
            bend=bend,
        )
        self.check_settings()
        low, high = sigma_min if sigma_min is not None else 0.0, sigma_max if sigma_max is not None else math.inf
        if not low < high or low < 0 or sigma_min == 0 or sigma_max == math.inf:
            raise BadInput(
                f"noise levels need 0 < sigma_min < sigma_max < infinity, not sigma_min={sigma_min}, "
                f"sigma_max={sigma_max}"
            )
        spread = 1.0 if level_std is None else level_std
        if not 0 < spread < math.inf or not (level_mean is None or math.isfinite(level_mean)):
            raise BadInput(f"log sigma needs a finite mean and deviation > 0, not {level_mean} and {level_std}")

    def objectives(self) -> Sequence[Objective]:
        levels = self.levels(sampling=False)
        return [Denoising(self.denoiser, levels, self.settings, self.scaled, self.labels, self.augmentation)]
