"""Which structure the moments of a law have, by the likelihood of rows that were left out."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from monge.densities.gaussian import DENSE, FEW, Gaussian, Structure, usual

ROWS_A_VALUE = 16  # rows that are looked at, of each value of an event
SPREAD, APART = 2.0, 0.5  # within which site variances lie, as a factor, and site means, in standard deviations
SEAM = 4.0  # standard errors by which neighbours over the seam may differ from neighbours inside
QUIET = 1e-3  # noise under which likelihoods are compared, in root mean variances


def on_torus(x: Float[Tensor, "n *event"]) -> bool:
    """Whether sites are alike, neighbours over the seam as neighbours inside, and the moments of a stationary law on a
    torus fit rows that were left out better than moments without structure.

    Sides wrap around: photographs and maps do not, fields of a lattice or a periodic box do. Where they do the spectrum
    is all there is to know of the covariance, d numbers for d^2 / 2, and directions are Fourier's and not those of
    chance.

    >>> import torch
    >>> spectrum = 1 / (0.002 + torch.fft.fftfreq(8)[:, None] ** 2 + torch.fft.fftfreq(8) ** 2)[None]
    >>> x = Gaussian.stationary(spectrum).sample(400)
    >>> on_torus(x), on_torus(x[:, :, 1:, 1:])
    (True, False)
    """
    if x.ndim < 3 or len(x) < 2 * FEW or min(x.shape[2:]) < 2:
        return False
    x = x[: max(2 * FEW, ROWS_A_VALUE * x[0].numel())].double()
    axes = tuple(range(1, x.ndim - 1))
    mean, variance = x.mean(0), x.var(0)
    whole = variance.mean(axes, keepdim=True).sqrt()
    if bool(((mean - mean.mean(axes, keepdim=True)).abs() > APART * whole).any()):
        return False
    if not float(variance.min()) > 0 or bool((variance.amax(axes) > SPREAD**2 * variance.amin(axes)).any()):
        return False
    away = x - mean.mean(axes, keepdim=True)
    for axis in range(2, x.ndim):
        side = x.shape[axis]
        inside = away.narrow(axis, 0, side - 1) * away.narrow(axis, 1, side - 1)
        seam = away.select(axis, 0) * away.select(axis, -1)
        gap = seam.flatten(1).mean(1) - inside.flatten(1).mean(1)
        if float(gap.mean().abs()) > SEAM * float(gap.std()) / len(x) ** 0.5:
            return False
    return _likeliest(x, ("stationary", usual(tuple(x.shape[1:])))) == "stationary"


def likeliest(x: Float[Tensor, "n *event"], *, periodic: bool = False) -> Structure:
    """The structure of the moments of samples [n, *event] (`Gaussian.estimate`) that fits rows best which were left
    out: stationary on a torus, on which they are said to be if `periodic`; else, of up to 1,024 values over a space,
    dense or separable, by which of the two a fifth of the rows is more likely when it was found by the others; else
    what `estimate` takes.

    A matrix has d^2 / 2 numbers, which few rows do not tell: by 538 maps of 32 x 32 sites it blurs their spectrum, and
    a basis for each axis finds others more likely by .7 nats a site.

    >>> import torch
    >>> likeliest(torch.randn(60, 1, 12, 12, generator=torch.manual_seed(0)).cumsum(2).cumsum(3))
    'separable'
    """
    if periodic or on_torus(x):
        return "stationary"
    if x.ndim < 3 or len(x) < FEW or x[0].numel() > DENSE:
        return usual(tuple(x.shape[1:]))
    return _likeliest(x, ("dense", "separable"))


def _likeliest(x: Float[Tensor, "n *event"], structures: Sequence[Structure]) -> Structure:
    """By whose Gaussian a fifth of the rows is most likely, estimated of the others, all under a little noise."""
    x = x[: max(2 * FEW, ROWS_A_VALUE * x[0].numel())].double()
    some, others = x[len(x) // 5 :], x[: len(x) // 5]
    quiet = QUIET * float(x.var(0).mean().sqrt())

    def likelihood(structure: Structure) -> float:
        return float(Gaussian.estimate(some, structure).noised(quiet).log_prob(others).value.mean())

    return max(structures, key=likelihood)
