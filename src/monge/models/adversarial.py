"""What adversarial families share: a generator and a discriminator, told labels, vectors or images, and their game."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from monge import rng
from monge.data import Samples
from monge.errors import BadInput
from monge.models.family import Family
from monge.models.games import PENALTIES, Game, Judging, Making, Play
from monge.models.recorder import Recorder
from monge.nets import Size, Spec, critic, generator
from monge.nets.blocks import CONVOLUTIONS
from monge.training import AdamW, Batch, Objective, Rows, Training, constant, cosine

VECTOR_LATENT, EVENT_LATENT, IMAGE_LATENT = 2, 64, 2  # normal numbers of the latent, at least; the last at each site
# of AdamW: a shorter memory of squares lets a critic with a weak penalty run away, and a longer one blurs images
VECTOR_BETAS, EVENT_BETAS = (0.0, 0.999), (0.0, 0.9)
SMOOTH, STEEP = 0.1, 10.0  # strengths of penalties
HELD_ROWS, HELD_VALUES = 5000, 2**24  # that coverage is counted by, at most
TOLD_FROM, TOLD = 2000, 0.05  # rows from which on a share of them is held out
COORDINATES = 4  # vectors of so many are named by their values
ROWS_AT_ONCE = 4096


class Adversarial(Family):
    """A generator x = G(z), learned in a game against a discriminator f that scores real events above made ones.

    A family of games gives its `game`. z is standard normal but for some coordinates that are signs, +1 or -1 with
    equal chance: a continuous map of a connected latent has a connected image, so without them G draws bridges between
    modes that are apart.

    net: a `monge.nets.Size` for both networks: an MLP for vectors, for images and fields half a U-Net each, and a
        whole one for a generator that is told an image.
    latent: normal numbers of z; as many as vectors have values (2 at least), 64 for images and fields. signs: signs
        beside them. Told an image, G has normal noise alone, 2 channels of it at each site.
    critic_steps: steps of the discriminator for one of the generator, each on a batch of its own (Alg. 2). critic_lr:
        its peak learning rate, that of the training unless given.
    penalty: on the slope of f, "gradient", "r1" or None, `strength` times (`monge.models.games.penalty`): 0.1, but 10
        for "gradient" on images and fields, unless given.
    spectral: divide each layer of the discriminator by its spectral norm (Miyato et al. 2018).
    labels: whether both sides are told the labels, vectors or images that data have; None: if there are any.
    reconstruction: how many times E |G - x| is added to the generator's loss where it is told an image, of which x is
        the other half of the pair (Isola et al. 2017).
    periodic: circular padding, for fields on a torus.

    While it trains, log.csv has the discriminator's accuracy and its estimate of a distance, the gradients of both
    sides, and the coverage of held-out data; collapse, a discriminator that wins outright and oscillation are warned of
    (`monge.models.recorder.Recorder`).

    Raises BadInput for a setting out of range, data of fewer rows than the discriminator's batches of a round, and data
    that do not vary.
    """

    takes_images = True
    generator: nn.Module
    discriminator: nn.Module
    recorder: Recorder | None

    def __init__(
        self,
        *,
        net: Size | None = None,
        latent: int | None = None,
        signs: int = 10,
        critic_steps: int = 3,
        critic_lr: float | None = None,
        penalty: str | None = "gradient",
        strength: float | None = None,
        spectral: bool = False,
        labels: bool | None = None,
        reconstruction: float = 0.5,
        periodic: bool = False,
    ) -> None:
        super().__init__(
            net=net,
            latent=latent,
            signs=signs,
            critic_steps=critic_steps,
            critic_lr=critic_lr,
            penalty=penalty,
            strength=strength,
            spectral=spectral,
            labels=labels,
            reconstruction=reconstruction,
            periodic=periodic,
        )
        self.recorder = None  # there while it trains
        self.takes_labels = labels is not False
        for name, value in (("latent", latent), ("critic_steps", critic_steps)):
            if value is not None and value < 1:
                raise BadInput(f"{name} must be 1 or more, not {value}")
        if signs < 0:
            raise BadInput(f"signs must be 0 or more, not {signs}")
        AdamW(lr=critic_lr)  # raises for one out of range
        if penalty not in (None, *PENALTIES):
            raise BadInput(f"penalty must be {', '.join(PENALTIES)} or none, not {penalty!r}")
        for name, weight in (("strength", strength), ("reconstruction", reconstruction)):
            if weight is not None and not 0 <= weight < math.inf:
                raise BadInput(f"{name} must be a finite number, 0 or more, not {weight}")

    @abstractmethod
    def game(self) -> Game:
        """What the two sides play, once the scaling is known."""

    # -- learning ------------------------------------------------------------------------------------------

    def check_data(self, samples: Samples, training: Training | None) -> None:
        super().check_data(samples, training)
        assert training is not None
        if training.patience is not None:
            raise BadInput("patience waits for a loss to fall, and in a game none needs to: leave it out")
        steps, rows = self.settings["critic_steps"], round(len(samples) * (1 - training.validation))
        if training.batch_size < 2:
            raise BadInput("a game is played on batches of 2 or more, whose laws are compared: batch_size=1 is too few")
        if steps * training.batch_size > rows:
            raise BadInput(
                f"a round needs {steps} batches of {training.batch_size} rows for the discriminator, and "
                f"{samples.name} has {rows}: give batch_size={rows // steps} or less, or more data"
            )
        first = samples.batch([0])
        picked = torch.linspace(0, len(samples) - 1, min(len(samples), HELD_ROWS), dtype=torch.float64).long()
        if all(bool((samples.batch(some) == first).all()) for some in torch.split(picked, 64)):
            raise BadInput(f"{samples.name} does not vary, each row is the same: there is no law to learn")

    def defaults(self, samples: Samples) -> Training:
        held = TOLD if len(samples) >= TOLD_FROM else 0.0
        rows = round(len(samples) * (1 - held)) // self.settings["critic_steps"]
        return Training(
            batch_size=max(2, min(512 if samples.kind == "vectors" else 64, rows)),
            lr=3e-3 if samples.kind == "vectors" else 1e-3,
            clip=100.0,
            weight_decay=0.0,
            validation=held,
        )

    def build(self, spec: Spec) -> None:
        spec, size = replace(spec, periodic=self.settings["periodic"]), self.settings["net"]
        self.latent_shape = self._latent_shape(spec)
        self.generator = generator(spec, size, latent=self.latent_shape[0])
        self.discriminator = critic(spec, size)
        if self.settings["spectral"]:
            for layer in self.discriminator.modules():
                if isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
                    parametrizations.spectral_norm(layer)

    def _latent_shape(self, spec: Spec) -> tuple[int, ...]:
        asked, signs = self.settings["latent"], self.settings["signs"]
        if spec.context:
            return (asked or IMAGE_LATENT, *spec.space)
        return ((asked or (EVENT_LATENT if spec.space else max(VECTOR_LATENT, spec.event_shape[0]))) + signs,)

    def objectives(self) -> Sequence[Objective]:
        settings, game = self.settings, self.game()
        how = AdamW(betas=EVENT_BETAS if self.spec.space else VECTOR_BETAS, schedule=cosine)
        # a critic that slows down with the generator no longer sees what is left to be done
        judged = replace(how, lr=settings["critic_lr"], schedule=constant)
        told = self.labels is not None and self.labels.context > 0
        judging = Judging(
            game,
            self.discriminator,
            self.play,
            repeats=settings["critic_steps"],
            optimiser=judged,
            smooth=(settings["penalty"], self.strength()),
            recorder=self.recorder,
        )
        making = Making(
            game,
            (self.generator, self.discriminator),
            self.play,
            optimiser=how,
            reconstruction=settings["reconstruction"] if told else 0.0,
            recorder=self.recorder,
        )
        return [judging, making]

    def strength(self) -> float:
        """Of the penalty."""
        asked: float | None = self.settings["strength"]
        steep = self.settings["penalty"] == "gradient" and bool(self.spec.space)
        return asked if asked is not None else STEEP if steep else SMOOTH

    def play(self, batch: Batch) -> Play:
        """Real events of a batch, and as many made ones that are told the same."""
        real = self.scaled(batch.x, batch.generator)
        label = None if self.labels is None or batch.y is None else self.labels.scaled(batch.y)
        shape, device = (len(real), *self.latent_shape), real.device
        z = torch.randn(shape, generator=batch.generator, device=device, dtype=real.dtype)
        return Play(real, self.generator(self._signed(z), label), label)

    def learn(self, samples: Samples, training: Training | None, **options: Any) -> None:
        assert training is not None
        rows = Rows.of(samples, training.batch_size, options["seed"], training.validation).held_out
        if not len(rows):
            rows = torch.randperm(len(samples), generator=rng.generator(options["seed"], "cells"))
        rows = rows[: max(2, min(HELD_ROWS, HELD_VALUES // math.prod(samples.event_shape)))]
        held = samples.batch(rows)
        recorder = Recorder(
            self.scaled(held, options["seed"]),
            _places(samples, rows, held),
            ceiling=self.game().ceiling,
            steps=self.settings["critic_steps"],
            seed=options["seed"],
        )
        self.recorder = recorder
        try:
            super().learn(samples, training, **options)
        finally:
            self.recorder = None
        recorder.conclude()

    # -- use -----------------------------------------------------------------------------------------------

    def sample(  # type: ignore[override]  # a family's own options, by name
        self, n: int, *, seed: int = 0, start: int = 0, label: Any = None, batch_size: int | None = None
    ) -> Float[Tensor, "n *event"]:
        """Draw n samples G(z), [n, *event] in data units and on the data's grid.

        label: of all samples, or n of them; where the model is told images, one, or n. None draws labels as often as
        training had them. Sample start + i of a seed does not depend on n or on batch_size.

        Raises BadInput for n < 1, a label that was not trained on, or none where vectors or images are needed.
        """
        return super().sample(n, seed=seed, start=start, label=label, batch_size=batch_size)

    @torch.no_grad()
    def draw(  # type: ignore[override]  # a family's own options, by name
        self, n: int, seed: int, start: int, *, label: Any = None, batch_size: int | None = None
    ) -> Tensor:
        told, made = self.encode_labels(self.drawn_labels(label, n, seed, start), n, needed=True), []
        for first in range(0, n, batch_size or ROWS_AT_ONCE):
            some = slice(first, min(n, first + (batch_size or ROWS_AT_ONCE)))
            shape = (some.stop - first, *self.latent_shape)
            z = self._signed(rng.normal(shape, seed, "latent", start=start + first).to(self.device))
            made.append(self.generator(z, None if told is None else told[some]))
        return torch.cat(made)

    def scores(self, x: Any, label: Any = None) -> Float[Tensor, " n"]:
        """f(x) of events in data units."""
        self.must_be_fitted()
        x = self.check(x)
        told = self.encode_labels(label, len(x), needed=True)
        found: list[Tensor] = []
        with torch.no_grad():
            for rows in torch.split(torch.arange(len(x)), ROWS_AT_ONCE):
                scaled = self.scaled(x[rows], 0, int(rows[0])).to(self.device)
                found.append(self.discriminator(scaled, None if told is None else told[rows])[:, 0])
        return torch.cat(found).to(x.device)

    def _signed(self, z: Tensor) -> Tensor:
        """The last coordinates become their signs, in place, where a latent is a vector."""
        if z.ndim == 2 and self.settings["signs"]:
            z[:, -self.settings["signs"] :].sign_()
        return z


def _places(samples: Samples, rows: Tensor, x: Tensor) -> list[str]:
    """Where rows are, in words: their values where they are few, else their label and number."""
    if x.ndim == 2 and x.shape[1] <= COORDINATES:
        return [f"({', '.join(f'{value:.3g}' for value in row)})" for row in x.tolist()]
    if samples.y is not None and samples.y.ndim == 1:
        names = samples.classes
        return [f"label {names[k] if names else k}" for k in samples.y[rows].tolist()]
    return [f"row {row}" for row in rows.tolist()]
