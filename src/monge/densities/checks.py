"""Checks at the door of a density."""

import torch
from torch import Tensor

from monge.errors import BadInput


def events(x: Tensor, event_shape: tuple[int, ...]) -> Tensor:
    """x, if its rows are events of this shape; else BadInput."""
    if tuple(x.shape[1:]) != event_shape or x.ndim != len(event_shape) + 1:
        raise BadInput(f"this law is on events of shape {list(event_shape)}: give [n, ...], not {list(x.shape)}")
    return x


def levels(sigma: Tensor | float, y: Tensor) -> Tensor:
    """sigma as [n] for the rows of y; BadInput if it is negative or has another length."""
    level = torch.as_tensor(sigma, dtype=y.dtype, device=y.device)
    if level.ndim > 1 or (level.ndim == 1 and len(level) not in (1, len(y))):
        raise BadInput(f"sigma must be a number or one value for each of {len(y)} rows, not {list(level.shape)}")
    if not (level >= 0).all():
        raise BadInput("a noise level must be zero or more, and finite")
    return level.expand(len(y))
