"""Observations of x, their likelihoods, and posteriors in closed form."""

from monge.observations.exact import Exact, conditioned
from monge.observations.linear import DENSE, ITERATIONS, Linear, inverse_and_log_det, solved
from monge.observations.observation import Label, Likelihood, Observation, Poisson
from monge.observations.operators import Operator, blur, downscale, fourier, mask, projections

__all__ = [
    "DENSE",
    "ITERATIONS",
    "Exact",
    "Label",
    "Likelihood",
    "Linear",
    "Observation",
    "Operator",
    "Poisson",
    "blur",
    "conditioned",
    "downscale",
    "fourier",
    "inverse_and_log_det",
    "mask",
    "projections",
    "solved",
]
