"""Reverse diffusion: from noise to data with a denoiser (course, section 6.2.2)."""

import math
from typing import Any, Literal, overload

import torch
from torch import Tensor

from monge import progress, rng
from monge.denoisers import Informed, informed
from monge.densities import Gaussian
from monge.doors import whole
from monge.errors import BadInput
from monge.linalg import DiagonalCovariance
from monge.protocols import Denoiser
from monge.samplers.diffusion.descent import Descent, Trajectory, noise_levels
from monge.samplers.diffusion.linearisation import Linearisation
from monge.samplers.diffusion.pilot import Plan, flat, pilot, steps
from monge.samplers.diffusion.scale import survey
from monge.samplers.diffusion.solvers import ExponentialMultistep, Solver

Ends = tuple[float | None, float | None]  # sigma_min and sigma_max, if they are given
BATCH_VALUES = 2**20  # values held at a time when no batch size is given


@overload
def reverse_diffusion(
    denoiser: Denoiser, event_shape: tuple[int, ...], n: int, *args: Any, trace: Literal[True], **options: Any
) -> Trajectory: ...
@overload
def reverse_diffusion(
    denoiser: Denoiser, event_shape: tuple[int, ...], n: int, *args: Any, **options: Any
) -> Tensor: ...
@torch.no_grad()  # type: ignore[misc]  # the overloads name only what decides the type of the result
def reverse_diffusion(
    denoiser: Denoiser,
    event_shape: tuple[int, ...],
    n: int,
    nfe: int = 20,
    alpha: float = 0.0,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    seed: int = 0,
    *,
    solver: Solver | None = None,
    moments: Gaussian | None = None,
    plan: Plan | None = None,
    start: int = 0,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    trace: bool = False,
    show: bool = False,
) -> Tensor | Trajectory:
    """Draw n samples by running the noise clock backwards from sigma_max to 0, with nfe calls of the denoiser.

    Follows, with y = x + sigma z (course (135), (140)), dy = (1 + alpha) sigma grad log p_sigma(y) |dsigma|
    + sqrt(2 alpha sigma |dsigma|) dW: a deterministic transport for alpha = 0, Anderson's reversed diffusion for
    alpha = 1. The score is read off the denoiser (142).

    denoiser: (y [n, *event], sigma [n]) -> E[x | y]. If it has `blind = True`, sigma is only a plan, and the noise
        level at each step is the one that its residual shows.
    nfe: denoiser calls per sample; never exceeded.
    sigma_min, sigma_max: the levels of the last and the first call. Unless given, they are chosen, and steps between
        them stand where this denoiser needs them: the walk begins where the law is Gaussian to .05 / nfe nats.
    solver: rule for one step; ExponentialMultistep unless given, whose last step goes from the last level to 0.
    moments: mean and covariance of the data (the denoiser's own `.moments` if it has them). The walk starts at
        N(m, C + sigma_max^2), and a Gaussian law comes out exact for any number of calls.
    plan: what a pilot found out of this denoiser; found out anew unless given.
    start: index of the first sample: sample i of a seed is the same whatever n, the batch size and the way that the
        work is spread, for alpha > 0 too.
    trace: return the `Trajectory`.

    Any unit will do: levels that are not given follow from the law's own width (`monge.samplers.diffusion.scale`).
    What is not known of a denoiser, its moments and its `gains` (see `monge.samplers.pilot`), a pilot finds out first:
    1,920 calls, twice as many and a hundred without moments, in all, not per sample. It is the same for any n and seed,
    so that who draws more than once makes a plan, `pilot(denoiser, event_shape)`, and gives it to each draw. There is
    none when both levels are given and moments are not, nor for rows that have a label each.

    Raises BadInput for nfe < 1, alpha < 0 or not finite, n < 1, levels other than 0 < sigma_min < sigma_max, and a
    denoiser whose answer has not the shape of y; NumericalFailure if it returns values that are not finite.

    >>> from monge.denoisers import Oracle; from monge.densities import Gaussian
    >>> D = Oracle(Gaussian(torch.zeros(2), torch.eye(2)))
    >>> reverse_diffusion(D, (2,), 1000, nfe=10).std(0).round(decimals=1)
    tensor([1., 1.])
    """
    check(n, nfe, alpha, sigma_min, sigma_max)
    n, nfe, event_shape = whole(n, "n"), whole(nfe, "nfe"), _event(event_shape)
    if not dtype.is_floating_point:
        raise BadInput(f"samples are of a floating dtype, not {dtype}")
    if batch_size is not None:
        batch_size = whole(batch_size, "batch_size")
    if moments is not None and tuple(moments.mean.shape[-len(event_shape) :]) != event_shape:
        raise BadInput(f"moments are of events {list(moments.mean.shape)}, and the samples are {list(event_shape)}")
    solver = solver or ExponentialMultistep()
    size = batch_size or max(1, BATCH_VALUES // max(1, math.prod(event_shape)))
    parts: list[Tensor] = []
    frames: list[Trajectory] = []
    options: dict[str, Any] = {"dtype": dtype, "device": device}
    given = sigma_min, sigma_max
    if plan is not None and (not isinstance(plan, Plan) or tuple(plan.moments.event_shape) != event_shape):
        came = f"one of events {list(plan.moments.event_shape)}" if isinstance(plan, Plan) else type(plan).__name__
        raise BadInput(f"plan is what pilot(denoiser, {event_shape}) gives, not {came}")
    denoiser = informed(denoiser)
    if denoiser.moments is not None and tuple(denoiser.moments.event_shape) != event_shape:
        raise BadInput(f"the denoiser has moments of events {list(denoiser.moments.event_shape)}, not {event_shape}")
    plan, linear, ends = planned(denoiser, event_shape, moments, plan, given, options, show)
    with progress.bar("drawing samples", n * nfe, show=show) as advance:
        count = max(1, -(-nfe // solver.calls))
        grid = noise_levels(count, *ends) if ends else steps(linear, count, *given)
        for first in range(0, n, size):
            rows = min(size, n - first)
            z = rng.normal((rows, *event_shape), seed, "start", start=start + first, **options)
            own = denoiser.rows(first, rows)
            law = moments or own.moments or plan.moments
            walk = Descent(
                own,
                solver,
                law.mean,
                linear,
                alpha=alpha,
                seed=seed,
                start=start + first,
                trace=trace,
                advance=advance,
            )
            parts.append(walk.run(law.noised(grid[0].item()).from_noise(z), grid))
            if trace:
                frames.append(walk.trajectory(parts[-1]))
    x = torch.cat(parts)
    if not trace:
        return x
    y, x_hat = (torch.cat(seen, 1) for seen in ([f.y for f in frames], [f.x_hat for f in frames]))
    return Trajectory(x, frames[0].sigma, y, x_hat, plan.calls)


def _event(event_shape: Any) -> tuple[int, ...]:
    """The sides of an event, if they are some."""
    try:
        sides = tuple(whole(side, "a side of the event") for side in event_shape)
    except TypeError as error:
        raise BadInput(f"event_shape must be the sides of an event, such as (2,), not {event_shape!r}") from error
    if not sides:
        raise BadInput("an event has an axis or more: give event_shape=(1,) for numbers")
    return sides


def check(n: int, nfe: int, alpha: float, sigma_min: float | None, sigma_max: float | None) -> None:
    """Raise BadInput for what no walk can be asked for."""
    if n < 1:
        raise BadInput(f"n must be at least 1 sample, not {n}")
    if nfe < 1:
        raise BadInput(f"nfe must be at least 1 denoiser call, not {nfe}")
    if not 0 <= alpha < math.inf:
        raise BadInput(f"alpha must be 0 (deterministic) or more, and finite, not {alpha}")
    low, high = sigma_min if sigma_min is not None else 0.0, sigma_max if sigma_max is not None else math.inf
    if not low < high or low < 0 or sigma_min == 0 or sigma_max == math.inf:
        raise BadInput(
            f"noise levels need 0 < sigma_min < sigma_max < infinity, not sigma_min={sigma_min}, sigma_max={sigma_max}"
        )


def planned(
    denoiser: Informed,
    event_shape: tuple[int, ...],
    moments: Gaussian | None,
    plan: Plan | None,
    given: Ends,
    options: Any,
    show: bool,
) -> tuple[Plan, Linearisation, tuple[float, float] | None]:
    """The plan, the linear part of the denoiser, and the ends of its levels where the plan does not tell them."""
    moments = moments if moments is not None else denoiser.moments
    if moments is None and plan is not None:
        moments = plan.moments
    unmeasured = plan is None or plan.gains is None
    if unmeasured and denoiser.count is None and (moments is not None or None in given):
        low, high = given[0] or 0.0, given[1] or math.inf
        plan = pilot(denoiser, event_shape, moments, lowest=low, highest=high, **options, show=show)
    if plan is not None and plan.gains is not None:
        return plan, Linearisation(plan.moments.covariance, plan.gains), None
    law, width, ends = survey(denoiser, event_shape, moments, *given, **options)
    alike = torch.full([1] * len(event_shape), width**2)  # broadcasts: one variance for all
    linear = flat(law.covariance if moments is not None else DiagonalCovariance(alike))
    return Plan(law, linear.gains), linear, ends
