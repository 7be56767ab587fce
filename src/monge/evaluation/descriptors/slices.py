"""Slices: which of sixty equal parts of the real law along directions, columns and radii an event falls in."""

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


def directions(both: Tensor, seed: int) -> Fitted:
    turn, told, mean = _numbers(both, seed)

    def measure(x: Tensor) -> Tensor:
        centred = x - mean
        return torch.cat([centred @ turn, centred.norm(dim=1, keepdim=True)], 1)

    return Fitted(measure, tuple(told))


def slices(real: Tensor, seed: int) -> Fitted:
    edges = torch.quantile(real, torch.linspace(0, 1, PARTS + 1)[1:-1], dim=0).T.contiguous()  # [q, parts - 1]
    starts = PARTS * torch.arange(len(edges))

    def measure(x: Tensor) -> Tensor:
        part = torch.searchsorted(edges, x.T.contiguous())  # [q, n]
        return torch.zeros(len(x), PARTS * len(edges)).scatter_(1, part.T + starts, 1.0)

    return Fitted(measure)


ANY = VALUES.applies
DIRECTIONS = Descriptor("directions", directions, ANY, "n d q", PRINCIPAL.invariances, (VALUES,), alike=True)
SLICES = Descriptor(
    "slices", slices, ANY, f"{PARTS} n q", f"what no slice shows; {PRINCIPAL.invariances}", (DIRECTIONS,)
)


def told_of(part: int, directions: tuple[str, ...]) -> str:
    """Where a part lies.

    >>> told_of(61, ("column 1", "column 2"))
    'ranks 1.67% to 3.33% of column 2'
    """
    number, place = divmod(part, PARTS)
    return f"ranks {100 * place / PARTS:.3g}% to {100 * (place + 1) / PARTS:.3g}% of {directions[number]}"
