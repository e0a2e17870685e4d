"""How features learn from a stream: the start, the blocks, and what is noted of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome.errors import ActivityError
from activome.networks.spiking.homeostasis import SelectionThreshold
from activome.patterns._feast_kernels import BORDER, MISSED, compete, contexts_at
from activome.patterns._pixel_events import PixelEvents, empty_surface, inside

__all__ = [
    "MEASURES",
    "Learned",
    "has_converged",
    "history_of",
    "join_trials",
    "learn",
    "start",
    "trial_shares",
]

Array = np.ndarray[Any, Any]
MEASURES = ("n_events", "missed_rate", "threshold_mean", "threshold_std", "weight_change")


@dataclass(frozen=True)
class Learned:
    """What one pass over events gave.

    Attributes
    ----------
    label : ndarray of int32, shape (n_events,)
        Winner of each event.
    match : ndarray of float32, shape (n_events,)
        Likeness of each event.
    rows : ndarray of float64, shape (n_blocks, n_measures)
        What was noted of each block.
    """

    label: Array
    match: Array
    rows: Array


def start(
    read: PixelEvents,
    n_features: int,
    radius: int,
    scale: float,
    init: str,
    keeps_border: bool,
    generator: np.random.Generator,
) -> tuple[Array, Array]:
    """Draw weights (patch size, n_features) of unit norm, and thresholds in [0, 1)."""
    size = (2 * radius + 1) ** 2
    if init == "data":
        able = np.arange(read.events.n_events)
        able = able if keeps_border else able[inside(read, radius)]
        if able.size < n_features:
            raise ActivityError(
                f"FEAST.fit: a start from data needs an event inside the border for each of the "
                f"{n_features} features; there are {able.size}. Lower n_features."
            )
        chosen = np.sort(generator.choice(able, n_features, replace=False))
        weights = np.zeros((n_features, size))
        contexts_at(read.columns, empty_surface(read, radius), scale, chosen, weights)
    else:
        weights = generator.random((n_features, size))
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return np.ascontiguousarray(weights.T), generator.random(n_features)


def join_trials(read: PixelEvents, resets: bool) -> Array:
    """Return the columns; without resets trials follow each other on one clock."""
    if resets:
        return read.columns
    columns = read.columns.copy()
    if read.events.trial is not None:
        columns[0] += read.events.trial.astype(np.int64) * (
            read.events.t_stop - read.events.t_start
        )
    columns[5] = 0
    return columns


def learn(
    columns: Array,
    surface: tuple[Array, Array],
    state: tuple[Array, Array],
    rules: tuple[float, float, float, float],
    modes: tuple[bool, bool, bool, bool],
    block: int,
) -> Learned:
    """Run over the events block by block; weights and thresholds change in place."""
    n = columns.shape[1]
    label, match = np.empty(n, np.int32), np.empty(n, np.float32)
    weights, thresholds = state
    rows = []
    for first in range(0, n, block):
        part = slice(first, min(first + block, n))
        before = weights.copy()
        compete(
            np.ascontiguousarray(columns[:, part]),
            surface,
            state,
            rules,
            modes,
            label[part],
            match[part],
        )
        n_seen = int(np.count_nonzero(label[part] != BORDER))
        n_missed = int(np.count_nonzero(label[part] == MISSED))
        change = 1.0 - np.einsum("pk,pk->k", before, weights)
        rows.append(
            (n_seen, n_missed / max(n_seen, 1), thresholds.mean(), thresholds.std(), change.mean())
        )
    return Learned(label, match, np.array(rows))


def history_of(rows: Array, events: Array) -> xr.DataArray:
    """Label what was noted of blocks with the number of events seen until their end."""
    return xr.DataArray(
        rows,
        dims=("block", "measure"),
        coords={"measure": list(MEASURES), "event": ("block", events)},
        name="history",
    )


def has_converged(history: xr.DataArray, rule: SelectionThreshold, n_features: int) -> bool:
    """Tell whether misses are at their equilibrium and thresholds keep their spread."""
    if history.sizes["block"] < 2:
        return False
    wanted = rule.missed_share(n_features)
    missed = float(history.sel(measure="missed_rate")[-1])
    before, now = (float(v) for v in history.sel(measure="threshold_std")[-2:])
    return abs(missed - wanted) <= 0.1 * wanted and abs(now - before) <= 0.01 * before


def trial_shares(read: PixelEvents, label: Array, n_features: int) -> Array:
    """Return the share of each feature among the events won in each trial that has any."""
    won = label >= 0
    trial = np.zeros(won.size, np.int64) if read.events.trial is None else read.events.trial
    flat = trial[won].astype(np.int64) * n_features + label[won]
    table = np.bincount(flat, minlength=read.events.n_trials * n_features)
    table = table.reshape(read.events.n_trials, n_features)
    table = table[table.sum(axis=1) > 0]
    return np.asarray(table / table.sum(axis=1, keepdims=True))
