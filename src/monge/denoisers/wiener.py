"""Wiener's filter: the best linear denoiser, and the exact one of a Gaussian law."""

import torch
from jaxtyping import Float
from torch import Tensor

from monge.denoisers.algebra import per_sample
from monge.densities import Gaussian
from monge.doors import of_noisy
from monge.errors import BadInput
from monge.linalg import DenseCovariance
from monge.objects import Recorded

LAG = 8.0  # sites over which an event's own autocorrelation is believed


class Wiener(Recorded):
    """D(y, sigma) = m + C (C + sigma^2)^-1 (y - m) for data of mean m and covariance C.

    Of a Gaussian law it is E[x | y]; of any law the linear map of least mean square error, the mean of lam sigma^2 /
    (lam + sigma^2) over the eigenvalues of C (`error`).

    `Wiener(moments)`; `Wiener.stationary(spectrum)`, by the spectrum of a field on a torus; `Wiener.dense(covariance)`;
    `Wiener.of(x)`, by samples. Where nothing is given, `Wiener()`, the spectrum is that of each noisy event itself:
    the power of y less sigma^2, averaged over neighbours in frequency.

    >>> D = Wiener.dense(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    >>> D(torch.ones(1, 2), torch.tensor([1.0])), D.error(torch.ones(1))
    (tensor([[0.7500, 0.5000]]), tensor([0.6250]))
    """

    def __init__(self, moments: Gaussian | None = None) -> None:
        self.moments = moments

    @classmethod
    def stationary(cls, spectrum: Float[Tensor, "c *space"], mean: Tensor | float = 0.0) -> "Wiener":
        """By E |x_hat(k)|^2 / sites on the grid of `torch.fft.fftn`, [C, *space]; the mean is a number or one a
        channel.

        Raises BadInput for a spectrum with a negative value, or that is not even.
        """
        return cls(Gaussian.stationary(spectrum, mean))

    @classmethod
    def dense(cls, covariance: Float[Tensor, "d d"], mean: Tensor | None = None) -> "Wiener":
        """By a matrix [d, d] over flattened events, and a mean [*event], 0 unless given.

        Raises BadInput for a matrix that is not symmetric, or has a negative eigenvalue.
        """
        mean = covariance.new_zeros(len(covariance)) if mean is None else mean
        return cls(Gaussian(mean, DenseCovariance(covariance, tuple(mean.shape))))

    @classmethod
    def of(cls, x: Float[Tensor, "n *event"], *, periodic: bool = False) -> "Wiener":
        """By samples: a stationary covariance where they are on a torus, else as dense as their size allows."""
        return cls(Gaussian.estimate(x, "stationary" if periodic else None))

    @of_noisy
    def __call__(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"] | float) -> Float[Tensor, "n *event"]:
        return _blind(y, sigma) if self.moments is None else self.moments.denoise(y, sigma)

    def error(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Mean square error per value at each level. Raises BadInput where the moments are those of each event."""
        if self.moments is None:
            raise BadInput("the error of Wiener's filter needs moments: give them, or Wiener.of(samples)")
        return self.moments.error(sigma)


def _blind(y: Tensor, sigma: Tensor | float) -> Tensor:
    """Wiener's filter by the spectrum of y itself, on its mirror image, which has no jump at its borders."""
    if not 3 <= y.ndim <= 5:
        raise BadInput(f"a spectrum is read off images or fields [n, C, *space], not {list(y.shape)}: give moments")
    axes, space = tuple(range(2, y.ndim)), y.shape[2:]
    wide = y
    for axis in axes:
        wide = torch.cat([wide, wide.flip(axis)], axis)
    mean = wide.mean(axes, keepdim=True)
    waves = torch.fft.fftn(wide - mean, dim=axes, norm="ortho")
    power = waves.abs().square()
    # a periodogram is as rough as it is large: its autocorrelation is tapered (Blackman and Tukey 1958)
    lags = torch.fft.ifftn(power, dim=axes).real
    for axis in axes:
        lag = torch.fft.fftfreq(wide.shape[axis], 1 / wide.shape[axis], dtype=y.dtype, device=y.device)
        taper = torch.exp(-0.5 * (lag / LAG).square())
        lags = lags * taper.reshape([-1 if a == axis else 1 for a in range(y.ndim)])
    power = torch.fft.fftn(lags, dim=axes).real.clamp(min=0)
    signal = (power - per_sample(sigma, y).square()).clamp(min=0)
    found = torch.fft.ifftn(waves * signal / power.clamp(min=torch.finfo(y.dtype).tiny), dim=axes, norm="ortho").real
    for axis, side in zip(axes, space, strict=True):
        found = found.narrow(axis, 0, side)
    restored: Tensor = mean + found
    return restored
