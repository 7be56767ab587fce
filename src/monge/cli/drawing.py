"""Drawing samples from a model, and writing them."""

import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from monge.errors import BadInput
from monge.files import write_atomic
from monge.models import Family


def draw(model: Family, n: int, seed: int, **given: Any) -> Tensor:
    """Samples [n, *event]; options that are None are left to the model. Raises BadInput for one it does not have."""
    has = inspect.signature(model.sample).parameters
    asked = {name: value for name, value in given.items() if value is not None}
    for name in asked:
        if name not in has:
            raise BadInput(f"{type(model).__name__} has no --{name.replace('_', '-')}: leave it out")
    if "label" in asked and model.labels is not None and model.labels.features:
        asked["label"] = _numbers(asked["label"])
    if "show" in has:
        asked["show"] = True
    drawn: Tensor = model.sample(n, seed=seed, **asked)
    return drawn


def _numbers(text: str) -> list[float]:
    """The vector that a text lists."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(f"the run was trained with vectors: give --label numbers such as 0.5,1, not {text}") from error


def write_samples(path: Path, x: Tensor, **about: float | str | None) -> None:
    """An .npz with x [n, *event] in data units, and how it was drawn."""
    content = io.BytesIO()
    known = {name: np.asarray(value) for name, value in about.items() if value is not None}
    np.savez(content, allow_pickle=False, x=x.numpy(), **known)
    write_atomic(path, content.getvalue())


def how_drawn(path: Path) -> dict[str, Any]:
    """What `write_samples` was told of the samples: seed, nfe, alpha, label; empty for a file of another origin."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name].item() for name in ("seed", "nfe", "alpha", "label") if name in archive}
