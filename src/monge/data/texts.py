"""Columns of texts that come again, in columns of 0 and 1, and as texts again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.codes import Array, Code, as_texts, by_count, of_type
from monge.errors import BadInput


@dataclass(frozen=True)
class Text(Code):
    """Texts that come again: of two one column of 0 and 1, of more one each, never numbers on a line. Rare ones, of
    fewer than 5 rows, have one together, `pooled`, and are drawn as often as they came, or weighed."""

    kind = "text"
    texts: tuple[str, ...] = ()
    pooled: Mapping[str, float] = field(default_factory=dict)

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.texts, *self.pooled)

    @property
    def own(self) -> tuple[str, ...]:
        told = [*self.texts, *(["(rare)"] if self.pooled else [])]
        return tuple(f"{self.name}={text}" for text in (told[1:] if len(told) == 2 else told))

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        return ((0, len(self.own)),)

    @property
    def meanings(self) -> dict[str, tuple[str, str]]:
        if len(self.own) == 1:
            return {self.own[0]: (self.texts[0], self.own[0].removeprefix(f"{self.name}="))}
        told = {name: name.removeprefix(f"{self.name}=") for name in self.own}
        return {name: (f"not {text}", text) for name, text in told.items()}

    def read(self, cells: Any, label: str) -> Array:
        import pyarrow
        from pyarrow import compute

        texts = as_texts(cells)
        codes = compute.index_in(texts, value_set=pyarrow.array(self.all, pyarrow.string()))
        lost = compute.and_(compute.is_null(codes), compute.is_valid(texts))
        if compute.any(lost).as_py():
            unknown = texts.filter(lost)[0].as_py()
            shown = ", ".join(self.all[:8]) + ", ..." * (len(self.all) > 8)
            what = f"{label}: column {self.name!r} holds {unknown!r}"
            raise BadInput(f"{what}, which is none of {shown}: correct it, or leave it out")
        found: Array = codes.cast(pyarrow.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        return found

    def spread(self, values: Array) -> Array:
        of_pool = values.clip(max=len(self.texts)).astype(int)
        one_hot = np.eye(len(self.texts) + bool(self.pooled))[of_pool]
        found: Array = one_hot[:, 1:] if one_hot.shape[1] == 2 else one_hot
        return found

    def gather(self, x: Array, seed: int) -> Array:
        which = (x[:, 0] > 0.5).astype(int) if len(self.own) == 1 and len(self.all) > 1 else x.argmax(1)
        if not self.pooled:
            return which.astype(np.float64)
        rare = by_count(len(x), list(self.pooled.values()), seed, "rare", self.name)
        return np.where(which == len(self.texts), len(self.texts) + rare, which).astype(np.float64)

    def write(self, values: Array) -> Any:
        import pyarrow

        empty = np.isnan(values)
        told = np.array(self.all, dtype=object)[np.where(empty, 0, values).astype(int)]
        if self.type == "bool":
            return pyarrow.array(told == "true", mask=empty)
        return of_type(pyarrow.array(told, pyarrow.string(), mask=empty), self.type)


@dataclass(frozen=True)
class Grouped(Text):
    """More texts than have a column each: the group that a text is in, of texts that go with the same in other columns
    (`monge.data.groups`), and its number there, those of most rows first: about 2 sqrt(K) columns of 0 and 1 for K
    texts. A number that a group does not have is drawn as often as its texts came.

    group, count: of each text the number of its group, and of its rows, or their weight.
    """

    kind = "groups"
    group: tuple[int, ...] = ()
    count: tuple[float, ...] = ()

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """The number of each text in its group."""
        order = np.lexsort((-np.array(self.count), np.array(self.group)))
        starts = np.searchsorted(np.array(self.group)[order], np.array(self.group)[order])
        found = np.empty(len(order), np.int64)
        found[order] = np.arange(len(order)) - starts
        return found

    @property
    def own(self) -> tuple[str, ...]:
        leaders = {g: text for text, g, place in zip(self.texts, self.group, self.place, strict=True) if place == 0}
        groups = (f"{self.name} like {leaders[g]}" for g in range(len(leaders)))
        return (*groups, *(f"{self.name}: number {k + 1} of its like" for k in range(int(self.place.max()) + 1)))

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        groups = max(self.group) + 1
        return (0, groups), (groups, len(self.own))

    @property
    def meanings(self) -> dict[str, tuple[str, str]]:
        told = {name: name.removeprefix(self.name).removeprefix(":").strip() for name in self.own}
        return {name: (f"not {text}", text) for name, text in told.items()}

    def spread(self, values: Array) -> Array:
        which = values.astype(int)
        groups, places = (np.eye(int(max(each)) + 1) for each in (self.group, self.place))
        found: Array = np.column_stack([groups[np.array(self.group)[which]], places[self.place[which]]])
        return found

    def gather(self, x: Array, seed: int) -> Array:
        (_, edge), _ = self.blocks
        of_group, place = x[:, :edge].argmax(1), x[:, edge:].argmax(1)
        table = np.full((edge, x.shape[1] - edge), -1)
        table[np.array(self.group), self.place] = np.arange(len(self.texts))
        which: NDArray[np.int64] = table[of_group, place]
        for group in np.unique(of_group[which < 0]):
            members = np.flatnonzero(np.array(self.group) == group)
            here = np.flatnonzero((which < 0) & (of_group == group))
            which[here] = members[
                by_count(len(here), [self.count[k] for k in members], seed, "like", self.name, int(group))
            ]
        return which.astype(np.float64)
