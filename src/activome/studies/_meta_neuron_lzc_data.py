"""Spike trains for classifiers: bursts at an equal rate, two rates, latencies, digits, sources."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Task", "timing_task"]

Array = np.ndarray[Any, Any]
Task = tuple[Array, Array, Array, Array]
_PHASE = 10


def timing_task(seed: int, rate: float = 0.08, n_channels: int = 16, n: int = 400) -> Task:
    """Draw trials of one mean rate: steady, or in bursts that all channels share.

    Bursts are ten steps at twice the rate and ten steps of silence, at a phase that each trial
    draws.

    Returns
    -------
    tuple of ndarray
        Spikes bool (n, 100, n_channels) and classes int64 (n,), to train and to test.
    """
    rng = np.random.default_rng(seed)
    out: list[Array] = []
    for _ in range(2):
        y = rng.permutation(np.arange(n) % 2)
        phase = rng.integers(0, 2 * _PHASE, n)
        is_on = (np.arange(100) + phase[:, np.newaxis]) // _PHASE % 2 == 0
        chance = np.where(y[:, np.newaxis] == 1, 2 * rate * is_on, rate)
        out += [rng.random((n, 100, n_channels)) < chance[:, :, np.newaxis], y]
    return out[0], out[1], out[2], out[3]
