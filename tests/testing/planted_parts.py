"""Planted sparse parts, for tests of semi-nonnegative factorization."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FIXED", "planted"]

Array = np.ndarray[Any, Any]
# Runs to max_iter, without a word.
FIXED: dict[str, Any] = {"tol": 0.0, "patience": 10_000}


def planted(
    seed: int = 0, n: int = 500, d: int = 40, k: int = 4, on: int = 5
) -> tuple[Array, Array]:
    """Return activity (n, d) of k sparse signed features with little noise, and the features."""
    rng = np.random.default_rng(seed)
    features = np.zeros((k, d))
    for row in features:
        row[rng.choice(d, on, replace=False)] = rng.normal(size=on)
    use = rng.exponential(size=(n, k)) * (rng.random((n, k)) < 0.2)
    return use @ features + 0.02 * rng.normal(size=(n, d)), features
