"""What families share that learn a denoiser: its network, its walk, its likelihood and its latent."""

import math
from collections.abc import Callable
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
from monge.models.carrier import Carrier
from monge.models.family import Events
from monge.models.given import posterior, refuse_beside
from monge.models.guidance import check_dropout, check_guidance
from monge.models.network import WAVING, Choice, choose, in_waves, seen_in_waves
from monge.models.transport_family import TransportFamily
from monge.models.walker import Levels, Through, Walker
from monge.nets import Adapted, BiasFreeUNet, Spec, bias_free, denoiser
from monge.observations import Observation
from monge.protocols import Denoiser
from monge.samplers import Posterior, Trajectory
from monge.training import Training, fastest_precision

ENOUGH_ROWS, FEW_ROWS = 100, 5000  # between which a tenth of a table is kept aside, to stop by
MOST_ROWS = 1000  # of which a covariance is known well enough, whatever its size
CALIBRATED_FROM = 200  # steps of training: fewer are a trial, and to calibrate would take longer than they do
PATIENCE = 20  # looks at the loss on these, 100 steps each
TINY = 1e-6
START = "start/"  # names of its tensors in a file
BLIND_SITES, FEWEST = 2**15, 4  # of a batch of a network that learns from every site, and events at least


class DenoiserFamily(TransportFamily):
    """A family that learns a denoiser D, from which all else is read: `Diffusion`, and `FlowMatching` by its velocity.

    A family of this kind has the settings net, labels, label_dropout, periodic, augment and bend as `Diffusion`
    explains them, and may have blind, sigma_min and sigma_max; it calls `check_settings`, and lists its objectives.
    """

    denoiser: Neural
    walker: Walker
    augmentation: Augmentation | None

    def check_settings(self) -> None:
        """Raise BadInput for settings that all families of this kind have; take what follows from them."""
        bend, labels, dropout = (self.settings[name] for name in ("bend", "labels", "label_dropout"))
        self.bends = (None if self.blind else True) if bend is None else bend
        self.takes_labels = labels is not False
        check_dropout(dropout)

    @property
    def blind(self) -> bool:
        """Whether the denoiser is not told the noise level."""
        return bool(self.settings.get("blind"))

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
        return kind != "vectors" and self.blind and not self.settings["labels"]

    def choose(self, spec: Spec, training: Training) -> Choice | None:
        if self.settings["net"] is not None or self._without_constants(spec.kind):
            return None
        if seen_in_waves(spec, self.record["data"]):
            return in_waves(lambda: denoiser(spec, WAVING, inputs=2))
        return choose(spec, training)

    def _augmentation(self, spec: Spec) -> Augmentation | None:
        """How rows are moved while it learns; None where they are not, as in runs of before this was asked."""
        asked = self.settings["augment"]
        can = spec.kind != "vectors" and not self.blind and not isinstance(self.settings["net"], nn.Module)
        if asked and not can:
            raise BadInput(
                "augment=True is for pictures and fields, with a network of ours that is told the noise level"
            )
        known = "augment" in self.record["settings"]
        wanted = self.record["data"]["n"] < FEW_ROWS if asked is None else asked
        return Augmentation(spec.kind, spec.event_shape) if can and known and wanted else None

    def network(self, spec: Spec, inputs: int) -> nn.Module:
        """(y [n, *event], level [n], label or None) -> [n, *event]: the user's, or of a size that suits the data, which
        is given so many events side by side. Forgets the labels where it is told none."""
        net = self.settings["net"]
        if isinstance(net, nn.Module):
            adapted = Adapted(net, spec)
            if self.labels is not None and adapted.takes < 3:
                if self.settings["labels"]:
                    raise BadInput("labels=True, and the network takes none: give one that does, (y, level, label)")
                self.labels = None
            return adapted
        chosen = self.record.get("network")
        size = net if net is not None or chosen is None else objects.rebuild(chosen["size"])
        if self._without_constants(spec.kind):
            self.labels = None
            return bias_free(spec, size)
        return denoiser(spec, size, inputs=inputs)

    def build(self, spec: Spec) -> None:
        blind = self.blind
        self.augmentation = self._augmentation(spec)
        told = 0 if self.augmentation is None else self.augmentation.features
        spec = replace(spec, periodic=self.settings["periodic"], moves=told)
        net = self.network(spec, inputs=1 if blind else 2)
        self.denoiser = Neural(net, blind=blind, guided=not blind and not isinstance(net, Adapted))
        marginals = self.units.marginals
        if marginals is not None and marginals.blocks and not blind:
            units = self.units.shift.float(), self.units.scale.float()
            self.denoiser.choices = Choices(marginals.blocks, *units, marginals.noise_of_blocks)
        step = (self.units.quantum or 0.0) / self.units.unit
        asked = self.settings.get("sigma_min"), self.settings.get("sigma_max")
        own: dict[str, Any] = {"edges": self.units.edges(), "quantiles": self.units.quantum is None}
        self.walker = Walker(self.denoiser, spec.event_shape, asked=asked, step=step, **own)

    def prepare(self, scaled: Float[Tensor, "n *event"], moments: Gaussian | None = None) -> None:
        self.walker.look(scaled, moments, periodic=self.settings["periodic"])
        self.denoiser.moments = self.walker.moments
        if self.denoiser.guided and scaled.ndim > 2:  # of few coordinates a network learns the law as it is
            self.denoiser.start = Pointwise.estimate(scaled, Separable.estimate(scaled, self.walker.moments))

    @property
    def mover(self) -> Walker | Carrier:
        return self.walker

    @property
    def denoises(self) -> bool:
        """Whether its network is a denoiser's, or can be read as one."""
        return True

    def levels(self, sampling: bool = True) -> Levels:
        """The noise levels that the transport runs between, scaled units; the likelihood goes below the grid step."""
        return self.walker.levels(sampling)

    def after_training(self) -> None:
        if self.denoiser.homogeneous:  # which is for denoising above all, and looks when it is first asked to draw
            return
        steps = self.record["training"].get("steps")
        told = (steps is None or steps >= CALIBRATED_FROM) and self._knows_its_moments
        rows = samplers.calibration_rows if told else samplers.pilot_rows
        self.walker.measure(self._typical(rows), calibrate=told, device=self.device)

    @property
    def _knows_its_moments(self) -> bool:
        """Whether rows are so many that their covariance is that of their law: of fewer it is drawn towards a multiple
        of the identity, and a denoiser that is made right by it draws noise."""
        d, n = math.prod(self.spec.event_shape), self.record["data"]["n"]
        return bool(n >= min(d, MOST_ROWS))

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
        nfe: int | None = None,
        alpha: float = 0.0,
        label: Any = None,
        through: Through | None = None,
        guidance: float = 0.0,
        batch_size: int | None = None,
        trace: bool = False,
        given: Observation | None = None,
        method: str | None = None,
        show: bool = True,
    ) -> Any:
        """Draw n samples, [n, *event] in data units and on the data's grid, with at most `nfe` denoiser calls each, 20
        unless it is given, and 100 given an observation.

        alpha: 0 for the deterministic transport, 1 for Anderson's reversed diffusion (course (135)).
        label: of all samples, or n of them, by number or name; or vectors, where it was trained with such. None for
            the law of all: labels are drawn as often as they were in training, and vectors are not told.
        through: a denoiser -> the denoiser that is walked with, in scaled units: `monge.denoisers.Symmetric`, or one
            that is guided. What steps need to know of it is found out first, in 1,920 calls or twice as many.
        guidance: of a label: the walk is with D(label) + guidance (D(label) - D(none)), which shows the label more
            clearly than the data do, at twice the calls (classifier-free, Ho and Salimans 2022); 0 for their law.
        trace: return the `Trajectory` in data units, for pictures.
        given: an observation (`monge.observations`) that they are to agree with, in data units: `posterior` by this
            method, whose draws are drawn anew by their weights.
        Sample start + i of a seed does not depend on n or on batch_size.

        Raises BadInput for n < 1, nfe < 1, alpha < 0, for a label that was not trained on, and for a guidance without
        label, or by a network that never went without.
        """
        check_guidance(self, guidance, label)
        calls = {} if nfe is None else {"nfe": nfe}
        if given is not None:
            beside = {"batch_size": batch_size, "through": through, "guidance": guidance, "trace": trace}
            refuse_beside(start=start, alpha=alpha, **beside)
            found = self.posterior(n, given, label=label, method=method, seed=seed, show=show, **calls)
            return self.units.quantise(found.sample(n, seed=seed) if found.weighted else found.x)
        if method is not None:
            raise BadInput("method says how samples are drawn that are given an observation: say given=, too")
        options = {"alpha": alpha, "label": label, "through": through, **calls}
        options |= {"guidance": guidance, "batch_size": batch_size, "show": show}
        if not trace:
            return super().sample(n, seed=seed, start=start, **options)
        scaling = self.must_be_fitted()
        way: Trajectory = self.draw(n, seed, start, trace=True, **options)
        y, x_hat = (torch.stack([scaling.inverse(frame) for frame in part.cpu()]) for part in (way.y, way.x_hat))
        return Trajectory(scaling.quantise(scaling.inverse(way.x.cpu())), way.sigma * scaling.unit, y, x_hat)

    def posterior(self, n: int, given: Observation, *, label: Any = None, **options: Any) -> Posterior:
        """n draws of x given an observation in data units, with their weights, the evidence and what there is to doubt:
        `monge.samplers.posterior`, whose options go on. label: that they have.

        Raises BadInput for an observation of other events and a label that was not trained on.
        """
        return posterior(self, n, given, label=label, **options)

    def draw(self, n: int, seed: int, start: int, *, label: Any = None, **options: Any) -> Any:
        told = self.as_told(self.drawn_labels(label, n, seed, start), n)
        self.look_first(show=options.get("show", False))
        first = next(self.parameters())
        if first.dtype != torch.float32:
            options["dtype"] = first.dtype
        typical = self._typical(samplers.pilot_rows, label)
        return self.walker.draw(n, seed, start, label=told, typical=typical, device=self.device, **options)

    def look_first(self, *, show: bool) -> None:
        """Measure what walks need to know, where that was left until one is asked for."""
        if self.fitted and self.walker.plan is not None and self.walker.plan.gains is None:
            self.walker.measure(self._typical(samplers.pilot_rows), calibrate=False, device=self.device, show=show)

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
        D = self.on(label, len(y))
        x_hat = (Symmetric(D) if symmetric else D)(scaled, level.clamp(min=TINY))
        x_hat = scaling.inverse(x_hat, noisy=True).to(y.device)
        return torch.where(per_sample(level, scaled).to(y.device) > 0, x_hat, y)

    def scaled_denoiser(self, label: Any = None, n: int = 1) -> Denoiser:
        """The denoiser of its transport, (y, sigma) -> E[x | y] of scaled events: for all rows, told of none; or of n
        rows, told one label, or each its own.

        Raises BadInput where its network is no denoiser's."""
        if not self.denoises:
            raise BadInput(f"the network of this {type(self).__name__} is no denoiser: take one that begins at noise")
        return self.walker.bound(self.encode_labels(label, n), n)

    def on(self, label: Any, n: int) -> Denoiser:
        """The denoiser of n events of any size."""
        net = self.denoiser.net
        if isinstance(net, BiasFreeUNet):
            return Tiled(self.denoiser, reach=net.reach, multiple=net.multiple)
        return Tiled(self.walker.bound(self.encode_labels(label, n), n), side=self.spec.space)
