"""One pattern per trial, or per stretch of time in which a label stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.schema import Activity, make
from activome.activity.stacking import label_values, to_samples
from activome.errors import ActivityError

__all__ = ["condition_patterns", "observation_patterns"]

Array = np.ndarray[Any, Any]
_POWER_KINDS = ("voltage", "field")
_FEWEST_STRETCHES = 5


def condition_patterns(activity: Activity, label: str) -> Activity:
    """Reduce a recording to one pattern of the units per observation of a label.

    An observation is a trial, for a label of trials; and a stretch in which the label stays the
    same, for a label of times. Its pattern is the mean of each unit, or the logarithm of its power
    for voltages and fields, whose mean says little. Units are then standardised.

    Parameters
    ----------
    activity : xarray.DataArray
        Dims (trial, time, unit), any subset.
    label : str
        A coordinate along trial, time, or both.

    Returns
    -------
    xarray.DataArray of float64, shape (n_observations, n_units)
        Dims (trial, unit), with the label on trial; observations without a label are left out, and
        classes that stand fewer than 5 times.

    Raises
    ------
    ActivityError
        If there is no such label, the label is one of times that all trials share, or fewer than
        two classes are left.

    Examples
    --------
    >>> import numpy as np
    >>> a = make(np.arange(24.0).reshape(24, 1), coords={"side": ("time", list("aab" * 8))})
    >>> condition_patterns(a, "side").sizes["trial"]
    16
    """
    means, of_rows = observation_patterns(activity, label, owner="condition_patterns")
    keep = _repeated(of_rows, label, "condition_patterns")
    patterns, of_rows = means[keep], of_rows[keep]
    patterns = patterns - patterns.mean(axis=0)
    spread = patterns.std(axis=0)
    patterns = patterns[:, spread > 0] / spread[spread > 0]
    return make(patterns, ("trial", "unit"), coords={label: ("trial", of_rows)})


def observation_patterns(
    activity: Activity, label: str, *, owner: str = "observation_patterns"
) -> tuple[Array, Array]:
    """Reduce a recording to one pattern of the units per observation of a label, in their order.

    Parameters
    ----------
    activity : xarray.DataArray
        Dims (trial, time, unit), any subset.
    label : str
        A coordinate along trial, time, or both.
    owner : str, default="observation_patterns"
        Who asks, for the messages.

    Returns
    -------
    patterns : ndarray of float64, shape (n_observations, n_units)
        Mean of each unit over a trial, or over a stretch in which the label stays the same; for
        voltages and fields the logarithm of the mean square, where there are several samples.
    labels : ndarray, shape (n_observations,)
        Value of the label.

    Raises
    ------
    ActivityError
        If there is no such label, or it is one of times that all trials share.

    Examples
    --------
    >>> a = make([[1.0], [3.0], [5.0]], coords={"side": ("time", ["l", "l", "r"])})
    >>> [values.tolist() for values in observation_patterns(a, "side")]
    [[[2.0], [5.0]], ['l', 'r']]
    """
    values, index = to_samples(activity, owner=owner)
    names = label_values(index, label, owner=owner)
    dims = activity.coords[label].dims
    if "trial" in activity.dims and dims == ("time",):
        raise ActivityError(
            f"{owner}: label {label!r} must differ between trials; it rides on time alone, the "
            "same in each trial. Compare times with rdm_movie."
        )
    trial = np.zeros(len(values), dtype=np.int64)
    if "trial" in activity.dims:
        n_times = activity.sizes.get("time", 1)
        number = np.repeat(np.arange(activity.sizes["trial"]), n_times)
        trial = number if index.mask is None else number[index.mask.reshape(-1)]
    starts = np.flatnonzero(np.diff(trial, prepend=-1) != 0)
    if "time" in dims:
        changed = np.append(True, (names[1:] != names[:-1]) | (np.diff(trial) != 0))
        starts = np.flatnonzero(changed)
    lengths = np.diff(np.append(starts, len(values)))[:, np.newaxis]
    means = np.add.reduceat(values, starts, axis=0, dtype=np.float64) / lengths
    if activity.attrs.get("kind") in _POWER_KINDS and lengths.max() > 1:
        squares = np.add.reduceat(np.square(values, dtype=np.float64), starts, axis=0) / lengths
        means = np.log(np.maximum(squares, np.finfo(np.float64).tiny))
    return means, names[starts]


def _repeated(names: Array, label: str, owner: str) -> Array:
    text = np.array([str(name) for name in names])
    classes, inverse, counts = np.unique(text, return_inverse=True, return_counts=True)
    is_class = (counts >= _FEWEST_STRETCHES) & (classes != "") & (classes != "nan")
    if is_class.sum() < 2:
        raise ActivityError(
            f"{owner}: label {label!r} must have two classes with at least {_FEWEST_STRETCHES} "
            f"observations each; {int(is_class.sum())} of {classes.size} have."
        )
    kept: Array = is_class[inverse]
    return kept
