"""The random walk that becomes Brownian motion (course, (109-113))."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.doors import number, whole
from monge.errors import BadInput


def random_walk(
    n: int, steps: int, *, t: float = 1.0, sigma: float = 1.0, d: int = 1, seed: int = 0, start: int = 0
) -> Float[Tensor, "k n d"]:
    """n walks that go dx = +-sigma sqrt(dt) along each of d axes in each of `steps` times dt = t / steps (109).

    Returns their places after 0, 1, ..., steps, [steps + 1, n, d]. With dx^2 / dt = sigma^2 the variance at time t is
    sigma^2 t whatever dt is, and as dt -> 0 the walk tends to Brownian motion (Donsker). Its law at t is binomial, that
    of sigma sqrt(t / steps) (2 B - steps), B of `steps` even throws: its distribution function is within 1 / sqrt(2 pi
    steps) or so of that of N(0, sigma^2 t), and its excess kurtosis is -2 / steps.

    Walk start + i of a seed does not depend on n. Raises BadInput for numbers below 1, and t or sigma that is not
    positive and finite.

    >>> random_walk(2, 3, t=3.0)[..., 0].T
    tensor([[ 0.,  1.,  2.,  3.],
            [ 0., -1., -2., -1.]])
    """
    whole(n, "n"), whole(steps, "steps"), whole(d, "d")
    for name, value in (("t", t), ("sigma", sigma)):
        if number(value, name, f"{name} must be positive and finite") == 0:
            raise BadInput(f"{name} must be positive and finite, not {value}")
    u = rng.uniform((n, steps, d), seed, "random walk", start=start)
    dx = sigma * math.sqrt(t / steps)
    places = dx * torch.where(u < 0.5, -1.0, 1.0).cumsum(1)
    return torch.cat([places.new_zeros(n, 1, d), places], 1).transpose(0, 1)
