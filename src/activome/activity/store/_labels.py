"""Labels as Zarr arrays: text, mixed objects and dates in types that every reader of Zarr knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from activome.activity._json_values import decode, encode
from activome.activity.store._chunks import (
    ChunkReader,
    chunk_shape,
    create_array,
    is_compressible,
)
from activome.errors import StoreError

__all__ = [
    "check_coordinate",
    "check_name",
    "exact_attrs",
    "pack",
    "plain_attrs",
    "read_labels",
    "unpack",
    "write_labels",
]

Array = np.ndarray[Any, Any]
_RESERVED = ("", ".", "..", "zarr.json", "c")


def check_name(name: Any, *, owner: str) -> str:
    """Refuse a name that cannot stand as a folder: not text, or one that leads elsewhere."""
    bad = (
        not isinstance(name, str)
        or name in _RESERVED
        or ".." in name
        or name.startswith("__")
        or len(name.encode("utf-8", "replace")) > 200
        or any(mark in name for mark in "/\\\0")
    )
    if bad:
        raise StoreError(
            f"{owner}: a coordinate or column is stored under its name, which must be text without "
            f"'..', slashes or a leading '__'; got {name!r}. Rename it first."
        )
    return str(name)


def pack(values: Array, *, owner: str, what: str) -> tuple[Array, dict[str, Any]]:
    """Return labels in a type that Zarr holds, and what is needed to turn them back."""
    kind = values.dtype.kind
    if kind in "biuf":
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        return native, {"as": "numbers", "dtype": values.dtype.str}
    if kind in "mM":
        # astype, not view: the order of bytes may be foreign.
        return values.astype(np.int64), {"as": "ticks", "dtype": values.dtype.str}
    if kind in "UT":
        name = values.dtype.str if kind == "U" else "string"
        packed, record = values.astype(object), {"as": "text", "dtype": name}
    elif kind == "O" and all(type(item) is str for item in values.reshape(-1)):
        packed, record = values, {"as": "text", "dtype": "object"}
    elif kind == "O":
        try:
            texts = [json.dumps(encode(item)) for item in values.reshape(-1)]
        except TypeError as error:
            raise StoreError(
                f"{owner}: {what} must hold text, numbers, booleans or None; it holds a {error}. "
                "Turn it into text first."
            ) from error
        packed = np.array(texts, dtype=object).reshape(values.shape)
        record = {"as": "json", "dtype": "object"}
    else:
        raise StoreError(
            f"{owner}: {what} has dtype {values.dtype}, which has no place in a store. Turn it "
            "into numbers or text first."
        )
    try:
        "".join(packed.reshape(-1)).encode("utf-8")
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{owner}: {what} holds text that is no valid Unicode: {error}. Mend it first."
        ) from error
    return packed, record


def unpack(values: Array, record: dict[str, Any]) -> Array:
    """Return what ``pack`` was given."""
    how = record["as"]
    if how in ("numbers", "ticks"):
        return values.astype(np.dtype(record["dtype"]), copy=False)
    if how == "json":
        items = np.empty(values.size, dtype=object)
        items[:] = [decode(json.loads(text)) for text in values.reshape(-1)]
        return items.reshape(values.shape)
    dtypes: dict[str, Any] = {"object": object, "string": np.dtypes.StringDType()}
    name = record["dtype"]
    return values.astype(dtypes.get(name) or np.dtype(name))


def write_labels(
    folder: Path,
    name: str,
    values: Array,
    *,
    dims: tuple[str, ...],
    attributes: dict[str, Any],
    chunk_bytes: int,
    owner: str,
    compress: str = "auto",
) -> dict[str, Any]:
    """Write one array of labels whole; return the record that reads it back."""
    packed, record = pack(values, owner=owner, what=repr(name))
    is_text = packed.dtype == object
    attributes = dict(attributes)
    if record["as"] == "ticks" and values.dtype.kind == "M":
        attributes |= _calendar(values.dtype)
    chunks = chunk_shape(packed.shape, max(1, values.dtype.itemsize), chunk_bytes)
    squeeze = compress == "zstd" or (compress == "auto" and is_compressible(packed))
    array = create_array(
        folder,
        name,
        shape=packed.shape,
        chunks=chunks,
        dtype=str if is_text else packed.dtype,
        is_compressed=squeeze,
        dims=dims,
        attributes=attributes,
    )
    if packed.size:
        array[...] = packed
    return record


def read_labels(
    folder: Path, name: str, shape: tuple[int, ...], dims: tuple[str, ...], record: dict[str, Any]
) -> Array:
    """Read one array of labels, of the type it had."""
    return unpack(ChunkReader(folder, name, shape, dims).read(), record)


def _calendar(dtype: np.dtype[Any]) -> dict[str, str]:
    names = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}
    unit = names.get(np.datetime_data(dtype)[0])
    if unit is None:
        return {}
    return {"units": f"{unit} since 1970-01-01", "calendar": "proleptic_gregorian"}


def plain_attrs(attrs: dict[Any, Any]) -> dict[str, Any]:
    """Return those attributes that JSON holds as they are, for readers other than ours."""
    plain = {}
    for key, value in attrs.items():
        if isinstance(value, np.generic):
            value = value.item()
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            continue
        if isinstance(key, str):
            plain[key] = value
    return plain


def exact_attrs(attrs: dict[Any, Any], *, owner: str, what: str) -> Any:
    """Return attributes as tagged JSON, from which they come back as they were."""
    try:
        return encode(dict(attrs))
    except TypeError as error:
        raise StoreError(
            f"{owner}: the attributes of {what} must be text, numbers, booleans, None, arrays, or "
            f"lists, tuples and dicts of these; there is a {error}. Turn it into text first."
        ) from error


def check_coordinate(name: str, activity: xr.DataArray, *, owner: str) -> None:
    """Refuse a coordinate that has no plain form: pandas extension types and multi-indexes."""
    if isinstance(getattr(activity.xindexes.get(name), "index", None), pd.MultiIndex):
        raise StoreError(
            f"{owner}: coordinate {name!r} is a multi-index. Use activity.reset_index first."
        )
    if not isinstance(activity.coords[name].dtype, np.dtype):
        raise StoreError(
            f"{owner}: coordinate {name!r} has the pandas type {activity.coords[name].dtype}. "
            "Turn it into plain numbers or text first, with .astype."
        )
