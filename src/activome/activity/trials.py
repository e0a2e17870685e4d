"""Cutting a recording into trials around onsets."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_memory
from activome.activity.events import Events
from activome.activity.schema import Activity, ensure, make
from activome.errors import ActivityError, ActivityWarning, ParameterError

__all__ = ["cut_trials"]

Array = np.ndarray[Any, Any]
Labels = Mapping[str, ArrayLike] | pd.DataFrame | Sequence[Any] | Array | None
Recording = TypeVar("Recording", Activity, Events)
_OWNER = "cut_trials"


def cut_trials(
    recording: Recording,
    onsets: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    labels: Labels = None,
    *,
    outside: str = "drop",
) -> Recording:
    """Cut windows around onsets out of a recording and stack them as trials.

    Time 0 of every trial is its onset. Of an Activity the sample nearest to the onset is time 0,
    and a window holds the samples in [-before, after], both ends included. Of Events a window is
    [-before, after), right-open, and exact to the tick.

    Parameters
    ----------
    recording : xarray.DataArray or Events
        An Activity over (time) or (time, unit), regularly sampled, or Events without trials.
    onsets : array-like of float, shape (n_trials,)
        Times of the onsets in s, on the clock of the recording, in any order; they may overlap.
    before, after : float or array-like of float, shape (n_trials,)
        Seconds before and after the onset; one for all, or one per trial, which gives ragged
        trials (with ``valid``). A negative one starts the window after, or ends it before, the
        onset.
    labels : mapping or DataFrame of columns, or a sequence, optional
        Labels of the trials, shape (n_trials,) each; a sequence is called ``event``. An Activity
        only: Events carry no labels of trials.
    outside : {"drop", "pad", "raise"}, default="drop"
        What to do with windows that reach outside of the recording: leave these trials out, with a
        warning that lists them; keep them with NaN and ``valid`` False there; or refuse. Events can
        not tell silence from absence, so that "pad" is refused for them.

    Returns
    -------
    xarray.DataArray or Events
        Dims (trial, time, unit), with ``onset`` in s and the labels on trial; ``trial`` is the
        index into ``onsets``. Events with a column ``trial``, whose index counts the kept trials.

    Raises
    ------
    ActivityError
        If the recording has trials already or no regular clock, or no window lies inside it.
    ParameterError
        If onsets, windows or labels are not finite, not of one length, or empty; or ``outside`` is
        unknown, reached with "raise", or "pad" for Events; or labels are given for Events.
    ResourceError
        If the trials would take more than 2 GiB.

    Notes
    -----
    One copy of the windows; a lazy recording stays lazy.

    Examples
    --------
    >>> import numpy as np
    >>> signal = make(np.arange(10.0), sampling_rate=10.0)
    >>> trials = cut_trials(signal, [0.3, 0.6], 0.1, 0.1, labels=["left", "right"])
    >>> trials.values.tolist(), trials.event.values.tolist()
    ([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]], ['left', 'right'])
    """
    check_choice(outside, ("drop", "pad", "raise"), name="outside", owner=_OWNER)
    start, first, last = _windows(onsets, before, after)
    columns = _columns(labels, start.size)
    if isinstance(recording, Events):
        return _cut_events(recording, start, first, last, columns, outside)
    return _cut_activity(ensure(recording, owner=_OWNER), start, first, last, columns, outside)


def _windows(onsets: ArrayLike, before: ArrayLike, after: ArrayLike) -> tuple[Array, Array, Array]:
    start = np.asarray(onsets, dtype=np.float64).reshape(-1)
    if not start.size or not np.isfinite(start).all():
        n_bad = int((~np.isfinite(start)).sum())
        raise ParameterError(
            f"{_OWNER}: onsets must be finite times in s, one at least; {n_bad} of {start.size} "
            "are "
            "not. Drop them first, and the rows of their labels."
        )
    sides = []
    for name, side in (("before", before), ("after", after)):
        values = np.asarray(side, dtype=np.float64)
        if values.shape not in ((), start.shape) or not np.isfinite(values).all():
            raise ParameterError(
                f"{_OWNER}: {name} must be one finite number of s, or one per onset "
                f"({start.size}); got shape {values.shape}."
            )
        sides.append(np.broadcast_to(values, start.shape))
    if (sides[0] + sides[1] <= 0).any():
        raise ParameterError(f"{_OWNER}: before + after must be more than 0 s in every trial.")
    return start, -sides[0], sides[1]


def _columns(labels: Labels, n_trials: int) -> dict[str, Array]:
    if labels is None:
        return {}
    if isinstance(labels, pd.DataFrame):
        labels = {str(key): labels[key].to_numpy() for key in labels.columns}
    table = dict(labels) if isinstance(labels, Mapping) else {"event": labels}
    columns = {}
    for key, column in table.items():
        values = np.asarray(column)
        if values.shape != (n_trials,) or key in ("trial", "time", "unit", "valid", "onset"):
            raise ParameterError(
                f"{_OWNER}: labels {key!r} must have shape ({n_trials},), one per onset, and a "
                "name "
                f"of their own; got {values.shape}."
            )
        is_text = values.dtype == object and all(isinstance(v, str) for v in values)
        columns[str(key)] = values.astype(str) if is_text else values
    return columns


def _kept(inside: Array, start: Array, outside: str, window: str) -> Array:
    """Which trials to keep, after saying which are not."""
    if inside.all() or outside == "pad":
        return np.ones(inside.size, dtype=bool)
    wrong = np.flatnonzero(~inside)
    listed = ", ".join(f"{i} (onset {start[i]:g} s)" for i in wrong[:10])
    listed += f" and {wrong.size - 10} more" if wrong.size > 10 else ""
    text = (
        f"{wrong.size} of {inside.size} trials reach outside of the recording ({window}): {listed}"
    )
    if outside == "raise":
        raise ParameterError(f"{_OWNER}: {text}. Drop them, or use outside='drop' or 'pad'.")
    if not inside.any():
        raise ActivityError(f"{_OWNER}: no trial is left; {text}. Check the clock of the onsets.")
    warnings.warn(f"{_OWNER}: {text}; they were left out.", ActivityWarning, stacklevel=4)
    return inside


def _cut_activity(
    recording: Activity, start: Array, first: Array, last: Array, columns: dict[str, Array],
    outside: str,
) -> Activity:  # fmt: skip
    if "trial" in recording.dims or "time" not in recording.dims:
        raise ActivityError(
            f"{_OWNER}: the recording must have dim time and no trials; got dims {recording.dims}."
        )
    rate = recording.attrs.get("sampling_rate")
    if rate is None:
        raise ActivityError(
            f"{_OWNER}: the recording must be sampled regularly; it has no sampling_rate. "
            "Resample it first."
        )
    rate, n_times = float(rate), recording.sizes["time"]
    stamps = recording["time"].values
    centre = np.rint((start - float(stamps[0])) * rate).astype(np.int64)
    low, high = (np.rint(side * rate).astype(np.int64) for side in (first, last))
    window = f"{stamps[0]:g} to {stamps[-1]:g} s"
    keep = _kept((centre + low >= 0) & (centre + high < n_times), start, outside, window)
    steps = np.arange(low[keep].min(), high[keep].max() + 1)
    n_trials, n_units = int(keep.sum()), recording.sizes.get("unit", 1)
    place = centre[keep, None] + steps
    valid = (steps >= low[keep, None]) & (steps <= high[keep, None])
    valid &= (place >= 0) & (place < n_times)
    is_lazy = hasattr(recording.data, "dask")
    if not is_lazy:
        size = 8.0 * n_trials * steps.size * n_units
        check_memory(
            size, owner=_OWNER, what="the trials", cure="Load the recording with lazy=True."
        )
    values = recording.data[np.clip(place, 0, n_times - 1).reshape(-1)]
    values = values.reshape(n_trials, steps.size, *values.shape[1:])
    if not valid.all():
        mask = valid[..., None] if "unit" in recording.dims else valid
        floats = values if values.dtype.kind == "f" else values.astype(np.float64)
        if is_lazy:
            import dask.array

            values = dask.array.where(mask, floats, np.nan)
        else:
            values = np.where(mask, floats, np.nan)
    riding = {
        str(key): (coord.dims[0], coord.values)
        for key, coord in recording.coords.items()
        if coord.dims == ("unit",) and key != "unit"
    }
    return make(
        values,
        ("trial", "time", "unit") if "unit" in recording.dims else ("trial", "time"),
        time=steps / rate,
        sampling_rate=rate if steps.size > 1 else None,
        unit=recording["unit"].values if "unit" in recording.dims else None,
        trial=np.flatnonzero(keep),
        coords=riding
        | {"onset": ("trial", start[keep])}
        | {key: ("trial", column[keep]) for key, column in columns.items()},
        valid=None if valid.all() else valid,
        kind=recording.attrs.get("kind", "feature"),
        units=recording.attrs.get("units", "1"),
        source=str(recording.attrs.get("source", "memory")),
        name=None if recording.name is None else str(recording.name),
    )


def _cut_events(
    events: Events, start: Array, first: Array, last: Array, columns: dict[str, Array], outside: str
) -> Events:
    if events.trial is not None:
        raise ActivityError(f"{_OWNER}: these events have trials already.")
    if columns or outside == "pad":
        what = "labels" if columns else "outside='pad'"
        raise ParameterError(
            f"{_OWNER}: {what} cannot be used for Events, which hold neither. Bin them first "
            "(Events.bin), and cut the counts."
        )
    if np.unique(first).size > 1 or np.unique(last).size > 1:
        raise ParameterError(
            f"{_OWNER}: trials of Events have one window; got windows that differ. Bin them first."
        )
    zero, low, high = (
        np.rint(side / events.tick).astype(np.int64) for side in (start, first, last)
    )
    inside = (zero + low >= events.t_start) & (zero + high <= events.t_stop)
    window = f"{events.start:g} to {events.stop:g} s"
    keep = _kept(inside, start, outside, window)
    begin = np.searchsorted(events.t, (zero + low)[keep], side="left")
    end = np.searchsorted(events.t, (zero + high)[keep], side="left")
    count = end - begin
    trial = np.repeat(np.arange(count.size, dtype=np.int32), count)
    check_memory(40.0 * trial.size, owner=_OWNER, what="the trials", cure="Cut fewer at a time.")
    # Positions of the events of every window, one window after the other.
    place = np.arange(trial.size) + np.repeat(
        begin - np.concatenate([[0], count.cumsum()[:-1]]), count
    )
    table = {
        name: getattr(events, name)[place]
        for name in ("value", "x", "y", "p", "feature")
        if getattr(events, name) is not None
    }
    return Events(
        events.t[place] - np.repeat(zero[keep], count),
        events.unit[place],
        trial=trial,
        tick=events.tick,
        n_units=events.n_units,
        n_trials=int(keep.sum()),
        shape=events.shape,
        t_start=int(low[0]),
        t_stop=int(high[0]),
        unit_table=events.unit_table,
        source=events.source,
        assume_sorted=True,
        **table,
    )
