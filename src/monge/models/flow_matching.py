"""Flow matching: the velocity of a neural ODE by regression on paths (Lipman et al. 2023; Tong et al. 2024)."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import data as datasets
from monge import rng
from monge.data import Samples
from monge.densities import Gaussian, Law
from monge.doors import number, one_of, whole
from monge.errors import BadInput
from monge.models import cloud as clouds
from monge.models.carrier import Carrier
from monge.models.denoiser_family import DenoiserFamily
from monge.models.denoising import Denoising
from monge.models.family import Events
from monge.models.guidance import told_to_some
from monge.models.matching import Matching
from monge.models.pairing import paired, weight_of
from monge.models.velocity import Velocity
from monge.models.walker import Walker
from monge.nets import Size, Spec
from monge.noise import LinearInterpolant, Process
from monge.training import Batch, Objective

PAIRINGS = "independent", "transport", "given"
POOL = 1024  # rows that are paired together
LOOKED_AT = 1024  # rows that the moments of pairs are found by
START = "source/x"


class FlowMatching(DenoiserFamily):
    """The velocity of an ODE from noise to data, E[dx_t/dt | x_t], by regression on paths x_t of pairs.

    pairing: which data x_0 and noise x_1 make a path x_t = (1 - t) x_0 + t x_1.
        "independent": any. The path is then Gaussian and the velocity that of a denoiser, V = (x_t - D) / t
            (`monge.denoisers.from_velocity`), and its regression in units of what the best linear velocity leaves is
            that of `Diffusion`: the model is one, is drawn from as one, in few calls, with alpha > 0 too, and denoises.
        "transport": by exact optimal transport (`monge.ot.couple`) of `pool` rows, 1,024 unless given and a batch at
            least, and as many points of noise, so that ways are straighter: fewer calls follow them. Labels and vectors
            are part of the cost (`monge.models.pairing`). The noise has the data's mean and covariance.
        "given": those of `fit(data, source=...)`, row by row. The law is theirs, and a point goes where its pair did as
            far as straight ways between pairs do not cross.
    path: a `monge.noise.Process` between data and noise, for independent pairs; times are uniform between those of the
        lowest and the highest level. None: the straight line, with log t / (1 - t) as `Diffusion` draws log sigma.
    source: a law that takes the place of the noise, and whose density is that of the model carried along; or a cloud,
        given to `fit`.
    bridge: standard deviation, in the scaled data's, of a Brownian bridge in place of the line, with an entropic
        pairing of epsilon 2 bridge^2: Schrodinger's bridge (Tong et al. 2024), for pairing="transport".
    net, labels, label_dropout, periodic, augment, bend: as in `Diffusion`; networks are told t.

    Can `fit`, `sample`, `log_prob`, `encode`, `decode`, `save`, each with a `label` where it was trained with labels,
    and `denoise` where pairs are independent. Raises BadInput for settings that do not go together.

    >>> import monge, torch
    >>> x = torch.randn(64, 2, generator=torch.manual_seed(0))
    >>> model = monge.FlowMatching(pairing="transport").fit(x, steps=5, show=False)
    >>> model.sample(3, nfe=5).shape
    torch.Size([3, 2])
    """

    carrier: Carrier

    def __init__(
        self,
        *,
        net: nn.Module | Size | None = None,
        pairing: str = "independent",
        pool: int | None = None,
        path: Any = None,
        source: Any = None,
        bridge: float = 0.0,
        labels: bool | None = None,
        label_dropout: float = 0.2,
        periodic: bool = False,
        augment: bool | None = None,
        bend: bool | None = None,
    ) -> None:
        given: dict[str, Any] = {"net": net, "pairing": pairing, "pool": pool, "path": path, "source": source}
        given |= {"bridge": bridge, "labels": labels, "label_dropout": label_dropout, "periodic": periodic}
        super().__init__(**given, augment=augment, bend=bend)
        one_of(pairing, PAIRINGS, "pairing")
        whole(POOL if pool is None else pool, "pool", 2)
        self.check_settings()
        self.cloud: Tensor | None = None
        if source is not None and not (isinstance(source, Law) and hasattr(source, "sample")):
            raise BadInput(f"a source is a law of monge.densities, and a cloud is for fit: not {type(source).__name__}")
        told = 'bridge is a deviation of 0 or more, for pairing="transport"'
        if number(bridge, "bridge", told) and pairing != "transport":
            raise BadInput(f"{told}, not for {pairing!r}")
        if not (path is None or isinstance(path, Process)):
            raise BadInput(f"a path is a process of monge.noise, LinearInterpolant() for instance, not {path!r}")
        if pairing == "given" and (labels or source is not None):
            raise BadInput("pairs that are given have no labels and no law beside them: leave these out")
        if pool is not None and pairing != "transport":
            raise BadInput('pool is of rows that are paired together, for pairing="transport": leave it out')
        self.takes_labels = labels is not False and pairing != "given"

    # -- learning ------------------------------------------------------------------------------------------

    def fit(self, data: Any, *, source: Any = None, **options: Any) -> "FlowMatching":
        """Learn the velocity from noise, or from a `source`, to the law of `data`; the options are those of every
        family.

        source: a cloud (`Samples`, or anything that `monge.data.load` takes) whose law is carried to that of the data
        in place of noise; for pairing="given" row i of it begins the way to row i of the data.

        Raises BadInput, beside what every family does, for a source of other events than the data, NaN in it, other
        numbers of rows where pairs are given, and no source where there must be one.
        """
        rows, pairing, law = datasets.load(data), self.settings["pairing"], self.settings["source"]
        given, cloud = {}, None
        self.check_settings()
        if pairing == "given":
            if source is None:
                raise BadInput('pairing="given" needs the other half of the pairs: fit(data, source=...)')
            if rows.y is not None and self.settings["labels"] is not False:
                raise BadInput(f"the labels of {rows.name} are not told beside pairs that are given: say labels=False")
        if source is not None and law is not None:
            raise BadInput("a source was given as a law: give no cloud beside it")
        if law is not None and tuple(law.event_shape) != rows.event_shape:
            raise BadInput(
                f"the source's law has events {list(law.event_shape)}, and the data {list(rows.event_shape)}"
            )
        if source is not None:
            found = clouds.fitting(source, rows)
            x = clouds.in_order(found, rows)
            if pairing == "given" and len(x) != len(rows):
                raise BadInput(f"pairs are given row by row, and there are {len(x)} of the source, {len(rows)} of data")
            rows = rows.told(x) if pairing == "given" else rows
            given = {"source": hashlib.sha256(x.numpy().tobytes()).hexdigest()[:16]}
            cloud = clouds.kept(rows if pairing == "given" else found.told(x))
        order = torch.randperm(len(rows), generator=rng.generator(0, "pairs"))
        some = rows.by_weight(0).take(order[:LOOKED_AT])
        self.cloud, self.fingerprints, self.some = cloud, given, some
        self.bends = self.usual_bends()
        return super().fit(rows, **options)

    def usual_bends(self) -> bool:
        """Whether values are learned bent: as ever, but between clouds only where it is asked for."""
        asked: bool | None = self.settings["bend"]
        return not self.begins if asked is None else asked

    @property
    def begins(self) -> bool:
        """Whether ways begin at a source in place of noise."""
        return self.settings["source"] is not None or "source" in self.fingerprints

    @property
    def carried(self) -> bool:
        """Whether it is by a velocity that is no denoiser's."""
        return self.settings["pairing"] != "independent" or self.begins

    @property
    def exact_likelihood(self) -> bool:  # type: ignore[override]  # it hangs on the data
        """Whether `log_prob` is exact and cheap: for vectors, from noise to data."""
        return not self.begins and bool(self.record) and len(self.spec.event_shape) == 1

    def check_data(self, samples: Samples, training: Any) -> None:
        super().check_data(samples, training)
        path = self.settings["path"]
        if self.carried and not (path is None or isinstance(path, LinearInterpolant)):
            raise BadInput(
                f"pairs need a path that ends at their other half, and {type(path).__name__} only tends to noise: take "
                'LinearInterpolant(), or pairing="independent"'
            )

    def build(self, spec: Spec) -> None:
        self.fingerprints = {name: value for name, value in self.record.get("shared", {}).items() if name == "source"}
        if not self.carried:
            return super().build(spec)
        self.bends = self.usual_bends()
        if self.settings["augment"]:
            raise BadInput("rows that are moved cannot be paired with the others: leave augment out")
        net = self.network(replace(spec, periodic=self.settings["periodic"]), inputs=1)
        self.velocity = Velocity(net, spec.event_shape, bridge=self.settings["bridge"])
        law = self.settings["source"]
        begins = self._begin if self.begins else None
        self.carrier = Carrier(self.velocity, spec.event_shape, begins=begins, density=law and self._density)
        return None

    def prepare(self, scaled: Float[Tensor, "n *event"], moments: Gaussian | None = None) -> None:
        if not self.carried:
            return super().prepare(scaled, moments)
        self.carrier.look(scaled, moments, periodic=self.settings["periodic"])
        if self.cloud is not None:
            self.cloud = self.units.forward(self.cloud)
            clouds.refuse_far(self.cloud)
        rows, generator = self.some, rng.generator(0, "pairs")
        batch = Batch(rows.batch(range(len(rows))), rows.y, 0, generator)
        x0 = self.scaled(batch.x, generator)
        x1, label = self._beginnings(batch, x0), self._condition(batch, 0.0)
        chosen = self.settings["pairing"] == "transport"
        vectors = chosen and label is not None and label.ndim > 1
        self.weight = weight_of(x0, x1, label) if vectors and label is not None else 0.0
        if chosen:
            x1 = x1[paired(x0, x1, label, weight=self.weight, bridge=self.settings["bridge"], generator=generator)]
        self.velocity.look(x0, x1, alike=self.settings["periodic"])
        return None

    def objectives(self) -> Sequence[Objective]:
        if not self.carried:
            settings = {**self.settings, "noise": self.settings["path"], "level_mean": None, "level_std": None}
            levels = self.levels(sampling=False)
            return [Denoising(self.denoiser, levels, settings, self.scaled, self.labels, self.augmentation)]
        pool = (self.settings["pool"] or POOL) if self.settings["pairing"] == "transport" else 0
        about = {"pool": pool, "weight": self.weight, "bridge": self.settings["bridge"]}
        return [Matching(self.velocity, self.scaled, self._beginnings, self._condition, **about)]

    def after_training(self) -> None:
        if not self.carried:
            super().after_training()

    # -- where ways begin ----------------------------------------------------------------------------------

    def _beginnings(self, batch: Batch, x0: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """x1 of the rows of a batch, before they are paired."""
        n, generator, law = len(x0), batch.generator, self.settings["source"]
        options: dict[str, Any] = {"generator": generator, "device": generator.device}
        if self.settings["pairing"] == "given":
            assert batch.y is not None
            return self.units.forward(batch.y).to(x0)
        if law is not None:
            drawn = law.sample(n, seed=int(torch.randint(2**31, (), **options)))
            return self.units.forward(drawn.float()).to(x0)
        if self.cloud is not None:
            self.cloud = self.cloud.to(x0.device)
            return self.cloud[torch.randint(len(self.cloud), (n,), **options)]
        return self.carrier.moments.to(x0.device).from_noise(torch.randn(x0.shape, dtype=x0.dtype, **options))

    def _condition(self, batch: Batch, dropout: float | None = None) -> Tensor | None:
        """What the velocity is told of the rows of a batch; none, of a share of them."""
        return told_to_some(self.labels, batch, self.settings["label_dropout"] if dropout is None else dropout)

    def _begin(self, n: int, seed: int, start: int) -> Float[Tensor, "n *event"]:
        """Where samples begin that do not begin at noise, scaled; of a cloud, rows drawn with replacement."""
        law = self.settings["source"]
        if law is not None:
            return self.units.forward(law.sample(n, seed=seed, start=start).float())
        assert self.cloud is not None
        u = rng.uniform((n, 1), seed, "source", start=start, dtype=torch.float64)[:, 0]
        return self.cloud.cpu()[(u * len(self.cloud)).long()]

    def _density(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """log p of the source's law at scaled events, in scaled units."""
        law, at = self.settings["source"], x.cpu()
        value: Tensor = law.log_prob(self.units.inverse(at)).value - self.units.log_dets(at)
        return value.to(x)

    # -- use -----------------------------------------------------------------------------------------------

    @property
    def mover(self) -> Walker | Carrier:
        return self.carrier if self.carried else self.walker

    def draw(self, n: int, seed: int, start: int, *, label: Any = None, **options: Any) -> Any:
        if not self.carried:
            return super().draw(n, seed, start, label=label, **options)
        if options.pop("alpha", 0.0) or options.pop("through", None) is not None:
            raise BadInput(
                "alpha > 0 and through are of a denoiser, which the velocity of pairs that were chosen is not: fit "
                'with pairing="independent"'
            )
        told = self.as_told(self.drawn_labels(label, n, seed, start), n)
        return self.carrier.draw(n, seed, start, label=told, device=self.device, **options)

    def encode(self, x: Events, *, label: Any = None, seed: int | None = None) -> Float[Tensor, "n *event"]:
        """Latent of x, standard normal if the model is right; or, of a source, where the way to x begins, data units.
        Quantised data stand at the middle of their step, or with a seed where its noise puts them."""
        z = super().encode(x, label=label, seed=seed)
        return self.units.inverse(z) if self.begins else z

    def decode(self, z: Events, *, label: Any = None) -> Float[Tensor, "n *event"]:
        """x of a latent, or of where its way begins, the inverse of `encode` (data units, not rounded to a grid)."""
        if self.begins:
            z = self.units.forward(self.check(z))
        return super().decode(z, label=label)

    @property
    def denoises(self) -> bool:
        """Whether its velocity is a denoiser's."""
        return not self.carried

    def denoise(self, y: Events, sigma: Tensor | float, **options: Any) -> Float[Tensor, "n *any"]:
        if self.carried:
            raise BadInput(
                'the velocity of pairs that were chosen is no denoiser\'s: fit with pairing="independent", or take '
                "Diffusion"
            )
        return super().denoise(y, sigma, **options)

    # -- a file --------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        if not self.carried:
            return super().tensors()
        cloud = {} if self.cloud is None else {START: self.cloud}
        return dict(self.state_dict()) | self.carrier.tensors() | cloud

    def restore(self, tensors: dict[str, Tensor]) -> None:
        if not self.carried:
            return super().restore(tensors)
        self.cloud = tensors.pop(START, None)
        self.load_state_dict(self.carrier.restore(tensors))
        return None
