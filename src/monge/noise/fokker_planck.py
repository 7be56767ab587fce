"""The Fokker-Planck equation on a grid (106): what a stochastic differential equation does to a law, exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from monge.errors import BadInput

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evolution:
    """Densities on a grid of cells. t: [k]. sides: the cells' centres, by axis. p: [k, *cells], of integral 1."""

    t: Array
    sides: tuple[Array, ...]
    p: Array

    @property
    def volume(self) -> float:
        """Of a cell."""
        return float(np.prod([side[1] - side[0] for side in self.sides]))

    def kl(self, log_p: Callable[[Tensor], Tensor]) -> Array:
        """KL of the densities to a law, [k], in nats: log_p, up to a constant, is normalised on the grid."""
        target = log_p(centres(self.sides)).double().numpy().reshape(self.p.shape[1:])
        target = target - target.max() - np.log(np.exp(target - target.max()).sum() * self.volume)
        ratio = np.log(np.maximum(self.p, 1e-300)) - target
        found: Array = np.where(self.p > 0, self.p * ratio, 0.0).reshape(len(self.p), -1).sum(1) * self.volume
        return found


def fokker_planck(
    drift: Callable[[Tensor], Tensor],
    sigma: float,
    start: Callable[[Tensor], Tensor],
    low: Sequence[float],
    high: Sequence[float],
    cells: Sequence[int],
    t: float,
    *,
    steps: int = 100,
) -> Evolution:
    """dp/dt = -div(p V) + sigma^2/2 Laplacian p on a box that lets nothing out, in 1 or 2 dimensions.

    Fluxes between cells are Scharfetter and Gummel's (1969), exact for a drift that is constant across a face; time
    steps are implicit. So mass is kept to rounding and densities stay positive, whatever the step; the error is of
    second order in the cells and of first in the steps.

    drift: V, x [m, d] -> [m, d]. start: the density at time 0 up to a constant, x [m, d] -> [m]. low, high, cells:
    of the box, a number for each dimension. t: the end.

    Raises BadInput for sizes that do not fit, sigma <= 0, a start without mass, and a drift of another shape.

    >>> relaxed = fokker_planck(lambda x: -x, 2**0.5, lambda x: (-8 * (x[:, 0] - 1) ** 2).exp(), [-6], [6], [240], 5.0)
    >>> round(float(relaxed.kl(lambda x: -x[:, 0] ** 2 / 2)[-1]), 3)
    0.0
    """
    d = len(cells)
    if d not in (1, 2) or len(low) != d or len(high) != d or min(cells) < 3 or not all(np.less(low, high)):
        raise BadInput("give low < high and 3 cells or more for each of 1 or 2 dimensions")
    if not sigma > 0 or not t > 0 or steps < 1:
        raise BadInput(f"sigma and t must be above 0 and steps 1 or more, not {sigma}, {t} and {steps}")
    edges = [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, cells, strict=True)]
    sides = tuple(0.5 * (edge[1:] + edge[:-1]) for edge in edges)
    generator = _generator(drift, sigma, edges, sides)
    volume = float(np.prod([edge[1] - edge[0] for edge in edges]))
    p = start(centres(sides)).double().numpy().reshape(-1)
    if not np.isfinite(p).all() or (p < 0).any() or not p.sum() > 0:
        raise BadInput("the start must be a density: finite, nowhere negative, and with mass in the box")
    p = p / (p.sum() * volume)
    solve = splu(sparse.identity(len(p), format="csc") - (t / steps) * generator).solve
    found = [p]
    for _ in range(steps):
        found.append(solve(found[-1]))
    return Evolution(np.linspace(0, t, steps + 1), sides, np.stack(found).reshape(-1, *cells))


def centres(sides: Sequence[Array]) -> Float[Tensor, "m d"]:
    """The centres of all cells, the last axis fastest."""
    mesh = np.meshgrid(*sides, indexing="ij")
    return torch.from_numpy(np.stack([axis.ravel() for axis in mesh], 1))


def _generator(
    drift: Callable[[Tensor], Tensor], sigma: float, edges: list[Array], sides: tuple[Array, ...]
) -> sparse.csc_matrix:
    """dp/dt = A p: columns of A sum to 0, and off its diagonal nothing is negative."""
    sizes = [len(side) for side in sides]
    numbers = np.arange(np.prod(sizes)).reshape(sizes)
    diffusion, entries = 0.5 * sigma**2, []
    for axis, (edge, side) in enumerate(zip(edges, sides, strict=True)):
        h = side[1] - side[0]
        faces = [other if k != axis else edge[1:-1] for k, other in enumerate(sides)]
        at = centres(faces)
        v = drift(at)
        if v.shape != at.shape:
            raise BadInput(f"a drift gives [m, {at.shape[1]}] for x of that shape, not {list(v.shape)}")
        z = v[:, axis].double().numpy() * h / diffusion
        left = np.take(numbers, range(sizes[axis] - 1), axis).ravel()
        right = np.take(numbers, range(1, sizes[axis]), axis).ravel()
        out, back = diffusion / h**2 * _bernoulli(-z), diffusion / h**2 * _bernoulli(z)
        # the flux out of the left cell into the right one is out p_left - back p_right
        entries += [(right, left, out), (left, left, -out), (left, right, back), (right, right, -back)]
    rows, columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return sparse.csc_matrix((values, (rows, columns)), shape=(numbers.size, numbers.size))


def _bernoulli(z: Array) -> Array:
    """z / (e^z - 1)."""
    small = np.abs(z) < 1e-6
    safe = np.where(small, 1.0, z)
    found: Array = np.where(small, 1 - z / 2, safe / np.expm1(np.minimum(safe, 700.0)))
    return found
