"""What an optimal denoiser satisfies, D(y, sigma) = E[x | y]: identities whose violation, in means over events, is at
least so much of excess error."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.denoisers import denoised, noisy
from monge.evaluation.jacobian import jacobian, products
from monge.linalg import wavenumbers
from monge.protocols import Denoiser

FAR = 3.0  # times the median size, from which on an event counts as if it were so near: means have tails of their own
WIDER = 2.0  # the level that consistency goes to, over that it comes from
LOOP = 16  # points of a loop
SPECTRA = 8  # events whose Jacobians are looked at whole
COORDINATES = 64  # of vectors, or groups of them, that are looked at one by one
RARE = 0.1  # of what is expected of an event: where most have less, it is errors that hardly ever happen


class Seen(NamedTuple):
    """Events x, noisy and denoised at one level, mean: of their law, or near it."""

    denoiser: Denoiser
    x: Float[Tensor, "n *event"]
    y: Float[Tensor, "n *event"]
    x_hat: Float[Tensor, "n *event"]
    mean: Float[Tensor, "*event"]
    sigma: float
    seed: int
    number: int = 0  # of the level, by which noise is addressed

    @property
    def d(self) -> int:
        """Values of an event."""
        return self.x[0].numel()

    @property
    def error(self) -> float:
        """E|D - x|^2 / d."""
        return float((self.x_hat - self.x).double().square().mean())

    def noise(self, *address: str) -> Float[Tensor, "n *event"]:
        """Unit noise of its own for each event."""
        z = rng.normal(tuple(self.x.shape), self.seed, "identities", self.number, *address, dtype=self.x.dtype)
        return z.to(self.x.device)

    def again(self, *address: str) -> "Seen":
        """The same events under other noise."""
        y = self.x + self.sigma * self.noise("again", *address)
        return self._replace(y=y, x_hat=denoised(self.denoiser, y, self.sigma))


class Violation(NamedTuple):
    """values: [n, tests], of mean 0 for an optimal denoiser. unit: in which each mean is told, [tests]. expected: their
    variance if the denoiser is optimal, [n, tests], where J tells it: of errors that are rare, and did not happen here,
    the values know nothing. cost: the excess error E|D - D*|^2 / d that such a mean is at least, by test; None where it
    may be of another level. rounding: a mean that is none, in its unit. rare: whether errors are so rare that so few
    events tell nothing. by_absence: the chance that errors as large as the largest seen, which would make up for what
    is missing, are absent."""

    values: Float[Tensor, "n tests"]
    unit: Float[Tensor, " tests"]
    names: tuple[str, ...]
    cost: Callable[[Tensor], Tensor] | None = None
    expected: Float[Tensor, "n tests"] | None = None
    rounding: float = 1e-5
    one_sided: bool = False
    rare: bool = False
    by_absence: float = 0.0


def orthogonality(seen: Seen) -> Violation:
    """E<x - D, g(D)> = 0: the error has no part along the answer, or a constant. In units of E|g|^2, by how much of
    itself D should be larger; of a constant, in root mean square errors."""
    away = seen.x_hat - seen.mean
    along = _bounded(away) * away
    channels = list(_parts(torch.ones_like(seen.y), frequency=False))
    names = ("scale", *(f"constant {i + 1}" for i in range(len(channels))))
    return _uncorrelated(seen, [along, *channels], names, lambda k, power: power if k == 0 else seen.error**0.5)


def whiteness(seen: Seen) -> Violation:
    """E<x - D, P y> = 0 in each octave of frequency, or coordinate of vectors: nothing is left in the error that y
    knows."""
    y = seen.y - seen.mean
    near = _bounded(y) * y
    whole = float(near.double().square().mean())
    return _uncorrelated(seen, list(_parts(near)), bands_of(tuple(y.shape[1:])), lambda k, power: whole)


def _uncorrelated(
    seen: Seen, each: Sequence[Tensor], names: tuple[str, ...], unit: Callable[[int, float], float]
) -> Violation:
    """E<x - D, g> = 0 for functions g of y, whose variance is sigma^2 g' J g."""
    error, values, expected = (seen.x - seen.x_hat).double(), [], []
    for g in each:
        values.append((error * g).flatten(1).mean(1))
        back = products(seen.denoiser, seen.y, seen.sigma, g, forward=False)
        expected.append(seen.sigma**2 * (g * back).double().flatten(1).mean(1).clamp_min(0.0) / seen.d)
    power = torch.tensor([float(g.double().square().mean()) for g in each], dtype=torch.float64)
    units = torch.tensor([unit(k, float(part)) for k, part in enumerate(power)], dtype=torch.float64)
    cost = lambda m: m.square() / power.clamp_min(_tiny(power)).to(m)  # noqa: E731
    return Violation(torch.stack(values, 1), units, names, cost, torch.stack(expected, 1))


def tweedie(seen: Seen) -> Violation:
    """E[sigma^2 tr J - |x - D|^2] = 0, the second-order identity of Tweedie, J' v by a probe v."""
    v = seen.noise("probe").sign()
    trace = seen.sigma**2 * (v * products(seen.denoiser, seen.y, seen.sigma, v, forward=False)).flatten(
        1
    ).double().mean(1)
    error = (seen.x - seen.x_hat).flatten(1).double().square().mean(1)

    def cost(m: Tensor) -> Tensor:  # sigma e + e^2 is as large at least, e the root of the excess
        return (((seen.sigma**2 + 4 * m.abs()).sqrt() - seen.sigma) / 2).square()

    rare = bool((error < RARE * trace).double().mean() > 0.5)
    absent = math.exp(-float((trace - error).sum().clamp_min(0.0) / error.max().clamp_min(_tiny(error))))
    absent = absent if bool((trace - error).mean() > 0) else 0.0
    return Violation((trace - error)[:, None], _one(seen.error), ("trace",), cost, rare=rare, by_absence=absent)


def consistency(seen: Seen) -> Violation:
    """E[D(y, sigma) | y'] = D(y', 2 sigma) for y' = y + noise: the scores of all levels are those of one law, whose
    Fokker-Planck equation they solve (Daras et al. 2023). Where it fails D errs at one of the two levels."""
    wide = WIDER * seen.sigma
    z = seen.noise("wider")
    noisier = seen.y + math.sqrt(wide**2 - seen.sigma**2) * z
    answer = denoised(seen.denoiser, noisier, wide)
    away = answer - answer.mean(0)  # of y' alone: the mean of D(y, sigma) knows which x are here
    along = _bounded(away) * away
    change = (seen.x_hat - answer).flatten(1).double()
    values = (change * along.flatten(1)).mean(1, keepdim=True)
    rare = bool((change.square().mean(1) < RARE * float(change.square().mean())).double().mean() > 0.5)
    return Violation(values, _one(float(along.double().square().mean())), ("scale",), rare=rare)


def symmetry(seen: Seen) -> Violation:
    """J = J': with A = (J - J') / 2 at two noisy versions of an event, sigma^2 E<A, A> is a part of the excess error,
    by the first Hermite coefficients of the error; in its unit."""
    v, other = seen.noise("probe").sign(), seen.again("symmetry")
    skew = [_skew(seen, y, v).flatten(1).double() for y in (seen.y, other.y)]
    values = seen.sigma**2 * (skew[0] * skew[1]).mean(1, keepdim=True)
    return Violation(values, _one(seen.error), ("skew part",), lambda m: m.clamp_min(0.0), one_sided=True)


def loops(seen: Seen) -> Violation:
    """Round the loop x + sigma (z cos t + z' sin t), each of whose points is a noisy event, a gradient sums to 0, and D
    is one: (mean <D, tangent>)^2 / sigma^2 is a part of the excess error, in its unit. Even and odd points find the sum
    each by itself; what so few miss of it has one sign in the one, and the other in the other."""
    z, other = seen.noise("loop"), seen.noise("loop", "across")
    sums = torch.zeros(2, len(seen.x), dtype=torch.float64, device=seen.x.device)
    for k in range(LOOP):
        t = 2 * math.pi * k / LOOP
        turn, along = z * math.cos(t) + other * math.sin(t), other * math.cos(t) - z * math.sin(t)
        answer = denoised(seen.denoiser, seen.x + seen.sigma * turn, seen.sigma)
        sums[k % 2] += ((answer - seen.x) * along).flatten(1).double().sum(1) * (2 / LOOP)
    values = (sums[0] * sums[1] / seen.d)[:, None]
    return Violation(values, _one(seen.error), ("circulation",), lambda m: m.clamp_min(0.0), one_sided=True)


def positivity(seen: Seen) -> Violation:
    """No negative part of J, which is a covariance over sigma^2: how far below 0 the least eigenvalue of (J + J') / 2
    is, at a few events."""
    found = [jacobian(seen.denoiser, y, seen.sigma, k=1, probes=2, seed=seen.seed).lowest for y in seen.y[:SPECTRA]]
    values = -torch.tensor(found, dtype=torch.float64).clamp_max(0.0)[:, None]
    return Violation(values, _one(1.0), ("least eigenvalue",), rounding=1e-3, one_sided=True)


IDENTITIES: dict[str, Callable[[Seen], Violation]] = {
    "orthogonality": orthogonality,
    "whiteness": whiteness,
    "second-order Tweedie": tweedie,
    "consistency in sigma": consistency,
    "symmetric Jacobian": symmetry,
    "loops": loops,
    "no negative part": positivity,
}


def by_band(x: Float[Tensor, "n *event"]) -> Float[Tensor, "n bands"]:
    """|P x|^2 / d in each octave of wavenumber of images and fields, [0, 1), [1, 2), [2, 4), ...; of vectors by
    coordinate, or, of more than 64, by 64 groups of them.

    >>> x = torch.randn(2, 1, 8, 8)
    >>> torch.allclose(by_band(x).sum(1), x.double().square().flatten(1).mean(1))
    True
    """
    return torch.stack([part.double().square().flatten(1).mean(1) for part in _parts(x.double())], 1)


def _parts(x: Tensor, *, frequency: bool = True) -> Iterator[Tensor]:
    """The parts of x that `by_band` tells of, which sum to it; or by channel, where they are not of frequency."""
    if x.ndim == 2:
        group = torch.arange(x.shape[1], device=x.device) * min(x.shape[1], COORDINATES) // x.shape[1]
        yield from (x * (group == g) for g in range(int(group[-1]) + 1))
        return
    if not frequency:
        yield from (
            x * (torch.arange(x.shape[1], device=x.device) == c)[:, None].reshape(-1, *[1] * (x.ndim - 2))
            for c in range(x.shape[1])
        )
        return
    axes, octave = tuple(range(2, x.ndim)), _octaves(tuple(x.shape[2:])).to(x.device)
    spectrum = torch.fft.fftn(x, dim=axes)
    for k in range(int(octave.max()) + 1):
        yield torch.fft.ifftn(spectrum * (octave == k), dim=axes).real


def bands_of(event: tuple[int, ...]) -> tuple[str, ...]:
    """The names of what `by_band` tells of events."""
    if len(event) == 1:
        groups = min(event[0], COORDINATES)
        name = "coordinate" if groups == event[0] else "group of coordinates"
        return tuple(f"{name} {i + 1}" for i in range(groups))
    count = int(_octaves(event[1:]).max()) + 1
    return ("k < 1", *(f"k = {2**i} to {2 ** (i + 1)}" for i in range(count - 1)))


def _octaves(space: tuple[int, ...]) -> Tensor:
    k = wavenumbers(space)
    return torch.where(k < 1, 0, k.clamp_min(1e-9).log2().floor() + 1).long().clamp_min(0)


def _bounded(away: Float[Tensor, "n *event"]) -> Float[Tensor, "n *one"]:
    """A factor for each row, 1 but for those far away, which count no more than near ones."""
    size = away.double().flatten(1).norm(dim=1)
    most = FAR * size.median()
    factor = torch.where(size > most, most / size.clamp_min(_tiny(size)), torch.ones_like(size))
    return factor.reshape(-1, *[1] * (away.ndim - 1)).to(away)


def _one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def _skew(seen: Seen, y: Tensor, v: Tensor) -> Tensor:
    """(J v - J' v) / 2, row by row."""
    once, back = (products(seen.denoiser, y, seen.sigma, v, forward=forward) for forward in (True, False))
    return (once - back) / 2


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny


def look(denoiser: Denoiser, x: Tensor, sigma: float, *, seed: int = 0, number: int = 0) -> Seen:
    """Events under noise of one level, and what the denoiser makes of them."""
    y = noisy(x, sigma, seed, "certificate", number)
    x_hat = denoised(denoiser, y, sigma)
    return Seen(denoiser, x, y, x_hat, x_hat.mean(0), sigma, seed, number)
