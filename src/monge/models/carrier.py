"""What a velocity needs to carry noise to data and back, and to say how likely data are (course, section 5.3)."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from monge import progress, rng, samplers
from monge.densities import Gaussian, likeliest
from monge.doors import whole
from monge.errors import BadInput, NumericalFailure
from monge.models.velocity import Velocity
from monge.protocols import LogProb
from monge.samplers.transport import derivable

ROWS = 512  # integrated together
VALUES = 2**22  # drawn together
FLOOR = 2e-3  # of the noise, in the scaled data's s.d.: it has a density though data may vary nowhere
NFE = 20
LAST = 1 / 80  # 1 - t, at least, as noise levels are told
Start = Callable[[int, int, int], Tensor]  # n, seed, start -> [n, *event]


class Carrier:
    """Draws, latents and likelihoods by a velocity V(x, t), t = 0 at the data and t = 1 at the noise, scaled units.

    The noise has the mean m and the covariance C of the data, so that only what is not Gaussian is to be carried:
    x = m + C^{1/2} z, z ~ N(0, Id). With x_t on its way from x to x_1, by Liouville's equation (course (96)),

        log p(x) = log N(x_1; m, C) + int_0^1 div V(x_t, t) dt.

    whitened: whether V is that of C^{-1/2} (x - m). begins: (n, seed, start) -> [n, *event], where the ways of samples
    begin that do not begin at noise, and density: log p of it, x [n, *event] -> [n], where it is known.

    Its methods are those of `monge.models.Walker`.
    """

    def __init__(
        self,
        velocity: Velocity,
        event_shape: tuple[int, ...],
        *,
        whitened: bool = False,
        begins: Start | None = None,
        density: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.velocity, self.event_shape, self.whitened = velocity, tuple(event_shape), whitened
        self.begins, self.density = begins, density
        self._base: Gaussian | None = None

    def look(
        self, scaled: Float[Tensor, "n *event"], moments: Gaussian | None = None, *, periodic: bool = False
    ) -> None:
        """Take the moments of scaled data, unless they are given: of the structure that fits them best."""
        if moments is None:
            moments = Gaussian.estimate(scaled, likeliest(scaled, periodic=periodic))
        self._base = moments.noised(FLOOR)

    @property
    def moments(self) -> Gaussian:
        """Mean and covariance of the noise."""
        if self._base is None:
            raise BadInput("a carrier looks at data before it carries: call .look(scaled)")
        return self._base

    # -- what it does --------------------------------------------------------------------------------------

    def noise(self, n: int, seed: int, start: int = 0) -> Float[Tensor, "n *event"]:
        """Where samples start .. start + n of a seed begin, at t = 1."""
        if self.begins is not None:
            return self.begins(n, seed, start)
        return self.coloured(rng.normal((n, *self.event_shape), seed, "latent", start=start))

    @torch.no_grad()
    def draw(
        self,
        n: int,
        seed: int,
        start: int = 0,
        *,
        label: Shaped[Tensor, " n *k"] | None = None,
        nfe: int = NFE,
        guidance: float = 0.0,
        batch_size: int | None = None,
        device: torch.device | str = "cpu",
        trace: bool = False,
        show: bool = False,
    ) -> Any:
        """n scaled samples, the first being number `start`, in `nfe` calls each (`monge.samplers.walk`).

        trace: give their `Trajectory`, in y = x_t / (1 - t) and the ends x_t - t V to which straight ways would lead.
        """
        size = batch_size or max(1, min(n, VALUES // math.prod(self.event_shape)))
        drawn, seen, calls = [], [], whole(nfe, "nfe")
        with progress.bar("sampling", n * calls, show=show) as advance:
            for first in range(0, n, whole(size, "batch_size")):
                x = self.noise(min(size, n - first), seed, start + first).to(device, self._dtype)
                field = self.field(_rows(label, first, len(x)), guidance)
                watched = _Watched(field)
                for moved in samplers.walk(watched if trace else field, x, 1.0, 0.0, calls):
                    x = moved
                    advance(len(x))
                if not bool(x.isfinite().all()):
                    raise NumericalFailure("samples left the real numbers: the velocity grows without bound; fit again")
                drawn.append(self._out(x))
                seen.append(watched)
        if not trace:
            return torch.cat(drawn)
        y, x_hat = (torch.cat([torch.stack(getattr(each, name)) for each in seen], 1) for name in ("y", "x_hat"))
        return samplers.Trajectory(torch.cat(drawn), torch.tensor(seen[0].sigma), y, x_hat)

    def ways(
        self, n: int, seed: int, steps: int, *, label: Tensor | None = None, device: torch.device | str = "cpu"
    ) -> Iterator[Float[Tensor, "n *event"]]:
        """Where n samples are at t = 1 and after each of so many even steps, in the coordinates of the velocity."""
        x = self.noise(n, seed).to(device, self._dtype)
        yield x
        yield from samplers.walk(self.field(label), x, 1.0, 0.0, steps)

    def log_prob(
        self,
        x: Float[Tensor, "n *event"],
        label: Tensor | None = None,
        *,
        probes: int | None = None,
        seed: int = 0,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        show: bool = False,
    ) -> LogProb:
        """log p of scaled events, in nats."""
        if self.begins is not None and self.density is None:
            raise BadInput("the samples that it begins at have no density that is known: give a law as source")
        values, errors = [], []
        with progress.bar("log-likelihood", len(x), show=show) as advance:
            for first, some in _parts(x):
                options: dict[str, Any] = {"probes": probes, "seed": seed, "start": first, "rtol": rtol, "atol": atol}
                with torch.no_grad():
                    found = self.carried(some, _rows(label, first, len(some)), divergence=True, **options)
                assert found.error is not None
                values.append(self.of_noise(found.x, found.divergence))
                errors.append(found.error)
                advance(len(some))
        how = "exact divergence" if probes is None else f"Hutchinson divergence, {probes} probes"
        told = f"Liouville's equation, {how}, rtol {rtol:g}, the integrator's own error not counted"
        return LogProb(torch.cat(values), torch.cat(errors), told)

    def encode(self, x: Float[Tensor, "n *event"], label: Tensor | None = None) -> Float[Tensor, "n *event"]:
        """The latent of scaled events: z, or where the way begins that ends in x."""
        ends = [self.carried(some, _rows(label, i, len(some))).x for i, some in _parts(x)]
        return torch.cat([end if self.begins is not None or self.whitened else self._white(end) for end in ends])

    def decode(self, z: Float[Tensor, "n *event"], label: Tensor | None = None) -> Float[Tensor, "n *event"]:
        """Scaled events of a latent."""
        parts = []
        for i, some in _parts(z):
            begin = some if self.begins is not None else self.coloured(some)
            field = self.field(_rows(label, i, len(some)))
            parts.append(self._out(samplers.integrate(field, begin, 1.0, 0.0).x))
        return torch.cat(parts)

    # -- what that is made of ------------------------------------------------------------------------------

    def field(self, label: Tensor | None, guidance: float = 0.0) -> Any:
        """(x, t) -> V. guidance: that of the label, and so many times its difference from that of none beyond."""
        if not guidance or label is None:
            return self.velocity.of(label)
        told, none = self.velocity.of(label), self.velocity.of(None)
        return lambda x, t: torch.lerp(none(x, t), told(x, t), 1 + guidance)

    @derivable
    def carried(self, x: Float[Tensor, "n *event"], label: Tensor | None, **options: Any) -> samplers.Integrated:
        """Scaled events carried to the noise, by `monge.samplers.integrate`."""
        return samplers.integrate(self.field(label), self.entering(x), 0.0, 1.0, **options)

    def entering(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """Scaled events in the coordinates of the velocity."""
        return self._white(x) if self.whitened else x

    def coloured(self, z: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """Standard normal numbers made the noise, in the coordinates of the velocity."""
        return z if self.whitened else self.moments.to(z.device).from_noise(z)

    def of_noise(self, x: Float[Tensor, "n *event"], divergence: Tensor | None) -> Float[Tensor, " n"]:
        """log p of what came to x at the noise."""
        assert divergence is not None
        if self.density is not None:
            return divergence + self.density(x)
        z = (x if self.whitened else self._white(x)).flatten(1)
        constant = 0.5 * (self.moments.covariance.log_det().to(z) + z.shape[1] * math.log(2 * math.pi))
        value: Tensor = divergence - 0.5 * z.square().sum(1) - constant
        return value

    @property
    def _dtype(self) -> torch.dtype:
        first = next(self.velocity.parameters(), None)
        return torch.float32 if first is None else first.dtype

    def _white(self, x: Tensor) -> Tensor:
        return self.moments.to(x.device).whiten(x)

    def _out(self, x: Tensor) -> Tensor:
        return self.moments.to(x.device).from_noise(x) if self.whitened else x

    # -- a file --------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps of it; `restore` is the inverse."""
        return {f"noise/{name}": value for name, value in self.moments.state().items()}

    def restore(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take back what `tensors` gave from among those of a model, and return the others."""
        own = {name.removeprefix("noise/"): value for name, value in tensors.items() if name.startswith("noise/")}
        self._base = Gaussian.from_state(own)
        return {name: value for name, value in tensors.items() if not name.startswith("noise/")}


class _Watched:
    """A field of straight ways, and what was seen on its way."""

    def __init__(self, field: Any) -> None:
        self.field = field
        self.sigma: list[float] = []
        self.y: list[Tensor] = []
        self.x_hat: list[Tensor] = []

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        v: Tensor = self.field(x, t)
        time = float(t[0])
        left = max(1 - time, LAST)
        self.sigma.append(time / left)
        self.y.append(x / left)
        self.x_hat.append(x - time * v)
        return v


def _parts(x: Tensor) -> list[tuple[int, Tensor]]:
    return [(i * ROWS, some) for i, some in enumerate(torch.split(x, ROWS))]


def _rows(label: Tensor | None, first: int, n: int) -> Tensor | None:
    return label if label is None or len(label) == 1 else label[first : first + n]
