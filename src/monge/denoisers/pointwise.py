"""The second rung of the ladder in closed form: what a site's own value tells, filtered (course, section 6.2.3)."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import rng
from monge.denoisers.separable import ROWS, Separable
from monge.linalg import Covariance, DenseCovariance, bins

LEVELS, LOWEST, HIGHEST = 27, 0.02, 12.0  # of noise, in root mean eigenvalues
VALUES = 2**20  # that coefficients are read off, of each level
AGAIN = 8  # times that a row may come, with other noise
BOUND = 4.0  # deviations within which values are told apart
FEATURES = 3


class Pointwise(nn.Module):
    """W + U sum_m c_m(sigma) U' phi_m((W - m) / s), from the best separable denoiser W: the best of this form.

    Wiener's filter collects what the neighbours of a site say; phi_m, three functions of the value that comes of it at
    the site (a cubic, a square, a saturation), say which values there are; and the coefficients c, one for all
    directions of like eigenvalues, filter it again. Where a field has a law of one site, a potential, a floor or an
    atom, this is the first order of E[x | y] - W: of phi^4, whose network had learned nothing of <x^4> in two minutes,
    all of it.

    base: W. scale: [levels], s. coefficients: [levels, bins, 3], over sigma^2 / (1 + sigma^2), sigma in root mean
    eigenvalues. gain: [levels], by which share the mean square error of W falls.

    >>> from monge.densities import Gaussian
    >>> x = (torch.rand(500, 1, 4, 4, generator=torch.manual_seed(0)) < 0.2).float()
    >>> D = Pointwise.estimate(x, Separable.estimate(x, Gaussian.estimate(x)))
    >>> bool(D.error(torch.tensor([0.2])) < 0.6 * D.base.error(torch.tensor([0.2])))
    True
    """

    which: Tensor
    scale: Tensor
    coefficients: Tensor
    gain: Tensor

    def __init__(
        self,
        base: Separable,
        scale: Float[Tensor, " levels"],
        coefficients: Float[Tensor, "levels bins 3"],
        gain: Float[Tensor, " levels"],
    ) -> None:
        super().__init__()
        self.base = base
        for name, value in (("scale", scale), ("coefficients", coefficients), ("gain", gain)):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("which", bins(base.moments.covariance.eigenvalues), persistent=False)

    @classmethod
    def estimate(cls, x: Float[Tensor, "n *event"], base: Separable) -> "Pointwise":
        """By least squares at each level, on rows with noise; coefficients of a bin that gain nothing on the half of
        the rows that they were not read off are 0; all are of fewer than 100 rows, or two a value where the covariance
        is dense, by whose W these rows are known already."""
        moments, covariance = base.moments, base.moments.covariance
        most = max(64, VALUES // moments.covariance.eigenvalues.numel())
        rows = torch.arange(max(min(len(x), most), min(most, AGAIN * len(x)))) % min(len(x), most)
        half = rows % 2 == 0
        dense = isinstance(covariance, DenseCovariance)
        enough = len(x) >= max(ROWS, 2 * covariance.eigenvalues.numel() if dense else 0)
        unit = _unit(covariance)
        which = bins(covariance.eigenvalues)
        scales, found, gains = [], [], []
        for k, level in enumerate(_levels()):
            sigma = level * unit
            noisy = x[rows] + sigma * rng.normal((len(rows), *x.shape[1:]), 0, "pointwise", k, dtype=x.dtype)
            W = base.denoise(noisy, sigma)
            scale = float((W - moments.mean.to(W)).double().square().mean().sqrt().clamp_min(1e-12 * unit))
            seen = _features((W - moments.mean.to(W)) / scale)
            f = torch.stack([covariance.coordinates(one) for one in seen], -1)
            r = covariance.coordinates(x[rows] - W)
            parts = [_normal(f[some], r[some], which) for some in (half, ~half)]
            c, left = _solved(parts, float(r.double().square().sum()))
            c, left = c * enough, left * enough
            scales.append(scale)
            found.append(c * (1 + level**2) / level**2)
            gains.append(left)
        made = torch.stack(found).to(x.dtype)
        return cls(base, torch.tensor(scales, dtype=x.dtype), made, torch.tensor(gains, dtype=x.dtype))

    @property
    def moments(self) -> Any:
        """Of the data."""
        return self.base.moments

    def denoise(self, y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Float[Tensor, "n *event"]:
        """sigma: a number or [n]."""
        covariance = self.moments.covariance
        W = self.base.denoise(y, sigma)
        level = torch.as_tensor(sigma, dtype=y.dtype, device=y.device).reshape(-1).expand(len(y)) / _unit(covariance)
        place, share = _place(level)
        scale = torch.lerp(self.scale[place].to(y), self.scale[place + 1].to(y), share)
        c = torch.lerp(self.coefficients[place].to(y), self.coefficients[place + 1].to(y), share[:, None, None]) * (
            level.square() / (1 + level.square())
        ).reshape(-1, 1, 1)
        seen = _features((W - self.moments.mean.to(y)) / scale.reshape(-1, *[1] * (y.ndim - 1)))
        weights = c[:, self.which]  # [n, *eigenvalues, 3]
        total = sum(weights[..., m] * covariance.coordinates(one) for m, one in enumerate(seen))
        more: Tensor = W + covariance.compose(total)
        return more

    def error(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Mean square error per value of `denoise`, on the rows that it was read off."""
        place, share = _place(sigma / _unit(self.moments.covariance))
        gain = torch.lerp(self.gain[place].to(sigma), self.gain[place + 1].to(sigma), share)
        return self.base.error(sigma) * (1 - gain)

    def state(self) -> dict[str, Tensor]:
        """Tensors for a file; `from_state` is the inverse."""
        own = {"scale": self.scale, "coefficients": self.coefficients, "pointwise_gain": self.gain}
        return self.base.state() | own

    @classmethod
    def from_state(cls, state: dict[str, Tensor], moments: Any) -> "Pointwise":
        """What `state` gave, of the law of these moments."""
        base = Separable.from_state(state, moments)
        return cls(base, state["scale"], state["coefficients"], state["pointwise_gain"])


def _unit(covariance: Covariance) -> float:
    return float(covariance.eigenvalues.mean().sqrt())


def _levels() -> list[float]:
    ends = math.log(LOWEST), math.log(HIGHEST)
    return [float(level) for level in torch.linspace(*ends, LEVELS, dtype=torch.float64).exp()]


def _place(level: Tensor) -> tuple[Tensor, Tensor]:
    """The place below a level, and how far it is to the next, from 0 to 1."""
    step = (math.log(HIGHEST) - math.log(LOWEST)) / (LEVELS - 1)
    at = ((level.log() - math.log(LOWEST)) / step).clamp(0, LEVELS - 1)
    place = at.floor().clamp(max=LEVELS - 2).long()
    return place, at - place


def _features(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    c = w.clamp(-BOUND, BOUND)
    return c**3 - 3 * c, c.square() - 1, torch.tanh(2 * c)


Normal = tuple[Float[Tensor, "bins m m"], Float[Tensor, "bins m"]]


def _normal(f: Tensor, r: Tensor, which: Tensor) -> Normal:
    """Of the normal equations the matrices and right sides, summed over the directions of each bin."""
    f, r = f.reshape(len(f), -1, FEATURES), r.reshape(len(r), -1)
    outer = torch.einsum("ndi,ndj->dij", f, f).double()
    right = torch.einsum("ndi,nd->di", f, r).double()
    where, count = which.flatten(), int(which.max()) + 1
    zero = outer.new_zeros(count, FEATURES, FEATURES)
    return zero.index_add(0, where, outer), zero[:, 0].index_add(0, where, right)


def _solved(parts: list[Normal], square: float) -> tuple[Float[Tensor, "bins m"], float]:
    """Coefficients, and by which share the squared error falls."""

    def solve(A: Tensor, b: Tensor) -> Tensor:
        ridge = A.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)[:, None, None] * 1e-6
        c: Tensor = torch.linalg.solve(A + ridge * torch.eye(FEATURES, dtype=A.dtype), b)
        return c

    def falls(c: Tensor, A: Tensor, b: Tensor) -> Tensor:
        return 2 * (c * b).sum(1) - torch.einsum("bi,bij,bj->b", c, A, c)

    (A, b), (A2, b2) = parts
    both = falls(solve(A, b), A2, b2) + falls(solve(A2, b2), A, b)
    c = torch.where((both > 0)[:, None], solve(A + A2, b + b2), 0.0)
    return c, float(falls(c, A + A2, b + b2).sum() / max(square, 1e-300))
