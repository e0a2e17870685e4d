"""The clock of the simulator: one compiled loop over steps, populations and synapses.

Everything is flat arrays. Cells are numbered over all populations; a synaptic target is the number
of the cell, plus the number of all cells for the inhibitory input. Row r of the ring of arrivals is
what enters at the beginning of step r. Sums run in a fixed order, in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.networks.spiking._cells import (
    CONDUCTANCE,
    LINEAR,
    META,
    SOURCE,
    adapt,
    arrive_alike,
    arrive_one,
    conductance,
    decay,
    fire,
    linear,
    linear_alike,
    linear_at_once,
    meta,
)
from activome.networks.spiking._plastic import (
    deliver,
    depart,
    list_arrivals,
    scale_drive,
    seen_from_before,
    seen_from_behind,
)
from activome.networks.spiking._traces import remember_spikes

__all__ = ["run"]

Array = np.ndarray[Any, Any]
# Synapses per row of the ring from which on a row is worth a loop of its own.
_LONG = 6


@kernel()
def _advance(
    m: int,
    n: int,
    before: bool,
    subtract: bool,
    kind: Array,
    par: Array,
    v: Array,
    u: Array,
    exc: Array,
    inh: Array,
    theta: Array,
    left: Array,
    injected: Array,
    row: Array,
    moved: Array,
    ready: Array,
    fired: Array,
    n_fired: int,
    first: int,
    is_alike: bool,
    is_still: bool,
) -> int:
    """Advance the m cells from ``first`` by one step; returns the new number of spikes."""
    inhibited = kind[4] == 1
    jumps = kind[2] == 1
    if kind[0] == LINEAR and is_alike and is_still and not (inhibited or jumps):
        linear_at_once(
            m, before, par[6, 0], par[8, 0], par[0, 0], par[3, 0], par[4, 0],
            par[11, 0] * par[10, 0], v, exc, row, left,
        )  # fmt: skip
        return fire(
            0,
            m,
            kind[1] == 1,
            False,
            subtract,
            par,
            v,
            u,
            theta,
            left,
            ready,
            fired,
            n_fired,
            first,
        )
    if is_alike:
        arrive_alike(m, before, par[6, 0], par[8, 0], exc, row)
        if inhibited:
            arrive_alike(m, before, par[7, 0], par[9, 0], inh, row[n:])
    else:
        arrive_one(0, m, before, par[6], par[8], exc, row)
        if inhibited:
            arrive_one(0, m, before, par[7], par[9], inh, row[n:])
    if kind[0] == LINEAR and is_alike and (before or not jumps):
        linear_alike(
            m, inhibited, par[0, 0], par[3, 0], par[4, 0], par[5, 0], par[10, 0], par[11, 0],
            v, exc, inh, injected, left,
        )  # fmt: skip
    elif kind[0] == LINEAR:
        linear(m, before, jumps, inhibited, par, v, exc, inh, injected, left, moved)
    elif kind[0] == CONDUCTANCE:
        conductance(0, m, jumps, par, v, exc, inh, injected, left)
    else:
        meta(0, m, par, v, u, exc, inh, injected, left)
    if not before:
        decay(0, m, par[6], exc)
        if inhibited:
            decay(0, m, par[7], inh)
    return fire(
        0, m, kind[1] == 1, kind[0] == META, subtract, par, v, u, theta, left, ready, fired,
        n_fired, first,
    )  # fmt: skip


@kernel()
def _send(
    now: int, s: int, end: int, target: Array, weight: Array, delay: Array, ring: Array
) -> None:
    """Put the synapses from s to end into the ring; all of one delay are neighbours."""
    n_rows = ring.shape[0]
    if delay.size > 1 and end - s < _LONG * n_rows:
        for k in range(s, end):
            r = now + delay[k]
            if r >= n_rows:
                r -= n_rows
            ring[np.uint32(r), np.uint32(target[k])] += weight[k]
        return
    # With many synapses of a delay, each run of them stays in one row of the ring.
    while s < end:
        d = delay[s] if delay.size > 1 else delay[0]
        last = s + 1 if delay.size > 1 else end
        while last < end and delay[last] == d:
            last += 1
        r = now + d
        if r >= n_rows:
            r -= n_rows
        for k in range(s, last):
            ring[np.uint32(r), np.uint32(target[k])] += weight[k]
        s = last


@kernel()
def run(
    first: int,
    last: int,
    flags: Array,
    start: Array,
    kinds: Array,
    adaptation: Array,
    chunk: Array,
    tables: Array,
    v: Array,
    u: Array,
    exc: Array,
    inh: Array,
    theta: Array,
    left: Array,
    injected: Array,
    ring: Array,
    event_step: Array,
    event_unit: Array,
    event_value: Array,
    out_ptr: Array,
    out_projection: Array,
    projection: Array,
    rule: Array,
    ptr: Array,
    target: Array,
    weight: Array,
    pending: Array,
    delay: Array,
    back_ptr: Array,
    back: Array,
    away_cells: Array,
    away_steps: Array,
    n_away: Array,
    window: Array,
    runs: Array,
    arrived: Array,
    behind: Array,
    fade: Array,
    latest: Array,
    trace_step: Array,
    trace_value: Array,
    trace_count: Array,
    recorded: Array,
    spike_step: Array,
    spike_unit: Array,
    fired: Array,
    watch_what: Array,
    watch_unit: Array,
    watch: Array,
    watch_every: int,
    origin: int,
) -> tuple[int, int]:
    """Advance from step ``first`` to ``last``; returns the step reached and the spikes recorded.

    It returns early when the next step might not fit into the buffer of spikes.
    """
    n = v.size
    n_rows = ring.shape[0]
    moved = np.empty(tables.shape[2])
    ready = np.zeros(-(-tables.shape[2] // 8) * 8, np.uint8)
    before, subtract = flags[0] == 1, flags[1] == 1
    shift = 0 if before else 1
    is_plastic = flags[2] == 1
    is_alike = np.empty(tables.shape[0], np.bool_)
    for k in range(tables.shape[0]):
        is_alike[k] = (tables[k] == tables[k, :, :1]).all()
    n_arrived = np.zeros(projection.shape[0], np.int64)
    event = np.searchsorted(event_step, first)
    n_out = 0
    for t in range(first, last):
        if n_out + n > spike_step.size:
            return t, n_out
        slot = t % n_rows
        for q in range(projection.shape[0] if is_plastic else 0):
            n_arrived[q] = 0
            waits = projection[q, 4] == 1 and projection[q, 5] == 1
            if waits and window[q, 0] < n_away[0]:
                list_arrivals(
                    t, q, projection, runs, away_cells, away_steps, n_away, window, arrived,
                    n_arrived,
                )  # fmt: skip
                if before:
                    deliver(q, projection, target, weight, arrived, n_arrived, ring[slot])
        n_fired = at = 0
        begin = event
        for p in range(start.size - 1):
            lo, hi = start[p], start[p + 1]
            kind = kinds[p, 0]
            opened, is_still = n_fired, True
            while event < event_step.size and event_step[event] == t and event_unit[event] < hi:
                if kind == SOURCE:
                    fired[n_fired] = event_unit[event]
                    n_fired += 1
                else:
                    injected[event_unit[event]] += event_value[event]
                    is_still = False
                event += 1
            if kind != SOURCE:
                while at < chunk.shape[0] and chunk[at, 0] < hi:
                    # Some hundred cells at a time, so that their state stays in the fastest cache.
                    a, z, par = chunk[at, 0], chunk[at, 1], tables[chunk[at, 2]]
                    n_fired = _advance(
                        z - a, n, before, subtract, kinds[p], par, v[a:z], u[a:z], exc[a:z],
                        inh[a:z], theta[a:z], left[a:z], injected[a:z], ring[slot, a:], moved,
                        ready, fired, n_fired, a, is_alike[chunk[at, 2]], is_still,
                    )  # fmt: skip
                    at += 1
                if kinds[p, 3] > 0:
                    adapt(
                        lo,
                        hi,
                        adaptation[p, 0],
                        adaptation[p, 1],
                        kinds[p, 3] == 2,
                        theta,
                        fired[opened:n_fired],
                    )
            else:
                ring[slot, lo:hi] = 0.0
                ring[slot, n + lo : n + hi] = 0.0
            if recorded[p] == 1:
                for k in range(opened, n_fired):
                    spike_step[n_out] = t
                    spike_unit[n_out] = fired[k]
                    n_out += 1
        for k in range(begin, event):
            injected[event_unit[k]] = 0.0
        if is_plastic and n_fired > 0:
            depart(t, fired, n_fired, projection, away_cells, away_steps, n_away, window)
            remember_spikes(
                t, fired, n_fired, projection, rule, fade, latest, trace_step, trace_value,
                trace_count,
            )  # fmt: skip
        # Spikes enter the ring before any weight changes; plastic rows do so on their own below.
        p = 0
        for k in range(n_fired):
            i = fired[k]
            while i >= start[p + 1]:
                p += 1
            for e in range(out_ptr[p], out_ptr[p + 1]):
                q = out_projection[e]
                base = projection[q, 0] + i - start[p]
                _send(slot + shift, ptr[base], ptr[base + 1], target, weight, delay, ring)
        for q in range(projection.shape[0] if is_plastic else 0):
            if projection[q, 4] == 0:
                continue
            # Asked here, not there: calls that do nothing cost a third of the time.
            is_axonal, behind_first = projection[q, 5] == 1, projection[q, 6] == 1
            is_seen = n_fired > 0 if is_axonal else window[q, 0] < n_away[0]
            for turn in range(2):
                if (turn == 0) == behind_first:
                    if is_seen:
                        seen_from_behind(
                            t, q, projection, rule, runs, weight, pending, back_ptr, back, fired,
                            n_fired, away_cells, away_steps, n_away, window, behind, fade, latest,
                            trace_step, trace_value, trace_count,
                        )  # fmt: skip
                elif n_fired > 0 or n_arrived[q] > 0:
                    seen_from_before(
                        t, q, shift, projection, rule, ptr, target, weight, pending, delay, fired,
                        n_fired, arrived, n_arrived, fade, latest, trace_step, trace_value,
                        trace_count, ring,
                    )  # fmt: skip
            if projection[q, 16] == 1 and n_fired > 0:
                scale_drive(
                    t, q, projection, rule, weight, pending, back_ptr, back, fired, n_fired,
                    trace_step, trace_value, trace_count,
                )  # fmt: skip
        if watch_unit.size and (t - origin) % watch_every == 0:
            w = (t - origin) // watch_every
            for k in range(watch_unit.size):
                what, i = watch_what[k], watch_unit[k]
                if what == 0:
                    watch[w, k] = v[i]
                elif what == 1:
                    watch[w, k] = exc[i]
                elif what == 2:
                    watch[w, k] = inh[i]
                elif what == 3:
                    watch[w, k] = theta[i]
                else:
                    watch[w, k] = u[i]
    return last, n_out
