"""Pixel events as the columns that loops over events read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_choice
from activome.activity.events import Events
from activome.errors import ActivityError
from activome.patterns._feast_kernels import NEVER

__all__ = ["POLARITIES", "PixelEvents", "empty_surface", "inside", "read_pixel_events"]

Array = np.ndarray[Any, Any]
POLARITIES = ("separate", "merge", "signed")


@dataclass(frozen=True)
class PixelEvents:
    """Events of pixels, read.

    Attributes
    ----------
    events : Events
        What was read.
    columns : ndarray of int64, shape (6, n_events)
        Time in ticks, row, column, plane, sign, and whether a new trial begins.
    n_planes : int
        Planes of the time surface.
    shape : tuple of int
        Rows and columns of the pixel array.
    """

    events: Events
    columns: Array
    n_planes: int
    shape: tuple[int, int]


def read_pixel_events(given: Any, polarity: str, owner: str) -> PixelEvents:
    """Return the columns of events, or of a raster whose units have coords x and y."""
    check_choice(polarity, POLARITIES, name="polarity", owner=owner)
    if isinstance(given, xr.DataArray):
        given = Events.from_raster(given)
    if not isinstance(given, Events):
        raise ActivityError(
            f"{owner}: events must be Events, or an Activity of counts whose units have coords x "
            f"and y; got {type(given).__name__}."
        )
    if not given.n_events:
        raise ActivityError(f"{owner}: there must be at least one event; got none.")
    x, y, shape = _pixels(given, owner)
    on = _is_on(given, owner)
    columns = np.zeros((6, given.n_events), np.int64)
    columns[0], columns[1], columns[2] = given.t, y, x
    columns[3] = on if polarity == "separate" else 0
    columns[4] = on if polarity == "signed" else 1
    columns[5, 0] = 1
    if given.trial is not None:
        columns[5, 1:] = np.diff(given.trial) != 0
    return PixelEvents(given, columns, 2 if polarity == "separate" else 1, shape)


def _pixels(events: Events, owner: str) -> tuple[Array, Array, tuple[int, int]]:
    if events.x is not None and events.y is not None and events.shape is not None:
        x, y, shape = events.x.astype(np.int64), events.y.astype(np.int64), events.shape
    elif {"x", "y"} <= set(events.unit_table.columns):
        grid = events.unit_table[["x", "y"]].to_numpy(np.float64)
        if not (grid == np.rint(grid)).all():
            raise ActivityError(
                f"{owner}: x and y of the units must be whole numbers; unit "
                f"{int(np.argmax((grid != np.rint(grid)).any(axis=1)))} has others. Round them."
            )
        whole = grid.astype(np.int64)
        x, y = whole[events.unit, 0], whole[events.unit, 1]
        shape = (int(whole[:, 1].max()) + 1, int(whole[:, 0].max()) + 1)
    else:
        raise ActivityError(
            f"{owner}: events must have pixels: columns x and y, or units with coords x and y."
        )
    if min(int(x.min()), int(y.min())) < 0:
        raise ActivityError(
            f"{owner}: x and y must not be negative; event {int(np.argmax((x < 0) | (y < 0)))} "
            "has one that is. Shift them to begin at 0."
        )
    return x, y, shape


def _is_on(events: Events, owner: str) -> Array:
    """Return 1 where an event is of the positive polarity; both {0, 1} and {-1, 1} are read."""
    if events.p is None:
        return np.ones(events.n_events, np.int64)
    held = set(np.unique(events.p).tolist())
    if not (held <= {0, 1} or held <= {-1, 1}):
        raise ActivityError(
            f"{owner}: p must hold 0 and 1, or -1 and 1; it holds {sorted(held)[:5]}."
        )
    return (events.p > 0).astype(np.int64)


def empty_surface(read: PixelEvents, radius: int) -> tuple[Array, Array]:
    """Return last times and signs of pixels that never fired, with a border of the radius."""
    padded = (read.n_planes, read.shape[0] + 2 * radius, read.shape[1] + 2 * radius)
    return np.full(padded, NEVER), np.ones(padded, np.int8)


def inside(read: PixelEvents, radius: int) -> Array:
    """Tell which events have their whole patch on the sensor."""
    row, column = read.columns[1], read.columns[2]
    fits: Array = (row >= radius) & (row < read.shape[0] - radius)
    fits &= (column >= radius) & (column < read.shape[1] - radius)
    return fits
