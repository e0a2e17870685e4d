"""What classifiers of spike trains ask of their trials: zeros and ones, and classes that fire."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.errors import ActivityError

__all__ = ["as_spikes", "check_classes"]

Array = np.ndarray[Any, Any]


def as_spikes(values: Array, owner: str) -> Array:
    """Return trials of zeros and ones as booleans with times before units.

    Parameters
    ----------
    values : ndarray, shape (n_trials, n_units, n_times)
        Finite numbers.
    owner : str
        Who asks, for the message.

    Returns
    -------
    ndarray of bool, shape (n_trials, n_times, n_units)
        In one layout, whatever that of the input.

    Raises
    ------
    ActivityError
        If a value is neither 0 nor 1, or there are fewer than two steps.
    """
    spikes = values != 0
    other = spikes & (values != 1)
    if other.any():
        trial, unit, time = (int(k) for k in np.argwhere(other)[0])
        raise ActivityError(
            f"{owner}: spikes must be 0 or 1; {int(other.sum())} of {values.size} values are not, "
            f"the first {values[trial, unit, time]:g} at trial {trial}, time {time}, unit {unit}. "
            "Binarise the activity first."
        )
    if values.shape[2] < 2:
        raise ActivityError(f"{owner}: trials must have at least two steps; got {values.shape[2]}.")
    return np.ascontiguousarray(spikes.swapaxes(1, 2))


def check_classes(spikes: Array, codes: Array, classes: Array, owner: str) -> None:
    """Refuse a single class, and classes of which no trial has a spike.

    Parameters
    ----------
    spikes : ndarray of bool, shape (n_trials, n_times, n_units)
        Spikes.
    codes : ndarray of int, shape (n_trials,)
        Index of the class of each trial.
    classes : ndarray, shape (n_classes,)
        Labels.
    owner : str
        Who asks, for the message.

    Raises
    ------
    ActivityError
        If there is one class, or a class without a spike.
    """
    if classes.size < 2:
        raise ActivityError(f"{owner}: there must be at least two classes; got 1 class.")
    counts = np.bincount(codes, spikes.sum(axis=(1, 2)), classes.size)
    if not counts.all():
        silent = classes[int(np.argmin(counts))].item()
        raise ActivityError(
            f"{owner}: every class must have spikes; class {silent!r} has none in "
            f"{int((codes == np.argmin(counts)).sum())} trials. Drop it, or choose finer bins."
        )
