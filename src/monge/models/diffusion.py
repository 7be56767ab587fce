"""Score diffusion: learn to denoise at every level, then walk noise back to data (course, section 6.2)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import objects, samplers
from monge.data import Samples
from monge.denoisers import Choices, Neural, Pointwise, Separable, Symmetric, Tiled, per_sample
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.models.augmentation import Augmentation
from monge.models.denoising import Denoising
from monge.models.family import Events, Family
from monge.models.network import Choice, choose
from monge.models.walker import Levels, Through, Walker
from monge.nets import Adapted, BiasFreeUNet, Size, Spec, bias_free, denoiser
from monge.noise import Process
from monge.protocols import Denoiser, LogProb
from monge.samplers import Trajectory
from monge.training import Objective, Training, fastest_precision

EXACT_DIVERGENCE = 64  # values per event up to which the likelihood uses the exact divergence
PROBES = 16
ENOUGH_ROWS, FEW_ROWS = 100, 5000  # between which a tenth of a table is kept aside, to stop by
CALIBRATED_FROM = 200  # steps of training: fewer are a trial, and to calibrate would take longer than they do
PATIENCE = 20  # looks at the loss on these, 100 steps each
TINY = 1e-6
START = "start/"  # names of its tensors in a file
BLIND_SITES, FEWEST = 2**15, 4  # of a batch of a network that learns from every site, and events at least


class Diffusion(Family):
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

    >>> import monge
    >>> model = monge.Diffusion().fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3, nfe=5).shape
    torch.Size([3, 2])
    """

    denoiser: Neural
    walker: Walker

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
        self.bends = (None if blind else True) if bend is None else bend
        self.takes_labels = labels is not False
        low, high = sigma_min if sigma_min is not None else 0.0, sigma_max if sigma_max is not None else math.inf
        if not low < high or low < 0 or sigma_min == 0 or sigma_max == math.inf:
            raise BadInput(
                f"noise levels need 0 < sigma_min < sigma_max < infinity, not sigma_min={sigma_min}, "
                f"sigma_max={sigma_max}"
            )
        spread = 1.0 if level_std is None else level_std
        if not 0 < spread < math.inf or not (level_mean is None or math.isfinite(level_mean)):
            raise BadInput(f"log sigma needs a finite mean and deviation > 0, not {level_mean} and {level_std}")
        if not 0 <= label_dropout <= 1:
            raise BadInput(f"label_dropout is a share of the rows, 0 to 1, not {label_dropout}")

    def defaults(self, samples: Samples) -> Training:
        if samples.kind == "vectors":
            aside = ENOUGH_ROWS <= len(samples) < FEW_ROWS
            return Training(batch_size=256, validation=0.1 if aside else 0.0, patience=PATIENCE if aside else None)
        if isinstance(self.settings["net"], nn.Module):
            return Training(batch_size=64, lr=2e-3)
        if self._without_constants(samples.kind):
            sites = math.prod(samples.event_shape[1:])
            return Training(batch_size=max(FEWEST, min(64, BLIND_SITES // sites)), lr=1e-3)
        return Training(batch_size=64, lr=5e-3, precision=fastest_precision())

    def check_data(self, samples: Samples, training: Training | None) -> None:
        super().check_data(samples, training)
        if self.settings["bend"] and (samples.kind == "images" or samples.quantum is not None):
            raise BadInput(
                f"bend=True is for real values of tables and fields, and {samples.name} has others: leave it out"
            )

    def _without_constants(self, kind: str) -> bool:
        """Whether it takes a network that denoises events of any size."""
        return kind != "vectors" and self.settings["blind"] and not self.settings["labels"]

    def choose(self, spec: Spec, training: Training) -> Choice | None:
        if self.settings["net"] is not None or self._without_constants(spec.kind):
            return None
        return choose(spec, training)

    def _augmentation(self, spec: Spec) -> Augmentation | None:
        """How rows are moved while it learns; None where they are not, as in runs of before this was asked."""
        asked = self.settings["augment"]
        can = spec.kind != "vectors" and not self.settings["blind"] and not isinstance(self.settings["net"], nn.Module)
        if asked and not can:
            raise BadInput(
                "augment=True is for pictures and fields, with a network of ours that is told the noise level"
            )
        known = "augment" in self.record["settings"]
        wanted = self.record["data"]["n"] < FEW_ROWS if asked is None else asked
        return Augmentation(spec.kind, spec.event_shape) if can and known and wanted else None

    def build(self, spec: Spec) -> None:
        net, blind = self.settings["net"], self.settings["blind"]
        self.augmentation = self._augmentation(spec)
        told = 0 if self.augmentation is None else self.augmentation.features
        spec = replace(spec, periodic=self.settings["periodic"], moves=told)
        if isinstance(net, nn.Module):
            net = Adapted(net, spec)
            if self.labels is not None and net.takes < 3:
                if self.settings["labels"]:
                    raise BadInput("labels=True, and the network takes none: give one that does, (y, level, label)")
                self.labels = None
        else:
            chosen = self.record.get("network")
            size = net if net is not None or chosen is None else objects.rebuild(chosen["size"])
            if self._without_constants(spec.kind):
                self.labels = None
                net = bias_free(spec, size)
            else:
                net = denoiser(spec, size, inputs=1 if blind else 2)
        self.denoiser = Neural(net, blind=blind, guided=not blind and not isinstance(net, Adapted))
        marginals = self.units.marginals
        if marginals is not None and marginals.blocks and not blind:
            units = self.units.shift.float(), self.units.scale.float()
            self.denoiser.choices = Choices(marginals.blocks, *units, marginals.noise_of_blocks)
        step = (self.units.quantum or 0.0) / self.units.unit
        asked = self.settings["sigma_min"], self.settings["sigma_max"]
        own: dict[str, Any] = {"edges": self.units.edges(), "quantiles": self.units.quantum is None}
        self.walker = Walker(self.denoiser, spec.event_shape, asked=asked, step=step, **own)

    def prepare(self, scaled: Float[Tensor, "n *event"], moments: Gaussian | None = None) -> None:
        self.walker.look(scaled, moments, periodic=self.settings["periodic"])
        self.denoiser.moments = self.walker.moments
        if self.denoiser.guided and scaled.ndim > 2:  # of few coordinates a network learns the law as it is
            self.denoiser.start = Pointwise.estimate(scaled, Separable.estimate(scaled, self.walker.moments))

    @property
    def moments(self) -> Gaussian:
        """Mean and covariance of the scaled data, which the denoiser starts from. Raises BadInput before a `fit`."""
        self.must_be_fitted()
        return self.walker.moments

    def levels(self, sampling: bool = True) -> Levels:
        """The noise levels that the transport runs between, scaled units; the likelihood goes below the grid step."""
        return self.walker.levels(sampling)

    def objectives(self) -> Sequence[Objective]:
        levels = self.levels(sampling=False)
        return [Denoising(self.denoiser, levels, self.settings, self.scaled, self.labels, self.augmentation)]

    def after_training(self) -> None:
        if self.denoiser.homogeneous:  # which is for denoising above all, and looks when it is first asked to draw
            return
        steps = self.record["training"].get("steps")
        told = steps is None or steps >= CALIBRATED_FROM
        rows = samplers.calibration_rows if told else samplers.pilot_rows
        self.walker.measure(self._typical(rows), calibrate=told, device=self.device)

    def _typical(self, number: Callable[[tuple[int, ...]], int], label: Any = None) -> Tensor | None:
        """Labels of the rows of a pilot: one that is asked of all, or as samples have them. number: of rows, by the
        sides of an event."""
        rows = number(self.spec.event_shape)
        each = self.labels is not None and np.ndim(label) > (0 if self.labels.count else 1)
        return self.encode_labels(self.drawn_labels(None if each else label, rows, seed=0, start=0), rows)

    def tensors(self) -> dict[str, Tensor]:
        start = {} if self.denoiser.start is None else self.denoiser.start.state()
        return super().tensors() | self.walker.tensors() | {START + name: value for name, value in start.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        start = {name.removeprefix(START): value for name, value in tensors.items() if name.startswith(START)}
        super().restore(self.walker.restore({n: value for n, value in tensors.items() if not n.startswith(START)}))
        self.denoiser.moments = self.walker.moments
        self.denoiser.start = Pointwise.from_state(start, self.walker.moments) if start else None

    def sample(  # type: ignore[override]  # a family's own options, by name
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        nfe: int = 20,
        alpha: float = 0.0,
        label: Any = None,
        through: Through | None = None,
        batch_size: int | None = None,
        trace: bool = False,
        show: bool = True,
    ) -> Any:
        """Draw n samples with at most `nfe` denoiser calls each, [n, *event] in data units and on the data's grid.

        alpha: 0 for the deterministic transport, 1 for Anderson's reversed diffusion (course (135)).
        label: of all samples, or n of them, by number or name; or vectors, where it was trained with such. None for
            the law of all: labels are drawn as often as they were in training, and vectors are not told.
        through: a denoiser -> the denoiser that is walked with, in scaled units: `monge.denoisers.Symmetric`, or one
            that is guided. What steps need to know of it is found out first, in 1,920 calls or twice as many.
        trace: return the `Trajectory` in data units, for pictures.
        Sample start + i of a seed does not depend on n or on batch_size.

        Raises BadInput for n < 1, nfe < 1, alpha < 0, and for a label that was not trained on.
        """
        options = {"nfe": nfe, "alpha": alpha, "label": label, "through": through}
        options |= {"batch_size": batch_size, "show": show}
        if not trace:
            return super().sample(n, seed=seed, start=start, **options)
        scaling = self.must_be_fitted()
        way: Trajectory = self.draw(n, seed, start, trace=True, **options)
        y, x_hat = (torch.stack([scaling.inverse(frame) for frame in part.cpu()]) for part in (way.y, way.x_hat))
        return Trajectory(scaling.quantise(scaling.inverse(way.x.cpu())), way.sigma * scaling.unit, y, x_hat)

    def draw(self, n: int, seed: int, start: int, *, label: Any = None, **options: Any) -> Any:
        told = self.encode_labels(self.drawn_labels(label, n, seed, start), n)
        if self.fitted and self.walker.plan is not None and self.walker.plan.gains is None:  # when it is first asked
            seen = {"device": self.device, "show": options.get("show", False)}
            self.walker.measure(self._typical(samplers.pilot_rows), calibrate=False, **seen)
        typical = self._typical(samplers.pilot_rows, label)
        return self.walker.draw(n, seed, start, label=told, typical=typical, device=self.device, **options)

    @torch.no_grad()
    def denoise(
        self, y: Events, sigma: Tensor | float, *, label: Any = None, symmetric: bool = False, bent: bool = False
    ) -> Float[Tensor, "n *any"]:
        """E[x | y], or E[x | y, label], for y = x + sigma z, y and sigma in data units; sigma a number or [n].

        Vectors whose coordinates have their own scales were standardised one by one: there sigma is in units of each
        coordinate's standard deviation, and likewise for channels. At sigma = 0 nothing is noise, and y comes back.

        Images and fields may be larger or smaller than those of training: they are denoised by tiles that overlap
        (`monge.denoisers.Tiled`), told the label of their event. symmetric: take the mean over flips and quarter turns,
        which for photographs is a tenth of a dB better, and takes 8 times as long (`monge.denoisers.Symmetric`).

        bent: that the noise is white after the bend of a model that learned its values bent, and sigma in units of
        their standard deviations there. Noise in data units is not, and a model of `Diffusion(bend=False)` takes it.

        Raises BadInput for sigma that is negative, not finite or not one value or n, and where values are bent and the
        noise is not.
        """
        scaling = self.must_be_fitted()
        if scaling.bends and not bent:
            raise BadInput(
                "the model learned its skew values bent, where noise in data units is not white: fit with bend=False "
                "(--set bend=false) to take such noise away, or say bent=True of noise that is white after the bend"
            )
        y = self.check(y, any_size=True)
        scaled = scaling.forward(y, noisy=True).to(self.device)
        level = torch.as_tensor(sigma, dtype=scaled.dtype, device=self.device)
        if level.ndim > 1 or level.numel() not in (1, len(y)):
            raise BadInput(f"sigma must be a number or one for each of {len(y)} events, not {list(level.shape)}")
        if not bool(((level >= 0) & level.isfinite()).all()):
            raise BadInput("sigma must be 0 or more, and finite: it is the standard deviation of the noise")
        level = level.expand(len(y)) / scaling.unit
        D = self._on(label, len(y))
        x_hat = (Symmetric(D) if symmetric else D)(scaled, level.clamp(min=TINY))
        x_hat = scaling.inverse(x_hat, noisy=True).to(y.device)
        return torch.where(per_sample(level, scaled).to(y.device) > 0, x_hat, y)

    def log_prob(
        self,
        x: Events,
        *,
        label: Any = None,
        probes: int | None = None,
        seed: int = 0,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        show: bool = True,
    ) -> LogProb:
        """log p(x), or log p(x | label), in nats and data units, by the deterministic transport.

        Where the model was trained with labels, log p(x) is that of the denoiser which is not told.

        The divergence is exact up to 64 values an event, else estimated by 16 probes; `probes` overrules. Quantised
        data are spread uniformly over their grid step first, so the value is that of a density, and its mean a
        lower bound of the log-probability of the pixels. `error` is that of the probes; beside it stands the
        integrator's, within rtol and atol for each event, which may change in that measure with the company that it
        is integrated in. A blind denoiser's likelihood takes its answers for those at the nominal level, which holds
        where an event has many values.
        """
        scaling, x = self.must_be_fitted(), self.check(x)
        if probes is None and math.prod(x.shape[1:]) > EXACT_DIVERGENCE:
            probes = PROBES
        scaled = self.scaled(x, seed)
        options: dict[str, Any] = {"probes": probes, "seed": seed, "rtol": rtol, "atol": atol, "show": show}
        found = self.walker.log_prob(scaled.to(self.device), self.encode_labels(label, len(x)), **options)
        return found._replace(value=found.value.to(x.device) + scaling.log_dets(scaled), error=found.error.to(x.device))

    def encode(self, x: Events, *, label: Any = None) -> Float[Tensor, "n *event"]:
        """Latent of x: standard normal if the model is right; quantised data stand at the middle of their step."""
        scaling, x = self.must_be_fitted(), self.check(x)
        return self.walker.encode(scaling.forward(x).to(self.device), self.encode_labels(label, len(x))).to(x.device)

    def decode(self, z: Events, *, label: Any = None) -> Float[Tensor, "n *event"]:
        """x of a latent, the inverse of `encode` (data units, not rounded to a grid)."""
        scaling, z = self.must_be_fitted(), self.check(z)
        return scaling.inverse(self.walker.decode(z.to(self.device), self.encode_labels(label, len(z)))).to(z.device)

    def _on(self, label: Any, n: int) -> Denoiser:
        """The denoiser of n events of any size."""
        net = self.denoiser.net
        if isinstance(net, BiasFreeUNet):
            return Tiled(self.denoiser, reach=net.reach, multiple=net.multiple)
        return Tiled(self.walker.bound(self.encode_labels(label, n), n), side=self.spec.space)
