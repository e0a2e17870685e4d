"""Columns and clocks of events: pure functions on arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_number
from activome.errors import ActivityError, ActivityWarning, ParameterError

__all__ = [
    "COLUMNS",
    "convert",
    "count_of",
    "exact_seconds",
    "in_order",
    "name_units",
    "observed_window",
    "pixel_shape",
    "to_seconds",
    "to_ticks",
    "width_in_ticks",
]

Array = np.ndarray[Any, Any]

COLUMNS: dict[str, Any] = {
    "t": np.int64,
    "unit": np.int32,
    "trial": np.int32,
    "value": np.float32,
    "x": np.int16,
    "y": np.int16,
    "p": np.int8,
    "feature": np.int32,
}
# Ticks beyond this are no longer exact in the float64 that carries seconds.
_MAX_TICKS = 2**53


def convert(given: dict[str, Any]) -> dict[str, Array]:
    """Return the columns that are given in their dtypes, refusing what does not fit them."""
    table: dict[str, Array] = {}
    for name, values in given.items():
        if values is None:
            continue
        array, dtype = np.asarray(values), np.dtype(COLUMNS[name])
        if array.ndim != 1:
            raise ActivityError(f"Events: {name} must have one axis; got shape {array.shape}.")
        if array.size == 0:
            array = array.astype(dtype)
        if dtype.kind == "i":
            _check_integers(name, array, dtype)
        elif array.dtype.kind not in "biuf":
            raise ActivityError(f"Events: {name} must be numbers; got dtype {array.dtype}.")
        # A copy only where the caller could still write into the column.
        table[name] = np.array(array, dtype=dtype, copy=True if array.flags.writeable else None)
        table[name].flags.writeable = False
        if table[name].size != table["t"].size:
            raise ActivityError(
                f"Events: every column must have one entry per event ({table['t'].size}); "
                f"{name} has {table[name].size}."
            )
    return table


def _check_integers(name: str, array: Array, dtype: np.dtype[Any]) -> None:
    if array.dtype.kind not in "biu":
        cure = " For times in s use Events.from_times." if name == "t" else ""
        raise ActivityError(f"Events: {name} must be integers; got dtype {array.dtype}.{cure}")
    if array.size:
        low, high = int(array.min()), int(array.max())
        limits = np.iinfo(dtype)
        least = 0 if name in ("unit", "trial", "x", "y") else int(limits.min)
        if low < least or high > limits.max:
            raise ActivityError(
                f"Events: {name} must be in [{least}, {limits.max}]; got values from {low} to "
                f"{high}, the first outside at event "
                f"{int(np.argmax((array < least) | (array > limits.max)))}."
            )


def in_order(table: dict[str, Array], *, assume_sorted: bool) -> dict[str, Array]:
    """Return the columns sorted by trial, then time; stable; a warning says how many moved."""
    t, trial = table["t"], table.get("trial")
    later = t[1:] < t[:-1]
    if trial is not None:
        later = (trial[1:] < trial[:-1]) | ((trial[1:] == trial[:-1]) & later)
    n_later = int(np.count_nonzero(later))
    if not n_later:
        return table
    first = int(np.argmax(later)) + 1
    if assume_sorted:
        raise ActivityError(
            f"Events: events must be sorted by trial, then time; {n_later} come before the one "
            f"ahead of them, the first is event {first}. Leave assume_sorted out to sort them."
        )
    warnings.warn(
        f"Events: {n_later} events came before the one ahead of them, the first is event {first}; "
        "all were sorted by trial, then time.",
        ActivityWarning,
        stacklevel=3,
    )
    order = np.argsort(t, kind="stable") if trial is None else np.lexsort((t, trial))
    table = {name: column[order] for name, column in table.items()}
    for column in table.values():
        column.flags.writeable = False
    return table


def count_of(name: str, index: Array, given: int | None) -> int:
    """Return the number of units or trials, given or found from the largest index."""
    found = int(index.max()) + 1 if index.size else 0
    if given is None:
        return found
    if found > given:
        raise ActivityError(
            f"Events: there are {given} {name}s, but an event belongs to {name} {found - 1}."
        )
    return int(given)


def pixel_shape(
    shape: tuple[int, int] | None, x: Array | None, y: Array | None
) -> tuple[int, int] | None:
    """Return the size (rows, columns) of the pixel array."""
    if (x is None) != (y is None):
        raise ActivityError("Events: x and y must be given together; one of them is missing.")
    if x is None or y is None:
        return shape
    found = (int(y.max()) + 1 if y.size else 0, int(x.max()) + 1 if x.size else 0)
    if shape is None:
        return found
    if found[0] > shape[0] or found[1] > shape[1]:
        raise ActivityError(
            f"Events: shape is {shape}, but pixels go up to {found} (rows, columns)."
        )
    return (int(shape[0]), int(shape[1]))


def observed_window(t: Array, t_start: int | None, t_stop: int | None) -> tuple[int, int]:
    """Return the observed window in ticks; events outside it are refused."""
    if not t.size:
        start = min(0, 0 if t_stop is None else int(t_stop)) if t_start is None else int(t_start)
        low, high = start, start - 1
    else:
        low, high = int(t.min()), int(t.max())
        start = min(0, low) if t_start is None else int(t_start)
    stop = max(high + 1, start) if t_stop is None else int(t_stop)
    if stop < start or low < start or high >= stop:
        outside = int(np.count_nonzero((t < start) | (t >= stop)))
        raise ActivityError(
            f"Events: all events must lie in the window [{start}, {stop}) of ticks; {outside} lie "
            f"outside (events go from {low} to {high}). Widen the window or cut with between()."
        )
    return start, stop


def name_units(unit_table: pd.DataFrame | None, n_units: int) -> pd.DataFrame:
    """Return one row per unit, named 0, 1, 2 ... unless a table is given."""
    if unit_table is None:
        return pd.DataFrame(index=pd.RangeIndex(n_units, name="unit"))
    if len(unit_table) != n_units or not unit_table.index.is_unique:
        raise ActivityError(
            f"Events: unit_table must have one row, with a name of its own, for each of the "
            f"{n_units} units; got {len(unit_table)} rows, {unit_table.index.nunique()} names."
        )
    return unit_table.rename_axis("unit")


def to_ticks(seconds: Array, tick: float, *, owner: str = "Events.from_times") -> Array:
    """Return times in s as whole ticks, to the nearest."""
    if not np.isfinite(seconds).all():
        place = int(np.argmax(~np.isfinite(seconds)))
        raise ActivityError(
            f"{owner}: times must be finite; {np.count_nonzero(~np.isfinite(seconds))} of "
            f"{seconds.size} are not, the first is event {place}. Drop them first."
        )
    rate = _whole_rate(tick)
    ticks = seconds / tick if rate is None else seconds * rate
    if ticks.size and np.abs(ticks).max() > _MAX_TICKS:
        raise ActivityError(
            f"{owner}: times must stay within {_MAX_TICKS * tick:g} s of zero at ticks of {tick:g} "
            f"s; got {np.abs(seconds).max():g} s. Are they in another unit? Choose a larger tick."
        )
    return np.rint(ticks).astype(np.int64)


def to_seconds(ticks: Array, tick: float) -> Array:
    """Return ticks as seconds; exact to the last bit where 1 / tick is whole (1 us, 30 kHz)."""
    rate = _whole_rate(tick)
    return ticks * tick if rate is None else ticks / rate


def exact_seconds(ticks: int, tick: float) -> float:
    """Return a number of ticks as seconds."""
    return float(to_seconds(np.array(ticks), tick))


def _whole_rate(tick: float) -> float | None:
    rate = round(1.0 / tick)
    return float(rate) if rate and abs(rate * tick - 1.0) < 1e-12 else None


def width_in_ticks(dt: float, tick: float, *, owner: str = "Events.bin") -> int:
    """Return a bin width as whole ticks, refusing one that is not a multiple of the tick."""
    dt = check_number(dt, name="dt", owner=owner, low=0.0)
    rate = _whole_rate(tick)
    ratio = dt / tick if rate is None else dt * rate
    width = round(ratio)
    if width < 1 or abs(ratio - width) > 1e-9 * max(1.0, ratio):
        raise ParameterError(
            f"{owner}: dt must be a whole number of ticks; {dt:g} s is {ratio:g} ticks of "
            f"{tick:g} s. The nearest is {max(width, 1) * tick:g} s."
        )
    return width
