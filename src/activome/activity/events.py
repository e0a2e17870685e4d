"""Events: sorted sparse occurrences (spikes, pixels of event cameras) on an integer clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_number
from activome.activity import _event_columns as columns
from activome.activity import _event_editing as editing
from activome.activity._event_views import EventViews
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError, ParameterError

__all__ = ["Events"]

Array = np.ndarray[Any, Any]


class Events(EventViews):
    """Occurrences of units in time, sorted by trial, then time.

    Times are whole ticks of ``tick`` seconds, so that bins, comparisons and round trips are exact.
    Events in order are taken as they are; others are sorted (stably), and an ``ActivityWarning``
    says how many were out of order. The columns are read-only.

    Parameters
    ----------
    t : array-like of int, shape (n_events,)
        Times in ticks. For times in s use ``Events.from_times``.
    unit : array-like of int, shape (n_events,)
        Index of the unit of each event, from 0.
    trial : array-like of int, shape (n_events,), optional
        Index of the trial of each event, from 0; every trial has the same clock.
    value : array-like of float, shape (n_events,), optional
        A number per event, such as an amplitude (float32).
    x, y : array-like of int, shape (n_events,), optional
        Column and row of the pixel (int16).
    p : array-like of int, shape (n_events,), optional
        Polarity of the change (int8).
    feature : array-like of int, shape (n_events,), optional
        What a method recognised in the surroundings of each event; below 0 for nothing (int32).
    tick : float, default=1e-6
        Seconds per tick.
    n_units, n_trials : int, optional
        Sizes; by default one more than the largest index.
    shape : tuple of int (n_rows, n_columns), optional
        Size of the pixel array.
    t_start, t_stop : int, optional
        The window that was observed, in ticks, right-open; by default from 0 (or the first event,
        if that is negative) to just after the last event.
    unit_table : pandas.DataFrame, optional
        One row per unit; its index names the units.
    source : str, default="memory"
        What made the data, with version or checksum.
    assume_sorted : bool, default=False
        Refuse events out of order instead of sorting them.

    Raises
    ------
    ActivityError
        If columns differ in length, are no integers where integers are due, indices or times lie
        outside their range, or events are out of order with ``assume_sorted``.

    Examples
    --------
    >>> spikes = Events.from_times([0.001, 0.012, 0.013], [0, 1, 0], stop=0.02)
    >>> spikes.bin(0.01).values.tolist()
    [[1, 0], [1, 1]]
    """

    def __init__(
        self,
        t: ArrayLike,
        unit: ArrayLike,
        *,
        trial: ArrayLike | None = None,
        value: ArrayLike | None = None,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        p: ArrayLike | None = None,
        feature: ArrayLike | None = None,
        tick: float = 1e-6,
        n_units: int | None = None,
        n_trials: int | None = None,
        shape: tuple[int, int] | None = None,
        t_start: int | None = None,
        t_stop: int | None = None,
        unit_table: pd.DataFrame | None = None,
        source: str = "memory",
        assume_sorted: bool = False,
    ) -> None:
        self.tick = check_number(tick, name="tick", owner="Events", low=0.0)
        given = {"t": t, "unit": unit, "trial": trial, "value": value}
        table = columns.convert({**given, "x": x, "y": y, "p": p, "feature": feature})
        table = columns.in_order(table, assume_sorted=assume_sorted)
        self.t = table["t"]
        self.unit = table["unit"]
        self.trial = table.get("trial")
        self.value = table.get("value")
        self.x = table.get("x")
        self.y = table.get("y")
        self.p = table.get("p")
        self.feature = table.get("feature")
        if unit_table is not None and n_units is None:
            n_units = len(unit_table)
        self.n_units = columns.count_of("unit", self.unit, n_units)
        self.n_trials = 1 if self.trial is None else columns.count_of("trial", self.trial, n_trials)
        if self.trial is None and n_trials not in (None, 1):
            raise ActivityError(f"Events: n_trials is {n_trials}, but there is no column 'trial'.")
        self.shape = columns.pixel_shape(shape, self.x, self.y)
        self.t_start, self.t_stop = columns.observed_window(self.t, t_start, t_stop)
        self.unit_table = columns.name_units(unit_table, self.n_units)
        self.source = source

    @classmethod
    def from_times(
        cls,
        times: ArrayLike,
        unit: ArrayLike,
        *,
        start: float | None = None,
        stop: float | None = None,
        tick: float = 1e-6,
        **columns_and_labels: Any,
    ) -> Self:
        """Build events from times in seconds, rounded to the nearest tick.

        Parameters
        ----------
        times : array-like of float, shape (n_events,)
            Times in s.
        unit : array-like of int, shape (n_events,)
            Index of the unit of each event, from 0.
        start, stop : float, optional
            The window that was observed, in s, right-open.
        tick : float, default=1e-6
            Seconds per tick.
        **columns_and_labels : Any
            Further arguments of ``Events``.

        Returns
        -------
        Events
            The events, sorted.

        Raises
        ------
        ActivityError
            If a time is not finite, or too far from zero for 64-bit ticks.
        """
        tick = check_number(tick, name="tick", owner="Events.from_times", low=0.0)
        ticks = columns.to_ticks(np.asarray(times, dtype=np.float64), tick)
        window: dict[str, Any] = {
            name: None if value is None else int(columns.to_ticks(np.array([value]), tick)[0])
            for name, value in (("t_start", start), ("t_stop", stop))
        }
        return cls(ticks, unit, tick=tick, **window, **columns_and_labels)

    @classmethod
    def from_unit_times(cls, times: Sequence[ArrayLike], **labels: Any) -> Self:
        """Build events from one array of times per unit.

        Parameters
        ----------
        times : sequence of array-like of float
            Times in s of each unit, in any order; a unit may be empty.
        **labels : Any
            Further arguments of ``from_times``, such as ``start``, ``stop`` and ``unit_table``.

        Returns
        -------
        Events
            The events of all units, sorted.
        """
        arrays = [np.asarray(item, dtype=np.float64).reshape(-1) for item in times]
        unit = np.repeat(np.arange(len(arrays), dtype=np.int32), [a.size for a in arrays])
        merged = np.concatenate(arrays) if arrays else np.empty(0)
        order = np.argsort(merged, kind="stable")
        labels.setdefault("n_units", len(arrays))
        return cls.from_times(merged[order], unit[order], **labels)

    @classmethod
    def from_raster(cls, raster: Activity, *, tick: float = 1e-6) -> Self:
        """Build events from counts in bins; each event is placed at the start of its bin.

        Parameters
        ----------
        raster : xarray.DataArray
            Non-negative whole numbers or booleans over (trial, time, unit), any subset with time,
            regularly sampled.
        tick : float, default=1e-6
            Seconds per tick; the bin width must be a whole number of ticks.

        Returns
        -------
        Events
            A count of n becomes n events at one tick.

        Raises
        ------
        ActivityError
            If the raster has no regular time axis or holds anything but counts.
        """
        return editing.from_raster(cls, ensure(raster, owner="Events.from_raster"), tick)

    def select(
        self, *, units: Sequence[Any] | None = None, trials: Sequence[int] | None = None
    ) -> Self:
        """Keep some units and trials, in the order given.

        Parameters
        ----------
        units : sequence, optional
            Names of units, as in the index of ``unit_table``.
        trials : sequence of int, optional
            Indices of trials.

        Returns
        -------
        Events
            Units and trials are counted from 0 again; the unit table goes along.

        Raises
        ------
        ParameterError
            If a name is unknown or stands twice.
        """
        return editing.select(self, units, trials)

    def to_raster(self, dt: float, *, units: Sequence[Any] | None = None) -> Activity:
        """Tell in which bins each unit has an event.

        Parameters
        ----------
        dt : float
            Bin width in s, a whole number of ticks.
        units : sequence, optional
            Names of the units to keep.

        Returns
        -------
        xarray.DataArray of bool
            Dims as those of ``bin``. The order of events within a bin, and how many they are, is
            lost.
        """
        chosen = self if units is None else self.select(units=units)
        return chosen.bin(dt).astype(bool).assign_attrs(units="1")

    def assign(self, **columns_given: ArrayLike) -> Self:
        """Give columns to the events, new ones or in the place of others.

        Parameters
        ----------
        **columns_given : array-like, shape (n_events,)
            Any of unit, value, x, y, p and feature, by name.

        Returns
        -------
        Events
            The same events with these columns.

        Raises
        ------
        ParameterError
            If a name is not one of these.
        """
        return editing.assign(self, columns_given)

    def between(self, start: float, stop: float) -> Self:
        """Keep the events in [start, stop).

        Parameters
        ----------
        start, stop : float
            Window in s, on the same clock as before.

        Returns
        -------
        Events
            The events of the window, which is now the observed one.

        Raises
        ------
        ParameterError
            If ``stop`` is not after ``start``.
        """
        first, last = (int(v) for v in columns.to_ticks(np.array([start, stop]), self.tick))
        if last <= first:
            raise ParameterError(
                f"Events.between: stop must be after start; got {start:g} s and {stop:g} s."
            )
        keep = (self.t >= first) & (self.t < last)
        return editing.keep_events(self, keep, t_start=first, t_stop=last)

    @classmethod
    def concat(
        cls, parts: Sequence[Events], *, dim: Literal["trial", "time", "unit"] = "trial"
    ) -> Self:
        """Join recordings.

        Parameters
        ----------
        parts : sequence of Events
            With one tick, and the same units (for trial and time) or the same trials (for unit).
        dim : {"trial", "time", "unit"}, default="trial"
            Stack as further trials; join windows that follow each other on one clock; or put the
            units side by side.

        Returns
        -------
        Events
            All events, sorted.

        Raises
        ------
        ActivityError
            If ticks, units or trials do not fit, or windows overlap.
        """
        check_choice(dim, ("trial", "time", "unit"), name="dim", owner="Events.concat")
        return editing.join(cls, list(parts), dim)

    def equals(self, other: object) -> bool:
        """Tell whether all columns, the clock, the window and the unit table are the same.

        Parameters
        ----------
        other : object
            What to compare with.

        Returns
        -------
        bool
            True for equal events, whatever their source.
        """
        return editing.are_equal(self, other)

    def __len__(self) -> int:
        """Return the number of events."""
        return self.n_events

    def __repr__(self) -> str:
        """Return one line with the sizes."""
        trials = f", {self.n_trials} trials" if self.trial is not None else ""
        return (
            f"<Events: {self.n_events} events of {self.n_units} units{trials}, "
            f"{self.start:g} to {self.stop:g} s, tick {self.tick:g} s>"
        )
