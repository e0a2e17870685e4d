"""Compiled search for the partition of a weighted graph with the largest integrated likelihood.

A graph is given as the start of each node's neighbours, the neighbours and their weights (the three
arrays of a compressed sparse row matrix). Every argument of a gamma function here is a whole
number, so a table of logarithms of factorials stands for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import gammaln

from activome._compile import kernel

__all__ = [
    "BERNOULLI", "EXPONENTIAL", "POISSON", "factorials", "merge_blocks", "move_nodes", "score",
    "tally",
]  # fmt: skip

Array = np.ndarray[Any, Any]
EXPONENTIAL, BERNOULLI, POISSON = 0, 1, 2
_LONGEST = 1 << 18
_GAIN = 1e-9


def factorials(n_nodes: int, largest: float) -> Array:
    """Return ``log k!`` for k from 0 to what a graph of that many nodes needs, or a quarter
    million."""
    needed = max(n_nodes * (n_nodes - 1) / 2, largest) + 3
    return np.asarray(gammaln(np.arange(1.0, min(needed, _LONGEST) + 1)))


@kernel()
def _log_factorial(k: float, table: Array) -> float:
    i = int(k)
    if i < table.size:
        return float(table[i])
    # Stirling's series: beyond the table its next term is under the last bit.
    return (k + 0.5) * math.log(k) - k + 0.9189385332046727 + 1.0 / (12.0 * k)


@kernel()
def pair_score(kind: int, n: float, e: float, w: float, scale: float, table: Array) -> float:
    """Log marginal likelihood of one pair of blocks: n pairs, e edges, total weight w."""
    if kind == POISSON:
        return _log_factorial(w, table) - math.log(scale) - (1.0 + w) * math.log(1.0 / scale + n)
    inside = _log_factorial(e, table)
    value = inside + _log_factorial(n - e, table) - _log_factorial(n + 1.0, table)
    if kind == EXPONENTIAL and e > 0.0:
        # Weights are in units of their mean, in which the prior rate is 1.
        value += inside - (1.0 + e) * math.log(1.0 + w)
    return value


@kernel()
def tally(
    starts: Array, near: Array, weight: Array, size: Array, labels: Array, capacity: int
) -> Any:
    """Count edges and weights of nodes to blocks, and pairs, edges and weights between blocks."""
    n = labels.size
    links = np.zeros((n, 2, capacity))
    blocks = np.zeros((capacity, capacity, 3))
    mass, square, count = np.zeros(capacity), np.zeros(capacity), np.zeros(capacity)
    for i in range(n):
        a = labels[i]
        mass[a] += size[i]
        square[a] += size[i] * size[i]
        count[a] += 1.0
        for k in range(starts[i], starts[i + 1]):
            b = labels[near[k]]
            links[i, 0, b] += 1.0
            links[i, 1, b] += weight[k]
        for b in range(capacity):
            blocks[a, b, 1] += links[i, 0, b]
            blocks[a, b, 2] += links[i, 1, b]
    for r in range(capacity):
        for s in range(capacity):
            blocks[r, s, 0] = mass[r] * mass[s]
        blocks[r, r, 0] = (mass[r] * mass[r] - square[r]) / 2.0
        blocks[r, r, 1] /= 2.0
        blocks[r, r, 2] /= 2.0
    return links, blocks, mass, count


@kernel()
def _prior(n: int, n_blocks: int) -> float:
    chosen = math.lgamma(n) - math.lgamma(n_blocks) - math.lgamma(n - n_blocks + 1.0)
    return -chosen - math.lgamma(n + 1.0) - math.log(n)


@kernel()
def _pools(blocks: Array) -> Any:
    pools = np.zeros((2, 3))
    for r in range(blocks.shape[0]):
        pools[0] += blocks[r, r]
        for s in range(r):
            pools[1] += blocks[r, s]
    return pools


@kernel()
def _score_of(kind: int, entry: Array, scale: float, table: Array) -> float:
    return pair_score(kind, entry[0], entry[1], entry[2], scale, table)


@kernel()
def score(
    blocks: Array, count: Array, kind: int, scale: float, pooled: bool, table: Array
) -> float:
    """Log marginal likelihood of a graph and its partition."""
    n_blocks = 0
    total = 0.0
    for r in range(count.size):
        if count[r] > 0.0:
            n_blocks += 1
            total += math.lgamma(count[r] + 1.0)
            for s in range(r + 1 if not pooled else 0):
                total += _score_of(kind, blocks[r, s], scale, table)
    if pooled:
        for pool in _pools(blocks):
            total += _score_of(kind, pool, scale, table)
    return total + _prior(int(count.sum()), n_blocks)


@kernel()
def _all_scores(blocks: Array, kind: int, scale: float, table: Array) -> Array:
    values = np.zeros(blocks.shape[:2])
    for r in range(values.shape[0]):
        for s in range(values.shape[1]):
            values[r, s] = _score_of(kind, blocks[r, s], scale, table)
    return values


@kernel()
def _gain(
    b: int, links: Array, factor: float, mass: Array, blocks: Array, values: Array, count: Array,
    pools: Array, kind: int, scale: float, pooled: bool, table: Array,
) -> float:  # fmt: skip
    """Gain in likelihood of a node that belongs to no block when it joins block b."""
    gain = math.log(count[b] + 1.0)
    if pooled:
        for k in range(2):
            n, e, w = 0.0, 0.0, 0.0
            for s in range(count.size):
                if (s == b) == (k == 0):
                    n += factor * mass[s]
                    e += links[0, s]
                    w += links[1, s]
            old = pools[k]
            gain += pair_score(kind, old[0] + n, old[1] + e, old[2] + w, scale, table)
            gain -= _score_of(kind, old, scale, table)
        return gain
    for s in range(count.size):
        if count[s] > 0.0:
            n = blocks[b, s, 0] + factor * mass[s]
            e, w = blocks[b, s, 1] + links[0, s], blocks[b, s, 2] + links[1, s]
            gain += pair_score(kind, n, e, w, scale, table) - values[b, s]
    return gain


@kernel()
def _put(
    sign: float, b: int, links: Array, factor: float, mass: Array, blocks: Array, pools: Array
) -> None:
    for s in range(mass.size):
        k = 0 if s == b else 1
        for part in range(3):
            amount = sign * (factor * mass[s] if part == 0 else links[part - 1, s])
            blocks[b, s, part] += amount
            if s != b:
                blocks[s, b, part] += amount
            pools[k, part] += amount


@kernel()
def _renew(b: int, blocks: Array, values: Array, kind: int, scale: float, table: Array) -> None:
    for s in range(values.shape[0]):
        values[b, s] = _score_of(kind, blocks[b, s], scale, table)
        values[s, b] = values[b, s]


@kernel()
def move_nodes(
    starts: Array, near: Array, weight: Array, size: Array, labels: Array, capacity: int,
    order: Array, noise: Array, kind: int, scale: float, pooled: bool, table: Array,
) -> int:  # fmt: skip
    """Move each node in turn to its best block, an empty one among them; return how many moved.

    The noise, one number per node and block, is added to the gains.
    """
    n = labels.size
    links, blocks, mass, count = tally(starts, near, weight, size, labels, capacity)
    pools, values = _pools(blocks), _all_scores(blocks, kind, scale, table)
    priors = np.array([_prior(n, max(k, 1)) for k in range(min(capacity, n) + 1)])
    before = np.empty(capacity)
    moved = 0
    for i in order:
        a, mine = labels[i], links[i]
        mass[a] -= size[i]
        count[a] -= 1.0
        _put(-1.0, a, mine, size[i], mass, blocks, pools)
        before[:] = values[a]
        _renew(a, blocks, values, kind, scale, table)
        n_blocks = 0
        for s in range(capacity):
            n_blocks += count[s] > 0.0
        best, top, tried_empty = a, -np.inf, False
        # The present block goes first, so that a tie leaves the node where it is.
        for k in range(-1, capacity):
            b = a if k < 0 else k
            if k == a or (count[b] == 0.0 and tried_empty):
                continue
            gain = priors[n_blocks + 1 if count[b] == 0.0 else n_blocks] + noise[i, b]
            tried_empty |= count[b] == 0.0
            gain += _gain(
                b, mine, size[i], mass, blocks, values, count, pools, kind, scale, pooled, table
            )
            if gain > top + _GAIN:
                best, top = b, gain
        _put(1.0, best, mine, size[i], mass, blocks, pools)
        if best == a:
            values[a] = before
            values[:, a] = before
        else:
            _renew(best, blocks, values, kind, scale, table)
        mass[best] += size[i]
        count[best] += 1.0
        if best != a:
            moved += 1
            labels[i] = best
            for k in range(starts[i], starts[i + 1]):
                j = near[k]
                links[j, 0, a] -= 1.0
                links[j, 1, a] -= weight[k]
                links[j, 0, best] += 1.0
                links[j, 1, best] += weight[k]
    _close_gaps(labels, count)
    return moved


@kernel()
def _close_gaps(labels: Array, count: Array) -> None:
    names = np.zeros(count.size, dtype=np.int64)
    used = 0
    for r in range(count.size):
        names[r] = used
        used += count[r] > 0.0
    for i in range(labels.size):
        labels[i] = names[labels[i]]


@kernel()
def _best_merge(
    blocks: Array, values: Array, count: Array, n_blocks: int, pools: Array, kind: int,
    scale: float, pooled: bool, table: Array,
) -> Any:  # fmt: skip
    """Return the two blocks whose merger gains most (or loses least), and the gain."""
    n = int(count.sum())
    first, second, top = -1, -1, -np.inf
    change = _prior(n, n_blocks - 1) - _prior(n, n_blocks)
    for r in range(n_blocks):
        for s in range(r):
            gain = change + _log_factorial(count[r] + count[s], table)
            gain -= _log_factorial(count[r], table) + _log_factorial(count[s], table)
            if pooled:
                for k in range(2):
                    sign = 1.0 if k == 0 else -1.0
                    new = pools[k] + sign * blocks[r, s]
                    gain += _score_of(kind, new, scale, table)
                    gain -= _score_of(kind, pools[k], scale, table)
            else:
                joint = blocks[r, r] + blocks[s, s] + blocks[r, s]
                gain += _score_of(kind, joint, scale, table)
                gain -= values[r, r] + values[s, s] + values[r, s]
                for t in range(n_blocks):
                    if t not in (r, s):
                        a, b = blocks[r, t], blocks[s, t]
                        gain += pair_score(
                            kind, a[0] + b[0], a[1] + b[1], a[2] + b[2], scale, table
                        )
                        gain -= values[r, t] + values[s, t]
            if gain > top:
                first, second, top = s, r, gain
    return first, second, top


@kernel()
def merge_blocks(
    blocks: Array, count: Array, labels: Array, kind: int, scale: float, pooled: bool,
    least: float, table: Array,
) -> Any:  # fmt: skip
    """Merge the two best blocks again and again while that gains more than ``least``.

    Labels and counts are changed in place; the labels after each merger are returned.
    """
    n_blocks = count.size
    history = np.empty((max(n_blocks - 1, 0), labels.size), dtype=np.int64)
    pools, values = _pools(blocks), _all_scores(blocks, kind, scale, table)
    done = 0
    while n_blocks > 1:
        a, b, gain = _best_merge(blocks, values, count, n_blocks, pools, kind, scale, pooled, table)
        if gain <= least:
            break
        last = n_blocks - 1
        pools[0] += blocks[a, b]
        pools[1] -= blocks[a, b]
        blocks[a, a] += blocks[b, b] + blocks[a, b]
        for t in range(n_blocks):
            if t not in (a, b):
                blocks[a, t] += blocks[b, t]
                blocks[t, a] = blocks[a, t]
        count[a] += count[b]
        # The last block takes the place that has become free.
        corner = blocks[last, last].copy()
        blocks[b, :n_blocks] = blocks[last, :n_blocks]
        blocks[:n_blocks, b] = blocks[:n_blocks, last]
        blocks[b, b] = corner
        count[b], count[last] = count[last], 0.0
        for i in range(labels.size):
            if labels[i] == b:
                labels[i] = a
            elif labels[i] == last:
                labels[i] = b
        n_blocks = last
        for r in (a, min(b, last - 1)):
            _renew(
                r, blocks[:n_blocks, :n_blocks], values[:n_blocks, :n_blocks], kind, scale, table
            )
        history[done] = labels
        done += 1
    return history[:done]
