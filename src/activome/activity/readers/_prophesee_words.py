"""The words of Prophesee's encodings, decoded without a loop and without trust in the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["DECODERS"]

Array = np.ndarray[Any, Any]
Columns = tuple[Array, Array, Array, Array]


def _unwrapped(counter: Array, n_bits: int) -> Array:
    """Count on where a counter of ``n_bits`` starts again from 0; small steps back stay."""
    counter = counter.astype(np.int64)
    falls = np.diff(counter, prepend=counter[:1]) < -(1 << (n_bits - 1))
    total: Array = counter + (np.cumsum(falls) << n_bits)
    return total


def _last(mask: Array) -> Array:
    """For every word the place of the latest word of a kind, or -1."""
    return np.maximum.accumulate(np.where(mask, np.arange(mask.size), -1))


def _check_types(types: Array, known: tuple[int, ...], name: str) -> None:
    wrong = ~np.isin(types, known)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise ValueError(
            f"word {place} is of type {int(types[place]):#x}, which {name} does not have"
        )


def _warn_early(n_early: int) -> None:
    if n_early:
        warnings.warn(
            f"{n_early} events before the first time stamp have no time and were left out.",
            UserWarning,
            stacklevel=4,
        )


def _dat(words: Array) -> Columns:
    pairs = words.reshape(-1, 2)
    data = pairs[:, 1]
    return (
        _unwrapped(pairs[:, 0], 32), data & 0x3FFF, (data >> 14) & 0x3FFF, ((data >> 28) & 0xF) > 0
    )  # fmt: skip


def _evt2(words: Array) -> Columns:
    types = words >> 28
    _check_types(types, (0x0, 0x1, 0x8, 0xA, 0xE, 0xF), "EVT 2")
    is_high = types == 0x8
    is_event = types < 2
    high = _unwrapped(words[is_high] & 0xFFF_FFFF, 28)
    # Number of the latest time word: 0 before the first one.
    rank = np.cumsum(is_high)[is_event]
    _warn_early(int((rank == 0).sum()))
    events, rank = words[is_event][rank > 0], rank[rank > 0]
    t = (high[rank - 1] << 6) | ((events >> 22) & 0x3F)
    return t, (events >> 11) & 0x7FF, events & 0x7FF, events >> 28


def _evt3(words: Array) -> Columns:
    types, body = (words >> 12).astype(np.uint8), words & 0xFFF
    _check_types(types, (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF), "EVT 3")
    event_time = _evt3_time(types, body)
    row = _last(types == 0x0)
    base = _last(types == 0x3)
    # The vector base moves on by the width of each vector since it was set.
    width = np.where(types == 0x4, 12, np.where(types == 0x5, 8, 0))
    moved = np.cumsum(width) - width
    single = np.flatnonzero(types == 0x2)
    vector = np.flatnonzero((types == 0x4) | (types == 0x5))
    bits = np.where(types[vector] == 0x4, body[vector], body[vector] & 0xFF)
    which, offset = np.nonzero((bits[:, None] >> np.arange(12, dtype=bits.dtype)) & 1)
    source = vector[which]
    place = np.concatenate([single, source])
    x = np.concatenate(
        [
            body[single] & 0x7FF,
            (body[base[source]] & 0x7FF) + moved[source] - moved[base[source]] + offset,
        ]
    )
    p = np.concatenate([body[single] >> 11, body[base[source]] >> 11])
    order = np.argsort(place, kind="stable")
    place, x, p = place[order], x[order], p[order]
    known = (row[place] >= 0) & (event_time[place] >= 0)
    known &= (types[place] == 0x2) | (base[place] >= 0)
    _warn_early(int((~known).sum()))
    place, x, p = place[known], x[known], p[known]
    return event_time[place], x, body[row[place]] & 0x7FF, p


def _evt3_time(types: Array, body: Array) -> Array:
    """Time in us at every word, -1 before the first time word."""
    is_high, is_low = types == 0x8, types == 0x6
    rank = np.cumsum(is_high)
    high = np.concatenate([[-1], _unwrapped(body[is_high], 12)])
    last_low, last_high = _last(is_low), _last(is_high)
    low = np.where(last_low >= 0, body[last_low].astype(np.int64), 0)
    # Some writers leave out the high word when the low one starts again from 0.
    at = np.flatnonzero(is_low)
    wraps = np.zeros(types.size, dtype=np.int64)
    wraps[at[1:]] = (np.diff(body[at].astype(np.int64)) < 0) & (last_high[at[1:]] < at[:-1])
    wraps = np.cumsum(wraps)
    wraps -= np.where(last_high >= 0, wraps[last_high], 0)
    return np.where(rank > 0, ((high[rank] + wraps) << 12) | low, -1)


# Type of the words, and what turns them into t (us), x, y and p.
DECODERS: dict[str, tuple[str, Callable[[Array], Columns]]] = {
    "dat": ("<u4", _dat),
    "evt2": ("<u4", _evt2),
    "evt3": ("<u2", _evt3),
}
