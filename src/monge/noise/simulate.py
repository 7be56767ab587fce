"""The forward stochastic differential equation, step by step."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.errors import BadInput
from monge.noise.processes import Process


class NoisingPath(NamedTuple):
    """t: [steps + 1] times. x: [steps + 1, n, *event] the states at those times, the data first."""

    t: Tensor
    x: Tensor


@torch.no_grad()
def simulate(
    process: Process, x: Float[Tensor, "n *event"], t_end: float, steps: int, *, seed: int = 0, start: int = 0
) -> NoisingPath:
    """Euler-Maruyama: x_{k+1} = x_k + f(t_k) x_k h + g(t_k) sqrt(h) z_k, h = t_end / steps (course, section 5.4).

    Weak order one in h. Row i's noise belongs to sample start + i, whatever the batch.

    Raises BadInput unless t_end > 0 and steps >= 1.

    >>> from monge.noise import OrnsteinUhlenbeck
    >>> simulate(OrnsteinUhlenbeck(), torch.zeros(1000, 1), 5.0, 100).x[-1].std().round(decimals=1)
    tensor(1.)
    """
    if not t_end > 0 or steps < 1:
        raise BadInput(f"a simulation needs t_end > 0 and at least one step, not t_end={t_end}, steps={steps}")
    times = torch.linspace(0, t_end, steps + 1, dtype=x.dtype, device=x.device)
    width = t_end / steps
    states = [x]
    for k in range(steps):
        drift, diffusion = process.drive(times[k])
        z = rng.normal(tuple(x.shape), seed, "noising", k, start=start, dtype=x.dtype, device=x.device)
        states.append(states[-1] * (1 + drift * width) + diffusion * width**0.5 * z)
    return NoisingPath(times, torch.stack(states))
