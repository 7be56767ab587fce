"""dx/dt = V(x, t), integrated in one place: with its divergence, and with gradients (course, sections 5.3 and 6.2.2).

A field carries a law along by Liouville's equation (course (96)): d log p_t(x_t) / dt = -div V(x_t, t), so that

    log p(x at the end) = log p(x at the beginning) - int div V dt.

A neural ODE, the velocity of flow matching and the deterministic transport of a denoiser are three fields.
"""

import functools
import math
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monge import rng
from monge.doors import finite, function, like, one_of, whole
from monge.errors import BadInput, NumericalFailure

Field = Callable[[Tensor, Tensor], Tensor]  # (x [n, *event], t [n]) -> [n, *event]
TOGETHER = {"cpu": 2**13, "cuda": 2**22}  # values of x for all directions that the Jacobian is applied to at once
STEPS = 100  # of a method that does not choose them
MOST_STEPS = 5000  # of one that does
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
P = ParamSpec("P")
R = TypeVar("R")


class Integrated(NamedTuple):
    """x: [n, *event] at the end. divergence: [n], the integral of div V along the way; None if it was not asked for.
    error: [n], its standard error over the probes, 0 where it is exact but for the integrator's own. kinetic: [n], the
    integral of |V|^2, and jacobian: [n], that of |dV/dx|^2 (Frobenius), where `energies` were asked for."""

    x: Float[Tensor, "n *event"]
    divergence: Float[Tensor, " n"] | None = None
    error: Float[Tensor, " n"] | None = None
    kinetic: Float[Tensor, " n"] | None = None
    jacobian: Float[Tensor, " n"] | None = None


def derivable(function: Callable[P, R]) -> Callable[P, R]:
    """A function within which derivatives are taken, also under `inference_mode`; `no_grad` outside holds for what it
    returns."""

    @functools.wraps(function)
    def guarded(*given: P.args, **named: P.kwargs) -> R:
        on = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(on):
            return function(*given, **named)

    return guarded


@derivable
def integrate(
    field: Field,
    x: Float[Tensor, "n *event"],
    begin: float,
    end: float,
    *,
    divergence: bool = False,
    probes: int | None = None,
    energies: bool = False,
    method: str = "dopri5",
    rtol: float = 1e-5,
    atol: float = 1e-5,
    options: dict[str, Any] | None = None,
    gradients: str | None = None,
    seed: int = 0,
    start: int = 0,
) -> Integrated:
    """x at time `end` of what stands at x at time `begin`, earlier or later, and moves by dx/dt = V(x, t).

    field: V, (x [n, *event], t [n]) -> [n, *event]; a module, where its parameters are to be learned. One that has
        `pushed`, (x, directions [m, n, *event], t) -> V and its Jacobian applied to each, tells its divergence by that.
    divergence: whether its integral is wanted, by d products with the Jacobian for each call of V; or by Hutchinson's
        estimate of so many `probes` of random signs, those of row `start` + i of a seed: 2 or more, by which its error
        is told, or 1 where gradients are asked for, whose error is infinite.
    energies: whether those of the way are wanted, too, which a training may hold down (Finlay et al. 2020).
    method, options: of `torchdiffeq`; "dopri5", "dopri8", "bosh3" choose their steps so that each row errs by at most
        rtol |x| + atol in a step, whoever shares its batch; "rk4", "midpoint", "euler" and the others of fixed steps
        take a hundred, or options={"step_size": h}.
    gradients: None, x at the end is detached; "direct", gradients to x and to the field's parameters through the steps
        as they were taken; "adjoint", by the adjoint equation (Chen et al. 2018), in memory that does not grow with the
        steps, for a field that is a module.

    Raises BadInput for a field of another shape than x, too few probes, tolerances and times that are none, and a
    method that there is not; NumericalFailure where the integrator does not converge, or would need more than 5,000
    steps, and says at which time.

    >>> x = torch.ones(1, 2, dtype=torch.float64)
    >>> found = integrate(lambda x, t: -x, x, 0.0, 1.0, divergence=True)
    >>> found.x, found.divergence
    (tensor([[0.3679, 0.3679]], dtype=torch.float64), tensor([-2.], dtype=torch.float64))
    """
    from torchdiffeq import odeint, odeint_adjoint

    function(field, "a field is a function of x and t, (x [n, *event], t [n]) -> [n, *event]")
    x = finite(x, "x")
    x = x.clone() if x.is_inference() else x
    if x.ndim < 2 or not len(x):
        raise BadInput(f"x must be [n, *event] with a row or more, not {list(x.shape)}")
    if not (0 < rtol < math.inf and 0 < atol < math.inf):
        raise BadInput(f"rtol and atol must be above 0, and finite, not {rtol} and {atol}")
    numbers = isinstance(begin, Real) and isinstance(end, Real)
    if not numbers or not (math.isfinite(begin) and math.isfinite(end)) or begin == end:
        raise BadInput(f"two times are needed, finite and apart, not {begin} and {end}")
    if gradients is not None:
        one_of(gradients, ("direct", "adjoint"), "gradients")
    if gradients == "adjoint" and not isinstance(field, nn.Module):
        raise BadInput("the adjoint equation finds gradients to the parameters of a module: give the field as one")
    if gradients is not None and method == "scipy_solver":
        raise BadInput("scipy_solver gives no gradients: take another method, or gradients=None")
    if probes is not None and whole(probes, "probes") < (2 if gradients is None else 1):
        raise BadInput(f"Hutchinson's estimator needs at least 2 probes to state its error, not {probes}")
    signs = None
    if divergence or probes or energies:
        shape = (len(x), probes or 0, *x.shape[1:])
        signs = rng.uniform(shape, seed, "probes", start=start, dtype=x.dtype, device=x.device).sub(0.5).sign()
    graph = gradients is not None and torch.is_grad_enabled()
    moving = _Moving(field, signs, (min(begin, end), max(begin, end)), graph)
    times = torch.tensor([begin, end], dtype=x.dtype, device=x.device)
    own: dict[str, Any] = {"norm": _largest, "step_t": times[1:], "max_num_steps": MOST_STEPS}
    if method not in ADAPTIVE:
        own = {} if method == "scipy_solver" else {"step_size": abs(end - begin) / STEPS}
    if method == "explicit_adams":  # the order that it has by itself is unstable
        own["max_order"] = 4
    given: dict[str, Any] = {"rtol": rtol, "atol": atol, "method": method, "options": {**own, **(options or {})}}
    if graph and gradients == "adjoint":
        moving.refuse_hidden(x, times[0])
        backwards = {} if method in ADAPTIVE else own
        given["adjoint_options"] = {**backwards, **(options or {})}
    columns = 0 if signs is None else max(1, signs.shape[1])
    state = x, x.new_zeros(len(x), columns), x.new_zeros(len(x), 2 if energies else 0)
    try:
        with torch.set_grad_enabled(graph):
            solve = odeint_adjoint if "adjoint_options" in given else odeint
            ends, change, spent = solve(moving, state, times, **given)
    except ValueError as error:
        if "method" in str(error):
            raise BadInput(f"method: {error}") from error
        raise
    except AssertionError as error:
        raise NumericalFailure(
            f"the transport between {begin:g} and {end:g} did not converge at t = {float(moving.reached):.4g} "
            f"({error}): the field is stiff there or grows without bound; raise rtol and atol, or work in float64"
        ) from error
    if not ends[-1].isfinite().all():
        raise NumericalFailure(
            f"the transport left the real numbers after t = {float(moving.reached):.4g}: the field gave values that "
            "are not finite, or steps too long for it"
        )
    more = {"kinetic": spent[-1][:, 0], "jacobian": spent[-1][:, 1]} if energies else {}
    if signs is None or not (divergence or probes):
        return Integrated(ends[-1], **more)
    total = change[-1]
    spread = torch.zeros_like(total[:, 0])
    if probes:
        spread = total.detach().std(1) / math.sqrt(probes) if probes > 1 else torch.full_like(spread, math.inf)
    return Integrated(ends[-1], total.mean(1), spread, **more)


class _Moving(nn.Module):
    """The field, and beside it its divergence in so many columns, as the integrator asks for them."""

    def __init__(self, field: Field, signs: Tensor | None, ends: tuple[float, float], graph: bool) -> None:
        super().__init__()
        self.field, self.signs, self.ends, self.graph = field, signs, ends, graph
        self.together: int | None = None  # directions at once, as many as the field takes
        self.reached = torch.tensor(math.nan)  # the last time at which all was finite

    def forward(self, time: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x, change, spent = state
        self.reached = torch.where(x.isfinite().all(), time.detach(), self.reached.to(time))
        time = time.clamp(*self.ends).to(x.dtype).expand(len(x))  # a trial step may lead beyond
        if self.signs is None:
            return self._velocity(x, time), torch.zeros_like(change), torch.zeros_like(spent)
        if hasattr(self.field, "pushed"):
            v, div, size = self._pushed(x, time, self.signs)
            spent = torch.stack([v.square().flatten(1).sum(1), size], 1) if spent.shape[1] else spent
            return v, div, spent
        with torch.enable_grad():
            at = x if self.graph and x.requires_grad else x.detach().requires_grad_()
            v = self._velocity(at, time)
            div, size = self._divergence(v, at, self.signs)
            if spent.shape[1]:
                spent = torch.stack([v.square().flatten(1).sum(1), size], 1)
        return (v, div, spent) if self.graph else (v.detach(), div, spent.detach())

    def refuse_hidden(self, x: Tensor, time: Tensor) -> None:
        """Raise BadInput where V learns by parameters that are not those of the field: the adjoint would miss them."""
        with torch.enable_grad():
            learned = self._velocity(x.detach(), time.expand(len(x))).requires_grad
        if learned and not any(p.requires_grad for p in self.parameters()):
            raise BadInput("the field learns by parameters that are not its own: give it as a module that has them")

    def _divergence(self, v: Tensor, x: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
        self.together = self.together or max(1, TOGETHER.get(x.device.type, TOGETHER["cpu"]) // x.numel())
        try:
            return jacobian_of(v, x, signs, self.together, graph=self.graph)
        except RuntimeError:  # an operation that takes no batch of gradients
            if self.together == 1:
                raise
            self.together = 1
            return jacobian_of(v, x, signs, graph=self.graph)

    def _pushed(self, x: Tensor, time: Tensor, signs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """V, its divergence and |J|^2 or the mean of |J e|^2, of a field that tells J e of directions e itself."""
        field: Any = self.field
        size = x[0].numel()
        e = signs.transpose(0, 1)
        if not len(e):
            e = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, 1, *x.shape[1:]).expand(-1, *x.shape)
        v, moved = field.pushed(x, e, time)
        along, squares = (moved * e).flatten(2).sum(2), moved.square().flatten(2).sum(2)
        if signs.shape[1]:
            return v, along.T, squares.mean(0)
        return v, along.sum(0)[:, None], squares.sum(0)

    def _velocity(self, x: Tensor, time: Tensor) -> Tensor:
        return like(x, self.field(x, time), "a field gives [n, *event] in the shape of x")


def divergence_of(
    v: Tensor, x: Tensor, signs: Tensor, together: int = 1, *, graph: bool = False
) -> Float[Tensor, "n k"]:
    """div V of v = V(x), as `jacobian_of` finds it.

    >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> divergence_of(x**2, x, torch.empty(1, 0, 2))
    tensor([[6.]])
    """
    return jacobian_of(v, x, signs, together, graph=graph)[0]


def jacobian_of(
    v: Tensor, x: Tensor, signs: Tensor, together: int = 1, *, graph: bool = False
) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"]]:
    """Of the Jacobian J of v = V(x) its trace, exact, one column, if there are no signs [n, 0, *event], else e' J e for
    each probe e; and |J|^2, or the mean of |e' J|^2.

    together: directions that the Jacobian is applied to at once. graph: whether the result is differentiated again.
    """
    n, k, size = len(x), signs.shape[1], x[0].numel()
    if not v.requires_grad:
        return x.new_zeros(n, max(1, k)), x.new_zeros(n)  # a field that does not depend on x

    def along(directions: Tensor) -> tuple[Tensor, Tensor]:
        """e' J e and |e' J|^2 of [m, n, *event], [m, n]."""
        many = len(directions) > 1
        (rows,) = torch.autograd.grad(
            v,
            x,
            directions if many else directions[0],
            retain_graph=True,
            create_graph=graph,
            is_grads_batched=many,
            materialize_grads=True,
        )
        rows = rows.reshape(directions.shape)
        return (rows * directions).flatten(2).sum(2), rows.square().flatten(2).sum(2)

    if k:
        found = [along(e) for e in torch.split(signs.transpose(0, 1), together)]
        each, squares = (torch.cat(parts) for parts in zip(*found, strict=True))
        return each.T, squares.mean(0)
    trace, squares = x.new_zeros(n), x.new_zeros(n)
    for some in torch.split(torch.arange(size, device=x.device), together):
        units = nn.functional.one_hot(some, size).to(x).reshape(len(some), 1, *x.shape[1:])
        each, square = along(units.expand(-1, *x.shape))
        trace, squares = trace + each.sum(0), squares + square.sum(0)
    return trace[:, None], squares


def _largest(state: Any) -> Tensor:
    """The largest, not the mean: every row meets the tolerance, whoever shares its batch."""
    parts = [state] if isinstance(state, Tensor) else state
    return torch.stack([part.abs().max() for part in parts if part.numel()]).max()
