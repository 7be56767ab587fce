"""The data of a run, cut again as they were when it was fitted."""

from pathlib import Path
from typing import Any

from monge import data
from monge.data import Samples
from monge.errors import BadInput
from monge.runs.folder import Run


def load_like(source: str | Path, kind: str, event_shape: tuple[int, ...], **reading: Any) -> Samples:
    """Samples from a file or a built-in; where its axes can be read in two ways, as this kind and shape.

    reading: how else it is read, as `load` has it.

    Samples that are all the same are let in: a collapsed generator is to be judged, not refused.
    """
    samples = data.load(source, varying=False, **reading)
    if samples.event_shape == event_shape or str(source).partition("?")[0] in data.BUILTINS:
        return samples
    return data.load(source, kind=kind, varying=False, **reading)


def split_again(run: Run, moved_to: str | None = None) -> tuple[Samples, Samples]:
    """The run's data, cut as they were when it was fitted: (those it learned from, those held out).

    They are looked for where they were, as it was written and as it was resolved; moved_to says where they are now.

    Raises BadInput if they cannot be found, if none were held out, or if they are not the same any more.
    """
    about = run.record()["data"]
    source, split = about.get("source"), about.get("split")
    if source is None:
        raise BadInput(f"the run in {run.folder} was fitted to an array: give --generated and --holdout to audit it")
    if split is None:
        raise BadInput(f"the run in {run.folder} was fitted to all of {source}: give --generated and a --holdout")
    where = moved_to or _found(source, about, run)
    train, holdout = _cut(
        load_like(where, about["kind"], tuple(about["event_shape"]), **about.get("reading", {})), split
    )
    if train.fingerprint != about["fingerprint"]:
        raise BadInput(
            f"{source} is not what the run in {run.folder} was fitted to (its fingerprint differs): restore the data, "
            "or fit again"
        )
    return train, holdout


def _found(source: str, about: dict[str, Any], run: Run) -> str:
    """The source as it was given, or else the path that it stood for."""
    path, resolved = Path(source.partition("#")[0]), about.get("path")
    if source.partition("?")[0] in data.BUILTINS or path.exists() or resolved is None:
        return source
    if Path(resolved.partition("#")[0]).exists():
        return str(resolved)
    raise BadInput(f"the data that the run in {run.folder} was fitted to are not at {resolved}: say where with --data")


def _cut(whole: Samples, split: dict[str, Any]) -> tuple[Samples, Samples]:
    """(the part that a split record names, the other one)."""
    if split["of"] is not None:
        whole, _ = _cut(whole, split["of"])
    train, holdout = whole.split(split["fraction"], split["seed"])
    return (train, holdout) if split["part"] == "train" else (holdout, train)
