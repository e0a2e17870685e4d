"""Kernels of the tempotron: exact peaks of double-exponential potentials, and its learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["decays", "gather", "kernel_scale", "learn_epoch", "peaks", "raise_peaks"]

Array = np.ndarray[Any, Any]
# Learnt time constants stay within this factor of where they began, and this far apart.
_LEAST, _MOST, _APART = 0.1, 10.0, 0.9


@kernel()
def kernel_scale(tau_m: float, tau_s: float) -> Any:
    """Return the time of the peak of the kernel in ms, and what makes that peak 1."""
    when = tau_m * tau_s / (tau_m - tau_s) * math.log(tau_m / tau_s)
    return when, 1.0 / (math.exp(-when / tau_m) - math.exp(-when / tau_s))


@kernel()
def gather(latency: Array, order: Array, counts: Array, time: Array, unit: Array) -> None:
    """Write the first ``counts`` latencies of every row in their order, and their columns."""
    k = 0
    for trial in range(counts.size):
        for j in range(counts[trial]):
            column = order[trial, j]
            time[k], unit[k] = latency[trial, column], column
            k += 1


def decays(time: Array, offsets: Array, tau_m: float, tau_s: float) -> Array:
    """Return what is left of both sums from each spike to the next of its trial, (2, n_spikes).

    After the last spike of a trial it is 0. NumPy takes many exponentials at once.
    """
    gap = np.empty_like(time)
    np.subtract(time[:-1], time[1:], out=gap[:-1])
    gap[offsets[1:][np.diff(offsets) > 0] - 1] = -np.inf
    left = np.empty((2, time.size))
    np.exp(np.divide(gap, tau_m, out=left[0]), out=left[0])
    np.exp(np.divide(gap, tau_s, out=left[1]), out=left[1])
    return left


@kernel()
def _decay(time: Array, first: int, last: int, left: Array, tau_m: float, tau_s: float) -> None:
    """Write the decays of one trial, for time constants that change from trial to trial."""
    for k in range(first, last - 1):
        gap = time[k + 1] - time[k]
        left[0, k], left[1, k] = math.exp(-gap / tau_m), math.exp(-gap / tau_s)


@kernel()
def _peak(
    time: Array, unit: Array, first: int, last: int, left: Array, weight: Array, tau_m: float,
    tau_s: float, rise: float, scale: float, floor: float,
) -> Any:  # fmt: skip
    """Return the highest potential after the first spike, its time, and the spike before it.

    Spikes are in order. Between them the potential is ``a e^(-s/tau_m) - b e^(-s/tau_s)``, whose
    one stationary point, where ``e^(s/tau_s - s/tau_m) = r`` with ``r = b tau_m / (a tau_s)``, has
    the height ``a (1 - tau_s/tau_m) r^(-tau_s / (tau_m - tau_s))``: it is at most the part before
    the power, so that few powers are taken. After the last spike a potential that only rises, from
    below 0 towards it, is read where a spike would have its largest effect.

    Only a peak above ``floor``, at least 0 or minus infinity, is found; else a value that is not
    above it is returned, at NaN. The higher the floor, the less there is to do.
    """
    ratio, share, rate = tau_m / tau_s, 1.0 - tau_s / tau_m, 1.0 / tau_s - 1.0 / tau_m
    # The scale of the kernel comes in at the end; rounding must not hide what passes the floor.
    best, at, before = floor / scale * (1.0 - 1e-12), math.nan, first
    slow = fast = 0.0
    for k in range(first, last - 1):
        w = weight[unit[k]]
        if slow - fast > best and k > first:
            best, at, before = slow - fast, time[k], k
        slow += w
        fast += w
        old, new = slow * left[0, k], fast * left[1, k]
        # A peak before the next spike: the slope is up here, and down there. What is rarely true
        # comes first: a sign that is a coin toss would cost more than all the rest.
        if slow * share > best and fast * ratio > slow and new * ratio < old and slow > 0.0:
            stay = math.log(fast * ratio / slow) / rate
            value = slow * share * math.exp(-stay / tau_m)
            if value > best:
                best, at, before = value, time[k] + stay, k
        slow, fast = old, new
    if last > first:
        k = last - 1
        if slow - fast > best and k > first:
            best, at, before = slow - fast, time[k], k
        slow += weight[unit[k]]
        fast += weight[unit[k]]
        is_peak = fast * ratio > slow and slow > 0.0
        if is_peak or best < 0.0:
            stay = math.log(fast * ratio / slow) / rate if is_peak else rise
            value = slow * math.exp(-stay / tau_m) - fast * math.exp(-stay / tau_s)
            if value > best:
                best, at, before = value, time[k] + stay, k
    return scale * best, at, before


@kernel()
def peaks(
    time: Array, unit: Array, offsets: Array, left: Array, weight: Array, tau_m: float, tau_s: float
) -> Any:
    """Return the peak of every trial, 0 at rest, and its time in ms (NaN without a spike)."""
    n_trials = offsets.size - 1
    value, when = np.zeros(n_trials), np.full(n_trials, np.nan)
    rise, scale = kernel_scale(tau_m, tau_s)
    for trial in range(n_trials):
        first, last = offsets[trial], offsets[trial + 1]
        best, at, _ = _peak(
            time, unit, first, last, left, weight, tau_m, tau_s, rise, scale, -math.inf
        )
        value[trial], when[trial] = max(best, 0.0), at
    return value, when


@kernel()
def raise_peaks(
    time: Array, unit: Array, offsets: Array, left: Array, weight: Array, tau_m: float,
    tau_s: float, value: Array, index: Array, number: int,
) -> None:  # fmt: skip
    """Write peaks that are above ``value`` >= 0 over it, and a number into ``index``."""
    rise, scale = kernel_scale(tau_m, tau_s)
    for trial in range(offsets.size - 1):
        first, last = offsets[trial], offsets[trial + 1]
        best, _, _ = _peak(
            time, unit, first, last, left, weight, tau_m, tau_s, rise, scale, value[trial]
        )
        if best > value[trial]:
            value[trial], index[trial] = best, number


@kernel()
def learn_epoch(
    time: Array,
    unit: Array,
    offsets: Array,
    left: Array,
    is_target: Array,
    order: Array,
    weight: Array,
    velocity: Array,
    taus: Array,
    start: Array,
    lr: float,
    momentum: float,
    learns_taus: bool,
) -> int:
    """Show every trial once, in an order; change the weights after each error; count the errors.

    ``left`` are the ``decays`` for these time constants. ``velocity`` holds the last change of each
    weight and, at its end, of the logarithms of both time constants.
    """
    n_units = weight.size
    n_errors = 0
    rise, scale = kernel_scale(taus[0], taus[1])
    for trial in order:
        first, last = offsets[trial], offsets[trial + 1]
        if learns_taus:
            _decay(time, first, last, left, taus[0], taus[1])
            rise, scale = kernel_scale(taus[0], taus[1])
        best, at, before = _peak(
            time, unit, first, last, left, weight, taus[0], taus[1], rise, scale, 1.0
        )
        if (best >= 1.0) == is_target[trial]:
            continue
        n_errors += 1
        if is_target[trial]:
            best, at, before = _peak(
                time, unit, first, last, left, weight, taus[0], taus[1], rise, scale, -math.inf
            )
        sign = lr if is_target[trial] else -lr
        velocity *= momentum
        slow = fast = slow_age = fast_age = 0.0
        # From the peak back, decay by decay; a trial without a spike has nothing to learn by.
        old = new = 1.0
        if last > first:
            age = at - time[before]
            old, new = math.exp(-age / taus[0]), math.exp(-age / taus[1])
        for k in range(min(before, last - 1), first - 1, -1):
            velocity[unit[k]] += sign * scale * (old - new)
            if learns_taus:
                w, age = weight[unit[k]], at - time[k]
                slow += w * old
                fast += w * new
                slow_age += w * old * age
                fast_age += w * new * age
            if k > first:
                old *= left[0, k - 1]
                new *= left[1, k - 1]
        weight += velocity[:n_units]
        if learns_taus:
            # The peak is stationary in time, and so is that of the kernel in its scale.
            gain = scale * (slow - fast) * scale
            up = math.exp(-rise / taus[0]) * rise / taus[0]
            down = math.exp(-rise / taus[1]) * rise / taus[1]
            velocity[n_units] += sign * (scale * slow_age / taus[0] - gain * up)
            velocity[n_units + 1] += sign * (gain * down - scale * fast_age / taus[1])
            for j in range(2):
                tau = taus[j] * math.exp(velocity[n_units + j])
                taus[j] = min(max(tau, _LEAST * start[j]), _MOST * start[j])
            taus[1] = min(taus[1], _APART * taus[0])
    return n_errors
