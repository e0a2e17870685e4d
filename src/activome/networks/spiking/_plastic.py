"""Plastic synapses in the loop of the engine: who arrives, and what both sides see of each other.

Synapses that take part in a step are listed first, then worked off without a branch: a row is
sorted by delay, and ``runs`` says for each cell and delay where its synapses begin. Columns of
``projection`` (int64) are: 0 where its row pointers begin, 1 first cell before, 2 first cell
behind, 3 number of cells behind, 4 kind (0 static, 1 plastic), 5 where the delay lies (0 dendritic,
1 axonal), 6 trigger (0 immediate, 1 presynaptic), 7 whether the cell before sees equal times, 8
whether the one behind does, 9 how changes depend on the weight (0 not, 1 multiplicative, 2 once),
10 nearest, 11 where back pointers begin, 12 where traces before begin, 13 where traces behind
begin, 14 and 15 smallest and largest delay, 16 whether drive is held, 17 number of cells before, 18
the offset of its targets, 19 where its runs begin, 20 where its list of arrivals begins. Columns of
``rule`` (float64) are: 0 dt / tau_plus, 1 dt / tau_minus, 2 a_plus, 3 a_minus, 4 w_min, 5 w_max, 6
drive wanted, 7 eta, 8 window in steps, 9 rise of a trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.networks.spiking._traces import read

__all__ = [
    "LISTED_AT_ONCE",
    "deliver",
    "scale_drive",
    "seen_from_before",
    "seen_from_behind",
]

Array = np.ndarray[Any, Any]
# Synapses that are listed whether they are there or not: room that a list needs at its end.
LISTED_AT_ONCE = 8
_NEVER = -(2**62)


@kernel()
def depart(
    t: int,
    fired: Array,
    n_fired: int,
    projection: Array,
    cells: Array,
    steps: Array,
    n_away: Array,
    window: Array,
) -> None:
    """Add the spikes of this step to those on their way, the last one first."""
    if n_away[0] + n_fired > cells.size:
        gone = n_away[0]
        for q in range(projection.shape[0]):
            if projection[q, 4] == 1:
                gone = min(gone, window[q, 0])
        n = n_away[0] - gone
        # Towards the front, from the front: what is overwritten has been moved.
        for f in range(n):
            cells[f], steps[f] = cells[gone + f], steps[gone + f]
        n_away[0] = n
        window -= gone
    for k in range(n_fired - 1, -1, -1):
        cells[n_away[0]], steps[n_away[0]] = fired[k], t
        n_away[0] += 1


@kernel()
def _list_delayed(
    t: int, first: int, n_cells: int, d_lo: int, d_hi: int, runs: Array, cells: Array,
    steps: Array, n_away: int, window: Array, listed: Array,
) -> int:  # fmt: skip
    """List the synapses whose cell fired a delay ago, the latest first; returns their number."""
    lo, hi = window[0], window[1]
    while lo < n_away and steps[lo] < t - d_hi:
        lo += 1
    while hi < n_away and steps[hi] <= t - d_lo:
        hi += 1
    window[0], window[1] = lo, hi
    width = d_hi - d_lo + 2
    n = 0
    for f in range(hi - 1, lo - 1, -1):
        i = cells[f] - first
        if i < 0 or i >= n_cells:
            continue
        at = np.uint64(i * width + t - steps[f] - d_lo)
        s, end = runs[at], runs[at + np.uint64(1)]
        # Most runs are short: some numbers too many are cheaper than a branch.
        for j in range(LISTED_AT_ONCE):
            listed[np.uint64(n + j)] = s + np.int32(j)
        for j in range(LISTED_AT_ONCE, end - s):
            listed[np.uint64(n + j)] = s + np.int32(j)
        n += end - s
    return n


@kernel()
def list_arrivals(
    t: int,
    q: int,
    projection: Array,
    runs: Array,
    cells: Array,
    steps: Array,
    n_away: Array,
    window: Array,
    arrived: Array,
    n_arrived: Array,
) -> None:
    """List the synapses that spikes reach in this step, after their way along the axon."""
    n_arrived[q] = _list_delayed(
        t, projection[q, 1], projection[q, 17], projection[q, 14], projection[q, 15],
        runs[projection[q, 19] :], cells, steps, n_away[0], window[q], arrived[projection[q, 20] :],
    )  # fmt: skip


@kernel()
def deliver(
    q: int, projection: Array, target: Array, weight: Array, arrived: Array, n_arrived: Array,
    entering: Array,
) -> None:  # fmt: skip
    """Let the spikes that arrive act on the cells behind, with the weights as they are."""
    listed = arrived[projection[q, 20] :]
    for e in range(n_arrived[q]):
        s = np.uint64(listed[np.uint64(e)])
        entering[np.uint64(target[s])] += weight[s]


@kernel()
def seen_from_before(
    t: int,
    q: int,
    shift: int,
    projection: Array,
    rule: Array,
    ptr: Array,
    target: Array,
    weight: Array,
    pending: Array,
    delay: Array,
    fired: Array,
    n_fired: int,
    arrived: Array,
    n_arrived: Array,
    fade: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
    ring: Array,
) -> None:
    """Take the spikes that reach the synapses from before: fall, then use when dendritic.

    An axonal spike that acts after the step enters here, with the weight before the fall.
    """
    is_axonal, is_late = projection[q, 5] == 1, projection[q, 6] == 1
    enters, by_weight = is_axonal and shift == 1, projection[q, 9] == 1
    rate, faded, low, high = rule[q, 1], fade[q, 1], rule[q, 4], rule[q, 5]
    # Decay runs to t; a strict reader leaves out spikes of this very step.
    limit, rest = (t, 1.0) if projection[q, 7] == 1 else (t - 1, faded[1])
    amount, constant, slope = rule[q, 3], 1.0, 0.0
    if by_weight:
        constant, slope = -low, 1.0
    old = pending if is_late else weight
    first = projection[q, 13] - projection[q, 18]
    listed, rows = arrived[projection[q, 20] :], ptr[projection[q, 0] :]
    n_rows = ring.shape[0]
    now = (t + shift) % n_rows
    entering = ring[now]
    for k in range(1 if is_axonal else n_fired):
        n, begin = n_arrived[q], 0
        if not is_axonal:
            i = fired[k] - projection[q, 1]
            if i < 0 or i >= projection[q, 17]:
                continue
            begin = rows[i]
            n = rows[i + 1] - begin
        for e in range(n):
            # Unsigned: the compiler need not ask whether a place is counted from the end.
            s = np.uint64(listed[np.uint64(e)] if is_axonal else begin + e)
            cell = np.uint64(first + target[s])
            until = limit if is_axonal else limit - delay[s]
            trace = read(cell, until, rate, faded, latest, step, value, count)
            if enters:
                entering[np.uint64(target[s])] += weight[s]
            w = old[s]
            w = min(high, max(low, w - amount * (trace * rest) * (constant + slope * w)))
            weight[s] = w
            if is_late:
                pending[s] = w
            if not is_axonal:
                r = now + delay[s]
                if r >= n_rows:
                    r -= n_rows
                ring[np.uint64(r), np.uint64(target[s])] += w


@kernel()
def seen_from_behind(
    t: int,
    q: int,
    projection: Array,
    rule: Array,
    runs: Array,
    weight: Array,
    pending: Array,
    back_ptr: Array,
    back: Array,
    fired: Array,
    n_fired: int,
    cells: Array,
    steps: Array,
    n_away: Array,
    window: Array,
    listed: Array,
    fade: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    """Take the spikes that the synapses see from behind: rise."""
    is_axonal, by_weight = projection[q, 5] == 1, projection[q, 9] == 1
    is_once, post, n_post = projection[q, 9] == 2, projection[q, 2], projection[q, 3]
    rate, faded, low, high = rule[q, 0], fade[q, 0], rule[q, 4], rule[q, 5]
    limit, rest = (t, 1.0) if projection[q, 8] == 1 else (t - 1, faded[1])
    amount, constant, slope = rule[q, 2], 1.0, 0.0
    if by_weight:
        constant, slope = high, -1.0
    changing = pending if projection[q, 6] == 1 else weight
    first = projection[q, 12]
    rows = back_ptr[projection[q, 11] :]
    n, begin = 0, 0
    if not is_axonal:
        n = _list_delayed(
            t, post, n_post, projection[q, 14], projection[q, 15], runs[projection[q, 19] :],
            cells, steps, n_away[0], window[q], listed,
        )  # fmt: skip
    for k in range(n_fired if is_axonal else 1):
        if is_axonal:
            i = fired[k] - post
            if i < 0 or i >= n_post:
                continue
            begin = rows[i]
            n = rows[i + 1] - begin
        for e in range(n):
            c = np.uint64(begin + e if is_axonal else listed[np.uint64(e)])
            s, cell = np.uint64(back[c, 0]), np.uint64(first + back[c, 1])
            until = limit - back[c, 2] if is_axonal else limit
            trace = read(cell, until, rate, faded, latest, step, value, count)
            w = changing[s]
            if not (is_once and w > low):
                w += amount * (trace * rest) * (constant + slope * w)
                changing[s] = min(high, max(low, w))


@kernel()
def scale_drive(
    t: int,
    q: int,
    projection: Array,
    rule: Array,
    weight: Array,
    pending: Array,
    back_ptr: Array,
    back: Array,
    fired: Array,
    n_fired: int,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    """Hold the drive of the synapses that were active before a spike of the cell behind them."""
    post, n_post = projection[q, 2], projection[q, 3]
    mask = step.shape[1] - 1
    for k in range(n_fired):
        i = fired[k] - post
        if i < 0 or i >= n_post:
            continue
        lo, hi = back_ptr[projection[q, 11] + i], back_ptr[projection[q, 11] + i + 1]
        total = 0.0
        for turn in range(2):
            for c in range(lo, hi):
                cell = projection[q, 12] + back[c, 1]
                reached = _NEVER
                for ago in range(1, min(count[cell], mask + 1) + 1):
                    j = (count[cell] - ago) & mask
                    if step[cell, j] + back[c, 2] <= t:
                        reached = step[cell, j] + back[c, 2]
                        break
                if t - reached > rule[q, 8]:
                    continue
                s = back[c, 0]
                if turn == 0:
                    total += weight[s]
                elif total > 0.0:
                    weight[s] *= 1.0 + rule[q, 7] * (rule[q, 6] / total - 1.0)
                    pending[s] = weight[s]
