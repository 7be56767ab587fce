"""The doors of public functions: what is given becomes what the mathematics takes, or is refused in one line."""

import difflib
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from monge.errors import BadInput

Denoises = TypeVar("Denoises", bound=Callable[..., Tensor])
HALVES = (torch.float16, torch.bfloat16)
SUM_TO_ONE = 1e-4  # weights are taken for float32 ones that were rounded, up to this


def real(x: Any, name: str = "x") -> Tensor:
    """x as a tensor of a real floating dtype: integers and booleans as the default one, arrays and numbers as tensors.

    Raises BadInput for complex numbers, and for what is no array.

    >>> real(torch.tensor([1, 2])).dtype
    torch.float32
    """
    if isinstance(x, Tensor):
        found = x
    elif isinstance(x, int | float | np.ndarray | np.number | list | tuple):
        try:
            found = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"{name} must be an array of numbers: {error}") from error
    else:
        raise BadInput(f"{name} must be a tensor, not {type(x).__name__}")
    if found.is_complex():
        raise BadInput(f"{name} must be real, and is complex: give its real part, or both parts as channels")
    return found if found.is_floating_point() else found.to(torch.get_default_dtype())


def single(x: Tensor) -> Tensor:
    """x in single precision where it has half of it, in which transforms and sums of squares lose themselves."""
    return x.float() if x.dtype in HALVES else x


def finite(x: Any, name: str) -> Tensor:
    """x by `real`, in single precision at least. Raises BadInput where a value is NaN or infinite.

    >>> finite([1.0, float("nan")], "means")
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: means must be finite, and 1 of 2 values is not
    """
    found = single(real(x, name))
    bad = int((~found.isfinite()).sum())
    if bad:
        are = "are" if bad > 1 else "is"
        raise BadInput(f"{name} must be finite, and {bad} of {found.numel():,} values {are} not")
    return found


def events(x: Any, event_shape: tuple[int, ...], name: str = "x") -> Tensor:
    """x by `real`, in single precision at least, if its rows are events of this shape.

    >>> events(torch.zeros(3), (3,))
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: x must be [n, 3], n events of shape [3], not [3]: give x[None] for one event
    """
    found = single(real(x, name))
    if tuple(found.shape[1:]) != event_shape or found.ndim != len(event_shape) + 1:
        told = ", ".join(map(str, event_shape))
        one = f": give {name}[None] for one event" if tuple(found.shape) == event_shape else ""
        raise BadInput(f"{name} must be [n, {told}], n events of shape [{told}], not {list(found.shape)}{one}")
    return found


def noisy(y: Any, sigma: Any) -> tuple[Tensor, Tensor]:
    """Noisy events [n, *event] and their levels as [n]: one number, or one for each row, 0 or more and finite."""
    y = real(y, "y")
    if y.ndim < 2:
        raise BadInput(f"y must be [n, *event], not {list(y.shape)}: give y[None] for one event")
    return y, levels(sigma, y)


def of_noisy(method: Denoises) -> Denoises:
    """A denoiser's `__call__(self, y, sigma)` behind its door: by `noisy`, in single precision where y has half of it,
    in which transforms and sums of squares lose themselves; of no rows there are none."""

    @functools.wraps(method)
    def guarded(self: Any, y: Any, sigma: Any, *more: Any) -> Any:
        y, level = noisy(y, sigma)
        if not len(y):
            return y
        x_hat = method(self, single(y), level, *more)
        return x_hat.to(y.dtype) if y.dtype in HALVES else x_hat

    return cast(Denoises, guarded)


def function(given: Any, told: str) -> None:
    """Raises BadInput for what cannot be called; told: what should have come."""
    if not callable(given):
        raise BadInput(f"{told}, not {type(given).__name__}")


def like(given: Tensor, found: Any, told: str = "the denoiser must return E[x | y] in the shape of y") -> Tensor:
    """What a stranger's function found, if it has the shape of what it was given; told: what should have come.

    >>> like(torch.zeros(2, 3), torch.zeros(2), "a score has the shape of x")
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: a score has the shape of x, [2, 3], not [2]
    """
    if not isinstance(found, Tensor) or found.shape != given.shape:
        came = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise BadInput(f"{told}, {list(given.shape)}, not {came}")
    return found


def two_clouds(x: Any, y: Any, *, least: int = 1, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Two clouds [n, d] and [m, d] by `finite`, of one dimension and of so many rows at least; events are flattened.

    >>> two_clouds(torch.zeros(3, 1), torch.zeros(2, 2))
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: x and y must be of one dimension, not of 1 and 2 values a row
    """
    clouds = []
    for cloud, name in zip((x, y), names, strict=True):
        rows = finite(cloud, name)
        if rows.ndim < 2 or len(rows) < least:
            raise BadInput(f"{name} must be [n, d] with {least} rows or more, not {list(rows.shape)}")
        clouds.append(rows.detach().flatten(1))
    if clouds[0].shape[1] != clouds[1].shape[1]:
        values = " and ".join(str(cloud.shape[1]) for cloud in clouds)
        raise BadInput(f"{names[0]} and {names[1]} must be of one dimension, not of {values} values a row")
    wide = torch.promote_types(clouds[0].dtype, clouds[1].dtype)
    return clouds[0].to(wide), clouds[1].to(wide)


def levels(sigma: Any, y: Tensor, name: str = "sigma") -> Tensor:
    """sigma as [n] for the rows of y; BadInput if it is negative, not finite, or has another length."""
    wide = single(y)
    try:
        level = real(sigma, name).to(wide) if isinstance(sigma, Tensor | np.ndarray) else wide.new_tensor(sigma)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{name} must be a number or a tensor of them, not {type(sigma).__name__}") from error
    if level.ndim > 1 or (level.ndim == 1 and len(level) not in (1, len(y))):
        raise BadInput(f"{name} must be a number or one value for each of {len(y)} rows, not {list(level.shape)}")
    if not (isinstance(sigma, Tensor) and sigma.device.type != "cpu"):  # elsewhere the question would wait
        wrong = level[~((level >= 0) & (level < math.inf))]
        if len(wrong):
            raise BadInput(f"a noise level must be zero or more, and finite, not {float(wrong[0]):g}")
    return level.expand(len(y))


def whole(value: Any, name: str, least: int = 1) -> int:
    """A whole number, of `least` or more; BadInput for another.

    >>> whole(10.0, "n"), whole(True, "n")
    (10, 1)
    """
    if not isinstance(value, int | float | np.integer | np.floating) or value != value or value != int(value):
        raise BadInput(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise BadInput(f"{name} must be {least} or more, not {value}")
    return int(value)


def number(value: Any, name: str, told: str, *, most: float = math.inf) -> float:
    """A finite number from 0 to `most`; BadInput, with what it is told to be, for another.

    >>> number(1, "rtol", "rtol must be 0 or more")
    1.0
    """
    real_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real_number or not 0 <= value <= most or value == math.inf:
        raise BadInput(f"{told}, not {value!r}")
    return float(value)


def options(given: Iterable[str] | Mapping[str, Any], known: Iterable[str], of: str) -> None:
    """Raises BadInput for a name that is not known, with the nearest that is.

    >>> options({"darws": 10}, ["draws", "chains"], "hmc")
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: hmc has no option darws: did you mean draws? It takes draws, chains
    """
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            told = f"did you mean {near[0]}? It takes " if near else "it takes "
            raise BadInput(f"{of} has no option {name}: {told}{', '.join(known)}")


def one_of(value: Any, known: Iterable[Any], name: str) -> None:
    """Raises BadInput for a value that is none of these."""
    known = [str(each) for each in known]
    if str(value) not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        told = f": did you mean {near[0]}?" if near else ""
        raise BadInput(f"{name} must be one of {', '.join(known)}, not {value!r}{told}")
