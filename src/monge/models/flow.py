"""What the normalizing flows share: exact likelihood, latent and sampler of one invertible map."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monge import rng
from monge.bijectors import ActNorm, Bijector, Chain, Flattened, Linear, Permutation
from monge.data import Samples
from monge.densities import Gaussian, Law
from monge.errors import BadInput
from monge.models.admission import refuse_singular
from monge.models.family import Events, Family
from monge.nets import Size, Spec
from monge.protocols import LogProb, SupportsSample
from monge.training import Batch, Loss, Objective, Training

FEW_ROWS = 10_000  # below, small batches and weights that decay fast
ASIDE_ROWS = 50_000  # below, part of the rows is kept aside, to stop by or at least to choose the best weights by
STEERING = Size(widths=(64,), blocks=1)  # of the networks of couplings
ROWS_AT_ONCE = 8192  # rows mapped at a time outside training


def in_turns(d: int, steps: Sequence[Bijector]) -> Bijector:
    """Steps one after the other on d values, the order of these reversed between them, and at the end as at first."""
    parts: list[Bijector] = []
    for i, step in enumerate(steps):
        parts += [*([Permutation(d)] if i else []), ActNorm(d), step]
    return Flattened(Chain(parts if len(steps) % 2 else [*parts, Permutation(d)]))


def mixed(d: int, steps: Sequence[Bijector]) -> Bijector:
    """Steps one after the other on d values, a linear map of these before each."""
    return Flattened(Chain([part for i, step in enumerate(steps) for part in (ActNorm(d), Linear(d, seed=i), step)]))


class Likelihood(Objective):
    """min -E log p(x), in nats and data units (76, 78)."""

    name = "nats"

    def __init__(self, flow: "Flow") -> None:
        super().__init__()
        self.bijector, self.base = flow.bijector, flow.base
        self.flow = [flow]  # in a list: its parameters are those of the two, and it is no part of this

    def forward(self, batch: Batch) -> Loss:
        (flow,) = self.flow
        x = flow.scaled(batch.x, batch.generator)
        label = None if flow.labels is None or batch.y is None else flow.labels.scaled(batch.y)
        nats = -(flow.log_density(x, label) + flow.units.log_dets(x)).mean()
        if flow.units.quantum is None:
            return Loss(nats)
        return Loss(nats, {"bits per value": nats / x[0].numel() / math.log(2) - math.log2(flow.units.quantum)})


class Flow(Family):
    """A normalizing flow: x = T(z), z ~ p_z, with log p(x) = log p_z(T^-1 x) + log |det J_T^-1(x)| (75-77).

    transport: T^-1, a `monge.bijectors.Bijector` of scaled events [n, *event]; it is copied. base: p_z, a law on its
        latents that can be drawn and has a density, and is learned where it has parameters; N(0, Id) unless given.
    labels: condition on the labels, or vectors, that data have.

    A family of flows gives `transport(spec)`; those that map vectors take the values of images and fields as such
    (`monge.bijectors.Flattened`).

    Columns and channels of fields that are skew or have heavy tails are learned bent (`monge.data.bends`), which the
    density counts.

    Can `fit`, `sample`, `log_prob`, `encode`, `decode`, `save`. Raises BadInput, at `fit`, for a base on other events
    than the latents.

    >>> import monge, torch
    >>> from monge.bijectors import ActNorm, Chain, Linear
    >>> model = monge.models.Flow(Chain([ActNorm(2), Linear(2)]))
    >>> model.fit(torch.randn(64, 2, generator=torch.manual_seed(0)), steps=5, show=False).sample(3).shape
    torch.Size([3, 2])
    """

    exact_likelihood = True
    bends = True
    bijector: Bijector
    base: Law

    def __init__(
        self, transport: Bijector | None = None, base: Law | None = None, *, labels: bool = False, **settings: Any
    ) -> None:
        given = {"transport": transport, "base": base}
        super().__init__(labels=labels, **settings, **{k: v for k, v in given.items() if v is not None})
        if transport is not None and not isinstance(transport, Bijector):
            raise BadInput(f"a transport is a bijector of monge.bijectors, not {type(transport).__name__}")
        if base is not None and not (isinstance(base, SupportsSample) and isinstance(base, Law)):
            raise BadInput(f"a base is a law of monge.densities that can be drawn, not {type(base).__name__}")
        if base is not None and base.measure != "lebesgue":
            raise BadInput(f"a law by {base.measure} measure has points and no density to be carried by a map")
        self.takes_labels = labels

    def transport(self, spec: Spec) -> Bijector:
        """The map of scaled events [n, *event], from data to latent."""
        given = self.settings.get("transport")
        if given is None:
            raise BadInput("a flow needs its map: give transport=, a bijector of events, or take SplineFlow")
        return copy.deepcopy(given)  # type: ignore[no-any-return]

    # -- learning ------------------------------------------------------------------------------------------

    def check_data(self, samples: Samples, training: Training | None) -> None:
        super().check_data(samples, training)
        refuse_singular(samples)

    def defaults(self, samples: Samples) -> Training:
        few, aside = len(samples) < FEW_ROWS, len(samples) < ASIDE_ROWS
        return Training(
            batch_size=256 if few else 512,
            lr=1e-2,
            clip=5.0 * math.sqrt(math.prod(samples.event_shape)),
            weight_decay=0.3 if few else 1e-4,
            validation=0.1 if aside else 0.0,
            patience=20 if few else 100 if aside else None,
        )

    def build(self, spec: Spec) -> None:
        self.bijector = self.transport(spec)
        shape, given = self.bijector.latent_shape(tuple(spec.event_shape)), self.settings.get("base")
        self.base = copy.deepcopy(given) if given is not None else Gaussian(torch.zeros(shape), torch.ones(shape))
        if tuple(self.base.event_shape) != shape:
            raise BadInput(f"the base is on events {list(self.base.event_shape)}, and the latents are {list(shape)}")

    def prepare(self, scaled: Float[Tensor, "n *event"]) -> None:
        self.bijector.start(scaled)

    def objectives(self) -> Sequence[Objective]:
        return [Likelihood(self)]

    def restore(self, tensors: dict[str, Tensor]) -> None:
        if isinstance(self.bijector, Flattened):  # runs of before it was have the map that is inside it
            old = "bijector.bijectors."
            tensors = {f"bijector.{k}" if k.startswith(old) else k: v for k, v in tensors.items()}
        super().restore(tensors)

    # -- use -----------------------------------------------------------------------------------------------

    def log_density(self, x: Float[Tensor, "n *event"], label: Tensor | None = None) -> Float[Tensor, " n"]:
        """log p of scaled events, in nats; label as the networks take it."""
        z, log_det = self.bijector(x, label)
        value: Tensor = self.base.log_prob(z).value + log_det
        return value

    @torch.no_grad()
    def log_prob(self, x: Events, *, label: Any = None, seed: int = 0) -> LogProb:
        """log p(x), or log p(x | label), exact, in nats and data units.

        Quantised data are spread uniformly over their grid step first, by the noise of `seed`, so the value is that of
        a density, and its mean a lower bound of the log-probability of the pixels (`bits_per_value`). A model of labels
        that is asked for none gives log sum_c p(c) p(x | c). The error is 0 up to rounding.

        Raises BadInput for events of another shape, NaN or infinity, an unknown label, or where vectors are needed.
        """
        scaling, x = self.must_be_fitted(), self.check(x)
        scaled = self.scaled(x, seed).to(self.device)
        told = self.encode_labels(label, len(x), needed=self.labels is not None and not self.labels.count)
        if told is None and self.labels is not None:
            terms = [
                self._chunked(scaled, self.encode_labels(torch.tensor(kind), len(x))) + math.log(share)
                for kind, share in zip(self.labels.seen, self.labels.shares, strict=True)
            ]
            value = torch.stack(terms).logsumexp(0)
        else:
            value = self._chunked(scaled, told)
        return LogProb(
            (value + scaling.log_dets(scaled)).to(x.device), torch.zeros(len(x)).to(value), "change of variables"
        )

    @torch.no_grad()
    def encode(self, x: Events, *, label: Any = None, seed: int | None = None) -> Float[Tensor, "n *event"]:
        """Latent of x, T^-1(x): of the base's law if the model is right; quantised data stand at their step's middle,
        or with a seed where its noise puts them.

        Raises BadInput as `log_prob` does, and where the model is conditioned and no label is given.
        """
        scaling, x = self.must_be_fitted(), self.check(x)
        scaled = (scaling.forward(x) if seed is None else self.scaled(x, seed)).to(self.device)
        z: Tensor = self.bijector(scaled, self.encode_labels(label, len(x), needed=True)).value
        return z.to(x.device)

    @torch.no_grad()
    def decode(self, z: Events, *, label: Any = None) -> Float[Tensor, "n *event"]:
        """x of a latent, T(z), the inverse of `encode` (data units, not rounded to a grid)."""
        scaling, z = self.must_be_fitted(), self.check(z, shape=self.base.event_shape)
        x = self.bijector.inverse(z.to(self.device), self.encode_labels(label, len(z), needed=True)).value
        return scaling.inverse(x).to(z.device)

    def sample(  # type: ignore[override]  # a family's own options, by name
        self, n: int, *, seed: int = 0, start: int = 0, label: Any = None, batch_size: int | None = None
    ) -> Float[Tensor, "n *event"]:
        """Draw n samples T(z), z ~ p_z, [n, *event] in data units and on the data's grid.

        label: of all samples, or n of them; None draws labels as often as training had them. Sample start + i of a seed
        does not depend on n or on batch_size.

        Raises BadInput for n < 1, a label that was not trained on, or none where vectors are needed.
        """
        return super().sample(n, seed=seed, start=start, label=label, batch_size=batch_size)

    @torch.no_grad()
    def draw(  # type: ignore[override]  # a family's own options, by name
        self, n: int, seed: int, start: int, *, label: Any = None, batch_size: int | None = None
    ) -> Tensor:
        told = self.encode_labels(self.drawn_labels(label, n, seed, start), n, needed=True)
        base: Any = self.settings.get("base") and self.base
        shape = (n, *self.base.event_shape)
        z = base.sample(n, seed=seed, start=start) if base else rng.normal(shape, seed, "latent", start=start)
        z = z.to(self.device)
        size = batch_size or ROWS_AT_ONCE
        labels = [None] * -(-n // size) if told is None else torch.split(told, size)
        parts = [self.bijector.inverse(*pair).value for pair in zip(torch.split(z, size), labels, strict=True)]
        return torch.cat(parts)

    def _chunked(self, scaled: Tensor, told: Tensor | None) -> Tensor:
        labels = [None] * -(-len(scaled) // ROWS_AT_ONCE) if told is None else torch.split(told, ROWS_AT_ONCE)
        pairs = zip(torch.split(scaled, ROWS_AT_ONCE), labels, strict=True)
        return torch.cat([self.log_density(*pair) for pair in pairs])
