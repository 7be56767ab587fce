"""E[x given y], by closed form or network, and everything that is read off it."""

from monge import objects
from monge.denoisers.algebra import (
    noise,
    per_sample,
    residual_level,
    score,
    velocity,
    velocity_in_log,
)
from monge.denoisers.choices import Choices
from monge.denoisers.clock import AtTime, from_noise, from_score, from_velocity, to_noise, to_score, to_velocity
from monge.denoisers.colour import ByChannel
from monge.denoisers.errors import denoised, denoising_errors, noisy
from monge.denoisers.guided import Guided, Twist
from monge.denoisers.neural import Neural
from monge.denoisers.oracle import Oracle
from monge.denoisers.patches import PatchMixture
from monge.denoisers.pointwise import Pointwise
from monge.denoisers.separable import Separable
from monge.denoisers.symmetric import Symmetric
from monge.denoisers.tiles import Tiled
from monge.denoisers.wavelets import WaveletShrinkage, noise_level
from monge.denoisers.wiener import Wiener
from monge.denoisers.wrapper import Informed, Labelled, Wrapper, informed

__all__ = [
    "AtTime",
    "ByChannel",
    "Choices",
    "Guided",
    "Informed",
    "Labelled",
    "Neural",
    "Oracle",
    "PatchMixture",
    "Pointwise",
    "Separable",
    "Symmetric",
    "Tiled",
    "Twist",
    "WaveletShrinkage",
    "Wiener",
    "Wrapper",
    "denoised",
    "denoising_errors",
    "from_noise",
    "from_score",
    "from_velocity",
    "informed",
    "noise",
    "noise_level",
    "noisy",
    "per_sample",
    "residual_level",
    "score",
    "to_noise",
    "to_score",
    "to_velocity",
    "velocity",
    "velocity_in_log",
]

objects.register(__name__, __all__)
