"""From x to noise: processes and their clocks, their simulation, and what they do to a law, exactly."""

from monge import objects
from monge.noise.finite import FiniteChain
from monge.noise.fokker_planck import Evolution, fokker_planck
from monge.noise.liouville import liouville
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
from monge.noise.random_walk import random_walk
from monge.noise.simulate import NoisingPath, simulate

__all__ = [
    "Drive",
    "Evolution",
    "FiniteChain",
    "LinearInterpolant",
    "Marginal",
    "NoisingPath",
    "OrnsteinUhlenbeck",
    "Process",
    "VarianceExploding",
    "VariancePreserving",
    "fokker_planck",
    "liouville",
    "perturb",
    "random_walk",
    "simulate",
]

objects.register(__name__, __all__)
