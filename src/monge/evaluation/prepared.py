"""What the lines of an audit look at: rows on one scale, events, features, and real rows with planted defects."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from monge.evaluation.defects import CHANGES, DEFECTS, REPLICATES, Margins, Pool
from monge.evaluation.descriptors import SPECTRUM, Descriptor, Fitted, describe, spaces
from monge.evaluation.rows import Array, Rows
from monge.evaluation.statistics.energy import EnergyTest, energy_test
from monge.evaluation.statistics.means import Relabellings
from monge.evaluation.statistics.neighbours import K, Visits, visits
from monge.evaluation.statistics.pairwise import Neighbours, nearest
from monge.evaluation.statistics.resampling import numpy_generator

GROUPS = 20  # of the jackknife over visiting rows
POOL_ROWS = 2000
AIMED_ROWS = 1000  # shaping rows in which a defect is planted, to aim at it
SAME = 1e-6  # standardised distance below which two rows are the same row
REPEATED = 0.01  # share of real rows that repeat, above which it is told, and nearness means little
VALUE = re.compile(r"\b(value|level) (-?[\d.]+(?:e[+-]?\d+)?)( in (?:column|channel) (\d+))?")  # in names of features
Counts = NDArray[np.int64]


class Features(NamedTuple):
    """Features of generated rows [n, k] and of counted real ones [m, k], what measures them, and of shaping rows."""

    x: Float[Tensor, "n k"]
    y: Float[Tensor, "m k"]
    shaping: Float[Tensor, "s k"]
    fitted: Fitted


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows in seeded order, and what several lines share, computed once.

    x: generated, y: held out, t: training rows (at most the audit's number of rows each), standardised and flat; train:
    every training row. t and train are None when no training set was given. event_x, shaping, counted: generated events
    and two parts of the real ones, [n, *event]: all that is learned (filters, cells, axes) is learned from the shaping
    part, so that generated and counted events are exchangeable when they have one law. offset: what x, y and t lack of
    events, whose shift is one for all sites. labels: of the shaping and of the counted events, or None. names: of
    labels. columns: names of the columns of vectors, or none; texts: what the numbers of some of them stand for.
    units: shift and scale of events, of each column of vectors, or one.
    """

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    t: Float[Tensor, "t d"] | None
    train: Rows | None
    event_x: Float[Tensor, "n *event"]
    shaping: Float[Tensor, "s *event"]
    counted: Float[Tensor, "c *event"]
    offset: Float[Tensor, " d"]
    labels: tuple[Int[Tensor, " s"], Int[Tensor, " c"]] | None
    names: Mapping[int, str]
    columns: Sequence[str]
    texts: Mapping[str, Sequence[str]]
    units: tuple[Array, Array]
    seed: int
    margins: Margins
    cache: dict[str, Features] = field(default_factory=dict)
    changes: dict[tuple[str, str, bool], Tensor] = field(default_factory=dict)
    drawn: dict[tuple[str, float], tuple[Counts, Counts]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of rows at which generated and real samples are compared by their neighbours."""
        return min(len(self.x), len(self.y))

    @property
    def event(self) -> tuple[int, ...]:
        return tuple(self.counted.shape[1:])

    def events_of(self, rows: Tensor) -> Tensor:
        """Rows such as x as events, [n, *event]."""
        return (rows + self.offset).reshape(-1, *self.event)

    def applies(self, defect: str) -> bool:
        """Whether a reference defect means anything for these data."""
        if defect == "label":
            return self.labels is not None
        if defect == "blur":
            return len(self.event) > 1 and min(self.event[1:]) >= 4
        return defect != "copies" or self.train is not None

    def named(self, feature: str) -> str:
        """The name of a feature, values of it in the data's units, and columns by the user's names."""
        feature = VALUE.sub(lambda found: self._value(*found.groups()), feature)
        return re.sub(r"column (\d+)", lambda found: self._column(int(found[1])), feature) if self.columns else feature

    def _value(self, what: str, value: str, where: str | None, column: str | None) -> str:
        shift, scale = (part[int(column) - 1 if column and len(part) > 1 else 0] for part in self.units)
        found = shift + float(value) * scale
        number = f"{0.0 if abs(found) < 1e-5 * scale else found:.4g}"
        return f"{what} {self.text(int(column or 1) - 1, found) or number}{where or ''}"

    def text(self, column: int, value: float) -> str | None:
        """What a value, in the data's units, stands for in a column of texts; None elsewhere."""
        texts = self.texts.get(self.columns[column]) if column < len(self.columns) else None
        return texts[min(max(round(value), 0), len(texts) - 1)] if texts else None

    def _column(self, number: int) -> str:
        return self.columns[number - 1] if number <= len(self.columns) else f"column {number}"

    # -- features and planted features ---------------------------------------------------------------------

    def features(self, descriptor: Descriptor) -> Features:
        if descriptor.name not in self.cache:
            parts: tuple[Tensor, ...] = (self.event_x, self.counted, self.shaping)
            if descriptor.base:
                found = [self.features(base)[:3] for base in descriptor.base]
                parts = tuple(torch.cat(side, 1) for side in zip(*found, strict=True))
            fitted = descriptor.fit(parts[2], self.seed)
            x, y, shaping = (describe(fitted, part) for part in parts)
            self.cache[descriptor.name] = Features(x, y, shaping, fitted)
        return self.cache[descriptor.name]

    def forget(self, kept: Sequence[str]) -> None:
        """Drop features that are at hand for no other line, to spare memory."""
        several = {space.name for space in (*spaces(self.event), SPECTRUM)} | set(kept)
        for name in self.cache.keys() - several:
            del self.cache[name]
        for key in [key for key in self.changes if key[0] not in several]:
            del self.changes[key]

    def aim(self, descriptor: Descriptor, defect: str) -> Float[Tensor, "q k"]:
        """How a defect that changes events moves the mean features of shaping rows, [1, k]; of another, [0, k]."""
        plain = self.features(descriptor).shaping[:AIMED_ROWS]
        if defect not in CHANGES or not self.applies(defect):
            return plain[:0]
        return (self.changed_features(descriptor, defect, shaping=True).mean(0) - plain.mean(0))[None]

    def changed_features(self, descriptor: Descriptor, defect: str, *, shaping: bool = False) -> Tensor:
        """Features of the pool's events, or of shaping ones, with a defect that changes events, [rows, k]."""
        key = (descriptor.name, defect, shaping)
        if key not in self.changes:
            if descriptor.base:
                events = torch.cat([self.changed_features(b, defect, shaping=shaping) for b in descriptor.base], 1)
            elif shaping:
                rows = self.shaping[:AIMED_ROWS]
                events = Pool(rows, [rows.flatten(1)], None, self.seed).changed(defect, self.share(defect))
            else:
                events = self.changed[defect]
            self.changes[key] = describe(self.features(descriptor).fitted, events)
        return self.changes[key]

    @cached_property
    def relabellings(self) -> Relabellings:
        return Relabellings(len(self.x), len(self.counted), self.seed)

    @cached_property
    def pool(self) -> Pool:
        """Counted real rows that stand in for both sides."""
        events = self.counted[:POOL_ROWS]
        found = [self.features(space) for space in spaces(self.event)]
        near = [features.fitted.sized(features.y[:POOL_ROWS]) for features in found]
        labels = None if self.labels is None else self.labels[1][:POOL_ROWS]
        return Pool(events, near, labels, self.seed)

    @cached_property
    def changed(self) -> dict[str, Tensor]:
        """Events of the pool with each defect that changes events, at its reference size."""
        return {
            defect.name: self.pool.changed(defect.name, self.share(defect.name))
            for defect in DEFECTS
            if defect.name in CHANGES and self.applies(defect.name)
        }

    def draws(self, defect: str, factor: float) -> tuple[Counts, Counts]:
        """How often each row of the pool is drawn for either side in each replicate of the audit, [replicates, pool],
        with a defect of `factor` times its reference size on the first; where the defect replaces rows, [replicates, 2
        pool], those of the changed pool behind. As many are drawn as the audit compares, with replacement."""
        if (defect, factor) not in self.drawn:
            self.drawn[defect, factor] = self._draws(defect, factor)
        return self.drawn[defect, factor]

    def _draws(self, defect: str, factor: float) -> tuple[Counts, Counts]:
        share, n = self.share(defect, factor), len(self.pool.events)
        weights = torch.ones(REPLICATES, n, dtype=torch.float64)
        if defect == "outliers":
            weights = torch.cat([weights * (1 - share), weights * share], 1)
        elif defect not in CHANGES:
            weights = self.pool.weights(defect, share)
        generator = numpy_generator(self.seed, "replicates", defect, str(factor))
        mine = generator.multinomial(len(self.event_x), (weights / weights.sum(1, keepdim=True)).numpy())
        return mine, generator.multinomial(len(self.counted), np.full(n, 1 / n), size=REPLICATES)

    def share(self, defect: str, factor: float = 1.0) -> float:
        margin = next(d.margin for d in DEFECTS if d.name == defect)
        return min(0.95, factor * float(getattr(self.margins, margin)))

    def planted(self, defect: str, plain: Tensor, changed: Tensor | None, factor: float) -> tuple[Tensor, Tensor]:
        """Mean features of both sides in replicates with a defect.

        plain, changed: [pool, k] features of real rows, and of the same with the defect at its reference size, where it
        changes them; smaller and larger ones are taken to move features in proportion.
        """
        mine, other = (torch.from_numpy(counts).float() for counts in self.draws(defect, factor))
        rows = plain
        if changed is not None:
            rows = torch.cat([plain, changed]) if defect == "outliers" else plain + factor * (changed - plain)
        return mine @ rows / len(self.event_x), other @ plain / len(self.counted)

    # -- pairs ---------------------------------------------------------------------------------------------

    @cached_property
    def energy(self) -> EnergyTest:
        return energy_test(self.x, self.y, seed=self.seed)

    @cached_property
    def real_neighbours(self) -> Neighbours:
        """Nearest held-out rows of `size` held-out rows."""
        centres = self.y[: self.size]
        return nearest(centres, centres, K, skip_self=True)

    @property
    def repeated(self) -> float:
        """Share of held-out rows that are equal to another."""
        return float((self.real_neighbours.distance[:, 0] <= SAME).double().mean())

    @cached_property
    def seen(self) -> Visits:
        return visits(self.x, self.y[: self.size], self.real_neighbours.distance[:, -1], groups=GROUPS)

    @cached_property
    def seen_by_training(self) -> Visits | None:
        """Visits of as many training rows as are at hand, if enough to stand in for the generated ones."""
        if self.t is None or len(self.t) < self.size:
            return None
        return visits(self.t, self.y[: self.size], self.real_neighbours.distance[:, -1], groups=GROUPS)

    @cached_property
    def to_training(self) -> Neighbours:
        return nearest(self.x, self._train)

    @cached_property
    def held_out_to_training(self) -> Neighbours:
        return nearest(self.y, self._train)

    @property
    def _train(self) -> Rows:
        if self.train is None:
            raise LookupError("no training set was given")
        return self.train
