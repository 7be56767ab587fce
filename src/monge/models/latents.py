"""What a latent gives: ways between events, and the direction of an attribute (course, section 5.1, Fig. 30)."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from monge.errors import BadInput
from monge.protocols import SupportsEncode

PARALLEL = 1e-6  # sine of the angle below which an arc is a line


def interpolate(
    model: Any,
    x0: Float[Tensor, "m *event"],
    x1: Tensor,
    n: int = 8,
    *,
    path: Literal["arc", "line"] = "arc",
    **options: Any,
) -> Float[Tensor, "n m *event"]:
    """n events on the way from each of x0 to each of x1, both included: T of a way between their latents.

    line: z = (1 - t) z0 + t z1. arc: the direction turns evenly along the great circle and the norm changes evenly,
    since noise lives on a sphere: halfway along a line between two latents the norm is too small by a factor of up to
    sqrt 2, and what comes is too average.

    options: of the model's `encode` and `decode`, a label for instance. Raises BadInput for a model without a latent,
    sets of other sizes, n < 2 or another path.

    >>> class Shift:
    ...     def encode(self, x):
    ...         return x - 1
    ...     def decode(self, z):
    ...         return z + 1
    >>> interpolate(Shift(), torch.zeros(1, 1), torch.ones(1, 1), 3, path="line").flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """
    if x0.shape != x1.shape:
        raise BadInput(f"give as many events at both ends, not {list(x0.shape)} and {list(x1.shape)}")
    if n < 2 or path not in ("arc", "line"):
        raise BadInput(f"give n >= 2 and the path 'arc' or 'line', not {n} and {path!r}")
    latents = [_latent(model, x, **options) for x in (x0, x1)]
    z0, z1 = (z.flatten(1) for z in latents)
    steps = torch.linspace(0, 1, n, dtype=z0.dtype, device=z0.device)
    ways = [_on_arc(z0, z1, float(t)) if path == "arc" else torch.lerp(z0, z1, float(t)) for t in steps]
    events: list[Tensor] = [model.decode(z.reshape(latents[0].shape), **options) for z in ways]
    return torch.stack(events)


def attribute(
    model: Any, x_with: Float[Tensor, "n *event"], x_without: Float[Tensor, "m *event"], **options: Any
) -> Float[Tensor, "*latent"]:
    """The unit vector between the mean latents of events with an attribute and of events without.

    Raises BadInput for a model without a latent, or where the means agree.
    """
    away: Tensor = _latent(model, x_with, **options).mean(0) - _latent(model, x_without, **options).mean(0)
    length = away.norm()
    if not length > 0:
        raise BadInput("the mean latents of both groups are the same: there is no direction between them")
    unit: Tensor = away / length
    return unit


def move(
    model: Any,
    x: Float[Tensor, "n *event"],
    direction: Tensor,
    strength: float = 1.0,
    **options: Any,
) -> Float[Tensor, "n *event"]:
    """x moved along a direction of its latent: T(z + strength direction), z being of norm sqrt(d) or so.

    Raises BadInput for a model without a latent, or a direction of another shape.
    """
    z = _latent(model, x, **options)
    if direction.shape != z.shape[1:]:
        raise BadInput(f"the direction must be of shape {list(z.shape[1:])}, not {list(direction.shape)}")
    moved: Tensor = model.decode(z + strength * direction.to(z), **options)
    return moved


def _latent(model: Any, x: Tensor, **options: Any) -> Tensor:
    if not isinstance(model, SupportsEncode):
        raise BadInput(f"a {type(model).__name__} has no latent: use a flow or a diffusion")
    z: Tensor = model.encode(x, **options)
    return z


def _on_arc(z0: Tensor, z1: Tensor, t: float) -> Tensor:
    """Slerp of the directions, times the norm between the norms; the line where the ends are parallel."""
    norm0, norm1 = z0.norm(dim=1, keepdim=True), z1.norm(dim=1, keepdim=True)
    u0, u1 = z0 / norm0, z1 / norm1
    cosine = (u0 * u1).sum(1, keepdim=True).clamp(-1, 1)
    angle = cosine.arccos()
    sine = angle.sin()
    turned = (((1 - t) * angle).sin() * u0 + (t * angle).sin() * u1) / sine
    return torch.where(sine > PARALLEL, turned * ((1 - t) * norm0 + t * norm1), torch.lerp(z0, z1, t))
