"""The labels of an Activity or Events as JSON and plain arrays, for formats that hold arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from activome.activity.events import Events
from activome.activity.schema import DIMS, KINDS, Activity, make
from activome.errors import ActivityError

__all__ = ["EVENT_COLUMNS", "activity_parts", "build_activity", "build_events", "event_parts"]

Array = np.ndarray[Any, Any]
EVENT_COLUMNS = ("t", "unit", "trial", "value", "x", "y", "p", "feature")
_VERSION = 1


def plain(values: Any, *, owner: str, where: str) -> Array:
    """Return labels as an array that needs no pickle: numbers, booleans or text."""
    array = np.asarray(values)
    if array.dtype.kind in "biufU":
        return array
    if array.dtype.kind in "OT":
        flat = array.reshape(-1).tolist()
        if all(isinstance(item, str) for item in flat):
            return array.astype(str)
        if all(isinstance(item, (bool, int, float, np.number)) or item is None for item in flat):
            numbers = [np.nan if item is None else item for item in flat]
            return np.asarray(numbers, dtype=np.float64).reshape(array.shape)
    raise ActivityError(
        f"{owner}: labels must be numbers or text; {where} is of dtype {array.dtype}. Convert it, "
        "or drop it."
    )


def _attr(value: Any, *, owner: str, key: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ActivityError(
            f"{owner}: attrs must be numbers, text, lists or dicts of these; attrs[{key!r}] is "
            f"{value!r}. Drop it."
        ) from error
    return value


def activity_parts(activity: Activity, *, owner: str) -> tuple[str, dict[str, Array]]:
    """Return the header (JSON) and the arrays of the coordinates of an Activity."""
    arrays: dict[str, Array] = {}
    dims: dict[str, list[str]] = {}
    for key, coord in activity.coords.items():
        name = str(key)
        dims[name] = [str(dim) for dim in coord.dims]
        arrays[name] = plain(coord.values, owner=owner, where=f"coordinate {name!r}")
    header = {
        "activome": _VERSION,
        "type": "activity",
        "dims": [str(dim) for dim in activity.dims],
        "coords": dims,
        "attrs": {str(k): _attr(v, owner=owner, key=str(k)) for k, v in activity.attrs.items()},
        "name": None if activity.name is None else str(activity.name),
    }
    return json.dumps(header), arrays


def build_activity(header: Mapping[str, Any], values: Any, arrays: Mapping[str, Array]) -> Activity:
    """Return the Activity of a header and arrays; the schema checks dims, times and names."""
    dims = tuple(header["dims"])
    sizes = dict(zip(dims, values.shape, strict=True))
    if not set(dims) <= set(DIMS) or values.dtype.kind not in "biuf":
        raise ActivityError(f"dims are {dims} and values of dtype {values.dtype}.")
    attrs = dict(header["attrs"])
    coords = {name: (tuple(on), arrays[name]) for name, on in header["coords"].items()}
    for name, (on, array) in coords.items():
        if array.shape != tuple(sizes[dim] for dim in on):
            raise ActivityError(f"coordinate {name!r} has shape {array.shape} on dims {on}.")
    rate = attrs.get("sampling_rate")
    if "time" in coords:
        # Checked against the stamps, and then stored as it stands.
        make(np.zeros(len(coords["time"][1])), time=coords["time"][1], sampling_rate=rate)
    for dim in ("unit", "trial"):
        if dim in coords and np.unique(coords[dim][1]).size != sizes[dim]:
            raise ActivityError(f"names of {dim}s are repeated.")
    if attrs.get("kind") not in KINDS:
        raise ActivityError(f"kind must be one of {', '.join(KINDS)}; it is {attrs.get('kind')!r}.")
    return xr.DataArray(values, dims=dims, coords=coords, attrs=attrs, name=header["name"])


def event_parts(events: Events, *, owner: str) -> tuple[str, dict[str, Array]]:
    """Return the header (JSON) and the arrays of the columns and the unit table of Events."""
    arrays = {
        name: getattr(events, name) for name in EVENT_COLUMNS if getattr(events, name) is not None
    }
    table = events.unit_table
    arrays["unit_table/index"] = plain(
        table.index.to_numpy(), owner=owner, where="unit_table index"
    )
    for key in table.columns:
        where = f"unit_table column {key!r}"
        arrays[f"unit_table/{key}"] = plain(table[key].to_numpy(), owner=owner, where=where)
    header = {
        "activome": _VERSION,
        "type": "events",
        "columns": [str(key) for key in table.columns],
        "index_name": None if table.index.name is None else str(table.index.name),
        "tick": events.tick,
        "n_units": events.n_units,
        "n_trials": events.n_trials,
        "shape": None if events.shape is None else [int(size) for size in events.shape],
        "t_start": int(events.t_start),
        "t_stop": int(events.t_stop),
        "source": events.source,
    }
    return json.dumps(header), arrays


def build_events(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Events:
    """Return the Events of a header and arrays; columns out of order are refused."""
    index = pd.Index(arrays["unit_table/index"], name=header["index_name"])
    table = pd.DataFrame(
        {key: arrays[f"unit_table/{key}"] for key in header["columns"]}, index=index
    )
    columns = {name: arrays[name] for name in EVENT_COLUMNS if name in arrays}
    return Events(
        **columns,
        tick=header["tick"],
        n_units=header["n_units"],
        n_trials=header["n_trials"],
        shape=None if header["shape"] is None else tuple(header["shape"]),
        t_start=header["t_start"],
        t_stop=header["t_stop"],
        unit_table=table,
        source=header["source"],
        assume_sorted=True,
    )
