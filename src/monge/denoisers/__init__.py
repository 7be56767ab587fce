"""E[x given y], by closed form or network, and everything that is read off it."""

from monge.denoisers.algebra import (
    from_noise,
    from_score,
    noise,
    per_sample,
    residual_level,
    score,
    velocity,
    velocity_in_log,
)
from monge.denoisers.labelled import Labelled, part
from monge.denoisers.neural import Neural
from monge.denoisers.oracle import Oracle

__all__ = [
    "Labelled",
    "Neural",
    "Oracle",
    "from_noise",
    "from_score",
    "noise",
    "part",
    "per_sample",
    "residual_level",
    "score",
    "velocity",
    "velocity_in_log",
]
