"""Successive spikes of single units, trial by trial, and Poisson trains of as many spikes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.activity.events import Events
from activome.errors import ActivityError

__all__ = ["SuccessiveTrains", "clock_of", "successive_trains"]

Array = np.ndarray[Any, Any]
_FEWEST_INTERVALS = 20
_MOST_UNITS, _MOST_TRIALS, _MOST_SPIKES = 64, 50, 1000


@dataclass(frozen=True)
class SuccessiveTrains:
    """Trains of some units in some trials, one after the other.

    Attributes
    ----------
    t : ndarray of int64, shape (n_events,)
        Times in steps of the clock, from the beginning of the trial.
    train : ndarray of int64, shape (n_events,)
        Number of the train, from 0.
    unit : ndarray of int64, shape (n_trains,)
        Unit of each train.
    span : ndarray of int64, shape (n_trains,)
        Steps of the clock that each train covers.
    """

    t: Array
    train: Array
    unit: Array
    span: Array

    def local_variation(self, t: Array) -> float:
        """Return the mean over units of the local variation of times with these trains.

        Parameters
        ----------
        t : ndarray of int64, shape (n_events,)
            Times in steps of the clock.

        Returns
        -------
        float
            1 for Poisson processes on a fine clock.
        """
        steps = np.diff(t)
        total = steps[1:] + steps[:-1]
        is_pair = (self.train[2:] == self.train[:-2]) & (total > 0)
        ratio = np.diff(steps)[is_pair] / total[is_pair]
        unit = self.unit[self.train[2:][is_pair]]
        n_pairs = np.bincount(unit)
        sums = np.bincount(unit, ratio**2)
        return float(np.mean(3.0 * sums[n_pairs > 0] / n_pairs[n_pairs > 0]))

    def uniform(self, generator: np.random.Generator) -> Array:
        """Return times of as many spikes in each train, drawn evenly over what it covers."""
        place = np.sort(self.train + generator.random(self.t.size)) - self.train
        return np.minimum((place * self.span[self.train]).astype(np.int64), self.span[self.train])

    def runs(self, length: int, most: int) -> list[Array]:
        """Return intervals as symbols, 1 where above the median of their run.

        Parameters
        ----------
        length : int
            Of a run.
        most : int
            Symbols of all units together, at most, where a unit has more than one run.

        Returns
        -------
        list of ndarray of uint8, shape (n_runs, length)
            One per unit that has runs.
        """
        bounds = np.searchsorted(self.train, np.arange(self.unit.size + 1))
        per_unit: dict[int, list[Array]] = {}
        for k, (low, high) in enumerate(itertools.pairwise(bounds)):
            steps = np.diff(self.t[low:high])
            whole = steps[: steps.size // length * length].reshape(-1, length)
            if len(whole):
                above = whole > np.median(whole, axis=1, keepdims=True)
                per_unit.setdefault(int(self.unit[k]), []).append(above.astype(np.uint8))
        each = max(1, most // (length * max(1, len(per_unit))))
        return [np.concatenate(parts)[:each] for parts in per_unit.values()]


def clock_of(events: Events) -> int:
    """Return the clock of the times in ticks: their greatest common divisor, from the start on."""
    return int(max(1, np.gcd.reduce(events.t - events.t_start))) if events.n_events else 1


def successive_trains(events: Events, owner: str) -> SuccessiveTrains:
    """Return the trains of units with enough intervals, at most so many units, trials and spikes.

    Parameters
    ----------
    events : Events
        Spikes.
    owner : str
        Who asks, for the message.

    Returns
    -------
    SuccessiveTrains
        Trains with at least three spikes.

    Raises
    ------
    ActivityError
        If no unit has 20 intervals.
    """
    trial = np.zeros(events.n_events, np.int64) if events.trial is None else events.trial
    chosen = _evenly(events.n_trials, _MOST_TRIALS)
    key = events.unit.astype(np.int64) * events.n_trials + trial
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key, minlength=events.n_units * events.n_trials)
    starts = np.concatenate([[0], np.cumsum(counts)])
    n_intervals = np.maximum(counts - 1, 0).reshape(events.n_units, -1)[:, chosen].sum(axis=1)
    many = np.flatnonzero(n_intervals >= _FEWEST_INTERVALS)
    if many.size == 0:
        raise ActivityError(
            f"{owner}: there must be a unit with at least {_FEWEST_INTERVALS} intervals in its "
            f"trials; none of the {events.n_units} units has that many."
        )
    units = many[_evenly(many.size, _MOST_UNITS)]
    clock, most = clock_of(events), max(_FEWEST_INTERVALS + 1, _MOST_SPIKES // chosen.size)
    whole = -(-(events.t_stop - events.t_start) // clock)
    parts, unit, span = [], [], []
    for k in (units[:, np.newaxis] * events.n_trials + chosen).reshape(-1):
        if counts[k] < 3:
            continue
        t = (events.t[order[starts[k] : starts[k + 1]]] - events.t_start) // clock
        # Given the spike behind them, the first of a Poisson process lie evenly before it.
        span.append(whole if t.size <= most else t[most])
        parts.append(t[:most])
        unit.append(k // events.n_trials)
    if not parts:
        raise ActivityError(f"{owner}: no unit has three spikes in one trial.")
    train = np.repeat(np.arange(len(parts)), [part.size for part in parts])
    return SuccessiveTrains(
        np.concatenate(parts), train, np.array(unit), np.array(span, dtype=np.int64)
    )


def _evenly(n: int, most: int) -> Array:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
