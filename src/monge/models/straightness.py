"""What a model's transport costs: how long its ways are, and how straight, beside what the cheapest would cost."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from monge import ot, progress
from monge.doors import whole
from monge.errors import BadInput

STEPS, ROWS = 64, 1000


class TransportCost(NamedTuple):
    """Of the ways that samples come, in units in which the data have s.d. one or so, each with its standard error:

    length: mean length of a way. energy: mean of int_0^1 |dx/dt|^2 dt, at least the mean of |x_1 - x_0|^2, by which
    Benamou and Brenier (2000) find W2^2. displacement: that mean. w2: W2^2 between where ways begin and where they
    end, by an exact coupling of these points (`monge.ot.couple`). straightness: 1 - displacement / energy, 0 for
    straight ways at an even pace, which one Euler step follows (Liu et al. 2023). detour: 1 - w2 / displacement, 0
    where no other pairs of ends would be nearer.
    """

    length: tuple[float, float]
    energy: tuple[float, float]
    displacement: tuple[float, float]
    w2: float
    straightness: float
    detour: float

    def __str__(self) -> str:
        told = "  ".join(
            f"{name} {value[0]:.4g} ± {value[1]:.1g}" for name, value in zip(self._fields[:3], self[:3], strict=True)
        )
        return f"{told}  W2^2 {self.w2:.4g}  bent {self.straightness:.1%}  detour {self.detour:.1%}"


@torch.no_grad()
def transport_cost(
    model: Any, n: int = ROWS, *, seed: int = 0, steps: int = STEPS, label: Any = None, show: bool = True
) -> TransportCost:
    """Length, energy and straightness of the ways of n samples, followed in so many even steps.

    model: one that carries noise, or another cloud, to data by a velocity: `ContinuousFlow`, `FlowMatching` or
    `Diffusion`, whose denoiser's is that of straight lines, x_t = (1 - t) x_0 + t z. The ways are those of the scaled
    data, in the coordinates in which the model moves.

    Raises BadInput for another model, and n or steps below 2.

    >>> import monge
    >>> x = torch.randn(64, 2, generator=torch.manual_seed(0))
    >>> cost = transport_cost(monge.FlowMatching(pairing="transport").fit(x, steps=5, show=False), 50, show=False)
    >>> cost.energy[0] >= cost.displacement[0] >= cost.w2
    True
    """
    if not hasattr(type(model), "mover"):
        raise BadInput(
            f"{type(model).__name__} has no velocity whose ways are counted: take Diffusion, FlowMatching or "
            "ContinuousFlow"
        )
    model.must_be_fitted()
    carrier = model.mover
    whole(n, "n", 2), whole(steps, "steps", 2)
    told = model.encode_labels(model.drawn_labels(label, n, seed, 0), n)
    length = energy = torch.zeros(n)
    first = last = None
    with progress.bar("ways", steps, show=show) as advance:
        for x in carrier.ways(n, seed, steps, label=told, device=model.device):
            x = x.flatten(1).double().cpu()
            if last is not None:
                moved = (x - last).square().sum(1)
                length, energy = length + moved.sqrt(), energy + steps * moved
                advance()
            first, last = x if first is None else first, x
    assert first is not None
    assert last is not None
    displacement = (last - first).square().sum(1)
    w2 = ot.couple(first, last).value
    ways, spent, moved_by = (_mean(each) for each in (length, energy, displacement))
    return TransportCost(ways, spent, moved_by, w2, 1 - moved_by[0] / spent[0], 1 - w2 / moved_by[0])


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)
