"""The one loop over objectives."""

from monge.training.checkpoint import Checkpoints, read_tensors, write_tensors
from monge.training.loop import train
from monge.training.objectives import Batch, Loss, Objective
from monge.training.settings import DEFAULT_STEPS, AdamW, Training, constant, cosine, seconds

__all__ = [
    "DEFAULT_STEPS",
    "AdamW",
    "Batch",
    "Checkpoints",
    "Loss",
    "Objective",
    "Training",
    "constant",
    "cosine",
    "read_tensors",
    "seconds",
    "train",
    "write_tensors",
]
