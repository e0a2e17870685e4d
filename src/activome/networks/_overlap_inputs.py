"""What the laws of overlaps accept: counts, alone or in arrays, and sizes that fit in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_memory
from activome.errors import ParameterError

__all__ = ["check_fits", "check_table", "check_threshold", "counts", "sizes_of"]

Array = np.ndarray[Any, Any]
_LARGEST = 2**53
# Bytes of a table of a law per overlap, with what is held while it is made.
_BYTES = 100.0


def counts(value: ArrayLike, name: str, owner: str, low: int) -> Array:
    """Return whole numbers that a float can hold."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or (
        array.size and (array.min() < low or array.max() > _LARGEST)
    ):
        raise ParameterError(
            f"{owner}: {name} must be whole numbers from {low} to 2**53; got {value!r}."
        )
    return array.astype(np.int64)


def sizes_of(n: int, a: int, s: int, owner: str) -> tuple[int, int, int]:
    """Return three single counts that fit, of which a law can be held in memory."""
    given = [counts(value, name, owner, 0) for value, name in ((n, "n"), (a, "a"), (s, "s"))]
    for name, array in zip("nas", given, strict=True):
        if array.ndim:
            raise ParameterError(
                f"{owner}: {name} must be one number; got shape {array.shape}. Call it for each."
            )
    check_fits(given[0], given[1], given[2], owner)
    cells, active, synapses = (int(array) for array in given)
    check_table(owner, min(active, synapses))
    return cells, active, synapses


def check_table(owner: str, n_entries: float) -> None:
    """Refuse laws that would not fit in memory."""
    check_memory(
        _BYTES * n_entries,
        owner=owner,
        what=f"the law of overlaps, of {n_entries:.3g} entries,",
        cure="Take fewer active cells or synapses.",
    )


def check_fits(n: Array, a: Array, s: Array, owner: str) -> None:
    """Refuse more active or sampled cells than there are."""
    for name, count in (("a", a), ("s", s)):
        if np.any(count > n):
            at = np.unravel_index(np.argmax(count > n), n.shape)
            raise ParameterError(
                f"{owner}: {name} must be at most n, the number of cells; got {count[at]} of "
                f"{n[at]}."
            )


def check_threshold(theta: Array, s: Array, owner: str) -> None:
    """Refuse thresholds below 1 or above the synapses."""
    if np.any(theta < 1):
        raise ParameterError(f"{owner}: theta must be at least 1; got {np.min(theta)}.")
    if np.any(theta > s):
        most, asked = np.broadcast_arrays(s, theta)
        at = np.unravel_index(np.argmax(asked > most), asked.shape)
        raise ParameterError(
            f"{owner}: theta must be at most s, {most[at]}; got {asked[at]}, which never matches."
        )
