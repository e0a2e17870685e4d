"""Few dimensions of a population, its states by a hidden Markov model, and two nulls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft, linalg, special

from activome.patterns._found_states_kernels import climb, clusters, held_out

__all__ = ["Chain", "fit_chain", "gains", "normal_scores", "scores", "turned_phases"]

Array = np.ndarray[Any, Any]
_N_PIECES = 8
_N_TRIES = 6
_LLOYD_ROUNDS = 8
_ROUNDS = 25
_TOL = 1e-5
_SMOOTH = 5


@dataclass(frozen=True)
class Chain:
    """A fitted chain of states: means (n_states, n_dims), probabilities (n_times, n_states)."""

    means: Array
    transition: Array
    probabilities: Array


def normal_scores(values: Array) -> Array:
    """Return each column's ranks as quantiles of a normal law; ties share their mean rank."""
    n = len(values)
    out = np.empty(values.shape)
    for k in range(values.shape[1]):
        _, inverse, count = np.unique(values[:, k], return_inverse=True, return_counts=True)
        rank = np.cumsum(count) - (count - 1) / 2.0
        out[:, k] = special.ndtri((rank[inverse] - 0.5) / n)
    return out


def scores(values: Array, n_dims: int) -> Array:
    """Return the first principal components (n_times, n_dims), each with variance 1."""
    centred = values - values.mean(axis=0)
    spread = np.sqrt(np.einsum("tu,tu->u", centred, centred) / len(centred))
    centred /= np.where(spread > 0, spread, 1.0)
    n = centred.shape[1]
    gram = centred.T @ centred / len(centred)
    size, axes = linalg.eigh(gram, subset_by_index=(max(0, n - n_dims), n - 1))
    keep = size > 1e-9 * size[-1]
    return np.ascontiguousarray((centred @ axes[:, keep] / np.sqrt(size[keep]))[:, ::-1])


def turned_phases(rows: Array, generator: np.random.Generator) -> Array:
    """Turn every frequency by a phase of its own, the same in all columns.

    What comes out is a Gaussian process of the same spectra and cross-spectra.
    """
    n = len(rows)
    spectra = fft.rfft(rows - rows.mean(axis=0), axis=0)
    turn = np.exp(2j * np.pi * generator.random(len(spectra)))
    turn[0] = 1.0
    if n % 2 == 0:
        turn[-1] = np.sign(turn[-1].real) or 1.0
    return np.ascontiguousarray(fft.irfft(spectra * turn[:, np.newaxis], n, axis=0))


def _smooth(rows: Array) -> Array:
    total = np.cumsum(np.vstack([np.zeros((1, rows.shape[1])), rows]), axis=0)
    if len(rows) <= 2 * _SMOOTH:
        return rows
    return np.ascontiguousarray((total[_SMOOTH:] - total[:-_SMOOTH]) / _SMOOTH)


def fit_chain(
    rows: Array, starts: Array, n_states: int, n_iter: int = _ROUNDS
) -> tuple[Chain, tuple[Array, Array, Array, Array]]:
    """Fit a Gaussian hidden Markov model with one covariance; return also its parameters."""
    smooth = _smooth(rows)
    # The same seeds for a recording and its surrogates: all are treated alike.
    generator = np.random.default_rng(n_states)
    seeds = (generator.random((_N_TRIES, n_states)) * len(smooth)).astype(np.int64)
    means = clusters(smooth, seeds, _LLOYD_ROUNDS)
    rest = 0.1 / max(n_states - 1, 1)
    stay = 0.9 if n_states > 1 else 1.0
    transition = np.full((n_states, n_states), rest) + (stay - rest) * np.eye(n_states)
    initial = np.full(n_states, 1.0 / n_states)
    scatter = np.cov(rows.T, bias=True).reshape(rows.shape[1], -1) + 1e-6 * np.eye(rows.shape[1])
    gamma = np.empty((len(rows), n_states))
    history = np.empty(n_iter)
    climb(rows, starts, means, transition, initial, scatter, n_iter, _TOL, history, gamma)
    return Chain(means, transition, gamma), (means, transition, initial, scatter)


def gains(rows: Array, starts: Array, candidates: tuple[int, ...]) -> Array:
    """Return what each number of states predicts beyond one state, in nats per held-out bin.

    The recording is cut into eight pieces; odd ones predict even ones, and the other way round.
    """
    n = len(rows)
    piece = np.arange(n) * _N_PIECES // n
    begins = starts | (np.diff(piece, prepend=-1) != 0)
    found = np.zeros(len(candidates) + 1)
    for parity in (0, 1):
        train = piece % 2 == parity
        part, other = rows[train], rows[~train]
        for i, n_states in enumerate((1, *candidates)):
            _, parameters = fit_chain(part, begins[train], n_states)
            found[i] += held_out(other, begins[~train], *parameters)
    return np.asarray((found[1:] - found[0]) / n)
