"""`load`: anything that holds samples, to `Samples`."""

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monge.data import archives
from monge.data.archives import choose
from monge.data.builtin import BUILTINS, builtin
from monge.data.crops import cropped, photographs, planes
from monge.data.layout import Table, assemble
from monge.data.readers import ENDINGS, Reading, read, tabled
from monge.data.samples import Samples
from monge.doors import one_of
from monge.errors import BadInput
from monge.files import ending_of


def load(
    source: Any,
    *,
    key: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    group: str | None = None,
    label_column: str | None = None,
    weights: str | None = None,
    columns: Sequence[str] | None = None,
    drop_missing: bool = False,
    missing: str | None = None,
    derived: bool = False,
    like: Samples | None = None,
    crop: int | None = None,
    varying: bool = True,
) -> Samples:
    """Samples from an array, a tensor, a file, a folder of images, or a built-in name.

    source:
        - an array, a tensor or nested lists, [n, *event]; with `crop`, a list of images [H, W], [C, H, W] or [H, W, C];
        - `.npy` (stays on disk, memory-mapped), `.npz`, `.h5`, `.zarr`;
        - a table, `.csv`, `.tsv` or `.txt` (and these `.gz`) however its cells are parted, or `.parquet`: moments are
          numbers of days, or finer, and texts that come again have a column of 0 and 1 each (`monge.data.Columns`,
          which brings back the table);
        - a table in memory: a DataFrame of pandas or polars, a Table of Arrow, a Dataset of Hugging Face, or the folder
          of its `save_to_disk`; where a column holds pictures, these are the samples, and a column `label` theirs; a
          DataArray or Dataset of xarray;
        - a folder of images, its subfolders being labels; photographs of several sizes are cropped; a .tif or .gif of
          several pages;
        - a built-in: digits, patches, rings, moons, banana, checkerboard, pinwheel, gaussian-field,
          c-alpha, with options as in `"gaussian-field?shape=64x64&slope=2&n=1000&seed=1"`.
    key: which array of an archive (npz, h5, zarr); also `"file.npz#key"`. By default "x", else the only
        one. An array "y" of the same length gives the labels, vectors, or images over the same space.
    kind: "vectors", "images" or "fields", where the shape does not tell: [n, H, W] is a gray image per
        sample, and with kind="fields" a 1-D field [n, C, L]; [n, L] are vectors, or 1-D fields where rows are long
        and smooth. See `monge.data.layout.arrange`.
    group: a column of a .csv or .parquet that says which rows belong together (a patient, a day): not one of the
        values, and `split` keeps such rows on one side.
    label_column: a column of a table that is the label of each row; weights: one that says how much each counts, 0 or
        more (`Samples.weights`). columns: those of a table that are values.
    like: samples of a table whose columns these are, in any order; those missing or beyond them are refused by name.
    crop: cut squares of so many pixels out of images of any sizes, each at a place and a flip of its own; 48 where
        sizes differ. Images are the groups that are never split.
    drop_missing: leave out the rows that have NaN, which are refused otherwise. missing: "learn" to have a column of 0
        and 1 beside each column of a table in which cells are missing.
    derived: leave out columns of a table that are sums of others, or texts that others tell, in every row; they come
        back in what is drawn (`monge fit` does).
    varying: refuse samples that are all the same, from which nothing can be learned (though it can be judged).

    Whole numbers are quantised data: `quantum` is 1 and `limits` their range. x is float32, except that
    files keep their own dtype where they are memory-mapped or uint8, and that tables are float64 where float32 would
    lose their digits. Raises `BadInput` for all that cannot
    be used, NaN and infinity included (values are checked once, a file in chunks).

    >>> load("digits")
    Samples(digits: 1797 images of 1x8x8)
    >>> load([[0.0, 1.5], [2.0, 3.0], [4.0, 5.0]], name="points").kind
    'vectors'
    """
    ready = builtin(source) if isinstance(source, str) else source if isinstance(source, Samples) else None
    if ready is not None:
        if key or kind or name or group or crop or label_column or weights or columns or missing:
            raise BadInput(
                f"{ready.name} has its own kind and name: load it without key, kind, name, crop, and options of tables"
            )
        if isinstance(source, str) and Path(source).exists():
            warnings.warn(
                f"{source} is built in, and that is taken; for the file or folder here give ./{source}", stacklevel=2
            )
        return ready
    in_memory = any(hasattr(source, name) for name in ("__arrow_c_stream__", "with_format", "to_dataset", "data_vars"))
    if isinstance(source, str | Path) or in_memory:
        if missing is not None:
            one_of(missing, ("learn",), "missing")
        how = Reading(
            group,
            label_column,
            weights,
            None if columns is None else tuple(columns),
            drop_missing,
            missing,
            derived,
            None if like is None else like.code,
            crop is not None,
        )
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            asked: dict[str, Any] = {"kind": kind, "varying": varying}
            asked |= {"crop": crop, "wide": like is not None and like.wide}
            load_it = _load_table if in_memory else _load_path
            samples = load_it(source if in_memory else str(source), key, name, how, **asked)
        once = {str(warning.message): warning for warning in told}  # not for each of many pictures
        for warning in once.values():
            warnings.warn(warning.message, warning.category, stacklevel=2)
        notes = [text for text, warning in once.items() if warning.category is UserWarning]
        return samples.noted(*notes, *samples.statements)
    if key is not None:
        raise BadInput(f"key {key!r} was given with an array: keys are for archives (npz, h5, zarr)")
    of_table = {"group": group, "label_column": label_column, "weights": weights}
    for what, given in (of_table | {"columns": columns, "missing": missing}).items():
        if given is not None:
            raise BadInput(f"{what} {given!r} was given with an array: it is of a table, .csv or .parquet")
    label = name or "the array"
    if crop is not None and isinstance(source, list | tuple):
        return photographs(Table(list(map(planes, source))), crop, label=label, varying=varying, name=name or "array")
    table = Table(_as_array(source))
    table = table.without_missing() if drop_missing else table
    samples = assemble(table, kind=kind, name=name or "array", label=label, varying=varying)
    return samples if crop is None else cropped(samples, crop)


def _load_path(text: str, key: str | None, name: str | None, how: Reading, **asked: Any) -> Samples:
    if not text.strip():
        raise BadInput("an empty name was given for the data: give a file, a folder or a built-in name")
    path, wanted = Path(text), key
    if "#" in text and not path.exists():
        head, _, tail = text.rpartition("#")
        path, wanted = Path(head), key or tail
    if not path.exists() and ending_of(path) not in ENDINGS and len(path.parts) == 1:
        names = list(BUILTINS)
        close = difflib.get_close_matches(text.split("?")[0], names, n=2, cutoff=0.5)
        nearest = f"did you mean {' or '.join(close)}? " if close else ""
        raise BadInput(f"no data {text!r}, neither built in nor a file here: {nearest}built in are {', '.join(names)}")
    about = {"name": name or path.stem, "label": str(path), "source": text}
    return _assembled(read(path, wanted, how), how, about, **asked)


def _load_table(source: Any, key: str | None, name: str | None, how: Reading, **asked: Any) -> Samples:
    """A table in memory, of pandas, polars, Arrow or Hugging Face, or arrays with named axes of xarray."""
    import pyarrow

    if hasattr(source, "to_dataset") or hasattr(source, "data_vars"):
        label = name or "the arrays"
        for option, value in how.of_table.items():
            if option != "label_column":
                raise BadInput(f"{option} {value!r} was given with arrays of xarray: it is of a table")
        table = choose(Path(label), archives.in_memory(source), key, how.label_column)
        return _assembled(table, how, {"name": name or "arrays", "label": label}, **asked)
    if key is not None:
        raise BadInput(f"key {key!r} was given with a table: keys are for archives (npz, h5, zarr)")
    label = name or "the table"
    try:
        table = source.with_format("arrow")[:] if hasattr(source, "with_format") else pyarrow.table(source)
    except (TypeError, ValueError, NotImplementedError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadInput(
            f"{label} is no table of plain columns ({reason}): give a DataFrame of numbers and texts"
        ) from error
    return _assembled(tabled(table, label, how), how, {"name": name or "table", "label": label}, **asked)


def _assembled(
    table: Table, how: Reading, about: dict[str, Any], *, kind: str | None, varying: bool, crop: int | None, wide: bool
) -> Samples:
    derived = how.derived and table.code is not None
    asked = {**how.of_table, "drop_missing": how.drop_missing, "derived": derived, "crop": crop}
    reading = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}
    about |= {"varying": varying, "reading": {name: value for name, value in reading.items() if value}}
    if isinstance(table.x, list):
        return photographs(table, crop, **about)
    table = table.without_missing() if how.drop_missing else table
    native = isinstance(table.x, np.memmap) or table.x.dtype == np.uint8 or wide
    samples = assemble(table, kind=kind, native=native, **about)
    return samples if crop is None else cropped(samples, crop)


def _as_array(source: Any) -> NDArray[np.generic]:
    if isinstance(source, Tensor):
        source = source.detach().cpu().resolve_conj()
        return np.asarray(source.float() if source.is_floating_point() and source.itemsize < 4 else source)
    try:
        return np.asarray(source)
    except (ValueError, TypeError) as error:
        raise BadInput(f"samples of one shape are needed, [n, *event], and the rows differ ({error})") from error
