"""Checks of the lists and matrices that projections are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_finite, check_integer
from activome.errors import ActivityError

__all__ = ["read_indices", "read_sizes", "read_values"]

Array = np.ndarray[Any, Any]


def read_sizes(sizes: Sequence[int]) -> tuple[int, int]:
    n_pre, n_post = sizes
    return (
        check_integer(n_pre, name="n_pre", owner="Projection", low=1),
        check_integer(n_post, name="n_post", owner="Projection", low=1),
    )


def read_indices(values: ArrayLike, n: int, name: str) -> Array:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ActivityError(f"Projection: {name} must be a list of integers; got {array.dtype}.")
    if array.size and not (array.min() >= 0 and array.max() < n):
        first = int(np.argmax((array < 0) | (array >= n)))
        raise ActivityError(
            f"Projection: {name} must be in [0, {n - 1}]; synapse {first} has {array[first]}."
        )
    return array.astype(np.int32)


def read_values(values: ArrayLike, n: int, name: str, *, single: bool = False) -> Array:
    array = np.asarray(values, dtype=np.float64)
    check_finite(
        array.ravel(), owner="Projection", axes=("synapse",), what=f"{name}s", cure="Mend them."
    )
    if array.ndim == 0:
        return np.full(1 if single else n, float(array))
    if array.shape != (n,):
        raise ActivityError(
            f"Projection: {name} must be one number or one per synapse ({n}); got {array.shape}."
        )
    return array
