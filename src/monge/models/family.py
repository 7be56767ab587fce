"""The contract of a family: its networks, its objectives and its sampler, and what it is given for them."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor, nn

from monge import data as datasets
from monge import rng
from monge.data import Labels, Samples, Scaling
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.models import workflow
from monge.models.network import Choice
from monge.nets import Spec
from monge.training import Objective, Training, train

Fitted = TypeVar("Fitted", bound="Family")
Events = Tensor | NDArray[Any]  # [n, *event]


class Family(nn.Module):
    """A generator that can be fitted, sampled, saved and loaded.

    A family of your own gives `build`, `draw`, and `objectives` or `learn`; the rest has defaults. Its constructor
    passes its settings on by name: plain values, or objects (a network, a process).

    record: what `model.json` holds: family, settings, data (name, kind, fingerprint, split), scaling, labels, seed,
    training settings and versions. Empty until `fit` or `load`.
    takes_labels: whether it learns from the labels, or vectors, that data have; takes_images: from images that go with
    them, too. exact_likelihood: whether `log_prob` is exact, and as cheap as a sample. kinds: of data that it takes.
    starts: whether sample i of a seed begins at noise that the seed alone decides, one for two models.
    bends: whether it learns skew values bent (`monge.data.bends`); None: those of tables.
    fingerprints: of what else a `fit` was given, by name, which make its run another one.
    fitted: whether a `fit` came to its end. looked_at: whether it is in use on the way there, by `watch`.
    """

    takes_labels: bool = False
    takes_images: bool = False
    exact_likelihood: bool = False
    starts: bool = True
    kinds: tuple[str, ...] = ("vectors", "images", "fields")
    bends: bool | None = None

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.record: dict[str, Any] = {}
        self.scaling: Scaling | None = None
        self.labels: Labels | None = None
        self.fingerprints: dict[str, str] = {}
        self.fitted = self.looked_at = False

    # -- what a family gives -------------------------------------------------------------------------------

    def check_data(self, samples: Samples, training: Training | None) -> None:
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

    def prepare(self, scaled: Shaped[Tensor, "n *event"]) -> None:
        """Learn what is computed and not trained (moments, ...) from scaled rows; called after `build`.

        A family that keeps moments takes those of another model, too: `prepare(self, scaled, moments=None)`."""

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

    def after_training(self) -> None:  # most families have nothing to do here
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
        scaling: Scaling | None = None,
        moments: Gaussian | None = None,
        tensorboard: bool = False,
        watch: Callable[["Family"], None] | None = None,
        watch_copies: bool = False,
        show: bool = True,
    ) -> Fitted:
        """Learn the law of `data` (`Samples`, or anything that `monge.data.load` takes).

        steps: number of gradient steps; or budget: wall-clock time ("90s", "5m", seconds). The family's default
            steps if neither is given.
        out: folder of the run: model.json, weights.safetensors, log.csv, checkpoints/.
        lr: peak learning rate. precision: "32-true" or "bf16-mixed". checkpoint_s: seconds between checkpoints.
        validation: share of the rows kept aside, the loss on which is told. patience: stop when that loss has not
            fallen for so many of its evaluations, and keep the weights that had the lowest.
        scaling, moments: those of another model, `first.scaling` and `first.moments`, so that both work in the same
            units and one noise is one start for both; moments where the family keeps them.
        watch: called with the model as it is then every 20 seconds or so, and at the end: to look at a few samples. It
            is not `fitted` yet.
        watch_copies: look at steps 50, 71, 100, ... whether samples are copies of rows learned from, and rows are
            denoised better than new ones, of which a tenth is kept aside unless validation says otherwise: columns of
            log.csv (`monge.models.CopyingClock`). With patience, training stops when two looks in a row find copies.
        resume: go on with the run in `out` if there is one. When `steps` rules, the weights are those of a run that
            was never interrupted, bit for bit. A run may be given more steps, or a larger budget, than it was asked
            for, finished or not: it goes on from what was learned, at the learning rate that the larger amount has
            there (where the rate is constant, to the same bits as if it had been asked for at once).

        Raises BadInput if `out` holds a run and `resume` is not set, or a run of other data or settings, or of more;
        NumericalFailure at a non-finite loss. A model whose fit did not end is not fitted.
        """
        given = {
            **{"steps": steps, "budget": budget, "batch_size": batch_size, "lr": lr, "precision": precision},
            **{"validation": validation, "patience": patience, "checkpoint_s": checkpoint_s},
        }
        run: dict[str, Any] = {"seed": seed, "out": out, "resume": resume, "scaling": scaling, "moments": moments}
        seen: dict[str, Any] = {"tensorboard": tensorboard, "watch": watch}
        workflow.fit(self, datasets.load(data), given, **run, **seen, watch_copies=watch_copies, show=show)
        return self

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write model.json and weights.safetensors into the folder `path`; each whole, or not at all.

        Warns of settings that the folder cannot make again, and says what `load` will need.

        Raises BadInput if another run is there and `force` is not set.
        """
        return workflow.save(self, path, force=force)

    @classmethod
    def load(cls: type[Fitted], path: str | Path, **given: Any) -> Fitted:
        """The fitted model in a run's folder; `given` are the objects that the run cannot make again.

        Raises BadInput if there is no run of this family, or it is damaged or unfinished, or an object is missing.
        """
        loaded: Fitted = workflow.load(cls, path, given)
        return loaded

    def sample(self, n: int, *, seed: int = 0, start: int = 0, **options: Any) -> Shaped[Tensor, "n *event"]:
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
        symbols = int(about["limits"][1]) + 1 if about["kind"] == "sequences" else 0
        spec = Spec(tuple(about["event_shape"]), about["kind"], told.count, told.features, context=told.context)
        return replace(spec, symbols=symbols)

    @property
    def takes_moments(self) -> bool:
        """Whether it keeps the moments of its data, and takes those of another model."""
        return "moments" in inspect.signature(self.prepare).parameters

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
        self, x: Shaped[Tensor, "n *event"], noise: torch.Generator | int, start: int = 0
    ) -> Shaped[Tensor, "n *event"]:
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

    def encode_labels(self, label: Any, n: int, *, needed: bool = False) -> Shaped[Tensor, " n *k"] | None:
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

    def as_told(self, label: Any, n: int) -> Shaped[Tensor, " n *k"] | None:
        """`encode_labels`, where a label is needed if that of every row was told: of none it knows nothing."""
        always = self.labels is not None and self.settings.get("label_dropout") == 0
        return self.encode_labels(label, n, needed=always)

    def must_be_fitted(self) -> Scaling:
        """The scaling. Raises BadInput before the end of a `fit`, but while the model is looked at."""
        if self.scaling is None or not (self.fitted or self.looked_at):
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
        if self.units.symbols:
            return self._symbols(x)
        if self.units.wide and shape is None:
            return x.double()
        first = next(self.parameters(), None)
        return x.to(torch.float32 if first is None else first.dtype)

    def _symbols(self, x: Tensor) -> Tensor:
        whole, top = x.to(torch.int64), self.spec.symbols - 1
        if not bool(((whole == x) & (whole >= 0) & (whole <= top)).all()):
            raise BadInput(f"the model was fitted to symbols 0 to {top}: give whole numbers in that range")
        return whole
