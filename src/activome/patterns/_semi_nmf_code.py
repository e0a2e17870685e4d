"""Coefficients of samples under fixed features: non-negative least squares, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.patterns._semi_nmf_kernels import row_steps

__all__ = ["code"]

Array = np.ndarray[Any, Any]
Matrix = Any

# Sweeps of coordinate descent before the support is settled by an active set, and the movement,
# against the largest coefficient of the row, below which none is needed.
_SWEEPS = 100
_STILL = 1e-9
# Against 1 on the diagonal: features that are copies of each other leave the system solvable.
_RIDGE = 1e-13


def code(values: Matrix, features: Array) -> Array:
    """Return the non-negative coefficients that reconstruct each row best.

    Coordinate descent, and where features are so alike that it crawls, the active set of Lawson
    and Hanson from where it got to. The answer for a row does not depend on its company.

    Parameters
    ----------
    values : ndarray or CSR matrix, shape (n, d)
        Rows.
    features : ndarray, shape (d, K)
        Features, in the dtype of the rows.

    Returns
    -------
    ndarray, shape (n, K)
        Coefficients, at least 0.
    """
    out = np.zeros((values.shape[0], features.shape[1]), dtype=values.dtype)
    length = np.sqrt((features.astype(np.float64) ** 2).sum(axis=0))
    used = length > 0
    if not used.any():
        return out
    # Unit features, and rows brought to one size: nothing below depends on the scale of the data.
    unit = features[:, used].astype(np.float64) / length[used]
    narrow, square = np.ascontiguousarray(unit.astype(values.dtype)), unit.T @ unit
    for rows in row_steps(values):
        target = np.asarray(values[rows] @ narrow).astype(np.float64)
        size = np.abs(target).max(axis=1, keepdims=True)
        target = np.divide(target, size, out=np.zeros_like(target), where=size > 0)
        coef = np.zeros_like(target)
        is_still = np.zeros(target.shape[0], dtype=np.bool_)
        _descend(target, square, coef, is_still)
        if not is_still.all():
            _settle(target, square, coef, is_still)
        out[rows.start : rows.stop, used] = coef * size / length[used]
    return out


@kernel()
def _descend(target: Array, square: Array, coef: Array, is_still: Array) -> None:
    """Minimise ``y Q y / 2 - t y`` over y >= 0 for every row, one coefficient at a time."""
    n_rows, n_components = target.shape
    for i in range(n_rows):
        left, y = target[i].copy(), coef[i]
        for _ in range(_SWEEPS):
            moved = largest = 0.0
            for k in range(n_components):
                new = max(y[k] + left[k], 0.0)
                step = new - y[k]
                if step != 0.0:
                    y[k] = new
                    for j in range(n_components):
                        left[j] -= step * square[k, j]
                    moved = max(moved, abs(step))
                largest = max(largest, new)
            if moved <= _STILL * largest:
                is_still[i] = True
                break


@kernel()
def _settle(target: Array, square: Array, coef: Array, is_still: Array) -> None:
    """Solve rows that are not still exactly, starting from their present support."""
    n_rows, n_components = target.shape
    is_used = np.zeros(n_components, dtype=np.bool_)
    used = np.zeros(n_components, dtype=np.int64)
    factor = np.zeros((n_components, n_components))
    best = np.zeros(n_components)
    for i in range(n_rows):
        if is_still[i]:
            continue
        t, y, newest = target[i], coef[i], -1
        for k in range(n_components):
            is_used[k] = y[k] > 0
        # Lawson and Hanson need about as many rounds as there are coefficients.
        for _ in range(3 * n_components + 10):
            while True:
                n_used = 0
                for k in range(n_components):
                    if is_used[k]:
                        used[n_used] = k
                        n_used += 1
                _solve_part(square, t, used, n_used, factor, best)
                share, first = 1.0, -1
                for j in range(n_used):
                    if best[j] <= 0:
                        reach = y[used[j]] / (y[used[j]] - best[j] + 1e-300)
                        if first < 0 or reach < share:
                            share, first = reach, j
                for j in range(n_used):
                    y[used[j]] = max(y[used[j]] + share * (best[j] - y[used[j]]), 0.0)
                if first < 0:
                    break
                y[used[first]] = 0.0
                for j in range(n_used):
                    is_used[used[j]] = y[used[j]] > 0
            if newest >= 0 and not is_used[newest]:
                break
            slope, newest = 1e-12, -1
            for k in range(n_components):
                if not is_used[k]:
                    gain = t[k]
                    for j in range(n_used):
                        gain -= square[k, used[j]] * y[used[j]]
                    if gain > slope:
                        slope, newest = gain, k
            if newest < 0:
                break
            is_used[newest] = True


@kernel()
def _solve_part(
    square: Array, t: Array, used: Array, n_used: int, factor: Array, best: Array
) -> None:
    """Solve for the used coefficients alone, by Cholesky."""
    for a in range(n_used):
        for b in range(a + 1):
            total = square[used[a], used[b]]
            for c in range(b):
                total -= factor[a, c] * factor[b, c]
            if a == b:
                factor[a, a] = np.sqrt(max(total, 0.0) + _RIDGE)
            else:
                factor[a, b] = total / factor[b, b]
    for a in range(n_used):
        total = t[used[a]]
        for c in range(a):
            total -= factor[a, c] * best[c]
        best[a] = total / factor[a, a]
    for a in range(n_used - 1, -1, -1):
        total = best[a]
        for c in range(a + 1, n_used):
            total -= factor[c, a] * best[c]
        best[a] = total / factor[a, a]
