"""Spectra of the spike count of a population, and how far their peaks stand out."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.patterns._spike_counts import BinnedTrains

__all__ = ["peak_heights", "segment_spectrum"]

Array = np.ndarray[Any, Any]
# Bins of the spectrum beside a peak that it is compared with; nearer ones may belong to it.
_NEAR, _FAR = 3, 10


def segment_spectrum(counts: Array, trains: BinnedTrains, length: int) -> Array:
    """Return the mean power of segments, without the mean of each, at all but frequency zero."""
    per_trial = trains.n_bins // length
    rows = counts.reshape(trains.n_trials, -1)[:, : per_trial * length].reshape(-1, length)
    rows = (rows - rows.mean(axis=1, keepdims=True)) * np.hanning(length)
    power = np.mean(np.abs(np.fft.rfft(rows, axis=1)[:, 1:]) ** 2, axis=0)
    return np.asarray(np.maximum(power, np.finfo(np.float64).tiny))


def peak_heights(log_power: Array) -> tuple[Array, Array]:
    """Return frequencies, and how far each stands above the higher of the medians beside it."""
    n = log_power.shape[1]
    at = np.arange(3, n - _NEAR - 1)
    offsets = np.arange(_NEAR, _FAR)
    left = log_power[:, np.maximum(at[:, np.newaxis] - offsets, 0)]
    right = log_power[:, np.minimum(at[:, np.newaxis] + offsets, n - 1)]
    beside = np.maximum(np.median(left, axis=2), np.median(right, axis=2))
    return at, log_power[:, at] - beside
