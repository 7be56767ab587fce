"""Potentials of Sinkhorn's plan, in the log domain, without the matrix where that is large.

A sweep takes g to f_i = -epsilon log sum_j b_j e^{(g_j - c_ij) / epsilon}, so that the plan P has the marginal a, and
sums the columns of P, reading or making each entry once. Sinkhorn's step is g <- g + epsilon log(b / P'1), here
over-relaxed (Thibault, Chizat, Dossal and Papadakis 2017). It can take thousands of sweeps; so once it is close, there
follow Newton's steps on the concave <a, f(g)> + <b, g> (Brauer, Clason, Lorenz and Wirth 2017),

    (diag(P'1) - P' diag(1/a) P) delta / epsilon = b - P'1,

by conjugate gradients, each product of which costs a sweep, or for few columns by Cholesky's factors.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from monge import progress
from monge.errors import BadInput, NumericalFailure
from monge.linalg import conjugate_gradients
from monge.ot.clouds import Clouds, Cost, checked_cost

HELD_BYTES = {"cpu": 2**28, "cuda": 2**32}  # of a plan that is kept; a larger one is made anew in each sweep
FALL = 4.0  # of epsilon from one level to the next
MILD = 50.0  # mean cost, in units of epsilon, up to which no other level is needed
LOOK, MOST_OMEGA = 6, 1.9
WORSE, LESS = 3.0, 0.8  # where the error has grown so much, omega - 1 shrinks
CLOSE = 1e-3  # error at which Newton's steps begin
AT_ONCE = 30  # Sinkhorn's steps where Newton's do not help
INEXACT = 0.1  # residual of the conjugate gradients, in the metric of their preconditioner
FEW_PRODUCTS, MANY_PRODUCTS = 50, 500  # products, before the equations are solved directly, or as far as that is
DENSE = 1024  # columns up to which Newton's steps are solved directly
HALVINGS = 4
ABSORB = {torch.float32: 30.0, torch.float64: 300.0}  # largest log-scaling of a plan that is held
SAMPLE = 300  # points of each cloud that tell the scale of the cost


class Kernel:
    """P_ij = a_i b_j e^{(f_i + g_j - c_ij) / epsilon}, made anew in each sweep, a few rows at a time."""

    def __init__(self, given: Clouds, cost: Cost, epsilon: float) -> None:
        self.given, self.cost, self.epsilon = given, cost, epsilon
        self.sweeps = 0

    def sweep(self, g: Tensor, f: Tensor | None = None, omega: float = 1.0) -> tuple[Tensor, Tensor]:
        """f [batch, n] for which the rows of P sum to a, or omega times the way there from f, and the sums of the
        columns of P then, [batch, m]."""
        self.sweeps += 1
        given, epsilon = self.given, self.epsilon
        bias = (g / epsilon + _log(given.b))[:, None]
        found, columns = torch.empty_like(given.a), torch.zeros_like(g)
        for rows in given.rows():
            entries = torch.add(bias, self.cost(given.x[:, rows], given.y), alpha=-1 / epsilon)
            top = entries.amax(-1, keepdim=True)
            total = entries.sub_(top).exp_().sum(-1)
            plain = -epsilon * (top[..., 0] + total.log())
            found[:, rows] = plain if f is None else torch.lerp(f[:, rows], plain, omega)
            share = given.a[:, rows] * torch.exp((found[:, rows] - plain) / epsilon) / total
            columns += (share[:, None] @ entries)[:, 0]
            self._keep(rows, share, entries)
        return found, columns

    def _keep(self, rows: slice, share: Tensor, entries: Tensor) -> None:
        """Of a plan that is held, these rows: share times entries."""

    def product(self, f: Tensor, g: Tensor, z: Tensor) -> Tensor:
        """P' diag(1/a) P z, [batch, m, k], for P whose rows sum to a."""
        self.sweeps += 1
        total = torch.zeros_like(z)
        for rows in self.given.rows():
            tile = plan_rows(self.given, self.cost, self.epsilon, f, g, rows)
            total += _through(tile, z, self.given.a[:, rows])
        return total


class HeldKernel(Kernel):
    """The plan at some potentials, kept, and scaled to those asked for: a sweep reads it once."""

    plan: Tensor | None = None

    def sweep(self, g: Tensor, f: Tensor | None = None, omega: float = 1.0) -> tuple[Tensor, Tensor]:
        if self.plan is None:
            self.plan = self.given.x.new_empty(*self.given.a.shape, g.shape[1])
            return self._absorb(g, f, omega)
        if float((g - self.g0).abs().max()) > ABSORB[g.dtype] * self.epsilon:
            return self._absorb(g, f, omega)
        self.sweeps += 1
        a, v = self.given.a, self._scaling(g - self.g0)
        found, columns = torch.empty_like(a), torch.zeros_like(g)
        for rows in self.given.rows():
            tile = self.plan[:, rows]
            plain = self.f0[:, rows] + self.epsilon * (_log(a[:, rows]) - _log((tile @ v[..., None])[..., 0]))
            found[:, rows] = plain if f is None else torch.lerp(f[:, rows], plain, omega)
            columns += (self._scaling(found[:, rows] - self.f0[:, rows])[:, None] @ tile)[:, 0]
        return found, v * columns

    def product(self, f: Tensor, g: Tensor, z: Tensor) -> Tensor:
        assert self.plan is not None  # f is that of a sweep
        self.sweeps += 1
        u, v = self._scaling(f - self.f0), self._scaling(g - self.g0)
        total = torch.zeros_like(z)
        for rows in self.given.rows():
            total += _through(self.plan[:, rows], v[..., None] * z, self.given.a[:, rows] / u[:, rows].square())
        return v[..., None] * total

    def _scaling(self, potential: Tensor) -> Tensor:
        return torch.exp(potential / self.epsilon)

    def _absorb(self, g: Tensor, f: Tensor | None, omega: float) -> tuple[Tensor, Tensor]:
        self.f0, columns = super().sweep(g, f, omega)
        self.g0 = g
        return self.f0, columns

    def _keep(self, rows: slice, share: Tensor, entries: Tensor) -> None:
        assert self.plan is not None
        torch.mul(share[..., None], entries, out=self.plan[:, rows])


def _through(tile: Tensor, z: Tensor, a: Tensor) -> Tensor:
    """Rows' part of P' diag(1/a) P z."""
    return tile.mT @ (tile @ z / a.clamp_min(torch.finfo(a.dtype).tiny)[..., None])


def plan_rows(given: Clouds, cost: Cost, epsilon: float, f: Tensor, g: Tensor, rows: slice) -> Tensor:
    """Rows of P_ij = a_i b_j e^{(f_i + g_j - c_ij) / epsilon}, [batch, rows, m]."""
    of_rows, of_columns = f[:, rows] / epsilon + _log(given.a[:, rows]), g / epsilon + _log(given.b)
    entries = torch.add(of_columns[:, None], cost(given.x[:, rows], given.y), alpha=-1 / epsilon)
    return entries.add_(of_rows[..., None]).exp_()


class Solved(NamedTuple):
    """Potentials [batch, n] and [batch, m], sums of the columns [batch, m] (those of the rows are a), and sweeps."""

    f: Tensor
    g: Tensor
    columns: Tensor
    sweeps: int


@torch.no_grad()
def solve(
    given: Clouds,
    cost: Cost,
    epsilon: float,
    *,
    scale: float,
    tolerance: float,
    most: int,
    symmetric: bool = False,
    show: bool = False,
) -> Solved:
    """Potentials whose plan has the marginals a and b to `tolerance` in L1.

    scale: mean cost; where epsilon is less than a fiftieth of it, the walk begins at larger ones. symmetric: y is x,
    and f = g is the mean of itself and its update, which halves the error each time.
    """
    g = torch.zeros_like(given.b)
    before, level = 0, scale if scale > MILD * epsilon else epsilon
    while level > FALL * epsilon:
        f, columns = Kernel(given, cost, level).sweep(g)
        g = (f + g) / 2 if symmetric else _sinkhorn(g, columns, given.b, level)
        level, before = level / FALL, before + 1
    held = given.a.numel() * given.b.shape[1] * given.x.element_size() <= HELD_BYTES.get(given.x.device.type, 0)
    kernel = (HeldKernel if held else Kernel)(given, cost, epsilon)
    decades, done, stuck = math.log10(1 / tolerance), 0.0, False
    with progress.bar("sinkhorn", decades, show=show) as advance:
        f, columns = kernel.sweep(g)
        error = _error(columns, given.b)
        while float(error.max()) > tolerance and kernel.sweeps < most:
            worst = float(error.max())
            advance(max(0.0, min(decades, -math.log10(worst)) - done), error=worst)
            done = max(done, min(decades, -math.log10(worst)))
            if symmetric:
                g = (f + g) / 2
                f, columns = kernel.sweep(g)
            elif stuck or worst > CLOSE:
                sweeps = kernel.sweeps + AT_ONCE if stuck else most
                g = _relaxed(kernel, f, g, columns, min(sweeps, most))
                (f, columns), stuck = kernel.sweep(g), False
            else:
                g, f, columns, stuck = _newton(kernel, f, g, columns, error)
            error = _error(columns, given.b)
    if not (worst := float(error.max())) <= tolerance:
        raise NumericalFailure(
            f"Sinkhorn did not converge: after {kernel.sweeps} sweeps the marginals are off by {worst:.3g}, with "
            f"epsilon {epsilon:.3g} and tolerance {tolerance:.3g}: allow more iterations, a larger epsilon or tolerance"
        )
    return Solved(f, g, columns, before + kernel.sweeps)


def _sinkhorn(g: Tensor, columns: Tensor, b: Tensor, epsilon: float) -> Tensor:
    return g + epsilon * (_log(b) - _log(columns))


def _error(columns: Tensor, b: Tensor) -> Tensor:
    """L1, [batch]."""
    return (columns - b).abs().sum(-1)


def _relaxed(kernel: Kernel, f: Tensor, g: Tensor, columns: Tensor, until: int) -> Tensor:
    """g after Sinkhorn's steps, over-relaxed, until it is close, or for so many sweeps.

    Every few steps omega is set to what is best for the slowest mode that the errors since then show (Young 1954).
    """
    b, epsilon, omega = kernel.given.b, kernel.epsilon, 1.0
    seen = [float(_error(columns, b).max())]
    close = CLOSE if seen[0] > CLOSE else 0.0
    while seen[-1] > close and kernel.sweeps < until:
        g = g + omega * epsilon * (_log(b) - _log(columns))
        f, columns = kernel.sweep(g, f, omega)
        seen.append(float(_error(columns, b).max()))
        if len(seen) % LOOK == 0:
            rate = (seen[-1] / seen[-LOOK]) ** (1 / (LOOK - 1))
            if omega - 1 < rate < 1:
                slowest = min(1.0, (rate + omega - 1) ** 2 / (omega**2 * rate))
                omega = min(MOST_OMEGA, 2 / (1 + math.sqrt(1 - slowest)))
            elif not rate < 1 and not seen[-1] < WORSE * min(seen):
                omega = 1 + LESS * (omega - 1)
    return g


def _newton(
    kernel: Kernel, f: Tensor, g: Tensor, columns: Tensor, error: Tensor
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """g, f and the columns after a Newton step, halved where the error would grow, and whether that was in vain."""
    b = kernel.given.b
    small = isinstance(kernel, HeldKernel) and b.shape[1] <= DENSE
    delta, solved = conjugate_gradients(  # (diag(P'1) - P' diag(1/a) P) delta = b - P'1, inexactly
        lambda way: columns * way - kernel.product(f, g, way[..., None])[..., 0],
        b - columns,
        within=INEXACT,
        most=FEW_PRODUCTS if small else MANY_PRODUCTS,
        diagonal=columns.clamp_min(torch.finfo(columns.dtype).tiny),
    )
    if small and not solved:
        delta = _direct(kernel, f, g, columns)
    delta = kernel.epsilon * delta
    share = torch.ones_like(error)
    for _ in range(HALVINGS):
        moved = g + share[:, None] * delta
        found, sums = kernel.sweep(moved)
        grew = ~(_error(sums, b) < error)
        if not grew.any():
            return moved, found, sums, False
        share = torch.where(grew, share / 2, share)
    kept = grew[:, None]
    return torch.where(kept, g, moved), torch.where(kept, f, found), torch.where(kept, columns, sums), True


def _direct(kernel: Kernel, f: Tensor, g: Tensor, columns: Tensor) -> Tensor:
    """delta with (diag(P'1) - P' diag(1/a) P) delta = b - P'1 and no mean, in float64."""
    unit = torch.eye(g.shape[1]).to(g).expand(len(g), -1, -1)
    wide = columns.double()
    matrix = wide.diag_embed() - kernel.product(f, g, unit).double()
    matrix += wide[..., None] * wide[..., None, :]  # that of equal shifts, which change nothing
    matrix += torch.finfo(wide.dtype).eps * wide.amax(-1)[:, None, None] * torch.eye(g.shape[1]).to(wide)
    factor = torch.linalg.cholesky_ex(matrix).L
    return torch.cholesky_solve((kernel.given.b.double() - wide)[..., None], factor)[..., 0].to(g)


def scale_of(given: Clouds, cost: Cost) -> float:
    """Mean cost between the first 300 points of each cloud; BadInput for costs that cannot be used."""
    costs = checked_cost(cost, given.x[:, :SAMPLE], given.y[:, :SAMPLE])
    return float(costs.mean())


def check_epsilon(epsilon: float, given: Clouds, scale: float) -> None:
    least = 4 * torch.finfo(given.x.dtype).eps * scale
    if not (math.isfinite(epsilon) and epsilon > least):
        raise BadInput(
            f"epsilon must be finite and above {least:.2g}, what {given.x.dtype} resolves of a mean cost of "
            f"{scale:.3g}, not {epsilon:.3g}: use float64, a larger epsilon, or couple, which is exact"
        )


def _log(weights: Tensor) -> Tensor:
    """Of what may be zero: finite."""
    return weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
