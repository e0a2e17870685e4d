"""Plastic synapses in the loop of the engine: traces, and what both sides see of each other.

A trace is kept as a short list of its values just after the last spikes of a cell, so that a
synapse can read it as it was a delay ago; the last of all is kept once more in ``latest`` (step,
value), which is small enough for the fastest cache. A cursor says, for each spike on its way, from
which to which synapse of its row it reaches in this step: rows are sorted by delay. Columns of
``projection`` (int64) are: 0 where its row pointers begin, 1 first cell before, 2 first cell
behind, 3 number of cells behind, 4 kind (0 static, 1 plastic), 5 where the delay lies (0 dendritic,
1 axonal), 6 trigger (0 immediate, 1 presynaptic), 7 whether the cell before sees equal times, 8
whether the one behind does, 9 how changes depend on the weight (0 not, 1 multiplicative, 2 once),
10 nearest, 11 where back pointers begin, 12 where traces before begin, 13 where traces behind
begin, 14 and 15 smallest and largest delay, 16 whether drive is held, 17 number of cells before, 18
the offset of its targets, 19 which table of cursors is its own. Columns of ``rule`` (float64) are:
0 dt / tau_plus, 1 dt / tau_minus, 2 a_plus, 3 a_minus, 4 w_min, 5 w_max, 6 drive wanted, 7 eta, 8
window in steps, 9 rise of a trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = [
    "deliver_axonal",
    "fading",
    "remember_spikes",
    "scale_drive",
    "seen_from_before",
    "seen_from_behind",
    "send_off",
]

Array = np.ndarray[Any, Any]
_NEVER = -(2**62)


@kernel()
def _remember(
    t: int,
    k: int,
    rate: float,
    rise: float,
    nearest: bool,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    j = count[k] & (step.shape[1] - 1)
    new = rise
    if count[k] > 0 and not nearest:
        new = latest[k, 1] * np.exp(-(t - int(latest[k, 0])) * rate) + rise
    step[k, j] = t
    value[k, j] = new
    latest[k, 0] = t
    latest[k, 1] = new
    count[k] += 1


@kernel()
def fading(rate: float, n: int) -> Array:
    """Return exp(-k rate) for k below n, to the bit as the loop would compute it."""
    table = np.empty(n)
    for k in range(n):
        table[k] = np.exp(-k * rate)
    return table


@kernel()
def _read(k: int, limit: int, rate: float, step: Array, value: Array, count: Array) -> float:
    """Return the trace of cell ``k`` at time ``limit``, from spikes not later than that."""
    mask = step.shape[1] - 1
    n = count[k]
    for back in range(1, min(n, mask + 1) + 1):
        j = (n - back) & mask
        if step[k, j] <= limit:
            return float(value[k, j] * np.exp(-(limit - step[k, j]) * rate))
    return 0.0


@kernel()
def send_off(
    row: int, projection: Array, ptr: Array, fired: Array, n_fired: int, cursor: Array
) -> None:
    """Let the spikes of this step begin at the first synapse of their rows."""
    for q in range(projection.shape[0]):
        if projection[q, 4] == 0 or projection[q, 5] == 0:
            continue
        pre, n_pre = projection[q, 1], projection[q, 17]
        for k in range(n_fired):
            i = fired[k] - pre
            if 0 <= i < n_pre:
                cursor[projection[q, 19], row, k, 1] = ptr[projection[q, 0] + i]


@kernel()
def remember_spikes(
    t: int,
    fired: Array,
    n_fired: int,
    projection: Array,
    rule: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    """Add the spikes of this step to the traces of every plastic projection, on both sides."""
    for q in range(projection.shape[0]):
        if projection[q, 4] == 0:
            continue
        nearest = projection[q, 10] == 1
        pre, n_pre = projection[q, 1], projection[q, 17]
        post, n_post = projection[q, 2], projection[q, 3]
        for k in range(n_fired):
            i = fired[k]
            if pre <= i < pre + n_pre:
                at = projection[q, 12] + i - pre
                _remember(t, at, rule[q, 0], rule[q, 9], nearest, latest, step, value, count)
            if post <= i < post + n_post:
                at = projection[q, 13] + i - post
                _remember(t, at, rule[q, 1], rule[q, 9], nearest, latest, step, value, count)


@kernel()
def _first_of_delay(values: Array, lo: int, hi: int, d: int) -> int:
    """Return the first index in [lo, hi) whose delay is at least ``d``; delays are sorted."""
    while lo < hi:
        middle = (lo + hi) // 2
        if values[middle] < d:
            lo = middle + 1
        else:
            hi = middle
    return lo


@kernel()
def deliver_axonal(
    t: int,
    shift: int,
    n: int,
    projection: Array,
    ptr: Array,
    target: Array,
    weight: Array,
    delay: Array,
    past_ptr: Array,
    past: Array,
    cursor: Array,
    ring: Array,
) -> None:
    """Let spikes arrive that left a delay ago, with the weights as they are now."""
    row = (t + shift) % ring.shape[0]
    for q in range(projection.shape[0]):
        if projection[q, 4] == 0 or projection[q, 5] == 0:
            continue
        pre, n_pre = projection[q, 1], projection[q, 17]
        own, base = projection[q, 19], projection[q, 0]
        for d in range(projection[q, 14], projection[q, 15] + 1):
            r = (t - d) % past_ptr.shape[0]
            if past_ptr[r, 1] != t - d:
                continue
            for k in range(past_ptr[r, 0]):
                i = past[r, k] - pre
                if i < 0 or i >= n_pre:
                    continue
                hi = ptr[base + i + 1]
                s = cursor[own, r, k, 1]
                cursor[own, r, k, 0] = s
                while s < hi and delay[s] == d:
                    ring[row, target[s]] += weight[s]
                    s += 1
                cursor[own, r, k, 1] = s


@kernel()
def seen_from_before(
    t: int,
    q: int,
    shift: int,
    n: int,
    projection: Array,
    rule: Array,
    ptr: Array,
    target: Array,
    weight: Array,
    pending: Array,
    delay: Array,
    past_ptr: Array,
    past: Array,
    cursor: Array,
    fade: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
    ring: Array,
) -> None:
    """Take the spikes that reach the synapses from before: fall, then use when dendritic."""
    is_axonal, is_late = projection[q, 5] == 1, projection[q, 6] == 1
    pre, n_pre = projection[q, 1], projection[q, 17]
    late = 0 if projection[q, 7] == 1 else 1
    rate, faded = rule[q, 1], fade[q, 1]
    # Held here: in the loop the compiler must read them anew after every change of a weight.
    low, high, step_size, law = rule[q, 4], rule[q, 5], rule[q, 3], projection[q, 9]
    own, base, first = projection[q, 19], projection[q, 0], projection[q, 13] - projection[q, 18]
    d_lo = projection[q, 14] if is_axonal else 0
    d_hi = projection[q, 15] if is_axonal else 0
    n_rows = ring.shape[0]
    for d in range(d_lo, d_hi + 1):
        r = (t - d) % past_ptr.shape[0]
        if past_ptr[r, 1] != t - d:
            continue
        for k in range(past_ptr[r, 0]):
            i = past[r, k] - pre
            if i < 0 or i >= n_pre:
                continue
            lo, hi = ptr[base + i], ptr[base + i + 1]
            if is_axonal:
                lo, hi = cursor[own, r, k, 0], cursor[own, r, k, 1]
            for s in range(lo, hi):
                cell = first + target[s]
                seen = 0 if is_axonal else delay[s]
                # Decay runs to t; a strict reader leaves out spikes of this very step.
                gap = t - seen - late - int(latest[cell, 0])
                # A call passes every field of every array: it is worth avoiding for one product.
                if 0 <= gap < faded.size:
                    trace = latest[cell, 1] * faded[gap]
                else:
                    trace = _read(cell, t - seen - late, rate, step, value, count)
                if late == 1:
                    trace *= faded[1]
                w = pending[s] if is_late else weight[s]
                span = w - low if law == 1 else 1.0
                w = min(high, max(low, w - step_size * trace * span))
                weight[s] = w
                if is_late:
                    pending[s] = w
                if not is_axonal:
                    ring[(t + shift + delay[s]) % n_rows, target[s]] += w


@kernel()
def seen_from_behind(
    t: int,
    q: int,
    projection: Array,
    rule: Array,
    weight: Array,
    pending: Array,
    back_ptr: Array,
    back_synapse: Array,
    back_source: Array,
    back_delay: Array,
    past_ptr: Array,
    past: Array,
    fade: Array,
    latest: Array,
    step: Array,
    value: Array,
    count: Array,
) -> None:
    """Take the spikes that the synapses see from behind: rise."""
    is_axonal, is_late = projection[q, 5] == 1, projection[q, 6] == 1
    post, n_post = projection[q, 2], projection[q, 3]
    late = 0 if projection[q, 8] == 1 else 1
    rate, faded = rule[q, 0], fade[q, 0]
    # Held here: in the loop the compiler must read them anew after every change of a weight.
    low, high, step_size, law = rule[q, 4], rule[q, 5], rule[q, 2], projection[q, 9]
    base, first = projection[q, 11], projection[q, 12]
    d_lo = 0 if is_axonal else projection[q, 14]
    d_hi = 0 if is_axonal else projection[q, 15]
    for d in range(d_lo, d_hi + 1):
        r = (t - d) % past_ptr.shape[0]
        if past_ptr[r, 1] != t - d:
            continue
        for k in range(past_ptr[r, 0]):
            i = past[r, k] - post
            if i < 0 or i >= n_post:
                continue
            lo, hi = back_ptr[base + i], back_ptr[base + i + 1]
            if not is_axonal:
                lo = _first_of_delay(back_delay, lo, hi, d)
            for c in range(lo, hi):
                if not is_axonal and back_delay[c] != d:
                    break
                s = back_synapse[c]
                seen = back_delay[c] if is_axonal else 0
                cell = first + back_source[c]
                gap = t - seen - late - int(latest[cell, 0])
                # A call passes every field of every array: it is worth avoiding for one product.
                if 0 <= gap < faded.size:
                    trace = latest[cell, 1] * faded[gap]
                else:
                    trace = _read(cell, t - seen - late, rate, step, value, count)
                if late == 1:
                    trace *= faded[1]
                w = pending[s] if is_late else weight[s]
                if law == 2 and w > low:
                    continue
                span = high - w if law == 1 else 1.0
                w = min(high, max(low, w + step_size * trace * span))
                if is_late:
                    pending[s] = w
                else:
                    weight[s] = w


@kernel()
def scale_drive(
    t: int,
    q: int,
    n: int,
    projection: Array,
    rule: Array,
    weight: Array,
    pending: Array,
    back_ptr: Array,
    back_synapse: Array,
    back_source: Array,
    back_delay: Array,
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
                cell = projection[q, 12] + back_source[c]
                reached = _NEVER
                for back in range(1, min(count[cell], mask + 1) + 1):
                    j = (count[cell] - back) & mask
                    if step[cell, j] + back_delay[c] <= t:
                        reached = step[cell, j] + back_delay[c]
                        break
                if t - reached > rule[q, 8]:
                    continue
                s = back_synapse[c]
                if turn == 0:
                    total += weight[s]
                elif total > 0.0:
                    weight[s] *= 1.0 + rule[q, 7] * (rule[q, 6] / total - 1.0)
                    pending[s] = weight[s]
