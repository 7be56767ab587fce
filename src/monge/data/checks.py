"""What samples must be, and what goes with them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from monge.errors import BadInput


def check_symbols(x: Any, quantum: float | None, limits: tuple[float, float] | None) -> tuple[float, float]:
    """The range of symbols. Raises `BadInput` for what are none, or lie beyond limits that are given."""
    if not isinstance(x, Tensor) or x.dtype.is_floating_point or x.dtype.is_complex or not x.numel():
        came = f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise BadInput(f"sequences are whole numbers [n, T], int64 for instance, and came as {came}")
    if quantum is not None:
        raise BadInput("symbols are not spread over a grid: leave quantum out, or give kind='vectors'")
    low, high = int(x.min()), int(x.max())
    top = high if limits is None else int(limits[1])
    if low < 0 or high > top:
        raise BadInput(f"symbols are whole numbers 0 to {top}, and these are {low} to {high}")
    return (0.0, float(top))


def check_labels(y: Tensor, shape: Sequence[int], n: int, classes: tuple[str, ...] | None) -> None:
    """Raise `BadInput` unless y is a label, a vector, or an event over the same space, for each of n samples."""
    beside = y.ndim == 2 or (y.ndim == len(shape) and y.shape[2:] == tuple(shape[2:]))
    if y.dtype == torch.float32 and beside and len(y) == n and y.shape[1]:
        if not bool(y.isfinite().all()):
            raise BadInput("what goes with the samples holds NaN or infinity: drop or repair those rows")
        return
    if y.shape != (n,) or y.dtype != torch.int64:
        space = "".join(f", {side}" for side in shape[2:])
        image = f", or float32 [{n}, c{space}], an image or field each" if space else ""
        raise BadInput(
            f"labels must be int64 [{n}], one a sample, or float32 [{n}, k], a vector each{image}: they came as "
            f"{y.dtype} {list(y.shape)}"
        )
    if classes is not None and n and not 0 <= int(y.min()) <= int(y.max()) < len(classes):
        raise BadInput(f"labels must lie in 0..{len(classes) - 1}, one for each of {len(classes)} classes")


def at_least_two(n: int, name: str) -> None:
    """Raise `BadInput` for fewer samples than have a variance."""
    if n < 2:
        raise BadInput(f"{name} has {n} sample{'s' * (n != 1)}: at least 2 are needed to learn a law")
