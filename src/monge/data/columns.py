"""A table as numbers, column by column and by name, and numbers as such a table again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monge.data.codes import Code, Moment, Number, of_type, plain
from monge.data.coding import code_of, from_dict
from monge.data.groups import grouped, weighed
from monge.data.texts import Text
from monge.errors import BadInput

EXACT = 1e-9  # of a column's middle range, or .001 of its own step, within which it is a sum of others
EPS = float(np.finfo(np.float64).eps)
LOOKED_AT = 10_000  # rows by which sums are found, before all are held against them
ROWS_AT_ONCE = 4096
MOST_SUMMED = 400  # columns among which sums are looked for
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Derived:
    """A column that others tell: a constant and a sum of `factors` times numbers, or a text for each text of another.

    It is not learned, and restored in what is drawn.
    """

    code: Code
    factors: Mapping[str, float]
    constant: float = 0.0
    texts: tuple[int, ...] = ()  # the number of its text, for each of the other's

    def of(self, values: Mapping[str, Array]) -> Array:
        if self.texts:
            (other,) = self.factors
            known = values[other]
            told = np.array(self.texts, np.float64)[np.nan_to_num(known).astype(int)]
            return np.where(np.isnan(known), np.nan, told)
        return self.constant + sum((f * values[name] for name, f in self.factors.items()), np.zeros(1))

    @property
    def told(self) -> str:
        if self.texts:
            return f"{self.code.name} by {', '.join(self.factors)}"
        parts = [name if factor == 1 else f"{factor:g} {name}" for name, factor in self.factors.items()]
        parts += [f"{self.constant:g}"] if self.constant or not parts else []
        return f"{self.code.name} = {' + '.join(parts)}"


@dataclass(frozen=True)
class Columns:
    """How the columns of a table are told in numbers: the codes of those that are learned, in the order of the file,
    and what is derived from them; `order`, the names in the file; `label`, the name and the type of the column of
    labels, which are not among the numbers.

    >>> import pyarrow
    >>> table = pyarrow.table({"size": [1.5, 2.0, 4.0, 3.5], "colour": ["red", "blue", "red", "blue"]})
    >>> found = Columns.fit(table, "the table")
    >>> found.names, found.decode(found.encode(table, "the table")).equals(table)
    (('size', 'colour=red'), True)
    """

    codes: tuple[Code, ...]
    derived: tuple[Derived, ...]
    order: tuple[str, ...]
    label: tuple[str, str] | None = None

    @classmethod
    def fit(
        cls,
        table: Any,
        label: str,
        *,
        derive: bool = True,
        learn_missing: bool = False,
        weights: Array | None = None,
    ) -> "Columns":
        """The codes of an Arrow table.

        weights: of its rows, by which texts are counted; all the same unless given.

        derive: leave out columns that are sums of others, and texts that others tell, in every row. learn_missing: tell
        missing cells by a column beside theirs, or else refuse them.

        Raises BadInput for no rows, two columns of one name, and what `code_of` refuses.
        """
        if table.num_rows == 0:
            raise BadInput(f"{label} has no rows: give a table with samples in it")
        names = tuple(map(str, table.schema.names))
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise BadInput(f"{label} has two columns {twice[0]!r}: give each a name of its own")
        found = tuple(
            code_of(name, table.column(name).combine_chunks(), label, learn_missing=learn_missing) for name in names
        )
        if weights is not None:
            found = tuple(weighed(code, table, label, weights) for code in found)
        derived: tuple[Derived, ...] = ()
        if derive:
            values = {code.name: code.read(table.column(code.name).combine_chunks(), label) for code in found}
            derived = (*_sums(found, values), *_functions(found, values))
        apart = {each.code.name for each in derived}
        kept = tuple(grouped(code, found, table, label, weights) for code in found if code.name not in apart)
        if not kept:
            raise BadInput(f"{label} has no column that varies: there is nothing to learn, so give others")
        name, times = Counter(name for code in kept for name in code.names).most_common(1)[0]
        if times > 1:
            raise BadInput(f"{label}: two columns would be told by one of the name {name!r}: rename one of them")
        return cls(kept, derived, names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of numbers."""
        return tuple(name for code in self.codes for name in code.names)

    @property
    def steps(self) -> tuple[float, ...]:
        """Of each column of numbers, between two that are told apart; 0 where that is not known."""
        return tuple(code.step if name == code.name else 0.0 for code in self.codes for name in code.names)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and last, exclusive, of columns of which one is 1 and the others are 0, or of one that is 0 or 1."""
        found, at = [], 0
        for code in self.codes:
            found += [(at + start, at + stop) for start, stop in code.blocks]
            at += len(code.names)
            found += [(at - 1, at)] if code.marked else []
        return tuple(found)

    @property
    def meanings(self) -> dict[str, tuple[str, str, str]]:
        """Of columns of 0 and 1 by their names: the column in the file, and the texts that 0 and 1 stand for."""
        found: dict[str, tuple[str, str, str]] = {}
        for code in self.codes:
            found |= {name: (code.name, *told) for name, told in code.meanings.items()}
            if code.marked:
                found[code.mark] = (code.name, "there", "missing")
        return found

    def encode(self, table: Any, label: str) -> Array:
        """A table of the same columns, in any order, as numbers [n, d]. Raises BadInput for those missing or beyond."""
        wanted = {code.name for code in self.codes} | {each.code.name for each in self.derived}
        there = list(map(str, table.schema.names))
        for names, words in (
            ([n for n in self.order if n in wanted and n not in there], "has no column"),
            ([n for n in there if n not in self.order], "has a column that is not of the others,"),
        ):
            if names:
                raise BadInput(
                    f"{label} {words} {', '.join(map(repr, names[:4]))}: its columns are to be {', '.join(self.order)}"
                )
        parts = [code.encode(table.column(code.name).combine_chunks(), label) for code in self.codes]
        x = np.empty((table.num_rows, len(self.names)))
        for start in range(0, len(x), ROWS_AT_ONCE):  # by blocks, which is twice as fast as column after column
            some = slice(start, start + ROWS_AT_ONCE)
            np.concatenate([part[some] for part in parts], axis=1, out=x[some])
        return x

    def decode(self, x: NDArray[Any], seed: int = 0, labels: NDArray[Any] | None = None) -> Any:
        """Numbers [n, d] as an Arrow table, of the columns and types of the file. labels: [n] names or numbers, for the
        column that they came from."""
        import pyarrow

        x, at, cells, values = np.asarray(x, np.float64), 0, {}, {}
        for code in self.codes:
            cells[code.name] = code.decode(x[:, at : at + len(code.names)], seed)
            values[code.name] = code.read(cells[code.name], "what was drawn")
            at += len(code.names)
        for each in self.derived:
            told = each.of(values)
            cells[each.code.name] = each.code.write(np.broadcast_to(told, len(x)))
        if labels is not None and self.label is not None:
            name, kind = self.label
            cells[name] = of_type(pyarrow.array(labels), kind)
        return pyarrow.table({name: cells[name] for name in self.order if name in cells})

    @property
    def statement(self) -> str:
        """In words: which columns are not learned."""
        if not self.derived:
            return ""
        return f"not learned, and restored in what is drawn: {', '.join(each.told for each in self.derived)}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        derived = [vars(each) | {"code": each.code.to_dict()} for each in self.derived]
        label = None if self.label is None else list(self.label)
        codes = [code.to_dict() for code in self.codes]
        return {"codes": codes, "derived": derived, "order": list(self.order), "label": label}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Columns":
        """What `to_dict` wrote. Raises BadInput for anything else."""
        try:
            derived = tuple(
                Derived(**each | {"code": from_dict(each["code"]), "texts": tuple(each["texts"])})
                for each in content["derived"]
            )
            label = content.get("label")
            label = None if label is None else (str(label[0]), str(label[1]))
            return cls(tuple(map(from_dict, content["codes"])), derived, tuple(content["order"]), label)
        except (KeyError, TypeError) as error:
            raise BadInput(f"not columns as to_dict writes them ({error!r}): take them from a model.json") from error


def without_missing(table: Any) -> Any:
    """Which rows of an Arrow table have no missing cell, empty text or NaN."""
    import pyarrow
    from pyarrow import compute

    whole = pyarrow.array(np.ones(table.num_rows, bool))
    for column in map(plain, table.columns):
        there = compute.is_valid(column)
        if pyarrow.types.is_floating(column.type):
            there = compute.and_(there, compute.invert(compute.fill_null(compute.is_nan(column), True)))
        elif pyarrow.types.is_string(column.type):
            bare = compute.utf8_trim_whitespace(column)
            there = compute.and_(there, compute.fill_null(compute.not_equal(bare, ""), False))
        whole = compute.and_(whole, there)
    return whole


def _sums(found: Sequence[Code], values: Mapping[str, Array]) -> list[Derived]:
    """Columns that are constant, or sums of those before them, in every row."""
    of_numbers = [
        code for code in found if isinstance(code, Number | Moment) and not np.isnan(values[code.name]).any()
    ][:MOST_SUMMED]
    if not of_numbers:
        return []
    n = len(values[of_numbers[0].name])
    every = -(-n // LOOKED_AT)
    kept: list[Code] = []
    basis = np.zeros((-(-n // every), 0))
    derived: list[Derived] = []
    for code in of_numbers:
        v = values[code.name]
        wide = float(v.max() - v.min())
        if wide == 0:
            derived.append(Derived(code, {}, float(v[0])))
            continue
        some = v[::every]
        rest = some - some.mean()
        for _ in range(2):  # Gram and Schmidt, twice, loses no digits
            rest = rest - basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size <= EXACT * wide * len(some) ** 0.5 and len(some) >= 2 * len(kept) + 20:
            sum_of = _sum(code, kept, values, wide, every)
            if sum_of is not None:
                derived.append(sum_of)
                continue
        kept.append(code)
        basis = np.column_stack([basis, rest / size]) if size > 0 else basis
    return derived


def _sum(code: Code, kept: Sequence[Code], values: Mapping[str, Array], wide: float, every: int) -> Derived | None:
    """The sum that a column is, its factors round where they can be, if it is one in every row."""
    A = np.column_stack([values[other.name] for other in kept])
    middle, spread = A[::every].mean(0), A[::every].std(0)
    scaled = (A[::every] - middle) / spread
    v = values[code.name]
    factors = np.linalg.lstsq(scaled, v[::every] - v[::every].mean(), rcond=None)[0] / spread
    told = np.abs(factors) * spread > EXACT * wide
    factors = np.where(told, _round(factors), 0.0)
    constant = float(_round(np.array([np.median(v - A @ factors)]))[0])
    found = Derived(code, {c.name: float(f) for c, f in zip(kept, factors, strict=True) if f}, constant)
    low, high = np.quantile(v, [0.25, 0.75])
    near = 1e-3 * code.step if code.step else EXACT * float(high - low)
    return found if np.abs(found.of(values) - v).max() <= max(near, 8 * EPS * float(np.abs(v).max())) else None


def _round(numbers: Array) -> Array:
    """To six digits, where that is what they are but for the last ones."""
    digits = 6 - np.ceil(np.log10(np.abs(numbers) + 1e-300)).clip(-290, 290)
    scale = 10.0**digits
    near = (numbers * scale).round() / scale
    return np.where(np.abs(numbers - near) <= 1e-8 * np.abs(near) + 1e-12, near, numbers)


def _functions(found: Sequence[Code], values: Mapping[str, Array]) -> list[Derived]:
    """Texts that the text of another column tells, in every row."""
    texts = [code for code in found if isinstance(code, Text) and not code.marked]
    derived: list[Derived] = []
    for code in texts:
        apart = {each.code.name for each in derived}
        for other in texts:
            if other is code or other.name in apart or len(other.all) < len(code.all):
                continue
            if len(other.all) == len(code.all) and found.index(other) > found.index(code):
                continue  # of two that tell each other the first is kept
            a, b = (values[c.name].astype(int) for c in (other, code))
            pairs = np.unique(a * len(code.all) + b)
            if len(pairs) == len(other.all) and 4 * len(pairs) <= len(a) and len(code.all) > 1:
                derived.append(Derived(code, {other.name: 1.0}, texts=tuple(int(p % len(code.all)) for p in pairs)))
                break
    return derived
