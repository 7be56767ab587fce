"""Laws in the plane that are drawn exactly, [n, 2]: what every method can be looked at on."""

from monge.data.checks import at_least_two
from monge.data.samples import Samples
from monge.densities import Banana, Checkerboard, Moons, Pinwheel, Planar, Rings


def rings(n: int = 10_000, seed: int = 0, *, count: int = 4, noise: float = 0.08) -> Samples:
    """Concentric circles: x = (3 k / count) (cos t, sin t) + noise z, with k uniform in 1..count.

    t is uniform in [0, 2 pi], z ~ N(0, Id); the circles have equal mass, and the label is k - 1 (Grathwohl
    et al., FFJORD, 2019).

    >>> rings(5).x.shape
    torch.Size([5, 2])
    """
    return _plane(Rings(count, noise), n, seed)


def moons(n: int = 10_000, seed: int = 0, *, noise: float = 0.1) -> Samples:
    """Two interleaved half circles: (cos t, sin t) or (1 - cos t, 1/2 - sin t), plus noise z.

    t is uniform in [0, pi], z ~ N(0, Id); both have mass 1/2, and the label says which
    (`sklearn.datasets.make_moons`).

    >>> moons(5).classes is None, moons(5).y.dtype
    (True, torch.int64)
    """
    return _plane(Moons(noise), n, seed)


def banana(n: int = 10_000, seed: int = 0) -> Samples:
    """x2 ~ N(0, 4), x1 | x2 ~ N(x2^2 / 4, 1), second arguments being variances.

    E x = (1, 0), Var x = (3, 4), Cov = 0: a law that second moments do not see.

    >>> banana(5).kind
    'vectors'
    """
    at_least_two(n, "banana")
    return Samples(Banana().sample(n, seed=seed), None, "vectors", "banana")


def checkerboard(n: int = 10_000, seed: int = 0) -> Samples:
    """Uniform on the 8 dark squares of a 4x4 board on [-4, 4]^2: column + row is even.

    The density is 1/32 there, so the entropy is log 32.

    >>> bool(checkerboard(100).x.abs().max() <= 4)
    True
    """
    return _plane(Checkerboard(), n, seed, labelled=False)


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
    return _plane(Pinwheel(arms, radial, tangential, rate), n, seed)


def _plane(law: Planar, n: int, seed: int, *, labelled: bool = True) -> Samples:
    at_least_two(n, law.name)
    x, piece = law.draw(n, seed=seed)
    return Samples(x, piece if labelled else None, "vectors", law.name)
