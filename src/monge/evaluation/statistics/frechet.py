"""Frechet's distance between the Gaussians of two clouds of features."""

import torch
from jaxtyping import Float
from torch import Tensor

from monge.doors import real
from monge.errors import BadInput

RIDGE = 1e-6


def frechet_distance(
    mean_x: Float[Tensor, "*b k"],
    cov_x: Float[Tensor, "*b k k"],
    mean_y: Float[Tensor, "*b k"],
    cov_y: Float[Tensor, "*b k k"],
) -> Float[Tensor, "*b"]:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^1/2), the squared Wasserstein distance of two Gaussians (69), in float64.

    >>> eye = torch.eye(2, dtype=torch.float64)
    >>> frechet_distance(torch.zeros(2), eye, torch.ones(2), 4 * eye).item()
    4.0
    """
    mean_x, cov_x, mean_y, cov_y = (real(part).double() for part in (mean_x, cov_x, mean_y, cov_y))
    k = mean_x.shape[-1:]
    if mean_y.shape[-1:] != k or not cov_x.shape[-2:] == cov_y.shape[-2:] == k + k:
        shapes = " and ".join(str(list(part.shape)) for part in (mean_x, cov_x, mean_y, cov_y))
        raise BadInput(f"means must be [*b, k] and covariances [*b, k, k], not {shapes}")
    trace_x, trace_y = (cov.diagonal(dim1=-2, dim2=-1).sum(-1) for cov in (cov_x, cov_y))
    values, vectors = torch.linalg.eigh(cov_x)
    root = (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ cov_y @ root).clamp(min=0).sqrt().sum(-1)
    traces = trace_x + trace_y
    found: Tensor = (mean_x - mean_y).square().sum(-1) + traces - 2 * cross
    return found.clamp(min=0)  # rounding may leave less


def moments(rows: Float[Tensor, "n k"]) -> Float[Tensor, "n q"]:
    """A row and its products of two, whose means are those that `gaussian_statistic` takes: q = k + k^2.

    >>> moments(torch.tensor([[2.0, 3.0]])).tolist()
    [[2.0, 3.0, 4.0, 6.0, 6.0, 9.0]]
    """
    return torch.cat([rows, (rows[:, :, None] * rows[:, None]).flatten(1)], 1)


def gaussian_statistic(p: Float[Tensor, "b q"], q: Float[Tensor, "b q"]) -> Float[Tensor, "b 1"]:
    """Frechet's distance from mean `moments`, never negative.

    >>> both = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 2.0]])
    >>> round(gaussian_statistic(*both).item(), 4)
    1.0
    """
    k = int((1 + 4 * p.shape[1]) ** 0.5 - 1) // 2
    parts = []
    for side in (p, q):
        mean, second = side[:, :k].double(), side[:, k:].reshape(-1, k, k).double()
        cov = second - mean[:, :, None] * mean[:, None]
        parts += [mean, cov + RIDGE * torch.eye(k, dtype=torch.float64)]
    return frechet_distance(*parts)[:, None]
