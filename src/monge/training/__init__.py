"""The one loop over objectives."""

from monge.training.checkpoint import Checkpoints, read_tensors, write_tensors
from monge.training.clock import Clock
from monge.training.loop import train
from monge.training.muon import Muon, orthogonal
from monge.training.objectives import Batch, Loss, Objective
from monge.training.rows import Rows
from monge.training.settings import (
    AMOUNTS,
    DEFAULT_STEPS,
    HALF,
    AdamW,
    Training,
    constant,
    cosine,
    fastest_precision,
    further,
    seconds,
)

__all__ = [
    "AMOUNTS",
    "DEFAULT_STEPS",
    "HALF",
    "AdamW",
    "Batch",
    "Checkpoints",
    "Clock",
    "Loss",
    "Muon",
    "Objective",
    "Rows",
    "Training",
    "constant",
    "cosine",
    "fastest_precision",
    "further",
    "orthogonal",
    "read_tensors",
    "seconds",
    "train",
    "write_tensors",
]
