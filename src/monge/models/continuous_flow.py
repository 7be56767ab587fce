"""Neural ODE by maximum likelihood (Chen et al. 2018; Grathwohl et al. 2019; course, section 5.3)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import objects, rng
from monge.data import Samples
from monge.densities import Gaussian
from monge.doors import number, one_of, whole
from monge.errors import BadInput
from monge.models.admission import refuse_singular
from monge.models.carrier import NFE, Carrier
from monge.models.guidance import check_dropout, check_guidance, told_to_some
from monge.models.likelihood import Likelihood
from monge.models.matching import Matching
from monge.models.network import WAVING, Choice, in_waves, seen_in_waves
from monge.models.transport_family import TransportFamily
from monge.models.velocity import Velocity
from monge.nets import Adapted, Size, Spec, field
from monge.samplers.transport import ADAPTIVE
from monge.training import Batch, Objective, Training, fastest_precision

TRAINED_STEPS = 4  # of the fixed-step solver in training
TIMES = -1.0, 1.2  # of the regression: mean and deviation of log t / (1 - t), where `Diffusion` has most levels
LOOKED_AT = 1024  # rows that the moments of the ends of lines are found by


class ContinuousFlow(TransportFamily):
    """A neural ODE: data flow to noise by dx/dt = V(x, t) (87), with the density of Liouville's equation (96),

        log p(x) = log N(x_1; m, C) + int_0^1 div V(x_t, t) dt,

    and V is learned by maximum likelihood. The noise has the data's mean m and covariance C, and V is a network's in
    coordinates in which that is N(0, Id), for vectors, and in those of the data for what lies in space.

    net: V, (x [n, *event], level [n], label or None) -> [n, *event] with second derivatives, or one that takes fewer
        of these; or a `monge.nets.Size`; a smooth perceptron for vectors and a U-Net else, unless given. It is copied.
    labels: condition on the labels, or vectors, that data have. label_dropout: share of the rows for which they are
        not told, so that log p(x) without any is known, too.
    gradients: "direct" through the steps, or "adjoint", by the adjoint equation, in memory that does not grow with
        them.
    method: of the integrator in training: fixed steps, "midpoint" or "rk4" (`steps` of them), or "dopri5" and the
        others that keep the tolerances rtol and atol, by which rows kept aside are judged in any case. Likelihoods are
        found with "dopri5", whatever it was trained by.
    kinetic, jacobian: weights of int |V|^2 dt and int |dV/dx|^2 dt in the loss (Finlay et al. 2020): straight ways,
        that few steps follow.
    regression: the share of the training with which it begins in which V is only fitted to straight lines from data to
        noise, as `FlowMatching` does: many times as fast a step, with the same law at its least. In the rest it counts
        beside the likelihood, and holds V between the steps. 0 for likelihood alone.
    periodic: circular padding, for fields on a torus.

    The divergence is exact up to 64 values an event, 8 in training, else Hutchinson's estimate, by one probe there.
    Columns that are skew or have heavy tails are learned bent (`monge.data.bends`), which the density counts.

    Can `fit`, `sample`, `log_prob`, `encode`, `decode`, `save`. Raises BadInput for steps below 1, weights below 0,
    tolerances that are not above 0, a share outside 0 to 1, and a method that there is not.

    >>> import monge, torch
    >>> model = monge.ContinuousFlow().fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False)
    >>> model.sample(3).shape, model.log_prob(torch.zeros(1, 2)).method
    (torch.Size([3, 2]), "Liouville's equation, exact divergence, rtol 1e-05, the integrator's own error not counted")
    """

    bends = True
    velocity: Velocity
    walker: Carrier

    def __init__(
        self,
        *,
        net: nn.Module | Size | None = None,
        labels: bool = False,
        label_dropout: float = 0.1,
        gradients: str = "direct",
        method: str = "rk4",
        steps: int = TRAINED_STEPS,
        rtol: float = 1e-3,
        atol: float = 1e-3,
        kinetic: float = 0.05,
        jacobian: float = 0.05,
        regression: float = 0.8,
        periodic: bool = False,
    ) -> None:
        given: dict[str, Any] = {"net": net, "labels": labels, "label_dropout": label_dropout, "periodic": periodic}
        given |= {"gradients": gradients, "method": method, "steps": steps, "rtol": rtol, "atol": atol}
        super().__init__(**given, kinetic=kinetic, jacobian=jacobian, regression=regression)
        self.takes_labels = labels
        one_of(gradients, ("direct", "adjoint"), "gradients")
        one_of(method, (*ADAPTIVE, "euler", "midpoint", "rk4"), "method")
        one_of(labels, (True, False), "labels")
        whole(steps, "steps")
        for name, value in (("rtol", rtol), ("atol", atol)):
            if number(value, name, f"{name} must be above 0 and finite") == 0:
                raise BadInput(f"{name} must be above 0 and finite, not {value}")
        for name, value in (("kinetic", kinetic), ("jacobian", jacobian)):
            number(value, name, f"{name} is a weight, 0 or more")
        number(regression, "regression", "regression is a share of the training, 0 to 1", most=1.0)
        check_dropout(label_dropout)

    # -- learning ------------------------------------------------------------------------------------------

    @property
    def exact_likelihood(self) -> bool:  # type: ignore[override]  # it hangs on the data
        """Whether `log_prob` is exact and cheap: for vectors."""
        return bool(self.record) and len(self.spec.event_shape) == 1

    def check_data(self, samples: Samples, training: Training | None) -> None:
        super().check_data(samples, training)
        refuse_singular(samples)

    def defaults(self, samples: Samples) -> Training:
        few = len(samples) < 10_000 and samples.kind == "vectors"
        clip = 5.0 * math.sqrt(math.prod(samples.event_shape))
        own: dict[str, Any] = {"batch_size": 256}
        if samples.kind != "vectors":  # and what is kept aside would take longer to judge than to learn from
            own = {"batch_size": 64, "precision": fastest_precision()}
        return Training(**own, lr=5e-3, clip=clip, validation=0.1 if few else 0.0, patience=20 if few else None)

    def choose(self, spec: Spec, training: Training) -> Choice | None:
        if self.settings["net"] is not None or not seen_in_waves(spec, self.record["data"]):
            return None
        return in_waves(lambda: field(spec, WAVING))

    def build(self, spec: Spec) -> None:
        net = self.settings["net"]
        chosen = self.record.get("network")
        size = net if net is not None or chosen is None else objects.rebuild(chosen["size"])
        made = Adapted(net, spec) if isinstance(net, nn.Module) else field(spec, size)
        self.velocity = Velocity(made, spec.event_shape if self.settings["regression"] else None)
        self.walker = Carrier(self.velocity, spec.event_shape, whitened=not spec.space)

    def prepare(self, scaled: Float[Tensor, "n *event"], moments: Gaussian | None = None) -> None:
        self.walker.look(scaled, moments, periodic=self.settings["periodic"])
        if self.velocity.linear:
            some = self.walker.entering(scaled[:LOOKED_AT])
            noise = self._noise(Batch(some, None, 0, rng.generator(0, "pairs")), some)
            self.velocity.look(some, noise, alike=self.settings["periodic"])

    @property
    def mover(self) -> Carrier:
        return self.walker

    def objectives(self) -> Sequence[Objective]:
        matching = None
        if self.settings["regression"]:
            matching = Matching(self.velocity, self._entering, self._noise, self._condition, times=TIMES)
        told = self.walker, self.settings, self.scaled, self.units.log_dets, self._condition
        return [Likelihood(*told, matching)]

    def _entering(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Data in the coordinates of the velocity."""
        return self.walker.entering(self.scaled(x, generator))

    def _noise(self, batch: Batch, x: Tensor) -> Tensor:
        """As much noise as there are rows, in the coordinates of the velocity."""
        return self.walker.coloured(torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=batch.generator))

    def _condition(self, batch: Batch) -> Tensor | None:
        return told_to_some(self.labels, batch, self.settings["label_dropout"])

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | self.walker.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(self.walker.restore(tensors))

    # -- use -----------------------------------------------------------------------------------------------

    def sample(  # type: ignore[override]  # a family's own options, by name
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        nfe: int = NFE,
        label: Any = None,
        guidance: float = 0.0,
        batch_size: int | None = None,
        show: bool = True,
    ) -> Float[Tensor, "n *event"]:
        """Draw n samples with `nfe` calls of V each, [n, *event] in data units and on the data's grid.

        label: of all samples, or n of them; None draws labels as often as training had them, and tells no vectors.
        guidance: of a label: V(label) + guidance (V(label) - V(none)), at twice the calls; 0 for its law.
        Sample start + i of a seed does not depend on n or on batch_size.

        Raises BadInput for n < 1, nfe < 1, and a label that was not trained on.
        """
        check_guidance(self, guidance, label)
        options = {"nfe": nfe, "label": label, "guidance": guidance, "batch_size": batch_size, "show": show}
        return super().sample(n, seed=seed, start=start, **options)

    def draw(self, n: int, seed: int, start: int, *, label: Any = None, **options: Any) -> Tensor:
        told = self.as_told(self.drawn_labels(label, n, seed, start), n)
        drawn: Tensor = self.walker.draw(n, seed, start, label=told, device=self.device, **options)
        return drawn
