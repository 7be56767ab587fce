"""Laws that can be written down: energy, log-density, score, sampler and, where it is known, the exact denoiser."""

from monge.densities.empirical import Empirical
from monge.densities.gaussian import Gaussian
from monge.densities.mixture import GaussianMixture
from monge.densities.planar import Banana, Checkerboard, Moons, Pinwheel, Planar, Rings

__all__ = [
    "Banana",
    "Checkerboard",
    "Empirical",
    "Gaussian",
    "GaussianMixture",
    "Moons",
    "Pinwheel",
    "Planar",
    "Rings",
]
