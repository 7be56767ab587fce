"""monge: learn a probability law by moving noise onto data, draw new samples, and know whether to believe them.

The names below and those of the families (`monge.models.FAMILIES`) are the whole surface; each is imported when it is
first used, so that `import monge` costs nothing.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monge import (
        bijectors,
        data,
        denoisers,
        densities,
        evaluation,
        linalg,
        models,
        nets,
        noise,
        ot,
        report,
        samplers,
        training,
    )
    from monge.evaluation import audit
    from monge.models import *  # noqa: F403  (the families)
    from monge.models import load

__all__ = [
    "audit",
    "bijectors",
    "data",
    "denoisers",
    "densities",
    "evaluation",
    "linalg",
    "load",
    "models",
    "nets",
    "noise",
    "ot",
    "report",
    "samplers",
    "training",
]

_HOMES = {"audit": "monge.evaluation", "load": "monge.models"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("monge")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"monge.{name}")
    if name[:1].isupper() and name in (families := _families()):
        return families[name]
    raise AttributeError(f"module 'monge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_families()])


def _families() -> dict[str, Any]:
    return {family.__name__: family for family in import_module("monge.models").FAMILIES}
