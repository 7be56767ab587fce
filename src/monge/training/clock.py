"""What is looked at in a training at certain steps."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Tells, after the steps at which it is `due`, numbers for log.csv of the model as it would be kept then.

    found: at how many looks in a row it found what it looks for.
    """

    found: int

    def due(self, step: int) -> bool: ...
    def __call__(self) -> Mapping[str, float]: ...
