"""The one split of an audit: rows to learn from, rows to compare, and rows that a model was fitted to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from monge.evaluation.rows import Array, Rows

VALUE = re.compile(r"\b(value|level) (-?[\d.]+(?:e[+-]?\d+)?)( in (?:column|channel) (\d+))?")  # in names of features


class Labels(NamedTuple):
    """Labels of the shaping, of the counted and, where they were given, of the generated events; names of labels."""

    shaping: Int[Tensor, " s"]
    counted: Int[Tensor, " m"]
    generated: Int[Tensor, " n"] | None
    names: Mapping[int, str]

    def name(self, label: int) -> str:
        return self.names.get(label, str(label))


@dataclass(frozen=True)
class Naming:
    """How features are told: columns: names of the columns of vectors, or none; shift, scale: of each column of
    vectors, or one of all values; meanings: of columns of 0 and 1 by their names, the column of a table that they are
    of, the text that is meant by 0, and by 1.

    >>> Naming((), np.array([10.0]), np.array([2.0])).named("share of value 1.5")
    'share of value 13'
    """

    columns: Sequence[str]
    shift: Array
    scale: Array
    meanings: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    def named(self, feature: str) -> str:
        """The name of a feature, values of it in the data's units, and columns by the user's names."""
        feature = VALUE.sub(lambda found: self._value(*found.groups()), feature)
        return re.sub(r"column (\d+)", lambda found: self._column(int(found[1])), feature) if self.columns else feature

    def text(self, column: int, value: float) -> str | None:
        """What a value, in the data's units, stands for in a column of texts; None elsewhere."""
        meant = self.meanings.get(self.columns[column]) if column < len(self.columns) else None
        return meant[1 + min(max(round(value), 0), 1)] if meant else None

    def owners(self, d: int) -> tuple[int, ...]:
        """Of each of d columns of numbers, which column of the table it is of.

        >>> Naming(("a=x", "a=y", "b"), np.zeros(3), np.ones(3), {"a=x": ("a", "", ""), "a=y": ("a", "", "")}).owners(3)
        (0, 0, 1)
        """
        names = [self.columns[i] if i < len(self.columns) else str(i) for i in range(d)]
        of = [self.meanings[name][0] if name in self.meanings else name for name in names]
        places = {name: place for place, name in enumerate(dict.fromkeys(of))}
        return tuple(places[name] for name in of)

    def _value(self, what: str, value: str, where: str | None, column: str | None) -> str:
        at = int(column) - 1 if column and len(self.shift) > 1 else 0
        found = self.shift[at] + float(value) * self.scale[at]
        number = f"{0.0 if abs(found) < 1e-5 * self.scale[at] else found:.4g}"
        return f"{what} {self.text(int(column or 1) - 1, found) or number}{where or ''}"

    def _column(self, number: int) -> str:
        name = self.columns[number - 1] if number <= len(self.columns) else f"column {number}"
        return self.meanings[name][0] if name in self.meanings else name


@dataclass(frozen=True, eq=False)
class Split:
    """Events [rows, *event] on one scale, which is the shaping rows' own.

    generated, counted: the two sides of every difference, at most the audit's number of rows each; counted are held-out
    rows. shaping: the other held-out rows: all that is learned (scale, axes, filters, cells, thresholds) is learned
    from them, or from both sides alike, so that generated and counted events are exchangeable when they have one law.
    train: every row that the generator learned from, flat, read when asked for; learned: some of them, as events; None
    where no training set was given. They serve to find copies, and to plant defects in, never as the real side of a
    difference.
    """

    generated: Float[Tensor, "n *event"]
    shaping: Float[Tensor, "s *event"]
    counted: Float[Tensor, "m *event"]
    train: Rows | None
    learned: Float[Tensor, "t *event"] | None
    labels: Labels | None
    naming: Naming
    seed: int

    @property
    def event(self) -> tuple[int, ...]:
        return tuple(self.counted.shape[1:])

    @property
    def owners(self) -> tuple[int, ...]:
        """Of each value of a vector, and of each label that is given, the number of the column of a table that it is
        of: texts have several."""
        found = self.naming.owners(self.counted.shape[1])
        return (*found, *[max(found) + 1] * len(self.kinds))

    @property
    def kinds(self) -> Int[Tensor, " k"]:
        """The labels that there are, where those of generated vectors are given."""
        if self.labels is None or self.labels.generated is None:
            return torch.zeros(0, dtype=torch.int64)
        found: Tensor = torch.unique(torch.cat([self.labels.shaping, self.labels.counted, self.labels.generated]))
        return found

    def column(self, number: int) -> str:
        """The name of a column of numbers, or of a label beside them."""
        d = self.counted.shape[1]
        if number < d or self.labels is None:
            return self.naming.named(f"column {number + 1}")
        return f"label {self.labels.name(int(self.kinds[number - d]))}"

    def tabled(self, vectors: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n dk"]:
        """Vectors, and beside them a column of 0 and 1 for each of their labels."""
        return torch.cat([vectors, (labels[:, None] == self.kinds).float()], 1)

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of generated and of counted rows."""
        return len(self.generated), len(self.counted)

    @property
    def raw(self) -> Array:
        """By what vectors are multiplied to have the data's own units of variance, [d], the largest being one, and none
        below a millionth; ones for images and fields, whose values have one scale."""
        if len(self.event) > 1:
            return np.ones(self.counted[0].numel())
        scale: Array = self.naming.scale / self.naming.scale.max()
        return np.maximum(scale, 1e-6)
