"""How near a restored picture is to the clean one."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from monge.doors import real
from monge.errors import BadInput

WINDOW, WIDTH = 11, 1.5  # of the means that SSIM takes: sites, and s.d. of the Gaussian
K1, K2 = 0.01, 0.03


def psnr(x_hat: Float[Tensor, "n *event"], x: Tensor, span: float) -> Float[Tensor, " n"]:
    """Peak signal-to-noise ratio in dB, 10 log10(span^2 / mean (x_hat - x)^2); infinite where they agree.

    span: of the values, 255 for pictures of 8 bits. Raises BadInput for another shape.

    >>> psnr(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 25.5), 255.0)
    tensor([20.])
    """
    x_hat, x = _checked(x_hat, x, span)
    return 10 * torch.log10(span**2 / (x_hat - x).square().flatten(1).mean(1))


def ssim(x_hat: Float[Tensor, "n c h w"], x: Tensor, span: float) -> Float[Tensor, " n"]:
    """Structural similarity (Wang et al. 2004), mean over channels and places where the window of 11 sites fits.

    Of local means m, variances v and covariance c, under a Gaussian window of s.d. 1.5:

        (2 m m' + (.01 span)^2) (2 c + (.03 span)^2) / ((m^2 + m'^2 + (.01 span)^2) (v + v' + (.03 span)^2)).

    Raises BadInput for another shape, or sides below 11.

    >>> ssim(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16), 1.0) < 1
    tensor([True])
    """
    x_hat, x = _checked(x_hat, x, span)
    if x.ndim != 4 or min(x.shape[2:]) < WINDOW:
        raise BadInput(f"SSIM needs pictures [n, C, H, W] of sides of {WINDOW} or more, not {list(x.shape)}")
    place = torch.arange(WINDOW, dtype=x.dtype) - WINDOW // 2
    bell = torch.exp(-place.square() / (2 * WIDTH**2))
    bell = bell / bell.sum()

    def mean(values: Tensor) -> Tensor:
        flat = values.flatten(0, 1)[:, None]
        rows = F.conv2d(flat, bell[None, None, :, None].to(flat))
        found: Tensor = F.conv2d(rows, bell[None, None, None].to(flat))
        return found

    a, b = (x_hat.double(), x.double())
    m, n = mean(a), mean(b)
    v, w, c = mean(a * a) - m * m, mean(b * b) - n * n, mean(a * b) - m * n
    first, second = (K1 * span) ** 2, (K2 * span) ** 2
    local = (2 * m * n + first) * (2 * c + second) / ((m * m + n * n + first) * (v + w + second))
    return local.flatten(1).mean(1).reshape(len(x), -1).mean(1).to(x.dtype)


def _checked(x_hat: Tensor, x: Tensor, span: float) -> tuple[Tensor, Tensor]:
    x_hat, x = real(x_hat, "x_hat"), real(x)
    if x_hat.shape != x.shape or x.ndim < 2 or not x.numel():
        raise BadInput(
            f"the reference must have the shape of what it is compared with, {list(x_hat.shape)}, not {list(x.shape)}"
        )
    if not 0 < span < math.inf:
        raise BadInput(f"span is that of the values, above 0 and finite, such as 255 for 8 bits, not {span}")
    return x_hat, x
