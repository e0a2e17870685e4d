"""Plastic synapses as tables: from behind, by delay, and the numbers of their rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._checks import check_memory
from activome.networks.spiking.homeostasis import DriveHomeostasis
from activome.networks.spiking.plasticity import PairSTDP, SymmetricSTDP
from activome.networks.spiking.projections import Projection

__all__ = ["backwards", "begin_of_runs", "write_rule"]

Array = np.ndarray[Any, Any]


def backwards(
    q: Projection, steps: Array, first_synapse: int, first_back: int, in_any_order: bool
) -> tuple[Array, Array]:
    """Index the synapses by the cell behind them, by delay within each where that is asked for.

    Returns where the entries of each cell begin, and the entries: synapse, cell before it, delay.
    """
    delay = np.broadcast_to(steps, q.n_synapses)
    source = np.repeat(np.arange(q.n_pre, dtype=np.int32), np.diff(q.ptr))
    # Stable sorts: numpy sorts numbers of 16 bits by their digits.
    cell = q.target.astype(np.uint16 if q.n_post <= 1 << 16 else np.int32)
    if in_any_order:
        order = np.argsort(cell, kind="stable")
    else:
        by_delay = np.argsort(delay, kind="stable")
        order = by_delay[np.argsort(cell[by_delay], kind="stable")]
    ptr = np.zeros(q.n_post + 1, np.int64)
    np.cumsum(np.bincount(cell, minlength=q.n_post), out=ptr[1:])
    entries: Array = np.empty((order.size, 3), _index_type(first_synapse + q.n_synapses))
    entries[:, 0], entries[:, 1], entries[:, 2] = order + first_synapse, source[order], delay[order]
    return ptr + first_back, entries


def _index_type(n: int) -> type:
    return np.int32 if n < 1 << 31 else np.int64


def begin_of_runs(
    q: Projection, steps: Array, first: int, is_axonal: bool, memory_limit: float
) -> Array:
    """Say where the synapses of each cell and delay begin, among those of the side that is late."""
    delay = np.broadcast_to(steps, q.n_synapses)
    low, high = (int(steps.min()), int(steps.max())) if q.n_synapses else (1, 1)
    n_cells, width = q.n_pre if is_axonal else q.n_post, high - low + 2
    check_memory(
        20.0 * n_cells * width,
        owner="simulate",
        what=f"the synapses of {n_cells} cells of {q.name!r}, by {width - 1} delays",
        cure="Shorten the longest delay, make dt larger, or raise memory_limit.",
        limit=memory_limit,
    )
    cell = np.repeat(np.arange(q.n_pre), np.diff(q.ptr)) if is_axonal else q.target.astype(np.int64)
    counts = np.bincount(cell * width + (delay - low), minlength=n_cells * width)
    runs = np.cumsum(counts) - counts + first
    return runs.astype(_index_type(first + q.n_synapses))


def write_rule(q: Projection, dt: float, columns: Array, numbers: Array) -> None:
    columns[4] = 1
    numbers[4:6] = -np.inf, np.inf
    numbers[:2], numbers[9] = 1.0, 1.0
    rule = q.plasticity
    if isinstance(rule, PairSTDP):
        columns[5:11] = (
            rule.delay == "axonal",
            rule.trigger == "presynaptic",
            rule.zero_lag == "depress",
            rule.zero_lag == "potentiate",
            ("additive", "multiplicative", "once").index(rule.weight_rule),
            rule.pairing == "nearest",
        )
        numbers[:6] = (
            dt / rule.tau_plus,
            dt / rule.tau_minus,
            rule.a_plus,
            rule.a_minus,
            rule.w_min,
            rule.w_max,
        )
    elif isinstance(rule, SymmetricSTDP):
        columns[5], columns[8] = rule.delay == "axonal", True
        rate = dt / rule.tau
        numbers[:6] = rate, rate, rule.eta, -rule.eta, 0.0, rule.w_max
        numbers[9] = rule.increment
    for held in q.homeostasis:
        if isinstance(held, DriveHomeostasis):
            columns[16] = True
            numbers[6:9] = held.factor * held.drive_threshold, held.eta, held.window / dt
