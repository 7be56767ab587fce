"""Drawing samples from a model, and writing them."""

import inspect
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from monge.cli import frames, pictures
from monge.cli.endings import TABLES
from monge.data import Columns, Dialect, Labels, textfiles
from monge.data.folders import PARTS
from monge.errors import BadInput
from monge.files import ending_of, write_atomic
from monge.models import Family

TEXTS = {".csv": Dialect(), ".tsv": Dialect("\t"), ".txt": Dialect("\t")}  # where the data were no text


def draw(model: Family, n: int, seed: int, **given: Any) -> Tensor:
    """Samples [n, *event]; options that are None are left to the model. Raises BadInput for one it does not have."""
    has = inspect.signature(model.sample).parameters
    asked = {name: value for name, value in given.items() if value is not None}
    for name in asked:
        if name not in has:
            raise BadInput(f"{type(model).__name__} has no --{name.replace('_', '-')}: leave it out")
    if isinstance(asked.get("label"), str) and model.labels is not None and not model.labels.count:
        asked["label"] = _numbers(asked["label"], model.labels)
    if "show" in has:
        asked["show"] = True
    drawn: Tensor = model.sample(n, seed=seed, **asked)
    return drawn


def labels_of(model: Family, n: int, seed: int, label: Any = None) -> Tensor | None:
    """The labels [n] of what `draw` gives, numbered as in the data; None of a model that knows none."""
    if model.labels is None or not model.labels.count:
        return None
    return model.labels.encode(model.drawn_labels(label, n, seed, 0), n)


def _numbers(text: str, labels: Labels) -> list[float]:
    """The vector that a text lists."""
    if labels.context:
        raise BadInput(f"the run was trained with {labels.told}: draw for one in Python, model.sample(n, label=image)")
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(f"the run was trained with vectors: give --label numbers such as 0.5,1, not {text}") from error


def write_samples(
    path: Path, x: Tensor, about: dict[str, Any], y: Tensor | None = None, **drawn: float | str | None
) -> None:
    """Samples [n, *event] in data units, as the ending has it: .npz, with how they were drawn; .npy; .nc, .zarr or
    .h5, with the axes that the data had; .csv or .parquet, with the columns' names; or a folder of numbered pictures.
    about: the `data` of a run's record. y: labels [n], which go along, by their names: as `y`, as the column that they
    came from, or as subfolders; .npy has no room for them."""
    from pyarrow import parquet

    content = io.BytesIO()
    ending = ending_of(path)
    if ending == "":
        if about["limits"] is None:
            raise BadInput(f"{path}: samples of real values are not levels of pictures: write .npz or .npy")
        low, high = about["limits"]
        full = pictures.DEEP if high - low > pictures.SHALLOW else pictures.SHALLOW
        if full == pictures.DEEP and 0 <= low < high <= full:  # as they are
            low, high = 0.0, full
        told = names_of(y, about)
        refuse_paths(path, [] if told is None else sorted({str(name) for name in told}))
        for i, picture in enumerate(x):
            inside = path if told is None else path / str(told[i])
            name = f"{i:0{len(str(len(x) - 1))}}.png"
            pictures.write(inside / name, pictures.of_units(picture, (low, high), full))
        return
    if ending in TABLES:
        table = _table(x, about, int(drawn.get("seed") or 0), names_of(y, about))
        if ending != ".parquet":
            same = about.get("dialect") is not None and ending == ending_of(Path(str(about.get("source"))))
            own = Dialect(**about["dialect"]) if same else TEXTS[ending]
            write_atomic(path, textfiles.write(table, own, compressed=path.suffix == ".gz"))
            return
        parquet.write_table(table, content)
    elif ending in frames.ENDINGS:
        frames.write(path, x, about, names_of(y, about))
        return
    elif ending == ".npy":
        np.save(content, x.numpy(), allow_pickle=False)
    else:
        known = {name: np.asarray(value) for name, value in drawn.items() if value is not None}
        known |= {} if y is None else {"y": names_of(y, about)}
        np.savez(content, allow_pickle=False, x=x.numpy(), **known)
    write_atomic(path, content.getvalue())


def refuse_paths(folder: Path, classes: Sequence[str]) -> None:
    """Raise BadInput for names of classes that are no names of folders, or would not be read as classes again."""
    for name in classes:
        plain = name != "" and Path(name).name == name and not name.startswith(".") and "\\" not in name
        if not plain or (len(classes) == 1 and name.lower() in PARTS) or all(each.lower() in PARTS for each in classes):
            raise BadInput(f"{folder}: the class {name!r} is no name of a folder of its own: write .npz")


def names_of(y: Tensor | None, about: dict[str, Any]) -> Any:
    """Labels by their names, as an array, or by their numbers where they have none."""
    if y is None:
        return None
    return y.numpy() if about.get("classes") is None else np.array(about["classes"])[y.numpy()]


def _table(x: Tensor, about: dict[str, Any], seed: int, labels: Any) -> Any:
    """An Arrow table with the columns, and the types, of the data; labels are the last where they were none of them."""
    import pyarrow

    if about.get("code") is not None:
        table = Columns.from_dict(about["code"]).decode(x.numpy(), seed, labels)
    else:
        values = x.long() if about["quantum"] == 1.0 else x
        names = about.get("columns") or [f"x{i + 1}" for i in range(x.shape[1])]
        table = pyarrow.table(dict(zip(names, values.T.contiguous().numpy(), strict=True)))
    column = about.get("reading", {}).get("label_column") or "label"
    return table if labels is None or column in table.column_names else table.append_column(column, [labels])


def how_drawn(path: Path) -> dict[str, Any]:
    """What `write_samples` was told of the samples: seed, nfe, alpha, label and guidance; empty for a file of another
    origin."""
    names = "seed", "nfe", "alpha", "label", "guidance"
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name].item() for name in names if name in archive}
