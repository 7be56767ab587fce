"""The families: each lists its objectives and knows how to sample."""

from pathlib import Path
from typing import Any

from monge.errors import BadInput
from monge.models import records
from monge.models.continuous_flow import ContinuousFlow
from monge.models.copying import CopyingClock
from monge.models.diffusion import Diffusion
from monge.models.family import Family
from monge.models.flow import Flow
from monge.models.flow_matching import FlowMatching
from monge.models.gan import GAN
from monge.models.latents import attribute, interpolate, move
from monge.models.maf import MAF
from monge.models.real_nvp import RealNVP
from monge.models.spline_flow import SplineFlow
from monge.models.straightness import TransportCost, transport_cost
from monge.models.walker import Walker
from monge.models.wasserstein_gan import WassersteinGAN

FAMILIES: tuple[type[Family], ...] = (
    Diffusion,
    FlowMatching,
    ContinuousFlow,
    RealNVP,
    MAF,
    SplineFlow,
    GAN,
    WassersteinGAN,
)

__all__ = [
    "FAMILIES",
    "GAN",
    "MAF",
    "ContinuousFlow",
    "CopyingClock",
    "Diffusion",
    "Family",
    "Flow",
    "FlowMatching",
    "RealNVP",
    "SplineFlow",
    "TransportCost",
    "Walker",
    "WassersteinGAN",
    "attribute",
    "interpolate",
    "load",
    "move",
    "transport_cost",
]


def load(path: str | Path, **given: Any) -> Family:
    """The fitted model in a run's folder.

    given: objects that the run cannot make again, a network of your own for instance (`save` said which). A family of
    your own is loaded by its class, `Mine.load(path)`.

    Raises BadInput if the folder holds no run, an unfinished one, or a damaged one.

    >>> load("no/such/run")
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: no/such/run holds no run (model.json is missing): give the --out of a `monge fit`
    """
    name = records.read(Path(path))["family"]
    known: dict[str, type[Family]] = {family.__name__: family for family in (*FAMILIES, Flow)}
    if name not in known:
        raise BadInput(
            f"{path} holds a {name}, which is not one of {', '.join(known)}: load it by its class, {name}.load(...)"
        )
    return known[name].load(path, **given)
