"""A line of the audit as an object: what it measures, for which defects, and what it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import norm
from torch import Tensor

from monge.evaluation.decision import Finding
from monge.evaluation.prepared import Prepared
from monge.evaluation.statistics.resampling import Interval, difference_interval


@runtime_checkable
class Measured(Protocol):
    """name: of the line. section: of the verdict. concern: what a difference says, of `CONCERNS` or `OTHER`. defects:
    those that are planted, to set its margin."""

    @property
    def name(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def concern(self) -> str: ...
    @property
    def defects(self) -> tuple[str, ...]: ...
    def needs(self, p: Prepared) -> bool: ...
    def measure(self, p: Prepared) -> Finding: ...


@dataclass(frozen=True)
class OneLine:
    """A line that is one function of the prepared samples. need: whether they allow it; always, if not given."""

    name: str
    section: str
    concern: str
    defects: tuple[str, ...]
    function: Callable[["OneLine", Prepared], Finding]
    need: Callable[[Prepared], bool] = lambda p: True

    def needs(self, p: Prepared) -> bool:
        return self.need(p)

    def measure(self, p: Prepared) -> Finding:
        return self.function(self, p)._replace(name=self.name, concern=self.concern)


LEAST_Z, MOST_Z = -2.0, 40.0
BROAD = ("blur", "variance", "cluster")  # defects of a line that is for no one of them
Share = tuple[float, Interval, float]


def share(hits: int, n: int, real_hits: int, m: int) -> Share:
    """A share of generated rows, its interval against that of real ones, and that.

    >>> share(5, 10, 1, 10)[::2]
    (0.5, 0.1)
    """
    return hits / n, difference_interval(hits, n, real_hits, m), real_hits / m


def as_deviates(p_values: ArrayLike) -> Tensor:
    """p-values as standard normal deviates, cut where they say no more."""
    return torch.from_numpy(np.clip(norm.isf(np.asarray(p_values, dtype=np.float64)), LEAST_Z, MOST_Z))


def deviate(level: float) -> float:
    """The deviate that chance exceeds with this probability."""
    return float(norm.isf(level))


def planted_of(line: Measured, p: Prepared) -> list[str]:
    """The defects of the line that mean anything for these samples."""
    return [defect for defect in line.defects if p.planting.applies(defect)]
