"""Suffix arrays by induced sorting, and the Lempel-Ziv phrases that are read off them.

The steps are linear in the number of symbols whatever they are, the memory does not depend on the
alphabet. What is sorted by hand is a third of the suffixes at most: those that begin a stretch
from a fall to a rise, by these stretches; a second level names and sorts equal ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.activity._packed_symbols import common_bits

__all__ = ["BYTES_PER_SUFFIX", "count_by_suffix_array", "suffix_array"]

Array = np.ndarray[Any, Any]
# The array, the suffixes beside each and the second level, at most half as long, with its own.
BYTES_PER_SUFFIX = 24


@kernel()
def _find_rising(text: Array, counts: Array, is_rising: Array) -> int:
    """Mark the suffixes that are smaller than the next; count those that begin a stretch."""
    n_begun = 0
    is_rising[-1] = False
    counts[text[-1]] += 1
    for j in range(text.shape[0] - 2, -1, -1):
        here, behind = text[j], text[j + 1]
        counts[here] += 1
        is_rising[j] = here < behind or (here == behind and is_rising[j + 1])
        n_begun += is_rising[j + 1] and not is_rising[j]
    return n_begun


@kernel()
def _list_begun(is_rising: Array, begun: Array) -> None:
    k = 0
    for j in range(1, is_rising.shape[0]):
        if is_rising[j] and not is_rising[j - 1]:
            begun[k] = j
            k += 1


@kernel()
def _induce(
    text: Array, is_rising: Array, begun: Array, counts: Array, edges: Array, order: Array
) -> None:
    """Sort all suffixes from those that begin a stretch, which are given in their order."""
    n = text.shape[0]
    order[:] = -1
    edges[:] = counts
    for symbol in range(1, edges.shape[0]):
        edges[symbol] += edges[symbol - 1]
    for k in range(begun.shape[0] - 1, -1, -1):
        symbol = text[begun[k]]
        edges[symbol] -= 1
        order[edges[symbol]] = begun[k]
    start = 0
    for symbol in range(edges.shape[0]):
        edges[symbol] = start
        start += counts[symbol]
    # The last suffix has nothing behind it and comes first among those with its symbol.
    order[edges[text[n - 1]]] = n - 1
    edges[text[n - 1]] += 1
    for k in range(n):
        j = order[k] - 1
        if j >= 0 and not is_rising[j]:
            order[edges[text[j]]] = j
            edges[text[j]] += 1
    edges[:] = counts
    for symbol in range(1, edges.shape[0]):
        edges[symbol] += edges[symbol - 1]
    for k in range(n - 1, -1, -1):
        j = order[k] - 1
        if j >= 0 and is_rising[j]:
            edges[text[j]] -= 1
            order[edges[text[j]]] = j


@kernel()
def _name(text: Array, is_rising: Array, order: Array, names: Array) -> int:
    """Number the stretches by their order, equal ones alike; ``names`` is by position halved."""
    n = text.shape[0]
    last, n_names = -1, 0
    for k in range(n):
        j = order[k]
        if j < 1 or not is_rising[j] or is_rising[j - 1]:
            continue
        is_equal = last >= 0
        step = 0
        while is_equal:
            a, b = last + step, j + step
            if a >= n or b >= n or text[a] != text[b] or is_rising[a] != is_rising[b]:
                is_equal = False
            elif step > 0 and is_rising[a] and not is_rising[a - 1]:
                break
            step += 1
        n_names += not is_equal
        names[j >> 1] = n_names - 1
        last = j
    return n_names


def suffix_array(text: Array, n_symbols: int) -> Array:
    """Sort the suffixes of a sequence by what they begin with.

    Parameters
    ----------
    text : ndarray of int, shape (n_times,)
        Symbols from 0 to ``n_symbols - 1``; at least one.
    n_symbols : int
        Size of the alphabet, of the order of ``n_times`` at most.

    Returns
    -------
    ndarray of int32, shape (n_times,)
        Where each suffix begins, the smallest first.

    References
    ----------
    .. [1] G. Nong, S. Zhang and W. H. Chan, "Two efficient algorithms for linear time suffix array
       construction", 2011.
    """
    n = text.shape[0]
    counts, is_rising = np.zeros(n_symbols, np.int32), np.empty(n, np.bool_)
    begun = np.empty(_find_rising(text, counts, is_rising), np.int32)
    _list_begun(is_rising, begun)
    edges, order = np.empty_like(counts), np.empty(n, np.int32)
    _induce(text, is_rising, begun, counts, edges, order)
    if begun.size:
        names = np.empty((n >> 1) + 1, np.int32)
        n_names = _name(text, is_rising, order, names)
        names = names[begun >> 1]
        if n_names == begun.size:
            sorted_ = np.empty_like(begun)
            sorted_[names] = begun
        else:
            sorted_ = begun[suffix_array(names, n_names)]
        _induce(text, is_rising, sorted_, counts, edges, order)
    return order


@kernel()
def _find_beside(order: Array, below: Array, above: Array) -> None:
    """Find the nearest suffix on each side that began earlier; ``order`` is used up."""
    n = order.shape[0]
    n_open = 0
    for k in range(n + 1):
        here = order[k] if k < n else -1
        while n_open > 0 and order[n_open - 1] > here:
            n_open -= 1
            closed = order[n_open]
            above[closed] = here
            below[closed] = order[n_open - 1] if n_open > 0 else -1
        if k < n:
            order[n_open] = here
            n_open += 1


@kernel()
def _parse(words: Array, n_bits: int, below: Array, above: Array) -> int:
    n = below.shape[0]
    at, n_phrases = 0, 0
    while at < n:
        # Of one type with what is compared, or the comparison is compiled once more.
        best: Any = np.int64(0)
        room = (n - at) * n_bits
        for beside in (below[at], above[at]):
            if beside >= 0:
                found = common_bits(words, beside * n_bits, at * n_bits, best, room)
                best = max(best, found)
        at += best // n_bits + 1
        n_phrases += 1
    return n_phrases


def count_by_suffix_array(codes: Array, words: Array, n_bits: int, n_symbols: int) -> int:
    """Count the phrases of Lempel and Ziv (1976).

    Parameters
    ----------
    codes : ndarray of unsigned int, shape (n_times,)
        Symbols, fewer than 2^31 of them.
    words : ndarray of uint64, shape (n_words,)
        The same, packed.
    n_bits : int
        Bits of a symbol.
    n_symbols : int
        Size of the alphabet, of the order of ``n_times`` at most.

    Returns
    -------
    int
        Phrases.

    References
    ----------
    .. [1] K. Goto and H. Bannai, "Simpler and faster Lempel Ziv factorization", 2013.
    """
    order = suffix_array(codes, n_symbols)
    below, above = np.empty_like(order), np.empty_like(order)
    _find_beside(order, below, above)
    return int(_parse(words, n_bits, below, above))
