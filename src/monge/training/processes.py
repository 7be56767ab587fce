"""One process, or those that torchrun started, whose gradients are averaged."""

import atexit
import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def launched() -> dict[str, Any]:
    """What Fabric is told of them."""
    if not torch.distributed.is_torchelastic_launched():
        return {"devices": 1}
    world, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    return {"strategy": "ddp", "devices": here, "num_nodes": world // here}


def leave_at_the_end() -> None:
    """Take leave of the other processes, or the last of them may die of the silence of the first to end."""
    atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def average_gradients(parameters: Iterable[nn.Parameter], world: int) -> None:
    """The mean of the gradients over processes, in one message."""
    moved = list(parameters)
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in moved]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= world
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for parameter, part in zip(moved, parts, strict=True):
        parameter.grad = part.reshape(parameter.shape)
