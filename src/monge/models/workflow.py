"""What is done with the contract of a family (`monge.models.Family`): fit, save, load."""

import copy
import hashlib
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from monge import objects, rng
from monge.data import Labels, Samples, Scaling
from monge.densities import Gaussian
from monge.errors import BadInput
from monge.files import DERIVED, write_atomic
from monge.models import records
from monge.models.copying import CopyingClock
from monge.models.network import Choice
from monge.models.records import RECORD, WEIGHTS
from monge.progress import say
from monge.training import AMOUNTS, Checkpoints, Rows, Training, read_tensors, seconds, write_tensors

NEW_SHARE, FEW_ROWS = 0.1, 20  # kept aside to watch copies; rows from which on it is
FEW_STEPS = 1000  # below which a warning is due
USUAL_CALLS = 20  # of a denoiser, for a sample
MOMENT_ROWS = 16_384  # rows that `prepare` is given
MOMENT_VALUES = 2**25  # and values, so that large events do not fill the memory


def fit(
    model: Any,
    samples: Samples,
    given: dict[str, Any],
    *,
    seed: int,
    out: str | Path | None,
    resume: bool,
    scaling: Scaling | None,
    moments: Gaussian | None,
    tensorboard: bool,
    watch: Callable[[Any], None] | None,
    watch_copies: bool,
    show: bool,
) -> None:
    """`Family.fit`. given: the settings of the training, those that are not None."""
    if given.get("budget") is not None:
        given["budget"] = seconds(given["budget"])
    folder = Path(out) if out is not None else None
    begun = records.read(folder) if folder is not None and (folder / RECORD).exists() else {}
    given = {name: value for name, value in given.items() if value is not None}
    if resume and begun.get("family") == type(model).__name__:
        given = _as_begun(given, begun.get("training") or {})
    if watch_copies and "validation" not in given:
        given = _with_new_rows(model, samples, given)
    training = _training(model, samples, given)
    if samples.kind not in model.kinds:
        raise BadInput(
            f"{type(model).__name__} learns from {', '.join(model.kinds)}, and {samples.name} is {samples.kind}: give "
            "another kind, or another family"
        )
    model.check_data(samples, training)
    shared = _shared(model, samples, scaling, moments)
    record = records.describe(type(model).__name__, model.settings, samples, training, seed) | shared
    writes = int(os.environ.get("RANK", "0")) == 0  # of several processes, one
    if folder is not None and begun:
        if writes:
            records.refuse_other(folder, record, begun, resume)
        known = begun["settings"]  # what could not be set then is not
        record["settings"] = {name: value for name, value in record["settings"].items() if name in known}
        stages = records.stages(record, begun)
        if stages:
            record["stages"] = stages
        if (folder / WEIGHTS).exists():
            if _amounts(record) == read_tensors(folder / WEIGHTS)[1].get("amounts", _amounts(begun)):
                from_folder(model, folder)
                return
            if not Checkpoints(folder / "checkpoints").paths():
                raise BadInput(f"{folder} keeps no checkpoint to go on from: fit into another folder, with out=")
            for name in DERIVED if writes else ():  # the weights stay until there are others
                (folder / name).unlink(missing_ok=True)
    model.fitted, samples = False, samples.by_weight(seed)
    if scaling is None:
        there = begun.get("scaling")  # as it was found then
        scaling = Scaling.fit(samples, bend=model.bends) if there is None else Scaling.from_dict(there)
    model.scaling = scaling
    model.labels = Labels.of(samples) if model.takes_labels else None
    model.record = record | {"scaling": model.scaling.to_dict()}
    if training is not None:
        model.record["network"] = begun.get("network") if begun else _network(model, training, show)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.key(seed, "weights") & 0x7FFF_FFFF)
        model.build(model.spec)
    model.record["labels"] = None if model.labels is None else model.labels.to_dict()
    most = max(2, min(MOMENT_ROWS, MOMENT_VALUES // math.prod(samples.event_shape)))
    order = torch.randperm(len(samples), generator=rng.generator(seed, "moments"))
    few = order[:most] if samples.block is None else samples.spaced(most)
    known = {} if moments is None else {"moments": copy.deepcopy(moments)}
    model.prepare(model.scaled(samples.batch(few), seed), **known)
    if folder is not None and writes:
        write_atomic(folder / RECORD, records.to_json(model.record))
    look = None if watch is None else partial(_looked_at, model, partial(watch, model))
    clock = {"clock": _clock(model, samples, training, seed)} if watch_copies else {}
    model.learn(samples, training, seed=seed, out=folder, tensorboard=tensorboard, watch=look, show=show, **clock)
    model.fitted = True
    model.eval()
    model.after_training()
    if folder is not None and writes:
        save(model, folder)


def save(model: Any, path: str | Path, *, force: bool = False) -> Path:
    """`Family.save`."""
    model.must_be_fitted()
    if not model.fitted:
        raise BadInput("a model in training is not saved as if it were done: its fit saves checkpoints with out=")
    folder = Path(path)
    if not force and (folder / RECORD).exists() and not records.same(records.read(folder), model.record):
        raise BadInput(f"{folder} holds another run: give another folder, or force=True to replace it")
    write_atomic(folder / RECORD, records.to_json(model.record))
    header = {"format": records.FORMAT, "family": model.record["family"], "amounts": _amounts(model.record)}
    write_tensors(folder / WEIGHTS, model.tensors(), header)
    for name, kind in records.strangers(model.record).items():
        again = f"monge.load({str(folder)!r}, {name}={kind.rpartition('.')[2]}(...))"
        warnings.warn(f"{folder} cannot make its {name} again, a {kind}: load it with {again}", stacklevel=3)
    return folder


def load(family: type, path: str | Path, given: dict[str, Any]) -> Any:
    """`Family.load`."""
    folder = Path(path)
    record = records.read(folder)
    if record["family"] != family.__name__:
        raise BadInput(f"{folder} holds a {record['family']}, not a {family.__name__}")
    if not (folder / WEIGHTS).exists():
        raise BadInput(
            f"the run in {folder} has not finished: go on with it by fitting again with --resume (resume=True)"
        )
    try:
        fresh = family(**records.settings_of(record, folder, given))
    except TypeError as error:
        raise BadInput(
            f"{folder / RECORD} has settings that this version does not know ({error}): fit again"
        ) from error
    return from_folder(fresh, folder)


def from_folder(model: Any, folder: Path) -> Any:
    """The model as the run in a folder ended."""
    model.record = records.read(folder)
    model.scaling = Scaling.from_dict(model.record["scaling"])
    labels = model.record.get("labels")
    model.labels = None if labels is None else Labels.from_dict(labels)
    model.build(model.spec)
    tensors, _ = read_tensors(folder / WEIGHTS)
    try:
        model.restore(tensors)
    except (RuntimeError, KeyError) as error:
        raise BadInput(
            f"{folder / WEIGHTS} does not fit the {RECORD} beside it: one is damaged or of another run; fit again"
        ) from error
    model.fitted = True
    model.eval()
    return model


def _shared(
    model: Any, samples: Samples, scaling: Scaling | None, moments: Gaussian | None
) -> dict[str, dict[str, str]]:
    """What a run shares with another, by its fingerprint; {} for nothing."""
    for given, kind, name in ((scaling, Scaling, "scaling"), (moments, Gaussian, "moments")):
        if given is not None and not isinstance(given, kind):
            raise BadInput(f"{name} are those of another model, first.{name}, not {type(given).__name__}")
    if moments is not None and not model.takes_moments:
        raise BadInput(f"{type(model).__name__} keeps no moments: leave moments= out")
    if moments is not None and scaling is None:
        raise BadInput("moments are in the units of a scaling: give that of the same model, scaling=first.scaling")
    found: dict[str, str] = {}
    if scaling is not None:
        scaling.refuse_other(samples)
        found["scaling"] = scaling.fingerprint
    if moments is not None:
        if tuple(moments.mean.shape) != samples.event_shape:
            raise BadInput(
                f"the moments are of events {list(moments.mean.shape)}, and {samples.name} has "
                f"{list(samples.event_shape)}"
            )
        tensors = [value.detach().cpu().double().numpy().tobytes() for value in moments.state().values()]
        found["moments"] = hashlib.sha256(b"".join(tensors)).hexdigest()[:16]
    found |= model.fingerprints
    return {"shared": found} if found else {}


def _looked_at(model: Any, watch: Callable[[], Any]) -> Any:
    """Let a model in training be used, though it is not fitted."""
    model.looked_at = True
    try:
        return watch()
    finally:
        model.looked_at = False


def _clock(model: Any, samples: Samples, training: Training | None, seed: int) -> CopyingClock:
    assert training is not None
    rows = Rows.of(samples, training.batch_size, seed, training.validation)
    return CopyingClock(model, samples, rows.learned, rows.held_out, seed, partial(_looked_at, model))


def _network(model: Any, training: Training, show: bool) -> dict[str, Any] | None:
    """The size that is chosen, told and described; None where none is."""
    found = model.choose(model.spec, training)
    if found is None:
        return None
    size = objects.describe(found.size)
    say(_told(found, objects.words(size), training), show=show)
    return {"size": size, "seconds_a_step": found.seconds, "weights": found.weights}


def _told(found: Choice, size: str, training: Training) -> str:
    text = f"network: {size}, {found.weights / 1e6:.2g} million weights"
    if found.seconds is not None and training.budget is not None:
        steps = training.budget / found.seconds
        text += f", about {steps:,.0f} steps of {training.batch_size} in the time there is"
        if steps < FEW_STEPS:
            text += f" (few: {FEW_STEPS:,} need about {FEW_STEPS * found.seconds / 60:.0f} minutes)"
    if found.call is not None:
        text += f"; 1,000 samples will take about {1000 * USUAL_CALLS * found.call:.0f} s"
    if found.memory is not None:
        text += f"; {found.memory / 1e9:.1f} GB of memory"
    return text


def _amounts(record: dict[str, Any]) -> list[float | None]:
    """Of training, steps and seconds, that a run was asked for."""
    return [record["training"].get(name) for name in AMOUNTS]


def _training(model: Any, samples: Samples, given: dict[str, Any]) -> Training | None:
    usual: Training | None = model.defaults(samples)
    if usual is None:
        steps = [name for name in given if name != "checkpoint_s"]
        if steps:
            raise BadInput(f"{type(model).__name__} is fitted in closed form, without {', '.join(steps)}")
        return None
    if "budget" in given:
        given = {"steps": None, **given}
    return replace(usual, **_coherent(given))


def _with_new_rows(model: Any, samples: Samples, given: dict[str, Any]) -> dict[str, Any]:
    """Where copies are watched some rows are kept aside, to compare with."""
    usual: Training | None = model.defaults(samples)
    if usual is None:
        raise BadInput(f"{type(model).__name__} is fitted in closed form: there is no time at which it begins to copy")
    if usual.validation or len(samples) < FEW_ROWS:
        return given
    fewer = model.defaults(samples.take(range(len(samples) - math.ceil(NEW_SHARE * len(samples)))))
    return {"validation": NEW_SHARE, "batch_size": fewer.batch_size, **given}


def _as_begun(given: dict[str, Any], was: dict[str, Any]) -> dict[str, Any]:
    """Settings of a training that is gone on with: those that it was begun with, where no others are asked for."""
    given = _coherent(given)
    more = set(AMOUNTS) & set(given)
    kept = [name for name in was if name not in AMOUNTS or not (more or was[name] is None)]
    return {name: was[name] for name in kept if name in Training.__dataclass_fields__} | given


def _coherent(given: dict[str, Any]) -> dict[str, Any]:
    """Where no rows are kept aside there is nothing to be patient for."""
    return {"patience": None, **given} if given.get("validation") == 0 else given
