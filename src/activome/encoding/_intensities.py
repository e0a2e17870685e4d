"""Intensities that encoders take: arrays or activities as (trial, time, unit)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from activome._checks import check_finite
from activome.activity.schema import ensure
from activome.errors import ActivityError, ParameterError

__all__ = ["read_intensities", "whole_ticks"]

Array = np.ndarray[Any, Any]
TICK = 1e-6


def read_intensities(
    values: Any, owner: str, *, changing: bool
) -> tuple[Array, pd.DataFrame | None, float | None]:
    """Return float64 (n_trials, n_times, n_units), the table of units, and the sampling rate.

    Arrays are (n_units,), (n_trials, n_units) or (n_trials, n_times, n_units); activities are read
    by the names of their dims. Without a time axis n_times is 1.
    """
    table, rate = None, None
    if isinstance(values, xr.DataArray):
        activity = ensure(values, owner=owner)
        rate = activity.attrs.get("sampling_rate")
        if "unit" not in activity.dims:
            raise ActivityError(f"{owner}: intensities must have the dim unit.")
        table = pd.DataFrame(index=pd.Index(activity["unit"].values, name="unit"))
        missing = [dim for dim in ("trial", "time") if dim not in activity.dims]
        wide = activity.expand_dims(missing).transpose("trial", "time", "unit")
        array = np.asarray(wide.values)
    else:
        array = np.asarray(values)
        if array.ndim == 1:
            array = array[None, None]
        elif array.ndim == 2:
            array = array[:, None]
    if array.ndim != 3 or array.dtype.kind not in "biuf":
        raise ActivityError(
            f"{owner}: intensities must be numbers of shape (n_units,), (n_trials, n_units) or "
            f"(n_trials, n_times, n_units); got {array.dtype} of shape {np.shape(values)}."
        )
    if array.size == 0:
        raise ActivityError(f"{owner}: intensities are empty, shape {np.shape(values)}.")
    if not changing and array.shape[1] != 1:
        raise ActivityError(
            f"{owner}: intensities must not change in time; got {array.shape[1]} times. "
            "Choose one time, or average over them."
        )
    array = array.astype(np.float64)
    check_finite(
        array, owner=owner, axes=("trial", "time", "unit"), what="intensities", cure="Mend them."
    )
    return array, table, rate


def whole_ticks(seconds: float, name: str, owner: str) -> int:
    """Return a duration in ticks of 1 us."""
    ticks = round(seconds / TICK)
    if ticks < 1 or abs(ticks * TICK - seconds) > 1e-9 * max(seconds, TICK):
        raise ParameterError(
            f"{owner}: {name} must be a whole number of microseconds, which is the clock of the "
            f"events; got {seconds!r} s."
        )
    return ticks
