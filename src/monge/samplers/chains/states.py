"""A Markov chain's state, what a step says of itself, and what a kernel is."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from monge import rng

FAR = 100.0  # times as far from zero as the chains are: beyond, it is the integrator that breaks
TRIES = 60  # of a first step, each of another size
LATELY = 20  # steps over which a chain's own acceptance is remembered


class State(NamedTuple):
    """Where many chains stand at once.

    x: [chains, *event]. energy: [chains]. score: [chains, *event], or None for kernels that need none. steps: done
    so far, the address of the next step's noise.
    """

    x: Float[Tensor, "chains *event"]
    energy: Float[Tensor, " chains"]
    score: Tensor | None
    steps: int


class Info(NamedTuple):
    """What a step did.

    acceptance: [chains], the probability, or the share, that was accepted. divergent: [chains], where the integrator
    left its level, or the energy the real numbers. broken: [chains], where it was the energy. wider: [chains], by what
    share an unadjusted step widens the law. bend: [chains], by how much the score changed for a way of 1.
    swaps: [replicas - 1], probabilities of exchange of neighbours. moved: [chains], sites that clusters turned over, as
    a share of the lattice. inner: what the step of each replica gave, before they were exchanged.
    """

    acceptance: Float[Tensor, " chains"]
    divergent: Tensor
    broken: Tensor | None = None
    wider: Tensor | None = None
    bend: Tensor | None = None
    swaps: Tensor | None = None
    moved: Tensor | None = None
    inner: tuple[Any, ...] | None = None


@runtime_checkable
class Kernel(Protocol):
    """A Markov transition that leaves a law as it is: `state, info = kernel.step(state)`.

    A kernel is frozen; `tuned` is asked after each step of the warm-up, of which the share `done` is over, and gives
    the kernel that goes on. One that has `ready` is asked for the kernel that a warm-up from a state begins with.
    adapted: names of what that may change, numbers, tensors or None, for the file of a run.
    """

    adapted: ClassVar[tuple[str, ...]]

    @property
    def law(self) -> Any: ...
    def start(self, x: Tensor, steps: int = 0) -> Any: ...
    def step(self, state: Any) -> tuple[Any, Info]: ...
    def tuned(self, before: Any, after: Any, info: Info, done: float) -> "Kernel": ...


def noise(state: State, seed: int, *path: int | str) -> Float[Tensor, "chains *event"]:
    """Standard normal noise of this step, a row a chain: the same whatever the other chains are."""
    x = state.x
    return rng.normal(tuple(x.shape), seed, *path, state.steps, dtype=x.dtype, device=x.device)


def coin(state: State, seed: int, *path: int | str) -> Float[Tensor, " chains"]:
    """Uniform numbers in (0, 1) of this step, one a chain."""
    x = state.x
    return rng.uniform((len(x), 1), seed, *path, state.steps, dtype=x.dtype, device=x.device)[:, 0]


def each(values: Shaped[Tensor, " chains"], x: Float[Tensor, "chains *event"]) -> Tensor:
    """What there is of each chain in the shape that meets events: [chains, 1, ...]."""
    return values.reshape(-1, *[1] * (x.ndim - 1))


def near(state: State, x: Float[Tensor, "chains *event"]) -> Tensor:
    """Whether a place is no more than FAR times as far from zero as the chains are, [chains]: what breaks there is the
    energy, and what breaks beyond the integrator."""
    return x.flatten(1).abs().amax(1) <= FAR * state.x.abs().max()


def chosen(before: State, proposed: State, log_ratio: Float[Tensor, " chains"], seed: int) -> tuple[State, Tensor]:
    """Metropolis' coin, one a chain: the proposed state with probability min(1, e^log_ratio), else the one before (40).

    Also that probability, 0 where the ratio is not a number.
    """
    probability = log_ratio.clamp_max(0).exp().nan_to_num(0.0)
    yes = coin(before, seed, "accept") < probability
    scores = before.score, proposed.score
    kept = None if scores[0] is None or scores[1] is None else torch.where(each(yes, scores[1]), scores[1], scores[0])
    x = torch.where(each(yes, proposed.x), proposed.x, before.x)
    return State(x, torch.where(yes, proposed.energy, before.energy), kept, before.steps + 1), probability


def towards(size: float, info: Info, target: float, count: int, lately: Tensor | None) -> tuple[float, Tensor]:
    """A step size after one more step of warm-up, larger where too much was accepted (Robbins and Monro 1951); and what
    each chain accepted lately, which was `lately`, [chains].

    log size moves by 2 (r mean acceptance - target) (1 + count)^-0.6, r the harmonic mean over the mean of what the
    chains accepted lately: 1 where they are alike, 0 where one of them does not move.
    """
    new = info.acceptance.double().cpu()
    lately = new if lately is None or len(lately) != len(new) else lately + (new - lately) / min(LATELY, count + 1)
    alike = 1 / (lately.mean() * lately.clamp_min(1e-9).reciprocal().mean()).clamp_min(1.0)
    away = float(new.mean() * alike) - target
    return size * math.exp(2 * away * (1 + count) ** -0.6), lately


def ready(kernel: Any, state: Any, name: str, target: float, factor: float) -> Any:
    """The kernel with the step of this name that is accepted about as often as `target` where the chains start, to a
    `factor`: whatever unit the law has, the warm-up begins with a step that moves."""

    def accepted(size: float) -> float:
        tried = dataclasses.replace(kernel, **{name: size})
        return float(tried.step(state)[1].acceptance.double().mean())

    size = getattr(kernel, name)
    small = accepted(size) < target
    for _ in range(TRIES):
        other = size / factor if small else size * factor
        if (accepted(other) < target) != small:
            return dataclasses.replace(kernel, **{name: other if small else size})
        size = other
    return kernel  # nowhere does it change: the law is flat, or has a wall


def flat(state: Any, name: str = "state") -> dict[str, Tensor]:
    """The tensors of a state, and of states within, by name."""
    if isinstance(state, Tensor):
        return {name: state}
    parts = state._asdict() if hasattr(state, "_asdict") else dict(enumerate(state)) if isinstance(state, tuple) else {}
    return {k: v for part, value in parts.items() for k, v in flat(value, f"{name}.{part}").items()}


def filled(state: Any, tensors: dict[str, Tensor], name: str = "state") -> Any:
    """A state with the tensors that `flat` found in one of its kind."""
    if isinstance(state, Tensor):
        return tensors[name].to(state)
    if hasattr(state, "_asdict"):
        return state._replace(**{k: filled(v, tensors, f"{name}.{k}") for k, v in state._asdict().items()})
    if isinstance(state, tuple):
        return tuple(filled(v, tensors, f"{name}.{i}") for i, v in enumerate(state))
    return state


def packed(kernel: Kernel) -> dict[str, Any]:
    """What the warm-up has changed, numbers and tensors by name: with dots, of kernels within."""
    flat: dict[str, Any] = {}
    for name in kernel.adapted:
        value = getattr(kernel, name)
        if isinstance(value, tuple):
            flat |= {f"{name}.{i}.{k}": v for i, inner in enumerate(value) for k, v in packed(inner).items()}
        elif value is not None:
            flat[name] = value
    return flat


def unpacked(kernel: Any, flat: dict[str, Any]) -> Any:
    """The kernel with what `packed` found."""
    own = {name: value for name, value in flat.items() if "." not in name}
    for name in {name.split(".")[0] for name in flat if "." in name}:
        parts = [
            {k.removeprefix(f"{name}.{i}."): v for k, v in flat.items() if k.startswith(f"{name}.{i}.")}
            for i in range(len(getattr(kernel, name)))
        ]
        own[name] = tuple(unpacked(*pair) for pair in zip(getattr(kernel, name), parts, strict=True))
    return dataclasses.replace(kernel, **own)
