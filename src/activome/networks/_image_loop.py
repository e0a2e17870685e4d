"""The loop of the symmetric STDP classifier over one image: dense synapses, one step of delay.

Cells, thresholds and their adaptation advance by the kernels of the general engine; what is special
are the dense weights and that a trace is kept as its last value and step. Given the same spikes the
general engine gives the same spikes and weights. Cells are hidden, then inhibitory, then classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.networks.spiking._cells import adapt, arrive, conductance, fire

__all__ = ["draw_trains", "show"]

Array = np.ndarray[Any, Any]


@kernel()
def draw_trains(chance: Array, n_steps: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Draw which units fire in each step, each step for itself with the chance of the unit.

    The gaps between spikes are drawn, which is the same in distribution as a coin for every step.
    Returns pointers (n_steps + 1) into the list of units, which ascend in every step.
    """
    expected = 0.0
    for p in chance:
        expected += p * n_steps
    size = int(expected + 10.0 * np.sqrt(expected + 1.0)) + 64
    step, unit = np.empty(size, np.int64), np.empty(size, np.int64)
    n = 0
    ptr = np.zeros(n_steps + 1, np.int64)
    for i in range(chance.size):
        p = chance[i]
        if p <= 0.0:
            continue
        scale = 1.0 / np.log1p(-p) if p < 1.0 else 0.0
        t = -1
        while True:
            # 1 - random() is in (0, 1]: the logarithm is finite.
            gap = np.log(1.0 - generator.random()) * scale
            if gap >= n_steps:
                break
            t += 1 + int(gap)
            if t >= n_steps:
                break
            if n == size:
                size *= 2
                longer, wider = np.empty(size, np.int64), np.empty(size, np.int64)
                longer[:n], wider[:n] = step[:n], unit[:n]
                step, unit = longer, wider
            step[n], unit[n] = t, i
            ptr[t + 1] += 1
            n += 1
    for t in range(n_steps):
        ptr[t + 1] += ptr[t]
    at = ptr[:-1].copy()
    ordered = np.empty(n, np.int64)
    # Units were taken in order, so they ascend within each step.
    for k in range(n):
        ordered[at[step[k]]] = unit[k]
        at[step[k]] += 1
    return ptr, ordered


@kernel(inline=True)
def _now(value: float, since: int, rate: float) -> float:
    return float(value * np.exp(-since * rate))


@kernel()
def show(
    arrival_ptr: Array,
    arrival: Array,
    teacher_ptr: Array,
    teacher: Array,
    sizes: Array,
    par: Array,
    strict: Array,
    adaptation: Array,
    rules: Array,
    couplings: Array,
    learns: Array,
    weight: Array,
    class_weight: Array,
    theta: Array,
    input_value: Array,
    input_step: Array,
    cell_value: Array,
    cell_step: Array,
    hidden_count: Array,
    class_count: Array,
    class_drive: Array,
    spike_step: Array,
    spike_unit: Array,
) -> int:
    """Show one image from rest; changes weights, theta, traces and counts in place.

    ``rules`` has a row for the input and one for the class weights: change of a spike that arrives
    and of one behind, per unit of trace; largest weight; dt / tau and rise of a trace.
    ``couplings`` are the weights to the inhibitory partner and from it. ``learns`` says whether
    input weights, thresholds and class weights change; with a teacher (any) the class cells fire
    when it says so. Spikes are kept while there is room; returns their number.
    """
    n_hidden, n_classes = sizes[0], sizes[1]
    n_steps = arrival_ptr.size - 1
    n_inputs = weight.shape[0]
    first_class = 2 * n_hidden
    n = first_class + n_classes
    is_taught = teacher_ptr.size > 1
    v = par[0].copy()
    u, exc, inh, injected = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    left = np.zeros(n, np.int64)
    row = np.zeros(2 * n)
    fired = np.empty(n, np.int64)
    ready = np.zeros((n + 7) // 8 * 8, np.uint8)
    late = np.empty(n_hidden, np.int64)
    n_late = 0
    n_out = 0
    rate, class_rate = rules[0, 3], rules[1, 3]
    pre_trace = np.empty(n_inputs)
    for t in range(n_steps):
        lo, hi = arrival_ptr[t], arrival_ptr[t + 1]
        for a in range(lo, hi):
            i = arrival[a]
            for j in range(n_hidden):
                row[j] += weight[i, j]
        arrive(0, first_class, True, par, exc, inh, row, n)
        conductance(0, first_class, False, par, v, exc, inh, injected, left)
        n_hid = fire(
            0, n_hidden, strict[0] == 1, False, False, par, v, u, theta, left, ready, fired, 0, 0
        )
        if learns[1] == 1:
            adapt(0, n_hidden, adaptation[0], adaptation[1], True, theta, fired[:n_hid])
        n_inh = fire(
            n_hidden, first_class, strict[1] == 1, False, False, par, v, u, theta, left, ready,
            fired, n_hid, 0,
        )  # fmt: skip
        n_all = n_inh
        if is_taught:
            for k in range(teacher_ptr[t], teacher_ptr[t + 1]):
                fired[n_all] = first_class + teacher[k]
                n_all += 1
        elif n_classes > 0:
            arrive(first_class, n, True, par, exc, inh, row, n)
            conductance(first_class, n, False, par, v, exc, inh, injected, left)
            for c in range(n_classes):
                class_drive[c] += exc[first_class + c]
            n_all = fire(
                first_class, n, strict[2] == 1, False, False, par, v, u, theta, left, ready,
                fired, n_inh, 0,
            )  # fmt: skip
        for k in range(n_all):
            if n_out < spike_step.size:
                spike_step[n_out], spike_unit[n_out] = t, fired[k]
            n_out += 1
        if learns[0] == 1:
            for j in range(n_hidden):
                if cell_value[j] == 0.0 or hi == lo:
                    continue
                trace = _now(cell_value[j], t - 1 - cell_step[j], rate) * np.exp(-rate)
                for a in range(lo, hi):
                    w = weight[arrival[a], j] + rules[0, 0] * trace
                    weight[arrival[a], j] = min(rules[0, 2], max(0.0, w))
            for a in range(lo, hi):
                i = arrival[a]
                input_value[i] = _now(input_value[i], t - input_step[i], rate) + rules[0, 4]
                input_step[i] = t
            if n_hid > 0:
                for i in range(n_inputs):
                    pre_trace[i] = 0.0
                    if input_value[i] != 0.0:
                        pre_trace[i] = _now(input_value[i], t - input_step[i], rate)
            for k in range(n_hid):
                j = fired[k]
                for i in range(n_inputs):
                    w = weight[i, j] + rules[0, 1] * pre_trace[i]
                    weight[i, j] = min(rules[0, 2], max(0.0, w))
        if learns[2] == 1:
            for k in range(n_late):
                for c in range(n_classes):
                    at = first_class + c
                    if cell_value[at] != 0.0:
                        trace = _now(cell_value[at], t - 1 - cell_step[at], class_rate)
                        trace *= np.exp(-class_rate)
                        w = class_weight[late[k], c] + rules[1, 0] * trace
                        class_weight[late[k], c] = min(rules[1, 2], max(0.0, w))
            for k in range(n_inh, n_all):
                c = fired[k] - first_class
                for j in range(n_hidden):
                    if cell_value[j] != 0.0:
                        trace = _now(cell_value[j], t - 1 - cell_step[j], class_rate)
                        w = class_weight[j, c] + rules[1, 1] * trace
                        class_weight[j, c] = min(rules[1, 2], max(0.0, w))
        n_late = n_hid
        for k in range(n_all):
            i = fired[k]
            if i < n_hidden:
                late[k] = i
                hidden_count[i] += 1
                row[n_hidden + i] += couplings[0]
                if not is_taught:
                    for c in range(n_classes):
                        row[first_class + c] += class_weight[i, c]
            elif i < first_class:
                for j in range(n_hidden):
                    if j != i - n_hidden:
                        row[n + j] += couplings[1]
            else:
                class_count[i - first_class] += 1
            if i < n_hidden or i >= first_class:
                cell_value[i] = _now(cell_value[i], t - cell_step[i], rate) + rules[0, 4]
                cell_step[i] = t
    return n_out
