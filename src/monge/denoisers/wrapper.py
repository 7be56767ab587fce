"""What a denoiser may say of itself, and denoisers made of another, which pass it on."""

import copy
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.densities import Gaussian
from monge.doors import function, like, of_noisy
from monge.errors import BadInput
from monge.objects import Recorded
from monge.protocols import Denoiser


class Informed(Denoiser, Protocol):
    """A denoiser that answers what a sampler asks besides E[x | y]; `informed` makes one of any.

    moments: the Gaussian of the mean and covariance of its law, by which a walk starts exactly; None if not known.
    blind: whether it does not read sigma. count: of rows, where each has something of its own (a label); None: any.
    """

    @property
    def moments(self) -> Gaussian | None: ...
    @property
    def blind(self) -> bool: ...
    @property
    def count(self) -> int | None: ...
    def rows(self, first: int, n: int) -> "Informed":
        """The denoiser of rows first .. first + n, for samplers that work in batches."""
        ...


UNSAID: dict[str, tuple[type, Any]] = {"moments": (Gaussian, None), "blind": (bool, False), "count": (int, None)}


class Wrapper(Recorded, nn.Module):
    """A denoiser made of another: it passes on what that one says of itself, so that wrappers compose in any order.

    One of yours gives `denoised(y, sigma)`, y [n, *event] and sigma [n], and calls `self.denoiser(y, sigma)`. Where it
    changes the law it says so by `self.moments`: those of the new law, or None, and they are found out.

    As it is, it is the denoiser that it is made of, and answers for it where that one is a mere function.

    >>> import torch
    >>> class Halved(Wrapper):
    ...     def denoised(self, y, sigma):
    ...         return self.denoiser(y, sigma) / 2
    >>> Halved(Labelled(lambda y, sigma, label: y * label[:, None], torch.tensor([2, 4])))(torch.ones(2, 1), 1.0).T
    tensor([[1., 2.]])
    """

    moments: Gaussian | None
    blind: bool
    count: int | None

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        function(denoiser, "a denoiser is a function of noisy events and their levels, (y, sigma) -> E[x | y]")
        self.denoiser = denoiser

    def denoised(self, y: Float[Tensor, "n *any"], sigma: Float[Tensor, " n"]) -> Any:
        return self.denoiser(y, sigma)

    @of_noisy
    def forward(
        self, y: Float[Tensor, "n *any"], sigma: Float[Tensor, " n"], label: Shaped[Tensor, " n *k"] | None = None
    ) -> Any:
        """E[x | y], or E[x | y, label] where what it is made of is told one."""
        return like(y, self.denoised(y, sigma) if label is None else self.told(label)(y, sigma))

    def told(self, label: Shaped[Tensor, " n *k"]) -> "Wrapper":
        """The same around what it is made of, which is told a label."""
        return self._around(Labelled(cast(Any, self.denoiser), label))

    def __getattr__(self, name: str) -> Any:
        """Of what is not its own: what the denoiser says that it is made of."""
        if name not in UNSAID:
            return super().__getattr__(name)
        kind, unsaid = UNSAID[name]
        said = getattr(self.denoiser, name, None)
        known = isinstance(said, kind) and (name != "count" or hasattr(self.denoiser, "rows"))
        return said if known else unsaid

    def __setattr__(self, name: str, value: Any) -> None:
        """What it says of itself is its own, and no part of it that is learned."""
        if name in UNSAID:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def rows(self, first: int, n: int) -> Informed:
        """That of rows first .. first + n: itself, unless each row has something of its own."""
        if self.count is None:
            return cast(Informed, self)
        return cast(Informed, self._around(cast(Informed, self.denoiser).rows(first, n)))

    def _around(self, denoiser: Denoiser) -> "Wrapper":
        made = copy.copy(self)
        made._modules, made.made_with = dict(self._modules), None
        made.denoiser = denoiser
        return made


class Labelled(Wrapper):
    """D(y, sigma) = E[x | y, label] from a denoiser (y, sigma, label): the label is bound, one for all rows or each.

    A label each belongs to its row of the whole: samplers that work in batches take the `rows` of it.

    moments: of the law of each label; the mean may be one for all rows, or one each, [n, *event].

    Raises BadInput for labels of another number than the rows.

    >>> import torch
    >>> D = Labelled(lambda y, sigma, label: y * label[:, None], torch.tensor([2, 3]))
    >>> D(torch.ones(2, 1), torch.ones(2)).T, D.rows(1, 1)(torch.ones(1, 1), torch.ones(1))
    (tensor([[2., 3.]]), tensor([[3.]]))
    """

    def __init__(
        self,
        denoiser: Callable[[Tensor, Tensor, Tensor], Tensor],
        label: Shaped[Tensor, " n *k"],
        moments: Gaussian | None = None,
    ) -> None:
        super().__init__(cast(Denoiser, denoiser))
        given = torch.as_tensor(label)
        self.label = given.reshape(1) if given.ndim == 0 else given
        self.moments = moments  # its own, not those of the law of all labels
        self.count = len(self.label) if len(self.label) > 1 else None

    def told(self, label: Shaped[Tensor, " n *k"]) -> Wrapper:
        raise BadInput("the label of this denoiser is bound: give none, or bind another to what it is made of")

    def denoised(self, y: Float[Tensor, "n *event"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n *event"]:
        if len(self.label) not in (1, len(y)):
            raise BadInput(f"there are {len(self.label)} labels for {len(y)} rows: give one, or one for each row")
        told: Any = self.denoiser
        x_hat: Tensor = told(y, sigma, self.label.expand(len(y), *self.label.shape[1:]))
        return x_hat

    def rows(self, first: int, n: int) -> Informed:
        if self.count is None:
            return cast(Informed, self)
        moments = None if self.moments is None else self.moments.rows(first, n)
        return cast(Informed, Labelled(cast(Any, self.denoiser), self.label[first : first + n], moments))


def informed(denoiser: Denoiser) -> Informed:
    """The denoiser, which answers for itself, or one that answers for it: a mere function knows nothing.

    >>> informed(lambda y, sigma: y / 2).moments is None
    True
    """
    own = all(hasattr(denoiser, name) for name in ("moments", "blind", "count", "rows"))
    return cast(Informed, denoiser if own else Wrapper(denoiser))
