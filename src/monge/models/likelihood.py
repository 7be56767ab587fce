"""The objective of a neural ODE: its likelihood (Chen et al. 2018), and straight lines that hold its field."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from monge.models.carrier import Carrier
from monge.models.matching import Matching
from monge.samplers.transport import ADAPTIVE
from monge.training import Batch, Loss, Objective

EXACT_IN_TRAINING = 8  # values per event up to which the divergence is exact, else by one probe
BESIDE = 2.0  # nats that the regression counts for beside the likelihood, a value of the event


class Likelihood(Objective):
    """min E[-log p(x)] + the energies of its way (96), in nats and scaled units; Finlay et al. (2020).

    In the share `settings["regression"]` of the training with which it begins, the field is only fitted to straight
    lines from data to noise (`Matching`), some twenty times faster a step; from there on that counts beside the
    likelihood. Both are least where the field carries the one law to the other, so that neither is paid for by the
    other, and the lines hold the field where no way of this batch goes: without them steps of a fixed number are
    answered by fields that are only right at those steps.

    walker: of the field. matching: the regression, None for none. scaled, log_dets: of a family's units. condition:
    what the field is told of a batch.
    """

    def __init__(
        self,
        walker: Carrier,
        settings: Mapping[str, Any],
        scaled: Callable[[Tensor, torch.Generator], Tensor],
        log_dets: Callable[[Tensor], Tensor],
        condition: Callable[[Batch], Tensor | None],
        matching: Matching | None = None,
    ) -> None:
        super().__init__()
        self.velocity, self.walker, self.settings = walker.velocity, walker, settings
        self.scaled, self.log_dets, self.condition, self.matching = scaled, log_dets, condition, matching

    def kernels(self) -> Iterable[nn.Parameter]:
        return () if self.matching is None else self.matching.kernels()

    def forward(self, batch: Batch) -> Loss:
        numbers: dict[str, Tensor] = {}
        if self.matching is not None and self.training:
            numbers["lines"] = self.matching(batch)
            if batch.done < self.settings["regression"]:
                return Loss(numbers["lines"], numbers)
        x = self.scaled(batch.x, batch.generator)
        d, label = x[0].numel(), self.condition(batch)
        seed = int(torch.randint(2**31, (), generator=batch.generator, device=x.device))
        probes = None if d <= EXACT_IN_TRAINING else 1 if self.training else 2
        options = self._solver(batch.generator) | {
            "energies": True,
            "gradients": self.settings["gradients"] if self.training else None,
        }
        found = self.walker.carried(x, label, divergence=True, probes=probes, seed=seed, **options)
        nats = -(self.walker.of_noise(found.x, found.divergence) + self.log_dets(x)).mean()
        kinetic, jacobian = (part.mean() / d for part in (found.kinetic, found.jacobian) if part is not None)
        loss = nats + d * (self.settings["kinetic"] * kinetic + self.settings["jacobian"] * jacobian)
        if "lines" in numbers:
            loss = loss + BESIDE * d * numbers["lines"]
        numbers |= {"nats": nats, "kinetic": kinetic, "jacobian": jacobian}
        return Loss(loss if self.training else nats, numbers)

    def _solver(self, generator: torch.Generator) -> dict[str, Any]:
        """Of the integrator in training. Steps that are fixed are drawn anew each time, of lengths up to twice each
        other: between those of one grid a field would learn to be what likelihood likes and no path follows. Rows that
        are kept aside are judged by steps that keep the tolerances."""
        method, steps = self.settings["method"], self.settings["steps"]
        if method in ADAPTIVE or not self.training:
            told = {"method": method if method in ADAPTIVE else "dopri5"}
            return told | {"rtol": self.settings["rtol"], "atol": self.settings["atol"]}
        lengths = 1 + torch.rand(steps, generator=generator, device=generator.device)
        times = torch.cat([lengths.new_zeros(1), lengths.cumsum(0) / lengths.sum()])
        times[-1] = 1.0

        def grid(f: Any, y: Any, t: Tensor) -> Tensor:  # the adjoint equation runs backwards
            return times.to(t) if t[0] < t[-1] else times.to(t).flip(0)

        return {"method": method, "options": {"step_size": None, "grid_constructor": grid}}
