"""What the lines of an audit look at: the split, what it shows, defects planted in it, and pairs of rows."""

from dataclasses import dataclass
from functools import cached_property

from monge.evaluation.descriptors import SPECTRUM, spaces
from monge.evaluation.looks import Looks
from monge.evaluation.pairs import Pairs
from monge.evaluation.planting import Planting
from monge.evaluation.split import Split
from monge.evaluation.statistics.means import Relabellings


@dataclass(frozen=True, eq=False)
class Prepared:
    """split: the rows. looks: their features. planting: reference defects. permutations: of every permutation test, as
    many as its share of the level needs to be decided."""

    split: Split
    looks: Looks
    planting: Planting
    pairs: Pairs
    permutations: int = 0

    @property
    def seed(self) -> int:
        return self.split.seed

    @cached_property
    def relabellings(self) -> Relabellings:
        return Relabellings(*self.split.sizes, self.seed, self.permutations)

    def forget(self, kept: set[str]) -> None:
        """Drop features that are at hand for no other line, to spare memory."""
        several = {space.name for space in (*spaces(self.split.event), SPECTRUM)} | kept
        self.looks.forget(several)
        self.planting.forget(several)
