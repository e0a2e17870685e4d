"""A recording as few bins of few units, ready to be searched for states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_finite
from activome.activity.nulls import close_ends
from activome.activity.stacking import to_sequences
from activome.errors import ActivityError
from activome.patterns._found_states_fit import normal_scores

__all__ = ["BinnedRows", "read_rows"]

Array = np.ndarray[Any, Any]
_OWNER = "find_states"
_FEWEST_TRIALS = 20


@dataclass(frozen=True)
class BinnedRows:
    """Bins of all trials, one below the other.

    Attributes
    ----------
    values : ndarray of float64, shape (n_bins, n_units)
        Square roots of counts, or normal scores.
    trial, start : ndarray of int64, shape (n_bins,)
        Trial of each bin, and its first sample in the trial.
    is_first : ndarray of bool, shape (n_bins,)
        Whether a trial begins.
    bin_size : int
        Samples per bin.
    units : ndarray of int64, shape (n_units,)
        Place of each unit in the recording.
    step : int
        Smallest step of a shift in bins: the length of a trial where trials are shifted, else 1.
    """

    values: Array
    trial: Array
    start: Array
    is_first: Array
    bin_size: int
    units: Array
    step: int


def read_rows(activity: Any, max_samples: int, max_units: int) -> BinnedRows:
    """Average an activity in bins, and bring its units on one scale."""
    trials, is_count = _trials(activity)
    lengths = [len(trial) for trial in trials]
    bin_size = max(1, -(-sum(lengths) // max_samples))
    bin_size = min(bin_size, max(lengths))
    n_units = trials[0].shape[1]
    drawn = np.unique(np.linspace(0, n_units - 1, min(n_units, max_units)).astype(int))
    binned, place, start = [], [], []
    for k, trial in enumerate(trials):
        edges = np.arange(0, len(trial), bin_size)
        size = np.diff(np.append(edges, len(trial)))[:, np.newaxis]
        binned.append(np.add.reduceat(trial[:, drawn].astype(np.float64), edges, axis=0) / size)
        place.append(np.full(len(edges), k))
        start.append(edges)
    rows, trial_of = np.concatenate(binned), np.concatenate(place)
    varies = np.ptp(rows, axis=0) > 0
    if varies.sum() < 2:
        raise ActivityError(
            f"{_OWNER}: at least 2 units must vary; {int(varies.sum())} of {n_units} do. States of "
            "a single unit are the business of PopulationHMM."
        )
    is_even = len(set(lengths)) == 1 and len(trials) >= _FEWEST_TRIALS and lengths[0] > 1
    rows = np.sqrt(rows) if is_count else normal_scores(rows)
    if is_even:
        cube = rows.reshape(len(trials), -1, rows.shape[1])
        rows = (cube - cube.mean(axis=0)).reshape(rows.shape)
    values = close_ends(np.where(varies, rows, 0.0)[:, varies])
    return BinnedRows(
        values=values,
        trial=trial_of,
        start=np.concatenate(start),
        is_first=np.diff(trial_of, prepend=-1) != 0,
        bin_size=bin_size,
        units=drawn[varies],
        step=len(binned[0]) if is_even else 1,
    )


def _trials(activity: Any) -> tuple[list[Array], bool]:
    if isinstance(activity, xr.DataArray):
        if "time" in activity.dims:
            trials = [part for part in to_sequences(activity, owner=_OWNER)[0] if len(part)]
        else:
            trials = [np.asarray(activity.transpose("trial", "unit").values)]
    else:
        trials = [np.asarray(activity)]
    for values in trials:
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise ActivityError(
                f"{_OWNER}: plain numbers must be (n_times, n_units); got {values.dtype} of shape "
                f"{values.shape}. Build an Activity for trials."
            )
        check_finite(values, owner=_OWNER, axes=("time", "unit"))
    is_whole = all(bool((v >= 0).all() and (v == np.rint(v)).all()) for v in trials)
    return trials, is_whole
