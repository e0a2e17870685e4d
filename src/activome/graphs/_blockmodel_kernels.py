"""Compiled search for the partition of a weighted graph with the largest integrated likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["BERNOULLI", "EXPONENTIAL", "POISSON", "best_merge", "move_nodes", "score", "tally"]

Array = np.ndarray[Any, Any]
EXPONENTIAL, BERNOULLI, POISSON = 0, 1, 2


@kernel()
def pair_score(kind: int, n: float, e: float, w: float, scale: float) -> float:
    """Log marginal likelihood of one pair of blocks: n pairs, e edges, total weight w."""
    if kind == POISSON:
        return math.lgamma(1.0 + w) - math.log(scale) - (1.0 + w) * math.log(1.0 / scale + n)
    value = math.lgamma(e + 1.0) + math.lgamma(n - e + 1.0) - math.lgamma(n + 2.0)
    if kind == EXPONENTIAL and e > 0.0:
        value += math.log(scale) + math.lgamma(1.0 + e) - (1.0 + e) * math.log(scale + w)
    return value


@kernel()
def tally(adjacency: Array, size: Array, labels: Array, capacity: int) -> Any:
    """Count edges and weights of nodes to blocks, and pairs, edges and weights between blocks."""
    n = labels.size
    near = np.zeros((2, n, capacity))
    table = np.zeros((3, capacity, capacity))
    mass, square, count = np.zeros(capacity), np.zeros(capacity), np.zeros(capacity)
    for i in range(n):
        a = labels[i]
        mass[a] += size[i]
        square[a] += size[i] * size[i]
        count[a] += 1.0
        for j in range(n):
            if i != j and adjacency[i, j] > 0.0:
                near[0, i, labels[j]] += 1.0
                near[1, i, labels[j]] += adjacency[i, j]
        table[1, a] += near[0, i]
        table[2, a] += near[1, i]
    for r in range(capacity):
        for s in range(capacity):
            table[0, r, s] = mass[r] * mass[s]
        table[0, r, r] = (mass[r] * mass[r] - square[r]) / 2.0
        table[1, r, r] /= 2.0
        table[2, r, r] /= 2.0
    return near, table, mass, count


@kernel()
def _prior(n: int, n_blocks: int) -> float:
    chosen = math.lgamma(n) - math.lgamma(n_blocks) - math.lgamma(n - n_blocks + 1.0)
    return -chosen - math.lgamma(n + 1.0) - math.log(n)


@kernel()
def _pools(table: Array) -> Any:
    pools = np.zeros((2, 3))
    for r in range(table.shape[1]):
        pools[0] += table[:, r, r]
        for s in range(r):
            pools[1] += table[:, r, s]
    return pools


@kernel()
def score(table: Array, count: Array, kind: int, scale: float, pooled: bool) -> float:
    """Log marginal likelihood of a graph and its partition."""
    n_blocks = 0
    total = 0.0
    for r in range(count.size):
        if count[r] > 0.0:
            n_blocks += 1
            total += math.lgamma(count[r] + 1.0)
            for s in range(r + 1 if not pooled else 0):
                total += pair_score(kind, table[0, r, s], table[1, r, s], table[2, r, s], scale)
    if pooled:
        for pool in _pools(table):
            total += pair_score(kind, pool[0], pool[1], pool[2], scale)
    return total + _prior(int(count.sum()), n_blocks)


@kernel()
def _gain(
    b: int, pairs: Array, near: Array, table: Array, count: Array, pools: Array, kind: int,
    scale: float, pooled: bool,
) -> float:  # fmt: skip
    """Gain in likelihood of a node that belongs to no block when it joins block b."""
    gain = math.lgamma(count[b] + 2.0) - math.lgamma(count[b] + 1.0)
    if pooled:
        for k in range(2):
            n, e, w = 0.0, 0.0, 0.0
            for s in range(count.size):
                if (s == b) == (k == 0):
                    n += pairs[s]
                    e += near[0, s]
                    w += near[1, s]
            old = pools[k]
            gain += pair_score(kind, old[0] + n, old[1] + e, old[2] + w, scale)
            gain -= pair_score(kind, old[0], old[1], old[2], scale)
        return gain
    for s in range(count.size):
        if count[s] > 0.0:
            n, e, w = table[0, b, s], table[1, b, s], table[2, b, s]
            gain += pair_score(kind, n + pairs[s], e + near[0, s], w + near[1, s], scale)
            gain -= pair_score(kind, n, e, w, scale)
    return gain


@kernel()
def _put(sign: float, b: int, pairs: Array, near: Array, table: Array, pools: Array) -> None:
    for s in range(pairs.size):
        table[0, b, s] += sign * pairs[s]
        table[1, b, s] += sign * near[0, s]
        table[2, b, s] += sign * near[1, s]
        table[:, s, b] = table[:, b, s]
        k = 0 if s == b else 1
        pools[k, 0] += sign * pairs[s]
        pools[k, 1] += sign * near[0, s]
        pools[k, 2] += sign * near[1, s]


@kernel()
def move_nodes(
    adjacency: Array, size: Array, labels: Array, capacity: int, order: Array, kind: int,
    scale: float, pooled: bool,
) -> int:  # fmt: skip
    """Move each node in turn to its best block, an empty one among them; return how many moved."""
    n = labels.size
    near, table, mass, count = tally(adjacency, size, labels, capacity)
    pools = _pools(table)
    moved = 0
    for i in order:
        a = labels[i]
        mass[a] -= size[i]
        count[a] -= 1.0
        _put(-1.0, a, size[i] * mass, near[:, i], table, pools)
        n_blocks = 0
        for s in range(capacity):
            n_blocks += count[s] > 0.0
        best, top, tried_empty = a, -np.inf, False
        # The present block goes first, so that a tie leaves the node where it is.
        for k in range(-1, capacity):
            b = a if k < 0 else k
            if k == a or (count[b] == 0.0 and tried_empty):
                continue
            extra = _prior(n, n_blocks + 1 if count[b] == 0.0 else n_blocks)
            tried_empty |= count[b] == 0.0
            gain = extra + _gain(
                b, size[i] * mass, near[:, i], table, count, pools, kind, scale, pooled
            )
            if gain > top + 1e-9:
                best, top = b, gain
        _put(1.0, best, size[i] * mass, near[:, i], table, pools)
        mass[best] += size[i]
        count[best] += 1.0
        if best != a:
            moved += 1
            labels[i] = best
            for j in range(n):
                if j != i and adjacency[i, j] > 0.0:
                    near[0, j, a] -= 1.0
                    near[1, j, a] -= adjacency[i, j]
                    near[0, j, best] += 1.0
                    near[1, j, best] += adjacency[i, j]
    return moved


@kernel()
def best_merge(table: Array, count: Array, kind: int, scale: float, pooled: bool) -> Any:
    """Return the two blocks whose merger gains most (or loses least), and the gain."""
    n_blocks = count.size
    n = int(count.sum())
    first, second, top = -1, -1, -np.inf
    pools = _pools(table)
    change = _prior(n, n_blocks - 1) - _prior(n, n_blocks)
    for r in range(n_blocks):
        for s in range(r):
            gain = change + math.lgamma(count[r] + count[s] + 1.0)
            gain -= math.lgamma(count[r] + 1.0) + math.lgamma(count[s] + 1.0)
            if pooled:
                for k in range(2):
                    sign = 1.0 if k == 0 else -1.0
                    old, new = pools[k], pools[k] + sign * table[:, r, s]
                    gain += pair_score(kind, new[0], new[1], new[2], scale)
                    gain -= pair_score(kind, old[0], old[1], old[2], scale)
            else:
                joint = table[:, r, r] + table[:, s, s] + table[:, r, s]
                gain += pair_score(kind, joint[0], joint[1], joint[2], scale)
                for one, other in ((r, r), (s, s), (r, s)):
                    old = table[:, one, other]
                    gain -= pair_score(kind, old[0], old[1], old[2], scale)
                for t in range(n_blocks):
                    if t not in (r, s):
                        a, b = table[:, r, t], table[:, s, t]
                        both = a + b
                        gain += pair_score(kind, both[0], both[1], both[2], scale)
                        gain -= pair_score(kind, a[0], a[1], a[2], scale)
                        gain -= pair_score(kind, b[0], b[1], b[2], scale)
            if gain > top:
                first, second, top = s, r, gain
    return first, second, top
