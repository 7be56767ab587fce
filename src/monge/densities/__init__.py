"""Laws that can be written down: energy, log-density, score, sampler and, where it is known, the exact denoiser."""

from monge import objects
from monge.densities.divergences import (
    Divergences,
    Estimate,
    SampledLaw,
    divergences,
    js_divergence,
    kl_divergence,
    total_variation,
)
from monge.densities.empirical import Empirical
from monge.densities.gaussian import Gaussian, Structure
from monge.densities.lattice import CRITICAL, Ising, Phi4
from monge.densities.law import Energy, Law, Sum, Tempered, Transformed
from monge.densities.mixture import GaussianMixture
from monge.densities.planar import Banana, Checkerboard, Moons, Pinwheel, Planar, Rings
from monge.densities.stationarity import likeliest, on_torus
from monge.densities.wells import DoubleWell, Funnel

__all__ = [
    "CRITICAL",
    "Banana",
    "Checkerboard",
    "Divergences",
    "DoubleWell",
    "Empirical",
    "Energy",
    "Estimate",
    "Funnel",
    "Gaussian",
    "GaussianMixture",
    "Ising",
    "Law",
    "Moons",
    "Phi4",
    "Pinwheel",
    "Planar",
    "Rings",
    "SampledLaw",
    "Structure",
    "Sum",
    "Tempered",
    "Transformed",
    "divergences",
    "js_divergence",
    "kl_divergence",
    "likeliest",
    "on_torus",
    "total_variation",
]

objects.register(__name__, __all__)
