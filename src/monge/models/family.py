"""What every family shares: fit, save, load. A family adds its networks, its objectives and its sampler."""

import math
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor, nn

from monge import data as datasets
from monge import objects, rng
from monge.data import Labels, Samples, Scaling
from monge.errors import BadInput
from monge.files import write_atomic
from monge.models import records
from monge.models.network import Choice
from monge.models.records import RECORD, WEIGHTS
from monge.nets import Spec
from monge.progress import say
from monge.training import Objective, Training, read_tensors, seconds, train, write_tensors

Fitted = TypeVar("Fitted", bound="Family")
Events = Tensor | NDArray[Any]  # [n, *event]
FEW_STEPS = 1000  # below which a warning is due
USUAL_CALLS = 20  # of a denoiser, for a sample
MOMENT_ROWS = 16_384  # rows that `prepare` is given
MOMENT_VALUES = 2**25  # and values, so that large events do not fill the memory


class Family(nn.Module):
    """A generator that can be fitted, sampled, saved and loaded.

    A family of your own gives `build`, `draw`, and `objectives` or `learn`; the rest has defaults. Its constructor
    passes its settings on by name: plain values, or objects (a network, a process).

    record: what `model.json` holds: family, settings, data (name, kind, fingerprint, split), scaling, labels, seed,
    training settings and versions. Empty until `fit` or `load`.
    takes_labels: whether it learns from the labels, or vectors, that data have; takes_images: from images that go with
    them, too. exact_likelihood: whether `log_prob` is exact, and as cheap as a sample.
    """

    takes_labels: bool = False
    takes_images: bool = False
    exact_likelihood: bool = False

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.record: dict[str, Any] = {}
        self.scaling: Scaling | None = None
        self.labels: Labels | None = None
        self.fitted = False

    # -- what a family gives -------------------------------------------------------------------------------

    def admit(self, samples: Samples, training: Training | None) -> None:
        """Raise BadInput for data, or a training, that it cannot learn from, before anything is made or written."""
        if self.settings.get("labels") and samples.y is None:
            raise BadInput(f"labels=True, and {samples.name} has no labels: leave it out, or give data with a y")
        if self.takes_labels and not self.takes_images and samples.y is not None and samples.y.ndim > 2:
            raise BadInput(
                f"{type(self).__name__} is told labels or vectors, and {samples.name} goes with images: give "
                "labels=False, or take WassersteinGAN"
            )

    def defaults(self, samples: Samples) -> Training | None:
        """Training settings that work for these data; None if `learn` takes no steps."""
        return Training()

    @abstractmethod
    def build(self, spec: Spec) -> None:
        """Make the networks for scaled events."""

    def choose(self, spec: Spec, training: Training) -> Choice | None:
        """A size for the networks, by the time there is; kept in the record as `network`, where `build` finds it."""
        return None

    def prepare(self, scaled: Float[Tensor, "n *event"]) -> None:
        """Learn what is computed and not trained (moments, ...) from scaled rows; called after `build`."""

    def objectives(self) -> Sequence[Objective]:
        """What is minimised, in the order of a step."""
        raise NotImplementedError(f"{type(self).__name__} lists no objectives: give them, or override learn")

    def learn(self, samples: Samples, training: Training | None, **options: Any) -> None:
        """Fit what was built: by the training loop. A closed form does it here, and returns None for `defaults`.

        options: seed, out, tensorboard, watch (without arguments), show.
        """
        if training is None:
            raise NotImplementedError(f"{type(self).__name__} has no training settings: override learn")
        train(self, self.objectives(), samples, training, **options)

    @abstractmethod
    def draw(self, n: int, seed: int, start: int, **options: Any) -> Tensor:
        """n scaled samples, the first being number `start`."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that `weights.safetensors` holds."""
        return dict(self.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave, after `build`."""
        self.load_state_dict(tensors)

    def settle(self) -> None:  # most families have nothing to do here
        """Once trained: measure what sampling needs to know of the network."""

    # -- what every family can do --------------------------------------------------------------------------

    def fit(
        self: Fitted,
        data: Any,
        *,
        steps: int | None = None,
        budget: str | float | None = None,
        seed: int = 0,
        out: str | Path | None = None,
        resume: bool = False,
        batch_size: int | None = None,
        lr: float | None = None,
        precision: str | None = None,
        validation: float | None = None,
        patience: int | None = None,
        checkpoint_s: float | None = None,
        tensorboard: bool = False,
        watch: Callable[["Family"], None] | None = None,
        show: bool = True,
    ) -> Fitted:
        """Learn the law of `data` (`Samples`, or anything that `monge.data.load` takes).

        steps: number of gradient steps; or budget: wall-clock time ("90s", "5m", seconds). The family's default
            steps if neither is given.
        out: folder of the run: model.json, weights.safetensors, log.csv, checkpoints/.
        lr: peak learning rate. precision: "32-true" or "bf16-mixed". checkpoint_s: seconds between checkpoints.
        validation: share of the rows kept aside, the loss on which is told. patience: stop when that loss has not
            fallen for so many of its evaluations, and keep the weights that had the lowest.
        watch: called with the model as it is then every 20 seconds or so, and at the end: to look at a few samples.
        resume: go on with the run in `out` if there is one. When `steps` rules, the weights are those of a run that
            was never interrupted, bit for bit.

        Raises BadInput if `out` holds a run and `resume` is not set, or a run of other data or settings;
        NumericalFailure at a non-finite loss. A model whose fit did not end is not fitted.
        """
        samples = datasets.load(data)
        given = {
            **{"steps": steps, "budget": None if budget is None else seconds(budget), "batch_size": batch_size},
            **{"lr": lr, "precision": precision, "validation": validation, "patience": patience},
            "checkpoint_s": checkpoint_s,
        }
        training = self._training(samples, {name: value for name, value in given.items() if value is not None})
        self.admit(samples, training)
        record = records.describe(type(self).__name__, self.settings, samples, training, seed)
        folder = Path(out) if out is not None else None
        writes = int(os.environ.get("RANK", "0")) == 0  # of several processes, one
        if folder is not None and (folder / RECORD).exists():
            if writes:
                records.refuse_other(folder, record, resume)
            if (folder / WEIGHTS).exists():
                return self._take(folder)
        self.fitted = False
        self.scaling = Scaling.fit(samples)
        self.labels = Labels.of(samples) if self.takes_labels else None
        self.record = record | {"scaling": self.scaling.to_dict()}
        if training is not None:
            begun = records.read(folder) if folder is not None and (folder / RECORD).exists() else {}
            self.record["network"] = begun.get("network") or self._network(training, show)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.key(seed, "weights") & 0x7FFF_FFFF)
            self.build(self.spec)
        self.record["labels"] = None if self.labels is None else self.labels.to_dict()
        most = max(2, min(MOMENT_ROWS, MOMENT_VALUES // math.prod(samples.event_shape)))
        few = torch.randperm(len(samples), generator=rng.generator(seed, "moments"))[:most]
        self.prepare(self.scaled(samples.batch(few), seed))
        if folder is not None and writes:
            write_atomic(folder / RECORD, records.to_json(self.record))
        look = None if watch is None else partial(self._watched, watch)
        self.learn(samples, training, seed=seed, out=folder, tensorboard=tensorboard, watch=look, show=show)
        self.fitted = True
        self.eval()
        self.settle()
        if folder is not None and writes:
            self.save(folder)
        return self

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write model.json and weights.safetensors into the folder `path`; each whole, or not at all.

        Warns of settings that the folder cannot make again, and says what `load` will need.

        Raises BadInput if another run is there and `force` is not set.
        """
        self.must_be_fitted()
        folder = Path(path)
        if not force and (folder / RECORD).exists() and not records.same(records.read(folder), self.record):
            raise BadInput(f"{folder} holds another run: give another folder, or force=True to replace it")
        write_atomic(folder / RECORD, records.to_json(self.record))
        write_tensors(folder / WEIGHTS, self.tensors(), {"format": records.FORMAT, "family": self.record["family"]})
        for name, kind in records.strangers(self.record).items():
            again = f"monge.load({str(folder)!r}, {name}={kind.rpartition('.')[2]}(...))"
            warnings.warn(f"{folder} cannot make its {name} again, a {kind}: load it with {again}", stacklevel=2)
        return folder

    @classmethod
    def load(cls: type[Fitted], path: str | Path, **given: Any) -> Fitted:
        """The fitted model in a run's folder; `given` are the objects that the run cannot make again.

        Raises BadInput if there is no run of this family, or it is damaged or unfinished, or an object is missing.
        """
        folder = Path(path)
        record = records.read(folder)
        if record["family"] != cls.__name__:
            raise BadInput(f"{folder} holds a {record['family']}, not a {cls.__name__}")
        if not (folder / WEIGHTS).exists():
            raise BadInput(
                f"the run in {folder} has not finished: go on with it by fitting again with --resume (resume=True)"
            )
        try:
            fresh = cls(**records.settings_of(record, folder, given))
        except TypeError as error:
            raise BadInput(
                f"{folder / RECORD} has settings that this version does not know ({error}): fit again"
            ) from error
        return fresh._take(folder)

    def sample(self, n: int, *, seed: int = 0, start: int = 0, **options: Any) -> Float[Tensor, "n *event"]:
        """Draw n samples, [n, *event] in data units and on the data's grid, on the CPU; sample start + i is always the
        same. The options are the family's own.
        """
        scaling = self.must_be_fitted()
        if n < 1:
            raise BadInput(f"n must be at least 1 sample, not {n}")
        return scaling.quantise(scaling.inverse(self.draw(n, seed, start, **options).cpu()))

    # -- what a family builds on ---------------------------------------------------------------------------

    @property
    def spec(self) -> Spec:
        """What its networks are made for."""
        about = self.record["data"]
        told = self.labels or Labels()
        return Spec(tuple(about["event_shape"]), about["kind"], told.count, told.features, context=told.context)

    @property
    def device(self) -> torch.device:
        """Where the networks are: `fit` leaves them where it trained, `load` on the CPU; `.to(device)` moves them."""
        first = next(self.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def units(self) -> Scaling:
        """The scaling, from the start of `fit` on."""
        return self.scaling if self.scaling is not None else self.must_be_fitted()

    def scaled(
        self, x: Float[Tensor, "n *event"], noise: torch.Generator | int, start: int = 0
    ) -> Float[Tensor, "n *event"]:
        """Data units to model units, quantised data being spread over their grid step.

        noise: a generator, or a seed with which row i has the noise of sample start + i whatever its company.
        """
        if not self.units.spreads:
            return self.units.forward(x)
        if isinstance(noise, torch.Generator):
            u = torch.rand(x.shape, generator=noise, device=x.device, dtype=x.dtype)
        else:
            u = rng.uniform(tuple(x.shape), noise, "dequantise", start=start, dtype=x.dtype, device=x.device)
        return self.units.forward(self.units.dequantise(x, u))

    def drawn_labels(self, label: Any, n: int, seed: int, start: int) -> Any:
        """The label asked for, or labels as often as in training where none is, and they can be drawn."""
        if label is None and self.labels is not None and self.labels.count:
            return self.labels.draw(n, seed=seed, start=start)
        return label

    def told(self, label: Any, n: int, *, needed: bool = False) -> Shaped[Tensor, " n *k"] | None:
        """A label, a name, a vector or image, or one for each of n, as the networks take them; None for none.

        Raises BadInput if the model was not trained with such, or was, and none is given though it is needed.
        """
        self.must_be_fitted()
        if label is None and self.labels is not None and needed:
            raise BadInput(f"the model is conditioned on {self.labels.told}: give a label")
        if label is None:
            return None
        if self.labels is None:
            raise BadInput(
                f"this {type(self).__name__} was trained without labels: leave it out, or fit with labels=True"
            )
        return self.labels.encode(label, n).to(self.device)

    def must_be_fitted(self) -> Scaling:
        """The scaling. Raises BadInput before the end of a `fit`."""
        if self.scaling is None or not self.fitted:
            state = "has not been fitted: call .fit(data), or monge.load(run)"
            if self.record:
                state = "was not fitted to the end: fit it again, with the same out= and resume=True to go on"
            raise BadInput(f"this {type(self).__name__} {state}")
        return self.scaling

    def check(self, x: Events, *, any_size: bool = False, shape: tuple[int, ...] | None = None) -> Tensor:
        """Events [n, *event] in the networks' dtype; where there is one channel, its axis may be missing.

        any_size: whether images and fields may be over another space, of as many dimensions. shape: of latents, where
        it is not that of the events.

        Raises BadInput for another shape, or numbers not real.
        """
        self.must_be_fitted()
        x = torch.as_tensor(x)
        expected = shape or tuple(self.record["data"]["event_shape"])
        if len(expected) > 1 and expected[0] == 1 and x.ndim == len(expected):
            x = x[:, None]
        if any_size and len(expected) > 1 and x.ndim == len(expected) + 1 and 0 not in x.shape:
            expected = (expected[0], *x.shape[2:])
        if tuple(x.shape[1:]) != expected or not len(x):
            wanted = ", ".join(map(str, expected))
            raise BadInput(
                f"the model was fitted to events of shape [{wanted}]: give [n, {wanted}], not {list(x.shape)}"
            )
        if x.is_complex():
            raise BadInput(f"the model takes real numbers, not {x.dtype}")
        wrong = (~x.isfinite()).flatten(1).any(1)
        if bool(wrong.any()):
            raise BadInput(
                f"{int(wrong.sum())} of {len(x)} events have NaN or infinity, the first row {int(wrong.nonzero()[0])}: "
                "drop or repair those rows"
            )
        first = next(self.parameters(), None)
        return x.to(torch.float32 if first is None else first.dtype)

    # -- inside --------------------------------------------------------------------------------------------

    def _watched(self, watch: Callable[["Family"], None]) -> None:
        """Let a model in training be used as if it were fitted."""
        self.fitted = True
        try:
            watch(self)
        finally:
            self.fitted = False

    def _network(self, training: Training, show: bool) -> dict[str, Any] | None:
        """The size that is chosen, told and described; None where none is."""
        found = self.choose(self.spec, training)
        if found is None:
            return None
        size = objects.describe(found.size)
        text = f"network: {objects.words(size)}, {found.weights / 1e6:.2g} million weights"
        if found.seconds is not None and training.budget is not None:
            steps = training.budget / found.seconds
            text += f", about {steps:,.0f} steps of {training.batch_size} in the time there is"
            if steps < FEW_STEPS:
                text += f" (few: {FEW_STEPS:,} need about {FEW_STEPS * found.seconds / 60:.0f} minutes)"
        if found.call is not None:
            text += f"; 1,000 samples will take about {1000 * USUAL_CALLS * found.call:.0f} s"
        if found.memory is not None:
            text += f"; {found.memory / 1e9:.1f} GB of memory"
        say(text, show=show)
        return {"size": size, "seconds_a_step": found.seconds, "weights": found.weights}

    def _training(self, samples: Samples, given: dict[str, Any]) -> Training | None:
        usual = self.defaults(samples)
        if usual is None:
            steps = [name for name in given if name != "checkpoint_s"]
            if steps:
                raise BadInput(f"{type(self).__name__} is fitted in closed form, without {', '.join(steps)}")
            return None
        if "budget" in given:
            given = {"steps": None, **given}
        return replace(usual, **given)

    def _take(self: Fitted, folder: Path) -> Fitted:
        self.record = records.read(folder)
        self.scaling = Scaling.from_dict(self.record["scaling"])
        labels = self.record.get("labels")
        self.labels = None if labels is None else Labels.from_dict(labels)
        self.build(self.spec)
        tensors, _ = read_tensors(folder / WEIGHTS)
        try:
            self.restore(tensors)
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                f"{folder / WEIGHTS} does not fit the {RECORD} beside it: one is damaged or of another run; fit again"
            ) from error
        self.fitted = True
        self.eval()
        return self
