"""The Fokker-Planck equation on a grid (106): what a stochastic differential equation does to a law, exactly."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from monge.doors import like
from monge.errors import BadInput

Array = NDArray[np.float64]
Coefficient = Callable[..., Tensor]  # of x [m, d], or of (x, t)
InTime = Callable[[Tensor, float], Tensor]


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
    drift: Coefficient,
    sigma: float | Coefficient,
    start: Callable[[Tensor], Tensor],
    low: Sequence[float],
    high: Sequence[float],
    cells: Sequence[int],
    t: float,
    *,
    steps: int = 100,
) -> Evolution:
    """dp/dt = -div(p V) + Laplacian(sigma^2 p / 2) on a box that lets nothing out, in 1 or 2 dimensions: the law of
    dx = V dt + sigma dW in Ito's sense (105, 106).

    Fluxes between cells are Scharfetter and Gummel's (1969), of u = sigma^2 p / 2 in the drift 2 V / sigma^2, exact
    where that is constant across a face; time steps are implicit. So mass is kept to rounding and densities stay
    positive, whatever the step; the error is of second order in the cells and of first in the steps.

    drift: V, x [m, d] -> [m, d], or (x, t) -> [m, d] where it changes in time. sigma: a number, or x [m, d] -> [m], or
    (x, t) -> [m]. start: the density at time 0 up to a constant, x [m, d] -> [m]. low, high, cells: of the box, a
    number for each dimension. t: the end.

    Raises BadInput for sizes that do not fit, sigma <= 0, a start without mass, and a drift or a sigma of another shape
    or that is not finite.

    >>> relaxed = fokker_planck(lambda x: -x, 2**0.5, lambda x: (-8 * (x[:, 0] - 1) ** 2).exp(), [-6], [6], [240], 5.0)
    >>> round(float(relaxed.kl(lambda x: -x[:, 0] ** 2 / 2)[-1]), 3)
    0.0
    """
    edges, sides = box(low, high, cells)
    if not t > 0 or steps < 1:
        raise BadInput(f"t must be above 0 and steps 1 or more, not {t} and {steps}")
    p = density_on(start, sides)
    found, unit = [p], sparse.identity(len(p), format="csc")
    (v, moves), (noise, changes) = _in_time(drift), _in_time(sigma)
    solve = None
    for k in range(1, steps + 1):
        if solve is None or moves or changes:
            solve = splu(unit - (t / steps) * _generator(v, noise, edges, sides, k * t / steps)).solve
        found.append(solve(found[-1]))
    return Evolution(np.linspace(0, t, steps + 1), sides, np.stack(found).reshape(-1, *cells))


def box(low: Sequence[float], high: Sequence[float], cells: Sequence[int]) -> tuple[list[Array], tuple[Array, ...]]:
    """Edges of the cells and their centres, by axis; BadInput for what is no box."""
    try:
        d = len(cells)
        whole_box = len(low) == len(high) == d
    except TypeError:
        d, whole_box = 0, False
    if not whole_box or d not in (1, 2) or min(cells) < 3 or not all(np.less(low, high)):
        raise BadInput("give low < high and 3 cells or more for each of 1 or 2 dimensions")
    edges = [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, cells, strict=True)]
    return edges, tuple(0.5 * (edge[1:] + edge[:-1]) for edge in edges)


def density_on(start: Callable[[Tensor], Tensor], sides: Sequence[Array]) -> Array:
    """A density at the centres, [cells], of integral 1; BadInput for what is none."""
    p: Array = start(centres(sides)).double().numpy().reshape(-1)
    if not np.isfinite(p).all() or (p < 0).any() or not p.sum() > 0:
        raise BadInput("the start must be a density: finite, nowhere negative, and with mass in the box")
    found: Array = p / (p.sum() * float(np.prod([side[1] - side[0] for side in sides])))
    return found


def centres(sides: Sequence[Array]) -> Float[Tensor, "m d"]:
    """The centres of all cells, the last axis fastest."""
    mesh = np.meshgrid(*sides, indexing="ij")
    return torch.from_numpy(np.stack([axis.ravel() for axis in mesh], 1))


def _generator(
    drift: InTime, sigma: InTime, edges: list[Array], sides: tuple[Array, ...], t: float
) -> sparse.csc_matrix:
    """dp/dt = A p at time t: columns of A sum to 0, and off its diagonal nothing is negative."""
    sizes = [len(side) for side in sides]
    numbers = np.arange(np.prod(sizes)).reshape(sizes)
    within, entries = _diffusion(sigma, centres(sides), t), []
    for axis, (edge, side) in enumerate(zip(edges, sides, strict=True)):
        h = side[1] - side[0]
        at = centres([other if k != axis else edge[1:-1] for k, other in enumerate(sides)])
        v = like(at, drift(at, t), f"a drift gives [m, {at.shape[1]}] for x of that shape")
        if not bool(v.isfinite().all()):
            raise BadInput(
                f"a drift gives values that are finite, and {int((~v.isfinite()).sum())} of {v.numel()} are not"
            )
        z = v[:, axis].double().numpy() * h / _diffusion(sigma, at, t)
        left = np.take(numbers, range(sizes[axis] - 1), axis).ravel()
        right = np.take(numbers, range(1, sizes[axis]), axis).ravel()
        out, back = within[left] / h**2 * _bernoulli(-z), within[right] / h**2 * _bernoulli(z)
        # the flux out of the left cell into the right one is out p_left - back p_right
        entries += [(right, left, out), (left, left, -out), (left, right, back), (right, right, -back)]
    rows, columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return sparse.csc_matrix((values, (rows, columns)), shape=(numbers.size, numbers.size))


def _diffusion(sigma: InTime, x: Tensor, t: float) -> Array:
    """sigma^2 / 2 at points, [m]."""
    level = sigma(x, t)
    level = level if isinstance(level, Tensor) else torch.empty(0)  # which fits nowhere
    bad = level[~((level > 0) & level.isfinite())]
    if level.shape != (len(x),) or len(bad):
        came = f"{float(bad[0]):g}" if level.shape == (len(x),) else str(list(level.shape))
        raise BadInput(f"sigma must be a finite number above 0, or one for each of [{len(x)}] points, not {came}")
    found: Array = 0.5 * level.double().numpy() ** 2
    return found


def _in_time(given: float | Coefficient) -> tuple[InTime, bool]:
    """A number, or a function of x or of (x, t), as one of (x, t), and whether it changes."""
    if not callable(given):
        return lambda x, t: torch.full((len(x),), float(given)), False
    try:
        taken = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):  # of what is built in
        return lambda x, t: given(x), False
    needed = [p for p in taken if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (given, True) if len(needed) > 1 else (lambda x, t: given(x), False)


def _bernoulli(z: Array) -> Array:
    """z / (e^z - 1)."""
    small = np.abs(z) < 1e-6
    safe = np.where(small, 1.0, z)
    found: Array = np.where(small, 1 - z / 2, safe / np.expm1(np.minimum(safe, 700.0)))
    return found
