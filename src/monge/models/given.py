"""What a model says of x given an observation: its draws from the posterior, in data units."""

import math
from dataclasses import replace
from typing import Any

import torch

from monge import samplers
from monge.errors import BadInput
from monge.observations import Linear, Observation
from monge.samplers import Posterior


def posterior(model: Any, n: int, given: Observation, *, label: Any = None, **options: Any) -> Posterior:
    """n draws of x given an observation of it in data units, by the denoiser of a model. Of images and fields over
    another space than those of training it is found by tiles.

    label: that all of them have. The other options are those of `monge.samplers.posterior`; over another space the
    method is "wiener" unless it is given. Draws are real numbers, which a model of quantised data has not rounded.

    Raises BadInput for an observation of other events and a label that was not trained on.
    """
    scaling = model.must_be_fitted()
    if not model.denoises:
        raise BadInput(
            "an observation is told to a denoiser, which the velocity of pairs that were chosen is not: fit with "
            'pairing="independent", or take Diffusion'
        )
    walker, device = model.walker, model.device
    if not isinstance(given, Observation):
        raise BadInput(f"given is an observation of monge.observations, not {type(given).__name__}")
    event_shape = given.event_shape or walker.event_shape
    own = event_shape == walker.event_shape
    given.fits(event_shape)
    # of quantised data the half step by which the values at their limits are spread wider than others is left out
    stretched = scaling.marginals is not None and scaling.marginals.stretches and scaling.quantum is None
    bent = scaling.bends or stretched
    units = scaling.inverse if bent else lambda u: u * scaling.scale.to(u) + scaling.shift.to(u)
    soft = given
    if scaling.quantum is not None and isinstance(
        given, Linear
    ):  # what was learned is spread over the steps of its grid
        soft = given.spread(scaling.quantum / math.sqrt(12), event_shape)
    scaled = soft.of(units, event_shape)
    told = model.encode_labels(label, 1)
    first = next(model.parameters())
    about: dict[str, Any] = {"device": device, "dtype": first.dtype, "show": True, **options}
    if own:
        plan = walker.plan if told is None else None
        with torch.no_grad():
            denoiser: Any = walker.bound(told, 1)
    else:  # of another size: by tiles, whose moments are not those of the whole
        plan, denoiser = None, model.on(label, 1)
        about["method"] = about.get("method") or "wiener"
    low, high = walker.levels()
    about["sigma_min"] = low if walker.step or not own else None
    about["sigma_max"] = None if own else high
    found = samplers.posterior(denoiser, event_shape, n, scaled, plan=plan, **about)
    x = scaling.inverse(found.x.cpu(), noisy=True)
    x = given.met(x) if isinstance(given, Linear) else x
    return replace(found, x=x, sigma=found.sigma * scaling.unit)


def refuse_beside(**options: Any) -> None:
    """Raise BadInput for an option that draws given an observation do not take."""
    for name, value in options.items():
        if value:
            raise BadInput(f"{name} does not go with given: leave it out")
