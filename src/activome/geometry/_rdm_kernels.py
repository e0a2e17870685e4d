"""Compiled kernels on dissimilarities: pairs, ranks, concordance, paths, order statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = [
    "average_ranks",
    "clip_between",
    "concordance",
    "group_sums",
    "order_statistics",
    "shortest_paths",
    "squared_distances",
]

Array = np.ndarray[Any, Any]

# Below this share of the two squared norms a difference of products keeps too few digits.
_CANCELLATION = 1e-4
_N_BINS = 4096


@kernel()
def squared_distances(gram: Array, patterns: Array, scales: Array, out: Array) -> None:
    """Write the condensed squared distances of each pattern matrix from its Gram matrix.

    Close pairs are computed again from the differences: subtracting products of equal size would
    leave rounding errors, and a repeated pattern would not be at distance 0.

    Parameters
    ----------
    gram : ndarray of float64, shape (n_stack, n_conditions, n_conditions)
        Products of the patterns.
    patterns : ndarray of float64, shape (n_stack, n_conditions, n_units)
        The patterns.
    scales : ndarray of float64, shape (n_stack, n_conditions)
        Factor by which each pattern is multiplied first.
    out : ndarray of float64, shape (n_stack, n_conditions * (n_conditions - 1) / 2)
        Written: squared distances, in the order (0, 1), (0, 2), ...
    """
    n_stack, n_conditions, n_units = patterns.shape
    for s in range(n_stack):
        pair = 0
        for i in range(n_conditions):
            scale = scales[s, i]
            own = gram[s, i, i] * scale * scale
            for j in range(i + 1, n_conditions):
                other = scales[s, j]
                norms = own + gram[s, j, j] * other * other
                value = norms - 2.0 * gram[s, i, j] * scale * other
                if value < _CANCELLATION * norms:
                    value = 0.0
                    for u in range(n_units):
                        step = patterns[s, i, u] * scale - patterns[s, j, u] * other
                        value += step * step
                out[s, pair] = value
                pair += 1


@kernel()
def group_sums(values: Array, codes: Array, out: Array) -> None:
    """Add the rows of each group into ``out``, with the middle axis moved to the front.

    Parameters
    ----------
    values : ndarray, shape (n_observations, n_times, n_units)
        Observations.
    codes : ndarray of int64, shape (n_observations,)
        Group of each observation.
    out : ndarray of float64, shape (n_times, n_groups, n_units)
        Added to.
    """
    n_observations, n_times, n_units = values.shape
    for k in range(n_observations):
        group = codes[k]
        for t in range(n_times):
            for u in range(n_units):
                out[t, group, u] += values[k, t, u]


@kernel()
def average_ranks(row: Array, order: Array, ranks: Array) -> int:
    """Write the ranks (1 is the smallest, ties share their mean) of one row, given its order.

    Parameters
    ----------
    row : ndarray of float64, shape (n,)
        Values.
    order : ndarray of int64, shape (n,)
        Indices that sort them.
    ranks : ndarray of float64, shape (n,)
        Written.

    Returns
    -------
    int
        Number of distinct values.
    """
    n = row.shape[0]
    start = 0
    n_distinct = 0
    while start < n:
        stop = start + 1
        value = row[order[start]]
        while stop < n and row[order[stop]] == value:
            stop += 1
        mean = 0.5 * (start + stop + 1)
        for k in range(start, stop):
            ranks[order[k]] = mean
        n_distinct += 1
        start = stop
    return n_distinct


@kernel()
def concordance(group: Array, counts: Array, order: Array, dense: Array) -> float:
    """Return concordant minus discordant pairs of two rankings (ties count for neither).

    Parameters
    ----------
    group : ndarray of int64, shape (n,)
        Dense ranks (from 0) of the first row.
    counts : ndarray of int64, shape (n_distinct,)
        How often each of them occurs.
    order : ndarray of int64, shape (n,)
        Indices that sort the second row.
    dense : ndarray of int64, shape (n,)
        Dense ranks (from 0) of the second row.

    Returns
    -------
    float
        The difference of the two counts, exact for fewer than 9e7 values.

    Notes
    -----
    A counting sort by the first ranking over the order of the second sorts the pairs of both in
    O(n); the discordant ones are then the inversions, counted in O(n log n).
    """
    n = group.shape[0]
    place = np.empty(counts.shape[0], np.int64)
    total = 0
    tied_first = 0
    for g in range(counts.shape[0]):
        place[g] = total
        total += counts[g]
        tied_first += counts[g] * (counts[g] - 1) // 2
    sequence = np.empty(n, np.int64)
    tied_second = 0
    run = 0
    for k in range(n):
        i = order[k]
        sequence[place[group[i]]] = dense[i]
        place[group[i]] += 1
        run = run + 1 if k > 0 and dense[i] == dense[order[k - 1]] else 0
        tied_second += run
    tied_both = 0
    start = 0
    for g in range(counts.shape[0]):
        run = 0
        for k in range(start + 1, start + counts[g]):
            run = run + 1 if sequence[k] == sequence[k - 1] else 0
            tied_both += run
        start += counts[g]
    untied = n * (n - 1) // 2 - tied_first - tied_second + tied_both
    return float(untied - 2 * _inversions(sequence))


@kernel()
def _inversions(values: Array) -> int:
    # A binary indexed tree of the values seen: it has few branches to mispredict, as merging has.
    n = values.shape[0]
    tree = np.zeros(n + 1, np.int32)
    found = 0
    for k in range(n):
        place = values[k] + 1
        found += k
        node = place
        while node > 0:
            found -= tree[node]
            node &= node - 1
        while place <= n:
            tree[place] += 1
            place += place & -place
    return found


@kernel()
def shortest_paths(lengths: Array) -> None:
    """Replace edge lengths by the lengths of the shortest paths, in place (Floyd-Warshall).

    Parameters
    ----------
    lengths : ndarray of float64, shape (n_nodes, n_nodes)
        Symmetric; infinity where there is no edge. An edge of length 0 is an edge.
    """
    n_nodes = lengths.shape[0]
    for middle in range(n_nodes):
        for i in range(n_nodes):
            first = lengths[i, middle]
            if first < np.inf:
                for j in range(n_nodes):
                    lengths[i, j] = min(lengths[i, j], first + lengths[middle, j])


@kernel()
def order_statistics(row: Array, low: float, high: float, wanted: Array, out: Array) -> None:
    """Write chosen order statistics of a row without sorting it.

    A histogram says in which bin each wanted value lies, and only that bin is sorted. Exact for
    any values; where they crowd into one bin the cost is that of a sort.

    Parameters
    ----------
    row : ndarray of float64, shape (n,)
        Finite values.
    low, high : float
        The smallest and the largest of them, not equal.
    wanted : ndarray of int64, shape (n_wanted,)
        Positions in the sorted row, from 0, increasing.
    out : ndarray of float64, shape (n_wanted,)
        Written.
    """
    spread = high - low
    # A spread too small or too large to divide by puts all values in one bin: sorted, still exact.
    scale = (_N_BINS - 1) / spread if 1e-300 < spread < 1e300 else 0.0
    counts = np.zeros(_N_BINS, np.int64)
    bins = np.empty(row.shape[0], np.int16)
    for k in range(row.shape[0]):
        # Monotone in the value even after rounding, which is all that the selection needs.
        b = int((row[k] - low) * scale)
        bins[k] = b
        counts[b] += 1
    chosen, below = 0, 0
    held = -1
    crowd = np.empty(0, np.float64)
    for w in range(wanted.shape[0]):
        while below + counts[chosen] <= wanted[w]:
            below += counts[chosen]
            chosen += 1
        if held != chosen:
            crowd = np.empty(counts[chosen], np.float64)
            filled = 0
            for k in range(row.shape[0]):
                if bins[k] == chosen:
                    crowd[filled] = row[k]
                    filled += 1
            crowd.sort()
            held = chosen
        out[w] = crowd[wanted[w] - below]


@kernel()
def clip_between(row: Array, low: float, high: float, out: Array) -> None:
    """Write a row clipped between two cuts and scaled to [0, 1].

    Parameters
    ----------
    row : ndarray of float64, shape (n,)
        Values.
    low, high : float
        The cuts, ``low < high``.
    out : ndarray of float64, shape (n,)
        Written.
    """
    spread = high - low
    for k in range(row.shape[0]):
        out[k] = min(max((row[k] - low) / spread, 0.0), 1.0)
