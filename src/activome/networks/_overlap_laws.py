"""Laws of the overlap of random sets, in log space: hypergeometric tails and sizes of unions."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

__all__ = ["binomial_tails", "log_overlap", "overlap_tails", "union_sizes"]

Array = np.ndarray[Any, Any]
_CHUNK = 1 << 21


def log_overlap(n: Array, a: Array, s: Array) -> Array:
    """Return log P(overlap = b) of a random a-set with a fixed s-set of n cells.

    One row per entry of ``n``, ``a`` and ``s``, one column per b from 0 to the largest
    min(a, s). Falling factorials are sums of logarithms: differences of log gamma functions would
    lose nine digits at a million cells.
    """
    small, large = np.minimum(a, s), np.maximum(a, s)
    b = np.arange(int(small.max(initial=0)) + 1)
    left = small[:, np.newaxis] - b
    drawn = _falling(large, b.size) + _falling(small, b.size) - special.gammaln(b + 1.0)
    rest = np.take_along_axis(_falling(n - large, b.size), np.maximum(left, 0), axis=1)
    whole = np.take_along_axis(_falling(n, b.size), small[:, np.newaxis], axis=1)
    result: Array = np.where(left >= 0, drawn + rest - whole, -np.inf)
    return result


def _falling(x: Array, n_factors: int) -> Array:
    """Return log x (x - 1) ... (x - k + 1) for k from 0 to n_factors - 1; -inf where it is 0."""
    factors = np.maximum(x[:, np.newaxis] - np.arange(n_factors - 1), 0)
    with np.errstate(divide="ignore"):
        logs = np.log(factors.astype(np.float64))
    return np.concatenate([np.zeros((x.size, 1)), np.cumsum(logs, axis=1)], axis=1)


def overlap_tails(n: Array, a: Array, s: Array, theta: Array) -> tuple[Array, Array]:
    """Return log P(overlap >= theta) and log P(overlap < theta), each without cancellation."""
    keys, place = np.unique(np.stack([n, a, s], axis=1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    upper, lower = np.empty(theta.shape), np.empty(theta.shape)
    width = int(np.minimum(keys[:, 1], keys[:, 2]).max(initial=0)) + 1
    step = max(1, _CHUNK // width)
    for start in range(0, len(keys), step):
        chunk = keys[start : start + step]
        tables = _tails(log_overlap(*chunk.T))
        here = (place >= start) & (place < start + step)
        row, column = place[here] - start, np.minimum(theta[here], tables[0].shape[1] - 1)
        upper[here], lower[here] = (table[row, column] for table in tables)
    return upper, lower


def _tails(logs: Array) -> tuple[Array, Array]:
    """Return upper and lower tails of rows of log probabilities, for theta from 0 on."""
    end = np.full((len(logs), 1), -np.inf)
    above = np.logaddexp.accumulate(logs[:, ::-1], axis=1)[:, ::-1]
    upper = np.concatenate([above, end], axis=1)
    lower = np.concatenate([end, np.logaddexp.accumulate(logs, axis=1)], axis=1)
    # Near one, the complement of the other tail has the digits.
    return _sharpen(upper, lower), _sharpen(lower, upper)


def _sharpen(tail: Array, other: Array) -> Array:
    with np.errstate(divide="ignore"):
        complement = np.log1p(-np.minimum(np.exp(other), 1.0))
    result: Array = np.minimum(np.where(other < np.log(0.5), complement, tail), 0.0)
    return result


def binomial_tails(n: int, p: float, theta: Array) -> tuple[Array, Array]:
    """Return log P(count >= theta) and log P(count < theta) of n trials with chance p."""
    b = np.arange(n + 1.0)
    choose = special.gammaln(n + 1.0) - special.gammaln(b + 1.0) - special.gammaln(n - b + 1.0)
    logs = choose + special.xlogy(b, p) + special.xlog1py(n - b, -p)
    upper, lower = _tails(logs[np.newaxis])
    column = np.minimum(theta, n + 1)
    return upper[0, column], lower[0, column]


def union_sizes(n: int, s: int, n_sets: int) -> tuple[Array, Array]:
    """Return the possible sizes of the union of random s-sets of n cells, and their chances."""
    chance = np.zeros(min(n, n_sets * s) + 1)
    chance[s] = 1.0
    for _ in range(n_sets - 1):
        size = np.flatnonzero(chance)
        overlap = np.exp(log_overlap(np.full(size.size, n), size, np.full(size.size, s)))
        grown = np.zeros_like(chance)
        for b in range(overlap.shape[1]):
            fits = size + s - b < chance.size
            np.add.at(grown, size[fits] + s - b, chance[size[fits]] * overlap[fits, b])
        chance = grown
    size = np.flatnonzero(chance)
    return size, chance[size]
