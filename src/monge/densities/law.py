"""What every law that is given by its energy can do: a score, a temperature, sums and changes of variables."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import rng
from monge.doors import events, levels, like
from monge.errors import BadInput
from monge.objects import Recorded
from monge.protocols import LogProb

Method = TypeVar("Method", bound=Callable[..., Any])
Made = TypeVar("Made", bound="Law")
SCATTER = 2.0  # s.d. of a law at which chains start


def _of_events(method: Method) -> Method:
    """A method of a law behind its door: events [n, *event] of a real floating dtype."""

    @functools.wraps(method)
    def guarded(self: "Law", x: Any, *more: Any, **named: Any) -> Any:
        return method(self, events(x, self.event_shape), *more, **named)

    return cast(Method, guarded)


def _of_noisy(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same of `denoise`, with the levels of the rows, [n]."""

    @functools.wraps(method)
    def guarded(self: "Law", y: Any, sigma: Any, *more: Any, **named: Any) -> Any:
        y = events(y, self.event_shape, "y")
        return method(self, y, levels(sigma, y), *more, **named)

    return guarded


DOORS = dict.fromkeys(("energy", "log_prob", "energy_and_score"), _of_events) | {"denoise": _of_noisy}


class Law(Recorded, nn.Module, ABC):
    """p(x) = exp(-energy(x)) / Z (22). What a law has not in closed form is found here, by autograd or not at all.

    A law of yours gives `energy`, in torch operations, and `energy_and_score` where the score has a closed form.

    It is a module: what is learned of it are parameters, and `.to`, `.double` carry it with all its tensors. Energy and
    score can be differentiated again, by x and by the parameters: where either requires a gradient, and gradients are
    on, `energy_and_score` keeps the graph, as the losses of score matching and of contrastive divergence need.

    event_shape: of x. log_z: log of the integral of exp(-energy), or None where it is unknown. dtype: of its samples
    and of where chains start. measure: what it has a density by, "lebesgue" or, of a law on points, "counting".

    x of another shape or kind never reaches `energy`, `log_prob`, `score`, `energy_and_score` or `denoise` of a law of
    yours either: integers come as floating numbers, and BadInput is raised for events of another shape.
    """

    event_shape: tuple[int, ...]
    log_z: float | None = None
    dtype: torch.dtype = torch.float32
    measure: str = "lebesgue"

    def __new__(cls: type[Made], *args: Any, **named: Any) -> Made:
        """A module from the start, so that a law of yours may come without super().__init__()."""
        made = super().__new__(cls, *args, **named)
        nn.Module.__init__(made)
        if cls.__hash__ is None:  # of a dataclass with eq: a module is told from others by which it is
            cls.__hash__ = object.__hash__
        return made

    def __init__(self) -> None:
        """Nothing: what was assigned before this is called stays."""

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "score" in vars(cls):
            raise BadInput(f"{cls.__name__} gives its own score in energy_and_score, beside the energy")
        for name, door in DOORS.items():
            if inspect.isfunction(vars(cls).get(name)):
                setattr(cls, name, door(vars(cls)[name]))

    @abstractmethod
    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """U(x), -log p(x) up to a constant."""

    def log_prob(self, x: Float[Tensor, "n *event"]) -> LogProb:
        """-energy - log Z. Raises BadInput where Z is unknown."""
        if self.log_z is None:
            raise BadInput(f"Z of this {type(self).__name__} is unknown: use its energy, or give log_z")
        return LogProb.exact(-self.energy(x) - self.log_z, measure=self.measure)

    @_of_events
    def score(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """grad log p = -grad energy. Raises BadInput for an energy without a gradient."""
        return self.energy_and_score(x)[1]

    @_of_events
    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        """Both, in one pass: what a step of a sampler needs; here by autograd.

        >>> law = Energy(lambda x: (x**4).sum(1) / 4, (1,))
        >>> x = torch.tensor([[2.0]], requires_grad=True)
        >>> torch.autograd.grad(law.score(x).sum(), x)  # -U''
        (tensor([[-12.]]),)
        """
        again = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in self.parameters()))
        with torch.inference_mode(False), torch.enable_grad():
            alone = x.clone() if x.is_inference() else x.detach()
            at = x if again and x.requires_grad else alone.requires_grad_()
            energy = self.energy(at)
            if not energy.requires_grad:
                raise BadInput("the energy has no gradient: write it in torch operations, or use metropolis_hastings")
            (gradient,) = torch.autograd.grad(energy.sum(), at, create_graph=again)
        return (energy if again else energy.detach()), -gradient

    def scattered(self, n: int, *, seed: int = 0) -> Float[Tensor, "n *event"]:
        """Points for chains to start from: about twice as far out as the law where its moments are known, so that
        chains come from all sides; else standard normal."""
        z = rng.normal((n, *self.event_shape), seed, "scattered", dtype=self.dtype)
        moments = getattr(self, "moments", None)
        return z if moments is None else moments.from_noise(SCATTER * z)

    def _apply(self, fn: Any, recurse: bool = True) -> "Law":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if (dtype := fn(torch.empty(0, dtype=self.dtype)).dtype) != self.dtype:
            object.__setattr__(self, "dtype", dtype)  # frozen dataclasses are laws, too
            object.__setattr__(self, "made_with", None)  # which arguments do not make again
        return self

    def keep(self, **tensors: Tensor | None) -> None:
        """Tensors that a law is made of, by name: parameters where they are, else buffers, which `.to` carries and
        `state_dict`, of what is learned, leaves out."""
        for name, value in tensors.items():
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            else:
                self.register_buffer(name, value, persistent=False)

    def tempered(self, beta: float) -> "Law":
        """The law of density p^beta, up to its constant (43, 121). Raises BadInput for beta < 0."""
        return Tempered(self, beta)

    def __add__(self, other: "Law") -> "Law":
        """The law whose energy is the sum: the product of both densities."""
        return Sum(self, other)

    def transformed(self, bijector: Any) -> "Law":
        """The law of x where z = bijector(x) has this law: log p(x) = log p_z(z) + log |det dz/dx| (75-77).

        bijector: a `monge.bijectors.Bijector`, or anything that gives (z, log_det) for x.
        """
        return Transformed(self, bijector)


class Energy(Law):
    """The law of any energy function of yours.

    function: x [n, *event] -> energies [n]. event_shape: of x. log_z: if it is known. score: x -> -grad energy, if it
    is known in closed form. dtype: of where chains start.

    Raises BadInput, when asked, for energies of another shape and for a score that has no gradient.

    >>> law = Energy(lambda x: (x**4).sum(1) / 4, (2,))
    >>> law.score(torch.tensor([[1.0, 2.0]]))
    tensor([[-1., -8.]])
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        event_shape: tuple[int, ...],
        log_z: float | None = None,
        *,
        score: Callable[[Tensor], Tensor] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.function, self.event_shape, self.log_z, self.dtype = function, tuple(event_shape), log_z, dtype
        self.closed_score = score

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        value = self.function(x)
        if not isinstance(value, Tensor) or value.shape != (len(x),):
            came = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise BadInput(f"an energy gives one number for each of {len(x)} rows, shape [{len(x)}], not {came}")
        return value

    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        if self.closed_score is None:
            return super().energy_and_score(x)
        return self.energy(x), like(x, self.closed_score(x), "a score has the shape of x")


class Tempered(Law):
    """p^beta / Z_beta: flatter for beta < 1, sharper for beta > 1, uniform at 0.

    >>> law = Tempered(Energy(lambda x: (x**2).sum(1) / 2, (1,)), 0.25)
    >>> law.energy(torch.tensor([[2.0]]))
    tensor([0.5000])
    """

    def __init__(self, law: Law, beta: float) -> None:
        if not beta >= 0:
            raise BadInput(f"an inverse temperature must be 0 or more, not {beta}")
        self.law, self.beta, self.event_shape, self.dtype = law, beta, law.event_shape, law.dtype
        self.log_z, self.measure = law.log_z if beta == 1 else None, law.measure

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        return self.beta * self.law.energy(x)

    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        energy, score = self.law.energy_and_score(x)
        return self.beta * energy, self.beta * score


class Sum(Law):
    """The law of energy U_1 + U_2.

    >>> half = Energy(lambda x: (x**2).sum(1) / 2, (1,))
    >>> (half + half).energy(torch.tensor([[3.0]]))
    tensor([9.])
    """

    def __init__(self, first: Law, second: Law) -> None:
        if first.event_shape != second.event_shape:
            raise BadInput(f"energies add on events of one shape, not {first.event_shape} and {second.event_shape}")
        if first.measure != second.measure:
            raise BadInput(f"energies add by one measure, not by {first.measure} and {second.measure}")
        self.measure = first.measure
        self.first, self.second, self.event_shape, self.dtype = first, second, first.event_shape, first.dtype

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        return self.first.energy(x) + self.second.energy(x)

    def energy_and_score(self, x: Float[Tensor, "n *event"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *event"]]:
        (u, s), (v, t) = self.first.energy_and_score(x), self.second.energy_and_score(x)
        return u + v, s + t


class Transformed(Law):
    """The law of x where z = bijector(x) has a law that is known.

    >>> double = lambda x: (2 * x, torch.full((len(x),), 0.6931))
    >>> half = Energy(lambda x: (x**2).sum(1) / 2, (1,), log_z=0.9189)
    >>> half.transformed(double).log_prob(torch.tensor([[0.0]])).value
    tensor([-0.2258])
    """

    def __init__(self, law: Law, bijector: Callable[[Tensor], Any]) -> None:
        if law.measure != "lebesgue":
            raise BadInput(f"a law by {law.measure} measure has points and no density to be carried by a map")
        self.law, self.bijector, self.event_shape, self.log_z = law, bijector, law.event_shape, law.log_z
        self.dtype = law.dtype

    def energy(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        z, log_det = self.bijector(x)
        energy: Tensor = self.law.energy(z) - log_det
        return energy

    def log_prob(self, x: Float[Tensor, "n *event"]) -> LogProb:
        z, log_det = self.bijector(x)
        known = self.law.log_prob(z)
        return known._replace(value=known.value + log_det)
