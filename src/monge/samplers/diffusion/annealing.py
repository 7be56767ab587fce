"""Walks to a posterior by guidance: x given y and the observation, and y of x at the next level."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monge import progress, rng
from monge.denoisers import Guided
from monge.densities import Gaussian
from monge.errors import BadInput, NumericalFailure
from monge.observations import DENSE, Linear
from monge.samplers.diffusion.reverse import BATCH_VALUES

Unit = Callable[..., Tensor]  # name, shape = that of an event -> unit noise [n, *shape]
ETA = 0.85  # share of the noise of DDRM that is new
LEAST, TOLD = 1e-5, 64  # least noise of an observation, in widths of the law; units of rounding that are no direction


class Annealing:
    """From each level sigma to the next, t,

        y_t = x + (t / sigma) kept (y - x) + t sqrt(1 - kept^2) z,   kept = (t / sigma)^alpha,

    x the answer of a `Guided` denoiser at y, or, `drawn`, a draw of the Gaussian whose mean that is (`Guided.drawn`).
    With alpha = 1 and the answer it is the ancestral sampler of reverse diffusion (Ho et al. 2020), with alpha infinite
    all noise is new (DiffPIR, Zhu et al. 2023; of draws DAPS, Zhang et al. 2024, a Gibbs sampler of (x, y) where sigma
    falls). No step looks at another, nor at what is known of the law without the observation.
    """

    def __init__(self, guided: Guided, law: Gaussian, *, drawn: bool, alpha: float, seed: int) -> None:
        self.guided, self.law, self.drawn, self.alpha, self.seed = guided, law, drawn, alpha, seed

    def run(
        self, n: int, grid: Float[Tensor, " k"], options: dict[str, Any], advance: progress.Advance
    ) -> Float[Tensor, "n *event"]:
        """n samples at the end of falling levels. options: dtype and device of the samples.

        Raises NumericalFailure where some are not finite.
        """
        event_shape = tuple(self.law.event_shape)
        size = max(1, BATCH_VALUES // math.prod(event_shape))
        parts = [self._rows(first, min(size, n - first), grid, options, advance) for first in range(0, n, size)]
        x = torch.cat(parts)
        if not bool(x.isfinite().all()):
            bad = int((~x.flatten(1).isfinite().all(1)).sum())
            raise NumericalFailure(
                f"{bad} of {n} samples are not finite: the guided denoiser diverged; try another method"
            )
        return x

    def _rows(
        self, start: int, n: int, grid: Tensor, options: dict[str, Any], advance: progress.Advance
    ) -> Float[Tensor, "n *event"]:
        event = tuple(self.law.event_shape)

        def unit(*address: Any, shape: tuple[int, ...] = event) -> Tensor:
            return rng.normal((n, *shape), self.seed, *address, start=start, **options)

        levels = grid.tolist()
        y: Tensor = self.begin(unit) + levels[0] * unit("noise")
        for index, (level, below) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True)):
            y = self.step(y, level, below, lambda name, shape=event, at=index: unit(name, at, shape=shape))
            advance(n)
        return y

    def begin(self, unit: Unit) -> Tensor:
        """x where the law is taken for Gaussian, given the observation if that is linear."""
        x, seen = self.law.from_noise(unit("start")), self.guided.observation
        if not isinstance(seen, Linear):
            return x

        def products(v: Tensor, _: Any) -> Tensor:
            found: Tensor = self.law.covariance.apply(lambda lam: lam, v)
            return found

        one = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return seen.weighing(products, x[:1]).conditioned(x, one, unit("seen first", shape=(seen.size,)))

    def step(self, y: Tensor, level: float, below: float, unit: Unit) -> Tensor:
        """y at the level below. unit: unit noise of a name, and of a shape, that of events unless it is given."""
        seen, sigma = self.guided.observation, y.new_full((len(y),), level)
        if self.drawn:
            assert isinstance(seen, Linear)
            x = self.guided.drawn(y, sigma, unit("drawn"), unit("seen", (seen.size,)))
        else:
            x = self.guided(y, sigma)
        kept = (below / level) ** self.alpha
        y = x + below / level * kept * (y - x)
        return y + below * math.sqrt(1 - kept**2) * unit("step") if kept < 1 else y


class SpectralAnnealing(Annealing):
    """Denoising diffusion restoration models (DDRM, Kawar et al. 2022): with A / noise = U diag(s) V', each coordinate
    v_i of V' y_t is drawn about V' D and what was seen of it, a_i = (U' obs / noise)_i / s_i, known to 1 / s_i:

        v_i = D_i + t sqrt(1 - ETA^2) s_i (a_i - D_i) + ETA t z            where t < 1 / s_i,
        v_i = a_i + sqrt(t^2 - 1 / s_i^2) z                               where it is at least that,

    and what was not seen, D + t (sqrt(1 - ETA^2) (y - D) / sigma + ETA z).

    Raises BadInput for more than 1,024 values.
    """

    def __init__(self, guided: Guided, law: Gaussian, *, seed: int) -> None:
        super().__init__(guided, law, drawn=False, alpha=1.0, seed=seed)
        seen = guided.observation
        assert isinstance(seen, Linear)
        if seen.size > DENSE:
            raise BadInput(f'method="ddrm" is for observations of up to {DENSE:,} values: take "daps"')
        self.seen = seen
        scale = float(law.covariance.eigenvalues.max().sqrt())
        self.sd = torch.maximum(seen.noise, LEAST * scale * seen.rows(tuple(law.event_shape)).to(seen.noise))
        gram = seen.gram(lambda v, _: v, law.mean[None])[0]
        sd = self.sd.to(gram)
        square, U = torch.linalg.eigh(gram / sd / sd[:, None])
        kept = square > TOLD * torch.finfo(gram.dtype).eps * square[-1]
        self.U, self.s = U[:, kept], square[kept].sqrt()
        self.a = (seen.y.to(gram) / sd) @ self.U / self.s

    def step(self, y: Tensor, level: float, below: float, unit: Unit) -> Tensor:
        U, s, a, sd = (part.to(y) for part in (self.U, self.s, self.a, self.sd))
        D, z = self.guided.denoiser(y, y.new_full((len(y),), level)), unit("step")
        rest = D + below * (math.sqrt(1 - ETA**2) * (y - D) / level + ETA * z)

        def coordinates(x: Tensor) -> Tensor:
            return (self.seen.forward(x) / sd) @ U / s

        at, noise = coordinates(D), coordinates(z)
        near = at + below * (math.sqrt(1 - ETA**2) * s * (a - at) + ETA * noise)
        far = a + (below**2 - 1 / s.square()).clamp_min(0.0).sqrt() * noise
        moved = torch.where(below * s < 1, near, far) - coordinates(rest)
        return rest + self.seen.adjoint((moved / s) @ U.T / sd, y)
