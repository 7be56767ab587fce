"""The Jacobian of a denoiser at an event: the basis in which it shrinks, and what an optimal one's could not have."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge import rng
from monge.data.fields import c_alpha
from monge.errors import BadInput
from monge.protocols import Denoiser

WHOLE = 1024  # values of an event up to which the matrix is made
PROBES = 32
TOGETHER = 2**22  # values of events that are differentiated together
REACHED = 0.99  # share of the squared weights of a site that lie within its receptive field
LEVELS = (0.02, 0.04, 0.08, 0.16)


class Jacobian(NamedTuple):
    """Of D(., sigma) at y, J = dD/dy.

    An optimal denoiser has J = Cov(x | y) / sigma^2: symmetric, positive semidefinite (course, section 11).

    eigenvalues [k], basis [k, *event]: the largest of (J + J') / 2, and the directions that D keeps by so much.
    dimension: tr J, how many directions D keeps; dimension_error: its standard error, 0 where the matrix was made.
    asymmetry: |J - J'| / |J|, Frobenius norms. lowest: the least eigenvalue of (J + J') / 2. negative: |sum of those
    below 0| / tr |.|, None where there is no matrix. reach: the distance in sites within which 99% of the squared
    weights lie by which the site in the middle is computed; None for vectors.
    """

    eigenvalues: Float[Tensor, " k"]
    basis: Float[Tensor, "k *event"]
    dimension: float
    dimension_error: float
    asymmetry: float
    lowest: float
    negative: float | None
    reach: float | None


class Slope(NamedTuple):
    """value: slope of the PSNR of D(y) against that of y. error: its standard error over images. best: alpha / (alpha +
    1). psnr: [levels, 2], in dB, of y and of D(y)."""

    value: float
    error: float
    best: float
    psnr: Float[Tensor, "levels 2"]


def jacobian(
    denoiser: Denoiser, y: Float[Tensor, "*event"], sigma: float, *, k: int = 16, probes: int = PROBES, seed: int = 0
) -> Jacobian:
    """J at one noisy event, by products: a matrix only for events of up to 1,024 values.

    Above, eigenvectors come by Lanczos's iteration, and the trace and the norms by `probes` random vectors (Hutchinson
    1990). The denoiser must be differentiable twice, as those of `monge.denoisers` are.

    Raises BadInput for k beyond the values of the event, or a level that is not above 0.

    >>> from monge.denoisers import Wiener
    >>> found = jacobian(Wiener.dense(torch.diag(torch.tensor([3.0, 1.0]))), torch.zeros(2), 1.0, k=1)
    >>> round(float(found.eigenvalues), 4), round(found.dimension, 4), found.asymmetry < 1e-6
    (0.75, 1.25, True)
    """
    d = y.numel()
    if not 1 <= k <= d or not 0 < sigma < math.inf:
        raise BadInput(f"give 1 to {d} directions and a level above 0, not k={k}, sigma={sigma}")
    products = _Products(denoiser, y, sigma)
    reach = None if y.ndim < 2 else _reach(products, y)
    if d <= WHOLE:
        rows = products.transposed(torch.eye(d, dtype=y.dtype, device=y.device))  # row i is J' e_i
        return _of_matrix(rows, y, k, reach)
    return _of_products(products, y, k, probes, seed, reach)


def overlap(first: Jacobian, second: Jacobian) -> float:
    """How far the leading directions of two denoisers are the same: |V V'|^2 / k, the mean squared cosine of the one
    basis with the space of the other; 1 of one space, k / d of spaces that know nothing of each other.

    Raises BadInput for bases of other numbers of directions, or of other events.

    >>> from monge.denoisers import Wiener
    >>> found = [jacobian(Wiener.dense(torch.diag(v)), torch.zeros(3), 1.0, k=2) for v in torch.eye(3)[:2] * 2 + 0.5]
    >>> round(overlap(found[0], found[0]), 4), overlap(*found) >= 0.5
    (1.0, True)
    """
    a, b = (part.basis.flatten(1).double() for part in (first, second))
    if a.shape != b.shape:
        raise BadInput(f"bases of as many directions of events alike overlap, not {list(a.shape)} and {list(b.shape)}")
    return float((a @ b.T).square().sum() / len(a))


def minimax_slope(
    denoiser: Denoiser,
    alpha: float,
    *,
    size: int = 40,
    n: int = 64,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
) -> Slope:
    """Slope of output PSNR against input PSNR on C^alpha images of values in (0, 1), beside the best, alpha/(alpha +
    1).

    The mean squared error of the best denoiser falls as sigma^(2 alpha / (alpha + 1)) (Korostelev and Tsybakov 1993;
    Kadkhodaie et al. 2024, section 4), in the limit of small pixels: a contour that is known to less than a pixel makes
    an error that falls faster, as sigma^(4 alpha / (2 alpha + 1)). levels: of the noise, in units of the images. The
    error is the jackknife's.

    Raises BadInput for fewer than two levels.

    >>> minimax_slope(lambda y, sigma: y, 2.0, size=16, n=8).value
    1.0
    """
    if len(levels) < 2:
        raise BadInput("a slope needs two levels of noise or more")
    x = c_alpha(n, seed, size=size, alpha=alpha).x
    pairs = []
    with torch.no_grad():
        for i, sigma in enumerate(levels):
            y = x + sigma * rng.normal(tuple(x.shape), seed, "slope", i)
            x_hat = denoiser(y, torch.full((n,), sigma))
            pairs.append(torch.stack([(part - x).square().flatten(1).mean(1) for part in (y, x_hat)]))
    errors = torch.stack(pairs).double()  # [levels, 2, n]

    def slope(mean: Tensor) -> float:
        before, after = (-10 * mean.log10()).T
        away = before - before.mean()
        return float((away * after).sum() / away.square().sum())

    left_out = np.array([slope((errors.sum(2) - errors[:, :, i]) / (n - 1)) for i in range(n)])
    spread = math.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    told = -10 * errors.mean(2).log10()
    return Slope(round(slope(errors.mean(2)), 10), spread, alpha / (alpha + 1), told.float())


class _Products:
    """J v and J' v for rows of vectors [m, d]."""

    def __init__(self, denoiser: Denoiser, y: Tensor, sigma: float) -> None:
        self.denoiser, self.y, self.sigma = denoiser, y.detach(), sigma

    def transposed(self, v: Tensor) -> Tensor:
        return self._of(v, forward=False)

    def plain(self, v: Tensor) -> Tensor:
        return self._of(v, forward=True)

    def _of(self, v: Tensor, *, forward: bool) -> Tensor:
        y = self.y.expand(len(v), *self.y.shape)
        return products(self.denoiser, y, self.sigma, v.reshape(y.shape), forward=forward).flatten(1)


def products(
    denoiser: Denoiser, y: Float[Tensor, "n *event"], sigma: float, v: Float[Tensor, "n *event"], *, forward: bool
) -> Float[Tensor, "n *event"]:
    """J v, or J' v, row by row: J' v by going back once, J v by going back through w -> J' w, which is linear in w.

    >>> products(lambda y, sigma: 2 * y, torch.zeros(1, 2), 1.0, torch.ones(1, 2), forward=True)
    tensor([[2., 2.]])
    """
    found, some = [], max(1, TOGETHER // y[0].numel())
    for part, probe in zip(torch.split(y, some), torch.split(v, some), strict=True):
        with torch.enable_grad():
            at = part.detach().clone().requires_grad_(True)
            x_hat = denoiser(at, torch.full((len(at),), sigma, dtype=at.dtype, device=at.device))
            if not x_hat.requires_grad:  # a constant
                found.append(torch.zeros_like(part))
                continue
            w = torch.zeros_like(x_hat, requires_grad=True) if forward else probe
            (back,) = torch.autograd.grad(x_hat, at, w, create_graph=forward)
            if forward:
                (back,) = torch.autograd.grad(back, w, probe)
        found.append(back.detach())
    return torch.cat(found)


def _of_matrix(rows: Tensor, y: Tensor, k: int, reach: float | None) -> Jacobian:
    J = rows.double()
    values, vectors = torch.linalg.eigh((J + J.T) / 2)
    norm = float(J.norm())
    return Jacobian(
        values.flip(0)[:k].to(y),
        vectors.T.flip(0)[:k].reshape(k, *y.shape).to(y),
        float(J.trace()),
        0.0,
        float((J - J.T).norm()) / norm if norm else 0.0,
        float(values[0]),
        float(-values.clamp(max=0).sum() / values.abs().sum().clamp(min=torch.finfo(values.dtype).tiny)),
        reach,
    )


def _of_products(products: _Products, y: Tensor, k: int, probes: int, seed: int, reach: float | None) -> Jacobian:
    from scipy.sparse.linalg import LinearOperator, eigsh

    d = y.numel()

    def symmetric(v: NDArray[Any]) -> NDArray[Any]:
        row = torch.from_numpy(np.ascontiguousarray(v.reshape(1, -1))).to(y)
        both: NDArray[Any] = ((products.plain(row) + products.transposed(row)) / 2)[0].cpu().numpy()
        return both

    operator = LinearOperator((d, d), matvec=symmetric, dtype=np.float32)
    start = rng.normal((d,), seed, "lanczos").numpy()
    values, vectors = eigsh(operator, k=k, which="LA", v0=start, tol=1e-4)
    lowest = float(eigsh(operator, k=1, which="SA", v0=start, tol=1e-3, return_eigenvectors=False)[0])
    z = rng.normal((probes, d), seed, "probes").to(y)
    once, back = products.plain(z), products.transposed(z)
    traces = (z * once).sum(1).double()
    norm = float(once.double().square().sum().sqrt())
    order = values.argsort()[::-1].copy()
    return Jacobian(
        torch.from_numpy(values[order]).to(y),
        torch.from_numpy(vectors.T[order].copy()).reshape(k, *y.shape).to(y),
        float(traces.mean()),
        float(traces.std()) / math.sqrt(probes),
        float((once - back).double().square().sum().sqrt()) / norm if norm else 0.0,
        lowest,
        None,
        reach,
    )


def _reach(products: _Products, y: Tensor) -> float:
    """Of the site in the middle of the first channel."""
    middle = [side // 2 for side in y.shape[1:]]
    one = torch.zeros_like(y)
    one[(0, *middle)] = 1
    weights = products.transposed(one.reshape(1, -1)).reshape(y.shape).double().square().sum(0)
    axes = [torch.arange(side, dtype=torch.float64) - m for side, m in zip(y.shape[1:], middle, strict=True)]
    distance = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt().flatten()
    order = distance.argsort()
    inside = weights.flatten().cpu()[order].cumsum(0)
    enough = int((inside < REACHED * inside[-1]).sum())
    return float(distance[order][min(enough, len(order) - 1)])
