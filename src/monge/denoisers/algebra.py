"""One denoiser, many readings: score, noise and velocity are linear in D(y, sigma), and are read off here only.

With y = x + sigma z and x_hat = D(y, sigma) = E[x | y] (Tweedie-Miyasawa, course (142)):

    score     grad log p_sigma(y) = (x_hat - y) / sigma^2
    noise     E[z | y]            = (y - x_hat) / sigma
    velocity  dy/dsigma           = (y - x_hat) / sigma      of the deterministic transport, alpha = 0
              dy/dlog sigma       =  y - x_hat
"""

import torch
from jaxtyping import Float
from torch import Tensor


def per_sample(sigma: Tensor | float, y: Float[Tensor, "n *event"]) -> Tensor:
    """sigma, a number or one for each row, as a tensor [n, 1, ...] that multiplies y row by row.

    >>> per_sample(2.0, torch.zeros(3, 1, 4)).shape
    torch.Size([3, 1, 1])
    """
    dtype = y.dtype if y.is_floating_point() else torch.get_default_dtype()
    level = torch.as_tensor(sigma, dtype=dtype, device=y.device).reshape(-1)
    return level.expand(len(y)).reshape(-1, *[1] * (y.ndim - 1))


def score(x_hat: Float[Tensor, "n *event"], y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Tensor:
    """grad log p_sigma(y) from the posterior mean.

    >>> score(torch.tensor([[1.0]]), torch.tensor([[3.0]]), 2.0)
    tensor([[-0.5000]])
    """
    return (x_hat - y) / per_sample(sigma, y).square()


def noise(x_hat: Float[Tensor, "n *event"], y: Float[Tensor, "n *event"], sigma: Tensor | float) -> Tensor:
    """E[z | y], the unit noise that the denoiser sees in y; also dy/dsigma of the deterministic transport.

    >>> noise(torch.tensor([[1.0]]), torch.tensor([[3.0]]), 2.0)
    tensor([[1.]])
    """
    return (y - x_hat) / per_sample(sigma, y)


velocity = noise


def velocity_in_log(x_hat: Float[Tensor, "n *event"], y: Float[Tensor, "n *event"]) -> Tensor:
    """dy/dlog sigma of the deterministic transport.

    >>> velocity_in_log(torch.tensor([[1.0]]), torch.tensor([[3.0]]))
    tensor([[2.]])
    """
    return y - x_hat


def residual_level(x_hat: Float[Tensor, "n *event"], y: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
    """Noise level that the residual shows, |y - x_hat| / sqrt(d): how a blind denoiser says what it saw.

    It is below sigma by the share of the noise that the denoiser leaves in x_hat.

    >>> residual_level(torch.zeros(1, 4), torch.full((1, 4), 3.0))
    tensor([3.])
    """
    return (y - x_hat).flatten(1).square().mean(1).sqrt()
