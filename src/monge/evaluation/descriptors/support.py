"""Where the law lives: values that occur again and again, the range, and what lies beyond it."""

import torch
from jaxtyping import Float
from torch import Tensor

from monge.evaluation.descriptors.base import Descriptor, Fitted, kinds

ATOMS, LEAST = 8, 0.01  # values of a channel, and the share of its sites that each must hold
MOST = 64  # columns
SAME = 1e-6
BEYOND = 1e-3  # of the range: values that leave it by less are rounding


def support(real: Tensor, seed: int) -> Fitted:
    """For each channel or column (the first 64): the share of each of up to eight atoms, values that at least 1% of
    real sites hold; the shares beyond the range of real values; and of fields the minimum and the maximum."""
    columns = min(MOST, real.shape[1])
    table = real[:, :columns].transpose(0, 1).flatten(1)
    low, high = table.min(1).values, table.max(1).values
    slack = BEYOND * (high - low)
    low, high = low - slack, high + slack
    held = [(c, value) for c in range(columns) for value in atoms(table[c])]
    spatial = real.ndim > 2

    def measure(x: Tensor) -> Tensor:
        values = x[:, :columns].flatten(2) if spatial else x[:, :columns, None]
        found = [(values < low[:, None]).float().mean(2), (values > high[:, None]).float().mean(2)]
        if spatial:
            found += [values.amin(2), values.amax(2)]
        for c, value in held:
            found.append(((values[:, c] - value).abs() <= SAME * (1 + abs(value))).float().mean(1, keepdim=True))
        return torch.cat(found, 1)

    told = [f"column {c + 1}" for c in range(columns)] if not spatial else [f"channel {c + 1}" for c in range(columns)]
    told = told if columns > 1 else ["values"]
    whats = ("below the range of", "above the range of", *(("minimum of", "maximum of") if spatial else ()))
    names = [f"{what} {name}" for what in whats for name in told]
    return Fitted(measure, (*names, *(_share_of(value, told[c], columns) for c, value in held)))


def _share_of(value: float, channel: str, columns: int) -> str:
    return f"share of value {value:.6g}" + (f" in {channel}" if columns > 1 else "")


def atoms(values: Float[Tensor, " n"]) -> list[float]:
    """Up to eight values that at least 1% of all are equal to, those of most first.

    >>> atoms(torch.tensor([0.5, 2.0, 0.0, 0.0, 2.0, 0.0]))
    [0.0, 2.0]
    """
    found, counts = torch.unique(values, return_counts=True)
    kept = (counts >= max(2.0, LEAST * len(values))).nonzero().flatten()
    return [float(value) for value in found[kept[counts[kept].argsort(descending=True, stable=True)[:ATOMS]]]]


SUPPORT = Descriptor("support", support, kinds(vectors=True, spatial=True), "10 n d", "places of values in an event")
