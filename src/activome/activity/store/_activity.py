"""An Activity as Zarr arrays: the values in chunks, every coordinate beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from activome._files import write_text
from activome.activity._json_values import decode
from activome.activity.schema import Activity
from activome.activity.store._chunks import (
    ChunkReader,
    chunk_shape,
    create_array,
    is_compressible,
    open_array,
)
from activome.activity.store._labels import (
    check_coordinate,
    check_name,
    exact_attrs,
    plain_attrs,
    read_labels,
    write_labels,
)
from activome.activity.store._manifest import write_manifest
from activome.errors import StoreError

__all__ = [
    "ActivityFiles",
    "assemble",
    "describe",
    "join_coords",
    "read_activity",
    "read_coords",
    "read_values",
    "write_activity",
]

Array = np.ndarray[Any, Any]
# Written at once: enough chunks to keep the codecs of all threads busy.
_GROUP_BYTES = 64 * 1024**2
_FIRST_CAPACITY = 16


def describe(activity: Activity, *, owner: str) -> dict[str, Any]:
    """Return what an activity is, apart from its numbers, as JSON data."""
    if activity.dtype.kind not in "biuf":
        raise StoreError(
            f"{owner}: values must be real numbers or booleans; got {activity.dtype}. Convert them."
        )
    try:
        name = exact_attrs({"name": activity.name}, owner=owner, what="the array")
    except StoreError as error:
        raise StoreError(f"{owner}: the name of the array must be text or None.") from error
    coords = []
    for key, coordinate in activity.coords.items():
        label = check_name(key, owner=owner)
        check_coordinate(label, activity, owner=owner)
        coords.append(
            {
                "name": label,
                "dims": [str(dim) for dim in coordinate.dims],
                "attrs": exact_attrs(coordinate.attrs, owner=owner, what=repr(label)),
                "is_index": label in activity.xindexes,
            }
        )
    taken = {record["name"] for record in coords}
    values = "values"
    while values in taken:
        values += "_"
    return {
        "values": values,
        "dims": [str(dim) for dim in activity.dims],
        "dtype": activity.dtype.str,
        "name": name,
        "attrs": exact_attrs(activity.attrs, owner=owner, what="the array"),
        "coords": coords,
    }


def assemble(values: Any, record: dict[str, Any], coords: dict[str, Array]) -> Activity:
    """Put values and coordinates together to the activity that was described."""
    variables = {
        item["name"]: xr.Variable(item["dims"], coords[item["name"]], decode(item["attrs"]))
        for item in record["coords"]
    }
    loose = [item["name"] for item in record["coords"] if not item["is_index"]]
    result = xr.DataArray(
        values,
        dims=record["dims"],
        coords=variables,
        attrs=decode(record["attrs"]),
    )
    # Set afterwards: without a name, xarray would take that of the dask array.
    result.name = decode(record["name"])["name"]
    return result.drop_indexes([name for name in loose if name in result.xindexes])


class ActivityFiles:
    """The files of one activity, written in slabs: whole rows of chunks along one dim.

    Attributes
    ----------
    chunks : tuple of int
        Shape of the chunks.
    slab : int
        Length of a slab along the dim.
    """

    def __init__(
        self,
        folder: Path,
        record: dict[str, Any],
        shape: tuple[int, ...],
        *,
        axis: int,
        chunk_bytes: int,
        compress: str,
        is_open_ended: bool = False,
    ) -> None:
        self.folder, self.record, self.axis = folder, record, axis
        self.dtype = np.dtype(record["dtype"])
        self._chunk_bytes, self._compress = chunk_bytes, compress
        self._is_open_ended = is_open_ended
        planned = list(shape)
        if is_open_ended:
            planned[axis] = np.iinfo(np.int32).max
        self.chunks = chunk_shape(planned, self.dtype.itemsize, chunk_bytes, first=axis)
        self.shape = shape
        self.slab = self.chunks[axis] if shape else 1
        beside = math.prod(n for i, n in enumerate(shape) if i != axis)
        self.row_bytes = max(1, beside * self.dtype.itemsize)
        self._array: Any = None
        self._capacity = 0

    @property
    def group(self) -> int:
        """Rows that are written at once: whole slabs."""
        n_slabs: int = max(1, _GROUP_BYTES // (self.row_bytes * self.slab))
        return n_slabs * self.slab

    def adopt(self, chunks: Sequence[int]) -> None:
        """Take the chunks of a store that is there."""
        self.chunks = tuple(chunks)
        self.slab = self.chunks[self.axis]

    def reopen(self) -> None:
        """Go on with the array that is there, if it is."""
        if (self.folder / self.record["values"] / "zarr.json").is_file():
            self._array = open_array(self.folder, self.record["values"], mode="r+")
            self._capacity = self._array.shape[self.axis]

    def write(self, start: int, values: Array) -> None:
        """Write rows from ``start``, the beginning of a slab; only the last may be cut short."""
        if not self.shape:
            self._ready(0, values)
            self._array[...] = values
            return
        stop = start + values.shape[self.axis]
        self._ready(stop, values)
        if values.size:
            box = [slice(None)] * len(self.shape)
            box[self.axis] = slice(start, stop)
            self._array[tuple(box)] = values

    def _ready(self, n_rows: int, values: Array) -> None:
        if self._array is None:
            squeeze = self._compress == "zstd" or (
                self._compress == "auto" and is_compressible(self._first_slab(values))
            )
            shape = list(self.shape)
            if self._is_open_ended:
                shape[self.axis] = self._grown(n_rows)
            labels = [item["name"] for item in self.record["coords"] if " " not in item["name"]]
            attributes = plain_attrs(decode(self.record["attrs"]))
            own = [name for name in labels if name not in self.record["dims"]]
            self._array = create_array(
                self.folder,
                self.record["values"],
                shape=shape,
                chunks=self.chunks,
                dtype=self.dtype.newbyteorder("="),
                is_compressed=squeeze,
                dims=self.record["dims"],
                attributes=attributes | ({"coordinates": " ".join(own)} if own else {}),
            )
            self._capacity = shape[self.axis] if shape else 0
        elif n_rows > self._capacity:
            self._resize(self._grown(n_rows) if self._is_open_ended else self.shape[self.axis])

    def _first_slab(self, values: Array) -> Array:
        # Decided on the first slab alone, so that it does not hang on how many come at once.
        box = [slice(None)] * values.ndim
        if box:
            box[self.axis] = slice(0, self.slab)
        return np.asarray(values[tuple(box)])

    def _grown(self, n_rows: int) -> int:
        # Doubling keeps the cost of rewriting the metadata small; the slabs not yet written do not
        # exist, and finish() cuts the length to what is there.
        capacity = max(self._capacity, _FIRST_CAPACITY * self.slab)
        while capacity < n_rows:
            capacity *= 2
        return capacity

    def _resize(self, n_rows: int) -> None:
        file = self.folder / self.record["values"] / "zarr.json"
        document = json.loads(file.read_text(encoding="utf-8"))
        document["shape"][self.axis] = n_rows
        write_text(file, json.dumps(document, indent=2))
        self._array = open_array(self.folder, self.record["values"], mode="r+")
        self._capacity = n_rows

    def finish(self, n_rows: int, coords: dict[str, Array], *, owner: str) -> None:
        """Write the coordinates and, last, the mark that the store is complete."""
        if self._array is None:
            shape = list(self.shape)
            if shape:
                shape[self.axis] = n_rows
            self.write(0, np.empty(shape, dtype=self.dtype))
        if self.shape and self._capacity != n_rows:
            self._resize(n_rows)
        labels = {}
        for item in self.record["coords"]:
            labels[item["name"]] = write_labels(
                self.folder,
                item["name"],
                coords[item["name"]],
                dims=tuple(item["dims"]),
                attributes=plain_attrs(decode(item["attrs"])),
                chunk_bytes=self._chunk_bytes,
                compress=self._compress,
                owner=owner,
            )
        content = {
            "activity": self.record,
            "labels": labels,
            "chunk_bytes": self._chunk_bytes,
            "compress": self._compress,
        }
        write_manifest(self.folder, "activity", content, [self.record["values"], *labels])


def write_activity(
    folder: Path, activity: Activity, *, chunk_bytes: int, compress: str, owner: str
) -> Iterator[tuple[int, int]]:
    """Write an activity whole, group by group; yield the rows done and the rows in all."""
    files = ActivityFiles(
        folder,
        describe(activity, owner=owner),
        activity.shape,
        axis=0,
        chunk_bytes=chunk_bytes,
        compress=compress,
    )
    n_rows = activity.shape[0] if activity.ndim else 1
    if not activity.ndim:
        files.write(0, np.asarray(activity.values))
    for start in range(0, n_rows if activity.ndim else 0, files.group):
        values = activity.data[start : start + files.group]
        files.write(start, np.asarray(values))
        yield min(start + files.group, n_rows), n_rows
    coords = {str(key): np.asarray(item.values) for key, item in activity.coords.items()}
    files.finish(n_rows, coords, owner=owner)


def join_coords(
    record: dict[str, Any], dim: str, pieces: Sequence[dict[str, Array]]
) -> dict[str, Array]:
    """Join the coordinates along a dim, piece by piece."""
    return {
        item["name"]: np.concatenate(
            [piece[item["name"]] for piece in pieces], axis=item["dims"].index(dim)
        )
        for item in record["coords"]
        if dim in item["dims"]
    }


def read_coords(folder: Path, manifest: dict[str, Any]) -> dict[str, Array]:
    """Read all coordinates of a complete store."""
    return {
        name: read_labels(
            folder,
            name,
            tuple(manifest["arrays"][name]["shape"]),
            tuple(manifest["arrays"][name]["dims"]),
            how,
        )
        for name, how in manifest["content"]["labels"].items()
    }


def read_activity(folder: Path, manifest: dict[str, Any], *, lazy: bool) -> Activity:
    """Read the activity of a complete store; lazily, its values are a dask array."""
    record = manifest["content"]["activity"]
    shape = tuple(manifest["arrays"][record["values"]]["shape"])
    values = read_values(folder, record, shape, lazy=lazy)
    return assemble(values, record, read_coords(folder, manifest))


def read_values(folder: Path, record: dict[str, Any], shape: tuple[int, ...], *, lazy: bool) -> Any:
    """Read the values, up to ``shape``, or wrap them in a dask array with the store's chunks."""
    dims, dtype = record["dims"], record["dtype"]
    reader = ChunkReader(folder.absolute(), record["values"], shape, dims, dtype)
    if not lazy:
        return reader.read()
    state = (str(folder.absolute()), shape, folder.stat().st_mtime_ns)
    return dask.array.from_array(
        reader,
        chunks=reader.chunks if 0 not in shape else shape,
        name=f"activome-{dask.base.tokenize(state)}",
        asarray=False,
        lock=False,
        inline_array=True,
        meta=np.empty((0,) * len(shape), dtype=reader.dtype),
    )
