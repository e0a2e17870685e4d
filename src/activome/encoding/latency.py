"""Latency encoding: the stronger the intensity, the earlier its one spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_number
from activome._random import RandomState
from activome.activity.events import Events
from activome.encoding._intensities import TICK, read_intensities, whole_ticks
from activome.errors import ActivityError

__all__ = ["LatencyEncoder"]


@dataclass(frozen=True)
class LatencyEncoder:
    """Give each unit one spike at ``t_max (1 - x)``, or none when ``x`` is below a threshold.

    Parameters
    ----------
    t_max : float, default=0.1
        Time in s of an intensity of 0, a whole number of microseconds.
    threshold : float in [0, 1], default=0.01
        Intensities below it stay silent; one that equals it fires.
    random_state : int, Generator or None, default=None
        Taken so that encoders can be exchanged; nothing here is random.

    Raises
    ------
    ParameterError
        If a number is outside its range.

    Notes
    -----
    Times are rounded to the microsecond.

    Examples
    --------
    >>> spikes = LatencyEncoder(t_max=0.1).encode([1.0, 0.25, 0.0])
    >>> spikes.time.tolist(), spikes.unit.tolist()
    ([0.0, 0.075], [0, 1])
    """

    t_max: float = 0.1
    threshold: float = 0.01
    random_state: RandomState = None

    def __post_init__(self) -> None:
        owner = "LatencyEncoder"
        check_number(self.t_max, name="t_max", owner=owner, low=0.0)
        whole_ticks(self.t_max, "t_max", owner)
        check_number(
            self.threshold,
            name="threshold",
            owner=owner,
            low=0.0,
            high=1.0,
            include_low=True,
            include_high=True,
        )

    def encode(self, values: Any) -> Events:
        """Place the spikes of some intensities.

        Parameters
        ----------
        values : array-like or xarray.DataArray, shape (n_units,) or (n_trials, n_units)
            Intensities in [0, 1].

        Returns
        -------
        Events
            At most one event per trial and unit; the window is ``t_max`` and one tick more.

        Raises
        ------
        ActivityError
            If intensities are outside [0, 1], not finite, change in time, or have another shape.
        """
        owner = "LatencyEncoder.encode"
        array, table, _ = read_intensities(values, owner, changing=False)
        if (array < 0).any() or (array > 1).any():
            raise ActivityError(
                f"{owner}: intensities must be in [0, 1]; got values from {array.min():g} to "
                f"{array.max():g}. Scale them first."
            )
        array = array[:, 0]
        t = np.rint(self.t_max * (1 - array) / TICK).astype(np.int64)
        trial, unit = np.nonzero(array >= self.threshold)
        order = np.lexsort((unit, t[trial, unit], trial))
        trial, unit = trial[order], unit[order]
        return Events(
            t[trial, unit],
            unit,
            trial=trial,
            n_units=array.shape[1],
            n_trials=array.shape[0],
            t_start=0,
            t_stop=whole_ticks(self.t_max, "t_max", owner) + 1,
            unit_table=table,
            source="LatencyEncoder",
        )
