"""Draw the synapses of a projection block by block, in the memory of what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from activome._compile import kernel
from activome.errors import ActivityError
from activome.networks.spiking._synapses import read_array, read_values

__all__ = ["Drawn", "draw_pairs"]

Array = np.ndarray[Any, Any]
Drawn: TypeAlias = ArrayLike | Callable[[np.random.Generator, int], ArrayLike]
# Synapses of one block: some tens of MB, enough that a block costs no more than its synapses.
_BLOCK = 1 << 21


def draw_pairs(
    generator: np.random.Generator,
    sizes: tuple[int, int],
    share: float,
    weight: Drawn,
    delay: Drawn,
    *,
    self_connections: bool,
    dtype: Any,
) -> tuple[Array, Array, Array, Array]:
    """Join each pair with one probability; returns ptr, target, weight and delay.

    Rows are sorted by delay, then by target.
    """
    n_pre, n_post = sizes
    counts = np.zeros(n_pre + 1, np.int64)
    kept: tuple[list[Array], ...] = ([], [], [])
    is_single = not callable(delay) and np.ndim(delay) == 0
    for first, rows, columns in _blocks(generator, n_pre, n_post, share):
        if not self_connections:
            is_other = rows != columns
            rows, columns = rows[is_other], columns[is_other]
        here = counts[first + 1 : first + 1 + _n_rows(n_post, share)]
        here[:] = np.bincount(rows - first, minlength=here.size)
        weights = _values(weight, "weight", generator, sizes, rows, columns).astype(
            dtype, copy=False
        )
        targets = columns.astype(np.int32)
        if not is_single:
            delays = _values(delay, "delay", generator, sizes, rows, columns)
            delays = delays.astype(dtype, copy=False)
            ptr = np.concatenate([[0], np.cumsum(here)])
            _sort_rows(ptr, delays, targets, weights)
            kept[2].append(delays)
        kept[0].append(targets)
        kept[1].append(weights)
    if is_single:
        kept[2].append(read_values(delay, 1, "delay", single=True))  # type: ignore[arg-type]
    ptr = np.cumsum(counts)
    return ptr, _joined(kept[0], np.int32), _joined(kept[1], dtype), _joined(kept[2], dtype)


def _n_rows(n_post: int, share: float) -> int:
    return max(1, int(_BLOCK / max(1.0, n_post * share)))


def _blocks(
    generator: np.random.Generator, n_pre: int, n_post: int, share: float
) -> Iterator[tuple[int, Array, Array]]:
    """Yield the first row of each block, and the rows and columns of its pairs in order."""
    if share == 0:
        return
    step = _n_rows(n_post, share)
    for first in range(0, n_pre, step):
        n = min(step, n_pre - first) * n_post
        mean = n * share
        size = int(mean + 6 * np.sqrt(mean) + 8)
        parts, last = [], -1
        # The gaps between the pairs that are joined are geometric.
        while last < n:
            gaps = np.minimum(generator.geometric(share, size), n + 1)
            parts.append(last + np.cumsum(gaps))
            last = int(parts[-1][-1])
        place = np.concatenate(parts) if len(parts) > 1 else parts[0]
        row, column = np.divmod(place[: np.searchsorted(place, n)], n_post)
        yield first, row + first, column


def _values(
    given: Drawn,
    name: str,
    generator: np.random.Generator,
    sizes: tuple[int, int],
    rows: Array,
    columns: Array,
) -> Array:
    if callable(given):
        return read_values(given(generator, rows.size), rows.size, name)
    array = read_array(given, name, dtype=None)
    if array.ndim == 0:
        return read_values(given, rows.size, name)
    if array.shape != sizes:
        raise ActivityError(
            f"Projection: {name} must be one number, (n_pre, n_post) = {sizes} or a function; got "
            f"{array.shape}."
        )
    return read_values(array[rows, columns], rows.size, name)


def _joined(parts: list[Array], dtype: Any) -> Array:
    """Join the blocks and let each go, so that only one array is held twice."""
    if not parts:
        return np.empty(0, dtype)
    joined = np.concatenate(parts)
    parts.clear()
    return joined


@kernel()
def _sort_rows(ptr: Array, delay: Array, target: Array, weight: Array) -> None:
    for row in range(ptr.size - 1):
        lo, hi = ptr[row], ptr[row + 1]
        order = np.argsort(delay[lo:hi], kind="mergesort")
        delay[lo:hi] = delay[lo:hi][order]
        target[lo:hi] = target[lo:hi][order]
        weight[lo:hi] = weight[lo:hi][order]
