"""FEAST: learning 32 features of 9 x 9 pixels from a stream, against the steps in numpy.

No package that can be installed does this; the peer is the plain loop over events, one line of
numpy per step. Labels must be equal and weights within 1e-6.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.activity.events import Events
from activome.errors import ConvergenceWarning
from activome.patterns.feast import FEAST
from harness import Case, Peer, main

_K, _RADIUS, _SIDE, _TAU, _ETA, _OPEN, _CLOSE = 32, 4, 34, 30e-3, 1e-3, 3e-3, 1e-3


def make(n_events: float) -> Events:
    """Give the events of bars that move over the sensor, with noise."""
    rng = np.random.default_rng(0)
    n = round(n_events)
    t = np.sort(rng.integers(0, 200 * n, n))
    angle = np.repeat(rng.uniform(0, np.pi, n // 1000 + 1), 1000)[:n]
    along, across = rng.uniform(-20, 20, n), ((t / 5e3) % 40) - 20
    x = np.clip(np.rint(17 + along * np.cos(angle) - across * np.sin(angle)), 0, _SIDE - 1)
    y = np.clip(np.rint(17 + along * np.sin(angle) + across * np.cos(angle)), 0, _SIDE - 1)
    x, y = x.astype(int), y.astype(int)
    shape = (_SIDE, _SIDE)
    return Events(t, y * _SIDE + x, x=x, y=y, p=rng.integers(2, size=n), shape=shape)


def ours(events: Events) -> tuple[Any, Any]:
    """Learn with the compiled loop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = FEAST(_K, _RADIUS, tau=_TAU, border="zero", random_state=0)
        return model.fit_transform(events).feature, model.weights_


def loop(events: Events) -> tuple[Any, Any]:
    """Learn with a loop in numpy."""
    rng = np.random.default_rng(0)
    weights = rng.random((_K, (2 * _RADIUS + 1) ** 2))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    thresholds = rng.random(_K)
    last = np.full((2, _SIDE + 2 * _RADIUS, _SIDE + 2 * _RADIUS), -np.inf)
    labels = np.empty(len(events), np.int32)
    side, time = 2 * _RADIUS + 1, events.time
    records = events.to_structured()
    for e, (now, x, y, p) in enumerate(
        zip(time, records["x"], records["y"], records["p"], strict=True)
    ):
        last[p, y + _RADIUS, x + _RADIUS] = now
        context = np.exp((last[p, y : y + side, x : x + side] - now) / _TAU).ravel()
        context /= np.sqrt(context @ context)
        like = weights @ context
        able = np.where(like >= thresholds, like, -np.inf)
        k = int(np.argmax(able))
        if able[k] == -np.inf:
            thresholds -= _OPEN
            labels[e] = -1
            continue
        moved = weights[k] + _ETA * (context - weights[k])
        weights[k] = moved / np.sqrt(moved @ moved)
        thresholds[k] += _CLOSE
        labels[e] = k
    return labels, weights


def different(one: tuple[Any, Any], other: tuple[Any, Any]) -> float:
    """Count events with another label, or give the largest difference of a weight."""
    labels = float(np.count_nonzero(one[0] != other[0]))
    return labels or float(np.abs(one[1] - other[1]).max())


def cases() -> Sequence[Case]:
    """Give the case."""
    return [
        Case(
            name=f"FEAST, {_K} features of 9 x 9, n events",
            sizes=(5000, 20_000, 80_000),
            make=make,
            ours=ours,
            peers=[Peer("numpy loop", loop, different, tolerance=1e-6)],
            aim="200,000 events/s",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
