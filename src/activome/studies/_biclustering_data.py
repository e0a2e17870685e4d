"""Counts with known clusters and states, and counts without any, for the study of bi-clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import qr
from scipy.signal import lfilter

__all__ = ["Planted", "planted_counts", "unrelated_counts"]

Array = np.ndarray[Any, Any]
_ANGLE, _GROWTH, _NOISE, _DISPERSION = np.pi / 20, 1.01, 0.1, 10.0
_MEAN_DWELL, _SHORTEST_DWELL = 50, 5


@dataclass(frozen=True)
class Planted:
    """A planted recording.

    Attributes
    ----------
    counts : ndarray of float64, shape (n_times, n_units)
        Negative binomial counts.
    clusters : ndarray of int64, shape (n_units,)
        Cluster of each unit.
    states : ndarray of int64, shape (n_times,)
        State of each bin: 0 where trajectories are forgotten at once, 1 where they rotate slowly.
    loadings : ndarray of float64, shape (n_units, n_factors + 1)
        Offsets and loadings.
    laws : ndarray of float64, shape (n_clusters, 2, n_factors + 1, n_factors + 1)
        Matrix of each cluster in each state.
    """

    counts: Array
    clusters: Array
    states: Array
    loadings: Array
    laws: Array


def planted_counts(
    seed: int, *, n_clusters: int = 3, n_each: int = 10, n_factors: int = 2, n_times: int = 500
) -> Planted:
    """Simulate twice the bins and keep the later half, as in the paper's simulation."""
    rng = np.random.default_rng([29, seed])
    n, n_all, n_units = n_factors + 1, 2 * n_times, n_clusters * n_each
    states = np.zeros(n_all, dtype=np.int64)
    at, state = 0, 0
    while at < n_all:
        length = max(_SHORTEST_DWELL, int(rng.poisson(_MEAN_DWELL)))
        states[at : at + length] = state
        at, state = at + length, 1 - state
    turn = np.eye(n)
    turn[:2, :2] = [[np.cos(_ANGLE), -np.sin(_ANGLE)], [np.sin(_ANGLE), np.cos(_ANGLE)]]
    laws = np.empty((n_clusters, 2, n, n))
    for k in range(n_clusters):
        basis = qr(rng.standard_normal((n, n)))[0]
        laws[k] = 0.01 * np.eye(n), _GROWTH * basis @ turn @ basis.T
    path = np.empty((n_all, n_clusters, n))
    path[0] = rng.standard_normal((n_clusters, n))
    for t in range(1, n_all):
        step = np.einsum("kij,kj->ki", laws[:, states[t]], path[t - 1])
        path[t] = step + _NOISE * rng.standard_normal((n_clusters, n))
    clusters = np.repeat(np.arange(n_clusters), n_each)
    loadings = 0.5 * rng.standard_normal((n_units, n))
    rows = np.concatenate([np.ones((n_units, 1)), loadings[:, 1:]], axis=1)
    log_mean = loadings[:, 0] + np.einsum("tij,ij->ti", path[:, clusters], rows)
    gain = rng.standard_gamma(_DISPERSION, log_mean.shape) / _DISPERSION
    counts = rng.poisson(np.exp(np.minimum(log_mean, 10.0)) * gain).astype(np.float64)
    return Planted(counts[n_times:], clusters, states[n_times:], loadings, laws)


def unrelated_counts(kind: str, seed: int, n_units: int = 12, n_times: int = 200) -> Array:
    """Return counts of units without common trajectories: Poisson, overdispersed, or drifting.

    Drifting units each follow a slow wave of their own, which correlates any two by chance.
    """
    rng = np.random.default_rng([290, seed])
    rate = rng.lognormal(0.0, 0.7, n_units)
    shape = (n_times, n_units)
    if kind == "overdispersed":
        return rng.poisson(rate * rng.standard_gamma(2.0, shape) / 2.0).astype(np.float64)
    if kind == "drifting":
        memory = 0.95
        noise = rng.standard_normal((n_times + 100, n_units))
        wave = lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=0)[100:]
        return rng.poisson(rate * np.exp(0.7 * wave)).astype(np.float64)
    return rng.poisson(rate, shape).astype(np.float64)
