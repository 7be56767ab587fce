"""Invertible maps from data to latent: forward, inverse, log_det (course, sections 4.5 and 5.1)."""

from monge import objects
from monge.bijectors.base import Bijector, Chain, Flattened, Inverse, Mapped
from monge.bijectors.elementwise import Elementwise, Logit, Tanh
from monge.bijectors.linear import ActNorm, Linear, Permutation
from monge.bijectors.scalar import Affine, AffineSpline, Moved, ScalarMap, Spline
from monge.bijectors.steered import Autoregressive, Coupling

__all__ = [
    "ActNorm",
    "Affine",
    "AffineSpline",
    "Autoregressive",
    "Bijector",
    "Chain",
    "Coupling",
    "Elementwise",
    "Flattened",
    "Inverse",
    "Linear",
    "Logit",
    "Mapped",
    "Moved",
    "Permutation",
    "ScalarMap",
    "Spline",
    "Tanh",
]

objects.register(__name__, __all__)
