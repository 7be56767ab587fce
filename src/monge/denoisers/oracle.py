"""The exact denoiser of a law that can be written down."""

from jaxtyping import Float
from torch import Tensor

from monge.densities import Gaussian
from monge.objects import Recorded
from monge.protocols import SupportsDenoise


class Oracle(Recorded):
    """D(y, sigma) = E[x | y] in closed form: the ceiling of every learned denoiser.

    Of `GaussianMixture` it is the exact answer; of `Empirical` it is the denoiser that memorises its points.

    >>> import torch; from monge.densities import Gaussian
    >>> D = Oracle(Gaussian(torch.zeros(2), torch.eye(2)))
    >>> D(torch.tensor([[2.0, 0.0]]), torch.tensor([1.0]))
    tensor([[1., 0.]])
    """

    def __init__(self, density: SupportsDenoise) -> None:
        self.density = density
        self.moments: Gaussian | None = getattr(density, "moments", None)

    def __call__(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        return self.density.denoise(y, sigma)
