"""Delayed synapses on event streams, event by event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_finite, check_integer, check_memory
from activome.activity._event_columns import to_ticks
from activome.activity.events import Events
from activome.errors import ActivityError

__all__ = ["delay_events", "polarity_units"]

Array = np.ndarray[Any, Any]
_COLUMNS = ("source", "target", "delay", "weight")


def polarity_units(events: Events) -> Events:
    """Number pixel events by polarity and pixel, as a layer with two polarities does.

    Parameters
    ----------
    events : Events
        Events with columns x, y and p.

    Returns
    -------
    Events
        The events with ``unit = (on * n_rows + y) * n_columns + x``; ``on`` is 1 where p > 0.

    Raises
    ------
    ActivityError
        If the events have no pixels or no polarity.

    Examples
    --------
    >>> events = Events([0], [1], x=[1], y=[0], p=[1], shape=(2, 2))
    >>> polarity_units(events).unit.tolist()
    [5]
    """
    if events.x is None or events.y is None or events.shape is None or events.p is None:
        raise ActivityError("polarity_units: events must have columns x, y and p.")
    rows, columns = events.shape
    unit = ((events.p > 0) * rows + events.y.astype(np.int64)) * columns + events.x
    return Events(
        events.t,
        unit,
        trial=events.trial,
        n_trials=events.n_trials,
        tick=events.tick,
        n_units=2 * rows * columns,
        t_start=events.t_start,
        t_stop=events.t_stop,
        source=events.source,
    )


def delay_events(events: Events, synapses: pd.DataFrame, *, n_units: int | None = None) -> Events:
    """Send every event through every synapse of its unit, each with a delay of its own.

    An event of unit i at t becomes an event of unit j at ``t + delay`` for every synapse from i to
    j; a pair may have several synapses. The weight goes into the column ``value``, times the value
    that the event had.

    Parameters
    ----------
    events : Events
        What arrives.
    synapses : pandas.DataFrame
        Columns source and target (indices of units), delay (s, not negative) and weight.
    n_units : int, optional
        Units behind; by default one more than the largest target.

    Returns
    -------
    Events
        Arrivals, sorted by trial, then time; at one time in the order of what caused them.

    Raises
    ------
    ActivityError
        If a column is missing, an index is out of range, or a delay is negative or not finite.
    ResourceError
        If the arrivals would take more than 2 GiB.

    Notes
    -----
    O(events x synapses of each): the cost that pruning lowers. Delays are rounded to the tick.

    References
    ----------
    .. [1] A. Grimaldi and L. U. Perrinet, "Learning heterogeneous delays in a layer of spiking
       neurons for fast motion detection", 2023.

    Examples
    --------
    >>> synapses = pd.DataFrame(
    ...     {"source": [0, 0], "target": [1, 1], "delay": [0.003, 0.001], "weight": [1.0, 2.0]}
    ... )
    >>> arrivals = delay_events(Events([0], [0], tick=1e-3), synapses)
    >>> arrivals.t.tolist(), arrivals.value.tolist()
    ([1, 3], [2.0, 1.0])
    """
    owner = "delay_events"
    source, target, delay, weight = _read(synapses, events, owner)
    found = int(target.max()) + 1 if target.size else 1
    if n_units is not None:
        n_units = check_integer(n_units, name="n_units", owner=owner, low=1)
        if found > n_units:
            raise ActivityError(
                f"{owner}: targets must be below {n_units}; one is {found - 1}. Raise n_units."
            )
    order = np.argsort(source, kind="stable")
    fan = np.bincount(source, minlength=events.n_units)
    first = np.concatenate([[0], fan.cumsum()])
    count = fan[events.unit]
    total = int(count.sum())
    check_memory(
        64.0 * total, owner=owner, what=f"{total} arrivals", cure="Prune synapses, or cut the time."
    )
    cause = np.repeat(np.arange(events.n_events), count)
    within = np.arange(total) - np.repeat(count.cumsum() - count, count)
    synapse = order[first[events.unit[cause]] + within]
    t = events.t[cause] + delay[synapse]
    value = weight[synapse] * (1.0 if events.value is None else events.value[cause])
    trial = None if events.trial is None else events.trial[cause]
    sort = np.argsort(t, kind="stable") if trial is None else np.lexsort((t, trial))
    return Events(
        t[sort],
        target[synapse][sort],
        trial=None if trial is None else trial[sort],
        n_trials=events.n_trials,
        value=value[sort],
        tick=events.tick,
        n_units=found if n_units is None else n_units,
        t_start=events.t_start,
        t_stop=events.t_stop + int(delay.max(initial=0)),
        source=events.source,
    )


def _read(synapses: pd.DataFrame, events: Events, owner: str) -> tuple[Array, Array, Array, Array]:
    missing = [name for name in _COLUMNS if name not in synapses.columns]
    if missing:
        raise ActivityError(
            f"{owner}: synapses must have the columns {_COLUMNS}; missing {missing}."
        )
    ends = []
    for name, n in (("source", events.n_units), ("target", None)):
        column = synapses[name].to_numpy()
        if column.size and (
            column.dtype.kind not in "iu" or column.min() < 0 or (n and column.max() >= n)
        ):
            limit = "be whole and not negative" if n is None else f"be in [0, {n - 1}]"
            raise ActivityError(
                f"{owner}: {name} must {limit}; got {column.dtype} up to {column.max()}."
            )
        ends.append(column.astype(np.int64))
    delay = synapses["delay"].to_numpy(np.float64)
    weight = synapses["weight"].to_numpy(np.float64)
    check_finite(weight, owner=owner, axes=("synapse",), what="weights")
    if delay.size and not (delay >= 0).all():
        raise ActivityError(
            f"{owner}: delays must not be negative; synapse {int(np.argmax(~(delay >= 0)))} has "
            f"{delay[int(np.argmax(~(delay >= 0)))]:g} s."
        )
    return ends[0], ends[1], to_ticks(delay, events.tick, owner=owner), weight
