"""The families: each lists its objectives and knows how to sample."""

from pathlib import Path

from monge.models import family
from monge.models.diffusion import Diffusion
from monge.models.family import Family

FAMILIES: tuple[type[Family], ...] = (Diffusion,)

__all__ = ["FAMILIES", "Diffusion", "Family", "load"]


def load(path: str | Path) -> Family:
    """The fitted model in a run's folder.

    Raises BadInput if the folder holds no run, an unfinished one, or a damaged one.

    >>> load("no/such/run")
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: no/such/run holds no run (model.json is missing): give the --out of a `monge fit`
    """
    return family.load(path, FAMILIES)
