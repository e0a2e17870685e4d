"""Traces of spikes, as plastic synapses read them: now, or as they were a delay ago.

A trace is kept as a short list of its values just after the last spikes of a cell. The last two of
them are kept once more in ``latest`` (step, value, step before, value before): a cell seldom fires
twice within a delay, so that a synapse finds what it needs in half a line of the fastest cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["fading", "read", "remember_spikes"]

Array = np.ndarray[Any, Any]


@kernel()
def _remember(
    t: int,
    k: int,
    rate: float,
    rise: float,
    nearest: bool,
    faded: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    j = count[k] & (step.shape[1] - 1)
    new = rise
    if count[k] > 0 and not nearest:
        gap = t - int(latest[4 * k])
        new += latest[4 * k + 1] * (faded[gap] if gap < faded.size else np.exp(-gap * rate))
    step[k, j] = t
    value[k, j] = new
    latest[4 * k + 2], latest[4 * k + 3] = latest[4 * k], latest[4 * k + 1]
    latest[4 * k], latest[4 * k + 1] = t, new
    count[k] += 1


@kernel()
def remember_spikes(
    t: int,
    fired: Array,
    n_fired: int,
    projection: Array,
    rule: Array,
    fade: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    """Add the spikes of this step to the traces of every plastic projection, on both sides."""
    for q in range(projection.shape[0]):
        if projection[q, 4] == 0:
            continue
        nearest, rise = projection[q, 10] == 1, rule[q, 9]
        for side in range(2):
            first, n_cells = projection[q, 1 + side], projection[q, 17 if side == 0 else 3]
            trace, rate, faded = projection[q, 12 + side], rule[q, side], fade[q, side]
            for k in range(n_fired):
                i = fired[k] - first
                if 0 <= i < n_cells:
                    _remember(t, trace + i, rate, rise, nearest, faded, latest, step, value, count)


@kernel()
def fading(rate: float, n: int) -> Array:
    """Return exp(-k rate) for k below n, to the bit as the loop would compute it."""
    table = np.empty(n)
    for k in range(n):
        table[k] = np.exp(-k * rate)
    return table


@kernel()
def _read_further(
    k: int, limit: int, rate: float, step: Array, value: Array, count: Array
) -> float:
    """Return the trace of cell ``k`` at time ``limit``, from spikes not later than that."""
    mask = step.shape[1] - 1
    n = count[k]
    for back in range(1, min(n, mask + 1) + 1):
        j = (n - back) & mask
        if step[k, j] <= limit:
            return float(value[k, j] * np.exp(-(limit - step[k, j]) * rate))
    return 0.0


@kernel(inline=True)
def read(
    cell: Any,
    until: int,
    rate: float,
    faded: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> Any:
    """Return the trace of a cell, an unsigned number, at time ``until``; part of the hot loops."""
    at = np.uint64(4) * cell
    gap, trace = until - int(latest[at]), latest[at + np.uint64(1)]
    is_older = gap < 0
    gap = until - int(latest[at + np.uint64(2)]) if is_older else gap
    trace = latest[at + np.uint64(3)] if is_older else trace
    if np.uint64(gap) < np.uint64(faded.size):
        trace *= faded[np.uint64(gap)]
    else:
        trace = _read_further(int(cell), until, rate, step, value, count)
    return trace
