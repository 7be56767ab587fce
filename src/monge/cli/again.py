"""The data of a run, cut again as they were when it was fitted."""

from pathlib import Path
from typing import Any

from monge import data
from monge.cli.runs import Run
from monge.data import Samples
from monge.errors import BadInput


def load_like(source: str | Path, kind: str, event_shape: tuple[int, ...]) -> Samples:
    """Samples from a file or a built-in; where its axes can be read in two ways, as this kind and shape."""
    samples = data.load(source)
    if samples.event_shape == event_shape or str(source).partition("?")[0] in data.BUILTINS:
        return samples
    return data.load(source, kind=kind)


def split_again(run: Run) -> tuple[Samples, Samples]:
    """The run's data, cut as they were when it was fitted: (those it learned from, those held out).

    Raises BadInput if they cannot be found, if none were held out, or if they are not the same any more.
    """
    about = run.record()["data"]
    source, split = about.get("source"), about.get("split")
    if source is None:
        raise BadInput(f"the run in {run.folder} was fitted to an array: give --generated and --holdout to audit it")
    if split is None:
        raise BadInput(f"the run in {run.folder} was fitted to all of {source}: give --generated and a --holdout")
    train, holdout = _cut(load_like(source, about["kind"], tuple(about["event_shape"])), split)
    if train.fingerprint != about["fingerprint"]:
        raise BadInput(
            f"{source} is not what the run in {run.folder} was fitted to (its fingerprint differs): restore the data, "
            "or fit again"
        )
    return train, holdout


def _cut(whole: Samples, split: dict[str, Any]) -> tuple[Samples, Samples]:
    """(the part that a split record names, the other one)."""
    if split["of"] is not None:
        whole, _ = _cut(whole, split["of"])
    train, holdout = whole.split(split["fraction"], split["seed"])
    return (train, holdout) if split["part"] == "train" else (holdout, train)
