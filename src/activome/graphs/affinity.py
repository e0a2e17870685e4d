"""Affinities of pairs at every instant: which units rise together, and which fall together, now."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from activome._checks import (
    DEFAULT_MEMORY_LIMIT,
    check_choice,
    check_finite,
    check_memory,
    check_number,
)
from activome._compile import kernel
from activome.activity.schema import Activity, ensure, make
from activome.errors import ActivityError, ParameterError

__all__ = ["derivative_affinity", "pair_affinity", "signed_roots"]

Array = np.ndarray[Any, Any]
_SCALES = ("rms", "none")


def derivative_affinity(
    activity: Any,
    smooth: float = 2.0,
    scale: str = "rms",
    pairs: Sequence[tuple[Any, Any]] | None = None,
    *,
    memory_limit: float = DEFAULT_MEMORY_LIMIT,
) -> Activity:
    """Return for every pair of units and every time how much the two change together.

    With ``d`` the time derivative of a smoothed trace over its root mean square, and its rising and
    falling part kept apart, ``a_ij(t) = sqrt(d_i+ d_j+) + sqrt(d_i- d_j-)``: 0 where the two move
    in opposite directions or one stands still. It does not depend on the offset nor on the positive
    scale of either trace.

    Parameters
    ----------
    activity : xarray.DataArray or array-like, shape (n_times, n_units)
        An Activity with a time axis, with or without trials, or plain numbers. A unit that was not
        recorded in a trial is NaN there throughout.
    smooth : float in [0, inf), default=2.0
        Standard deviation in samples of the Gaussian that smooths each trace, within its trial; 0
        for none.
    scale : {"rms", "none"}, default="rms"
        Whether each derivative is divided by its root mean square over the trial.
    pairs : sequence of (unit, unit), optional
        Names of the units of each pair wanted; by default all pairs.
    memory_limit : float, default=2 GiB
        Most bytes of the result.

    Returns
    -------
    xarray.DataArray of float32
        Dims (trial, time, unit), or without trial as the input; each unit is a pair, with the names
        of its two units as labels ``first`` and ``second``. Not negative; NaN where one of the two
        was not recorded, and at samples that are not valid.

    Raises
    ------
    ActivityError
        If there is no time axis, fewer than two units or three samples, values are missing
        within a trace, a trace is constant, or the valid samples of a trial have gaps.
    ParameterError
        If a parameter is outside its range, or a pair names no two units of the activity.
    ResourceError
        If the result passes the memory limit.

    Notes
    -----
    The form of the affinity is our choice: the paper [1]_ asks for one that is instantaneous and
    rests on the change in time. Derivatives are central differences. Cost and memory are
    ``n_trials * n_times * n_pairs``.

    References
    ----------
    .. [1] L. Dyballa, S. Lang, A. Haslund-Gourley, E. Yemini and S. W. Zucker, "Learning dynamic
       representations of the functional connectome in neurobiological networks", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(5.0)
    >>> a = derivative_affinity(np.stack([t, 10 * t, -t], axis=1), smooth=0)
    >>> a.unit.values.tolist(), a.values[2].tolist()
    (['0|1', '0|2', '1|2'], [1.0, 0.0, 0.0])
    """
    owner = "derivative_affinity"
    check_number(smooth, name="smooth", owner=owner, low=0.0, include_low=True)
    check_choice(scale, _SCALES, name="scale", owner=owner)
    if not isinstance(activity, xr.DataArray):
        plain = np.asarray(activity)
        if plain.ndim != 2:
            raise ActivityError(
                f"{owner}: plain numbers must be (n_times, n_units); got shape {plain.shape}. "
                "Build an Activity for trials."
            )
        activity = make(plain)
    activity = ensure(activity, owner=owner)
    if not {"time", "unit"} <= set(activity.dims):
        raise ActivityError(
            f"{owner}: activity must have the dims time and unit; got {activity.dims}."
        )
    full = activity if "trial" in activity.dims else activity.expand_dims("trial")
    names = np.asarray(full["unit"].values) if "unit" in full.coords else np.arange(full.shape[2])
    first, second = _read_pairs(pairs, names, owner)
    n_trials, n_times, _ = full.shape
    check_memory(
        4.0 * n_trials * n_times * first.size,
        owner=owner,
        what=f"the affinities of {first.size} pairs",
        cure="Select units, name the pairs, or raise memory_limit.",
        limit=memory_limit,
    )
    valid = full.coords["valid"].values if "valid" in full.coords else None
    roots = signed_roots(full.values, smooth, scale == "rms", names, owner=owner, valid=valid)
    out = pair_affinity(roots, first, second)
    labels = [f"{names[i]}|{names[j]}" for i, j in zip(first, second, strict=True)]
    riders = {
        key: coord
        for key, coord in full.coords.items()
        if "unit" not in coord.dims and set(coord.dims) <= {"trial", "time"}
    }
    made = xr.DataArray(
        out, dims=("trial", "time", "unit"), coords=riders, name=activity.name
    ).assign_coords(
        unit=np.asarray(labels), first=("unit", names[first]), second=("unit", names[second])
    )
    made.attrs = {**activity.attrs, "kind": "feature", "units": "1"}
    return made if "trial" in activity.dims else made.isel(trial=0, drop=True)


def signed_roots(
    values: Array,
    smooth: float,
    scaled: bool,
    names: Array,
    *,
    owner: str,
    valid: Array | None = None,
) -> Array:
    """Return the square root of each derivative with the derivative's sign.

    The product of two of these, where it is positive, is the affinity of the pair.

    Parameters
    ----------
    values : ndarray, shape (n_trials, n_times, n_units)
        Traces; NaN throughout where a unit was not recorded in a trial.
    smooth : float
        Standard deviation of the Gaussian, in samples.
    scaled : bool
        Whether derivatives are divided by their root mean square.
    names : ndarray, shape (n_units,)
        Names of the units, for messages.
    owner : str
        Who asks, for messages.
    valid : ndarray of bool, shape (n_trials, n_times), optional
        Samples that hold data.

    Returns
    -------
    ndarray of float32, shape (n_trials, n_times, n_units)
        Signed roots; NaN where a unit was not recorded, and at samples that are not valid.

    Raises
    ------
    ActivityError
        If there are too few units or samples, values are missing within a trace, a trace is
        constant, or valid samples have gaps.
    """
    out = np.full(values.shape, np.nan, dtype=np.float32)
    if values.shape[2] < 2:
        raise ActivityError(f"{owner}: needs at least two units; got {values.shape[2]}.")
    for trial, traces in enumerate(values):
        rows = np.arange(len(traces)) if valid is None else np.flatnonzero(valid[trial])
        if rows.size < 3 or (np.diff(rows) != 1).any():
            raise ActivityError(
                f"{owner}: every trial must have three samples or more, without gaps; trial "
                f"{trial} has {rows.size}. Drop it, or cut it at its gaps."
            )
        part = traces[rows].astype(np.float64)
        there = np.flatnonzero(~np.isnan(part).all(axis=0))
        part = part[:, there]
        check_finite(
            part, owner=owner, axes=("sample", "recorded unit"), what=f"trial {trial}",
            cure="Interpolate it, or set the whole trace to NaN where the unit was not recorded.",
        )  # fmt: skip
        flat = np.flatnonzero(np.ptp(part, axis=0) <= 1e-12 * np.abs(part).max(axis=0))
        if flat.size:
            shown = ", ".join(str(names[there[k]]) for k in flat[:5])
            raise ActivityError(
                f"{owner}: every trace must vary; {flat.size} of {there.size} are constant in "
                f"trial {trial}, among them {shown}. Drop these units, or set them to NaN there."
            )
        if smooth:
            part = gaussian_filter1d(part, smooth, axis=0, mode="nearest")
        slope = np.gradient(part, axis=0)
        if scaled:
            size = np.sqrt(np.mean(slope**2, axis=0))
            slope /= np.where(size > 0, size, 1.0)
        out[trial, rows[:, np.newaxis], there] = np.sign(slope) * np.sqrt(np.abs(slope))
    return out


@kernel()
def pair_affinity(roots: Array, first: Array, second: Array) -> Array:
    """Return the affinities of pairs from signed roots.

    Parameters
    ----------
    roots : ndarray of float32, shape (n_trials, n_times, n_units)
        Signed roots of the derivatives.
    first, second : ndarray of int64, shape (n_pairs,)
        Units of each pair.

    Returns
    -------
    ndarray of float32, shape (n_trials, n_times, n_pairs)
        ``max(root_i root_j, 0)``, NaN where a root is.
    """
    n_trials, n_times, _ = roots.shape
    out = np.empty((n_trials, n_times, first.size), dtype=np.float32)
    for w in range(n_trials):
        for t in range(n_times):
            for k in range(first.size):
                value = roots[w, t, first[k]] * roots[w, t, second[k]]
                out[w, t, k] = np.float32(0.0) if value < 0 else value
    return out


def _read_pairs(
    pairs: Sequence[tuple[Any, Any]] | None, names: Array, owner: str
) -> tuple[Array, Array]:
    if pairs is None:
        first, second = np.triu_indices(names.size, 1)
        return first.astype(np.int64), second.astype(np.int64)
    place = {name: k for k, name in enumerate(names.tolist())}
    wanted = [tuple(pair) for pair in pairs]
    for pair in wanted:
        if len(pair) != 2 or pair[0] == pair[1] or any(name not in place for name in pair):
            raise ParameterError(
                f"{owner}: pairs must name two different units each; got {pair!r}. Units are "
                f"{', '.join(str(name) for name in itertools.islice(place, 5))} ..."
            )
    if not wanted:
        raise ParameterError(f"{owner}: pairs must name at least one pair; got none.")
    table = np.array([[place[a], place[b]] for a, b in wanted], dtype=np.int64)
    return table[:, 0], table[:, 1]
