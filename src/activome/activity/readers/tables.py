"""CSV and Parquet tables: one column per unit, one row per value, or one row per spike."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_choice
from activome._extras import require
from activome.activity.events import Events
from activome.activity.readers._labels import build_activity, build_events
from activome.activity.readers._source import (
    check_file,
    check_rate,
    fits_memory,
    opening_bytes,
    reading,
    source_of,
)
from activome.activity.schema import Activity, make
from activome.errors import ReadError

__all__ = ["read_table"]

_TIME = ("time", "t", "times", "time_s", "seconds", "time (s)", "timestamp", "timestamps")
_MILLI = ("time_ms", "t_ms", "time (ms)", "milliseconds")
_UNIT = ("unit", "units", "neuron", "channel", "cell", "unit_id", "cluster")
_VALUE = ("value", "values", "amplitude", "signal")
_LAYOUTS = ("auto", "wide", "long", "events")


def read_table(
    path: str | os.PathLike[str],
    *,
    layout: str = "auto",
    sampling_rate: float | None = None,
    kind: str = "feature",
    units: str = "1",
    sort: bool = False,
    memory_limit: float | None = None,
) -> Activity | Events:
    """Read a CSV (any usual separator) or Parquet table.

    Three layouts are known by their column names: *wide*, a column ``time`` (s; or ``time_ms``)
    and one column per unit, with a column ``trial`` where there are trials; *long*, columns
    ``time``, ``unit``, ``value``; *events*, columns ``time`` and ``unit`` alone (and ``trial``).

    Parameters
    ----------
    path : path-like
        The file; its name may end otherwise.
    layout : {"auto", "wide", "long", "events"}, default="auto"
        How the table is laid out; by default told from its column names.
    sampling_rate : float, optional
        Rate in Hz of a wide table without a column of times.
    kind, units : str
        Kind and physical unit of the values, where the file does not state them.
    sort : bool, default=False
        Sort rows by time; otherwise rows out of order are refused.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray or Events
        Events of the events layout, otherwise an Activity. Values that a long table leaves out are
        NaN, with a warning.

    Raises
    ------
    ReadError
        If the file is missing, damaged, not numeric where numbers are due, out of order, or its
        layout cannot be told.
    ParameterError
        If ``layout`` is unknown.
    ResourceError
        If the table passes ``memory_limit``.
    MissingExtraError
        If pyarrow is not installed and the file is Parquet.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "spikes.csv"
    ...     _ = file.write_text("time,unit\\n0.10,a\\n0.12,b\\n0.30,a\\n")
    ...     spikes = read_table(file)
    >>> spikes.time.tolist(), spikes.unit_table.index.tolist()
    ([0.1, 0.12, 0.3], ['a', 'b'])
    """
    owner = "read_table"
    check_choice(layout, _LAYOUTS, name="layout", owner=owner)
    file = check_file(path, owner=owner)
    is_parquet = opening_bytes(file, 4, owner=owner) == b"PAR1"
    form = "Parquet" if is_parquet else "CSV"
    with reading(file, form, owner=owner):
        if is_parquet:
            frame, header = _read_parquet(file, owner, memory_limit)
            if header is not None:
                return _restore(frame, header)
        else:
            frame = _read_csv(file, owner, memory_limit)
        if frame.empty:
            raise ReadError(f"{owner}: {str(file)!r} holds no rows.")
        chosen = _layout(frame) if layout == "auto" else layout
        labels: dict[str, Any] = {"kind": kind, "units": units, "source": source_of(file, form)}
        if chosen == "events":
            return _events(frame, file, owner, sort, labels["source"])
        if chosen == "long":
            return _long(frame, file, owner, labels, memory_limit)
        return _wide(frame, file, owner, sampling_rate, sort, labels)


def _read_csv(path: Path, owner: str, limit: float | None) -> pd.DataFrame:
    # Text is parsed to float64; short numbers such as "0," take four times their text.
    fits_memory(
        6.0 * path.stat().st_size, path, owner=owner, limit=limit,
        cure="Raise memory_limit, or write it as .parquet or .zarr.",
    )  # fmt: skip
    head = opening_bytes(path, 1 << 16, owner=owner)
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = head.decode(encoding, errors="ignore")
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t|", key=first.count) if any(c in first for c in ",;\t|") else ","
    names = next(csv.reader([first], delimiter=separator), [])
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ReadError(
            f"{owner}: {str(path)!r} must have unique column names; {sorted(repeated)[0]!r} stands "
            "more than once. Rename the repeats."
        )
    if encoding != "utf-16":
        _check_rows(path, separator, len(names), owner)
    bare = bool(names) and all(_is_number(name) for name in names)
    frame: pd.DataFrame = pd.read_csv(
        path, sep=separator, encoding=encoding, header=None if bare else 0, index_col=False,
        on_bad_lines="error", low_memory=False,
    )  # fmt: skip
    return frame


def _check_rows(path: Path, separator: str, n_columns: int, owner: str) -> None:
    """Refuse short rows, which the parser would fill with NaN: a cut file ends in one."""
    mark = separator.encode()
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if b'"' in line:
                return
            if line.strip() and line.count(mark) + 1 != n_columns:
                raise ReadError(
                    f"{owner}: {str(path)!r} must have {n_columns} cells in each row; row {number} "
                    f"has {line.count(mark) + 1}. It was cut or is damaged; mend or drop that row."
                )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(
    path: Path, owner: str, limit: float | None
) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    parquet = require("pyarrow.parquet", extra="tables", owner=owner)
    with parquet.ParquetFile(path, page_checksum_verification=True) as held:
        meta = held.metadata
        # Encoded values may be far smaller than they come out: each is at most 16 bytes here.
        need = max(16.0 * meta.num_rows * meta.num_columns, 0.0)
        fits_memory(
            need, path, owner=owner, limit=limit, cure="Raise memory_limit, or write it as .zarr."
        )
        stored = (held.schema_arrow.metadata or {}).get(b"activome")
        frame = held.read().to_pandas(ignore_metadata=True)
    return frame, None if stored is None else json.loads(stored)


def _restore(frame: pd.DataFrame, stored: Mapping[str, Any]) -> Activity | Events:
    header = stored["header"]
    labels = {
        name: np.asarray(item["values"], dtype=item["dtype"])
        for name, item in stored["labels"].items()
    }
    if header["type"] == "events":
        columns = {name: frame[name].to_numpy() for name in frame.columns}
        return build_events(header, labels | columns)
    values = frame.to_numpy().reshape(stored["shape"])
    return build_activity(header, values, labels)


def _column(frame: pd.DataFrame, names: tuple[str, ...]) -> Any:
    lower = {str(column).strip().lower(): column for column in frame.columns}
    return next((lower[name] for name in names if name in lower), None)


def _layout(frame: pd.DataFrame) -> str:
    time = _column(frame, _TIME + _MILLI)
    unit, value = _column(frame, _UNIT), _column(frame, _VALUE)
    if time is not None and unit is not None and value is not None:
        return "long"
    rest = set(frame.columns) - {time, unit, _column(frame, ("trial",))}
    return "events" if time is not None and unit is not None and not rest else "wide"


def _times(frame: pd.DataFrame, path: Path, owner: str) -> np.ndarray[Any, Any] | None:
    column = _column(frame, _TIME + _MILLI)
    if column is None:
        return None
    seconds = _numbers(frame[column], column, path, owner)
    return seconds / 1000.0 if str(column).strip().lower() in _MILLI else seconds


def _numbers(column: pd.Series[Any], name: Any, path: Path, owner: str) -> np.ndarray[Any, Any]:
    if column.dtype.kind not in "biuf":
        texts = pd.to_numeric(column, errors="coerce")
        row = int(np.argmax(texts.isna().to_numpy()))
        raise ReadError(
            f"{owner}: {str(path)!r}: column {name!r} must be numbers; row {row + 1} holds "
            f"{column.iloc[row]!r}. Mend or drop it."
        )
    return np.asarray(column.to_numpy())


def _refuse_order(path: Path, owner: str, n_wrong: int, row: int) -> ReadError:
    return ReadError(
        f"{owner}: {str(path)!r} must be sorted by time; {n_wrong} rows are out of order, the "
        "first "
        f"is row {row + 1}. Sort it, or read it with sort=True."
    )


def _events(frame: pd.DataFrame, path: Path, owner: str, sort: bool, source: str) -> Events:
    times, column = _times(frame, path, owner), _column(frame, _UNIT)
    if times is None or column is None:
        raise ReadError(
            f"{owner}: {str(path)!r} must have columns time and unit for events; it has "
            f"{', '.join(map(str, frame.columns[:8]))}."
        )
    if frame[column].isna().any():
        raise ReadError(
            f"{owner}: {str(path)!r}: column {column!r} has empty cells. Drop the rows."
        )
    names, unit = np.unique(frame[column].to_numpy(), return_inverse=True)
    trials = _column(frame, ("trial",))
    trial = None if trials is None else _numbers(frame[trials], trials, path, owner)
    keys = [np.zeros(times.size)] if trial is None else [trial]
    order = np.lexsort((times, *keys))
    if not sort:
        # Tables that list unit after unit are merged: nothing in them is out of order.
        by_unit = np.lexsort((np.arange(times.size), unit, *keys))
        fall = (np.diff(times[by_unit]) < 0) & (np.diff(unit[by_unit]) == 0)
        fall &= np.diff(keys[0][by_unit]) == 0
        if fall.any():
            row = int(by_unit[1:][fall].min())
            raise _refuse_order(path, owner, int(fall.sum()), row)
    table = pd.DataFrame(index=pd.Index(names.astype(str) if names.dtype == object else names))
    return Events.from_times(
        times[order], unit[order], trial=None if trial is None else trial[order].astype(np.int32),
        unit_table=table, source=source, assume_sorted=True,
    )  # fmt: skip


def _long(
    frame: pd.DataFrame, path: Path, owner: str, labels: dict[str, Any], limit: float | None
) -> Activity:
    times = _times(frame, path, owner)
    columns = {"unit": _column(frame, _UNIT), "value": _column(frame, _VALUE)}
    missing = [name for name, column in columns.items() if column is None]
    if times is None or missing:
        raise ReadError(f"{owner}: {str(path)!r} must have columns time, unit and value.")
    values = _numbers(frame[columns["value"]], columns["value"], path, owner)
    keys: list[tuple[str, Any]] = [("time", times), ("unit", frame[columns["unit"]].to_numpy())]
    trials = _column(frame, ("trial",))
    if trials is not None:
        keys.insert(0, ("trial", frame[trials].to_numpy()))
    if not np.isfinite(times).all() or any(pd.isna(column).any() for _, column in keys):
        raise ReadError(f"{owner}: {str(path)!r} has empty cells among its labels. Drop the rows.")
    found = [np.unique(column, return_inverse=True) for _, column in keys]
    shape = tuple(names.size for names, _ in found)
    fits_memory(8.0 * float(np.prod(shape, dtype=np.float64)), path, owner=owner, limit=limit,
                cure="Raise memory_limit, or bin the times first.")  # fmt: skip
    place = np.ravel_multi_index(tuple(inverse.reshape(-1) for _, inverse in found), shape)
    if np.unique(place).size != place.size:
        raise ReadError(
            f"{owner}: {str(path)!r} must hold one value per time and unit; "
            f"{place.size - np.unique(place).size} rows repeat another. Average or drop them."
        )
    dense = np.full(shape, np.nan)
    dense.flat[place] = values
    if place.size < dense.size:
        warnings.warn(
            f"{dense.size - place.size} of {dense.size} values are not in the table and were set "
            "to NaN.",
            UserWarning,
            stacklevel=2,
        )
    axes: dict[str, Any] = {
        key: names.astype(str) if names.dtype == object else names
        for (key, _), (names, _) in zip(keys, found, strict=True)
    }
    return make(dense, tuple(axes), **axes, **labels)


def _wide(
    frame: pd.DataFrame,
    path: Path,
    owner: str,
    sampling_rate: float | None,
    sort: bool,
    labels: dict[str, Any],
) -> Activity:
    times = _times(frame, path, owner)
    column, trials = _column(frame, _TIME + _MILLI), _column(frame, ("trial",))
    names = [name for name in frame.columns if name not in (column, trials)]
    if not names:
        raise ReadError(f"{owner}: {str(path)!r} has no column of values. Add one per unit.")
    values = np.stack([_numbers(frame[name], name, path, owner) for name in names], axis=1)
    unit = np.asarray([str(name) for name in names])
    rate = None if sampling_rate is None else check_rate(sampling_rate, path, owner=owner)
    if trials is not None:
        return _wide_trials(
            values, times, frame[trials].to_numpy(), unit, rate, labels, path, owner
        )
    if times is not None and (np.diff(times) < 0).any():
        if not sort:
            wrong = np.diff(times) < 0
            raise _refuse_order(path, owner, int(wrong.sum()), int(np.argmax(wrong)) + 1)
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    return make(values, time=times, sampling_rate=rate, unit=unit, **labels)


def _wide_trials(
    values: Any,
    times: Any,
    trial: Any,
    unit: Any,
    rate: float | None,
    labels: dict[str, Any],
    path: Path,
    owner: str,
) -> Activity:
    names, first, counts = np.unique(trial, return_index=True, return_counts=True)
    names, counts = names[np.argsort(first)], counts[np.argsort(first)]
    if (counts != counts[0]).any() or (trial != np.repeat(names, counts)).any():
        raise ReadError(
            f"{owner}: {str(path)!r} must hold the rows of a trial together, and as many of "
            "them for "
            f"each trial; trials have {counts.min()} to {counts.max()}. Sort by trial, or pad them."
        )
    clock = None if times is None else times[: counts[0]]
    if times is not None and (times.reshape(len(names), -1) != clock).any():
        raise ReadError(
            f"{owner}: {str(path)!r} must hold the same times in all trials; they differ. Give "
            "times "
            "from the start of each trial."
        )
    shaped = values.reshape(len(names), int(counts[0]), -1)
    return make(shaped, time=clock, sampling_rate=rate, unit=unit, trial=names, **labels)
