"""Neurodata Without Borders (NWB) files: units, voltages, calcium traces, trials."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd

from activome._extras import require
from activome.activity.events import Events
from activome.activity.readers._source import (
    check_file,
    check_rate,
    choose_entry,
    fits_memory,
    reading,
    source_of,
    unique_names,
)
from activome.activity.schema import KINDS, Activity, make
from activome.activity.trials import cut_trials
from activome.errors import ParameterError, ReadError

__all__ = ["read_nwb", "read_trials"]

Array = np.ndarray[Any, Any]
_OWN = {"trial", "time", "unit", "valid"}
_NAMES = ("channel_name", "unit_name", "label", "name")


@contextmanager
def _open(path: Path, owner: str, *, keep: bool = False) -> Iterator[tuple[Any, Any]]:
    pynwb = require("pynwb", extra="spikes", owner=owner)
    io = pynwb.NWBHDF5IO(str(path), mode="r", load_namespaces=True)
    done = False
    try:
        yield io.read(), io
        done = True
    finally:
        if not (keep and done):
            io.close()


def read_nwb(
    path: str | os.PathLike[str],
    *,
    what: str | None = None,
    align: str | None = None,
    before: float = 0.5,
    after: float = 1.0,
    sort: bool = False,
    lazy: bool = False,
    memory_limit: float | None = None,
) -> Activity | Events:
    """Read spikes, voltages, calcium traces or other series from an NWB file (HDF5).

    Parameters
    ----------
    path : path-like
        The file; its name may end otherwise.
    what : str, optional
        "units", or the name of a series. By default the units, or else the only electrical series,
        the only ROI response, or the only series, in this order.
    align : str, optional
        A column of times of the trials table, such as "start_time": the recording is cut into
        trials around it, which carry all columns of the table (of an Activity).
    before, after : float, default=0.5, 1.0
        Window around ``align`` in s.
    sort : bool, default=False
        Sort spike times within a unit; otherwise times out of order are refused.
    lazy : bool, default=False
        Leave the values of a series in the file, as a dask array. The file stays open.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    Events or xarray.DataArray
        Units as Events with the columns of the units table; series as an Activity (time, unit) in
        the unit the file states, conversion and offset applied, with the columns of the electrodes
        or ROI table on unit.

    Raises
    ------
    ReadError
        If the file is missing, damaged, or holds several things and none is named.
    ParameterError
        If ``what`` or ``align`` is not in the file.
    ResourceError
        If the values pass ``memory_limit``.
    MissingExtraError
        If pynwb is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from activome.activity.events import Events
    >>> from activome.activity.readers.nwb_writing import write_nwb
    >>> spikes = Events.from_unit_times([[0.1, 0.4], [0.2]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nwb(spikes, f"{folder}/a.nwb")
    ...     back = read_nwb(f"{folder}/a.nwb")
    >>> back.time.tolist(), back.unit.tolist()
    ([0.1, 0.2, 0.4], [0, 1, 0])
    """
    owner = "read_nwb"
    file = check_file(path, owner=owner)
    keep = lazy and what != "units"
    with reading(file, "NWB", owner=owner), _open(file, owner, keep=keep) as (nwb, io):
        series = _series(nwb)
        chosen = _choose(nwb, series, what, file, owner)
        data: Activity | Events
        if chosen == "units":
            data = _read_units(nwb.units, file, owner, sort, memory_limit)
        else:
            data = _read_series(series[chosen], io, file, owner, lazy, memory_limit)
        if align is None:
            return data
        table = _trial_table(nwb, file, owner)
        if align not in table.columns or table[align].dtype.kind not in "iuf":
            times = [str(c) for c in table.columns if table[c].dtype.kind == "f"]
            raise ParameterError(
                f"{owner}: align must be a column of times of the trials table: "
                f"{', '.join(times)}; "
                f"got {align!r}."
            )
        onsets = table[align].to_numpy()
        if isinstance(data, Events):
            return cut_trials(data, onsets, before, after)
        return cut_trials(data, onsets, before, after, labels=_plain_columns(table))


def read_trials(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the trials table of an NWB file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    pandas.DataFrame
        One row per trial; ``start_time`` and ``stop_time`` in s, and what else the file holds.

    Raises
    ------
    ReadError
        If the file is missing, damaged, or holds no trials.
    MissingExtraError
        If pynwb is not installed.

    Examples
    --------
    >>> import datetime, tempfile, pynwb
    >>> day = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    >>> session = pynwb.NWBFile("a session", "id", day)
    >>> session.add_trial_column("side", "of the stimulus")
    >>> session.add_trial(start_time=0.5, stop_time=1.0, side="left")
    >>> session.add_trial(start_time=2.0, stop_time=2.5, side="right")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with pynwb.NWBHDF5IO(f"{folder}/a.nwb", "w") as file:
    ...         file.write(session)
    ...     table = read_trials(f"{folder}/a.nwb")
    >>> table.start_time.tolist(), table.side.tolist()
    ([0.5, 2.0], ['left', 'right'])
    """
    owner = "read_trials"
    file = check_file(path, owner=owner)
    with reading(file, "NWB", owner=owner), _open(file, owner) as (nwb, _):
        return _trial_table(nwb, file, owner)


def _trial_table(nwb: Any, path: Path, owner: str) -> pd.DataFrame:
    if nwb.trials is None or len(nwb.trials) == 0:
        raise ReadError(f"{owner}: {str(path)!r} holds no trials table.")
    table: pd.DataFrame = nwb.trials.to_dataframe()
    return table


def _plain_columns(table: pd.DataFrame) -> dict[str, Array]:
    columns = {}
    for key in table.columns:
        values = table[key].to_numpy()
        if values.dtype.kind in "biufU":
            columns[str(key)] = values
        elif all(isinstance(item, (str, bytes)) for item in values):
            columns[str(key)] = _text(values)
    return {key: values for key, values in columns.items() if key not in _OWN}


def _text(values: Any) -> Array:
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)


def _series(nwb: Any) -> dict[str, Any]:
    pynwb = require("pynwb", extra="spikes", owner="read_nwb")
    found: dict[str, Any] = {}
    for item in nwb.objects.values():
        if not isinstance(item, pynwb.TimeSeries) or isinstance(item, pynwb.image.ImageSeries):
            continue
        shape = getattr(item.data, "shape", None) or np.shape(item.data)
        dtype = getattr(item.data, "dtype", None)
        if len(shape) not in (1, 2) or np.dtype(dtype or np.float64).kind not in "biuf":
            continue
        name = item.name
        if name in found:
            name = f"{getattr(item.parent, 'name', 'file')}/{item.name}"
        found[name] = item
    return found


def _choose(nwb: Any, series: Mapping[str, Any], what: str | None, path: Path, owner: str) -> str:
    entries = {
        name: f"{type(item).__name__} of shape {tuple(np.shape(item.data))}"
        for name, item in series.items()
    }
    default = None
    if nwb.units is not None and len(nwb.units):
        entries = {"units": f"spikes of {len(nwb.units)} units"} | entries
        default = "units"
    for group in ("ElectricalSeries", "RoiResponseSeries"):
        names = [name for name, item in series.items() if type(item).__name__ == group]
        if default is None and names:
            default = names[0] if len(names) == 1 else None
            break
    return choose_entry(what, entries, path, owner=owner, default=default)


def _read_units(units: Any, path: Path, owner: str, sort: bool, limit: float | None) -> Events:
    if "spike_times" not in units.colnames:
        raise ReadError(f"{owner}: {str(path)!r} has a units table without spike times.")
    index = units["spike_times"]
    stops = np.asarray(index.data[:], dtype=np.int64)
    n_spikes = int(index.target.data.shape[0]) if hasattr(index.target.data, "shape") else 0
    n_spikes = n_spikes or len(index.target.data)
    starts = np.concatenate([[0], stops[:-1]])
    if (stops < starts).any() or (stops.size and stops[-1] != n_spikes):
        raise ReadError(f"{owner}: {str(path)!r} has a damaged index of spike times.")
    fits_memory(40.0 * n_spikes, path, owner=owner, limit=limit, cure="Raise memory_limit.")
    flat = np.asarray(index.target.data[:], dtype=np.float64)
    times = [flat[a:b] for a, b in zip(starts, stops, strict=True)]
    wrong = [i for i, t in enumerate(times) if (np.diff(t) < 0).any()]
    if wrong and not sort:
        raise ReadError(
            f"{owner}: {str(path)!r} must have sorted spike times; those of {len(wrong)} units are "
            f"not, the first in row {wrong[0]}. Sort them, or read it with sort=True."
        )
    table = pd.DataFrame(_table_columns(units), index=pd.Index(np.asarray(units.id[:]), name="id"))
    start = stop = None
    if "obs_intervals" in units.colnames and n_spikes:
        seen = np.asarray(units["obs_intervals"].target.data[:], dtype=np.float64)
        if seen.size:
            start, stop = float(seen.min()), float(seen.max())
            inside = flat.min() >= start and flat.max() < stop
            start, stop = (start, stop) if inside else (None, None)
    return Events.from_unit_times(
        times, unit_table=table, start=start, stop=stop, source=source_of(path, "NWB")
    )


def _table_columns(table: Any, rows: Array | None = None) -> dict[str, Array]:
    """The columns of numbers or text of a table, of all or some rows."""
    columns: dict[str, Array] = {}
    indexed = {column.target.name for column in table.columns if hasattr(column, "target")}
    for column in table.columns:
        if column.name in indexed or hasattr(column, "target") or hasattr(column, "table"):
            continue
        data = column.data
        if len(np.shape(data)) != 1 or column.name in _OWN:
            continue
        values = np.asarray(data[:])
        if values.dtype.kind in "OSU":
            if not all(isinstance(item, (str, bytes)) for item in values):
                continue
            values = _text(values)
        if values.dtype.kind in "biufU":
            columns[column.name] = values if rows is None else values[rows]
    return columns


class _LazySeries:
    """What dask needs of an array, over a data set that its open file keeps readable."""

    def __init__(self, data: Any, io: Any) -> None:
        self.data, self.io = data, io
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, len(data.shape)

    def __getitem__(self, key: Any) -> Array:
        return np.asarray(self.data[key])


def _read_series(
    series: Any, io: Any, path: Path, owner: str, lazy: bool, limit: float | None
) -> Activity:
    data = series.data
    shape = tuple(np.shape(data))
    n_times, n_units = shape[0], shape[1] if len(shape) == 2 else 1
    unit, coords = _series_labels(series, n_units, path, owner)
    values: Any
    if lazy and hasattr(data, "dtype"):
        values = dask.array.from_array(_LazySeries(data, io), chunks="auto", name=False, lock=True)
    else:
        fits_memory(16.0 * n_times * n_units, path, owner=owner, limit=limit)
        values = np.asarray(data[:])
    factor: Any = np.float64(1.0 if series.conversion is None else series.conversion)
    per_channel = getattr(series, "channel_conversion", None)
    if per_channel is not None:
        factor = factor * np.asarray(per_channel[:], dtype=np.float64)
    offset = float(getattr(series, "offset", 0.0) or 0.0)
    if np.any(factor != 1) or offset:
        values = values * factor + offset
    values = values.reshape(n_times, n_units)
    kind, units = _kind_of(series)
    where: dict[str, Any] = {}
    if series.timestamps is not None:
        where["time"] = np.asarray(series.timestamps[:], dtype=np.float64)
    else:
        where["sampling_rate"] = check_rate(series.rate, path, owner=owner)
        where["start"] = float(series.starting_time or 0.0)
    return make(
        values, ("time", "unit"), unit=unit, coords=coords, kind=kind, units=units,
        source=source_of(path, "NWB"), name=series.name, **where,
    )  # fmt: skip


def _kind_of(series: Any) -> tuple[str, str]:
    kind = {"ElectricalSeries": "voltage", "RoiResponseSeries": "calcium"}.get(
        type(series).__name__, "feature"
    )
    units = {"volts": "V", "volt": "V", "": "1", "n.a.": "1", "a.u.": "1"}.get(
        str(series.unit).lower(), str(series.unit)
    )
    try:
        own = json.loads(series.comments)["activome"]
    except (ValueError, TypeError, KeyError):
        return kind, units
    return (own["kind"] if own.get("kind") in KINDS else kind), units


def _series_labels(
    series: Any, n_units: int, path: Path, owner: str
) -> tuple[Array | None, dict[str, tuple[str, Array]]]:
    region = getattr(series, "electrodes", None) or getattr(series, "rois", None)
    table = None if region is None else region.table
    rows = None if region is None else np.asarray(region.data[:], dtype=np.int64)
    if region is None:
        # Written by activome: a table of labels beside the series.
        siblings = getattr(series.parent, "data_interfaces", {})
        table = siblings.get(f"{series.name}_units")
    if table is None or (rows is None and len(table) != n_units):
        return None, {}
    if rows is not None and rows.size != n_units:
        raise ReadError(
            f"{owner}: {str(path)!r}: series {series.name!r} has {n_units} columns and "
            f"{rows.size} rows of its table."
        )
    columns = _table_columns(table, rows)
    if "pixel_mask" in getattr(table, "colnames", ()) and "x" not in columns and rows is not None:
        columns |= _centroids(table, rows)
    name = next((key for key in _NAMES if key in columns), None)
    ids = np.asarray(table.id[:])
    unit = columns.pop(name) if name is not None else ids if rows is None else ids[rows]
    if np.unique(unit).size != unit.size:
        unit = unique_names(unit, path, owner=owner)
    return unit, {key: ("unit", values) for key, values in columns.items()}


def _centroids(table: Any, rows: Array) -> dict[str, Array]:
    """Weighted centres of the pixel masks, in pixels."""
    centres = np.full((rows.size, 2), np.nan)
    for i, row in enumerate(rows):
        mask = table["pixel_mask"][int(row)]
        points = np.array([[float(m[0]), float(m[1]), float(m[2])] for m in mask])
        if points.size and points[:, 2].sum() > 0:
            centres[i] = np.average(points[:, :2], axis=0, weights=points[:, 2])
    return {"x": centres[:, 0], "y": centres[:, 1]}
