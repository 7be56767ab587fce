"""Linear observations y = A x + noise e, e ~ N(0, Id), and the solves that condition on them."""

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge.doors import finite, real
from monge.errors import BadInput
from monge.linalg import conjugate_gradients
from monge.observations.observation import Map, Observation, observed
from monge.observations.operators import Operator

DENSE = 1024  # values of y up to which one matrix of them is made, else equations are solved by conjugate gradients
AGREEING = 1e-3  # share of |A x| |r| by which <A x, r> and <x, A' r> may differ, in single precision
ROUNDING = 64  # units in the last place that are taken for it
BENT = 1e-3  # share of its way by which a map may be off one of scale and shift
PROBES = 64  # signs by which the rows of A are measured
ITERATIONS = 200  # of conjugate gradients, at most
TOGETHER = 2**22  # values of events that are worked on together
UNMET = 1e-2  # share of its size by which an exact value may be missed
RIDGE = 1e-3  # least noise, in s.d. of a typical value of A x, where equations are solved by iterations
CLOSE = 1e-5  # residual at which they stop, as a share of the right side

Products = Callable[[Tensor, Tensor], Tensor]  # v [n, *event], part [n] -> S_part v, symmetric


class Linear(Observation):
    """y = A x + noise e, e ~ N(0, Id): log p(y | x) = -|y - A x|^2 / (2 noise^2) - m log(noise sqrt(2 pi)).

    operator: a matrix [m, d] on flattened events; or a pair of functions on events, A [n, *event] -> [n, *y] and its
        adjoint [n, *y] -> [n, *event], which are tried out; or one of `monge.observations`: `mask`, `blur`,
        `downscale`, `fourier`, `projections`.
    y: one observation, [m] or [*y]. NaN in it was not seen, and counts for nothing.
    noise: standard deviation, a number or one for each value of y; 0 for values that are exact.

    Values of y that agree with the others (rows of A that are dependent) are welcome; with noise 0 those that do not
    have no solution, and the nearest is taken.

    Raises BadInput for an adjoint that is none, y of another shape than A x, noise that is negative or not finite, and
    y without a number.

    >>> import torch
    >>> seen = Linear(torch.tensor([[1.0, 1.0]]), torch.tensor([2.0]), noise=1.0)
    >>> seen.log_likelihood(torch.tensor([[1.0, 1.0]]))
    tensor([-0.9189])
    """

    def __init__(self, operator: Any, y: Any, noise: Any) -> None:
        self.y, self.seen = observed(y)
        shape = tuple(real(y, "y").shape)
        self.operator = _operator(operator, shape, self.y.dtype)
        self.ours = isinstance(operator, Operator | Tensor)  # which take any precision
        missing = int((~self.seen).sum())
        if missing:
            self.notes = (f"{missing} of {self.seen.numel()} values of y are NaN: they were not seen",)
        sd = finite(noise, "noise")
        if sd.numel() != 1 and tuple(sd.shape) != shape:
            raise BadInput(f"noise is a number or one for each value of y, {list(shape)}, not {list(sd.shape)}")
        if not bool((sd >= 0).all()):
            raise BadInput("noise is a standard deviation, 0 for exact values or more: it is negative")
        self.noise = (sd.flatten().expand(self.seen.numel()))[self.seen].to(self.y)

    @property
    def event_shape(self) -> tuple[int, ...] | None:  # type: ignore[override]
        """Of the events that A takes, None where a matrix takes any of so many values."""
        made = self.operator.event_shape
        return made if made is not None and len(made) > 1 else None

    @property
    def size(self) -> int:
        """m, values that were seen."""
        return self.y.numel()

    def forward(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n m"]:
        """A x, of the values that were seen."""
        found: Tensor = self.operator.forward(x).flatten(1)
        return found[:, self.seen.to(x.device)] if self.notes else found

    def adjoint(self, r: Float[Tensor, "n m"], like: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """A' r, of the shape of `like`."""
        if self.notes:
            whole = r.new_zeros(len(r), self.seen.numel())
            whole[:, self.seen.to(r.device)] = r
            r = whole
        return self.operator.adjoint(r.reshape(len(r), *self.operator.y_shape)).reshape(like.shape)

    def residual(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n m"]:
        """y - A x."""
        return self.y.to(x) - self.forward(x)

    def log_likelihood(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        """-inf where a value that is exact is missed by more than rounding."""
        r, sd = self.residual(x), self.noise.to(x)
        exact = sd == 0
        missed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if bool(exact.any()):
            size = self.y.to(x).abs() + self.rows(tuple(x.shape[1:])).to(x) * x.flatten(1).norm(dim=1)[:, None]
            missed = (r.abs() > ROUNDING * torch.finfo(x.dtype).eps * size)[:, exact].any(1)
        r, sd = r[:, ~exact], sd[~exact]
        value: Tensor = -0.5 * (r / sd).square().sum(1) - sd.log().sum() - 0.5 * len(sd) * math.log(2 * math.pi)
        return torch.where(missed, -math.inf, value)

    def fits(self, event_shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        made = self.operator.event_shape
        flat = made is not None and len(made) == 1 and made == (math.prod(event_shape),)
        if made is not None and made != tuple(event_shape) and not flat:
            raise BadInput(f"the observation is of events {list(made)}, and these are {list(event_shape)}")
        found = tuple(self.operator.forward(torch.zeros(1, *event_shape, dtype=dtype)).shape[1:])
        if math.prod(found) != self.seen.numel():
            raise BadInput(f"y is {list(self.operator.y_shape)}, and A x of these events {list(found)}")

    def of(self, inverse: Map, event_shape: tuple[int, ...]) -> Observation:
        """The same observation of u, where x = inverse(u) is affine, a scale and a shift for each value."""
        zero = inverse(torch.zeros(1, *event_shape, dtype=self.y.dtype))
        one = torch.ones_like(zero)
        scale = inverse(one) - zero
        for u in (-3.0, -0.7, 0.3, 3.0):
            off = (inverse(u * one) - zero - u * scale).abs()
            if bool((off > BENT * (abs(u) * scale.abs() + zero.abs() * torch.finfo(zero.dtype).eps / BENT * 8)).any()):
                return super().of(inverse, event_shape)
        made, own = copy.copy(self), self.operator
        made.made_with = None
        made.operator = Operator(
            lambda u: own.forward(u * scale.to(u)),
            lambda r: (found := own.adjoint(r).reshape(len(r), *event_shape)) * scale.to(found),
            tuple(event_shape),
            own.y_shape,
        )
        made.y = self.residual(zero)[0]
        return made

    def spread(self, sd: float, event_shape: tuple[int, ...]) -> "Linear":
        """The same of events whose every value has noise of its own, of this s.d.: noise^2 + sd^2 sum_j A_ij^2, the
        sums by 64 signs at random, which for masks is exact."""
        made = copy.copy(self)
        made.noise = (self.noise.square() + (sd * self.rows(event_shape)).square()).sqrt()
        return made

    def rows(self, event_shape: tuple[int, ...]) -> Float[Tensor, " m"]:
        """The norm of each row of A, by signs at random."""
        generator = torch.Generator().manual_seed(0)
        signs = torch.randn((PROBES, *event_shape), generator=generator, dtype=self.y.dtype).sign()
        return self.forward(signs).square().mean(0).sqrt()

    def met(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n *event"]:
        """x moved to the nearest events that have the values which are exact."""
        exact = (self.noise == 0).to(x)
        if not bool(exact.any()):
            return x

        def apply(v: Tensor) -> Tensor:  # A'A v: what agrees with no event is not in the range of A'
            return self.adjoint(exact * self.forward(v.reshape(x.shape)), x).flatten(1)

        wanted = self.adjoint(exact * self.residual(x), x).flatten(1)
        moved, _ = conjugate_gradients(apply, wanted, within=CLOSE, most=ITERATIONS)
        return x + moved.reshape(x.shape)

    def unmet(self, x: Float[Tensor, "n *event"]) -> tuple[str, ...]:
        """In words, if events do not have the values that are exact: these contradict each other, or A."""
        exact = self.noise == 0
        r = self.residual(x)[:, exact].abs()
        size = self.y.to(x).abs() + self.rows(tuple(x.shape[1:])).to(x) * x.flatten(1).norm(dim=1)[:, None]
        off = int((r > UNMET * size[:, exact]).any(0).sum())
        return (f"{off} of {int(exact.sum())} exact values cannot be met: no event has them all",) if off else ()

    # -- conditioning --------------------------------------------------------------------------------------

    def gram(
        self, products: Products, like: Float[Tensor, "k *event"], *, together: bool = True
    ) -> Float[Tensor, "k m m"]:
        """A S A' of k covariances, in double precision where the operator takes it."""
        wide = like.double() if self.ours else like
        k, size = len(wide), max(1, TOGETHER // wide.numel()) if together else 1
        rows = []
        for units in torch.split(torch.eye(self.size, dtype=wide.dtype, device=wide.device), size):
            every = wide[None].expand(len(units), *wide.shape).flatten(0, 1)
            part = torch.arange(k, device=wide.device).repeat(len(units))
            turned = products(self.adjoint(units.repeat_interleave(k, 0), every), part)
            rows.append(self.forward(turned).reshape(len(units), k, -1))
        matrix = torch.cat(rows).movedim(0, 2)
        return (matrix + matrix.mT) / 2

    def weighing(
        self,
        products: Products,
        like: Float[Tensor, "k *event"],
        *,
        dense: bool | None = None,
        most: int = ITERATIONS,
        together: bool = True,
    ) -> "Weighing":
        """(A S A' + noise^2)^-1 for k covariances S of events like these, which are known by their products.

        products: S_part v, of v [n, *event] and part [n]. dense: by matrices, of m products each, which they are of up
        to 1,024 values; else by `most` conjugate gradients. together: whether `products` takes any number of rows.
        """
        if not (self.size <= DENSE if dense is None else dense):
            return Weighing(self, products, None, like.new_zeros(len(like)), most)
        matrix = self.gram(products, like, together=together)
        matrix = matrix + self.noise.to(matrix).square().diag()
        return Weighing(self, products, *inverse_and_log_det(matrix, self.noise), most)


class Weighing(NamedTuple):
    """W = (A S A' + noise^2)^-1 of k covariances S.

    matrices: [k, m, m], None where it is by conjugate gradients. log_det: log det(2 pi W^-1) [k], 0 where that is not
    known.
    """

    seen: Linear
    products: Products
    matrices: Float[Tensor, "k m m"] | None
    log_det: Float[Tensor, " k"]
    most: int

    def conditioned(
        self, x: Float[Tensor, "n *event"], part: Int[Tensor, " n"], e: Float[Tensor, "n m"]
    ) -> Float[Tensor, "n *event"]:
        """Draws of N(., S_part) as draws of it given the observation, x + S A' W (y - A x - noise e), of unit noise e
        (the rule of Matheron)."""
        r = self.seen.residual(x) - self.seen.noise.to(x) * e
        return x + self.products(self.seen.adjoint(self(r, part, x), x), part)

    def __call__(
        self, r: Float[Tensor, "n m"], part: Int[Tensor, " n"], like: Float[Tensor, "n *event"]
    ) -> Float[Tensor, "n m"]:
        """W_part r, row by row, of events like these."""
        if self.matrices is None:

            def ahead(u: Tensor) -> Tensor:
                return self.seen.forward(self.products(self.seen.adjoint(u, like), part))

            signs = torch.randn(r.shape[1], generator=torch.Generator().manual_seed(0)).sign().to(r).expand_as(r)
            typical = (signs * ahead(signs)).mean(1, keepdim=True)  # of the diagonal of A S A'
            variance = torch.maximum(self.seen.noise.to(r).square(), RIDGE**2 * typical)

            def apply(u: Tensor) -> Tensor:
                return ahead(u) + variance * u

            return conjugate_gradients(apply, r, within=CLOSE, most=min(self.most, r.shape[1]))[0]
        if len(self.matrices) == 1:
            return (r.to(self.matrices) @ self.matrices[0]).to(r)
        return torch.einsum("nij,nj->ni", self.matrices[part], r.to(self.matrices)).to(r)


def inverse_and_log_det(
    matrix: Float[Tensor, "n m m"], noise: Float[Tensor, " m"]
) -> tuple[Float[Tensor, "n m m"], Float[Tensor, " n"]]:
    """The inverse and log det(2 pi M) of M = A S A' + noise^2, in units in which its diagonal is 1; none of its
    eigenvalues there is below the least share of the noise. Where values are exact, directions that are not told from
    rounding are left out: rows that are dependent."""
    diagonal = matrix.diagonal(dim1=1, dim2=2).double()
    unit = torch.where(diagonal > 0, diagonal, 1.0).rsqrt()
    lam, vectors = torch.linalg.eigh(matrix.double() * unit[:, :, None] * unit[:, None])
    least = (noise.to(diagonal) * unit).square().amin(1, keepdim=True)
    kept = (least > 0) | (lam > ROUNDING * torch.finfo(matrix.dtype).eps)
    lam = torch.where(kept, torch.maximum(lam, least), 1.0)
    half = vectors * (kept / lam.sqrt())[:, None]
    root = unit[:, :, None] * half
    log_det = torch.where(kept, (2 * math.pi * lam).log(), 0.0).sum(1) - 2 * unit.log().sum(1)
    return root @ root.mT, log_det


def _operator(given: Any, y_shape: tuple[int, ...], dtype: torch.dtype) -> Operator:
    """What an observation is made with; adjoints are tried out."""
    if isinstance(given, Operator):
        found = given
    elif isinstance(given, tuple) and len(given) == 2 and all(callable(each) for each in given):
        tried = given[1](torch.ones(1, *y_shape, dtype=dtype))
        if not isinstance(tried, Tensor) or len(tried) != 1:
            raise BadInput("the adjoint must give events [n, *event] of [n, *y]")
        found = Operator(given[0], given[1], tuple(tried.shape[1:]), y_shape)
    else:
        if isinstance(given, tuple) or callable(given):
            raise BadInput("an operator is a matrix, or a pair of functions, A and its adjoint, or one of ours")
        matrix = finite(given, "operator")
        if matrix.ndim != 2:
            raise BadInput(f"an operator is a matrix [m, d], not {list(matrix.shape)}")
        found = Operator.of_matrix(matrix)
    if found.y_shape is not None and math.prod(found.y_shape) != math.prod(y_shape):
        raise BadInput(f"y is {list(y_shape)}, and the operator gives {list(found.y_shape)}")
    found = found._replace(y_shape=y_shape)
    if isinstance(given, tuple) and not isinstance(given, Operator):
        _try_adjoint(found, dtype)
    return found


def _try_adjoint(operator: Operator, dtype: torch.dtype) -> None:
    """Raise BadInput unless <A x, r> = <x, A' r> for numbers x and r at random, and A is linear in them."""
    assert operator.event_shape is not None
    generator = torch.Generator().manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "dtype": dtype}
    x, z = (torch.randn(1, *operator.event_shape, **options) for _ in range(2))
    r = torch.randn(1, *operator.y_shape, **options)
    ahead = operator.forward(x)
    if tuple(ahead.shape) != tuple(r.shape):
        raise BadInput(f"y is {list(r.shape[1:])}, and A x of events {list(x.shape[1:])} is {list(ahead.shape[1:])}")
    back = operator.adjoint(r)
    one, other = float((ahead * r).sum()), float((x * back).sum())
    size = float(ahead.norm() * r.norm() + x.norm() * back.norm())
    if not abs(one - other) <= AGREEING * size:
        raise BadInput(f"the adjoint is none: <A x, r> is {one:.4g} and <x, A' r> {other:.4g} for x and r at random")
    both = operator.forward(x + 2 * z) - ahead - 2 * operator.forward(z)
    if not float(both.norm()) <= AGREEING * float(ahead.norm() + operator.forward(z).norm()):
        raise BadInput("A is not linear: A (x + 2 z) is not A x + 2 A z; give log_likelihood to Likelihood instead")
