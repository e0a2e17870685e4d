"""Poisson encoding: intensities become the rates of independent random spike trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_memory, check_number
from activome._random import RandomState, make_generator
from activome.activity.events import Events
from activome.encoding._intensities import read_intensities, whole_ticks
from activome.errors import ActivityError, ParameterError

__all__ = ["PoissonEncoder"]


@dataclass(frozen=True)
class PoissonEncoder:
    """Draw spikes whose rate is ``rate`` times the intensity of each unit.

    Time is cut into bins of ``dt``; each bin holds one spike with probability
    ``1 - exp(-rate x dt)``, the chance that a Poisson process has at least one, or ``rate x dt``
    with ``linear=True``. Bins are independent.

    Parameters
    ----------
    rate : float in (0, inf), default=100.0
        Rate in Hz of an intensity of 1.
    duration : float, default=0.1
        Length of a trial in s, a whole number of bins; ignored for intensities with a time axis,
        whose samples are held for 1 / sampling rate each, or for one bin without a rate.
    dt : float, default=1e-3
        Bin in s, a whole number of microseconds.
    linear : bool, default=False
        Use the first-order probability, which is refused above 1.
    random_state : int, Generator or None, default=None
        Seed.

    Raises
    ------
    ParameterError
        If a number is outside its range, or times are no whole number of bins.

    Notes
    -----
    A spike stands at the start of its bin. A bin never holds two: at high rates the count is
    below that of the process, with either probability.

    Examples
    --------
    >>> spikes = PoissonEncoder(rate=100.0, duration=1.0, random_state=0).encode([0.0, 0.5, 1.0])
    >>> spikes.bin(1.0).values.tolist()
    [[[0, 46, 92]]]
    """

    rate: float = 100.0
    duration: float = 0.1
    dt: float = 1e-3
    linear: bool = False
    random_state: RandomState = None

    def __post_init__(self) -> None:
        for name in ("rate", "duration", "dt"):
            check_number(getattr(self, name), name=name, owner="PoissonEncoder", low=0.0)
        _n_bins(self.duration, self.dt, "duration")

    def encode(self, values: Any) -> Events:
        """Draw the spikes of some intensities.

        Parameters
        ----------
        values : array-like or xarray.DataArray, shape (n_units,), (n_trials, n_units) or \
(n_trials, n_times, n_units)
            Non-negative intensities, by which ``rate`` is multiplied.

        Returns
        -------
        Events
            One trial per row of the intensities.

        Raises
        ------
        ActivityError
            If intensities are negative, not finite, or of another shape.
        ParameterError
            If ``linear`` gives a probability above 1, or samples are no whole number of bins.
        """
        owner = "PoissonEncoder.encode"
        array, table, sampling_rate = read_intensities(values, owner, changing=True)
        if (array < 0).any():
            place = np.unravel_index(int(np.argmax(array < 0)), array.shape)
            raise ActivityError(
                f"{owner}: intensities must not be negative; the first is at trial {place[0]}, "
                f"unit {place[2]}. Rectify them first."
            )
        held = self.duration
        if "time" in getattr(values, "dims", ()) or np.ndim(values) == 3:
            held = self.dt if sampling_rate is None else 1.0 / float(sampling_rate)
        n_repeats = _n_bins(held, self.dt, "the length of a sample")
        chance = self.rate * array * self.dt
        chance = chance if self.linear else -np.expm1(-chance)
        if (chance > 1).any():
            raise ParameterError(
                f"{owner}: rate dt x must be at most 1 with linear=True; the largest is "
                f"{chance.max():g}. Make dt smaller, or leave linear out."
            )
        n_trials, n_times, n_units = array.shape
        n_bins = n_times * n_repeats
        check_memory(
            9.0 * n_bins * n_units, owner=owner, what="the draws of one trial", cure="Raise dt."
        )
        generator = make_generator(self.random_state)
        width = whole_ticks(self.dt, "dt", owner)
        t, unit, trial = [], [], []
        for k in range(n_trials):
            drawn = generator.random((n_bins, n_units)) < np.repeat(chance[k], n_repeats, axis=0)
            bins, units = np.nonzero(drawn)
            t.append(bins * width)
            unit.append(units)
            trial.append(np.full(bins.size, k))
        return Events(
            np.concatenate(t),
            np.concatenate(unit),
            trial=np.concatenate(trial),
            n_units=n_units,
            n_trials=n_trials,
            t_start=0,
            t_stop=n_bins * width,
            unit_table=table,
            source="PoissonEncoder",
        )


def _n_bins(seconds: float, dt: float, what: str) -> int:
    width = whole_ticks(dt, "dt", "PoissonEncoder")
    ticks = whole_ticks(seconds, what, "PoissonEncoder")
    if ticks % width:
        raise ParameterError(
            f"PoissonEncoder: {what} must be a whole number of bins; got {seconds:g} s and bins "
            f"of {dt:g} s."
        )
    return ticks // width
