"""Kernels of the tempotron: exact peaks of double-exponential potentials, and its learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["kernel_scale", "learn_epoch", "peaks"]

Array = np.ndarray[Any, Any]
# Learnt time constants stay within this factor of where they began, and this far apart.
_LEAST, _MOST, _APART = 0.1, 10.0, 0.9


@kernel()
def kernel_scale(tau_m: float, tau_s: float) -> Any:
    """Return the time of the peak of the kernel in ms, and what makes that peak 1."""
    when = tau_m * tau_s / (tau_m - tau_s) * math.log(tau_m / tau_s)
    return when, 1.0 / (math.exp(-when / tau_m) - math.exp(-when / tau_s))


@kernel()
def _peak(
    time: Array, unit: Array, first: int, last: int, weight: Array, tau_m: float, tau_s: float
) -> Any:
    """Return the highest potential after the first spike and its time, of spikes in order.

    Between spikes the potential is ``a e^(-s/tau_m) - b e^(-s/tau_s)``, which has one stationary
    point at most. After the last spike a potential that only rises, from below 0 towards it, is
    read where a spike would have its largest effect.
    """
    rise, scale = kernel_scale(tau_m, tau_s)
    rate = 1.0 / tau_s - 1.0 / tau_m
    best, at = -math.inf, math.nan
    slow = fast = 0.0
    for k in range(first, last):
        w = weight[unit[k]]
        slow += w
        fast += w
        is_end = k + 1 == last
        gap = math.inf if is_end else time[k + 1] - time[k]
        slow_left = 0.0 if is_end else math.exp(-gap / tau_m)
        fast_left = 0.0 if is_end else math.exp(-gap / tau_s)
        if slow > 0.0 and fast > 0.0:
            # It rises, then falls; it is never above what has not decayed at all.
            if scale * slow > best:
                ratio = fast * tau_m / (slow * tau_s)
                stay = min(math.log(ratio) / rate, gap) if ratio > 1.0 else 0.0
                value = slow * math.exp(-stay / tau_m) - fast * math.exp(-stay / tau_s)
                if scale * value > best:
                    best, at = scale * value, time[k] + stay
        else:
            # Its highest point is at an end; both ends of the others are starts or ends here.
            if scale * (slow - fast) > best and k > first:
                best, at = scale * (slow - fast), time[k]
            stay = rise if is_end else gap
            value = slow * math.exp(-stay / tau_m) - fast * math.exp(-stay / tau_s)
            if scale * value > best:
                best, at = scale * value, time[k] + stay
        slow *= slow_left
        fast *= fast_left
    return best, at


@kernel()
def peaks(
    time: Array, unit: Array, offsets: Array, weight: Array, tau_m: float, tau_s: float
) -> Any:
    """Return the peak of every trial, 0 at rest, and its time in ms (NaN without a spike)."""
    n_trials = offsets.size - 1
    value, when = np.zeros(n_trials), np.full(n_trials, np.nan)
    for trial in range(n_trials):
        best, at = _peak(time, unit, offsets[trial], offsets[trial + 1], weight, tau_m, tau_s)
        value[trial] = max(best, 0.0)
        when[trial] = at
    return value, when


@kernel()
def learn_epoch(
    time: Array,
    unit: Array,
    offsets: Array,
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

    ``velocity`` holds the last change of each weight and, at its end, of the logarithms of both
    time constants.
    """
    n_units = weight.size
    n_errors = 0
    for trial in order:
        first, last = offsets[trial], offsets[trial + 1]
        best, at = _peak(time, unit, first, last, weight, taus[0], taus[1])
        if (best >= 1.0) == is_target[trial]:
            continue
        n_errors += 1
        sign = lr if is_target[trial] else -lr
        rise, scale = kernel_scale(taus[0], taus[1])
        velocity *= momentum
        slow = fast = slow_age = fast_age = 0.0
        for k in range(first, last):
            age = at - time[k]
            if age < 0.0:
                break
            here, there = math.exp(-age / taus[0]), math.exp(-age / taus[1])
            w = weight[unit[k]]
            slow += w * here
            fast += w * there
            slow_age += w * here * age
            fast_age += w * there * age
            velocity[unit[k]] += sign * scale * (here - there)
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
