"""Anybody's network as one of ours."""

import copy
import inspect
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from monge.errors import BadInput
from monge.nets.spec import Spec
from monge.protocols import SupportsKernels


class Adapted(nn.Module):
    """A copy of a network that takes the input alone, the input and a level, or also a label, called with all three.

    spec: what it will be used on. Raises BadInput if it takes no input, or returns another shape than it was given.

    >>> Adapted(nn.Linear(2, 2), Spec((2,)))(torch.zeros(3, 2), torch.zeros(3)).shape
    torch.Size([3, 2])
    """

    def __init__(self, net: nn.Module, spec: Spec) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        parameters = inspect.signature(net.forward).parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        many = any(p.kind == p.VAR_POSITIONAL for p in parameters)
        self.takes = 3 if many else min(3, len(positional))
        if not self.takes:
            raise BadInput(f"{type(net).__name__} takes no input: give a network (x [n, *event], level [n], label)")
        x = torch.zeros(2, *spec.event_shape)
        try:
            with torch.no_grad():
                out = self._call(x, torch.zeros(2), None)
        except Exception as error:  # a stranger's code: whatever it raises, its author must see
            raise BadInput(
                f"{type(net).__name__} fails on events of shape {list(spec.event_shape)} "
                f"({type(error).__name__}: {error}): give a network (x [n, *event], level [n], label) -> [n, *event]"
            ) from error
        if not isinstance(out, Tensor) or out.shape != x.shape:
            came = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise BadInput(f"{type(net).__name__} must return {list(x.shape)} for {list(x.shape)}, not {came}")

    def forward(
        self,
        x: Float[Tensor, "n *event"],
        level: Float[Tensor, " n"],
        label: Shaped[Tensor, " n *k"] | None = None,
    ) -> Float[Tensor, "n *event"]:
        out: Tensor = self._call(x, level, label)
        return out

    def kernels(self) -> list[nn.Parameter]:
        """Those that the network names, none where it names none."""
        return list(self.net.kernels()) if isinstance(self.net, SupportsKernels) else []

    def _call(self, *given: Tensor | None) -> Any:
        return self.net(*given[: self.takes])
