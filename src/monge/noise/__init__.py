"""From x to noise: processes, their clocks, and their simulation."""

from monge.noise.processes import (
    Drive,
    LinearInterpolant,
    Marginal,
    OrnsteinUhlenbeck,
    Process,
    VarianceExploding,
    VariancePreserving,
    perturb,
)
from monge.noise.simulate import NoisingPath, simulate

__all__ = [
    "Drive",
    "LinearInterpolant",
    "Marginal",
    "NoisingPath",
    "OrnsteinUhlenbeck",
    "Process",
    "VarianceExploding",
    "VariancePreserving",
    "perturb",
    "simulate",
]
