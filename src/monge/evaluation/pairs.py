"""Nearest rows of an audit, each search done once."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from monge.evaluation.rows import Rows
from monge.evaluation.split import Split
from monge.linalg.pairwise import Neighbours, nearest

SAME = 1e-6  # standardised distance below which two rows are the same row
REPEATED = 0.01  # share of real rows that repeat, above which it is told, and nearness means little


@dataclass(frozen=True, eq=False)
class Pairs:
    """Nearest neighbours among the rows of a split, flat."""

    split: Split

    @cached_property
    def x(self) -> Tensor:
        return self.split.generated.flatten(1)

    @cached_property
    def y(self) -> Tensor:
        return self.split.counted.flatten(1)

    @cached_property
    def of_real(self) -> Neighbours:
        """The nearest other counted row of each counted row."""
        return nearest(self.y, self.y, skip_self=True)

    @property
    def repeated(self) -> float:
        """Share of counted rows that are equal to another."""
        return float((self.of_real.distance[:, 0] <= SAME).double().mean())

    @cached_property
    def to_training(self) -> Neighbours:
        """The nearest two training rows of each generated row."""
        return nearest(self.x, self._train, 2)

    @cached_property
    def to_counted(self) -> Neighbours:
        """The nearest two counted rows of each generated row."""
        return nearest(self.x, self.y, 2)

    @cached_property
    def counted_to_training(self) -> Neighbours:
        """The nearest two training rows of each counted row."""
        return nearest(self.y, self._train, 2)

    @cached_property
    def shaping_to_training(self) -> Neighbours:
        return nearest(self.split.shaping.flatten(1), self._train, 2)

    @property
    def _train(self) -> Rows:
        if self.split.train is None:
            raise LookupError("no training set was given")
        return self.split.train
