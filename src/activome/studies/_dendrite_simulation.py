"""Random patterns one by one: how often they meet the synapses of a segment."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome._random import make_generator

__all__ = ["overlap_counts", "union_matches"]

Array = np.ndarray[Any, Any]


def overlap_counts(n: int, a: int, s: int, n_patterns: int, seed: Any) -> Array:
    """Draw explicit patterns and count how many synapses each meets.

    Parameters
    ----------
    n, a : int
        Cells, and active cells of a pattern.
    s : int
        Synapses; they are on the first cells, since patterns are drawn without regard to these.
    n_patterns : int
        Patterns.
    seed : Any
        Seed of numpy.

    Returns
    -------
    ndarray of int64, shape (s + 1,)
        Patterns by overlap.
    """
    generator = make_generator(np.random.default_rng(seed))
    counts = np.zeros(s + 1, dtype=np.int64)
    stamp = np.full(n, -1, dtype=np.int64)
    step = max(1, (1 << 22) // max(a, 1))
    for start in range(0, n_patterns, step):
        size = min(step, n_patterns - start)
        draws = generator.random((size, a))
        _count(n, s, draws, stamp, start, counts)
    return counts


def union_matches(
    n: int, a: int, s: int, theta: int, n_stored: int, n_segments: int, n_patterns: int, seed: Any
) -> tuple[float, float]:
    """Return the share of matches of segments that store several patterns, and its error.

    Parameters
    ----------
    n, a, s, theta : int
        Cells, active cells, synapses per stored pattern, threshold.
    n_stored : int
        Patterns stored on each segment.
    n_segments, n_patterns : int
        Segments, and patterns shown to each.
    seed : Any
        Seed of numpy.

    Returns
    -------
    tuple of float
        Mean over segments, and its standard error from their spread.
    """
    generator = np.random.default_rng(seed)
    shares = []
    for _ in range(n_segments):
        stored = [generator.choice(n, s, replace=False) for _ in range(n_stored)]
        size = np.unique(np.concatenate(stored)).size
        counts = overlap_counts(n, a, size, n_patterns, generator.integers(2**62))
        shares.append(counts[theta:].sum() / n_patterns)
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(n_segments))


@kernel()
def _count(n: int, s: int, draws: Array, stamp: Array, first: int, counts: Array) -> None:
    """Draw each pattern without repeats by Floyd's rule: one number per active cell."""
    n_rows, a = draws.shape
    for row in range(n_rows):
        mark, overlap = first + row, 0
        for k in range(a):
            last = n - a + k
            cell = int(draws[row, k] * (last + 1))
            if stamp[cell] == mark:
                cell = last
            stamp[cell] = mark
            overlap += cell < s
        counts[overlap] += 1
