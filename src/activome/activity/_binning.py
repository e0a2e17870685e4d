"""Kernels that count events into bins; edges are whole ticks, so no float decides a bin."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["count_events"]

Array = np.ndarray[Any, Any]


@kernel()
def _count(
    t: Array, row: Array, unit: Array, first: int, width: int, counts: Array, limit: int
) -> bool:
    """Add events to ``counts`` (n_rows, n_bins, n_units); False when a count would pass ``limit``.

    Bin k holds the ticks in [first + k width, first + (k + 1) width). An empty ``row`` stands for
    row 0. One read of the events, one pass over the counts they touch.
    """
    n_bins = counts.shape[1]
    one_row = row.size == 0
    # Events come sorted by (trial, time): the bin is carried along, and the division is only
    # needed where an event leaves it.
    k, low, high = 0, first, first + width
    for i in range(t.size):
        tick = t[i]
        if tick < low or tick >= high:
            if tick < first:
                continue
            bin_of_tick = (tick - first) // width
            if bin_of_tick >= n_bins:
                continue
            k = bin_of_tick
            low = first + k * width
            high = low + width
        r = 0 if one_row else row[i]
        u = unit[i]
        if counts[r, k, u] == limit:
            return False
        counts[r, k, u] += 1
    return True


def count_events(
    t: Array, row: Array, unit: Array, *, first: int, width: int, shape: tuple[int, int, int]
) -> Array:
    """Count events into an array (n_rows, n_bins, n_units) of the narrowest sufficient dtype.

    ``t`` (ticks) is sorted within each row; ``width`` is in ticks. The count is tried in 8 bits,
    then in 16, then in 32: most recordings fit the first, which is also the fastest to fill.
    """
    for dtype in (np.uint8, np.uint16):
        counts = np.zeros(shape, dtype)
        if _count(t, row, unit, first, width, counts, int(np.iinfo(dtype).max)):
            return counts
    counts = np.zeros(shape, np.uint32)
    _count(t, row, unit, first, width, counts, int(np.iinfo(np.uint32).max))
    return counts
