"""Current encoding: intensities become currents that are constant in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_memory, check_number
from activome._random import RandomState
from activome.activity.events import Events
from activome.encoding._intensities import read_intensities, whole_ticks
from activome.errors import ParameterError

__all__ = ["CurrentEncoder"]


@dataclass(frozen=True)
class CurrentEncoder:
    """Give each unit the current ``gain x`` in every step of ``dt``.

    The current is the value of one event per step and unit, which ``simulate`` injects for that
    step; units without current have no events.

    Parameters
    ----------
    gain : float, default=1.0
        Current of an intensity of 1, in the unit that the neuron takes (nA, or dimensionless).
    duration : float, default=0.1
        Length of a trial in s, a whole number of steps.
    dt : float, default=1e-3
        Step in s, a whole number of microseconds.
    random_state : int, Generator or None, default=None
        Taken so that encoders can be exchanged; nothing here is random.

    Raises
    ------
    ParameterError
        If a number is outside its range, or the duration is no whole number of steps.

    Examples
    --------
    >>> current = CurrentEncoder(gain=2.0, duration=0.003).encode([0.0, 0.5])
    >>> current.time.tolist(), current.unit.tolist(), current.value.tolist()
    ([0.0, 0.001, 0.002], [1, 1, 1], [1.0, 1.0, 1.0])
    """

    gain: float = 1.0
    duration: float = 0.1
    dt: float = 1e-3
    random_state: RandomState = None

    def __post_init__(self) -> None:
        check_number(self.gain, name="gain", owner="CurrentEncoder")
        for name in ("duration", "dt"):
            check_number(getattr(self, name), name=name, owner="CurrentEncoder", low=0.0)
        width = whole_ticks(self.dt, "dt", "CurrentEncoder")
        if whole_ticks(self.duration, "duration", "CurrentEncoder") % width:
            raise ParameterError(
                f"CurrentEncoder: duration must be a whole number of steps; got {self.duration:g} "
                f"s and steps of {self.dt:g} s."
            )

    def encode(self, values: Any) -> Events:
        """Make the currents of some intensities.

        Parameters
        ----------
        values : array-like or xarray.DataArray, shape (n_units,) or (n_trials, n_units)
            Intensities of either sign.

        Returns
        -------
        Events
            With the currents in ``value`` (float32).

        Raises
        ------
        ActivityError
            If intensities are not finite, change in time, or have another shape.
        ParameterError
            If a current is above the largest float32.
        ResourceError
            If the events would take more than 2 GiB.
        """
        owner = "CurrentEncoder.encode"
        array, table, _ = read_intensities(values, owner, changing=False)
        with np.errstate(over="ignore"):
            amount = (self.gain * array[:, 0]).astype(np.float32)
        if not np.isfinite(amount).all():
            raise ParameterError(
                f"{owner}: gain x must be below {np.finfo(np.float32).max:.2g}, the largest "
                f"float32; gain is {self.gain:g}. Lower gain."
            )
        width = whole_ticks(self.dt, "dt", owner)
        n_steps = whole_ticks(self.duration, "duration", owner) // width
        trial, unit = np.nonzero(amount)
        n_events = trial.size * n_steps
        check_memory(20.0 * n_events, owner=owner, what="the events", cure="Raise dt.")
        # (trial, step, unit): sorted by trial, then time.
        step = np.tile(np.arange(n_steps), trial.size)
        trial, unit = np.repeat(trial, n_steps), np.repeat(unit, n_steps)
        order = np.lexsort((unit, step, trial))
        trial, unit, step = trial[order], unit[order], step[order]
        return Events(
            step * width,
            unit,
            trial=trial,
            value=amount[trial, unit],
            n_units=array.shape[2],
            n_trials=array.shape[0],
            t_start=0,
            t_stop=n_steps * width,
            unit_table=table,
            source="CurrentEncoder",
        )
