"""Compiled recursions of hidden Markov models over concatenated sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = [
    "backward_log",
    "backward_scaled",
    "best_path",
    "draw_path",
    "forward_log",
    "forward_scaled",
]

Array = np.ndarray[Any, Any]


@kernel()
def forward_scaled(
    log_b: Array, transition: Array, log_pi: Array, offsets: Array, alpha: Array, likelihood: Array
) -> int:
    """Fill filtered probabilities (n_times, n_states); return the first impossible time, or -1.

    Each step is shifted by its largest log emission, so that a state is lost only when it is
    exp(-700) times less likely than another; see ``forward_backward`` for when that is harmless.
    """
    n_states = log_pi.size
    predicted, score = np.empty(n_states), np.empty(n_states)
    for q in range(offsets.size - 1):
        total = 0.0
        for t in range(offsets[q], offsets[q + 1]):
            if t == offsets[q]:
                score[:] = log_pi + log_b[t]
                predicted[:] = 1.0
            else:
                score[:] = log_b[t]
                predicted[:] = 0.0
                for i in range(n_states):
                    a = alpha[t - 1, i]
                    for s in range(n_states):
                        predicted[s] += a * transition[i, s]
            top = score[0]
            for s in range(1, n_states):
                top = max(top, score[s])
            if top == -np.inf:
                return int(t)
            norm = 0.0
            for s in range(n_states):
                value = predicted[s] * np.exp(score[s] - top)
                alpha[t, s] = value
                norm += value
            for s in range(n_states):
                alpha[t, s] /= norm
            total += top + np.log(norm)
        likelihood[q] = total
    return -1


@kernel()
def backward_scaled(
    log_b: Array, transition: Array, offsets: Array, gamma: Array, pairs: Array
) -> None:
    """Turn filtered into smoothed probabilities in place, and sum those of transitions."""
    n_states = transition.shape[0]
    later, message = np.empty(n_states), np.empty(n_states)
    beta = np.empty(n_states)
    pair = np.empty((n_states, n_states))
    for q in range(offsets.size - 1):
        beta[:] = 1.0
        for t in range(offsets[q + 1] - 2, offsets[q] - 1, -1):
            top = log_b[t + 1, 0]
            for s in range(1, n_states):
                top = max(top, log_b[t + 1, s])
            for s in range(n_states):
                message[s] = np.exp(log_b[t + 1, s] - top) * beta[s]
            norm = 0.0
            largest = 0.0
            for i in range(n_states):
                a = gamma[t, i]
                total = 0.0
                for s in range(n_states):
                    value = transition[i, s] * message[s]
                    total += value
                    pair[i, s] = a * value
                later[i] = total
                norm += a * total
                largest = max(largest, total)
            for i in range(n_states):
                for s in range(n_states):
                    pairs[i, s] += pair[i, s] / norm
                gamma[t, i] *= later[i] / norm
                beta[i] = later[i] / largest


@kernel()
def _log_sum(values: Array) -> float:
    top = float(values.max())
    if top == -np.inf:
        return top
    total = 0.0
    for value in values:
        total += np.exp(value - top)
    return float(top + np.log(total))


@kernel()
def forward_log(
    log_b: Array, log_p: Array, log_pi: Array, offsets: Array, alpha: Array, likelihood: Array
) -> int:
    """Fill log joint probabilities of state and past; return the first impossible time, or -1."""
    n_states = log_pi.size
    terms = np.empty(n_states)
    for q in range(offsets.size - 1):
        first = offsets[q]
        for t in range(first, offsets[q + 1]):
            possible = False
            for s in range(n_states):
                if t == first:
                    alpha[t, s] = log_pi[s] + log_b[t, s]
                else:
                    for i in range(n_states):
                        terms[i] = alpha[t - 1, i] + log_p[i, s]
                    alpha[t, s] = _log_sum(terms) + log_b[t, s]
                possible |= alpha[t, s] > -np.inf
            if not possible:
                return int(t)
        likelihood[q] = _log_sum(alpha[offsets[q + 1] - 1])
    return -1


@kernel()
def backward_log(
    log_b: Array, log_p: Array, offsets: Array, gamma: Array, pairs: Array, likelihood: Array
) -> None:
    """Turn log forward messages into smoothed probabilities in place, and sum transitions."""
    n_states = log_p.shape[0]
    beta, before, terms = np.empty(n_states), np.empty(n_states), np.empty(n_states)
    for q in range(offsets.size - 1):
        beta[:] = 0.0
        for t in range(offsets[q + 1] - 1, offsets[q] - 1, -1):
            if t < offsets[q + 1] - 1:
                for i in range(n_states):
                    for s in range(n_states):
                        terms[s] = log_p[i, s] + log_b[t + 1, s] + beta[s]
                        pairs[i, s] += np.exp(gamma[t, i] + terms[s] - likelihood[q])
                    before[i] = _log_sum(terms)
                beta[:] = before
            total = 0.0
            for s in range(n_states):
                # The message of the next earlier time is read before it is overwritten.
                terms[s] = np.exp(gamma[t, s] + beta[s] - likelihood[q])
                total += terms[s]
            for s in range(n_states):
                gamma[t, s] = terms[s] / total


@kernel()
def best_path(log_b: Array, log_p: Array, log_pi: Array, offsets: Array, path: Array) -> int:
    """Fill the most likely states; return the first impossible time, or -1."""
    n_states = log_pi.size
    score, update = np.empty(n_states), np.empty(n_states)
    for q in range(offsets.size - 1):
        first, last = offsets[q], offsets[q + 1]
        origin = np.zeros((last - first, n_states), dtype=np.int32)
        for t in range(first, last):
            if t == first:
                update[:] = log_pi + log_b[t]
            else:
                for s in range(n_states):
                    best, top = 0, score[0] + log_p[0, s]
                    for i in range(1, n_states):
                        value = score[i] + log_p[i, s]
                        if value > top:
                            best, top = i, value
                    origin[t - first, s] = best
                    update[s] = top + log_b[t, s]
            score[:] = update
            if score.max() == -np.inf:
                return int(t)
        state = int(np.argmax(score))
        for t in range(last - 1, first - 1, -1):
            path[t] = state
            state = origin[t - first, state]
    return -1


@kernel()
def draw_path(alpha: Array, log_p: Array, offsets: Array, uniform: Array, path: Array) -> None:
    """Draw states from the last time back, given log forward messages."""
    n_states = log_p.shape[0]
    weight = np.empty(n_states)
    for q in range(offsets.size - 1):
        state = -1
        for t in range(offsets[q + 1] - 1, offsets[q] - 1, -1):
            for s in range(n_states):
                weight[s] = alpha[t, s] if state < 0 else alpha[t, s] + log_p[s, state]
            top = weight.max()
            total = 0.0
            for s in range(n_states):
                weight[s] = np.exp(weight[s] - top)
                total += weight[s]
            left = uniform[t] * total
            state = -1
            for s in range(n_states):
                if weight[s] > 0.0:
                    # Rounding may leave a rest beyond the last possible state: it is that one's.
                    state = s
                    left -= weight[s]
                    if left < 0.0:
                        break
            path[t] = state
