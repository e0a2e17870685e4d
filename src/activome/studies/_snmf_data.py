"""Data with a known answer for the study of semi-nonnegative factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter

from activome.activity.matching import match_rows

__all__ = ["exact_factors", "neural_recording", "unrelated_units", "within"]

Array = np.ndarray[Any, Any]


def exact_factors(
    seed: int, n_units: int = 200, n_samples: int = 2000, n_parts: int = 10
) -> tuple[Array, Array]:
    """Return activity (n_samples, n_units) of sparse signed features with 5 % noise, and these."""
    rng = np.random.default_rng([14, seed])
    features = np.zeros((n_parts, n_units))
    for k in range(n_parts):
        features[k, rng.choice(n_units, 10, replace=False)] = rng.normal(size=10)
    use = rng.exponential(size=(n_samples, n_parts)) * (rng.random((n_samples, n_parts)) < 0.2)
    activity = use @ features
    return activity + 0.05 * activity.std() * rng.normal(size=activity.shape), features


def neural_recording(
    seed: int, n_units: int = 80, n_samples: int = 3000, n_parts: int = 6
) -> tuple[Array, Array]:
    """Return a z-scored recording of overlapping ensembles in slow noise, and the ensembles.

    Each ensemble raises 12 of 15 units on average and lowers the others; it is active in one sample
    of ten, with exponential strength. Noise of each unit has lag-one correlation 0.5.
    """
    rng = np.random.default_rng([41, seed])
    features = np.zeros((n_parts, n_units))
    for k in range(n_parts):
        units = rng.choice(n_units, 15, replace=False)
        sign = rng.choice([1.0, -1.0], 15, p=[0.8, 0.2])
        features[k, units] = rng.uniform(0.5, 1.5, 15) * sign
    use = rng.exponential(size=(n_samples, n_parts)) * (rng.random((n_samples, n_parts)) < 0.1)
    noise = lfilter([np.sqrt(0.75)], [1, -0.5], rng.normal(size=(n_samples + 50, n_units)), axis=0)
    activity = 1.5 * use @ features + noise[50:]
    spread = activity.std(axis=0)
    return (activity - activity.mean(axis=0)) / spread, features / spread


def unrelated_units(kind: str, seed: int, n_units: int = 20, n_samples: int = 400) -> Array:
    """Return units that have nothing in common: Poisson counts, slow noise, or heavy tails."""
    rng = np.random.default_rng([7, seed])
    if kind == "poisson":
        return rng.poisson(rng.uniform(0.1, 3.0, n_units), (n_samples, n_units)).astype(float)
    if kind == "slow":
        noise = rng.normal(size=(n_samples + 100, n_units))
        return np.asarray(lfilter([1.0], [1.0, -0.9], noise, axis=0)[100:])
    return rng.standard_t(1.5, size=(n_samples, n_units))


def within(features: Array, found: Array, n_keep: int) -> tuple[Array, float]:
    """Return the cosine of each feature with its match, and the mean F1 of their supports.

    The support of a found feature is its ``n_keep`` largest entries, at most those above 0.
    """
    match = match_rows(features, found)
    scores = []
    for row, column in zip(match.rows, match.columns, strict=True):
        truth = features[row] != 0
        size = np.abs(found[column])
        support = np.zeros(size.size, dtype=bool)
        support[np.argsort(-size)[:n_keep]] = True
        support &= size > 0
        total = truth.sum() + support.sum()
        scores.append(2 * float((truth & support).sum()) / float(total))
    return match.values, float(np.mean(scores))
