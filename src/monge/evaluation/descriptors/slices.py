"""Slices: which of sixty equal parts of both sides together, along directions, columns and radii, an event falls in."""

import torch
from torch import Tensor

from monge import rng
from monge.evaluation.descriptors.base import Descriptor, Fitted
from monge.evaluation.descriptors.values import PRINCIPAL, VALUES, principal_axes

PARTS = 60
COLUMNS, LEADING, RANDOM = 16, 8, 6  # columns of vectors of so few, leading directions, random ones
RADII = 1


def _numbers(real: Tensor, seed: int) -> tuple[Tensor, list[str], Tensor]:
    """Directions [d, q], what numbers are called, and the mean [d]."""
    mean, axes, deviation = principal_axes(real)
    white = (axes / deviation).float()
    k, d = white.shape[1], real.shape[1]
    columns = torch.eye(d) if d <= COLUMNS else torch.zeros(d, 0)
    random = white @ torch.nn.functional.normalize(rng.normal((k, RANDOM), seed, "slices"), dim=0)
    leading = white[:, :LEADING]
    told = [f"column {i + 1}" for i in range(columns.shape[1])]
    told += [f"direction {i + 1}" for i in range(leading.shape[1])] + [f"mixture {i + 1}" for i in range(RANDOM)]
    return torch.cat([columns, leading, random], 1), [*told, "distance from the mean"], mean.float()


def slices(real: Tensor, seed: int) -> Fitted:
    turn, told, mean = _numbers(real, seed)

    def numbers(x: Tensor) -> Tensor:
        centred = x - mean
        return torch.cat([centred @ turn, centred.norm(dim=1, keepdim=True)], 1)

    table = numbers(real)
    levels = torch.linspace(0, 1, PARTS + 1)[1:-1]
    edges = torch.quantile(table, levels, dim=0).T.contiguous()  # [q, parts - 1]

    def measure(x: Tensor) -> Tensor:
        part = torch.searchsorted(edges, numbers(x).T.contiguous())  # [q, n]
        starts = PARTS * torch.arange(len(told))
        return torch.zeros(len(x), PARTS * len(told)).scatter_(1, part.T + starts, 1.0)

    share = 100 / PARTS
    names = (f"ranks {share * p:.3g}% to {share * (p + 1):.3g}% of {name}" for name in told for p in range(PARTS))
    return Fitted(measure, tuple(names))


SLICES = Descriptor(
    "slices", slices, VALUES.applies, f"{PARTS} n q", f"what no slice shows; {PRINCIPAL.invariances}", (VALUES,), True
)
