"""Trials for spiking classifiers: bursts at one rate, two rates, latencies of digits, sources."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

__all__ = ["SOURCES", "Task", "digit_latencies", "latency_raster", "rate_task", "source",
           "timing_task"]  # fmt: skip

Array = np.ndarray[Any, Any]
Task = tuple[Array, Array, Array, Array]
_N_STEPS = 100
_PHASE = 10
_DARKEST = 16.0
# Name, chance to leave 0 and chance to leave 1.
SOURCES = {
    "coin of 0.5": (0.5, 0.5),
    "coin of 0.3": (0.3, 0.7),
    "coin of 0.1": (0.1, 0.9),
    "Markov (0.1, 0.3)": (0.1, 0.3),
    "Markov (0.05, 0.05)": (0.05, 0.05),
    "Poisson, 40 Hz in bins of 5 ms": (1.0 - np.exp(-0.2), np.exp(-0.2)),
}


def timing_task(seed: int, rate: float = 80.0, n_channels: int = 16, n: int = 400) -> Task:
    """Draw trials of one mean rate: steady, or in bursts that all channels share.

    Bursts are ten steps of 1 ms at twice the rate and ten of silence, at a phase that each trial
    draws. Chances per step are the rate itself times 1 ms.

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
        is_on = (np.arange(_N_STEPS) + phase[:, np.newaxis]) // _PHASE % 2 == 0
        chance = rate / 1e3 * np.where(y[:, np.newaxis] == 1, 2.0 * is_on, 1.0)
        out += [rng.random((n, _N_STEPS, n_channels)) < chance[:, :, np.newaxis], y]
    return out[0], out[1], out[2], out[3]


def rate_task(seed: int, rates: tuple[float, float] = (30.0, 36.0), n_channels: int = 8,
              n: int = 400) -> Task:  # fmt: skip
    """Draw trials of two rates (Hz) and nothing else that tells the classes apart."""
    rng = np.random.default_rng(seed)
    out: list[Array] = []
    for _ in range(2):
        y = rng.permutation(np.arange(n) % 2)
        chance = np.array(rates)[y] / 1e3
        out += [rng.random((n, _N_STEPS, n_channels)) < chance[:, np.newaxis, np.newaxis], y]
    return out[0], out[1], out[2], out[3]


def digit_latencies(pair: tuple[int, int], seed: int, t_max: float = 50.0) -> Task:
    """Return the digits of scikit-learn as latencies: dark pixels first, white ones never.

    Returns
    -------
    tuple of ndarray
        Latencies float64 (n, 64) in ms, NaN for no spike, and classes, to train and to test.
    """
    images, labels = load_digits(return_X_y=True)
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(np.isin(labels, pair)))
    X = np.where(images > 0, t_max * (1.0 - images / _DARKEST), np.nan)[chosen]
    y, half = labels[chosen], chosen.size // 2
    return X[:half], y[:half], X[half:], y[half:]


def latency_raster(latencies: Array, n_steps: int = 51) -> Array:
    """Return latencies in ms as spikes in steps of 1 ms, bool (n_trials, n_steps, n_inputs)."""
    step = np.floor(np.nan_to_num(latencies, nan=-1.0)).astype(np.int64)
    return np.asarray(step[:, np.newaxis, :] == np.arange(n_steps)[:, np.newaxis])


def source(name: str, n: int, seed: int) -> tuple[Array, float]:
    """Draw a stationary sequence of two symbols, and tell its entropy rate in bits."""
    up, down = SOURCES[name]
    rng = np.random.default_rng([seed, n])
    share = up / (up + down)
    draws = rng.random(n)
    x = np.empty(n, dtype=np.uint8)
    x[0] = draws[0] < share
    for k in range(1, n):
        x[k] = draws[k] < up if x[k - 1] == 0 else draws[k] >= down
    return x, float((1 - share) * _binary_entropy(up) + share * _binary_entropy(down))


def _binary_entropy(p: float) -> float:
    return float(-sum(q * np.log2(q) for q in (p, 1.0 - p) if q > 0))
