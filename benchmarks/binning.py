"""Spike binning: 10 ms bins of 200 units, against pynapple and elephant."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity.events import Events
from harness import Case, Peer, main

_RATE = 10.0
_UNITS = 200
_BIN = 0.01


def make_events(n_events: float) -> Events:
    """Poisson spikes of 200 units at 10 Hz, as long as it takes for the number of spikes."""
    rng = np.random.default_rng(0)
    duration = round(n_events / (_RATE * _UNITS))
    ticks = np.sort(rng.integers(0, duration * 1_000_000, int(n_events)))
    unit = rng.integers(0, _UNITS, ticks.size)
    return Events(
        ticks, unit, n_units=_UNITS, t_start=0, t_stop=duration * 1_000_000, assume_sorted=True
    )


def count_pynapple(group: Any) -> Any:
    """Count with pynapple."""
    return group.count(_BIN)


def elephant_trains(events: Events) -> Any:
    """Hand the events to elephant's spike trains."""
    from elephant.utils import logger

    # It writes a line for each spike train with a spike on the edge of a bin.
    logger.setLevel(logging.ERROR)
    return events.to_neo().segments[0].spiketrains


def count_elephant(trains: Any) -> Any:
    """Count with elephant."""
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain

    return BinnedSpikeTrain(trains, bin_size=_BIN * pq.s)


def differs(ours: Any, counts: Any) -> float:
    """Tell by how many spikes the counts differ."""
    mine = ours.values.astype(np.int64)
    theirs = np.asarray(counts, dtype=np.int64)[: mine.shape[0]]
    return float(np.abs(mine[: theirs.shape[0]] - theirs).sum())


def cases() -> Sequence[Case]:
    """Three sizes; the largest is the one that is stated."""
    return [
        Case(
            name="Events.bin, 200 units at 10 Hz, 10 ms bins, n spikes",
            sizes=(12_000, 120_000, 1_200_000),
            make=make_events,
            ours=lambda events: events.bin(_BIN),
            peers=[
                Peer(
                    "pynapple TsGroup.count",
                    count_pynapple,
                    lambda ours, theirs: differs(ours, theirs.values),
                    requires="pynapple",
                    prepare=lambda events: events.to_pynapple(),
                ),
                Peer(
                    "elephant BinnedSpikeTrain",
                    count_elephant,
                    lambda ours, theirs: differs(ours, theirs.to_array().T),
                    requires="elephant",
                    prepare=elephant_trains,
                ),
            ],
            # Read time and unit once, write the counts once.
            bytes_moved=lambda n: 12 * n + n / (_RATE * _BIN),
            aim="at least 20 times pynapple",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
