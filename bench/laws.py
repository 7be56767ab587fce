"""The exact log-densities of the five built-in laws of the plane, in float64."""

import math

import torch
from torch import Tensor

from monge.densities import Banana

T = torch.float64


def rings(x: Tensor, count: int = 4, noise: float = 0.08) -> Tensor:
    """A circle blurred by a Gaussian: exp(-(r^2 + R^2) / 2 s^2) I_0(r R / s^2) / (2 pi s^2)."""
    r, radius = x.to(T).norm(dim=1, keepdim=True), 3 * torch.arange(1, count + 1, dtype=T) / count
    bessel = torch.special.i0e(r * radius / noise**2).log()
    return (bessel - (r - radius) ** 2 / (2 * noise**2)).logsumexp(1) - math.log(2 * math.pi * noise**2 * count)


def moons(x: Tensor, noise: float = 0.1, points: int = 4000) -> Tensor:
    """The mean over points along both arcs of a Gaussian about each: midpoints, spaced far below the noise."""
    t = (torch.arange(points, dtype=T) + 0.5) / points * math.pi
    upper = torch.stack([t.cos(), t.sin()], 1)
    arcs = torch.cat([upper, torch.tensor([1.0, 0.5], dtype=T) - upper])
    logs = [(-(torch.cdist(part, arcs) ** 2) / (2 * noise**2)).logsumexp(1) for part in torch.split(x.to(T), 500)]
    return torch.cat(logs) - math.log(2 * points * 2 * math.pi * noise**2)


def banana(x: Tensor) -> Tensor:
    return Banana().log_prob(x.to(T)).value


def checkerboard(x: Tensor) -> Tensor:
    return torch.full((len(x),), -math.log(32.0), dtype=T)


def pinwheel(
    x: Tensor, arms: int = 5, radial: float = 0.3, tangential: float = 0.1, rate: float = 0.25, grid: int = 6000
) -> Tensor:
    """x = 2 R(angle_k(a)) (a, b): the sum over arms, and over all a that x may come from, of p(a) p(b) / |det|.

    Those a are the roots of u_1(a) = a, u = R^-1 x / 2; |det| = |1 - du_1/da| / 4 as b is u_2 there.
    """
    x = x.to(T) / 2
    a = 1 + radial * torch.linspace(-6, 6, grid, dtype=T)
    density = torch.zeros(len(x), dtype=T)
    for arm in range(arms):
        turn = 2 * math.pi * arm / arms

        def along(a: Tensor, p: Tensor, turn: float = turn) -> tuple[Tensor, Tensor]:
            angle = turn + rate * a.exp()
            return p[..., 0] * angle.cos() + p[..., 1] * angle.sin(), p[..., 1] * angle.cos() - p[..., 0] * angle.sin()

        for first in range(0, len(x), 400):
            p = x[first : first + 400]
            miss = along(a, p[:, None])[0] - a
            row, cell = (miss[:, :-1] * miss[:, 1:] <= 0).nonzero(as_tuple=True)
            before, after = miss[row, cell], miss[row, cell + 1]
            root = a[cell] + (a[cell + 1] - a[cell]) * before / (before - after)
            for _ in range(4):  # Newton
                u1, u2 = along(root, p[row])
                root = root - (u1 - root) / (rate * root.exp() * u2 - 1)
            u2 = along(root, p[row])[1]
            scale = (1 - rate * root.exp() * u2).abs() * 2 * math.pi * radial * tangential * arms * 4
            each = (-0.5 * ((root - 1) / radial) ** 2 - 0.5 * (u2 / tangential) ** 2).exp() / scale
            density[first : first + 400].index_add_(0, row, each)
    return density.clamp_min(1e-300).log()


LAWS = {"rings": rings, "moons": moons, "banana": banana, "checkerboard": checkerboard, "pinwheel": pinwheel}
