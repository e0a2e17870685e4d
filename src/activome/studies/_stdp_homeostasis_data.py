"""Patterns for the study of the spatial pattern detector, and the detector in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._random import make_generator

__all__ = ["closed_form", "every_input", "packets", "pairs", "patterns_of_weight", "tolerated"]

Array = np.ndarray[Any, Any]


def every_input(n_lines: int) -> Array:
    """Return all inputs of some lines, (2 ** n_lines, n_lines)."""
    return (np.arange(2**n_lines)[:, None] >> np.arange(n_lines) & 1).astype(bool)


def patterns_of_weight(generator: np.random.Generator, n: int, n_lines: int, weight: int) -> Array:
    """Draw n distinct patterns with the same number of lines."""
    rows: list[Array] = []
    while len(rows) < n:
        row = np.zeros(n_lines, dtype=bool)
        row[generator.choice(n_lines, weight, replace=False)] = True
        if not any((row == other).all() for other in rows):
            rows.append(row)
    return np.array(rows)


def pairs(random_state: int, n: int, n_lines: int, weight: int, distance: int) -> Array:
    """Draw pairs of patterns at a Hamming distance, (n, 2, n_lines)."""
    generator = make_generator(random_state)
    found = np.zeros((n, 2, n_lines), dtype=bool)
    shared = weight - distance // 2
    for pair in found:
        order = generator.permutation(n_lines)
        pair[:, order[:shared]] = True
        pair[0, order[shared:weight]] = True
        pair[1, order[weight : weight + distance // 2]] = True
    return found


def closed_form(patterns: Array, threshold: float, factor: float, cycles: int) -> Array:
    """Train one output without a spike; returns excitation minus inhibition per line, in nA."""
    exc, inh = np.zeros(patterns.shape[1]), np.full(patterns.shape[1], threshold)
    for _ in range(cycles):
        for row in patterns:
            silent = row & (exc == 0)
            exc[silent] = threshold / row.sum() * np.exp(-2.0 / 20.0)
            inh[row] = 0.0
            exc[row] *= factor * threshold / exc[row].sum()
        if np.abs(factor * threshold / (patterns @ exc) - 1).max() < 1e-4:
            break
    return exc - inh


def tolerated(sizes: Array, factor: float) -> Array:
    """Return how many lines of a pattern may be missing, by the theory."""
    return np.floor(sizes * (1 - 1 / factor) + 1e-9).astype(int)


def packets(random_state: int, n: int, n_flows: int) -> tuple[Array, Array, Array, Array]:
    """Make headers of 32 bits in flows that fix 24 of them.

    Returns the fixed bits of each flow (free ones cleared), which bits are fixed, the packets, and
    the flow of each; half of the packets belong to none (-1), and differ from a flow in one to four
    of its fixed bits.
    """
    generator = make_generator(random_state)
    is_fixed = np.zeros((n_flows, 32), dtype=bool)
    for row in is_fixed:
        row[generator.choice(32, 24, replace=False)] = True
    wanted = (generator.random((n_flows, 32)) < 0.5) & is_fixed
    flow = generator.integers(n_flows, size=n)
    bits = np.where(is_fixed[flow], wanted[flow], generator.random((n, 32)) < 0.5)
    label = flow.copy()
    for k in range(0, n, 2):
        fixed = np.flatnonzero(is_fixed[flow[k]])
        bits[k, generator.choice(fixed, generator.integers(1, 5), replace=False)] ^= True
        label[k] = -1
    return wanted, is_fixed, bits, label
