"""What the hippocampal memory accepts: pairs of spikes, words and matrices of bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_integer
from activome.errors import ActivityError

__all__ = ["read_binary", "read_bits", "read_pairs"]

Array = np.ndarray[Any, Any]


def read_pairs(given: Sequence[Any], name: str) -> Array:
    """Return (time, index) pairs by time; numbers that are not whole would be cut off."""
    try:
        pairs = np.array(sorted(given)).reshape(-1, 2)
    except (TypeError, ValueError):
        pairs = np.full((1, 2), np.nan)
    if pairs.size and pairs.dtype.kind not in "iu":
        raise ActivityError(
            f"HippocampalCAM.run: spikes of {name} must be pairs of two integers, ms and index; "
            f"got {given!r:.80}."
        )
    return pairs.astype(np.int64)


def read_binary(values: ArrayLike, name: str) -> Array:
    """Return a matrix of 0 and 1 as bool."""
    array = np.asarray(values)
    if array.ndim != 2 or not np.isin(array, (0, 1)).all():
        raise ActivityError(f"HippocampalCAM: {name} must be a matrix of 0 and 1.")
    return array.astype(bool)


def read_bits(content: ArrayLike, n_content: int) -> tuple[int, ...]:
    """Return the indices of the bits that are set, from bits or from indices."""
    array = np.asarray(content)
    if array.dtype.kind == "b":
        if array.shape != (n_content,):
            raise ActivityError(
                f"HippocampalCAM: content must have {n_content} bits; got {array.shape}."
            )
        return tuple(np.flatnonzero(array).tolist())
    found = [
        check_integer(v, name="bit", owner="HippocampalCAM", low=0, high=n_content - 1)
        for v in array.ravel().tolist()
    ]
    if array.ndim > 1 or len(set(found)) < len(found):
        raise ActivityError(
            "HippocampalCAM: content must be a list of different indices, or bits of dtype "
            f"bool; got {content!r}. Of zeros and ones, take astype(bool)."
        )
    return tuple(sorted(found))
