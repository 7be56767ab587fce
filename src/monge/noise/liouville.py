"""Liouville's equation on a grid (95, 96): the law that a field carries, found without following a single particle."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from monge.doors import function, like, whole
from monge.errors import BadInput
from monge.noise.fokker_planck import Array, Evolution, box, centres, density_on

LOOKS = 16  # steps of a frame, at least
COURANT = 0.4  # share of a cell that is crossed in a step, over the number of dimensions
MOST_STEPS = 20_000


@torch.no_grad()
def liouville(
    field: Callable[[Tensor, Tensor], Tensor],
    start: Callable[[Tensor], Tensor],
    low: Sequence[float],
    high: Sequence[float],
    cells: Sequence[int],
    begin: float,
    end: float,
    *,
    frames: int = 20,
    show: bool = False,
) -> Evolution:
    """dp/dt + div(p V) = 0 on a box that lets nothing out, in 1 or 2 dimensions: the law at time `end` of particles
    that have the density `start` at time `begin`, earlier or later, and move by dx/dt = V(x, t) (95).

    Fluxes between cells are upwind, of a density that is linear in each cell with van Leer's limited slope (MUSCL),
    and times are stepped by Heun's rule at most .4 of a cell a step: mass is kept to rounding, densities stay positive,
    and where they are smooth the error is of second order in the cells. The field is looked at 16 times a frame at
    least; give more frames where it changes faster.

    field: V, (x [m, d], t [m]) -> [m, d], as `monge.samplers.integrate` takes it. start: the density up to a constant,
    x [m, d] -> [m]. low, high, cells: of the box, a number for each dimension. frames: densities that are kept after
    the first. Returns the `Evolution`, its times from `begin` to `end`.

    Raises BadInput for sizes that do not fit, times that are not finite and apart, a start without mass, a field of
    another shape or that is not finite, and one so fast that 20,000 steps would not do.

    >>> still = lambda x: (-x[:, 0] ** 2 * 8).exp()
    >>> moved = liouville(lambda x, t: torch.ones_like(x), still, [-3], [3], [120], 0.0, 1.0)
    >>> round(float((moved.sides[0] * moved.p[-1]).sum() * moved.volume), 3)
    1.0
    """
    from monge.progress import bar

    function(field, "a field is a function of x and t, (x [m, d], t [m]) -> [m, d]")
    edges, sides = box(low, high, cells)
    if not (math.isfinite(begin) and math.isfinite(end)) or begin == end or whole(frames, "frames") < 1:
        raise BadInput(f"two times are needed, finite and apart, and 1 frame or more, not {begin}, {end} and {frames}")
    way = 1.0 if end > begin else -1.0
    grid = _Grid(field, edges, sides, way)
    p = density_on(start, sides).reshape(cells)
    times, found = np.linspace(begin, end, frames + 1), [p]
    with bar("Liouville", frames, show=show) as advance:
        for first, last in itertools.pairwise(times):
            t, longest = float(first), float(last - first) / LOOKS
            while abs(last - t) > 1e-12 * abs(last - first):
                h = min(abs(longest), abs(last - t))
                while grid.rate(t, t + way * h) * h * len(cells) > COURANT:
                    h /= 2
                    if h < abs(end - begin) / MOST_STEPS:
                        raise BadInput(
                            f"the field is so fast at t = {t:g} that more than {MOST_STEPS:,} steps would be needed: "
                            "take fewer cells or a shorter time"
                        )
                once = p + h * grid.change(p, t)
                p = 0.5 * (p + once + h * grid.change(once, t + way * h))
                t += way * h
            found.append(p)
            advance()
    return Evolution(times, sides, np.stack(found))


class _Grid:
    """Cells, and the field on the faces between them; forward: 1, or -1 where time runs backwards."""

    def __init__(
        self,
        field: Callable[[Tensor, Tensor], Tensor],
        edges: list[Array],
        sides: tuple[Array, ...],
        forward: float,
    ) -> None:
        self.field, self.forward, self.widths = field, forward, [float(side[1] - side[0]) for side in sides]
        self.shape = tuple(len(side) for side in sides)
        self.faces = [
            centres([other if k != axis else edges[axis][1:-1] for k, other in enumerate(sides)]).float()
            for axis in range(len(sides))
        ]
        self.known: dict[float, list[Array]] = {}  # of the last few times

    def speeds(self, t: float) -> list[Array]:
        """Across the faces of each axis, [*cells] but one less along it."""
        if t in self.known:
            return self.known[t]
        found = []
        for axis, at in enumerate(self.faces):
            v = like(
                at, self.field(at, torch.full((1,), t).expand(len(at))), "a field gives [m, d] for x of that shape"
            )
            if not bool(v.isfinite().all()):
                raise BadInput(f"a field gives finite values, and at t = {t:g} {int((~v.isfinite()).sum())} are not")
            shape = [side - (k == axis) for k, side in enumerate(self.shape)]
            found.append(self.forward * v[:, axis].double().numpy().reshape(shape))
        self.known = {**dict(list(self.known.items())[-3:]), t: found}
        return found

    def rate(self, *times: float) -> float:
        """Cells crossed in a unit of time at these times, at most."""
        return max(float(np.abs(v).max()) / h for t in times for v, h in zip(self.speeds(t), self.widths, strict=True))

    def change(self, p: Array, t: float) -> Array:
        """dp by |dt|."""
        found = np.zeros_like(p)
        for axis, (v, h) in enumerate(zip(self.speeds(t), self.widths, strict=True)):
            q, u, out = (np.moveaxis(each, axis, 0) for each in (p, v, found))
            step = np.diff(q, axis=0)
            slope = np.zeros_like(q)
            rising = step[1:] * step[:-1]
            total = step[1:] + step[:-1]
            slope[1:-1] = np.where(rising > 0, 2 * rising / np.where(total == 0, 1.0, total), 0.0)  # van Leer's
            flux = np.maximum(u, 0) * (q + 0.5 * slope)[:-1] + np.minimum(u, 0) * (q - 0.5 * slope)[1:]
            out[:-1] -= flux / h
            out[1:] += flux / h
        return found
