"""The time loops."""

from monge.samplers.ode import decode, encode, log_prob
from monge.samplers.reverse import Trajectory, levels, reverse_diffusion
from monge.samplers.solvers import EulerMaruyama, ExponentialMultistep, Heun, Past, Solver, Step

__all__ = [
    "EulerMaruyama",
    "ExponentialMultistep",
    "Heun",
    "Past",
    "Solver",
    "Step",
    "Trajectory",
    "decode",
    "encode",
    "levels",
    "log_prob",
    "reverse_diffusion",
]
