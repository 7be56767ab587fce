"""A denoiser that is told a label, as one that is not asked for any."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

from monge.densities import Gaussian
from monge.errors import BadInput
from monge.protocols import Denoiser


class Labelled:
    """D(y, sigma) = E[x | y, label] from a denoiser (y, sigma, label): the label is bound, one for all rows or each.

    A label each belongs to its row of the whole: samplers that work in batches take `part` of it.

    moments: mean and covariance of the law of each label; its mean may be one for all rows, or one each, [n, *event].
    gains: what a sampler has measured of the denoiser, see `monge.samplers.pilot`.

    Raises BadInput for labels of another number than the rows.

    >>> import torch
    >>> D = Labelled(lambda y, sigma, label: y * label[:, None], torch.tensor([2, 3]))
    >>> D(torch.ones(2, 1), torch.ones(2)).T, part(D, 1, 1)(torch.ones(1, 1), torch.ones(1))
    (tensor([[2., 3.]]), tensor([[3.]]))
    """

    def __init__(
        self,
        denoiser: Callable[[Tensor, Tensor, Tensor], Tensor],
        label: Shaped[Tensor, " n *k"],
        moments: Gaussian | None = None,
        gains: Any = None,
    ) -> None:
        self.denoiser, self.label, self.moments, self.gains = denoiser, label, moments, gains
        self.blind = bool(getattr(denoiser, "blind", False))

    def __call__(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        if len(self.label) not in (1, len(y)):
            raise BadInput(f"there are {len(self.label)} labels for {len(y)} rows: give one, or one for each row")
        return self.denoiser(y, sigma, self.label.expand(len(y), *self.label.shape[1:]))

    def part(self, first: int, n: int) -> "Labelled":
        """That of rows first .. first + n."""
        if len(self.label) == 1:
            return self
        moments = None if self.moments is None else self.moments.rows(first, n)
        return Labelled(self.denoiser, self.label[first : first + n], moments, self.gains)


def part(denoiser: Denoiser, first: int, n: int) -> Denoiser:
    """The denoiser of rows first .. first + n: the same, unless each row has its own label."""
    return denoiser.part(first, n) if isinstance(denoiser, Labelled) else denoiser
