"""What a model says of x given an observation: its draws from the posterior, in data units."""

import math
from dataclasses import replace
from typing import Any

import torch

from monge import samplers
from monge.errors import BadInput
from monge.observations import Likelihood, Linear, Observation
from monge.samplers import Posterior


def posterior(model: Any, n: int, given: Observation, *, label: Any = None, **options: Any) -> Posterior:
    """n draws of x given an observation of it in data units, by the denoiser of a model. Of images and fields over
    another space than those of training it is found by tiles.

    label: that all of them have. The other options are those of `monge.samplers.posterior`; over another space the
    method is "diffpir" ("dps" where data are learned bent) unless it is given. Draws are real numbers, which a model of
    quantised data has not rounded.

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
    dtype = next(model.parameters()).dtype
    event_shape = _shape(given, walker.event_shape)
    own = event_shape == walker.event_shape
    given.fits(event_shape, dtype)
    # of quantised data the half step by which the values at their limits are spread wider than others is left out
    stretched = scaling.marginals is not None and scaling.marginals.stretches and scaling.quantum is None
    bent = scaling.bends or stretched
    soft = given
    if isinstance(given, Linear):
        if bent and not bool((given.noise > 0).all()):
            raise BadInput(
                "values that are exact cannot be told to a model that learned them bent: give noise above 0, or fit "
                "with bend=False"
            )
        if scaling.quantum is not None:  # what was learned is spread over its grid steps
            soft = given.spread(scaling.quantum / math.sqrt(12), event_shape)
    units = scaling.inverse if bent else lambda u: u * scaling.scale.to(u) + scaling.shift.to(u)
    scaled = Likelihood(lambda u: soft.log_likelihood(units(u))) if bent else soft.of(units, event_shape)
    told = model.encode_labels(label, 1)
    about: dict[str, Any] = {"device": device, "dtype": dtype, "show": True, **options}
    low, high = walker.levels()
    if own:
        model.look_first(show=about["show"])
        about.setdefault("plan", walker.plan if told is None else None)
        about.setdefault("sigma_min", low if walker.step else None)
        with torch.no_grad():
            denoiser: Any = walker.bound(told, 1)
    else:  # of another size: by tiles, whose moments are not those of the whole
        denoiser = model.on(label, 1)
        usual = "dps" if bent else "diffpir"
        about["method"] = usual if about.get("method") is None else about["method"]
        about = {"sigma_min": low, "sigma_max": high, **about}
    found = samplers.posterior(denoiser, event_shape, n, scaled, **about)
    x = given.met(scaling.inverse(found.x.cpu(), noisy=True))
    doubts = tuple(dict.fromkeys(found.doubts + given.unmet(x)))
    return replace(found, x=x, sigma=found.sigma * scaling.unit, doubts=doubts)


def _shape(given: Observation, own: tuple[int, ...]) -> tuple[int, ...]:
    """Of the events that are asked for: the model's, or others of as many channels over another space."""
    asked = given.event_shape
    if asked is None or asked == own:
        return own
    if len(asked) != len(own) or asked[0] != own[0] or len(own) == 1:
        raise BadInput(f"the observation is of events {list(asked)}, and the model's are {list(own)}")
    return asked


def refuse_beside(**options: Any) -> None:
    """Raise BadInput for an option that draws given an observation do not take."""
    for name, value in options.items():
        if value:
            raise BadInput(f"{name} does not go with given: leave it out")
