"""First spikes of cells with exponential currents, one sample after the other, on the processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["spike_gradients", "spike_times"]

Array = np.ndarray[Any, Any]


@kernel()
def spike_times(
    z: Array, order: Array, weight: Array, late: float, at: Array, excess: Array, n_causal: Array
) -> None:
    """Fill ``at``, ``excess`` (summed weight less 1) and ``n_causal``, all (n_samples, n_cells).

    Inputs are added in the order of their spikes to all cells at once; a cell is done where its
    voltage at the next input is at least 1, and the sample when all cells are.
    """
    n_samples, n_inputs = z.shape
    n_cells = weight.shape[1]
    total, moment = np.empty(n_cells), np.empty(n_cells)
    for b in range(n_samples):
        total[:], moment[:] = -1.0, 0.0
        left = n_cells
        n_causal[b] = 0
        at[b] = late
        for k in range(n_inputs):
            i = order[b, k]
            now = z[b, i]
            if now >= late or left == 0:
                break
            following = late
            if k + 1 < n_inputs:
                following = min(z[b, order[b, k + 1]], late)
            for o in range(n_cells):
                total[o] += weight[i, o]
                moment[o] += weight[i, o] * now
            for o in range(n_cells):
                fires = total[o] > 0.0 and total[o] * following >= moment[o]
                if fires and n_causal[b, o] == 0:
                    n_causal[b, o] = k + 1
                    excess[b, o] = total[o]
                    at[b, o] = min(max(moment[o] / total[o], now), late)
                    left -= 1


@kernel()
def spike_gradients(
    z: Array, order: Array, weight: Array, at: Array, part: Array, n_causal: Array,
    grad_z: Array, grad_weight: Array,
) -> None:  # fmt: skip
    """Add up gradients over the causal inputs; ``part`` is that of the spike over its excess."""
    n_samples, n_cells = at.shape
    for b in range(n_samples):
        most = 0
        for o in range(n_cells):
            most = max(most, n_causal[b, o])
        for k in range(most):
            i = order[b, k]
            found = 0.0
            for o in range(n_cells):
                share = part[b, o] if k < n_causal[b, o] else 0.0
                found += share * weight[i, o]
                grad_weight[i, o] += share * (z[b, i] - at[b, o])
            grad_z[b, i] = found
