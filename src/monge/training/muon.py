"""Muon: kernels moved by their momentum made orthogonal."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

SIZE = 0.2  # root mean square of a step over the learning rate, about that of AdamW (Liu et al. 2025)
TURNS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # brings singular values into .7 to 1.2, and small ones there fast


class Muon(torch.optim.Optimizer):
    """w <- (1 - lr decay) w - lr .2 sqrt(max(r, c)) U V', where U S V' is the momentum of w as a matrix [r, c].

    Jordan et al. (*Muon*, 2024), with the size of Liu et al. (2025), so that a learning rate means what it does in
    AdamW. All directions of a kernel move by as much as its steepest one: for convolutions that is worth half as
    many steps again. A kernel [out, in, *window] is the matrix [out, in * window]; kernels of one size are turned
    together.

    >>> w = nn.Parameter(torch.zeros(2, 3))
    >>> w.grad = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1e-3, 0.0]])
    >>> Muon([w], lr=1.0).step()
    >>> [round(float(-w[i, i] / (0.2 * 3**0.5)), 1) for i in (0, 1)]
    [0.7, 0.5]
    """

    def __init__(
        self, kernels: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.95, weight_decay: float = 1e-2
    ) -> None:
        super().__init__(kernels, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no loss is evaluated again
        """Move every kernel that has a gradient."""
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for w in group["params"]:
                if w.grad is not None:
                    alike[w.shape].append(w)
            for kernels in alike.values():
                ahead = [self._ahead(w, group["momentum"]).flatten(1) for w in kernels]
                steps = orthogonal(torch.stack(ahead))
                size = SIZE * max(steps.shape[1:]) ** 0.5
                for w, step in zip(kernels, steps, strict=True):
                    w.mul_(1 - group["lr"] * group["weight_decay"])
                    w.add_(step.reshape(w.shape), alpha=-group["lr"] * size)

    def _ahead(self, w: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's look ahead: the running mean of the gradients, and the newest once more."""
        assert w.grad is not None
        mean = self.state[w].setdefault("mean", torch.zeros_like(w))
        mean.lerp_(w.grad, 1 - momentum)
        return w.grad.lerp(mean, momentum)


def orthogonal(m: Float[Tensor, "n r c"]) -> Float[Tensor, "n r c"]:
    """About U V' of each m = U S V', by five turns of a quintic Newton-Schulz iteration: matrix products alone.

    Every turn multiplies by a polynomial in x x', so that all are made of that smaller matrix, and x is met twice.

    >>> x = torch.randn(1, 8, 20, generator=torch.manual_seed(0))
    >>> values = torch.linalg.svdvals(orthogonal(x))
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    tall = m.shape[1] > m.shape[2]
    x = m.mT if tall else m
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    gram = x @ x.mT
    whole = torch.eye(gram.shape[1], dtype=x.dtype, device=x.device).expand_as(gram)
    for _ in range(TURNS):
        turn = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        turn.diagonal(dim1=1, dim2=2).add_(a)
        whole, gram = turn @ whole, turn @ gram @ turn
    found: Tensor = whole @ x
    return found.mT if tall else found
