"""Wasserstein barycentres of images, by convolutions."""

import math

import torch
from torch import Tensor

from monge import progress
from monge.doors import SUM_TO_ONE
from monge.errors import BadInput, NumericalFailure

SMOOTH = 1.0  # of a pixel: scale of the kernel unless given
TOLERANCE, MOST = 1e-4, 2000


@torch.no_grad()
def barycentre(
    images: Tensor,
    weights: Tensor | None = None,
    *,
    epsilon: float | None = None,
    tolerance: float = TOLERANCE,
    iterations: int = MOST,
    show: bool = False,
) -> Tensor:
    """The law q on the grid for which sum_k w_k S_epsilon(q, p_k) is least, S the Sinkhorn divergence, [*space].

    images: p_k, non-negative, [k, *space] with 1, 2 or 3 dimensions of space, each scaled to sum to one. weights: w,
    uniform unless given. epsilon: of the squared distance in pixels; 2 unless given: the kernel e^{-r^2 / epsilon} is
    then about a pixel wide, and separates into one product of matrices for each dimension (Solomon et al. 2015). The
    divergence leaves no blur (Janati, Cuturi and Gramfort 2020): the barycentre of one image is that image.

    Raises BadInput for images or weights that cannot be used; NumericalFailure, naming the change of the last step, if
    it has not converged.

    >>> image = torch.zeros(2, 9, 9); image[0, 4, 1] = image[1, 4, 7] = 1.0
    >>> q = barycentre(image); (q == q.max()).nonzero().tolist()  # halfway, where the mean image has nothing
    [[4, 4]]
    """
    p, w = _checked(images, weights)
    epsilon = 2 * SMOOTH**2 if epsilon is None else epsilon
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise BadInput(f"epsilon must be above zero and finite, not {epsilon}")
    kernels = []
    for size in p.shape[1:]:
        place = torch.arange(size, dtype=p.dtype, device=p.device)
        kernels.append(-(place[:, None] - place).square() / epsilon)
    log_p = p.clamp_min(torch.finfo(p.dtype).tiny).log()
    shaped = w.reshape(-1, *[1] * (p.ndim - 1))
    log_v, log_d = torch.zeros_like(p), torch.zeros_like(p[:1])
    log_q, change = log_d, math.inf
    with progress.bar("barycentre", iterations, show=show) as advance:
        for _ in range(iterations):
            log_u = log_p - _smoothed(log_v, kernels)
            seen = _smoothed(log_u, kernels)
            before, log_q = log_q, log_d + (shaped * seen).sum(0, keepdim=True)
            log_v = log_q - seen
            log_d = (log_d + log_q - _smoothed(log_d, kernels)) / 2
            change = float((log_q.exp() - before.exp()).abs().sum())
            advance(1, change=change)
            if change < tolerance:
                return log_q[0].flatten().softmax(0).reshape(p.shape[1:])
    raise NumericalFailure(
        f"the barycentre did not converge: after {iterations} iterations a step still moves {change:.3g} of the mass: "
        "allow more iterations, a larger epsilon or tolerance"
    )


def _smoothed(logs: Tensor, kernels: list[Tensor]) -> Tensor:
    """log of the convolution of e^logs [k, *space] with the kernel, a dimension at a time."""
    for axis, kernel in enumerate(kernels, start=1):
        logs = (logs.movedim(axis, -1)[..., None, :] + kernel).logsumexp(-1).movedim(-1, axis)
    return logs


def _checked(images: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Laws [k, *space] and weights [k], float64."""
    if not 2 <= images.ndim <= 4 or 0 in images.shape:
        raise BadInput(f"images must be [k, *space] with 1, 2 or 3 dimensions of space, not {list(images.shape)}")
    p = images.double()
    if not ((p >= 0).all() and p.isfinite().all()):
        raise BadInput("images must be finite and zero or more: they are laws on the grid")
    total = p.flatten(1).sum(1)
    if not (total > 0).all():
        raise BadInput(f"image {int((total > 0).int().argmin())} is empty: it has no mass to move")
    w = p.new_full((len(p),), 1 / len(p)) if weights is None else weights.to(p)
    if w.shape != (len(p),) or not (w >= 0).all() or not abs(float(w.sum()) - 1) < SUM_TO_ONE:
        raise BadInput(f"weights must be {len(p)} numbers of zero or more that sum to one, not {w.tolist()}")
    return p / total.reshape(-1, *[1] * (p.ndim - 1)), w
