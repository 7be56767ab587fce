"""Real rows with a reference defect in them, in place of the generated ones: what a line would have shown."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from monge import rng
from monge.evaluation.changes import CHANGES, REPLACED
from monge.evaluation.defects import CONCERN, CONCERNS, DEFECTS, Margins
from monge.evaluation.descriptors import VALUES, Descriptor, Fitted, describe, spaces
from monge.evaluation.descriptors.columns import MOST_PAIRS, associations
from monge.evaluation.looks import Features, Looks
from monge.evaluation.missing import REPLICATES, weights
from monge.evaluation.pool import Pool
from monge.evaluation.statistics.resampling import numpy_generator

POOL_ROWS = 2000
AIMED_ROWS = 1000  # shaping rows in which a defect is planted, to aim at it
GAUSSIAN = 0.3  # skewness or excess kurtosis of means of fields below which their long waves are called Gaussian
TIED, SURELY = 0.3, 5.0  # rank correlation of columns that go together, and standard errors that it is at least
LEAST_PAIRS, ROWS_PER_PAIR = 4, 20  # of columns that are looked at
SURE = 3.0  # standard errors of these by which they must differ from zero
UNLIKE = 0.8  # of the largest scale: columns above have one scale, nearly
Counts = NDArray[np.int64]
LABELLED = replace(VALUES, name="values and labels")


@dataclass(frozen=True, eq=False)
class Planting:
    """Defects of the reference sizes, planted in real rows, and in shaping rows to aim at them."""

    looks: Looks
    margins: Margins
    changes: dict[tuple[str, str, bool], Tensor] = field(default_factory=dict)
    weighed: dict[tuple[str, float], Tensor] = field(default_factory=dict)
    drawn: dict[tuple[str, float, int], tuple[Counts, Counts]] = field(default_factory=dict)

    def applies(self, defect: str) -> bool:
        """Whether a reference defect means anything for these data."""
        split = self.looks.split
        if defect == "label":
            return split.labels is not None
        if defect == "mislabelled":
            return split.labels is not None and split.labels.generated is not None
        if defect == "blur":
            return len(split.event) > 1 and min(split.event[1:]) >= 4
        if defect == "waves":
            return len(split.event) > 1 and min(split.event[1:]) >= 4 and self._waves
        if defect == "column slab":
            return len(split.counted[0].flatten()) > 1 and len(split.event) == 1
        if defect == "raw variance":
            return len(split.event) == 1 and len(split.raw) > 1 and bool(split.raw.min() < UNLIKE)
        if defect == "apart":
            return self.tied
        return defect != "copies" or split.train is not None

    @cached_property
    def _waves(self) -> bool:
        """Whether means of shaping fields are clearly not Gaussian, in some channel."""
        from scipy.stats import kurtosis, skew

        means = self.looks.split.shaping.flatten(2).mean(2).double().numpy()
        n = len(means)
        usual = ((skew, (6 / n) ** 0.5), (kurtosis, (24 / n) ** 0.5))
        return any(bool((np.abs(of(means)) > max(GAUSSIAN, SURE * error)).any()) for of, error in usual)

    @property
    def _owners(self) -> tuple[int, ...]:
        split = self.looks.split
        return split.naming.owners(split.event[0]) if len(split.event) == 1 else ()

    def table(self) -> Descriptor:
        """Vectors as they are, and beside them labels that are given, a column each: of both sides, of shaping rows,
        and of rows whose columns are drawn one by one."""
        split, labels = self.looks.split, self.looks.split.labels
        if labels is None or labels.generated is None:
            return VALUES
        if LABELLED.name not in self.looks.cache:
            self.looks.cache[LABELLED.name] = Features(
                split.tabled(split.generated, labels.generated),
                split.tabled(split.counted, labels.counted),
                split.tabled(split.shaping, labels.shaping),
                Fitted(lambda x: x),
            )
            for pool in (self.pool, self._shaping_pool):
                assert pool.labels is not None
                other = pool.labels[torch.randperm(len(pool.labels), generator=rng.generator(pool.seed, "apart"))]
                shaping = pool is self._shaping_pool
                self.changes[LABELLED.name, "", shaping] = split.tabled(pool.events, pool.labels)
                self.changes[LABELLED.name, "apart", shaping] = split.tabled(CHANGES["apart"](pool, 1.0), other)
        return LABELLED

    def pairs(self) -> Descriptor:
        """Of columns, so few that the covariance of all their products is known from the rows there are."""
        split = self.looks.split
        most = min(MOST_PAIRS, max(LEAST_PAIRS, min(split.sizes) // ROWS_PER_PAIR))
        return associations(self.table(), split.owners, most, split.column)

    @cached_property
    def tied(self) -> bool:
        """Whether some columns of shaping vectors clearly go together."""
        split = self.looks.split
        if len(split.event) > 1:
            return False
        products = self.looks.of(self.pairs()).shaping.double()
        error = products.std(0) / len(products) ** 0.5
        return bool((products.mean(0).abs() > torch.clamp(SURELY * error, min=TIED)).any())

    def share(self, defect: str, factor: float = 1.0) -> float:
        margin = CONCERNS[CONCERN[defect]].margin
        return min(0.95, factor * float(getattr(self.margins, margin)))

    def aim(self, descriptor: Descriptor, defect: str) -> Float[Tensor, "1 k"]:
        """How a defect that changes events moves the mean features of shaping rows."""
        plain = self.looks.of(descriptor).shaping[:AIMED_ROWS]
        return (self.features(descriptor, defect, shaping=True).mean(0) - plain.mean(0))[None]

    def features(self, descriptor: Descriptor, defect: str, *, shaping: bool = False) -> Tensor:
        """Features of the pool's events, or of shaping ones, with a defect that changes events, or none, named "",
        [rows, k]."""
        key = (descriptor.name, defect, shaping)
        if key not in self.changes:
            if descriptor.base:
                events = torch.cat([self.features(base, defect, shaping=shaping) for base in descriptor.base], 1)
            else:
                events = self.changed[defect] if defect else self.pool.events
                if shaping:
                    events = CHANGES[defect](self._shaping_pool, self.share(defect))
            self.changes[key] = describe(self.looks.of(descriptor).fitted, events)
        return self.changes[key]

    def forget(self, kept: set[str]) -> None:
        """Drop features of all descriptors but those that are named."""
        for key in [key for key in self.changes if key[0] not in kept]:
            del self.changes[key]

    @cached_property
    def pool(self) -> Pool:
        """Real rows that stand in for both sides: of training, where there are more of them and no labels, or counted
        ones."""
        split = self.looks.split
        raw = torch.from_numpy(split.raw).float()
        if split.labels is None and split.learned is not None and len(split.learned) > len(split.counted):
            return Pool(split.learned[:POOL_ROWS], None, split.seed, raw, self._owners)
        labels = None if split.labels is None else split.labels.counted[:POOL_ROWS]
        return Pool(split.counted[:POOL_ROWS], labels, split.seed, raw, self._owners)

    @cached_property
    def near(self) -> list[Tensor]:
        """Features of the pool whose distances say what a cluster is."""
        found = spaces(self.looks.split.event)
        return [self.looks.of(space).fitted.sized(self.features(space, "")) for space in found]

    def weights(self, defect: str, share: float) -> Tensor:
        """What each row of the pool weighs in each replicate, [replicates, pool]."""
        if (defect, share) not in self.weighed:
            self.weighed[defect, share] = weights(self.pool, defect, share, self.near)
        return self.weighed[defect, share]

    @cached_property
    def _shaping_pool(self) -> Pool:
        split = self.looks.split
        rows, labels = split.shaping[:AIMED_ROWS], None if split.labels is None else split.labels.shaping[:AIMED_ROWS]
        return Pool(rows, labels, split.seed, torch.from_numpy(split.raw).float(), self._owners)

    @cached_property
    def changed(self) -> dict[str, Tensor]:
        """Events of the pool with each defect that changes events, at its reference size."""
        return {
            defect.name: CHANGES[defect.name](self.pool, self.share(defect.name))
            for defect in DEFECTS
            if defect.name in CHANGES and self.applies(defect.name)
        }

    def draws(self, defect: str, factor: float, times: int = 1) -> tuple[Counts, Counts]:
        """How often each row of the pool is drawn for either side in each replicate of the audit, [replicates, pool],
        with a defect of `factor` times its reference size on the first, or with none, named ""; where the defect
        replaces rows, [replicates, 2 pool], those of the changed pool behind. `times` as many are drawn as the audit
        compares, with replacement."""
        if (defect, factor, times) not in self.drawn:
            self.drawn[defect, factor, times] = self._draws(defect, factor, times)
        return self.drawn[defect, factor, times]

    def _draws(self, defect: str, factor: float, times: int) -> tuple[Counts, Counts]:
        rows = len(self.pool.events)
        share = self.share(defect, factor) if defect else 0.0
        chance = torch.ones(REPLICATES, rows, dtype=torch.float64)
        if defect in REPLACED:
            chance = torch.cat([chance * (1 - share), chance * share], 1)
        elif defect and defect not in CHANGES:
            chance = self.weights(defect, share)
        generator = numpy_generator(self.looks.split.seed, "replicates", defect, str(factor), str(times))
        n, m = (times * size for size in self.looks.split.sizes)
        mine = generator.multinomial(n, (chance / chance.sum(1, keepdim=True)).numpy())
        return mine, generator.multinomial(m, np.full(rows, 1 / rows), size=REPLICATES)

    def means(self, descriptor: Descriptor, defect: str, factor: float, times: int = 1) -> tuple[Tensor, Tensor]:
        """Mean features of both sides in replicates with a defect; of one that changes events, sizes other than the
        reference are taken to move features in proportion."""
        rows = plain = self.features(descriptor, "")
        if defect in CHANGES:
            changed = self.features(descriptor, defect)
            rows = torch.cat([plain, changed]) if defect in REPLACED else plain + factor * (changed - plain)
        return self.drawn_means(defect, factor, times, rows, plain)

    def drawn_means(self, defect: str, factor: float, times: int, rows: Tensor, plain: Tensor) -> tuple[Tensor, Tensor]:
        """Mean features of both sides, whose rows are drawn from these."""
        mine, other = (torch.from_numpy(counts).float() for counts in self.draws(defect, factor, times))
        n, m = (times * size for size in self.looks.split.sizes)
        return mine @ rows / n, other @ plain / m
