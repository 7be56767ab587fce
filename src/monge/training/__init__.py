"""The one loop over objectives."""

from monge.training.checkpoint import Checkpoints, read_tensors, write_tensors
from monge.training.loop import train
from monge.training.objectives import Batch, Objective
from monge.training.settings import DEFAULT_STEPS, Training, seconds

__all__ = [
    "DEFAULT_STEPS",
    "Batch",
    "Checkpoints",
    "Objective",
    "Training",
    "read_tensors",
    "seconds",
    "train",
    "write_tensors",
]
