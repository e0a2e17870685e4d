"""Events in other forms: counts, intervals, frames, records, containers of other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from activome._checks import DEFAULT_MEMORY_LIMIT, check_choice, check_memory
from activome._extras import require
from activome.activity import _event_columns as columns
from activome.activity._binning import count_events
from activome.activity.schema import Activity, make
from activome.errors import ActivityError, ParameterError

if TYPE_CHECKING:
    import neo
    import pynapple

__all__ = ["EventViews"]

Array = np.ndarray[Any, Any]


class EventViews:
    """The forms in which ``Events`` can be had; a part of that class, of no use alone."""

    t: Array
    unit: Array
    trial: Array | None
    value: Array | None
    x: Array | None
    y: Array | None
    p: Array | None
    feature: Array | None
    tick: float
    n_units: int
    n_trials: int
    shape: tuple[int, int] | None
    t_start: int
    t_stop: int
    unit_table: pd.DataFrame
    source: str

    @property
    def n_events(self) -> int:
        """Number of events."""
        return int(self.t.size)

    @property
    def time(self) -> Array:
        """Times in s, float64, shape (n_events,)."""
        return columns.to_seconds(self.t, self.tick)

    @property
    def start(self) -> float:
        """Start of the observed window in s."""
        return float(columns.to_seconds(np.array(self.t_start), self.tick))

    @property
    def stop(self) -> float:
        """End of the observed window in s, not part of it."""
        return float(columns.to_seconds(np.array(self.t_stop), self.tick))

    @property
    def offsets(self) -> Array:
        """Where each trial begins, int64, shape (n_trials + 1,); the last entry is the end."""
        if self.trial is None:
            return np.array([0, self.n_events], dtype=np.int64)
        return np.searchsorted(self.trial, np.arange(self.n_trials + 1)).astype(np.int64)

    def counts(self) -> Array:
        """Count the events of each unit.

        Returns
        -------
        ndarray of int64, shape (n_units,)
            Events per unit, over all trials.
        """
        return np.bincount(self.unit, minlength=self.n_units)

    def bin(
        self,
        dt: float,
        *,
        start: float | None = None,
        stop: float | None = None,
        tail: Literal["keep", "drop", "refuse"] = "keep",
        memory_limit: float = DEFAULT_MEMORY_LIMIT,
    ) -> Activity:
        """Count events in bins of ``dt`` seconds.

        Bin k holds the events in [start + k dt, start + (k + 1) dt), decided on whole ticks.

        Parameters
        ----------
        dt : float
            Bin width in s, a whole number of ticks.
        start, stop : float, optional
            Window in s; by default the observed one.
        tail : {"keep", "drop", "refuse"}, default="keep"
            What becomes of a last bin that ``stop`` cuts short: kept (it covers less time than the
            others), dropped, or refused.
        memory_limit : float, default=2 GiB
            Largest result in bytes.

        Returns
        -------
        xarray.DataArray
            Dims (trial, time, unit), without trial for events without trials; ``time`` is the start
            of each bin in s. The dtype is the narrowest unsigned integer that holds every count:
            convert it before arithmetic that may pass 255.

        Raises
        ------
        ParameterError
            If ``dt`` is not a whole number of ticks, the window is empty, or the bins do not divide
            it and ``tail`` is "refuse".
        ResourceError
            If the result would pass the memory limit.
        """
        width = columns.width_in_ticks(dt, self.tick)
        check_choice(tail, ("keep", "drop", "refuse"), name="tail", owner="Events.bin")
        bounds = [
            given if value is None else int(columns.to_ticks(np.array([value]), self.tick)[0])
            for value, given in ((start, self.t_start), (stop, self.t_stop))
        ]
        first, length = bounds[0], bounds[1] - bounds[0]
        n_bins, rest = divmod(length, width)
        if rest and tail == "refuse":
            raise ParameterError(
                f"Events.bin: dt = {dt:g} s must divide the window of {length * self.tick:g} s; "
                f"{rest * self.tick:g} s are left over. Choose tail='keep' or 'drop'."
            )
        n_bins += int(rest > 0 and tail == "keep")
        if n_bins < 1:
            raise ParameterError(
                f"Events.bin: the window of {length * self.tick:g} s must hold at least one bin of "
                f"{dt:g} s. Choose a smaller dt or another window."
            )
        shape = (self.n_trials, n_bins, self.n_units)
        check_memory(
            float(np.prod(shape, dtype=np.float64)),
            owner="Events.bin",
            what=f"a raster of {shape[0]} trials x {shape[1]} bins x {shape[2]} units",
            cure="Choose wider bins or a shorter window.",
            limit=memory_limit,
        )
        row = np.empty(0, np.int32) if self.trial is None else self.trial
        counts = count_events(self.t, row, self.unit, first=first, width=width, shape=shape)
        one_trial = self.trial is None
        ticks = first + width * np.arange(n_bins, dtype=np.int64)
        return make(
            counts[0] if one_trial else counts,
            ("time", "unit") if one_trial else ("trial", "time", "unit"),
            time=columns.to_seconds(ticks, self.tick),
            unit=self.unit_table.index.to_numpy(),
            coords={str(k): ("unit", v.to_numpy()) for k, v in self.unit_table.items()},
            kind="spikes",
            units="events per bin",
            sampling_rate=1.0 / columns.exact_seconds(width, self.tick),
            source=self.source,
        )

    def isi(self) -> list[Array]:
        """Measure the intervals between successive events of each unit.

        Returns
        -------
        list of ndarray of float64, shape (n_intervals_of_unit,)
            Intervals in s, trial by trial; none spans two trials.
        """
        order = np.argsort(self.unit, kind="stable")
        t, unit = self.t[order], self.unit[order]
        same = unit[1:] == unit[:-1]
        if self.trial is not None:
            trial = self.trial[order]
            same &= trial[1:] == trial[:-1]
        steps = columns.to_seconds(np.diff(t)[same], self.tick)
        per_unit = np.bincount(unit[1:][same], minlength=self.n_units)
        return np.split(steps, np.cumsum(per_unit)[:-1]) if self.n_units else []

    def to_frames(self, dt: float, *, memory_limit: float = DEFAULT_MEMORY_LIMIT) -> Array:
        """Count pixel events in frames.

        Parameters
        ----------
        dt : float
            Frame length in s, a whole number of ticks.
        memory_limit : float, default=2 GiB
            Largest result in bytes.

        Returns
        -------
        ndarray of unsigned int, shape (n_trials, n_polarities, n_frames, n_rows, n_columns)
            Polarities in ascending order; one polarity without a column ``p``.

        Raises
        ------
        ActivityError
            If the events have no pixels.
        ResourceError
            If the frames would pass the memory limit.
        """
        if self.x is None or self.y is None or self.shape is None:
            raise ActivityError("Events.to_frames: these events have no pixels (x, y).")
        width = columns.width_in_ticks(dt, self.tick, owner="Events.to_frames")
        n_frames = -(-(self.t_stop - self.t_start) // width)
        polarity = np.zeros(self.n_events, np.int8) if self.p is None else self.p
        signs, sign = np.unique(polarity, return_inverse=True)
        trial = np.zeros(self.n_events, np.int32) if self.trial is None else self.trial
        shape = (self.n_trials, max(1, signs.size), n_frames, *self.shape)
        check_memory(
            4.0 * float(np.prod(shape, dtype=np.float64)),
            owner="Events.to_frames",
            what=f"frames of shape {shape}",
            cure="Choose longer frames or a shorter window.",
            limit=memory_limit,
        )
        place = (trial, sign, (self.t - self.t_start) // width, self.y, self.x)
        flat = np.ravel_multi_index(tuple(np.asarray(axis) for axis in place), shape)
        counts = np.bincount(flat, minlength=int(np.prod(shape)))
        return counts.astype(np.min_scalar_type(counts.max(initial=0))).reshape(shape)

    def to_structured(self) -> Array:
        """Return pixel events as records (t, x, y, p), with t in ticks.

        Returns
        -------
        ndarray of record, shape (n_events,)
            Fields t int64, x int16, y int16, p int8.

        Raises
        ------
        ActivityError
            If the events have no pixels.
        """
        if self.x is None or self.y is None:
            raise ActivityError("Events.to_structured: these events have no pixels (x, y).")
        fields = [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)]
        records = np.empty(self.n_events, dtype=fields)
        records["t"], records["x"], records["y"] = self.t, self.x, self.y
        records["p"] = 0 if self.p is None else self.p
        return records

    def to_pynapple(self) -> pynapple.TsGroup:
        """Hand the events to pynapple, one Ts per unit, with the unit table as metadata.

        Returns
        -------
        pynapple.TsGroup
            Times in s; the time support is the observed window.

        Raises
        ------
        ActivityError
            If there is more than one trial.
        """
        owner = "Events.to_pynapple"
        nap = require("pynapple", extra="spikes", owner=owner)
        if self.n_trials > 1:
            raise ActivityError(
                f"{owner}: pynapple has one clock; these events have {self.n_trials} trials. "
                "Select one with select(trials=[i])."
            )
        support = nap.IntervalSet(start=self.start, end=self.stop)
        order = np.argsort(self.unit, kind="stable")
        times = np.split(self.time[order], np.cumsum(self.counts())[:-1])
        group = {i: nap.Ts(t=t, time_support=support) for i, t in enumerate(times)}
        metadata = self.unit_table.rename_axis("name").reset_index()
        return nap.TsGroup(group, time_support=support, metadata=metadata)

    def to_neo(self) -> neo.Block:
        """Hand the events to neo: one segment per trial, one spike train per unit.

        Returns
        -------
        neo.Block
            Times in s, with ``t_start`` and ``t_stop``; the unit table as annotations.
        """
        neo_package = require("neo", extra="spikes", owner="Events.to_neo")
        block = neo_package.Block(name=self.source)
        table = [
            {"unit": str(name), **{str(k): v for k, v in row.items()}}
            for name, row in self.unit_table.astype(object).iterrows()
        ]
        seconds, bounds = self.time, self.offsets
        for i in range(self.n_trials):
            window = slice(int(bounds[i]), int(bounds[i + 1]))
            order = np.argsort(self.unit[window], kind="stable")
            per_unit = np.bincount(self.unit[window], minlength=self.n_units)
            times = np.split(seconds[window][order], np.cumsum(per_unit)[:-1])
            segment = neo_package.Segment(name=f"trial {i}")
            for row, t in zip(table, times, strict=True):
                train = neo_package.SpikeTrain(
                    t, units="s", t_start=self.start, t_stop=self.stop, name=row["unit"], **row
                )
                segment.spiketrains.append(train)
            block.segments.append(segment)
        return block
