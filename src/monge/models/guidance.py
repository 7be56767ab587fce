"""Labels that are sometimes not told, so that a label can be led to (Ho and Salimans 2022; course (21))."""

import math
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from monge.data import Labels
from monge.doors import number
from monge.errors import BadInput
from monge.training import Batch


def told_to_some(labels: Labels | None, batch: Batch, dropout: float) -> Shaped[Tensor, " n *k"] | None:
    """The labels of a batch as networks take them, but of a share of its rows none; None where there are none."""
    if labels is None or batch.y is None:
        return None
    forgotten = torch.rand(len(batch.y), generator=batch.generator, device=batch.generator.device) < dropout
    return labels.dropped(labels.scaled(batch.y), forgotten)


def check_dropout(share: Any) -> None:
    """Raise BadInput for what is no share of the rows that are not told their labels."""
    number(share, "label_dropout", "label_dropout is a share of the rows, 0 to 1", most=1.0)


def check_guidance(model: Any, guidance: Any, label: Any) -> None:
    """Raise BadInput for a guidance that there cannot be."""
    if not isinstance(guidance, int | float) or not math.isfinite(guidance):
        raise BadInput(f"guidance is a finite number, 0 for none, not {guidance!r}")
    if guidance and (label is None or model.labels is None):
        raise BadInput("guidance leads to a label: give one, of a model that was trained with labels")
    if guidance and not model.settings["label_dropout"]:
        raise BadInput("guidance needs the law of all rows: fit with label_dropout above 0")
