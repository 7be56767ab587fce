"""From a raw array to `Samples`: is it usable, what kind of data is it, where are its channels."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monge.data.checks import at_least_two
from monge.data.codes import Number
from monge.data.columns import Columns
from monge.data.dialects import Dialect
from monge.data.samples import AXES, Samples
from monge.data.stored import Stored
from monge.errors import BadInput
from monge.progress import bar

CHUNK_BYTES = 2**24
LARGEST = np.float64(np.finfo(np.float32).max)  # a Python float would be rounded to the precision of the array
FINEST = 2**20  # beyond it float32 has no room to spread an integer over its grid step
LONG, ALIKE = 512, 0.5  # values of a row, and the correlation of neighbours, from which on it is a signal
DIGIT_ROWS = 2**16  # by which it is told whether float32 is enough
COARSEST = 1000.0  # steps of float32 that the range of continuous values must have
LEFT = 0.99  # share of the different values of a column of a table that float32 must tell apart, or it is float64
LAYOUTS = {
    "vectors": ((1, 2), "[n, d]"),
    "images": ((3, 4), "[n, H, W], [n, C, H, W] or [n, H, W, C]"),
    "fields": ((2, 3, 4, 5), "[n, L], [n, C, L], [n, C, H, W] or [n, C, D, H, W]"),
    "sequences": ((2,), "[n, T], whole numbers"),
}
CONTENTS = {
    "O": "Python objects",
    "c": "complex numbers",
    "U": "text",
    "S": "text",
    "V": "records",
    "T": "text",
}


class Scan(NamedTuple):
    """What one pass over the values found: their range, and whether all are integers."""

    low: float
    high: float
    integral: bool


class Table(NamedTuple):
    """What a source holds: rows, or pictures of several sizes, labels, the labels' names, the columns' names, the group
    and the weight of each row, how columns are told in numbers (`Columns`), how a file of text was written, what an
    archive says of its array, and which kind the format is of."""

    x: Any
    y: NDArray[np.generic] | None = None
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    groups: NDArray[np.generic] | None = None
    weights: NDArray[np.generic] | None = None
    code: Columns | None = None
    dialect: Dialect | None = None
    frame: dict[str, Any] | None = None
    kind: str | None = None

    def without_missing(self) -> "Table":
        """The rows that have no NaN; all of them where values are whole."""
        if isinstance(self.x, Stored):
            raise BadInput("rows of an array that stays in its file are not left out one by one: write it without NaN")
        if self.x.dtype.kind != "f":
            return self
        rows = max(1, CHUNK_BYTES // max(1, self.x[:1].nbytes))
        whole = np.concatenate(
            [~np.isnan(self.x[i : i + rows]).reshape(-1, self.x[0].size).any(1) for i in range(0, len(self.x), rows)]
        )
        parts = {"x": self.x, "y": self.y, "groups": self.groups, "weights": self.weights}
        return self._replace(**{name: part[whole] for name, part in parts.items() if part is not None})


def scan(x: NDArray[np.generic] | Stored, label: str, *, varying: bool = True) -> Scan:
    """Read the array once, in bounded chunks; raise `BadInput` on NaN, infinity or, if `varying`, samples all the same.

    Values beyond float32 count as infinite.

    >>> scan(np.array([[0.0], [2.0]]), "x")
    Scan(low=0.0, high=2.0, integral=True)
    >>> scan(np.array([[0.0], [np.nan]]), "x")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    monge.errors.BadInput: x has 1 NaN or infinite value in 1 of 2 rows, the first at [1, 0]: ...
    """
    low, high, integral, varies = np.inf, -np.inf, True, False
    wrong_values, wrong_rows, first = 0, 0, ""
    first_row = np.asarray(x[:1])
    rows = max(1, CHUNK_BYTES // max(1, first_row.nbytes))
    with bar(f"checking {label}", len(x)) as advance, np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(x), rows):
            chunk = np.asarray(x[start : start + rows])
            least, most = float(chunk.min()), float(chunk.max())
            if not -LARGEST <= least <= most <= LARGEST:
                wrong = ~(np.abs(chunk) <= LARGEST)
                at = np.argwhere(wrong)[0]
                first = first or str([start + int(at[0]), *(int(i) for i in at[1:])])
                wrong_values += int(wrong.sum())
                wrong_rows += int(wrong.reshape(len(chunk), -1).any(1).sum())
            low, high = min(low, least), max(high, most)
            integral = integral and (chunk.dtype.kind != "f" or bool((chunk == np.floor(chunk)).all()))
            varies = varies or bool((chunk != first_row).any())
            advance(len(chunk))
            if varies and chunk.dtype == np.uint8:  # which has no more to tell
                break
    if wrong_values:
        raise BadInput(
            f"{label} has {wrong_values} NaN or infinite value{'s' * (wrong_values > 1)} in {wrong_rows} "
            f"of {len(x)} rows, the first at {first}: drop or repair those rows; drop_missing=True (--drop-missing) "
            "leaves out those with NaN"
        )
    if varying and not varies:
        raise BadInput(f"{label} has zero variance, all its {len(x)} samples being the same: give samples that differ")
    return Scan(low, high, integral)


def arrange(x: Tensor, kind: str | None, integral: bool, label: str) -> tuple[Tensor, str]:
    """Bring the axes to [n, d] or [n, C, *space] and settle the kind; nothing is copied.

    Without `kind`, up to 2 axes are vectors, but rows of 512 values or more in which neighbours correlate by .5 or
    more, as in sounds and time series, are 1-D fields; 3 axes [n, H, W] and 4 axes are images when every value is an
    integer and the channels are 1 or 3, fields otherwise; 5 axes are fields. Channels last, [n, H, W, C],
    is recognised when C is 1 or 3, H and W are larger than 3, and `kind` is not "fields".

    >>> arrange(torch.zeros(9, 8, 8, 3), None, True, "x")[0].shape
    torch.Size([9, 3, 8, 8])
    """
    if kind is not None and kind not in AXES:
        raise BadInput(f"kind {kind!r} is not known: give one of {', '.join(AXES)}")
    axes, expected = LAYOUTS[kind] if kind else ((1, 2, 3, 4, 5), "[n, d] or [n, C, *space] with 1 to 3 space axes")
    if x.ndim not in axes:
        raise BadInput(f"{label} has shape {list(x.shape)}, and {kind or 'data'} need {expected}: reshape it")
    if kind == "sequences":
        return x, kind
    if x.ndim <= 2:
        x = x.reshape(len(x), -1)
        signal = kind == "fields" or (kind is None and _is_signal(x))
        return (x.unsqueeze(1), "fields") if signal else (x, "vectors")
    if x.ndim == 3 and kind != "fields":
        x = x.unsqueeze(1)
    elif x.ndim == 4 and kind != "fields" and x.shape[3] in (1, 3) and x.shape[1] > 3 and x.shape[2] > 3:
        x = x.permute(0, 3, 1, 2)
    elif x.ndim == 4 and kind is None and x.shape[3] in (2, 4) and x.shape[1] == x.shape[2] > 4:
        warnings.warn(
            f"{label} has shape {list(x.shape)}, which is read as {x.shape[3]} channels that stand last; give "
            "kind='fields' for channels first",
            stacklevel=2,
        )
        x = x.permute(0, 3, 1, 2)
    pixels = x.ndim == 4 and x.shape[1] in (1, 3)
    if kind == "images" and not pixels:
        raise BadInput(f"{label} has {x.shape[1]} channels {list(x.shape)}, and images have 1 or 3: give kind='fields'")
    return x, kind or ("images" if integral and pixels else "fields")


def _is_signal(x: Tensor) -> bool:
    """Whether values that stand beside one another vary together: of rows that are long, and have no columns' names."""
    if x.shape[1] < LONG:
        return False
    away = x[:LONG].double()
    away = away - away.mean(0)
    return bool((away[:, 1:] * away[:, :-1]).sum() > ALIKE * away.square().sum())


def assemble(
    table: Table,
    *,
    kind: str | None,
    name: str,
    label: str,
    native: bool = False,
    source: str | None = None,
    varying: bool = True,
    reading: dict[str, Any] | None = None,
) -> Samples:
    """Check a table and make it `Samples`; `native` keeps the dtype (files), otherwise x becomes float32.

    reading: how else the source was read, to be read again.

    Raises `BadInput` for contents that are not real numbers, fewer than 2 rows, and what `scan` and
    `arrange` refuse.
    """
    x, kind = table.x, kind or table.kind
    dtype = x.numpy_dtype if isinstance(x, Stored) else x.dtype
    if dtype.kind not in "biuf":
        what = CONTENTS.get(dtype.kind, str(dtype))
        raise BadInput(f"{label} holds {what} (dtype {dtype}): convert it to an array of real numbers")
    if x.ndim == 0 or 0 in x.shape:
        raise BadInput(f"{label} holds no samples (shape {list(x.shape)}): give [n, *event] with samples in it")
    at_least_two(len(x), label)
    found = scan(x, label, varying=varying)
    if kind == "sequences" and not found.integral:
        raise BadInput(f"{label} holds numbers that are not whole, and sequences are of symbols 0, 1, 2, ...")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            symbols = kind == "sequences"
            wide = table.code is not None and needs_digits(x, table.code)
            tensor = (
                x
                if isinstance(x, Stored)
                else torch.from_numpy(
                    x.astype(np.int64) if symbols else x if native or wide else x.astype(np.float32, copy=False)
                )
            )
    except (TypeError, ValueError) as error:
        raise BadInput(f"{label} is stored as {dtype.str}, not mappable: save it again as float32") from error
    spread, step = found.high - found.low, float(np.spacing(np.float32(max(abs(found.low), abs(found.high)))))
    if 0 < spread < COARSEST * step and not symbols and not wide:
        raise BadInput(
            f"{label} varies by {spread:.3g} around {found.low:.6g}, too little for the seven digits of float32: "
            "subtract a constant first"
        )
    asked = kind or ("vectors" if table.columns else None)
    few, kind = arrange(tensor[:LONG] if isinstance(tensor, Stored) else tensor, asked, found.integral, label)
    if isinstance(tensor, Stored):
        settled = kind if x.ndim <= 2 else asked  # of rows of numbers values tell, of others the axes
        tensor = tensor.arranged(lambda block: arrange(block, settled, found.integral, label)[0])
    else:
        tensor = few
    whole = dtype.kind in "biu" or (found.integral and (x.ndim >= 3 or _is_whole(table)))
    quantised = whole and not symbols and max(-found.low, found.high) <= FINEST
    limits = (0.0, 255.0) if dtype == np.uint8 else (found.low, found.high)
    y, classes = labels(table)
    if table.y is not None and table.y.ndim > 2:
        y = _beside(table.y, tuple(tensor.shape[2:]))
    return Samples(
        tensor,
        y,
        kind,
        name,
        classes=classes,
        quantum=1.0 if quantised else None,
        limits=limits if quantised else None,
        source=source,
        columns=table.columns,
        code=table.code,
        dialect=table.dialect,
        frame=table.frame,
        groups=None if table.groups is None else torch.from_numpy(np.unique(table.groups, return_inverse=True)[1]),
        weights=None if table.weights is None else torch.from_numpy(table.weights),
        reading=reading,
    )


def _is_whole(table: Table) -> bool:
    """Whether the columns of a table are whole numbers all."""
    codes = () if table.code is None else table.code.codes
    return bool(codes) and all(isinstance(code, Number) and code.whole and not code.marked for code in codes)


def needs_digits(x: NDArray[Any], code: Columns) -> bool:
    """Whether some column of a table has numbers that float32 does not tell as they are, by the step between them; or,
    where none is known, does not tell apart, or too coarsely for their range."""
    x = x[:: len(x) // DIGIT_ROWS + 1]
    for column, step in zip(x.T, code.steps, strict=True):
        narrow = column.astype(np.float32)
        wide = float(column.max() - column.min())
        if step and np.abs(narrow - column).max() > step / 4:
            return True
        if 0 < wide < COARSEST * float(np.spacing(np.abs(narrow).max())):
            return True
        if len(np.unique(narrow)) < LEFT * len(np.unique(column)):
            return True
    return False


def _beside(y: NDArray[Any], space: tuple[int, ...]) -> Tensor | None:
    """The images or fields that go with samples, float32 [n, c, *space], from that, [n, *space] or [n, *space, c]; None
    where samples have no space. Raises BadInput for those over another space."""
    if not space or y.dtype.kind not in "biuf":
        return None
    events = torch.from_numpy(y.astype(np.float32))
    if y.shape[1:] == space:
        return events.unsqueeze(1)
    if y.shape[2:] == space:
        return events
    if y.shape[1:-1] == space:
        return events.movedim(-1, 1)
    sides = ", ".join(map(str, space))
    raise BadInput(f"the array y is {list(y.shape)}: what goes with samples over [{sides}] must be [n, c, {sides}]")


def labels(table: Table) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Labels as int64 [n], and the names of text labels; or vectors as float32 [n, k], from [n] or [n, k] real numbers.

    None when y is neither; images and fields are `_beside`.

    >>> labels(Table(np.zeros((3, 1)), np.array(["b", "a", "b"])))
    (tensor([1, 0, 1]), ('a', 'b'))
    """
    y, classes = table.y, table.classes
    if y is not None and y.dtype.kind == "b":
        y = y.astype(str)
    if y is not None and y.dtype.kind not in "biufUS":
        what = CONTENTS.get(y.dtype.kind, str(y.dtype))
        raise BadInput(f"labels are {what}: give whole numbers, texts, or real numbers as vectors")
    if y is None or y.ndim not in (1, 2) or len(y) != len(table.x) or y.dtype.kind not in "biufUS":
        return None, None
    if y.dtype.kind in "US":
        if y.ndim == 2:
            return None, None
        names, y = np.unique(y.astype(str), return_inverse=True)
        classes = tuple(str(name) for name in names)
    elif y.ndim == 2 or not bool((y == np.floor(y)).all()):
        return torch.from_numpy(y.reshape(len(y), -1).astype(np.float32)), None
    return torch.from_numpy(y.astype(np.int64)), classes
