"""Compiled recursions of linear Gaussian paths with switching laws and observed information."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = [
    "block_moves",
    "draw_backward",
    "filter_forward",
    "observe",
    "predict",
    "smooth_backward",
]

Array = np.ndarray[Any, Any]


@kernel()
def cholesky(matrix: Array, lower: Array) -> None:
    """Fill the lower factor; a pivot that rounding has driven to zero is floored."""
    n = matrix.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = np.sqrt(max(total, 1e-14 * (matrix[i, i] + 1e-290)))
            else:
                lower[i, j] = total / lower[j, j]
        for j in range(i + 1, n):
            lower[i, j] = 0.0


@kernel()
def predict(A: Array, b: Array, Q: Array, m: Array, P: Array, m_out: Array, P_out: Array) -> None:
    """Fill mean and covariance of the next point."""
    n = m.size
    for i in range(n):
        total = b[i]
        for j in range(n):
            total += A[i, j] * m[j]
        m_out[i] = total
    for i in range(n):
        for j in range(i + 1):
            total = Q[i, j]
            for k in range(n):
                part = 0.0
                for h in range(n):
                    part += P[k, h] * A[j, h]
                total += A[i, k] * part
            P_out[i, j] = total
            P_out[j, i] = total


@kernel()
def observe(J: Array, h: Array, m: Array, P: Array, m_out: Array, P_out: Array) -> float:
    """Fill mean and covariance after information ``J``, ``h``; give its log likelihood.

    The log likelihood lacks what does not depend on the path: that of ``_kalman.information``.
    """
    n = m.size
    lower = np.empty((n, n))
    cholesky(P, lower)
    # S = I + L'JL; the new covariance L S^-1 L' is positive whatever the information.
    half = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(j, n):
                total += J[i, k] * lower[k, j]
            half[i, j] = total
    S = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            total = 1.0 if i == j else 0.0
            for k in range(i, n):
                total += lower[k, i] * half[k, j]
            S[i, j] = total
    factor = np.empty((n, n))
    cholesky(S, factor)
    # Columns of root = L factor^-T, so that the covariance is root root'.
    root = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            total = lower[i, j]
            for k in range(j):
                total -= root[i, k] * factor[j, k]
            root[i, j] = total / factor[j, j]
    rest = np.empty(n)
    value = 0.0
    for i in range(n):
        total = h[i]
        for j in range(n):
            total -= J[i, j] * m[j]
        rest[i] = total
        value += m[i] * (h[i] + total)
        value -= 2.0 * np.log(factor[i, i])
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(n):
                total += root[i, k] * root[j, k]
            P_out[i, j] = total
            P_out[j, i] = total
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += P_out[i, j] * rest[j]
        m_out[i] = m[i] + total
        value += rest[i] * total
    return 0.5 * value


@kernel()
def filter_forward(
    states: Array, is_first: Array, A: Array, b: Array, Q: Array, J: Array, h: Array,
    m0: Array, P0: Array, mean: Array, covariance: Array, ll: Array,
) -> None:  # fmt: skip
    """Fill filtered means and covariances, and the log likelihood of each time."""
    n = m0.size
    m, P = np.empty(n), np.empty((n, n))
    for t in range(states.size):
        if is_first[t]:
            m[:] = m0
            P[:] = P0
        else:
            s = states[t]
            predict(A[s], b[s], Q[s], mean[t - 1], covariance[t - 1], m, P)
        ll[t] = observe(J[t], h[t], m, P, mean[t], covariance[t])


@kernel()
def draw_backward(
    states: Array, is_first: Array, A: Array, b: Array, precision: Array, mean: Array,
    covariance: Array, normals: Array, path: Array,
) -> None:  # fmt: skip
    """Draw a path from the last time back, given filtered moments and inverses of Q."""
    n_times, n = mean.shape
    m, P, lower = np.empty(n), np.empty((n, n)), np.empty((n, n))
    # Information of the next point about this one: A'Q^-1 A, and A'Q^-1 (next - b).
    weighted = np.empty(A.shape)
    info = np.empty(A.shape)
    for s in range(A.shape[0]):
        weighted[s] = A[s].T @ precision[s]
        info[s] = weighted[s] @ A[s]
    h = np.empty(n)
    for t in range(n_times - 1, -1, -1):
        if t == n_times - 1 or is_first[t + 1]:
            m[:] = mean[t]
            P[:] = covariance[t]
        else:
            s = states[t + 1]
            for i in range(n):
                total = 0.0
                for j in range(n):
                    total += weighted[s, i, j] * (path[t + 1, j] - b[s, j])
                h[i] = total
            observe(info[s], h, mean[t], covariance[t], m, P)
        cholesky(P, lower)
        for i in range(n):
            total = m[i]
            for j in range(i + 1):
                total += lower[i, j] * normals[t, j]
            path[t, i] = total


@kernel()
def smooth_backward(
    states: Array, is_first: Array, A: Array, b: Array, Q: Array, mean: Array, covariance: Array,
    lagged: Array,
) -> None:  # fmt: skip
    """Turn filtered moments into smoothed ones in place; fill cov(x(t), x(t - 1))."""
    n_times, n = mean.shape
    m, P = np.empty(n), np.empty((n, n))
    lagged[:] = 0.0
    for t in range(n_times - 2, -1, -1):
        if is_first[t + 1]:
            continue
        s = states[t + 1]
        predict(A[s], b[s], Q[s], mean[t], covariance[t], m, P)
        gain = np.linalg.solve(P, A[s] @ covariance[t]).T
        difference = mean[t + 1] - m
        lagged[t + 1] = covariance[t + 1] @ gain.T
        change = gain @ (covariance[t + 1] - P) @ gain.T
        for i in range(n):
            total = 0.0
            for j in range(n):
                total += gain[i, j] * difference[j]
                covariance[t, i, j] += 0.5 * (change[i, j] + change[j, i])
            mean[t, i] += total


@kernel()
def _log_steps(states: Array, is_first: Array, log_p: Array, start: int, stop: int) -> float:
    """Sum the log probabilities of the transitions into times start to stop, both included."""
    total = 0.0
    for t in range(start, min(stop + 1, states.size)):
        if not is_first[t]:
            total += log_p[states[t - 1], states[t]]
    return total


@kernel()
def _refilter(
    states: Array, is_first: Array, A: Array, b: Array, Q: Array, J: Array, h: Array, m0: Array,
    P0: Array, mean: Array, covariance: Array, ll: Array, start: int, stop: int,
    new_mean: Array, new_covariance: Array, new_ll: Array,
) -> tuple[float, int]:  # fmt: skip
    """Filter from start until the moments are those of before; give the gain and where it ended."""
    n = m0.size
    m, P = np.empty(n), np.empty((n, n))
    gain = 0.0
    for t in range(start, states.size):
        if is_first[t] and t >= stop:
            return gain, t
        if is_first[t]:
            m[:] = m0
            P[:] = P0
        else:
            s = states[t]
            if t == start:
                predict(A[s], b[s], Q[s], mean[t - 1], covariance[t - 1], m, P)
            else:
                predict(A[s], b[s], Q[s], new_mean[t - 1], new_covariance[t - 1], m, P)
        new_ll[t] = observe(J[t], h[t], m, P, new_mean[t], new_covariance[t])
        gain += new_ll[t] - ll[t]
        if t >= stop:
            largest = 0.0
            for i in range(n):
                scale = np.sqrt(covariance[t, i, i])
                largest = max(largest, abs(new_mean[t, i] - mean[t, i]) / scale)
                change = abs(new_covariance[t, i, i] - covariance[t, i, i])
                largest = max(largest, change / covariance[t, i, i])
            if largest < 1e-9:
                return gain, t + 1
    return gain, states.size


@kernel()
def block_moves(
    states: Array, is_first: Array, log_p: Array, log_pi: Array, share: Array, A: Array, b: Array,
    Q: Array, J: Array, h: Array, m0: Array, P0: Array, mean: Array, covariance: Array, ll: Array,
    uniforms: Array, mean_stretch: float, mean_shift: float,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Propose new states for stretches, with the paths of all clusters integrated out.

    Leading axes: A, b, Q (n_clusters, n_states, ...); J, h, mean, covariance, ll (n_clusters,
    n_times, ...), the last three filtered with ``states``; all are kept up to date. Returns
    accepted and proposed relabellings, then accepted and proposed shifts.
    """
    n_times, n_clusters, n_states = states.size, A.shape[0], share.size
    new_mean, new_covariance = np.empty(mean.shape), np.empty(covariance.shape)
    new_ll = np.empty(ll.shape)
    stops = np.empty(n_clusters, dtype=np.int64)
    tally = np.zeros(4, dtype=np.int64)
    for u in uniforms:
        is_shift = u[0] < 0.5
        at = min(int(u[1] * n_times), n_times - 1)
        scale = mean_shift if is_shift else mean_stretch
        length = 1 + int(np.log(max(u[2], 1e-300)) / np.log(1.0 - 1.0 / scale))
        log_ratio = 0.0
        if is_shift:
            if is_first[at] or states[at - 1] == states[at]:
                continue
            if u[3] < 0.5:
                start, stop, new = at, at + length, states[at - 1]
                edge = stop
            else:
                start, stop, new = at - length, at, states[at]
                edge = start - 1
            # The boundary must still be one afterwards, so that the way back exists.
            if edge < 0 or edge >= n_times:
                continue
            old = states[at] if u[3] < 0.5 else states[at - 1]
            if states[edge] != old:
                continue
        else:
            start, old = at, states[at]
            stop = min(at + length, n_times)
            left, new = u[3], 0
            while new < n_states - 1 and left >= share[new]:
                left -= share[new]
                new += 1
            if new == old:
                continue
            log_ratio = np.log(share[old]) - np.log(share[new])
        is_one = True
        for t in range(start, stop + 1 if is_shift else stop):
            is_one &= t == start or t >= n_times or not is_first[t]
            is_one &= t >= stop or states[t] == old
        if is_shift and start > 0 and is_first[start]:
            is_one = False
        if not is_one:
            continue
        which = 2 if is_shift else 0
        tally[which + 1] += 1
        log_ratio -= _log_steps(states, is_first, log_p, start, stop)
        if is_first[start]:
            log_ratio += log_pi[new] - log_pi[old]
        states[start:stop] = new
        log_ratio += _log_steps(states, is_first, log_p, start, stop)
        for k in range(n_clusters):
            gain, stops[k] = _refilter(
                states, is_first, A[k], b[k], Q[k], J[k], h[k], m0, P0, mean[k], covariance[k],
                ll[k], start, stop, new_mean[k], new_covariance[k], new_ll[k],
            )  # fmt: skip
            log_ratio += gain
        if np.log(max(u[4], 1e-300)) < log_ratio:
            tally[which] += 1
            for k in range(n_clusters):
                mean[k, start : stops[k]] = new_mean[k, start : stops[k]]
                covariance[k, start : stops[k]] = new_covariance[k, start : stops[k]]
                ll[k, start : stops[k]] = new_ll[k, start : stops[k]]
        else:
            states[start:stop] = old
    return tally[0], tally[1], tally[2], tally[3]
