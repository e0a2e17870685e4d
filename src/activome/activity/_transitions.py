"""Dwells in states, and counts of transitions with the dwells in random order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._compile import kernel
from activome.activity.nulls import segment_bounds
from activome.errors import ActivityError

__all__ = ["dwell_codes", "shuffled_counts"]

Array = np.ndarray[Any, Any]
# Swaps per dwell that make the order random; the chain starts from the observed order.
_SWAPS = 20


def dwell_codes(states: ArrayLike, offsets: ArrayLike | None) -> tuple[Array, list[Array]]:
    """Return the names of the states, and the codes of successive dwells of each segment.

    Raises
    ------
    ActivityError
        If ``states`` is empty or not one-dimensional.
    """
    sequence = np.asarray(states)
    if sequence.ndim != 1 or sequence.size == 0:
        raise ActivityError(
            f"transition_test: states must be (n_samples,), not empty; got {sequence.shape}."
        )
    edges = segment_bounds(sequence.size, offsets, "transition_test")
    names, codes = np.unique(sequence, return_inverse=True)
    dwells = []
    for low, high in itertools.pairwise(edges):
        part = codes[low:high]
        if part.size:
            dwells.append(part[np.flatnonzero(np.diff(part, prepend=-1) != 0)].astype(np.int64))
    return names, dwells


def shuffled_counts(
    dwells: list[Array], n_states: int, n: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return the transition counts, and those of ``n`` random orders without repeated states."""
    order = np.concatenate(dwells)
    offsets = np.concatenate([[0], np.cumsum([part.size for part in dwells])]).astype(np.int64)
    counts = np.zeros((n_states, n_states), dtype=np.int64)
    _count(order, offsets, counts)
    null = np.zeros((n, n_states, n_states), dtype=np.int64)
    segment_of = np.repeat(np.arange(len(dwells)), [part.size for part in dwells])
    low, high = offsets[segment_of], offsets[segment_of + 1]
    for k in range(n):
        first = generator.integers(0, order.size, _SWAPS * order.size)
        second = generator.integers(low[first], high[first])
        _swap(order, first, second, low, high)
        _count(order, offsets, null[k])
    return counts, null


@kernel()
def _count(order: Array, offsets: Array, out: Array) -> None:
    for s in range(offsets.size - 1):
        for k in range(offsets[s] + 1, offsets[s + 1]):
            out[order[k - 1], order[k]] += 1


@kernel()
def _fits(order: Array, k: int, low: int, high: int) -> bool:
    left = k == low or order[k - 1] != order[k]
    right = k == high - 1 or order[k + 1] != order[k]
    return left and right


@kernel()
def _swap(order: Array, first: Array, second: Array, low: Array, high: Array) -> None:
    """Swap dwells where no state then follows itself; the chain is symmetric, so uniform."""
    for m in range(first.size):
        a, b = first[m], second[m]
        order[a], order[b] = order[b], order[a]
        if not (_fits(order, a, low[a], high[a]) and _fits(order, b, low[b], high[b])):
            order[a], order[b] = order[b], order[a]
