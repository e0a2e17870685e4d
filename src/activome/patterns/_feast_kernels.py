"""Loops over pixel events: time surfaces, contexts, and competition of features for events."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel
from activome.networks.spiking._selection import move_thresholds

__all__ = ["BORDER", "MISSED", "NEVER", "compete", "contexts_at", "surfaces_at"]

Array = np.ndarray[Any, Any]
# Labels of events that no feature takes.
MISSED, BORDER = -1, -2
# Finite, so that no difference of times overflows; the exponential of it is 0.
NEVER = -(2**60)


@kernel(inline=True)
def _see(
    last: Array,
    signs: Array,
    where: tuple[int, int],
    now: int,
    own: int,
    scale: float,
    place: Array,
    value: Array,
) -> int:
    """Write the unit-norm context around a pixel as (place, value) of its pixels that fired.

    ``last`` and ``signs`` are padded planes, so the patch begins at the pixel itself.
    """
    side = int(np.sqrt(place.size) + 0.5)
    n, square = 0, 0.0
    for i in range(side):
        for j in range(side):
            before = last[where[0] + i, where[1] + j]
            if before != NEVER:
                seen = np.exp((before - now) * scale)
                if signs[where[0] + i, where[1] + j] != own:
                    seen = -seen
                place[n] = i * side + j
                value[n] = seen
                square += seen * seen
                n += 1
    norm = 1.0 / np.sqrt(square)
    for i in range(n):
        value[i] *= norm
    return n


@kernel(inline=True)
def _note(
    last: Array, signs: Array, pixel: tuple[int, int], now: int, own: int, plane: int
) -> None:
    """Write the time and the sign of an event at its pixel."""
    last[plane, pixel[0], pixel[1]] = now
    signs[plane, pixel[0], pixel[1]] = own


@kernel()
def compete(
    columns: Array,
    surface: tuple[Array, Array],
    state: tuple[Array, Array],
    rules: tuple[float, float, float, float],
    modes: tuple[bool, bool, bool, bool],
    label: Array,
    match: Array,
) -> None:
    """Let features compete for events in turn, and learn from them.

    Parameters
    ----------
    columns : ndarray of int64, shape (6, n_events)
        Time in ticks, row, column, plane, sign, and whether a new trial begins.
    surface : tuple of ndarray, each of shape (n_planes, n_rows + 2 radius, n_columns + 2 radius)
        Last time (int64) and its sign (int8) of each pixel; changed.
    state : tuple of ndarray
        Weights (patch size, n_features), and thresholds (n_features,), both float64; changed.
    rules : tuple of float
        Ticks to time constants, learning rate, fall at a miss, rise of the winner.
    modes : tuple of bool
        Whether features learn, thresholds select, events at the border count, thresholds are
        clipped to [0, 1].
    label : ndarray of int32, shape (n_events,)
        Winners, written.
    match : ndarray of float32, shape (n_events,)
        Likeness of the winner, or of the best where none is eligible; written.
    """
    last, signs = surface
    weights, thresholds = state
    scale, eta, fall, rise = rules
    learns, selects, keeps_border, clips = modes
    size, n_features = weights.shape
    side = int(np.sqrt(size) + 0.5)
    radius = side // 2
    n_rows, n_columns = last.shape[1] - 2 * radius, last.shape[2] - 2 * radius
    place, value, like = np.empty(size, np.int64), np.empty(size), np.empty(n_features)
    for e in range(columns.shape[1]):
        now, row, column = columns[0, e], columns[1, e], columns[2, e]
        plane, own = columns[3, e], columns[4, e]
        if columns[5, e]:
            last[:] = NEVER
        # The event is on its own surface: the centre of its context is the largest value.
        _note(last, signs, (row + radius, column + radius), now, own, plane)
        inside = radius <= row < n_rows - radius and radius <= column < n_columns - radius
        if not inside and not keeps_border:
            label[e], match[e] = BORDER, 0.0
            continue
        n = _see(last[plane], signs[plane], (row, column), now, own, scale, place, value)
        like[:] = 0.0
        for i in range(n):
            seen, pixel = value[i], place[i]
            for k in range(n_features):
                like[k] += weights[pixel, k] * seen
        winner, best, nearest = MISSED, -np.inf, -np.inf
        for k in range(n_features):
            nearest = max(nearest, like[k])
            if like[k] > best and (not selects or like[k] >= thresholds[k]):
                winner, best = k, like[k]
        label[e] = winner
        match[e] = nearest if winner < 0 else best
        if not learns:
            continue
        if winner >= 0:
            _move(weights, winner, place[:n], value[:n], eta)
        if selects:
            move_thresholds(thresholds, winner, fall, rise)
            if clips:
                for k in range(n_features):
                    thresholds[k] = min(1.0, max(0.0, thresholds[k]))


@kernel(inline=True)
def _move(weights: Array, k: int, place: Array, value: Array, eta: float) -> None:
    """Move a feature towards a context, and put it back to unit norm."""
    for j in range(weights.shape[0]):
        weights[j, k] *= 1.0 - eta
    for i in range(place.size):
        weights[place[i], k] += eta * value[i]
    square = 0.0
    for j in range(weights.shape[0]):
        square += weights[j, k] * weights[j, k]
    if square > 0.0:
        norm = 1.0 / np.sqrt(square)
        for j in range(weights.shape[0]):
            weights[j, k] *= norm


@kernel()
def contexts_at(
    columns: Array, surface: tuple[Array, Array], scale: float, wanted: Array, context: Array
) -> None:
    """Write the contexts of some events, given as increasing positions, as dense rows."""
    last, signs = surface
    size = context.shape[1]
    radius = int(np.sqrt(size) + 0.5) // 2
    place, value = np.empty(size, np.int64), np.empty(size)
    found = 0
    for e in range(columns.shape[1]):
        now, row, column = columns[0, e], columns[1, e], columns[2, e]
        plane, own = columns[3, e], columns[4, e]
        if columns[5, e]:
            last[:] = NEVER
        _note(last, signs, (row + radius, column + radius), now, own, plane)
        if found < wanted.size and wanted[found] == e:
            n = _see(last[plane], signs[plane], (row, column), now, own, scale, place, value)
            for i in range(n):
                context[found, place[i]] = value[i]
            found += 1


@kernel()
def surfaces_at(columns: Array, stamps: Array, scale: float, surface: Array) -> None:
    """Write what every pixel shows at increasing times: exp of the time since its last event."""
    n_planes, n_rows, n_columns = surface.shape[1:]
    last = np.full((n_planes, n_rows, n_columns), NEVER)
    e = 0
    for s in range(stamps.size):
        while e < columns.shape[1] and columns[0, e] <= stamps[s]:
            last[columns[3, e], columns[1, e], columns[2, e]] = columns[0, e]
            e += 1
        for plane in range(n_planes):
            for i in range(n_rows):
                for j in range(n_columns):
                    before = last[plane, i, j]
                    if before != NEVER:
                        surface[s, plane, i, j] = np.exp((before - stamps[s]) * scale)
