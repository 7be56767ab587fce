"""Two models of disjoint halves, given the same noise: do they agree with each other, or with what they learned from?

Kadkhodaie, Guth, Simoncelli and Mallat, *Generalization in diffusion models arises from geometry-adaptive harmonic
representations* (2024), figure 13 of the course.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monge.doors import finite
from monge.errors import BadInput
from monge.evaluation.statistics.memorisation import Closeness, near_copies
from monge.linalg.pairwise import COPY_RATIO, nearest

LOCAL = 10  # of a row's neighbours, by whose distance is told what is near


class Alike(NamedTuple):
    """How like another event each is: the cosine, of what is left where the mean of the training rows is taken away,
    and the distance, in the root mean square distance of training rows from their mean."""

    cosine: Float[Tensor, "*rows"]
    distance: Float[Tensor, "*rows"]


class Twins(NamedTuple):
    """What two models, each of n rows, make of the same k starts; the first axis of two is that of the models.

    twin: the two samples of a start. own, other: each sample and the row nearest to it of its own training set, and of
    the other's; nearest, the number of the first. held_out: new real rows and the nearest of each training set.
    copied, held_out_copied: whether the nearest row is nearer than a third of the distance to the second nearest.
    near: of each model the audit's share of samples that are nearer to training rows than all but 5% of new real rows.
    """

    n: int
    twin: Alike  # [k]
    own: Alike  # [2, k]
    other: Alike  # [2, k]
    held_out: Alike  # [2, m]
    nearest: Int[Tensor, "2 k"]
    copied: Bool[Tensor, "2 k"]
    held_out_copied: Bool[Tensor, "2 m"]
    near: tuple[Closeness, Closeness]

    @property
    def nearer_to_twin(self) -> Bool[Tensor, "2 k"]:
        """Whether a sample is nearer to its twin than to all that its model learned from."""
        return self.twin.distance < self.own.distance


class _Near(NamedTuple):
    alike: Alike
    nearest: Tensor
    copied: Tensor


def twins(a: Any, b: Any, train_a: Any, train_b: Any, held_out: Any) -> Twins:
    """Compare samples of two models, row by row, with each other and with what they learned from.

    a, b: [k, *event], sample i of both begun at the same noise. train_a, train_b: [n, *event], disjoint, without
    repeats (see `distinct`). held_out: [m, *event] real rows that neither learned from. All on one scale.

    Raises BadInput for values that are not finite, events of another shape, other numbers of samples, and fewer than
    two training or held-out rows.

    >>> rows = torch.eye(6)
    >>> found = twins(rows[:2], rows[2:4], rows[:2], rows[2:4], rows[4:])
    >>> found.copied.all().item(), round(found.own.cosine.mean().item(), 6), found.nearer_to_twin.any().item()
    (True, 1.0, False)
    """
    given = {"a": a, "b": b, "train_a": train_a, "train_b": train_b, "held_out": held_out}
    rows = {name: finite(torch.as_tensor(value), name) for name, value in given.items()}
    shape = tuple(rows["a"].shape[1:])
    for name, value in rows.items():
        if tuple(value.shape[1:]) != shape:
            raise BadInput(f"{name} has events {list(value.shape[1:])}, and a has {list(shape)}: give one shape")
        if len(value) < 2:
            raise BadInput(f"{name} has {len(value)} rows, and twins are compared by two or more of each")
    if len(rows["a"]) != len(rows["b"]):
        raise BadInput(f"twins are compared row by row, and a has {len(rows['a'])} rows, b {len(rows['b'])}")
    x, y, mine, theirs, real = (value.flatten(1).double() for value in rows.values())
    mean = torch.cat([mine, theirs]).mean(0)
    x, y, mine, theirs, real = (value - mean for value in (x, y, mine, theirs, real))
    unit = float(torch.cat([mine, theirs]).square().sum(1).mean().sqrt()) or 1.0
    sides = ((x, mine), (y, theirs))
    own = [_near(sample, learned, unit) for sample, learned in sides]
    other = [_near(sample, learned, unit).alike for sample, learned in ((x, theirs), (y, mine))]
    held = [_near(real, learned, unit) for _, learned in sides]
    near = [near_copies(found.alike.distance, new.alike.distance) for found, new in zip(own, held, strict=True)]
    return Twins(
        len(mine),
        _alike(x, y, unit),
        _both([found.alike for found in own]),
        _both(other),
        _both([found.alike for found in held]),
        torch.stack([found.nearest for found in own]),
        torch.stack([found.copied for found in own]),
        torch.stack([found.copied for found in held]),
        (near[0], near[1]),
    )


def distinct(rows: Float[Tensor, "n *event"], *, near: bool = False) -> Int[Tensor, " m"]:
    """The numbers of rows none of which repeats another: the first of those that are equal, and, where asked, of those
    that are joined by less than a third of the distance to either one's tenth neighbour, as are frames of a film.

    >>> distinct(torch.tensor([[1.0], [2.0], [1.0]])).tolist()
    [0, 1]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    flat = rows.flatten(1)
    _, first = np.unique(flat.numpy(), axis=0, return_index=True)
    kept = torch.from_numpy(np.sort(first))
    if not near or len(kept) <= LOCAL:
        return kept
    found = nearest(flat[kept], flat[kept], LOCAL, skip_self=True)
    close = found.distance < COPY_RATIO * found.distance[:, -1:]
    row, place = close.nonzero(as_tuple=True)
    edges = (np.ones(len(row), dtype=bool), (row.numpy(), found.indices[row, place].numpy()))
    kind = connected_components(coo_matrix(edges, shape=2 * [len(kept)]), directed=False)[1]
    return kept[torch.from_numpy(np.sort(np.unique(kind, return_index=True)[1]))]


def _near(x: Tensor, learned: Tensor, unit: float) -> _Near:
    """Each row and the nearest of those that were learned."""
    found = nearest(x, learned, 2)
    nearest_rows = learned[found.indices[:, 0]]
    return _Near(_alike(x, nearest_rows, unit), found.indices[:, 0], found.copies)


def _alike(x: Tensor, y: Tensor, unit: float) -> Alike:
    tiny = torch.finfo(x.dtype).tiny
    cosine = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(tiny)
    return Alike(cosine, (x - y).norm(dim=1) / unit)


def _both(parts: list[Alike]) -> Alike:
    return Alike(torch.stack([part.cosine for part in parts]), torch.stack([part.distance for part in parts]))
