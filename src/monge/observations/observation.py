"""What is known of x: an observation y, and how likely it is, p(y | x) (course (21))."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import gammaln

from monge.doors import finite, function, number, real, whole
from monge.errors import BadInput
from monge.objects import Recorded

Map = Callable[[Tensor], Tensor]


class Observation(Recorded, ABC):
    """Something seen of an event x, by its likelihood: `monge.samplers.posterior` draws x from p(x | y).

    >>> import torch
    >>> near = Likelihood(lambda x: -0.5 * x.square().sum(1))
    >>> near.log_likelihood(torch.tensor([[1.0, 1.0]]))
    tensor([-1.])
    """

    notes: tuple[str, ...] = ()  # what was done to y, in words
    event_shape: tuple[int, ...] | None = None  # of the events that it is of, where it says so

    @abstractmethod
    def log_likelihood(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """log p(y | x), nats."""

    @abstractmethod
    def fits(self, event_shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        """Raise BadInput if it is not one of events of this shape."""

    def met(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """x moved to the nearest events that have the values which are exact, where some are."""
        return x

    def unmet(self, x: Float[Tensor, "n *event"]) -> tuple[str, ...]:
        """In words, if events do not have the values that are exact."""
        return ()

    def of(self, inverse: Map, event_shape: tuple[int, ...]) -> "Observation":
        """The same observation of u, where x = inverse(u) [n, *event]."""
        return Likelihood(lambda u: self.log_likelihood(inverse(u)))


class Likelihood(Observation):
    """An observation of your own, by its log-likelihood.

    log_likelihood: x [n, *event] -> log p(y | x) [n], differentiable for methods that are guided by its gradient; -inf
    where x is excluded.

    Raises BadInput for what is no function, and, when it is asked, for another shape than [n] and NaN.
    """

    def __init__(self, log_likelihood: Map) -> None:
        function(log_likelihood, "log_likelihood is a function of events, x [n, *event] -> log p(y | x) [n]")
        self.function = log_likelihood

    def log_likelihood(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        found: Any = self.function(x)
        if not isinstance(found, Tensor) or tuple(found.shape) != (len(x),):
            came = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise BadInput(f"log_likelihood must return one number for each of {len(x)} events, [n], not {came}")
        if bool((found.isnan() | (found == math.inf)).any()):
            raise BadInput("log_likelihood is NaN or infinite: it must be a number, or -inf where x is excluded")
        return found

    def fits(self, event_shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        """Nothing is asked: who knows where a function of another's is defined."""


class Label(Likelihood):
    """A class, as a classifier sees it: log p(label | x) = log softmax(classifier(x))_label (course (21)).

    classifier: x [n, *event] -> logits [n, k], differentiable. label: which of the k.

    A model that was trained with labels is better asked for one: `model.sample(n, label=...)`.

    Raises BadInput for what is no function, and, when it is asked, for logits of another shape and a label that is none
    of the k.

    >>> import torch
    >>> Label(lambda x: torch.cat([x, -x], 1), 0).log_likelihood(torch.zeros(1, 1)).exp()
    tensor([0.5000])
    """

    def __init__(self, classifier: Map, label: int) -> None:
        function(classifier, "a classifier is a function of events, x [n, *event] -> logits [n, k]")
        self.label = whole(label, "label", 0)
        self.classifier = classifier
        super().__init__(self._of)

    def _of(self, x: Tensor) -> Tensor:
        logits: Any = self.classifier(x)
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
            came = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise BadInput(f"a classifier must return logits [n, k] of {len(x)} events, not {came}")
        if self.label >= logits.shape[1]:
            raise BadInput(f"label {self.label} is none of the {logits.shape[1]} that the classifier knows, from 0 on")
        return logits.log_softmax(1)[:, self.label]


class Poisson(Observation):
    """Counts y_i ~ Poisson(gain (A x)_i + background), of photons for instance; where that is not above 0, -inf.

    counts: y, whole numbers of 0 or more. forward: A, x [n, *event] -> [n, *y]; x itself unless given. gain,
    background: numbers, of counts.

    >>> import torch
    >>> Poisson(torch.tensor([1.0])).log_likelihood(torch.tensor([[1.0]]))
    tensor([-1.])
    """

    def __init__(self, counts: Any, *, forward: Map | None = None, gain: Any = 1.0, background: Any = 0.0) -> None:
        self.counts = finite(counts, "counts")
        if not bool(((self.counts >= 0) & (self.counts == self.counts.round())).all()):
            raise BadInput("counts are whole numbers of 0 or more: give rates to Linear, with their noise")
        told = "gain is above 0 and background 0 or more, both finite"
        if number(gain, "gain", told) == 0 or number(background, "background", told) < 0:
            raise BadInput(f"{told}, not {gain} and {background}")
        if forward is not None:
            function(forward, "forward is a function of events, x [n, *event] -> [n, *y]")
        self.forward, self.gain, self.background = forward, gain, background

    def log_likelihood(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        rate = self.gain * (x if self.forward is None else self.forward(x)) + self.background
        y = self.counts.to(rate)
        if tuple(rate.shape[1:]) != tuple(y.shape):
            raise BadInput(f"the counts are {list(y.shape)}, and of x comes {list(rate.shape[1:])}")
        possible = (rate > 0) | ((rate == 0) & (y == 0))
        safe = torch.where(rate > 0, rate, 1.0)
        each = y * safe.log() - torch.where(rate > 0, rate, 0.0) - gammaln(y + 1)
        value: Tensor = torch.where(possible, each, -math.inf).flatten(1).sum(1)
        return value

    def fits(self, event_shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        self.log_likelihood(torch.zeros(2, *event_shape, dtype=dtype))


def observed(y: Any) -> tuple[Tensor, Tensor]:
    """The values of y that were seen, flattened, and where they are: NaN are not. BadInput where none were."""
    given = real(y, "y").detach()
    seen = ~given.isnan().flatten()
    if bool(given.isinf().any()):
        raise BadInput("y has infinite values: NaN stands for what was not seen")
    if not bool(seen.any()):
        raise BadInput("y has no value that is a number: there is nothing to condition on")
    return given.flatten()[seen], seen
