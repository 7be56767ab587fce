"""Data on which a likelihood would grow without bound, told before any training."""

import math
import warnings

import torch
from torch import Tensor

from monge.data import Samples
from monge.errors import BadInput

ROWS = 65_536  # evenly spaced rows that are looked at
SPIKE = 0.05  # share of the rows at one value of a column that is no accident in continuous data


def refuse_singular(samples: Samples) -> None:
    """Raise BadInput where the law has no density that a likelihood could find, and warn of atoms.

    Refused: no more rows than values, so that all rows lie in a subspace; a column that never varies. Quantised data
    have neither: they are spread over their grid step.
    """
    if samples.quantum is not None:
        return
    size = math.prod(samples.event_shape)
    if len(samples) <= size:
        raise BadInput(
            f"{len(samples)} rows of {size} values lie in a subspace, where a likelihood grows without bound: give "
            "more rows than values"
        )
    picked = torch.linspace(0, len(samples) - 1, min(len(samples), ROWS), dtype=torch.float64).round().long()
    x = samples.batch(picked).flatten(1)
    constant = (x == x[:1]).all(0).nonzero().flatten().tolist()
    if constant:
        raise BadInput(
            f"column{'s' * (len(constant) > 1)} {', '.join(map(str, constant[:5]))} of {samples.name} never var"
            f"{'y' if len(constant) > 1 else 'ies'}: a likelihood grows without bound there; leave out what is constant"
        )
    spread = [c for block in (samples.code.blocks if samples.code else ()) for c in range(*block)]  # texts
    kept = torch.tensor([c for c in range(x.shape[1]) if c not in set(spread)], dtype=torch.int64)
    if not len(kept):
        return
    place, value, share = _largest_atom(x[:, kept])
    column = int(kept[place])
    if share > SPIKE:
        warnings.warn(
            f"column {column} of {samples.name} is {value:g} in {share:.0%} of the rows: at such atoms a likelihood "
            "grows without bound and says little; if the values lie on a grid, give Samples(..., quantum=step), which "
            "spreads them over it",
            stacklevel=3,
        )


def _largest_atom(x: Tensor) -> tuple[int, float, float]:
    """The column, value and share of rows of the value that comes most often in a column."""
    ordered = x.sort(0).values
    rows = torch.arange(len(x))[:, None].expand_as(ordered)
    fresh = torch.cat([torch.ones(1, x.shape[1], dtype=torch.bool), ordered[1:] != ordered[:-1]])
    start = torch.where(fresh, rows, 0).cummax(0).values
    run, at = (rows - start + 1).max(0)
    column = int(run.argmax())
    return column, float(ordered[at[column], column]), float(run[column]) / len(x)
