"""The schema of an Activity: an xarray.DataArray of trials, times and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_number
from activome.errors import ActivityError, ParameterError

__all__ = ["DIMS", "KINDS", "Activity", "Problem", "Severity", "check", "ensure", "make"]

Activity: TypeAlias = xr.DataArray
Severity = Literal["critical", "violation", "suggestion"]

DIMS = ("trial", "time", "unit")
KINDS = ("spikes", "rate", "calcium", "voltage", "field", "bold", "activation", "feature")
_DEFAULT_DIMS = {1: ("time",), 2: ("time", "unit"), 3: DIMS}
# Clocks of recorders are good to about 1e-5; a step off by more means the sampling is not regular.
_REGULAR = 1e-3


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an activity: how bad, where, what, and how to mend it.

    Attributes
    ----------
    severity : {"critical", "violation", "suggestion"}
        Critical: methods refuse the data. Violation: results may mislead. Suggestion: a label or
        an attribute is missing that would help a reader.
    where : str
        The dim, coordinate or attribute.
    what : str
        What is wrong, with the figures.
    cure : str
        What to do about it.
    """

    severity: Severity
    where: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.what} {self.cure}"


def make(
    values: ArrayLike | Any,
    dims: Sequence[str] | None = None,
    *,
    time: ArrayLike | None = None,
    unit: Sequence[Any] | np.ndarray[Any, Any] | None = None,
    trial: Sequence[Any] | np.ndarray[Any, Any] | None = None,
    coords: Mapping[str, tuple[str, ArrayLike]] | None = None,
    valid: ArrayLike | None = None,
    kind: str = "feature",
    units: str = "1",
    sampling_rate: float | None = None,
    start: float = 0.0,
    source: str = "memory",
    name: str | None = None,
) -> Activity:
    """Build an Activity from values and labels.

    Parameters
    ----------
    values : array-like, shape (n_trials, n_times, n_units) or fewer dims
        Numbers, as numpy or dask array; a dask array stays lazy.
    dims : sequence of {"trial", "time", "unit"}, optional
        Name of each axis. By default (trial, time, unit), (time, unit) or (time,). Another order is
        accepted here, by name, and stored as (trial, time, unit).
    time : array-like of float, shape (n_times,), optional
        Times in s (token index for language models), strictly increasing. By default counted from
        ``start`` with ``sampling_rate``, or 0, 1, 2 ... without one.
    unit, trial : sequence, optional
        Names of units and trials, unique; by default 0, 1, 2 ...
    coords : mapping of str to (dim, values), optional
        Further labels that ride along a dim, such as ``{"stimulus": ("trial", labels)}``.
    valid : array-like of bool, shape (n_trials, n_times), optional
        Which samples of ragged trials hold data.
    kind : {"spikes", "rate", "calcium", "voltage", "field", "bold", "activation", "feature"}
        What the numbers are, default "feature".
    units : str, default="1"
        Physical unit of the values, such as "V" or "spikes".
    sampling_rate : float, optional
        Rate in Hz of a regular time axis; found from ``time`` where that is regular.
    start : float, default=0.0
        Time in s of the first sample, when ``time`` is not given.
    source : str, default="memory"
        What made the data, with version or checksum.
    name : str, optional
        Name of the array.

    Returns
    -------
    xarray.DataArray
        Dims in the order (trial, time, unit), any subset.

    Raises
    ------
    ActivityError
        If dims, lengths or labels do not fit the values.
    ParameterError
        If ``kind`` is unknown, or ``sampling_rate`` is not positive or contradicts ``time``.

    Examples
    --------
    >>> import numpy as np
    >>> a = make(np.zeros((3, 2)), sampling_rate=10.0, unit=["a", "b"], kind="rate", units="Hz")
    >>> a.dims, a.time.values.tolist(), a.attrs["sampling_rate"]
    (('time', 'unit'), [0.0, 0.1, 0.2], 10.0)
    """
    array: Any = values if hasattr(values, "dask") else np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ActivityError(
            f"make: values must be real numbers; got dtype {array.dtype}. Convert them first."
        )
    names = tuple(dims) if dims is not None else _DEFAULT_DIMS.get(array.ndim, ())
    if len(names) != array.ndim or len(set(names)) != len(names) or not set(names) <= set(DIMS):
        raise ActivityError(
            f"make: dims must name each of the {array.ndim} axes once, out of {DIMS}; got {names}."
        )
    check_choice(kind, KINDS, name="kind", owner="make")
    sizes = dict(zip(names, array.shape, strict=True))
    axes: dict[str, Any] = {}
    if "time" in sizes:
        axes["time"], sampling_rate = _time_axis(sizes["time"], time, sampling_rate, start)
    elif time is not None or sampling_rate is not None:
        raise ActivityError("make: time or sampling_rate is given, but there is no dim 'time'.")
    for dim, labels in (("unit", unit), ("trial", trial)):
        if dim in sizes:
            axes[dim] = _labels(dim, sizes[dim], labels)
        elif labels is not None:
            raise ActivityError(f"make: names of {dim}s are given, but there is no dim {dim!r}.")
    attrs: dict[str, Any] = {"kind": kind, "units": units, "source": source}
    if sampling_rate is not None:
        attrs["sampling_rate"] = sampling_rate
    extra = {key: (dim, np.asarray(label)) for key, (dim, label) in (coords or {}).items()}
    for key, (dim, label) in extra.items():
        _check_ride_along(key, dim, label, sizes)
    made = xr.DataArray(array, dims=names, coords=axes, attrs=attrs, name=name)
    made.name = name  # without one, xarray takes the random name of a dask array
    made = made.assign_coords(extra).transpose(*(d for d in DIMS if d in names))
    return made if valid is None else made.assign_coords(valid=_valid_mask(valid, sizes))


def _check_ride_along(
    key: str, dim: str, label: np.ndarray[Any, Any], sizes: dict[str, int]
) -> None:
    if key in DIMS or key == "valid":
        raise ActivityError(f"make: coords must not hold {key!r}; it has an argument of its own.")
    if dim not in sizes:
        raise ActivityError(f"make: coordinate {key!r} rides on {dim!r}, which is not a dim here.")
    if label.shape != (sizes[dim],):
        raise ActivityError(
            f"make: coordinate {key!r} must have shape ({sizes[dim]},) for dim {dim!r}; "
            f"got {label.shape}."
        )


def _valid_mask(valid: ArrayLike, sizes: dict[str, int]) -> tuple[tuple[str, str], Any]:
    mask = np.asarray(valid)
    expected = (sizes.get("trial"), sizes.get("time"))
    if None in expected or mask.shape != expected or mask.dtype != bool:
        raise ActivityError(
            f"make: valid must be boolean of shape (n_trials, n_times) = {expected}; "
            f"got {mask.dtype} of shape {mask.shape}."
        )
    return ("trial", "time"), mask


def _time_axis(
    n_times: int, time: ArrayLike | None, sampling_rate: float | None, start: float
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], float | None]:
    if sampling_rate is not None:
        sampling_rate = check_number(sampling_rate, name="sampling_rate", owner="make", low=0.0)
    if time is None:
        rate = 1.0 if sampling_rate is None else sampling_rate
        # start + k / rate, never accumulated: sums of a rounded step drift.
        return start + np.arange(n_times) / rate, sampling_rate
    stamps = np.asarray(time, dtype=np.float64)
    if stamps.shape != (n_times,):
        raise ActivityError(f"make: time must have shape ({n_times},); got {stamps.shape}.")
    if not np.isfinite(stamps).all() or (np.diff(stamps) <= 0).any():
        raise ActivityError(
            "make: time must be finite and strictly increasing. Sort the samples by time, and "
            "drop repeated stamps."
        )
    found = regular_rate(stamps)
    # One stamp has no step that could contradict the rate.
    if (
        sampling_rate is not None
        and stamps.size > 1
        and (found is None or abs(found - sampling_rate) > _REGULAR * sampling_rate)
    ):
        measured = "irregular steps" if found is None else f"steps of 1/{found:g} s"
        raise ParameterError(
            f"make: sampling_rate is {sampling_rate:g} Hz, but time has {measured}. "
            "Give one of the two."
        )
    return stamps, sampling_rate if sampling_rate is not None else found


def regular_rate(stamps: np.ndarray[Any, Any]) -> float | None:
    """Return the sampling rate in Hz of regular time stamps, or None.

    Parameters
    ----------
    stamps : ndarray of float64, shape (n_times,)
        Times in s, increasing.

    Returns
    -------
    float or None
        None for fewer than two samples, or when a step is off the mean by more than 0.1 %.
    """
    if stamps.size < 2:
        return None
    step = (stamps[-1] - stamps[0]) / (stamps.size - 1)
    # Rounding of a stamp t is t * 2**-52: it does not make a long recording irregular.
    slack = _REGULAR * step + 8 * np.finfo(np.float64).eps * max(abs(stamps[0]), abs(stamps[-1]))
    if np.abs(np.diff(stamps) - step).max() > slack:
        return None
    rate = 1.0 / float(step)
    rounded = round(rate, 6)
    return float(rounded) if rounded and abs(rounded - rate) < 1e-9 * rate else rate


def _labels(dim: str, n: int, labels: Any) -> np.ndarray[Any, Any]:
    names = np.arange(n) if labels is None else np.asarray(labels)
    if names.shape != (n,):
        raise ActivityError(f"make: {dim} must name each of the {n} {dim}s; got {names.shape}.")
    if np.unique(names).size != n:
        values, counts = np.unique(names, return_counts=True)
        raise ActivityError(
            f"make: names of {dim}s must be unique; {values[counts > 1].tolist()[0]!r} stands "
            f"{counts.max()} times. Number the repeats."
        )
    return names


def check(activity: Activity) -> list[Problem]:
    """List what is wrong with an activity, the worst first.

    The values of a lazy array are read once, block by block.

    Parameters
    ----------
    activity : xarray.DataArray
        The activity to look at.

    Returns
    -------
    list of Problem
        Empty when nothing is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> a = make(np.array([[0.0, 1.0], [np.nan, 1.0]]), sampling_rate=2.0, source="an example")
    >>> for problem in check(a):
    ...     print(problem)
    violation: unit: 1 of 2 units is constant: 1. Drop it, or say in the report that it is silent.
    violation: values: 1 of 4 values is NaN or infinite. Drop or interpolate it first.
    """
    # The checks of values live in a file of their own; both halves are one function to the reader.
    from activome.activity._quality import structure_problems, value_problems

    problems = structure_problems(activity)
    if not any(problem.severity == "critical" for problem in problems):
        problems += value_problems(activity)
    order = {"critical": 0, "violation": 1, "suggestion": 2}
    return sorted(problems, key=lambda problem: (order[problem.severity], problem.where))


def ensure(activity: Any, *, owner: str) -> Activity:
    """Return the activity when its structure fits the schema.

    Parameters
    ----------
    activity : xarray.DataArray
        The activity to look at; its values are not read.
    owner : str
        Who asks, for the message.

    Returns
    -------
    xarray.DataArray
        The same activity, its dims in the order (trial, time, unit).

    Raises
    ------
    ActivityError
        If it is no DataArray, or its structure is broken; the message says how to mend it.
    """
    from activome.activity._quality import structure_problems

    for problem in structure_problems(activity):
        if problem.severity == "critical":
            raise ActivityError(f"{owner}: {problem.where}: {problem.what} {problem.cure}")
    result: Activity = activity.transpose(*(dim for dim in DIMS if dim in activity.dims))
    return result
