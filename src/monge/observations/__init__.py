"""Observations of x, their likelihoods, and posteriors in closed form."""

from monge.observations.exact import Exact, conditioned
from monge.observations.linear import DENSE, Linear, Weighing, inverse_and_log_det
from monge.observations.observation import Label, Likelihood, Observation, Poisson
from monge.observations.operators import Operator, blur, downscale, fourier, mask, projections

__all__ = [
    "DENSE",
    "Exact",
    "Label",
    "Likelihood",
    "Linear",
    "Observation",
    "Operator",
    "Poisson",
    "Weighing",
    "blur",
    "conditioned",
    "downscale",
    "fourier",
    "inverse_and_log_det",
    "mask",
    "projections",
]
