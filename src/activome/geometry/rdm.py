"""Representational dissimilarity matrices (RDMs): how far apart conditions are held."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import DEFAULT_MEMORY_LIMIT, check_choice, check_finite
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError, ParameterError
from activome.geometry._dissimilarity import METRICS, dissimilarities
from activome.geometry.rdm_forms import RDM

__all__ = ["rdm", "rdm_movie"]

Array: TypeAlias = np.ndarray[Any, Any]


def rdm(
    patterns: ArrayLike | Activity,
    metric: str = "correlation",
    *,
    conditions: ArrayLike | str | None = None,
    noise_precision: ArrayLike | None = None,
    folds: ArrayLike | str | None = None,
    memory_limit: float = DEFAULT_MEMORY_LIMIT,
) -> RDM:
    """Compute the dissimilarity of every pair of conditions.

    Arrays give condensed arrays, in the order (0, 1), (0, 2), ... of ``scipy.spatial.distance``;
    an Activity gives a labelled one. Observations that share a condition are averaged first.

    Parameters
    ----------
    patterns : array-like of float, shape (..., n_conditions, n_units), or Activity
        Response of each unit to each condition. With ``conditions`` or ``folds`` the rows are
        observations, shape (..., n_observations, n_units). The crossnobis metric without
        ``folds`` reads (..., n_folds, n_conditions, n_units). Of an Activity the observations are
        the trials, or the times where there is no dim "trial".
    metric : {"correlation", "euclidean", "sqeuclidean", "cosine", "mahalanobis", "crossnobis"}
        Dissimilarity, default "correlation". The first five are those of
        ``scipy.spatial.distance.pdist``. Crossnobis is the cross-validated squared Mahalanobis
        distance divided by the number of units: its mean is 0 for equal conditions, so it may be
        negative.
    conditions : array-like, shape (n_observations,), or str, optional
        Condition of each observation; of an Activity also the name of a coordinate. Conditions
        stand in sorted order in the result. By default each row is a condition.
    noise_precision : array-like of float, shape (n_units, n_units), optional
        Inverse of the noise covariance, symmetric and positive semi-definite, for the metrics
        mahalanobis and crossnobis. By default the identity.
    folds : array-like, shape (n_observations,), or str, optional
        Independent part of the measurement (run, session) of each observation, for crossnobis.
        Folds need not hold every condition, but each condition needs two folds. Without
        ``conditions`` each fold must list the same conditions in the same order.
    memory_limit : float, default=2 GiB
        Bytes that the result and its Gram matrices may take.

    Returns
    -------
    ndarray of float64, shape (..., n_pairs), or xarray.DataArray
        Condensed dissimilarities, n_pairs = n_conditions (n_conditions - 1) / 2. Of an Activity:
        dim "pair" with coordinates "condition_a" and "condition_b", and attribute "metric".

    Raises
    ------
    ActivityError
        If there are fewer than 3 conditions, the patterns hold NaN or infinity, a pattern is
        constant (correlation) or zero (cosine), a condition was measured in one fold only, labels
        do not fit, or an Activity has both trials and times.
    ParameterError
        If the metric is unknown, or ``noise_precision`` or ``folds`` does not fit it.
    ResourceError
        If the result would take more than ``memory_limit``.

    See Also
    --------
    rdm_movie : One RDM per time.
    to_square : The result as a symmetric matrix.

    Notes
    -----
    One product of the patterns with their transpose and one pass over the pairs; pairs too close
    for the product are computed again from their difference. Crossnobis averages the products of
    all pairs of observations from different folds (which is leave-one-fold-out in a balanced
    design), in one product per fold.

    References
    ----------
    .. [1] N. Kriegeskorte, M. Mur and P. Bandettini, "Representational similarity analysis -
       connecting the branches of systems neuroscience", 2008.
    .. [2] A. Walther, H. Nili, N. Ejaz, A. Alink, N. Kriegeskorte and J. Diedrichsen,
       "Reliability of dissimilarity measures for multi-voxel pattern analysis", 2016.

    Examples
    --------
    >>> rdm([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], "euclidean").round(3).tolist()
    [5.0, 1.0, 4.243]
    >>> from activome.activity.schema import make
    >>> a = make([[0.0, 0.0], [0.0, 2.0], [3.0, 5.0], [0.0, 9.0]], ("trial", "unit"),
    ...          coords={"stimulus": ("trial", ["car", "car", "face", "tree"])})
    >>> d = rdm(a, "euclidean", conditions="stimulus")
    >>> list(zip(d.condition_a.values.tolist(), d.condition_b.values.tolist(), d.values.tolist()))
    [('car', 'face', 5.0), ('car', 'tree', 8.0), ('face', 'tree', 5.0)]
    """
    check_choice(metric, METRICS, name="metric", owner="rdm")
    if isinstance(patterns, xr.DataArray):
        activity = ensure(patterns, owner="rdm")
        if {"trial", "time"} <= set(activity.dims):
            raise ActivityError(
                "rdm: the activity must have trials or times, not both; got dims "
                f"{activity.dims}. Take rdm_movie for one RDM per time, or average first: "
                "rdm(activity.mean('time'), ...)."
            )
        return _of_activity(
            activity, metric, conditions, noise_precision, folds, memory_limit, owner="rdm"
        )
    if isinstance(conditions, str) or isinstance(folds, str):
        raise ParameterError(
            "rdm: conditions and folds name coordinates only for an Activity; for an array give "
            "one label per row."
        )
    values = _as_patterns(patterns, owner="rdm")
    labels = None if conditions is None else _labels(conditions, values, "conditions", "rdm")
    parts = None if folds is None else _labels(folds, values, "folds", "rdm")
    condensed, _ = dissimilarities(
        values, metric, labels, noise_precision, parts, memory_limit, owner="rdm"
    )
    return condensed


def rdm_movie(
    activity: Activity,
    conditions: ArrayLike | str,
    metric: str = "correlation",
    *,
    noise_precision: ArrayLike | None = None,
    folds: ArrayLike | str | None = None,
    memory_limit: float = DEFAULT_MEMORY_LIMIT,
) -> xr.DataArray:
    """Compute one RDM per time: how the distances between conditions unfold.

    Parameters
    ----------
    activity : xarray.DataArray
        Activity with dims (trial, time, unit).
    conditions : str or array-like, shape (n_trials,)
        Name of a coordinate of the trials, such as "stimulus", or one label per trial.
    metric : {"correlation", "euclidean", "sqeuclidean", "cosine", "mahalanobis", "crossnobis"}
        As in `rdm`, default "correlation".
    noise_precision : array-like of float, shape (n_units, n_units), optional
        As in `rdm`; one for all times.
    folds : str or array-like, shape (n_trials,), optional
        As in `rdm`.
    memory_limit : float, default=2 GiB
        Bytes that the result and its Gram matrices may take.

    Returns
    -------
    xarray.DataArray of float64, dims (time, pair)
        Coordinates "time" (s), "condition_a" and "condition_b".

    Raises
    ------
    ActivityError
        If a dim is missing, trials are ragged, or for the reasons of `rdm`.
    ParameterError
        For the reasons of `rdm`.
    ResourceError
        If the result would take more than ``memory_limit``.

    Notes
    -----
    One read of the activity for the averages, then one small product per time.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.activity.schema import make
    >>> values = np.zeros((3, 2, 2))
    >>> values[1, 1], values[2, 1] = (3.0, 4.0), (0.0, 1.0)
    >>> movie = rdm_movie(make(values), ["a", "b", "c"], "euclidean")
    >>> movie.dims, movie.values.round(3).tolist()
    (('time', 'pair'), [[0.0, 0.0, 0.0], [5.0, 1.0, 4.243]])
    """
    check_choice(metric, METRICS, name="metric", owner="rdm_movie")
    activity = ensure(activity, owner="rdm_movie")
    if activity.dims != ("trial", "time", "unit"):
        raise ActivityError(
            "rdm_movie: the activity must have the dims ('trial', 'time', 'unit'); "
            f"got {activity.dims}. Without trials or without times take rdm."
        )
    if "valid" in activity.coords and not bool(activity.coords["valid"].all()):
        raise ActivityError(
            "rdm_movie: trials must have one length; some samples are marked as not valid. "
            "Cut the activity to the times that all trials hold."
        )
    return _of_activity(
        activity, metric, conditions, noise_precision, folds, memory_limit, owner="rdm_movie"
    )


def _of_activity(
    activity: Activity,
    metric: str,
    conditions: ArrayLike | str | None,
    noise_precision: ArrayLike | None,
    folds: ArrayLike | str | None,
    memory_limit: float,
    *,
    owner: str,
) -> xr.DataArray:
    dim = "trial" if "trial" in activity.dims else "time"
    if not {dim, "unit"} <= set(activity.dims):
        raise ActivityError(
            f"{owner}: the activity must have units, and trials or times; got dims {activity.dims}."
        )
    movie = activity.ndim == 3
    values = np.asarray(activity.values)
    check_finite(values, owner=owner, axes=[str(axis) for axis in activity.dims])
    if values.dtype != np.float64:
        values = values.astype(np.float64)
    # (n_times, n_observations, n_units) is a view here; the averages bring it into order.
    stack = values.swapaxes(0, 1) if movie else values
    labels = activity.coords[dim].values
    if conditions is not None:
        labels = _named_labels(activity, dim, conditions, stack, "conditions", owner)
    parts = None if folds is None else _named_labels(activity, dim, folds, stack, "folds", owner)
    condensed, names = dissimilarities(
        stack, metric, labels, noise_precision, parts, memory_limit, owner=owner
    )
    first, second = np.triu_indices(len(names), 1)
    coords = {"condition_a": ("pair", names[first]), "condition_b": ("pair", names[second])}
    attrs = {"metric": metric, "source": activity.attrs.get("source", "memory")}
    labelled = xr.DataArray(
        condensed, dims=("time", "pair") if movie else ("pair",), coords=coords, attrs=attrs
    )
    return labelled.assign_coords(time=activity.coords["time"]) if movie else labelled


def _named_labels(
    activity: Activity, dim: str, labels: ArrayLike | str, values: Array, name: str, owner: str
) -> Array:
    if not isinstance(labels, str):
        return _labels(labels, values, name, owner)
    known = [str(key) for key, coord in activity.coords.items() if coord.dims == (dim,)]
    check_choice(labels, known, name=f"coordinate of {dim} for {name}", owner=owner)
    named: Array = activity.coords[labels].values
    return named


def _as_patterns(patterns: ArrayLike, *, owner: str) -> Array:
    values = np.asarray(patterns)
    if values.ndim < 2 or values.dtype.kind not in "biuf":
        raise ActivityError(
            f"{owner}: patterns must be real numbers of shape (..., n_conditions, n_units); got "
            f"{values.dtype} of shape {values.shape}."
        )
    axes = [f"axis {k}" for k in range(values.ndim - 2)]
    check_finite(values, owner=owner, axes=[*axes, "row", "unit"], what="patterns")
    return values.astype(np.float64, copy=False)


def _labels(labels: ArrayLike, values: Array, name: str, owner: str) -> Array:
    array = np.asarray(labels)
    if array.shape != (values.shape[-2],):
        raise ActivityError(
            f"{owner}: {name} must hold one label for each of the {values.shape[-2]} observations; "
            f"got shape {array.shape}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ActivityError(f"{owner}: {name} must not hold NaN. Drop these observations first.")
    return array
