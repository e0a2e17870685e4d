"""Laws of the overlap of random sets, in log space: hypergeometric tails, of unions too."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

__all__ = ["binomial_tails", "log_overlap", "overlap_tails", "union_tails"]

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


def union_tails(n: int, a: int, s: int, n_sets: int, theta: Array) -> Array:
    """Return log P(at least theta of the a active cells are in the union of random s-sets).

    A chain over the sets: its state is how many active cells are met so far, up to the largest
    theta, where it stays. Only sums of chances, so that no tail loses digits.
    """
    most = min(int(theta.max(initial=0)), a)
    met = np.arange(most)
    # Column h: h more of the active cells that are not met yet.
    step = log_overlap(np.full(most, n), a - met, np.full(most, s))
    width = step.shape[1]
    gained = np.arange(most + 1)[np.newaxis, :] - met[:, np.newaxis]
    rises = (gained >= 0) & (gained < width)
    chain = np.full((most + 1, most + 1), -np.inf)
    chain[:most][rises] = np.take_along_axis(step, np.clip(gained, 0, width - 1), 1)[rises]
    above = _tails(step)[0]
    chain[met, most] = above[met, np.minimum(most - met, width)]
    chain[most, most] = 0.0
    state = np.where(np.arange(most + 1) == 0, 0.0, -np.inf)
    if n_sets <= most:
        for _ in range(n_sets):
            state = special.logsumexp(state[:, np.newaxis] + chain, axis=0)
    else:
        left = n_sets
        while left:
            if left % 2:
                state = special.logsumexp(state[:, np.newaxis] + chain, axis=0)
            left //= 2
            chain = _log_product(chain) if left else chain
    upper = np.append(_tails(state[np.newaxis])[0][0], -np.inf)
    result: Array = upper[np.minimum(theta, most + 1)]
    return result


def _log_product(chain: Array) -> Array:
    """Return the logarithm of the square of a matrix of which this is the logarithm."""
    rows = [special.logsumexp(row[:, np.newaxis] + chain, axis=0) for row in chain]
    result: Array = np.stack(rows)
    return result
