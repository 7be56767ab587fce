"""Archives of arrays with names: .npz, HDF5, NetCDF, Zarr; which one holds the samples, and what goes with it."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monge.data.layout import CHUNK_BYTES, Table
from monge.data.stored import IN_MEMORY, Stored
from monge.errors import BadInput
from monge.progress import bar

Array = NDArray[np.generic]
LABELS, SAMPLES = "y", "x"
PACKING = {"scale_factor", "add_offset", "_FillValue", "missing_value"}  # attributes that are not told
OF_FORMAT = {"CLASS", "NAME", "DIMENSION_LABELS", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_ARRAY_DIMENSIONS"}
BARE = "This is a netCDF dimension"  # of an axis that has no places
MOST_PLACES = 2**16  # coordinates along an axis that are kept
BOMB, LARGE = 500, 2**26  # times what is stored, and bytes, from which on an array is not expanded
CHAINS = "chain", "draw"  # axes of draws of Markov chains, as ArviZ names them
FEW_CHAINS = 5  # fewer are not held out whole


class Node(NamedTuple):
    """An array of an archive, not read yet: its name with the groups that it is in, its shape, the names of its axes
    (none where the format has none), whether it only tells places along an axis, how it is read, and what is told of
    it (units)."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    is_axis: bool
    read: Callable[[], Any]
    attributes: Mapping[str, Any] = MappingProxyType({})

    @property
    def group(self) -> str:
        return self.name.rpartition("/")[0]

    def beside(self, name: str) -> str:
        """The name of another array of the same group."""
        return f"{self.group}/{name}" if self.group else name

    @property
    def told(self) -> str:
        return f"{self.name} {list(self.shape)}"


def choose(path: Path, nodes: Sequence[Node], key: str | None, label: str | None = None) -> Table:
    """The array called `key`, else "x", else the only one that is no axis and no label, or that has two axes or more;
    with the array y (or `label`) of its group for labels. Draws of chains [chain, draw, *event] become rows.

    Raises BadInput where there is none or there are several, and for labels of another number of rows; warns of arrays
    of as many rows that are not read.
    """
    named = {node.name: node for node in nodes}
    data = [node for node in nodes if not node.is_axis and node.name.rpartition("/")[2] != LABELS]
    ends = [node.name for node in data if node.name.rpartition("/")[2] == SAMPLES]
    if key is not None:
        chosen = key.strip("/") if key.strip("/") in named else None
    elif SAMPLES in named and not named[SAMPLES].is_axis:
        chosen = SAMPLES
    else:
        of_axes = [node for node in data if len(node.shape) > 1]  # others tell of each row
        only = data if len(data) == 1 else of_axes
        chosen = ends[0] if len(ends) == 1 else only[0].name if len(only) == 1 else None
    if chosen is None:
        there = ", ".join(node.told for node in (data or nodes)) or "(none there)"
        raise BadInput(f"{path} has no array {key or SAMPLES!r}: choose a key among {there}, as in {path.name}#KEY")
    x = named[chosen]
    y = named.get(x.beside(label or LABELS))
    if label is not None and y is None:
        raise BadInput(f"{path} has no array {x.beside(label)!r} beside {chosen}: it has {', '.join(named)}")
    y = None if y is x or (y is not None and y.is_axis and label is None) else y
    of_chains = x.axes[:2] == CHAINS
    rows = x.shape[0] * x.shape[1] if of_chains else x.shape[0] if x.shape else 0
    if y is not None and (not y.shape or y.shape[0] != rows):
        raise BadInput(
            f"{path}: {y.name} has {y.shape[0] if y.shape else 'no'} rows, and {chosen} has {rows}: give a label for "
            "each, or take one of the two away"
        )
    passed = [
        node.told
        for node in nodes
        if node not in (x, y) and node.group == x.group and node.shape[:1] == (rows,) and not node.is_axis and rows > 1
    ]
    if passed and key is None:
        warnings.warn(
            f"{path}: {', '.join(passed[:4])} beside {chosen} {'is' if len(passed) == 1 else 'are'} not read: "
            "label_column= (--label-column) names one that goes with each row",
            stacklevel=2,
        )
    values, labels = x.read(), None if y is None else _texts(y.read())
    if not of_chains:
        return Table(values, labels, frame=_frame(x, named))
    values = values[:] if isinstance(values, Stored) else values
    groups = np.repeat(np.arange(x.shape[0]), x.shape[1]) if x.shape[0] >= FEW_CHAINS else None
    return Table(values.reshape(rows, *x.shape[2:]), labels, groups=groups)


def _frame(x: Node, named: Mapping[str, Node]) -> dict[str, Any] | None:
    """What its file says of an array: its name, axes but for the first, their coordinates, and attributes."""
    if not any(x.axes):
        return None
    coordinates = {}
    for axis in x.axes[1:]:
        places = named.get(x.beside(axis))
        bare = places is not None and _text(places.attributes.get("NAME")).startswith(BARE)
        if (
            places is not None
            and not bare
            and places.is_axis
            and len(places.shape) == 1
            and places.shape[0] <= MOST_PLACES
        ):
            coordinates[axis] = np.asarray(places.read()).tolist(), _told(places.attributes)
    told = {"name": x.name.rpartition("/")[2], "axes": list(x.axes[1:]), "sizes": list(x.shape[1:])}
    return told | {"coordinates": coordinates, "attributes": _told(x.attributes)}


def _axis(dimension: Any) -> str:
    """The name of the scale of an axis of an HDF5 array."""
    return str(dimension[0].name).rpartition("/")[2] if len(dimension) else str(dimension.label)


def _told(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that are texts or numbers, but those of packing and of the format itself."""
    found = {}
    for name, value in attributes.items():
        value = _text(value) if isinstance(value, bytes) else value
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, str | int | float) and name not in PACKING | OF_FORMAT:
            found[name] = value
    return found


def npz(path: Path) -> Iterator[Node]:
    archive = np.load(path, allow_pickle=False)
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    for entry in archive.zip.infolist():
        if not entry.filename.endswith(".npy"):
            continue
        refuse_bomb(path, entry.filename, entry.compress_size, entry.file_size)
        name = entry.filename.removesuffix(".npy")
        with archive.zip.open(entry) as file:
            shape = heads[np.lib.format.read_magic(file)](file)[0]
        yield Node(name, shape, (), False, partial(archive.__getitem__, name))


def hdf5(file: Any, path: Path) -> list[Node]:
    """Of an open HDF5 file, NetCDF 4 too: its axes are those that have scales."""
    import h5py

    found: list[Node] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            axes = tuple(_axis(each) for each in node.dims) if node.shape else ()
            is_axis = bool(node.is_scale) or axes == (name.rpartition("/")[2],)
            attributes = dict(node.attrs)
            read = partial(_stored, node, attributes, path)
            found.append(Node(name, tuple(node.shape or ()), axes, is_axis, read, attributes))

    file.visititems(visit)
    return found


def zarr(store: Any, path: Path) -> list[Node]:
    """Of an open Zarr store, of version 2 or 3, or an array alone."""
    import zarr

    members = [("x", store)] if isinstance(store, zarr.Array) else sorted(store.members(max_depth=None))
    found = []
    for name, node in members:
        if isinstance(node, zarr.Array):
            axes = getattr(node.metadata, "dimension_names", None) or node.attrs.get("_ARRAY_DIMENSIONS") or ()
            axes = tuple(str(axis or "") for axis in axes)
            is_axis = axes == (name.rpartition("/")[2],)
            read = partial(_stored, node, dict(node.attrs), path)
            found.append(Node(name, tuple(node.shape), axes, is_axis, read, dict(node.attrs)))
    return found


def in_memory(source: Any) -> list[Node]:
    """Of an xarray Dataset, or a DataArray, which is "x" if it has no name; moments are told as in a file."""
    from xarray import conventions

    dataset = source if hasattr(source, "data_vars") else source.to_dataset(name=source.name or SAMPLES)
    found = []
    for name, node in dataset.variables.items():
        if node.dtype.kind in "mM":
            node = conventions.encode_cf_variable(node.to_base_variable(), name=name)
        axes = tuple(map(str, node.dims))
        read = partial(np.asarray, node.values)
        found.append(Node(str(name), tuple(node.shape), axes, axes == (str(name),), read, dict(node.attrs)))
    return found


def netcdf3(path: Path) -> list[Node]:
    """Of the classic format."""
    from scipy.io import netcdf_file

    file = netcdf_file(path, mmap=False)

    def read(node: Any) -> Array:
        values = np.array(node.data)
        return _unpacked(values.astype(values.dtype.newbyteorder("=")), node._attributes)

    return [
        Node(
            name,
            tuple(node.shape),
            axes := tuple(node.dimensions),
            axes == (name,),
            partial(read, node),
            node._attributes,
        )
        for name, node in file.variables.items()
    ]


def refuse_bomb(path: Path, name: str, stored: int, expanded: int) -> None:
    """Raise BadInput for what is packed so tightly that hardly anything can be in it."""
    if expanded > LARGE and expanded > BOMB * max(1, stored):
        raise BadInput(
            f"{path}: {name} would expand from {stored:,} to {expanded:,} bytes, {expanded // max(1, stored):,} times: "
            "write it again uncompressed if it is what you want"
        )


def _stored(dataset: Any, attributes: dict[str, Any], path: Path) -> Any:
    """A stored array read in blocks of rows, or left where it is if it is large, texts as such, packed numbers
    unpacked."""
    if dataset.ndim == 0 or dataset.dtype.kind not in "biuf":
        return _texts(np.asarray(dataset[()]))
    stored = getattr(getattr(dataset, "id", None), "get_storage_size", None)
    size = int(np.prod(dataset.shape)) * dataset.dtype.itemsize
    refuse_bomb(path, dataset.name, stored() if stored else dataset.nbytes_stored(), size)
    if size > IN_MEMORY and dataset.ndim > 1:
        return Stored(dataset, partial(_unpacked, attributes=attributes, always=True))
    values: Array = np.empty(dataset.shape, dataset.dtype)
    rows = max(1, CHUNK_BYTES // max(1, values[:1].nbytes))
    with bar(f"reading {path.name}", len(values)) as advance:
        for start in range(0, len(values), rows):
            values[start : start + rows] = dataset[start : start + rows]
            advance(rows)
    return _unpacked(values, attributes)


def _unpacked(values: Array, attributes: dict[str, Any], always: bool = False) -> Array:
    """Numbers that are packed as NetCDF's conventions have it: filled cells are NaN, scale and offset applied. always:
    that cells may be filled is enough to have real numbers, as of one block of many."""
    wide: NDArray[Any] = values
    filled = any(name in attributes for name in ("_FillValue", "missing_value"))
    if always and filled and values.dtype.kind != "f":
        wide = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    for name in ("_FillValue", "missing_value"):
        fill = np.asarray(attributes.get(name, np.nan))
        if fill.dtype.kind in "biuf" and fill.size == 1 and not np.isnan(float(fill.ravel()[0])):
            gone = values == fill.ravel()[0]
            wide = np.where(gone, np.nan, wide) if gone.any() else wide
    scale, offset = attributes.get("scale_factor"), attributes.get("add_offset")
    if scale is not None or offset is not None:
        factor, shift = (float(np.ravel(v)[0]) if v is not None else d for v, d in ((scale, 1.0), (offset, 0.0)))
        wide = wide * factor + shift
    return wide


def _texts(y: Any) -> Array:
    """Labels that are stored as bytes, objects or strings of any length, as text; numbers as they are."""
    if y.dtype.kind in "SOT" and y.ndim:
        y = np.array([v.decode() if isinstance(v, bytes) else str(v) for v in y.ravel()]).reshape(y.shape)
    found: Array = y
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
