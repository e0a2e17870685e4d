"""Messages within a block of a hidden Markov model, for every pair of first and last state."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["block_messages"]

Array = np.ndarray[Any, Any]


@kernel()
def _top(log_b: Array, t: int) -> float:
    top = log_b[t, 0]
    for s in range(1, log_b.shape[1]):
        top = max(top, log_b[t, s])
    return float(top)


@kernel()
def _forward(emission: Array, transition: Array, first: int, messages: Array) -> float:
    """Fill filtered probabilities given the first state; return the log of what was taken out."""
    n_times, n_states = emission.shape
    total = 0.0
    for s in range(n_states):
        messages[0, s] = 1.0 if s == first else 0.0
    for t in range(1, n_times):
        norm = 0.0
        for s in range(n_states):
            value = 0.0
            for i in range(n_states):
                value += messages[t - 1, i] * transition[i, s]
            value *= emission[t, s]
            messages[t, s] = value
            norm += value
        for s in range(n_states):
            messages[t, s] /= norm
        total += np.log(norm)
    return total


@kernel()
def _backward(emission: Array, transition: Array, last: int, messages: Array) -> None:
    n_times, n_states = emission.shape
    for s in range(n_states):
        messages[n_times - 1, s] = 1.0 if s == last else 0.0
    for t in range(n_times - 2, -1, -1):
        norm = 0.0
        for i in range(n_states):
            value = 0.0
            for s in range(n_states):
                value += transition[i, s] * emission[t + 1, s] * messages[t + 1, s]
            messages[t, i] = value
            norm += value
        for i in range(n_states):
            messages[t, i] /= norm


@kernel()
def _smooth(
    emission: Array, transition: Array, ahead: Array, behind: Array, gamma: Array, pairs: Array
) -> None:
    n_times, n_states = emission.shape
    step = np.empty((n_states, n_states))
    for t in range(n_times):
        norm = 0.0
        for s in range(n_states):
            gamma[t, s] = ahead[t, s] * behind[t, s]
            norm += gamma[t, s]
        for s in range(n_states):
            gamma[t, s] = gamma[t, s] / norm if norm > 0.0 else 0.0
        if t == n_times - 1:
            break
        norm = 0.0
        for a in range(n_states):
            for s in range(n_states):
                later = emission[t + 1, s] * behind[t + 1, s]
                step[a, s] = ahead[t, a] * transition[a, s] * later
                norm += step[a, s]
        for a in range(n_states):
            for s in range(n_states):
                pairs[a, s] += step[a, s] / norm if norm > 0.0 else 0.0


@kernel()
def block_messages(
    log_b: Array, transition: Array, joint: Array, gamma: Array, pairs: Array
) -> None:
    """Smooth a block given its first state i and its last state j.

    ``joint`` (n_states, n_states) becomes the log probability of the block and of j given i,
    ``gamma`` (n_states, n_states, n_times, n_states) that of states, and ``pairs`` (n_states,
    n_states, n_states, n_states), zeros, the expected transitions.
    """
    n_times, n_states = log_b.shape
    emission = np.empty((n_times, n_states))
    shift = 0.0
    for t in range(n_times):
        top = _top(log_b, t)
        for s in range(n_states):
            emission[t, s] = np.exp(log_b[t, s] - top)
        if t > 0:
            shift += top
    ahead = np.empty((n_states, n_times, n_states))
    behind = np.empty((n_states, n_times, n_states))
    for i in range(n_states):
        scale = _forward(emission, transition, i, ahead[i]) + shift + log_b[0, i]
        _backward(emission, transition, i, behind[i])
        for j in range(n_states):
            end = ahead[i, n_times - 1, j]
            joint[i, j] = scale + np.log(end) if end > 0.0 else -np.inf
    for i in range(n_states):
        for j in range(n_states):
            _smooth(emission, transition, ahead[i], behind[j], gamma[i, j], pairs[i, j])
