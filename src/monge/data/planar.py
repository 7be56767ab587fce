"""Laws in the plane that are drawn exactly, [n, 2]: what every method can be looked at on."""

import math

import torch
from torch import Tensor

from monge import rng
from monge.data.samples import Samples, at_least_two
from monge.densities import Banana
from monge.errors import BadInput


def rings(n: int = 10_000, seed: int = 0, *, count: int = 4, noise: float = 0.08) -> Samples:
    """Concentric circles: x = (3 k / count) (cos t, sin t) + noise z, with k uniform in 1..count.

    t is uniform in [0, 2 pi], z ~ N(0, Id); the circles have equal mass, and the label is k - 1 (Grathwohl
    et al., FFJORD, 2019).

    >>> rings(5).x.shape
    torch.Size([5, 2])
    """
    u = _uniform(n, 2, seed, "rings")
    k = _index(u[:, 0], count, "count")
    radius = 3.0 * (k + 1) / count
    return _plane("rings", radius[:, None] * _circle(2 * math.pi * u[:, 1]) + noise * _normal(n, seed, "rings"), k)


def moons(n: int = 10_000, seed: int = 0, *, noise: float = 0.1) -> Samples:
    """Two interleaved half circles: (cos t, sin t) or (1 - cos t, 1/2 - sin t), plus noise z.

    t is uniform in [0, pi], z ~ N(0, Id); both have mass 1/2, and the label says which
    (`sklearn.datasets.make_moons`).

    >>> moons(5).classes is None, moons(5).y.dtype
    (True, torch.int64)
    """
    u = _uniform(n, 2, seed, "moons")
    k = _index(u[:, 0], 2, "count")
    upper = _circle(math.pi * u[:, 1])
    x = torch.where(k[:, None] == 0, upper, torch.tensor([1.0, 0.5]) - upper)
    return _plane("moons", x + noise * _normal(n, seed, "moons"), k)


def banana(n: int = 10_000, seed: int = 0) -> Samples:
    """x2 ~ N(0, 4), x1 | x2 ~ N(x2^2 / 4, 1), second arguments being variances.

    E x = (1, 0), Var x = (3, 4), Cov = 0: a law that second moments do not see.

    >>> banana(5).kind
    'vectors'
    """
    at_least_two(n, "banana")
    return _plane("banana", Banana().sample(n, seed=seed))


def checkerboard(n: int = 10_000, seed: int = 0) -> Samples:
    """Uniform on the 8 dark squares of a 4x4 board on [-4, 4]^2: column + row is even.

    The density is 1/32 there, so the entropy is log 32.

    >>> bool(checkerboard(100).x.abs().max() <= 4)
    True
    """
    u = _uniform(n, 4, seed, "checkerboard")
    column = _index(u[:, 0], 4, "count")
    row = 2 * _index(u[:, 1], 2, "count") + column % 2
    return _plane("checkerboard", 2.0 * (torch.stack([column, row], 1) + u[:, 2:]) - 4.0)


def pinwheel(
    n: int = 10_000,
    seed: int = 0,
    *,
    arms: int = 5,
    radial: float = 0.3,
    tangential: float = 0.1,
    rate: float = 0.25,
) -> Samples:
    """Spiral arms: 2 (1 + radial z1, tangential z2), turned by 2 pi k / arms + rate exp(1 + radial z1).

    The arm k is uniform and is the label (Johnson et al., *Structured variational autoencoders*, 2016).

    >>> pinwheel(50).y.max()
    tensor(4)
    """
    k = _index(_uniform(n, 1, seed, "pinwheel")[:, 0], arms, "arms")
    z = _normal(n, seed, "pinwheel")
    a, b = 1.0 + radial * z[:, 0], tangential * z[:, 1]
    angle = 2 * math.pi * k / arms + rate * a.exp()
    x = torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], 1)
    return _plane("pinwheel", 2.0 * x, k)


def _plane(name: str, x: Tensor, y: Tensor | None = None) -> Samples:
    return Samples(x, y, "vectors", name)


def _uniform(n: int, columns: int, seed: int, name: str) -> Tensor:
    at_least_two(n, name)
    return rng.uniform((n, columns), seed, "data", name, "uniform")


def _normal(n: int, seed: int, name: str) -> Tensor:
    at_least_two(n, name)
    return rng.normal((n, 2), seed, "data", name, "normal")


def _index(u: Tensor, count: int, option: str) -> Tensor:
    """Uniform u in (0, 1) to a uniform index in 0..count-1."""
    if count < 1:
        raise BadInput(f"{option}={count}: give 1 or more")
    return (u * count).long().clamp_(max=count - 1)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], 1)
