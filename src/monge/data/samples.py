"""`Samples`: the data of a run, whatever they came from and however large they are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from monge import rng
from monge.data import weights as by_weight
from monge.data.checks import check_labels, check_symbols
from monge.data.columns import Columns
from monge.data.dialects import Dialect
from monge.data.splitting import equal_rows, whole_groups
from monge.data.stored import Events, RowView, Stored
from monge.errors import BadInput

AXES = {"vectors": (2,), "images": (4,), "fields": (3, 4, 5), "sequences": (2,)}  # of x, for each kind
FINGERPRINT_BYTES = 2**26  # a fingerprint stays cheap on a memory map


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Samples:
    """Samples of a law, one row each, with what is known of their nature.

    x: [n, *event], a tensor or a table of `Events`, in data units: vectors [n, d], images [n, C, H, W], fields
        [n, C, *space] with 1 to 3 space dimensions, sequences of symbols [n, T], whole numbers from 0. float32, or the
        file's own dtype for memory maps and image files; `batch` converts, symbols to int64.
    y: [n] int64 labels, whose names are `classes`; or what goes with each sample, float32, a vector [n, k] or an image
        or field [n, c, *space] over the same space as x; or None.
    kind: "vectors", "images", "fields" or "sequences", whose symbols are not spread over a grid as pixels are.
    quantum: the step of the grid on which integer data live (1.0 for pixels), None for continuous data.
    limits: (low, high), the range of quantised data; of symbols (0, the largest).
    columns: the names of vectors' d columns, where a file tells them. code: how the columns of a table are told in
        these, and come back (`monge.data.Columns`). dialect: how the file of text was written that it came from.
    frame: what an archive says of the array: its name, axes, their coordinates, units and other attributes.
    notes: what was told while the source was read, which is kept with a run.
    groups: [n] int64, which rows belong together and are never split; or None.
    weights: [n] float64, how much each row counts, 0 or more; or None, all the same. A model learns the law so weighted
        (`by_weight`), and an audit judges by it (`thinned`).
    source: what `load` was given, when that was a string: `load(source, **reading)` makes the same data again.
    split_record: how `split` cut these rows, None for data that were not cut.

    `take` and `split` copy nothing: they keep the table and a list of rows, so that the parts of a memory
    map are memory maps too. Reading `x` of such a part brings all of its rows into memory; `batch` only
    those asked. Raises `BadInput` when x, y, classes and kind do not fit together.

    >>> data = Samples(torch.arange(6.0).reshape(3, 2), name="three")
    >>> data, data.event_shape, data.batch([2])
    (Samples(three: 3 vectors of 2), (2,), tensor([[4., 5.]]))
    """

    y: Shaped[Tensor, "n *k"] | None
    kind: str
    name: str
    classes: tuple[str, ...] | None
    quantum: float | None
    limits: tuple[float, float] | None
    source: str | None
    columns: tuple[str, ...] | None
    code: Columns | None
    dialect: Dialect | None
    frame: dict[str, Any] | None
    groups: Int[Tensor, " n"] | None
    weights: Float[Tensor, " n"] | None
    notes: tuple[str, ...]
    reading: dict[str, Any]
    split_record: dict[str, Any] | None
    _table: Tensor | Events
    _rows: Tensor | None

    def __init__(
        self,
        x: Any,
        y: Tensor | None = None,
        kind: str = "vectors",
        name: str = "data",
        *,
        classes: tuple[str, ...] | None = None,
        quantum: float | None = None,
        limits: tuple[float, float] | None = None,
        source: str | None = None,
        columns: tuple[str, ...] | None = None,
        code: Columns | None = None,
        dialect: Dialect | None = None,
        frame: dict[str, Any] | None = None,
        groups: Tensor | None = None,
        weights: Any = None,
        notes: tuple[str, ...] = (),
        reading: dict[str, Any] | None = None,
        split_record: dict[str, Any] | None = None,
        rows: Tensor | None = None,
    ) -> None:
        n = len(x if rows is None else rows)
        if kind not in AXES:
            raise BadInput(f"kind {kind!r} is not known: give one of {', '.join(AXES)}")
        if x.ndim not in AXES[kind]:
            raise BadInput(
                f"{kind} came as a tensor {list(x.shape)}: give [n, d] vectors, [n, C, *space], or sequences [n, T]"
            )
        if kind == "sequences":
            limits = check_symbols(x, quantum, limits)
        if y is not None:
            check_labels(y, x.shape, n, classes)
        if weights is not None:
            try:
                weights = torch.as_tensor(weights, dtype=torch.float64)
            except (TypeError, ValueError) as error:
                raise BadInput(f"weights are numbers, one a sample, and these are none ({error})") from error
            if weights.shape != (n,):
                raise BadInput(f"weights are [{n}], one a sample, and came as {list(weights.shape)}")
            if rows is None:  # parts may have none that count
                by_weight.check(weights, name)
        self.__dict__.update(
            y=y,
            kind=kind,
            name=name,
            classes=classes,
            quantum=quantum,
            limits=limits,
            source=source,
            columns=columns,
            code=code,
            dialect=dialect,
            frame=frame,
            groups=groups,
            weights=weights,
            notes=notes,
            reading=reading or {},
            split_record=split_record,
            _table=x,
            _rows=rows,
        )

    @property
    def view(self) -> RowView:
        """The rows as a read-only array [n, *event] that is read where it is indexed, and nowhere else.

        >>> Samples(torch.arange(6.0).reshape(3, 2)).take([2, 0]).view[:1]
        array([[4., 5.]], dtype=float32)
        """
        table = self._table.numpy() if isinstance(self._table, Tensor) else self._table
        return RowView(table, torch.arange(len(self)) if self._rows is None else self._rows)

    @cached_property
    def x(self) -> Shaped[Tensor, "n *event"]:
        """All the rows, [n, *event]; those of a part (`take`, `split`) are read into memory and kept."""
        if self._rows is None and isinstance(self._table, Tensor):
            return self._table
        return self._table[self._at(torch.arange(len(self)))]

    def __len__(self) -> int:
        return len(self._table if self._rows is None else self._rows)

    def __repr__(self) -> str:
        size = "x".join(str(side) for side in self.event_shape)
        return f"Samples({self.name}: {len(self)} {self.kind} of {size})"

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self._table.shape[1:])

    def batch(self, indices: Int[Tensor, " b"] | Sequence[int]) -> Shaped[Tensor, "b *event"]:
        """Rows as float32, symbols as int64, tables whose digits need it as float64, [b, *event]: how training reads, a
        memory map being touched at those rows only."""
        kind = torch.int64 if self.kind == "sequences" else torch.float64 if self.wide else torch.float32
        return self._table[self._at(indices)].to(kind)

    def spaced(self, k: int) -> Int[Tensor, " m"]:
        """About k evenly spaced rows, whole blocks of them where the table is read by blocks."""
        n, block = len(self), self.block
        if block is None or k >= n:
            return torch.linspace(0, n - 1, min(k, n), dtype=torch.float64).round().long()
        count = max(2, k // block)
        starts = torch.linspace(0, max(0, n - block), count, dtype=torch.float64).long()
        rows: Tensor = torch.unique((starts[:, None] + torch.arange(block)).flatten().clamp(max=n - 1))
        return rows

    @property
    def block(self) -> int | None:
        """Rows that are read together, where the table stays in its file and is read so; they are then in its order."""
        found: int | None = getattr(self._table, "block", None)
        return found

    def ahead(self, indices: Int[Tensor, " b"]) -> None:
        """Have these rows read meanwhile, where they are in a file."""
        if isinstance(self._table, Stored):
            self._table.ahead(self._at(indices))

    @property
    def wide(self) -> bool:
        """Whether these are of a table whose digits need float64."""
        return self.code is not None and self._table.dtype == torch.float64

    def take(self, indices: Int[Tensor, " m"] | Sequence[int]) -> "Samples":
        """The samples of these rows, in this order, without copying them.

        >>> Samples(torch.arange(6.0).reshape(3, 2)).take([2, 0]).x[:, 0]
        tensor([4., 0.])
        """
        return self._part(torch.as_tensor(indices, dtype=torch.int64), self.split_record)

    def apart(self, indices: Int[Tensor, " m"] | Sequence[int]) -> "Samples":
        """The events of these rows alone, without labels, as if they came from an array: how they were picked is not in
        the record of a run on them, which is not to be cut again from their source."""
        found = self._part(torch.as_tensor(indices, dtype=torch.int64), None)
        found.__dict__.update(y=None, classes=None, source=None)
        return found

    def of(self, x: Shaped[Tensor, "m *event"]) -> "Samples":
        """Other events of this kind: of the same units, columns and grid."""
        found = self.apart([])
        found.__dict__.update(_table=x, _rows=None, groups=None, weights=None)
        return found

    def told(self, y: Tensor) -> "Samples":
        """The same rows with these labels, vectors or images beside them, [n, *k]."""
        check_labels(y, torch.Size((len(self), *self.event_shape)), len(self), None)
        found = self.take(range(len(self)))
        found.__dict__.update(y=y, classes=None)
        return found

    def by_weight(self, seed: int = 0) -> "Samples":
        """As many rows, each as often as it weighs, those of one row being one group; these, where all weigh the same.

        >>> data = Samples(torch.tensor([[0.0], [1.0]]), weights=torch.tensor([0.0, 1.0]))
        >>> data.by_weight().x.tolist(), data.by_weight().groups.tolist()
        ([[1.0], [1.0]], [1, 1])
        """
        if self.weights is None:
            return self
        by_weight.check(self.weights, self.name)
        rows = by_weight.as_often(self.weights, seed)
        found = self.take(rows)
        found.__dict__.update(weights=None, groups=rows if self.groups is None else found.groups)
        return found

    def thinned(self, seed: int = 0) -> "Samples":
        """Independent samples of the law that is meant, none of them twice: of rows with weights so many as a chance of
        w / max w leaves; these, where all weigh the same."""
        if self.weights is None:
            return self
        by_weight.check(self.weights, self.name)
        found = self.take(by_weight.kept(self.weights, seed))
        found.__dict__.update(weights=None)
        return found

    @property
    def statements(self) -> tuple[str, ...]:
        """In words: which columns are not learned, and what weighted rows are worth."""
        found = [] if self.code is None else [self.code.statement]
        if self.weights is not None:
            worth = by_weight.worth(self.weights)
            found.append(f"weights: these {len(self):,} rows are worth {worth:,.0f} that count the same")
        return tuple(filter(None, found))

    def noted(self, *notes: str) -> "Samples":
        """These, and what else there is to tell of them."""
        self.__dict__["notes"] = (*self.notes, *notes)
        return self

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of shape, dtype and every row; above 64 MiB, of evenly spaced rows that make 64 MiB."""
        row_bytes = self._table.element_size() * max(1, self._table[:1].numel())
        picked = min(len(self), max(2, FINGERPRINT_BYTES // row_bytes))
        digest = hashlib.sha256(f"{[len(self), *self.event_shape]} {self._table.dtype}".encode())
        rows = self._at(self.spaced(picked))
        for some in torch.split(rows, max(1, 2**24 // row_bytes)):
            digest.update(self._table[some].cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def beside(self) -> str | None:
        """SHA-256 (hex) of what goes with the rows: labels, groups and weights; None where there is none of these."""
        parts = {"y": self.y, "groups": self.groups, "weights": self.weights}
        digest = hashlib.sha256()
        for name, part in parts.items():
            if part is not None:
                digest.update(f"{name} {list(part.shape)} {part.dtype}".encode())
                digest.update(part.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest() if any(part is not None for part in parts.values()) else None

    def split(self, fraction: float = 0.2, seed: int = 0) -> tuple["Samples", "Samples"]:
        """Cut at random into (train, holdout), disjoint, with about fraction n samples held out.

        Rows of one group are on one side, and so are rows that are equal (in data of up to 256 MiB), unless more than a
        fifth are: then to repeat is in the nature of the data.

        Each part's `split_record` says how to make it again: fraction, seed, part, n and fingerprint of the
        whole, and the record of the whole when it was itself a part. Raises `BadInput` if a part would be
        empty.

        >>> train, holdout = Samples(torch.rand(10, 2)).split(0.2, seed=0)
        >>> len(train), len(holdout), holdout.split_record["part"]
        (8, 2, 'holdout')
        """
        if not 0.0 < fraction < 1.0:
            raise BadInput(f"the held-out fraction must lie between 0 and 1, and it is {fraction}: give 0.2, say")
        n = len(self)
        held = round(fraction * n)
        if held in (0, n):
            raise BadInput(
                f"holding out {fraction} of {n} samples leaves {n - held} to train and {held} held out: "
                "both need one at least, so change the fraction or give more data"
            )
        order = torch.randperm(n, generator=rng.generator(seed, "data", "split"))
        together = self.groups if self.groups is not None else equal_rows(self._table, self._at(torch.arange(n)))
        if together is not None:
            order, held = whole_groups(order, held, together)
            if held in (0, n):
                raise BadInput(
                    f"the {n} samples of {self.name} are of groups so large that all fall on one side: give more groups"
                )
        record = {
            "fraction": fraction,
            "seed": seed,
            "n": n,
            "fingerprint": self.fingerprint,
            "of": self.split_record,
        }
        parts = order[held:], order[:held]
        if self.block is not None:  # in the order of the file, or each row would be a block to read
            parts = parts[0].sort().values, parts[1].sort().values
        train = self._part(parts[0], {"part": "train", **record})
        return train, self._part(parts[1], {"part": "holdout", **record})

    def describe(self) -> dict[str, Any]:
        """What a run keeps in its `model.json` to say which data it learned from.

        >>> Samples(torch.zeros(3, 1, 8, 8), kind="images").describe()["event_shape"]
        [1, 8, 8]
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "n": len(self),
            "event_shape": list(self.event_shape),
            "dtype": str(self._table.dtype).removeprefix("torch."),
            "labelled": self.y is not None,
            "classes": None if self.classes is None else list(self.classes),
            "columns": None if self.columns is None else list(self.columns),
            "code": None if self.code is None else self.code.to_dict(),
            "dialect": None if self.dialect is None else self.dialect.to_dict(),
            "frame": self.frame,
            "quantum": self.quantum,
            "limits": None if self.limits is None else list(self.limits),
            "source": self.source,
            "reading": self.reading,
            "notes": list(self.notes),
            "path": _resolved(self.source),
            "fingerprint": self.fingerprint,
            "beside": self.beside,
            "split": self.split_record,
        }

    def _at(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Rows of the table behind these rows of the samples."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        n = len(self)
        if rows.numel() and not -n <= int(rows.min()) <= int(rows.max()) < n:
            raise BadInput(f"rows {int(rows.min())}..{int(rows.max())} were asked of {n} samples: stay in 0..{n - 1}")
        return rows % n if self._rows is None else self._rows[rows]

    def _part(self, indices: Tensor, split_record: dict[str, Any] | None) -> "Samples":
        return Samples(
            self._table,
            None if self.y is None else self.y[indices],
            self.kind,
            self.name,
            classes=self.classes,
            quantum=self.quantum,
            limits=self.limits,
            source=self.source,
            columns=self.columns,
            code=self.code,
            dialect=self.dialect,
            frame=self.frame,
            groups=None if self.groups is None else self.groups[indices],
            weights=None if self.weights is None else self.weights[indices],
            notes=self.notes,
            reading=self.reading,
            split_record=split_record,
            rows=self._at(indices),
        )


def _resolved(source: str | None) -> str | None:
    """The absolute path of a source that is a file or folder, so that it is found from elsewhere; else None."""
    head, mark, key = (source or "").rpartition("#") if "#" in (source or "") else (source or "", "", "")
    return f"{Path(head).resolve()}{mark}{key}" if head and Path(head).exists() else None
