"""Kernels that advance cells by one step, and the table of parameters that they read."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = [
    "CONDUCTANCE",
    "LINEAR",
    "META",
    "PARAMETERS",
    "SOURCE",
    "adapt",
    "arrive",
    "arrive_alike",
    "arrive_one",
    "conductance",
    "decay",
    "fire",
    "linear",
    "linear_alike",
    "linear_at_once",
    "meta",
]

Array = np.ndarray[Any, Any]

# Rows of the table of parameters, in the order that the loops read them.
PARAMETERS = (
    "v_rest",
    "v_reset",
    "v_threshold",
    "membrane",
    "exc",
    "inh",
    "exc_decay",
    "inh_decay",
    "exc_scale",
    "inh_scale",
    "current",
    "i_offset",
    "hold",
    "e_rev_e",
    "e_rev_i",
    "v_min",
    "theta_v",
    "theta_u",
    "theta_r",
    "theta_s",
)
SOURCE, LINEAR, CONDUCTANCE, META = 0, 1, 2, 3
_LEAST = 1e-300


@kernel()
def arrive(
    lo: int, hi: int, before: bool, par: Array, exc: Array, inh: Array, row: Array, n: int
) -> None:
    """Let currents decay (when arrivals come first) and add what arrives; empties the row."""
    arrive_one(lo, hi, before, par[6], par[8], exc, row)
    arrive_one(lo, hi, before, par[7], par[9], inh, row[n:])


@kernel()
def arrive_one(
    lo: int, hi: int, before: bool, keep: Array, scale: Array, current: Array, row: Array
) -> None:
    """Do so for one of the inputs; with more arrays in a loop the compiler leaves vectors out."""
    if before:
        for i in range(lo, hi):
            rest = current[i] * keep[i]
            current[i] = (rest if abs(rest) > _LEAST else 0.0) + row[i] * scale[i]
    else:
        for i in range(lo, hi):
            current[i] += row[i] * scale[i]
    row[lo:hi] = 0.0


@kernel()
def arrive_alike(
    n: int, before: bool, keep: float, scale: float, current: Array, row: Array
) -> None:
    """Do so for cells with the same constants."""
    if before:
        for i in range(n):
            rest = current[i] * keep
            current[i] = (rest if abs(rest) > _LEAST else 0.0) + row[i] * scale
    else:
        for i in range(n):
            current[i] += row[i] * scale
    row[:n] = 0.0


@kernel()
def decay(lo: int, hi: int, keep: Array, current: Array) -> None:
    """Let currents decay; to nothing in the end, for numbers below the normal ones are slow."""
    for i in range(lo, hi):
        rest = current[i] * keep[i]
        current[i] = rest if abs(rest) > _LEAST else 0.0


@kernel()
def linear(
    n: int,
    before: bool,
    jumps: bool,
    inhibited: bool,
    par: Array,
    v: Array,
    exc: Array,
    inh: Array,
    injected: Array,
    left: Array,
    moved: Array,
) -> None:
    """Advance LIF and IFCurrExp cells.

    Jumps that come after the step are those of the step before: a cell that was held then, or that
    its reset had the last word on, does not take them. ``moved`` is room for n numbers.
    """
    if jumps and not before:
        for i in range(n):
            exc[i] = exc[i] if left[i] == 0 else 0.0
            inh[i] = inh[i] if left[i] == 0 else 0.0
    for i in range(n):
        moved[i] = par[0, i] + (v[i] - par[0, i]) * par[3, i] + exc[i] * par[4, i]
    if inhibited:
        for i in range(n):
            moved[i] -= inh[i] * par[5, i]
    for i in range(n):
        new = moved[i] + (injected[i] + par[11, i]) * par[10, i]
        v[i] = v[i] if left[i] > 0 else new


@kernel()
def linear_alike(
    n: int,
    inhibited: bool,
    rest: float,
    membrane: float,
    of_exc: float,
    of_inh: float,
    of_current: float,
    offset: float,
    v: Array,
    exc: Array,
    inh: Array,
    injected: Array,
    left: Array,
) -> None:
    """Advance LIF and IFCurrExp cells with the same constants: the same sums, with less to read."""
    if inhibited:
        for i in range(n):
            new = rest + (v[i] - rest) * membrane + exc[i] * of_exc - inh[i] * of_inh
            new += (injected[i] + offset) * of_current
            v[i] = v[i] if left[i] > 0 else new
    else:
        for i in range(n):
            new = rest + (v[i] - rest) * membrane + exc[i] * of_exc
            new += (injected[i] + offset) * of_current
            v[i] = v[i] if left[i] > 0 else new


@kernel()
def linear_at_once(
    n: int,
    before: bool,
    keep: float,
    scale: float,
    rest: float,
    membrane: float,
    of_exc: float,
    drive: float,
    v: Array,
    exc: Array,
    row: Array,
    left: Array,
) -> None:
    """Let spikes arrive, advance cells with the same constants and let currents decay, in one go.

    For cells without inhibition in a step without injected current: the same sums once more, and
    few enough arrays for one loop in vectors.
    """
    if before:
        for i in range(n):
            old = exc[i] * keep
            current = (old if abs(old) > _LEAST else 0.0) + row[i] * scale
            new = rest + (v[i] - rest) * membrane + current * of_exc + drive
            v[i] = v[i] if left[i] > 0 else new
            exc[i] = current
            row[i] = 0.0
    else:
        for i in range(n):
            current = exc[i] + row[i] * scale
            new = rest + (v[i] - rest) * membrane + current * of_exc + drive
            v[i] = v[i] if left[i] > 0 else new
            old = current * keep
            exc[i] = old if abs(old) > _LEAST else 0.0
            row[i] = 0.0


@kernel()
def conductance(
    lo: int,
    hi: int,
    exponential: bool,
    par: Array,
    v: Array,
    exc: Array,
    inh: Array,
    injected: Array,
    left: Array,
) -> None:
    for i in range(lo, hi):
        if left[i] > 0:
            continue
        drive = (injected[i] + par[11, i]) * par[10, i]
        if exponential:
            total = 1.0 + exc[i] + inh[i]
            goal = (par[0, i] + exc[i] * par[13, i] + inh[i] * par[14, i] + drive) / total
            new = goal + (v[i] - goal) * np.exp(-par[3, i] * total)
        else:
            pull = exc[i] * (par[13, i] - v[i]) + inh[i] * (par[14, i] - v[i])
            new = v[i] + par[3, i] * (par[0, i] - v[i] + pull + drive)
        v[i] = max(new, par[15, i])


@kernel()
def meta(
    lo: int,
    hi: int,
    par: Array,
    v: Array,
    u: Array,
    exc: Array,
    inh: Array,
    injected: Array,
    left: Array,
) -> None:
    for i in range(lo, hi):
        if left[i] > 0:
            continue
        old, rate = v[i], par[3, i]
        drive = injected[i] + par[11, i] + exc[i] - inh[i]
        new = old + rate * (old * old - old - u[i]) + drive
        u[i] += rate * (par[16, i] * old - par[17, i] * u[i])
        v[i] = min(3.0, max(-3.0, new))


@kernel()
def fire(
    lo: int,
    hi: int,
    strict: bool,
    is_meta: bool,
    subtract: bool,
    par: Array,
    v: Array,
    u: Array,
    theta: Array,
    left: Array,
    ready: Array,
    fired: Array,
    n_fired: int,
    first: int,
) -> int:
    """Fire and reset the cells that are ready, count down the held ones; returns all spikes so far.

    ``left`` counts the steps that a cell is still held; -1 is a cell that is free in the next step
    but lost what arrives at the end of this one. The steps to hold are -1 for a cell without
    refractory time, and 0 for one whose time is over with the step of the spike. ``ready`` is room
    for a byte for each cell, in whole words of eight. Cells are numbered from ``first``.
    """
    n_ready = 0
    if strict:
        for i in range(lo, hi):
            is_ready = (left[i] <= 0) & (v[i] > par[2, i] + theta[i])
            ready[i - lo] = is_ready
            n_ready += is_ready
    else:
        for i in range(lo, hi):
            is_ready = (left[i] <= 0) & (v[i] >= par[2, i] + theta[i])
            ready[i - lo] = is_ready
            n_ready += is_ready
    # Most often nobody fires, and else few do: eight cells are asked at once.
    words = ready.view(np.uint64)
    for w in range((hi - lo + 7) // 8 if n_ready else 0):
        if words[w] == 0:
            continue
        for i in range(lo + 8 * w, min(lo + 8 * w + 8, hi)):
            if ready[i - lo] == 0:
                continue
            fired[n_fired] = first + i
            n_fired += 1
            hold = int(par[12, i])
            left[i] = max(hold, 0) + 1
            if is_meta:
                v[i] = par[18, i]
                u[i] += par[19, i]
            elif subtract:
                v[i] -= par[2, i] + theta[i] - par[1, i]
                # Without refractory time a reset that subtracts keeps what is added before it.
                left[i] = hold + 1
            else:
                v[i] = par[1, i]
    for i in range(lo, hi):
        left[i] = left[i] - 1 if left[i] > 1 else (-1 if left[i] == 1 else 0)
    return n_fired


@kernel()
def adapt(
    lo: int, hi: int, keep: float, rise: float, hyperbolic: bool, theta: Array, fired: Array
) -> None:
    """Raise theta of the cells that fired, let the others' decay; ``fired`` is sorted."""
    k = 0
    for i in range(lo, hi):
        if k < fired.size and fired[k] == i:
            theta[i] += rise * 10.0 / abs(theta[i] - 10.0) if hyperbolic else rise
            k += 1
        else:
            theta[i] *= keep
