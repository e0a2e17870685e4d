"""Kernels of the tempotron: exact peaks of double-exponential potentials, and its learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["decays", "kernel_scale", "learn_epoch", "peaks"]

Array = np.ndarray[Any, Any]
# Learnt time constants stay within this factor of where they began, and this far apart.
_LEAST, _MOST, _APART = 0.1, 10.0, 0.9


@kernel()
def kernel_scale(tau_m: float, tau_s: float) -> Any:
    """Return the time of the peak of the kernel in ms, and what makes that peak 1."""
    when = tau_m * tau_s / (tau_m - tau_s) * math.log(tau_m / tau_s)
    return when, 1.0 / (math.exp(-when / tau_m) - math.exp(-when / tau_s))


@kernel()
def _decay(time: Array, first: int, last: int, left: Array, tau_m: float, tau_s: float) -> None:
    """Write what is left of both sums when the next spike of the trial comes; 0 after the last."""
    for k in range(last - first - 1):
        gap = time[first + k + 1] - time[first + k]
        left[k, 0] = math.exp(-gap / tau_m)
        left[k, 1] = math.exp(-gap / tau_s)
    if last > first:
        left[last - first - 1] = 0.0


@kernel()
def decays(time: Array, offsets: Array, tau_m: float, tau_s: float) -> Any:
    """Return what is left of both sums from each spike to the next, shape (n_spikes, 2)."""
    left = np.empty((time.size, 2))
    for trial in range(offsets.size - 1):
        first, last = offsets[trial], offsets[trial + 1]
        _decay(time, first, last, left[first:last], tau_m, tau_s)
    return left


@kernel()
def _peak(
    time: Array, unit: Array, first: int, last: int, left: Array, weight: Array, tau_m: float,
    tau_s: float, rise: float, scale: float,
) -> Any:  # fmt: skip
    """Return the highest potential after the first spike and its time, of spikes in order.

    Between spikes the potential is ``a e^(-s/tau_m) - b e^(-s/tau_s)``, which has one stationary
    point at most. After the last spike a potential that only rises, from below 0 towards it, is
    read where a spike would have its largest effect. The scale of the kernel comes in at the end.
    """
    rate = 1.0 / tau_s - 1.0 / tau_m
    best, at = -math.inf, math.nan
    slow = fast = 0.0
    for k in range(first, last):
        w = weight[unit[k]]
        if slow - fast > best and k > first:
            best, at = slow - fast, time[k]
        slow += w
        fast += w
        # A peak between spikes: it is never above what has not decayed at all.
        if slow > best and slow > 0.0 and fast * tau_m > slow * tau_s:
            stay = math.log(fast * tau_m / (slow * tau_s)) / rate
            if k + 1 == last or stay < time[k + 1] - time[k]:
                value = slow * math.exp(-stay / tau_m) - fast * math.exp(-stay / tau_s)
                if value > best:
                    best, at = value, time[k] + stay
        if k + 1 == last and best < 0.0:
            value = slow * math.exp(-rise / tau_m) - fast * math.exp(-rise / tau_s)
            if value > best:
                best, at = value, time[k] + rise
        slow *= left[k - first, 0]
        fast *= left[k - first, 1]
    return scale * best, at


@kernel()
def peaks(
    time: Array, unit: Array, offsets: Array, weight: Array, tau_m: float, tau_s: float
) -> Any:
    """Return the peak of every trial, 0 at rest, and its time in ms (NaN without a spike)."""
    n_trials = offsets.size - 1
    value, when = np.zeros(n_trials), np.full(n_trials, np.nan)
    longest = 0
    for trial in range(n_trials):
        longest = max(longest, offsets[trial + 1] - offsets[trial])
    left = np.empty((longest, 2))
    rise, scale = kernel_scale(tau_m, tau_s)
    for trial in range(n_trials):
        first, last = offsets[trial], offsets[trial + 1]
        _decay(time, first, last, left, tau_m, tau_s)
        best, at = _peak(time, unit, first, last, left, weight, tau_m, tau_s, rise, scale)
        value[trial] = max(best, 0.0)
        when[trial] = at
    return value, when


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
        here = left[first:last]
        if learns_taus:
            _decay(time, first, last, here, taus[0], taus[1])
            rise, scale = kernel_scale(taus[0], taus[1])
        best, at = _peak(time, unit, first, last, here, weight, taus[0], taus[1], rise, scale)
        if (best >= 1.0) == is_target[trial]:
            continue
        n_errors += 1
        sign = lr if is_target[trial] else -lr
        velocity *= momentum
        slow = fast = slow_age = fast_age = 0.0
        for k in range(first, last):
            age = at - time[k]
            if age < 0.0:
                break
            old, new = math.exp(-age / taus[0]), math.exp(-age / taus[1])
            w = weight[unit[k]]
            slow += w * old
            fast += w * new
            slow_age += w * old * age
            fast_age += w * new * age
            velocity[unit[k]] += sign * scale * (old - new)
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
