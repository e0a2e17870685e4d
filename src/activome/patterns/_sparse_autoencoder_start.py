"""Where a sparse autoencoder starts: the offset, and the directions of its components."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["geometric_median", "start_directions"]

Array = np.ndarray[Any, Any]


def geometric_median(rows: Array, *, max_iter: int = 100, tol: float = 1e-6) -> Array:
    """Return the point of the least mean distance to the rows, by Weiszfeld's iteration."""
    point: Array = rows.mean(axis=0)
    spread = float(np.linalg.norm(rows - point, axis=1).mean())
    for _ in range(max_iter):
        # A row at the point itself has no direction; the floor keeps its pull finite.
        weight = 1.0 / np.maximum(np.linalg.norm(rows - point, axis=1), 1e-9 * spread or 1.0)
        new = weight @ rows / weight.sum()
        moved = float(np.linalg.norm(new - point))
        point = new
        if moved <= tol * spread:
            break
    return point


def start_directions(rows: Array, n: int, rng: np.random.Generator) -> Array:
    """Return directions of random rows; mixtures of some where there are too few of them."""
    length = np.linalg.norm(rows, axis=1)
    usable = rng.permutation(np.flatnonzero(length > 1e-6))
    if len(usable) == 0:
        start: Array = rng.standard_normal((n, rows.shape[1]))
        start /= np.linalg.norm(start, axis=1, keepdims=True)
        return start
    directions = rows[usable] / length[usable, None]
    mixed = np.zeros((n, rows.shape[1]))
    for _ in range(8):
        weight = rng.standard_normal((n, 1))
        mixed += weight * directions[rng.integers(len(usable), size=n)]
    mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
    # A little of other rows keeps equal ones from starting as equal components.
    start = mixed
    start[: len(usable)] = directions[:n] + 0.05 * mixed[: len(usable)]
    start /= np.maximum(np.linalg.norm(start, axis=1, keepdims=True), 1e-12)
    return start
