"""What every family shares: fit, save, load. A family adds its networks, its objectives and its sampler."""

import json
import math
import os
import platform
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import data as datasets
from monge import rng
from monge.data import Samples, Scaling
from monge.errors import BadInput
from monge.files import write_atomic
from monge.training import Objective, Training, read_tensors, seconds, train, write_tensors

Fitted = TypeVar("Fitted", bound="Family")
FORMAT = 1
RECORD, WEIGHTS = "model.json", "weights.safetensors"


class Family(nn.Module):
    """A generator that can be fitted, sampled, saved and loaded.

    record: what `model.json` holds: family, settings, data (name, kind, fingerprint, split), scaling, seed, training
    settings and versions. Empty until `fit` or `load`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.record: dict[str, Any] = {}
        self.scaling: Scaling | None = None

    # -- what a family gives -------------------------------------------------------------------------------

    @abstractmethod
    def defaults(self, samples: Samples) -> Training:
        """Training settings that work for these data."""

    @abstractmethod
    def build(self, event_shape: tuple[int, ...]) -> None:
        """Make the networks for scaled events of this shape."""

    @abstractmethod
    def prepare(self, scaled: Float[Tensor, "n *event"]) -> None:
        """Learn what is computed and not trained (moments, ...) from scaled rows; called after `build`."""

    @abstractmethod
    def objectives(self) -> Sequence[Objective]:
        """What is minimised, in the order of a step."""

    @abstractmethod
    def _sample(self, n: int, seed: int, start: int, **options: Any) -> Tensor:
        """n scaled samples, the first being number `start`."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that `weights.safetensors` holds."""
        return dict(self.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave, after `build`."""
        self.load_state_dict(tensors)

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
        precision: str = "32-true",
        checkpoint_s: float = 20.0,
        tensorboard: bool = False,
        show: bool = True,
    ) -> Fitted:
        """Learn the law of `data` (`Samples`, or anything that `monge.data.load` takes).

        steps: number of gradient steps; or budget: wall-clock time ("90s", "5m", seconds). The family's default
            steps if neither is given.
        out: folder of the run: model.json, weights.safetensors, log.csv, checkpoints/.
        lr: peak learning rate. precision: Lightning Fabric's, "bf16-mixed" for instance.
        checkpoint_s: seconds between checkpoints.
        resume: go on with the run in `out` if there is one. When `steps` rules, the weights are those of a run that
            was never interrupted, bit for bit.

        Raises BadInput if `out` holds a run and `resume` is not set, or a run of other data or settings;
        NumericalFailure at a non-finite loss.
        """
        samples = datasets.load(data)
        given = {"batch_size": batch_size, "lr": lr, "precision": precision, "checkpoint_s": checkpoint_s}
        settings = self._training(samples, steps, budget, given)
        record = self._describe(samples, settings, seed)
        folder = Path(out) if out is not None else None
        writes = int(os.environ.get("RANK", "0")) == 0  # of several processes, one
        if folder is not None and (folder / RECORD).exists():
            if writes:
                _refuse_other(folder, record, resume)
            if (folder / WEIGHTS).exists():
                return self._take(folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.key(seed, "weights") & 0x7FFF_FFFF)
            self.build(samples.event_shape)
        self.scaling = Scaling.fit(samples)
        self.record = record | {"scaling": self.scaling.to_dict()}
        rows = rng.generator(seed, "moments")
        most = max(2, min(MOMENT_ROWS, MOMENT_VALUES // math.prod(samples.event_shape)))
        few = torch.randperm(len(samples), generator=rows)[:most]
        self.prepare(self._scaled(samples.batch(few), rng.generator(seed, "dequantise")))
        if folder is not None and writes:
            write_atomic(folder / RECORD, json.dumps(self.record, indent=2) + "\n")
        train(
            self,
            self.objectives(),
            samples,
            settings,
            seed=seed,
            out=folder,
            tensorboard=tensorboard,
            show=show,
        )
        if folder is not None and writes:
            self.save(folder)
        return self

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write model.json and weights.safetensors into the folder `path`; each whole, or not at all.

        Raises BadInput if another run is there and `force` is not set.
        """
        self._must_be_fitted()
        folder = Path(path)
        if not force and (folder / RECORD).exists() and _read_record(folder) != json.loads(json.dumps(self.record)):
            raise BadInput(f"{folder} holds another run: give another folder, or force=True to replace it")
        write_atomic(folder / RECORD, json.dumps(self.record, indent=2) + "\n")
        write_tensors(folder / WEIGHTS, self.tensors(), {"format": FORMAT, "family": self.record["family"]})
        return folder

    def sample(self, n: int, *, seed: int = 0, start: int = 0, **options: Any) -> Float[Tensor, "n *event"]:
        """Draw n samples, [n, *event] in data units and on the data's grid, on the CPU; sample start + i is always the
        same. The options are the family's own.
        """
        scaling = self._must_be_fitted()
        if n < 1:
            raise BadInput(f"n must be at least 1 sample, not {n}")
        return scaling.quantise(scaling.inverse(self._sample(n, seed, start, **options).cpu()))

    @property
    def device(self) -> torch.device:
        """Where the networks are: `fit` leaves them where it trained, `load` on the CPU; `.to(device)` moves them."""
        return next(self.parameters()).device

    # -- inside --------------------------------------------------------------------------------------------

    def _scaled(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Data units to model units, quantised data being spread over their grid step."""
        scaling = self._must_be_fitted()
        u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return scaling.forward(scaling.dequantise(x, u))

    def _must_be_fitted(self) -> Scaling:
        if self.scaling is None:
            raise BadInput(f"this {type(self).__name__} has not been fitted: call .fit(data), or monge.load(run)")
        return self.scaling

    def _check_events(self, x: Tensor) -> Tensor:
        expected = tuple(self.record["data"]["event_shape"]) if self.record else ()
        self._must_be_fitted()
        if tuple(x.shape[1:]) != expected or not len(x):
            raise BadInput(
                f"the model was fitted to events of shape {list(expected)} and takes n of them, not {list(x.shape)}"
            )
        if x.is_complex():
            raise BadInput(f"the model takes real numbers, not {x.dtype}")
        return x.to(next(self.parameters()).dtype)

    def _training(
        self,
        samples: Samples,
        steps: int | None,
        budget: str | float | None,
        given: dict[str, Any],
    ) -> Training:
        given = {name: value for name, value in given.items() if value is not None}
        if budget is not None:
            given |= {"budget": seconds(budget), "steps": steps}
        elif steps is not None:
            given["steps"] = steps
        return replace(self.defaults(samples), **given)

    def _describe(self, samples: Samples, settings: Training, seed: int) -> dict[str, Any]:
        training = {name: value for name, value in vars(settings).items() if name not in ("checkpoint_s", "log_every")}
        return {
            "format": FORMAT,
            "family": type(self).__name__,
            "settings": self.settings,
            "data": samples.describe(),
            "seed": seed,
            "training": training,
            "versions": {
                "monge": version("monge"),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def _take(self: Fitted, folder: Path) -> Fitted:
        self.record = _read_record(folder)
        self.scaling = Scaling.from_dict(self.record["scaling"])
        self.build(tuple(self.record["data"]["event_shape"]))
        tensors, _ = read_tensors(folder / WEIGHTS)
        try:
            self.restore(tensors)
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                f"{folder / WEIGHTS} does not fit the {RECORD} beside it: one is damaged or of another run; fit again"
            ) from error
        self.eval()
        return self


MOMENT_ROWS = 16_384  # rows from which the mean and covariance kept with a model are estimated
MOMENT_VALUES = 2**25  # and values, so that large events do not fill the memory


def load(path: str | Path, families: Sequence[type[Family]]) -> Family:
    """The fitted model in a run's folder. Raises BadInput if there is none, or it is damaged or unfinished."""
    folder = Path(path)
    record = _read_record(folder)
    known = {family.__name__: family for family in families}
    if record["family"] not in known:
        raise BadInput(
            f"{folder} holds a {record['family']}, which this version does not know: it has {', '.join(known)}"
        )
    if not (folder / WEIGHTS).exists():
        raise BadInput(
            f"the run in {folder} has not finished: go on with it by fitting again with --resume (resume=True)"
        )
    try:
        fresh = known[record["family"]](**record["settings"])
    except TypeError as error:
        raise BadInput(
            f"{folder / RECORD} has settings that this version does not know ({error}): fit again"
        ) from error
    return fresh._take(folder)


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise BadInput(f"{folder} holds no run ({RECORD} is missing): give the --out of a `monge fit`") from error
    except (ValueError, OSError) as error:
        raise BadInput(f"{path} cannot be read ({error}): it is damaged; fit again") from error
    if record.get("format", FORMAT) > FORMAT:
        raise BadInput(f"{path} has format {record['format']}, and this version reads {FORMAT}: update monge")
    missing = [name for name in ("format", "family", "settings", "data", "scaling") if name not in record]
    if missing or record["format"] != FORMAT:
        raise BadInput(
            f"{path} is not a run of format {FORMAT} (missing: {', '.join(missing) or 'nothing'}): fit again"
        )
    return record


def _refuse_other(folder: Path, record: dict[str, Any], resume: bool) -> None:
    """Raise BadInput unless the run in `folder` is the one that `record` describes, and may be gone on with."""
    if not resume:
        raise BadInput(f"{folder} holds another run: give another --out, or --resume (resume=True) to go on with it")
    theirs = _read_record(folder)
    here = {"family": record["family"], "settings": record["settings"], "data": record["data"]["fingerprint"]}
    there = {
        "family": theirs["family"],
        "settings": theirs["settings"],
        "data": theirs["data"]["fingerprint"],
    }
    here |= {"seed": record["seed"], **record["training"]}
    there |= {"seed": theirs["seed"], **theirs["training"]}
    for name in here:
        if here[name] != there.get(name):
            raise BadInput(
                f"the run in {folder} has {name}={there.get(name)}, and you ask for {name}={here[name]}: "
                "give the same to go on with it, or another --out"
            )
