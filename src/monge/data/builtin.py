"""Data that come with the package, by name: two real sets, and simulators."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch

from monge import rng
from monge.data.fields import c_alpha, gaussian_field
from monge.data.planar import banana, checkerboard, moons, pinwheel, rings
from monge.data.samples import Samples
from monge.errors import BadInput


def digits() -> Samples:
    """1,797 handwritten digits, [1797, 1, 8, 8], integers 0..16, labels 0..9.

    They are scikit-learn's `load_digits`. Each pixel counts the ink in a 4x4 block of a bitmap (Alpaydin
    and Kaynak, UCI, 1998).

    >>> digits().limits, digits().quantum
    ((0.0, 16.0), 1.0)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images.astype(np.float32))[:, None]
    y = torch.from_numpy(bunch.target.astype(np.int64))
    names = tuple(str(digit) for digit in range(10))
    return Samples(x, y, "images", "digits", classes=names, quantum=1.0, limits=(0.0, 16.0))


def patches(n: int | None = None, seed: int = 0, *, size: int = 16) -> Samples:
    """Gray patches of scikit-learn's two photographs, [n, 1, size, size], integers 0..255.

    The label is the photograph. Gray is 0.299 R + 0.587 G + 0.114 B, rounded. Patches tile each photograph
    from an offset that the seed chooses, so no two overlap, and come in an order that the seed chooses;
    n=None gives all (2,080 of 16x16).

    >>> patches(100, size=8).x.shape
    torch.Size([100, 1, 8, 8])
    """
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    if not 2 <= size <= min(min(photo.shape[:2]) for photo in bunch.images):
        raise BadInput(f"patches of size {size}: give a size between 2 and the photographs' height of 427")
    cut, owners = [], []
    for which, photo in enumerate(bunch.images):
        gray = torch.from_numpy(np.rint(photo @ np.array([0.299, 0.587, 0.114]))).float()
        spare = torch.tensor([side % size + 1 for side in gray.shape])
        top, left = (rng.uniform((1, 2), seed, "data", "patches", which)[0] * spare).long().tolist()
        tiles = gray[top:, left:].unfold(0, size, size).unfold(1, size, size).reshape(-1, 1, size, size)
        cut.append(tiles)
        owners.append(torch.full((len(tiles),), which))
    x, y = torch.cat(cut), torch.cat(owners)
    n = len(x) if n is None else n
    if not 2 <= n <= len(x):
        raise BadInput(f"n={n} patches were asked: the photographs hold 2 to {len(x)} of size {size} without overlap")
    order = torch.randperm(len(x), generator=rng.generator(seed, "data", "patches", "order"))[:n]
    classes = tuple(Path(name).stem for name in bunch.filenames)
    return Samples(x[order], y[order], "images", "patches", classes=classes, quantum=1.0, limits=(0.0, 255.0))


SOURCES = (digits, patches, rings, moons, banana, checkerboard, pinwheel, gaussian_field, c_alpha)
BUILTINS: dict[str, Callable[..., Samples]] = {source.__name__.replace("_", "-"): source for source in SOURCES}


def builtin(text: str) -> Samples | None:
    """The built-in data that `name?option=value&...` asks for, None if the name is not built in.

    Options are the function's own arguments; a shape is written 32x32. Raises `BadInput` for an unknown or
    malformed option.

    >>> builtin("gaussian-field?shape=8x8x8&n=3").x.shape
    torch.Size([3, 1, 8, 8, 8])
    """
    name, _, query = text.partition("?")
    if name not in BUILTINS:
        return None
    allowed = inspect.signature(BUILTINS[name]).parameters
    options: dict[str, Any] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in allowed:
            has = f"{name} has {', '.join(allowed)}" if allowed else f"{name} has none"
            raise BadInput(f"{text!r} has an unknown option {option!r}: {has}")
        options[option] = _value(text, option, value, allowed[option].default)
    made = BUILTINS[name](**options)
    return Samples(
        made.x,
        made.y,
        made.kind,
        made.name,
        classes=made.classes,
        quantum=made.quantum,
        limits=made.limits,
        source=text,
    )


def _value(text: str, option: str, value: str, default: object) -> int | float | tuple[int, ...]:
    try:
        if isinstance(default, tuple):
            return tuple(int(side) for side in value.split("x"))
        number = float(value) if isinstance(default, float) else int(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    except ValueError as error:
        kind = "sides as in 32x32" if isinstance(default, tuple) else f"a number as in {default or 1}"
        raise BadInput(f"{text!r}: option {option} is {value!r}, give {kind}") from error
