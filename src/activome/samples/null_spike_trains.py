"""Spike trains of units that know nothing of each other, of the kinds that mislead tests most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.events import Events

__all__ = ["SPIKE_NULL_KINDS", "null_spike_trains"]

Array = np.ndarray[Any, Any]
_SHAPE = 4.0
_BURST_SHARE, _BURST_MEAN, _BURST_LEAST = 0.7, 0.004, 0.002
_DEPTH = 0.8


def null_spike_trains(
    kind: str = "poisson",
    *,
    n_units: int = 20,
    duration: float = 60.0,
    rate: float = 8.0,
    random_state: RandomState = None,
) -> tuple[Events, Array]:
    """Generate independent spike trains.

    - ``poisson``: Poisson processes;
    - ``gamma``: renewal processes with intervals of gamma shape 4, more regular than Poisson;
    - ``bursty``: renewal processes in which 7 of 10 intervals are 2 ms plus an exponential of 4 ms;
    - ``drift``: Poisson processes whose rates all follow one slow wave, 0.5 to 1.5 cycles over the
      recording, between 20 and 180 % of their mean.

    Parameters
    ----------
    kind : {"poisson", "gamma", "bursty", "drift"}, default="poisson"
        Which kind.
    n_units : int, default=20
        Units.
    duration : float, default=60.0
        In s.
    rate : float, default=8.0
        Median over units of the mean rate, spikes per s, at most 50; log-normal with sigma 0.5,
        at most ten times the median.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    events : Events
        Spikes.
    rates : ndarray of float64, shape (n_units,)
        Mean rates in spikes per s.

    Raises
    ------
    ParameterError
        If ``kind`` is unknown or a number is outside its range.

    Examples
    --------
    >>> events, rates = null_spike_trains("gamma", n_units=3, random_state=0)
    >>> events.n_units, rates.round(1).tolist()
    (3, [8.5, 7.5, 11.0])
    """
    owner = "samples.null_spike_trains"
    check_choice(kind, SPIKE_NULL_KINDS, name="kind", owner=owner)
    check_integer(n_units, name="n_units", owner=owner, low=1)
    check_number(duration, name="duration", owner=owner, low=0.0)
    check_number(rate, name="rate", owner=owner, low=0.0, high=50.0, include_high=True)
    rng = make_generator(random_state)
    rates = rate * np.minimum(np.exp(0.5 * rng.normal(size=n_units)), 10.0)
    trains = _KINDS[kind](rates, float(duration), rng)
    events = Events.from_unit_times(
        trains, start=0.0, stop=float(duration), source="activome.samples generator"
    )
    return events, rates


def _poisson(rates: Array, duration: float, rng: np.random.Generator) -> list[Array]:
    return [np.sort(rng.uniform(0, duration, rng.poisson(r * duration))) for r in rates]


def _gamma(rates: Array, duration: float, rng: np.random.Generator) -> list[Array]:
    def draw(n: int, rate: float) -> Array:
        return rng.gamma(_SHAPE, 1 / (_SHAPE * rate), n)

    return [_renewal(draw, rate, duration) for rate in rates]


def _bursty(rates: Array, duration: float, rng: np.random.Generator) -> list[Array]:
    def draw(n: int, rate: float) -> Array:
        short = _BURST_LEAST + _BURST_MEAN
        long = (1 / rate - _BURST_SHARE * short) / (1 - _BURST_SHARE)
        within = _BURST_LEAST + rng.exponential(_BURST_MEAN, n)
        between = rng.exponential(max(long, short), n)
        return np.where(rng.random(n) < _BURST_SHARE, within, between)

    return [_renewal(draw, rate, duration) for rate in rates]


def _drift(rates: Array, duration: float, rng: np.random.Generator) -> list[Array]:
    cycles, phase = rng.uniform(0.5, 1.5), rng.uniform(0, 2 * np.pi)
    trains = []
    for candidates in _poisson(rates * (1 + _DEPTH), duration, rng):
        wave = 1 + _DEPTH * np.cos(2 * np.pi * cycles * candidates / duration + phase)
        keep = rng.random(candidates.size) * (1 + _DEPTH) < wave
        trains.append(candidates[keep])
    return trains


def _renewal(draw: Callable[[int, float], Array], rate: float, duration: float) -> Array:
    """Return the spikes of a renewal process that began long before the recording."""
    lead = 20 / rate
    n = int(rate * (duration + lead)) + 20
    times = np.cumsum(draw(n, rate)) - lead
    while times[-1] < duration:
        times = np.append(times, times[-1] + np.cumsum(draw(n, rate)))
    return np.asarray(times[(times >= 0) & (times < duration)])


_KINDS: dict[str, Callable[[Array, float, np.random.Generator], list[Array]]] = {
    "poisson": _poisson,
    "gamma": _gamma,
    "bursty": _bursty,
    "drift": _drift,
}
SPIKE_NULL_KINDS = tuple(_KINDS)
