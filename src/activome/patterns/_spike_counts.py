"""Spikes of a population in bins, and of trains that are shifted against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._compile import kernel
from activome.activity.events import Events
from activome.errors import ActivityError
from activome.patterns._spike_intervals import clock_of

__all__ = ["BinnedTrains", "bin_trains"]

Array = np.ndarray[Any, Any]
_MOST_EVENTS = 200_000


@kernel()
def _count_shifted(
    place: Array, unit: Array, first: Array, lag: Array, n_bins: int, counts: Array
) -> None:
    """Count events per bin, each train shifted by its lag around its trial; counts start at 0."""
    for i in range(place.size):
        k = place[i] + lag[unit[i]]
        if k >= n_bins:
            k -= n_bins
        elif k < 0:
            k += n_bins
        counts[first[i] + k] += 1.0


@dataclass(frozen=True)
class BinnedTrains:
    """Spikes by bin and unit.

    Attributes
    ----------
    place : ndarray of int64, shape (n_events,)
        Bin within the trial.
    unit : ndarray of int64, shape (n_events,)
        Unit.
    first : ndarray of int64, shape (n_events,)
        First bin of the trial among all bins.
    n_units, n_bins, n_trials : int
        Sizes; bins are those of one trial.
    bin_width : float
        In s.
    """

    place: Array
    unit: Array
    first: Array
    n_units: int
    n_bins: int
    n_trials: int
    bin_width: float

    def counts(self) -> Array:
        """Return the spikes of the population in each bin, float64, all trials in a row."""
        return self._shifted(np.zeros(self.n_units, dtype=np.int64))

    def shifted(self, most: int, generator: np.random.Generator) -> Array:
        """Return the same of trains that are shifted by up to ``most`` bins either way."""
        return self._shifted(generator.integers(-most, most, self.n_units, endpoint=True))

    def _shifted(self, lag: Array) -> Array:
        counts = np.zeros(self.n_trials * self.n_bins)
        _count_shifted(self.place, self.unit, self.first, lag, self.n_bins, counts)
        return counts

    def own_pairs(self) -> float:
        """Return the sum of squared counts of single units, which no shift changes."""
        key = (self.first + self.place) * self.n_units + self.unit
        _, times = np.unique(key, return_counts=True)
        return float(np.sum(times.astype(np.float64) ** 2))


def bin_trains(
    events: Events, bin_width: float, generator: np.random.Generator, owner: str
) -> BinnedTrains:
    """Bin the spikes of a recording, or of a stretch of it that holds at most 200,000.

    Parameters
    ----------
    events : Events
        Spikes.
    bin_width : float
        In s, at least; bins are whole steps of the recording's clock.
    generator : numpy.random.Generator
        Chooses trials, where not all fit.
    owner : str
        Who asks, for the message.

    Returns
    -------
    BinnedTrains
        Spikes of the units that fire.

    Raises
    ------
    ActivityError
        If fewer than two units fire.
    """
    resolution = clock_of(events)
    width = resolution * max(1, int(np.ceil(bin_width / (resolution * events.tick) - 1e-9)))
    start, stop = events.t_start, events.t_stop
    trial = np.zeros(events.n_events, np.int64) if events.trial is None else events.trial
    taken = np.arange(events.n_trials)
    share = _MOST_EVENTS / max(events.n_events, 1)
    if share < 1 and taken.size > 1:
        n_taken = max(1, int(share * taken.size))
        taken = np.sort(generator.choice(taken.size, n_taken, replace=False))
    elif share < 1:
        middle = events.t[events.n_events // 2]
        half = int(share * (stop - start) / 2)
        start, stop = max(start, int(middle) - half), min(stop, int(middle) + half)
        start -= (start - events.t_start) % width
    n_bins = max(1, (stop - start) // width)
    row = np.full(events.n_trials, -1, dtype=np.int64)
    row[taken] = np.arange(taken.size)
    # A last bin that the end cuts short would hold fewer spikes than the others: it is left out.
    keep = (row[trial] >= 0) & (events.t >= start) & (events.t < start + n_bins * width)
    firing, unit = np.unique(events.unit[keep], return_inverse=True)
    if firing.size < 2:
        raise ActivityError(f"{owner}: at least two units must fire; {firing.size} do.")
    return BinnedTrains(
        place=((events.t[keep] - start) // width).astype(np.int64),
        unit=unit.astype(np.int64),
        first=row[trial[keep]] * n_bins,
        n_units=int(firing.size),
        n_bins=int(n_bins),
        n_trials=int(taken.size),
        bin_width=width * events.tick,
    )
