"""The two sides of an adversarial game as objectives, and what keeps the discriminator smooth."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from monge.models.recorder import Recorder
from monge.training import AdamW, Batch, Loss, Objective

PENALTIES = ("gradient", "r1")
TINY = 1e-12
Scores = Float[Tensor, " n"]
Score = Callable[[Tensor, Tensor | None], Tensor]  # events and what they are told -> [n, 1]


class Play(NamedTuple):
    """One round of a game: real events and made ones, scaled, and what both are told."""

    real: Float[Tensor, "n *event"]
    made: Float[Tensor, "n *event"]
    label: Shaped[Tensor, "n *k"] | None


class Game:
    """What each side minimises, of the scores f that the discriminator gives to real and to made events."""

    estimates: str  # the name of what the discriminator's loss measures
    ceiling: float | None = None  # what that is where the discriminator tells all events apart, if it is bounded

    @abstractmethod
    def judging(self, real: Scores, made: Scores) -> Float[Tensor, ""]:
        """The discriminator's loss."""

    @abstractmethod
    def making(self, made: Scores) -> Float[Tensor, ""]:
        """The generator's loss."""

    @abstractmethod
    def estimate(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """A lower bound of a distance between the laws of real and made events, by the discriminator's loss."""

    @abstractmethod
    def threshold(self, real: Scores, made: Scores) -> Tensor | float:
        """The score above which an event is taken for real."""


class Minimax(Game):
    """min over G, max over D of E log D(x) + E log(1 - D(G z)), D = sigmoid(f) (course (8), (47)).

    Its value at the best D is 2 JS(p, p_G) - 2 log 2 (53). `saturating`: G minimises E log(1 - D(G z)), whose slope in
    f is -D(G z): it vanishes where D wins. Else G minimises -E log D(G z), of the same fixed point (Goodfellow et al.
    2014).
    """

    estimates, ceiling = "JS", math.log(2)

    def __init__(self, saturating: bool) -> None:
        self.saturating = saturating

    def judging(self, real: Scores, made: Scores) -> Float[Tensor, ""]:
        return F.softplus(-real).mean() + F.softplus(made).mean()

    def making(self, made: Scores) -> Float[Tensor, ""]:
        return -F.softplus(made).mean() if self.saturating else F.softplus(-made).mean()

    def estimate(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return math.log(2) - loss / 2

    def threshold(self, real: Scores, made: Scores) -> Tensor | float:
        return 0.0


class Wasserstein(Game):
    """min over G, max over 1-Lipschitz f of E f(x) - E f(G z): W1(p, p_G) by Kantorovich and Rubinstein (62-63).

    unit: of scaled events, in data units, in which W1 is told: too large by W1^2 / (4 strength) or so, where a weak
    penalty lets f be steeper than 1.
    """

    estimates = "W1"

    def __init__(self, unit: float = 1.0) -> None:
        self.unit = unit

    def judging(self, real: Scores, made: Scores) -> Float[Tensor, ""]:
        return made.mean() - real.mean()

    def making(self, made: Scores) -> Float[Tensor, ""]:
        return -made.mean()

    def estimate(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return -loss * self.unit

    def threshold(self, real: Scores, made: Scores) -> Tensor | float:
        return (real.mean() + made.mean()) / 2


def penalty(kind: str, score: Score, play: Play, generator: torch.Generator) -> Float[Tensor, ""]:
    """How far the slope of a score is from what it should be, in the mean.

    gradient: E (|grad f| - 1)_+^2 on segments between real and made events: f is to be 1-Lipschitz, and it may be flat
    (Gulrajani et al. 2017; one-sided, as Petzka et al. 2018 have it). r1: E |grad f|^2 / 2 on real events, by which the
    game converges near its fixed point (Mescheder et al. 2018).

    >>> play = Play(torch.zeros(3, 2), torch.ones(3, 2), None)
    >>> penalty("gradient", lambda x, label: 2 * x[:, :1], play, torch.Generator())
    tensor(1.)
    """
    at = play.real
    if kind == "gradient":
        t = torch.rand(len(at), *[1] * (at.ndim - 1), generator=generator, device=at.device, dtype=at.dtype)
        at = torch.lerp(at, play.made.to(at), t)
    at = at.detach().requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(score(at, play.label).sum(), at, create_graph=True)
    squares = slope.flatten(1).square().sum(1)
    if kind == "r1":
        return squares.mean() / 2
    return ((squares + TINY).sqrt() - 1).clamp(min=0).square().mean()


class Judging(Objective):
    """The discriminator's side: its loss on a batch, and `strength` times its penalty."""

    name = "discriminator"

    def __init__(
        self,
        game: Game,
        net: nn.Module,
        play: Callable[[Batch], Play],
        *,
        repeats: int,
        optimiser: AdamW,
        smooth: tuple[str | None, float],
        recorder: Recorder | None,
    ) -> None:
        super().__init__()
        self.game, self.play, self.smooth = game, play, smooth
        self.net, self.recorder = net, recorder
        self.repeats, self.optimiser = repeats, optimiser

    def moves(self) -> Iterable[nn.Parameter]:
        return self.net.parameters()

    def forward(self, batch: Batch) -> Loss:
        with torch.no_grad():
            play = self.play(batch)
        both = torch.cat([play.real, play.made])
        told = None if play.label is None else torch.cat([play.label, play.label])
        scores = self.net(both, told)[:, 0]
        real, made = scores.chunk(2)
        loss = self.game.judging(real, made)
        with torch.no_grad():
            real_above, made_above = (scores > self.game.threshold(real, made)).float().reshape(2, -1).mean(1)
            accuracy = (1 + real_above - made_above) / 2
            estimate = self.game.estimate(loss)
        if self.recorder is not None and self.training:
            self.recorder.hear(accuracy, estimate)
        kind, strength = self.smooth
        if kind is not None and strength:
            loss = loss + strength * penalty(kind, self.net, play, batch.generator)
        return Loss(loss, {"accuracy": accuracy, self.game.estimates: estimate})


class Making(Objective):
    """The generator's side; with `reconstruction`, so many times E |G - x|, x being the pair of what G is told."""

    name = "generator"

    def __init__(
        self,
        game: Game,
        nets: tuple[nn.Module, nn.Module],
        play: Callable[[Batch], Play],
        *,
        optimiser: AdamW,
        reconstruction: float,
        recorder: Recorder | None,
    ) -> None:
        super().__init__()
        self.game, self.play, self.reconstruction = game, play, reconstruction
        self.generator, self.discriminator = nets
        self.recorder = recorder
        self.optimiser = optimiser

    def moves(self) -> Iterable[nn.Parameter]:
        return self.generator.parameters()

    def forward(self, batch: Batch) -> Loss:
        play = self.play(batch)
        loss = self.game.making(self.discriminator(play.made, play.label)[:, 0])
        numbers: dict[str, Tensor | float] = {}
        if self.reconstruction:
            away = (play.made - play.real).abs().mean()
            loss, numbers = loss + self.reconstruction * away, {"reconstruction": away.detach()}
        if self.recorder is not None and self.training:
            numbers |= self.recorder.see(play.made.detach(), batch.step)
        return Loss(loss, numbers)
