"""Parts of events: selecting, cutting, joining, and reading from a raster."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from activome._checks import check_choice, check_finite, nearest_names
from activome.activity._event_columns import COLUMNS, to_ticks, width_in_ticks
from activome.activity.schema import Activity
from activome.errors import ActivityError, ParameterError

if TYPE_CHECKING:
    from activome.activity.events import Events

__all__ = ["are_equal", "assign", "from_raster", "join", "keep_events", "select"]

Array = np.ndarray[Any, Any]
E = TypeVar("E", bound="Events")


def _columns(events: Events) -> dict[str, Array]:
    found = {name: getattr(events, name) for name in COLUMNS}
    return {name: column for name, column in found.items() if column is not None}


def _labels(events: Events) -> dict[str, Any]:
    return {
        "tick": events.tick,
        "n_units": events.n_units,
        "n_trials": events.n_trials,
        "shape": events.shape,
        "t_start": events.t_start,
        "t_stop": events.t_stop,
        "unit_table": events.unit_table,
        "source": events.source,
    }


def _build(cls: type[E], table: dict[str, Array], labels: dict[str, Any]) -> E:
    arguments: dict[str, Any] = {**table, **labels}
    return cls(**arguments)


def keep_events(events: E, keep: Array, **labels: Any) -> E:
    """Return the events that a mask (or an order) keeps, with some labels replaced."""
    table = {name: column[keep] for name, column in _columns(events).items()}
    return _build(type(events), table, _labels(events) | labels)


def assign(events: E, given: dict[str, Any]) -> E:
    """Return events with some columns replaced; times and trials order them and stay."""
    known = [name for name in COLUMNS if name not in ("t", "trial")]
    for name in given:
        check_choice(name, known, name="the column", owner="Events.assign")
    return _build(type(events), _columns(events) | given, _labels(events))


def _positions(names: Sequence[Any], known: Sequence[Any], what: str) -> Array:
    place = {name: i for i, name in enumerate(known)}
    for name in names:
        if name not in place:
            hint = nearest_names(str(name), map(str, known))
            raise ParameterError(f"Events.select: unknown {what} {name!r}; {hint}")
    if len(set(names)) != len(names):
        raise ParameterError(f"Events.select: each {what} may stand once; got repeats.")
    return np.array([place[name] for name in names], dtype=np.int64)


def select(events: E, units: Sequence[Any] | None, trials: Sequence[int] | None) -> E:
    """Return some units and trials, in the order given."""
    table, labels = _columns(events), _labels(events)
    keep = np.ones(events.n_events, dtype=bool)
    for column, names, known in (
        ("unit", units, list(events.unit_table.index)),
        ("trial", trials, list(range(events.n_trials))),
    ):
        if names is None:
            continue
        if column == "trial" and events.trial is None:
            raise ParameterError("Events.select: these events have no trials to select from.")
        chosen = _positions(list(names), known, column)
        new = np.full(len(known), -1, dtype=np.int32)
        new[chosen] = np.arange(chosen.size, dtype=np.int32)
        table[column] = new[table[column]]
        keep &= table[column] >= 0
        labels[f"n_{column}s"] = chosen.size
        if column == "unit":
            labels["unit_table"] = events.unit_table.iloc[chosen]
    table = {name: column[keep] for name, column in table.items()}
    if trials is not None:
        # Trials may come in another order, which is asked for: no warning.
        order = np.argsort(table["trial"], kind="stable")
        table = {name: column[order] for name, column in table.items()}
    return _build(type(events), table, labels)


def join(cls: type[E], parts: Sequence[Events], dim: str) -> E:
    """Join events along trials, time or units."""
    if not parts:
        raise ActivityError("Events.concat: there must be at least one part; got none.")
    first = parts[0]
    tables, labels = [_columns(part) for part in parts], _labels(first)
    for i, part in enumerate(parts):
        _check_fit(first, part, i, dim)
    if dim == "time":
        _check_windows(parts)
    if dim == "trial":
        shifts = np.cumsum([0, *(part.n_trials for part in parts)])
        for table, shift, part in zip(tables, shifts, parts, strict=False):
            trial = np.zeros(part.n_events, np.int32) if part.trial is None else part.trial
            table["trial"] = trial + np.int32(shift)
        labels["n_trials"] = int(shifts[-1])
    elif dim == "unit":
        shifts = np.cumsum([0, *(part.n_units for part in parts)])
        for table, shift in zip(tables, shifts, strict=False):
            table["unit"] = table["unit"] + np.int32(shift)
        joined = pd.concat([part.unit_table for part in parts])
        labels |= {
            "n_units": int(shifts[-1]),
            "unit_table": joined if joined.index.is_unique else joined.reset_index(drop=True),
        }
    labels["t_start"] = min(part.t_start for part in parts)
    labels["t_stop"] = max(part.t_stop for part in parts)
    merged = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    keys = (merged["t"], merged["trial"]) if "trial" in merged else (merged["t"],)
    order = np.lexsort(keys)
    return _build(cls, {name: column[order] for name, column in merged.items()}, labels)


def _check_fit(first: Events, part: Events, i: int, dim: str) -> None:
    if part.tick != first.tick:
        raise ActivityError(
            f"Events.concat: all parts must have one tick; part 0 has {first.tick:g} s, part {i} "
            f"has {part.tick:g} s."
        )
    mine, theirs = set(_columns(first)) - {"trial"}, set(_columns(part)) - {"trial"}
    if mine != theirs or (dim != "trial" and (first.trial is None) != (part.trial is None)):
        raise ActivityError(
            f"Events.concat: all parts must have the same columns; part 0 and part {i} differ in "
            f"{sorted(set(_columns(first)) ^ set(_columns(part)))}."
        )
    if dim != "unit" and not first.unit_table.index.equals(part.unit_table.index):
        raise ActivityError(f"Events.concat: parts must have the same units; part {i} has others.")
    if dim != "trial" and part.n_trials != first.n_trials:
        raise ActivityError(
            f"Events.concat: parts must have the same trials; part 0 has {first.n_trials}, "
            f"part {i} has {part.n_trials}."
        )


def _check_windows(parts: Sequence[Events]) -> None:
    for i, (before, part) in enumerate(pairwise(parts), start=1):
        if part.t_start < before.t_stop:
            raise ActivityError(
                f"Events.concat: windows must follow each other; part {i} starts at "
                f"{part.start:g} s, part {i - 1} stops at {before.stop:g} s."
            )


def from_raster(cls: type[E], raster: Activity, tick: float) -> E:
    """Return events placed at the starts of the bins of a raster."""
    owner = "Events.from_raster"
    rate = raster.attrs.get("sampling_rate")
    if "time" not in raster.dims or rate is None:
        raise ActivityError(
            f"{owner}: the raster must have a regular time axis. Give make a sampling_rate."
        )
    if "unit" not in raster.dims:
        raster = raster.expand_dims("unit", axis=-1)
    width = width_in_ticks(1.0 / float(rate), tick, owner=owner)
    values = np.asarray(raster.values)
    if values.dtype.kind == "f":
        check_finite(values, owner=owner, axes=[str(dim) for dim in raster.dims])
    if (values < 0).any() or (values.dtype.kind == "f" and (values != np.rint(values)).any()):
        raise ActivityError(
            f"{owner}: the raster must hold counts, whole and not negative. Bin or threshold it."
        )
    if values.ndim == 2:
        values = values[np.newaxis]
    trial, k, unit = np.nonzero(values)
    times = values[trial, k, unit].astype(np.int64)
    trial, k, unit = (np.repeat(index, times) for index in (trial, k, unit))
    start = int(to_ticks(np.asarray(raster["time"].values[:1], dtype=np.float64), tick)[0])
    riding = {str(n): c.values for n, c in raster.coords.items() if c.dims == ("unit",)}
    names = riding.pop("unit", np.arange(values.shape[2]))
    has_trials = "trial" in raster.dims
    return cls(
        start + width * k.astype(np.int64),
        unit.astype(np.int32),
        trial=trial.astype(np.int32) if has_trials else None,
        n_trials=values.shape[0] if has_trials else None,
        tick=tick,
        t_start=start,
        t_stop=start + width * values.shape[1],
        unit_table=pd.DataFrame(riding, index=pd.Index(names, name="unit")),
        source=str(raster.attrs.get("source", "memory")),
    )


def are_equal(events: Events, other: object) -> bool:
    """Tell whether two recordings hold the same events, clock, window and unit table."""
    if not isinstance(other, type(events)):
        return False
    mine, theirs = _columns(events), _columns(other)
    one, two = _labels(events), _labels(other)
    same_labels = all(one[k] == two[k] for k in one if k not in ("unit_table", "source"))
    return (
        same_labels
        and mine.keys() == theirs.keys()
        and all(np.array_equal(mine[k], theirs[k], equal_nan=k == "value") for k in mine)
        and events.unit_table.equals(other.unit_table)
        and events.unit_table.index.equals(other.unit_table.index)
    )
