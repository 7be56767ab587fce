"""model.json: what a run is, written and read."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from monge import objects
from monge.data import Samples
from monge.errors import BadInput
from monge.training import AMOUNTS, Training, further

FORMAT = 3
RECORD, WEIGHTS = "model.json", "weights.safetensors"
NEEDED = ("format", "family", "settings", "data", "scaling")
BESIDE, UNTOLD = "labels, groups and weights", "untold"
SETTING = "setting "  # before the names of settings of a family, which may be those of others


def describe(
    family: str, settings: dict[str, Any], samples: Samples, training: Training | None, seed: int
) -> dict[str, Any]:
    """What is known of a run before it starts. `training` is {} for a fit in closed form."""
    kept = {} if training is None else vars(training)
    return {
        "format": FORMAT,
        "family": family,
        "settings": {name: objects.describe(value) for name, value in settings.items()},
        "data": samples.describe(),
        "seed": seed,
        "training": {name: value for name, value in kept.items() if name not in ("checkpoint_s", "log_every")},
        "versions": {"monge": version("monge"), "torch": torch.__version__, "python": platform.python_version()},
    }


def to_json(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=2) + "\n"


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two records are of one run."""
    return bool(json.loads(to_json(first)) == json.loads(to_json(second)))


def read(folder: Path) -> dict[str, Any]:
    """The record in a run's folder. Raises BadInput if it is missing, damaged or of another format."""
    path = folder / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise BadInput(f"{folder} holds no run ({RECORD} is missing): give the --out of a `monge fit`") from error
    except (ValueError, OSError) as error:
        raise BadInput(f"{path} cannot be read ({error}): it is damaged; fit again") from error
    if record.get("format", FORMAT) > FORMAT:
        raise BadInput(f"{path} has format {record['format']}, and this version reads {FORMAT}: update monge")
    missing = [name for name in NEEDED if name not in record]
    if missing or record["format"] != FORMAT:
        raise BadInput(
            f"{path} is not a run of format {FORMAT} (missing: {', '.join(missing) or 'nothing'}): fit again"
        )
    return record


def refuse_other(folder: Path, record: dict[str, Any], there: dict[str, Any], resume: bool) -> None:
    """Raise BadInput unless the run in `folder`, whose record is `there`, is the one that `record` describes, or more
    of the same training, and may be gone on with."""
    if not resume:
        raise BadInput(f"{folder} holds another run: give another --out, or --resume (resume=True) to go on with it")
    here, there = _identity(record), _identity(there)
    if there[BESIDE] == UNTOLD:  # a run of before it was kept
        del here[BESIDE]
    for name in here:
        if here[name] != there.get(name) and not further(name, here[name], there.get(name)):
            if name in AMOUNTS and None in (here[name], there.get(name)):
                how = next(name for name in AMOUNTS if there.get(name) is not None)
                raise BadInput(
                    f"the run in {folder} was begun with {how}={there[how]:g}: go on with so much or more {how}, or "
                    "give another --out"
                )
            more, told = " or more" if name in AMOUNTS else "", name.removeprefix(SETTING)
            raise BadInput(
                f"the run in {folder} has {told}={there.get(name)}, and you ask for {told}={here[name]}: "
                f"give the same{more} to go on with it, or another --out"
            )


def stages(record: dict[str, Any], there: dict[str, Any]) -> list[float]:
    """The amounts of training, steps or seconds, that a run was asked for before, where `record` asks for more."""
    now, before = record["training"], there["training"]
    more = [before[name] for name in AMOUNTS if further(name, now.get(name), before.get(name))]
    return [*there.get("stages", []), *more]


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(to_json(record))
    names = {name: whole[name] for name in ("family", "seed")} | {"data": whole["data"]["fingerprint"]}
    names[BESIDE] = whole["data"].get("beside", UNTOLD)
    settings = {SETTING + name: value for name, value in whole["settings"].items()}
    return {**names, "shared": whole.get("shared", {}), **settings, **whole["training"]}


def settings_of(record: dict[str, Any], folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that a family was made with: the record's, and objects `given` in place of those it cannot make.

    Raises BadInput if one is missing, or if one is given that the record does not ask for.
    """
    missing = strangers(record)
    for name in given:
        if name not in missing:
            asks = f"it needs {', '.join(missing)}" if missing else "it needs none"
            raise BadInput(f"{folder} does not ask for {name}: {asks}")
    for name, kind in missing.items():
        if name not in given:
            raise BadInput(
                f"the {name} of the run in {folder} is a {kind}, which cannot be made again from the folder: "
                f"load it with monge.load({str(folder)!r}, {name}={kind.rpartition('.')[2]}(...))"
            )
    return {
        name: given[name] if name in given else objects.rebuild(value) for name, value in record["settings"].items()
    }


def strangers(record: dict[str, Any]) -> dict[str, str]:
    """Settings that cannot be made again from the record, and the class of each."""
    found = {name: objects.needed(value) for name, value in record["settings"].items()}
    return {name: kinds[0] for name, kinds in found.items() if kinds}
