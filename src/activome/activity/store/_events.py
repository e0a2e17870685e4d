"""Events as Zarr arrays: one per column, and the unit table beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from activome.activity._json_values import decode, encode
from activome.activity.events import Events
from activome.activity.store._labels import read_labels, write_labels
from activome.activity.store._manifest import write_manifest
from activome.errors import StoreError

__all__ = ["read_events", "write_events"]

Array = np.ndarray[Any, Any]
_COLUMNS = ("t", "unit", "trial", "value", "x", "y", "p", "feature")
_TEXT = ("str", "string", "object")


def write_events(
    folder: Path, events: Events, *, chunk_bytes: int, compress: str, owner: str
) -> None:
    """Write events whole."""
    labels: dict[str, Any] = {}

    def put(name: str, values: Array, dim: str, **attributes: Any) -> None:
        labels[name] = write_labels(
            folder,
            name,
            values,
            dims=(dim,),
            attributes=attributes,
            chunk_bytes=chunk_bytes,
            compress=compress,
            owner=owner,
        )

    present = [name for name in _COLUMNS if getattr(events, name) is not None]
    for name in present:
        put(
            name, getattr(events, name), "event", **({"tick_s": events.tick} if name == "t" else {})
        )
    table = events.unit_table
    columns = []
    for i, (label, column) in enumerate(table.items()):
        array = f"unit.column{i}"
        values, record = _pack_series(column, owner, repr(label))
        put(array, values, "unit_row", long_name=str(label))
        columns.append({"array": array, "label": encode(label), **record})
    index: dict[str, Any]
    if isinstance(table.index, pd.RangeIndex):
        index = {"range": [table.index.start, table.index.stop, table.index.step]}
    else:
        values, index = _pack_series(table.index.to_series(), owner, "the index")
        put("unit.index", values, "unit_row")
    content = {
        "columns": present,
        "labels": labels,
        "events": {
            "tick": events.tick,
            "n_units": events.n_units,
            "n_trials": events.n_trials,
            "shape": encode(events.shape),
            "t_start": events.t_start,
            "t_stop": events.t_stop,
            "source": events.source,
        },
        "unit_table": {
            "columns": columns,
            "columns_dtype": str(table.columns.dtype),
            "columns_name": encode(table.columns.name),
            "index": index,
            "index_name": encode(table.index.name),
        },
    }
    write_manifest(folder, "events", content, list(labels))


def _pack_series(column: pd.Series[Any], owner: str, what: str) -> tuple[Array, dict[str, Any]]:
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy(), {"dtype": None}
    if str(column.dtype) not in _TEXT:
        raise StoreError(
            f"{owner}: column {what} of the unit table must hold text, numbers or booleans; it has "
            f"the pandas type {column.dtype}. Convert it with .astype first."
        )
    values = np.array(column, dtype=object)
    values[column.isna().to_numpy()] = None
    return values, {"dtype": str(column.dtype)}


def read_events(folder: Path, manifest: dict[str, Any]) -> Events:
    """Read the events of a complete store."""
    content = manifest["content"]

    def get(name: str) -> Array:
        record = manifest["arrays"][name]
        shape, dims = tuple(record["shape"]), tuple(record["dims"])
        return read_labels(folder, name, shape, dims, content["labels"][name])

    described = content["events"]
    has_trials = "trial" in content["columns"]
    return Events(
        **{name: get(name) for name in content["columns"]},
        tick=described["tick"],
        n_units=described["n_units"],
        n_trials=described["n_trials"] if has_trials else None,
        shape=decode(described["shape"]),
        t_start=described["t_start"],
        t_stop=described["t_stop"],
        unit_table=_read_table(content["unit_table"], get),
        source=described["source"],
        assume_sorted=True,
    )


def _read_table(record: dict[str, Any], get: Any) -> pd.DataFrame:
    described = record["index"]
    if "range" in described:
        index: Any = pd.RangeIndex(*described["range"])
    else:
        values = get("unit.index")
        index = pd.Index(values, dtype=described["dtype"] or values.dtype)
    index.name = decode(record["index_name"])
    series = []
    for item in record["columns"]:
        values = get(item["array"])
        # The type is always said: pandas would turn objects that are text into its own type.
        series.append(pd.Series(values, index=index, dtype=item["dtype"] or values.dtype))
    # Built by position: labels of columns may repeat.
    table = pd.concat(series, axis=1) if series else pd.DataFrame(index=index)
    labels = [decode(item["label"]) for item in record["columns"]]
    table.columns = pd.Index(labels, dtype=record["columns_dtype"])
    table.columns.name = decode(record["columns_name"])
    return table
