"""Rows that do not count the same: as often as they weigh, to learn from, or left out at random, to judge by."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge import rng
from monge.errors import BadInput


def check(weights: Float[Tensor, " n"], name: str) -> None:
    """Raise BadInput for weights that are negative, NaN, infinite or all zero."""
    wrong = ~(weights.isfinite() & (weights >= 0))
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        raise BadInput(f"{name}: the weight of row {at + 1} is {float(weights[at]):g}, and weights are 0 or more")
    if not bool((weights > 0).any()):
        raise BadInput(f"{name}: all weights are 0, so that nothing is left: give some rows a weight")


def worth(weights: Float[Tensor, " n"]) -> float:
    """How many rows that count the same are worth as many: (sum w)^2 / sum w^2 (Kish 1965).

    >>> worth(torch.tensor([1.0, 1.0, 0.0]).double())
    2.0
    """
    return float(weights.sum().square() / weights.square().sum())


def as_often(weights: Float[Tensor, " n"], seed: int = 0) -> Int[Tensor, " n"]:
    """n rows in order, each n w / sum w times, rounded up or down at random so that this is the mean: systematic
    resampling.

    >>> as_often(torch.tensor([3.0, 0.0, 1.0, 0.0]).double()).tolist()
    [0, 0, 0, 2]
    """
    n = len(weights)
    ends = (weights.double().cumsum(0) / weights.double().sum()) * n
    places = torch.arange(n) + rng.uniform((1,), seed, "data", "weights").double()
    return torch.searchsorted(ends, places, right=True).clamp(max=int(weights.nonzero().max()))


def kept(weights: Float[Tensor, " n"], seed: int = 0) -> Int[Tensor, " m"]:
    """Rows, in order, each with a chance of w / max w: independent ones of the law that is meant, none of them twice.

    >>> kept(torch.tensor([1.0, 0.0, 1.0]).double()).tolist()
    [0, 2]
    """
    chance = rng.uniform((len(weights),), seed, "data", "kept by weight").double()
    return (chance * weights.double().max() < weights.double()).nonzero()[:, 0]
