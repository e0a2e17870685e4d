"""Phrases of Lempel and Ziv: short sequences on an automaton, long ones by their suffixes."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.activity._packed_symbols import pack
from activome.activity._suffix_array import BYTES_PER_SUFFIX as ARRAY_BYTES_PER_SUFFIX
from activome.activity._suffix_array import count_by_suffix_array
from activome.activity._suffix_buckets import BYTES_PER_SUFFIX as BUCKET_BYTES_PER_SUFFIX
from activome.activity._suffix_buckets import BYTES_PER_SYMBOL, count_in_buckets

__all__ = ["bytes_needed", "count_phrases"]

Array = np.ndarray[Any, Any]
# The automaton is the fastest as long as it stays in the cache: 32-bit cells, of 1 MiB.
_MOST_CELLS = 2**18
_FEW_SYMBOLS = 256
# Columns of a node: length, suffix link, then one transition per symbol.
_LENGTH, _LINK, _FIRST = 0, 1, 2


@kernel(inline=True)
def _append(nodes: Array, size: int, last: int, column: int) -> int:
    """Add a symbol to the suffix automaton, as node ``size``; give how many nodes there are."""
    new = size
    size += 1
    for k in range(nodes.shape[1]):
        nodes[new, k] = 0
    nodes[new, _LENGTH] = nodes[last, _LENGTH] + 1
    at = last
    while at != -1 and nodes[at, column] == 0:
        nodes[at, column] = new
        at = nodes[at, _LINK]
    if at == -1:
        return size
    target = nodes[at, column]
    if nodes[at, _LENGTH] + 1 == nodes[target, _LENGTH]:
        nodes[new, _LINK] = target
        return size
    copy = size
    size += 1
    for k in range(nodes.shape[1]):
        nodes[copy, k] = nodes[target, k]
    nodes[copy, _LENGTH] = nodes[at, _LENGTH] + 1
    nodes[target, _LINK] = copy
    nodes[new, _LINK] = copy
    while at != -1 and nodes[at, column] == target:
        nodes[at, column] = copy
        at = nodes[at, _LINK]
    return size


@kernel()
def _count_lz76(rows: Array, nodes: Array, counts: Array) -> None:
    """Count the phrases of each row: each ends where it first differs from all that began before.

    In the suffix automaton of what was read, the suffix link of the last node leads to the longest
    suffix that was there before: a phrase ends when it has grown longer. A row costs a number of
    steps that is proportional to its length.
    """
    for row in range(rows.shape[0]):
        nodes[0, :] = 0
        nodes[0, _LINK] = -1
        size, last, length, n_phrases = 1, 0, 0, 0
        for j in range(rows.shape[1]):
            new = size
            size = _append(nodes, size, last, rows[row, j] + _FIRST)
            last = new
            length += 1
            if nodes[nodes[new, _LINK], _LENGTH] < length:
                n_phrases += 1
                length = 0
        counts[row] = n_phrases + (length > 0)


@kernel()
def _count_lz78(rows: Array, nodes: Array, counts: Array) -> None:
    """Count the different phrases of each row: each is a phrase from before and one symbol."""
    for row in range(rows.shape[0]):
        nodes[0, :] = 0
        size, here = 1, 0
        for j in range(rows.shape[1]):
            step = nodes[here, rows[row, j]]
            if step > 0:
                here = step
                continue
            nodes[size, :] = 0
            nodes[here, rows[row, j]] = size
            size += 1
            here = 0
        counts[row] = size - 1


def count_phrases(rows: Array, n_symbols: int, variant: str) -> Array:
    """Count the phrases of each row.

    Parameters
    ----------
    rows : ndarray of unsigned int, shape (n_rows, n_times)
        Symbols from 0 to ``n_symbols - 1``, fewer than 2^31 in a row.
    n_symbols : int
        Size of the alphabet.
    variant : {"lz76", "lz78"}
        Parsing.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Phrases.
    """
    counts = np.zeros(rows.shape[0], dtype=np.int64)
    n = rows.shape[1]
    if variant == "lz78":
        # Allocated here, not in the kernel: pages that are not reached are never taken.
        _count_lz78(rows, np.empty((n + 1, n_symbols), np.int32), counts)
    elif _n_cells(n, n_symbols) <= _MOST_CELLS:
        counts = _count_on_automaton(rows, n_symbols)
    else:
        for k, row in enumerate(rows):
            counts[k] = _count_long(row, n_symbols)
    return counts


def bytes_needed(n: int, n_symbols: int, variant: str) -> float:
    """Tell the most memory that the phrases of a row take.

    Parameters
    ----------
    n : int
        Symbols in the row.
    n_symbols : int
        Size of the alphabet.
    variant : {"lz76", "lz78"}
        Parsing.

    Returns
    -------
    float
        Bytes.
    """
    if variant == "lz78":
        return 4.0 * (n + 1) * n_symbols
    if _n_cells(n, n_symbols) <= _MOST_CELLS:
        return 4.0 * _n_cells(n, n_symbols)
    n_symbols = min(n_symbols, n)
    packed = n * ((n_symbols - 1).bit_length() / 8 + (4 if n_symbols > _FEW_SYMBOLS else 1))
    in_buckets = BUCKET_BYTES_PER_SUFFIX * n + BYTES_PER_SYMBOL * n_symbols
    if n_symbols == 2:
        return packed + max(in_buckets, 4.0 * _n_cells(n, 2))
    return packed + max(in_buckets, ARRAY_BYTES_PER_SUFFIX * n + 8 * n_symbols)


def _n_cells(n: int, n_symbols: int) -> int:
    return (2 * n + 1) * (n_symbols + _FIRST)


def _count_on_automaton(rows: Array, n_symbols: int) -> Array:
    counts = np.zeros(rows.shape[0], dtype=np.int64)
    # Allocated here, not in the kernel: numpy asks for large pages, which halves the time of long
    # sequences; pages that are not reached are never taken.
    _count_lz76(rows, np.empty((2 * rows.shape[1] + 1, n_symbols + _FIRST), np.int32), counts)
    return counts


def _count_long(row: Array, n_symbols: int) -> int:
    if n_symbols > _FEW_SYMBOLS:
        # Symbols that are not there cost memory; the phrases do not depend on their names.
        symbols, row = np.unique(row, return_inverse=True)
        n_symbols = max(symbols.size, 2)
    # One of two types, and writable: for each the kernels are compiled anew.
    row = np.array(row, dtype=np.uint8 if n_symbols <= _FEW_SYMBOLS else np.uint32)
    n_bits = (n_symbols - 1).bit_length()
    words = pack(row, n_bits)
    found = count_in_buckets(row, words, n_bits)
    if found >= 0:
        return found
    if n_symbols == 2:
        # So much repeats that the automaton stays where it was, and is faster than the array.
        return int(_count_on_automaton(row.reshape(1, -1), 2)[0])
    return count_by_suffix_array(row, words, n_bits, n_symbols)
