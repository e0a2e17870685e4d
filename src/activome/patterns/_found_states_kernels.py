"""Whole fits of Gaussian hidden Markov models with one covariance, in one compiled call."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["climb", "clusters", "held_out"]

Array = np.ndarray[Any, Any]
_LOG_2_PI = 1.8378770664093453


@kernel()
def _emissions(rows: Array, means: Array, root: Array, log_b: Array) -> None:
    """Fill log densities; ``root`` is the lower factor of the covariance's inverse."""
    n_times, n_dims = rows.shape
    n_states = means.shape[0]
    constant = -0.5 * n_dims * _LOG_2_PI
    for d in range(n_dims):
        constant += np.log(root[d, d])
    centres = np.zeros((n_states, n_dims))
    for k in range(n_states):
        for d in range(n_dims):
            for e in range(d, n_dims):
                centres[k, d] += means[k, e] * root[e, d]
    place = np.empty(n_dims)
    for t in range(n_times):
        for d in range(n_dims):
            value = 0.0
            for e in range(d, n_dims):
                value += rows[t, e] * root[e, d]
            place[d] = value
        for k in range(n_states):
            far = 0.0
            for d in range(n_dims):
                off = place[d] - centres[k, d]
                far += off * off
            log_b[t, k] = constant - 0.5 * far


@kernel()
def _forward(
    log_b: Array, transition: Array, initial: Array, starts: Array, alpha: Array, later: Array
) -> float:
    """Fill filtered probabilities and scaled emissions; return the log likelihood."""
    n_times, n_states = log_b.shape
    total = 0.0
    for t in range(n_times):
        top = log_b[t, 0]
        for k in range(1, n_states):
            top = max(top, log_b[t, k])
        norm = 0.0
        for k in range(n_states):
            if starts[t]:
                value = initial[k]
            else:
                value = 0.0
                for i in range(n_states):
                    value += alpha[t - 1, i] * transition[i, k]
            later[t, k] = np.exp(log_b[t, k] - top)
            alpha[t, k] = value * later[t, k]
            norm += alpha[t, k]
        for k in range(n_states):
            alpha[t, k] /= norm
        total += top + np.log(norm)
    return total


@kernel()
def _backward(
    transition: Array, starts: Array, later: Array, gamma: Array, pairs: Array, first: Array
) -> None:
    """Turn filtered probabilities into smoothed ones in place; sum transitions and first bins."""
    n_times, n_states = gamma.shape
    beta, message = np.ones(n_states), np.empty(n_states)
    for t in range(n_times - 1, -1, -1):
        norm = 0.0
        if t == n_times - 1 or starts[t + 1]:
            for k in range(n_states):
                beta[k] = 1.0
        else:
            for k in range(n_states):
                message[k] = later[t + 1, k] * beta[k]
            for i in range(n_states):
                value = 0.0
                for k in range(n_states):
                    value += transition[i, k] * message[k]
                norm += gamma[t, i] * value
                beta[i] = value
            largest = 0.0
            for i in range(n_states):
                for k in range(n_states):
                    pairs[i, k] += gamma[t, i] * transition[i, k] * message[k] / norm
                largest = max(largest, beta[i])
            for i in range(n_states):
                gamma[t, i] *= beta[i] / norm
            for i in range(n_states):
                beta[i] /= largest
        if starts[t]:
            for k in range(n_states):
                first[k] += gamma[t, k]


@kernel()
def _root(scatter: Array) -> Array:
    return np.linalg.cholesky(np.linalg.inv(scatter))


@kernel()
def climb(
    rows: Array, starts: Array, means: Array, transition: Array, initial: Array, scatter: Array,
    n_iter: int, tol: float, history: Array, gamma: Array,
) -> int:  # fmt: skip
    """Fit in place by EM; return the number of rounds.

    ``rows`` are (n_times, n_dims), ``starts`` says where a sequence begins, ``means`` (n_states,
    n_dims), ``scatter`` the common covariance, ``history`` (n_iter,) log likelihoods with the
    prior, ``gamma`` (n_times, n_states) probabilities under the parameters of the last round.
    """
    n_times, n_dims = rows.shape
    n_states = means.shape[0]
    log_b, later = np.empty((n_times, n_states)), np.empty((n_times, n_states))
    total = np.zeros((n_dims, n_dims))
    for t in range(n_times):
        for d in range(n_dims):
            for e in range(n_dims):
                total[d, e] += rows[t, d] * rows[t, e]
    for round_ in range(n_iter):
        _emissions(rows, means, _root(scatter), log_b)
        value = _forward(log_b, transition, initial, starts, gamma, later)
        for i in range(n_states):
            for k in range(n_states):
                value += np.log(transition[i, k])
            value += np.log(initial[i])
        history[round_] = value
        pairs, first = np.ones((n_states, n_states)), np.ones(n_states)
        _backward(transition, starts, later, gamma, pairs, first)
        is_last = round_ == n_iter - 1
        if round_ > 0 and value - history[round_ - 1] <= tol * abs(value):
            is_last = True
        if is_last:
            return round_ + 1
        count, sums = np.zeros(n_states), np.zeros((n_states, n_dims))
        for t in range(n_times):
            for k in range(n_states):
                count[k] += gamma[t, k]
                for d in range(n_dims):
                    sums[k, d] += gamma[t, k] * rows[t, d]
        for d in range(n_dims):
            for e in range(n_dims):
                scatter[d, e] = total[d, e]
        for k in range(n_states):
            # A state without a bin keeps its place, and has no part in the covariance.
            if count[k] > 1e-6:
                for d in range(n_dims):
                    means[k, d] = sums[k, d] / count[k]
                for d in range(n_dims):
                    for e in range(n_dims):
                        scatter[d, e] -= means[k, d] * sums[k, e]
        for d in range(n_dims):
            for e in range(n_dims):
                scatter[d, e] /= n_times
            scatter[d, d] += 1e-6
        for i in range(n_states):
            norm = 0.0
            for k in range(n_states):
                norm += pairs[i, k]
            for k in range(n_states):
                transition[i, k] = pairs[i, k] / norm
        norm = 0.0
        for k in range(n_states):
            norm += first[k]
        for k in range(n_states):
            initial[k] = first[k] / norm
    return n_iter


@kernel()
def held_out(
    rows: Array, starts: Array, means: Array, transition: Array, initial: Array, scatter: Array
) -> float:
    """Return the log likelihood of other rows under fitted parameters."""
    n_states = means.shape[0]
    log_b, later = np.empty((len(rows), n_states)), np.empty((len(rows), n_states))
    alpha = np.empty((len(rows), n_states))
    _emissions(rows, means, _root(scatter), log_b)
    return _forward(log_b, transition, initial, starts, alpha, later)


@kernel()
def clusters(rows: Array, seeds: Array, n_iter: int) -> Array:
    """Return the best centres of Lloyd's algorithm from several rows of ``seeds``.

    ``seeds`` are (n_tries, n_states) numbers of rows to start at.
    """
    n_times, n_dims = rows.shape
    n_tries, n_states = seeds.shape
    best, least = np.zeros((n_states, n_dims)), np.inf
    for r in range(n_tries):
        centres = np.empty((n_states, n_dims))
        for k in range(n_states):
            for d in range(n_dims):
                centres[k, d] = rows[seeds[r, k], d]
        inertia = 0.0
        for _ in range(n_iter):
            count, sums = np.zeros(n_states), np.zeros((n_states, n_dims))
            inertia = 0.0
            for t in range(n_times):
                near, at = np.inf, 0
                for k in range(n_states):
                    far = 0.0
                    for d in range(n_dims):
                        off = rows[t, d] - centres[k, d]
                        far += off * off
                    if far < near:
                        near, at = far, k
                inertia += near
                count[at] += 1.0
                for d in range(n_dims):
                    sums[at, d] += rows[t, d]
            for k in range(n_states):
                if count[k] > 0.0:
                    for d in range(n_dims):
                        centres[k, d] = sums[k, d] / count[k]
        if inertia < least:
            least = inertia
            for k in range(n_states):
                for d in range(n_dims):
                    best[k, d] = centres[k, d]
    return best
