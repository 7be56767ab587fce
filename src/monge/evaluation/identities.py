"""What an optimal denoiser satisfies, D(y, sigma) = E[x | y]: identities whose violation, in means over events, is at
least so much of excess error."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.denoisers import denoised, noisy
from monge.evaluation.jacobian import jacobian
from monge.linalg import wavenumbers
from monge.protocols import Denoiser

FAR = 3.0  # times the median size, from which on an event counts as if it were so near: means have tails of their own
WIDER = 2.0  # the level that consistency goes to, over that it comes from
LOOP = 16  # points of a loop
SPECTRA = 8  # events whose Jacobians are looked at whole
COORDINATES = 64  # of vectors, that are looked at one by one
TOGETHER = 2**20  # values of events that are differentiated together


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
    """values: [n, tests], of mean 0 for an optimal denoiser. unit: in which their mean is told. cost: the excess error
    E|D - D*|^2 / d that such a mean is at least, by test. rounding: a mean that is none, in its unit."""

    values: Float[Tensor, "n tests"]
    unit: float
    cost: Callable[[Tensor], Tensor]
    names: tuple[str, ...]
    rounding: float = 1e-5
    one_sided: bool = False


def orthogonality(seen: Seen) -> Violation:
    """E<x - D, g(D)> = 0: the error has no part along the answer, or a constant. In units of E|g|^2, by how much of
    itself D should be larger."""
    away = (seen.x_hat - seen.mean).flatten(1).double()
    error = (seen.x - seen.x_hat).flatten(1).double()
    along = away * _bounded(away)
    channels = _channels(seen, error)
    scale = float(along.square().mean())
    values = torch.cat([(error * along).mean(1, keepdim=True), channels], 1)
    count = torch.tensor([scale] + [1.0 / channels.shape[1]] * channels.shape[1], dtype=torch.float64)
    names = ("scale", *(f"constant {i + 1}" for i in range(channels.shape[1])))
    return Violation(values, scale, lambda m: m.square() / count.to(m), names)


def whiteness(seen: Seen) -> Violation:
    """E<x - D, P y> = 0 in each octave of frequency, or coordinate of vectors: nothing is left in the error that y
    knows."""
    error, y = seen.x - seen.x_hat, seen.y - seen.mean
    near = _bounded(y.flatten(1).double()).reshape(-1, *[1] * (y.ndim - 1)).to(y)
    values, power, names = by_band(error, near * y), by_band(near * y, near * y).mean(0), bands_of(tuple(y.shape[1:]))
    return Violation(values, float(power.sum()), lambda m: m.square() / power.clamp_min(_tiny(power)), names)


def tweedie(seen: Seen) -> Violation:
    """E[sigma^2 tr J - |x - D|^2] = 0, the second-order identity of Tweedie, J' v by a probe v."""
    v = seen.noise("probe").sign()
    slope = (v * _back(seen, seen.y, v)).flatten(1).double().mean(1)
    values = (seen.sigma**2 * slope - (seen.x - seen.x_hat).flatten(1).double().square().mean(1))[:, None]

    def cost(m: Tensor) -> Tensor:  # sigma e + e^2 is as large at least, e the root of the excess
        return (((seen.sigma**2 + 4 * m.abs()).sqrt() - seen.sigma) / 2).square()

    return Violation(values, seen.error, cost, ("trace",))


def consistency(seen: Seen) -> Violation:
    """E[D(y, sigma) | y'] = D(y', 2 sigma) for y' = y + noise: the scores of all levels are those of one law, whose
    Fokker-Planck equation they solve (Daras et al. 2023)."""
    wide = WIDER * seen.sigma
    z = seen.noise("wider")
    noisier = seen.y + math.sqrt(wide**2 - seen.sigma**2) * z
    answer = denoised(seen.denoiser, noisier, wide)
    away = (answer - seen.mean).flatten(1).double()
    along = away * _bounded(away)
    values = ((seen.x_hat - answer).flatten(1).double() * along).mean(1, keepdim=True)
    scale = float(along.square().mean())
    return Violation(values, scale, lambda m: m.square() / (4 * scale), ("scale",))


def symmetry(seen: Seen) -> Violation:
    """J = J': with A = (J - J') / 2 at two noisy versions of an event, sigma^2 E<A, A> is a part of the excess error,
    by the first Hermite coefficients of the error; in its unit."""
    v, other = seen.noise("probe").sign(), seen.again("symmetry")
    skew = [_skew(seen, y, v).flatten(1).double() for y in (seen.y, other.y)]
    values = seen.sigma**2 * (skew[0] * skew[1]).mean(1, keepdim=True)
    return Violation(values, seen.error, lambda m: m.clamp_min(0.0), ("skew part",), one_sided=True)


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
    return Violation(values, seen.error, lambda m: m.clamp_min(0.0), ("circulation",), one_sided=True)


def positivity(seen: Seen) -> Violation:
    """No negative part of J, which is a covariance over sigma^2: how far below 0 the least eigenvalue of (J + J') / 2
    is, at a few events."""
    found = [jacobian(seen.denoiser, y, seen.sigma, k=1, probes=2, seed=seen.seed).lowest for y in seen.y[:SPECTRA]]
    values = -torch.tensor(found, dtype=torch.float64).clamp_max(0.0)[:, None]
    return Violation(values, 1.0, torch.zeros_like, ("least eigenvalue",), 1e-3, one_sided=True)


IDENTITIES: dict[str, Callable[[Seen], Violation]] = {
    "orthogonality": orthogonality,
    "whiteness": whiteness,
    "second-order Tweedie": tweedie,
    "consistency in sigma": consistency,
    "symmetric Jacobian": symmetry,
    "loops": loops,
    "no negative part": positivity,
}


def by_band(a: Float[Tensor, "n *event"], b: Float[Tensor, "n *event"]) -> Float[Tensor, "n bands"]:
    """<P a, P b> / d in each octave of wavenumber of images and fields, [0, 1), [1, 2), [2, 4), ...; by coordinate of
    vectors.

    >>> x = torch.randn(2, 1, 8, 8)
    >>> torch.allclose(by_band(x, x).sum(1), x.double().square().flatten(1).mean(1))
    True
    """
    a, b = a.double(), b.double()
    if a.ndim == 2:
        return (a * b)[:, :COORDINATES] / a.shape[1]
    axes, space = tuple(range(2, a.ndim)), tuple(a.shape[2:])
    parts = (torch.fft.fftn(a, dim=axes, norm="ortho").conj() * torch.fft.fftn(b, dim=axes, norm="ortho")).real
    octave = _octaves(space).to(a.device).flatten()
    whole = parts.sum(1).flatten(1) / a[0].numel()
    return torch.zeros(len(a), int(octave.max()) + 1, dtype=a.dtype, device=a.device).index_add_(1, octave, whole)


def _octaves(space: tuple[int, ...]) -> Tensor:
    k = wavenumbers(space)
    return torch.where(k < 1, 0, k.clamp_min(1e-9).log2().floor() + 1).long().clamp_min(0)


def bands_of(event: tuple[int, ...]) -> tuple[str, ...]:
    """The names of what `by_band` tells of events."""
    if len(event) == 1:
        return tuple(f"coordinate {i + 1}" for i in range(min(event[0], COORDINATES)))
    count = int(_octaves(event[1:]).max()) + 1
    return ("k < 1", *(f"k = {2**i} to {2 ** (i + 1)}" for i in range(count - 1)))


def _channels(seen: Seen, error: Tensor) -> Tensor:
    """The mean error of each channel, or coordinate, over d."""
    each = error.reshape(len(error), *seen.x.shape[1:]).flatten(2) if seen.x.ndim > 2 else error[:, :, None]
    return each.sum(2)[:, :COORDINATES] / error.shape[1]


def _bounded(away: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
    """A factor for each row, 1 but for those far away, which count no more than near ones."""
    size = away.norm(dim=1, keepdim=True)
    most = FAR * size.median()
    return torch.where(size > most, most / size.clamp_min(_tiny(size)), torch.ones_like(size))


def _back(seen: Seen, y: Tensor, v: Tensor) -> Tensor:
    """J' v, row by row."""
    return _products(seen, y, v, forward=False)


def _skew(seen: Seen, y: Tensor, v: Tensor) -> Tensor:
    """(J v - J' v) / 2, row by row."""
    return (_products(seen, y, v, forward=True) - _products(seen, y, v, forward=False)) / 2


def _products(seen: Seen, y: Tensor, v: Tensor, *, forward: bool) -> Tensor:
    found, some = [], max(1, TOGETHER // seen.d)
    for part, probe in zip(torch.split(y, some), torch.split(v, some), strict=True):
        with torch.enable_grad():
            at = part.clone().requires_grad_(True)
            x_hat = seen.denoiser(at, torch.full((len(at),), seen.sigma).to(at))
            w = torch.zeros_like(x_hat, requires_grad=True) if forward else probe
            (back,) = torch.autograd.grad(x_hat, at, w, create_graph=forward)
            if forward:
                (back,) = torch.autograd.grad(back, w, probe)
        found.append(back.detach())
    return torch.cat(found)


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny


def look(denoiser: Denoiser, x: Tensor, sigma: float, *, seed: int = 0, number: int = 0) -> Seen:
    """Events under noise of one level, and what the denoiser makes of them."""
    y = noisy(x, sigma, seed, "certificate", number)
    x_hat = denoised(denoiser, y, sigma)
    return Seen(denoiser, x, y, x_hat, x_hat.mean(0), sigma, seed, number)
