"""Dissimilarities of arrays of patterns: averages, metrics, and cross-validation over folds."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_memory
from activome.errors import ActivityError, ParameterError
from activome.geometry._rdm_kernels import group_sums, squared_distances

__all__ = ["METRICS", "dissimilarities"]

Array: TypeAlias = np.ndarray[Any, Any]

METRICS = ("correlation", "euclidean", "sqeuclidean", "cosine", "mahalanobis", "crossnobis")
_MIN_CONDITIONS = 3
# Sums of squares outside this range overflow or lose digits.
_SAFE = 1e200


def dissimilarities(
    values: Array,
    metric: str,
    conditions: Array | None,
    noise_precision: ArrayLike | None,
    folds: Array | None,
    memory_limit: float,
    *,
    owner: str,
) -> tuple[Array, Array]:
    """Compute condensed dissimilarities of checked patterns.

    Parameters
    ----------
    values : ndarray of float64, shape (..., n_observations, n_units)
        Finite observations, or (..., n_folds, n_conditions, n_units) for crossnobis without folds.
    metric : str
        One of `METRICS`.
    conditions : ndarray, shape (n_observations,), or None
        Condition of each observation; by default each row is one.
    noise_precision : array-like of float, shape (n_units, n_units), or None
        Inverse of the noise covariance.
    folds : ndarray, shape (n_observations,), or None
        Fold of each observation.
    memory_limit : float
        Bytes that the result and its Gram matrices may take.
    owner : str
        Who asks, for messages.

    Returns
    -------
    ndarray of float64, shape (..., n_pairs)
        Condensed dissimilarities.
    ndarray, shape (n_conditions,)
        Names of the conditions, in order.

    Raises
    ------
    ActivityError
        If conditions are too few, or flat where the metric needs a direction.
    ParameterError
        If folds or precision do not fit the metric.
    """
    if metric == "crossnobis":
        sums, counts, names = _fold_sums(values, conditions, folds, owner)
    elif folds is not None:
        raise ParameterError(f"{owner}: folds serve the metric 'crossnobis'; got {metric!r}.")
    else:
        sums, names = _averages(values, conditions)
    n_conditions, n_units = len(names), values.shape[-1]
    if n_conditions < _MIN_CONDITIONS or n_units == 0:
        raise ActivityError(
            f"{owner}: an RDM needs at least {_MIN_CONDITIONS} conditions and one unit; got "
            f"{n_conditions} and {n_units}."
        )
    n_stack = int(np.prod(sums.shape[: -3 if metric == "crossnobis" else -2]))
    check_memory(
        n_stack * 12.0 * n_conditions**2,
        owner=owner,
        what=f"{n_stack} RDMs of {n_conditions} conditions",
        cure="Take fewer conditions or pieces of the stack, or raise memory_limit.",
        limit=memory_limit,
    )
    factor = _noise_factor(noise_precision, metric, n_units, owner)
    if factor is not None:
        sums = sums @ factor
    if metric == "crossnobis":
        return _crossnobis(sums, counts, n_units), names
    return _condensed(sums, metric, names, owner), names


def _averages(values: Array, conditions: Array | None) -> tuple[Array, Array]:
    if conditions is None:
        return values, np.arange(values.shape[-2])
    names, codes, counts = np.unique(conditions, return_inverse=True, return_counts=True)
    if names.size == values.shape[-2]:
        return values[..., np.argsort(codes), :], names
    return _grouped(values, codes, names.size) / counts[:, None], names


def _grouped(values: Array, codes: Array, n_groups: int) -> Array:
    """Sum the rows of each group: (..., n_observations, n_units) to (..., n_groups, n_units)."""
    lead = values.shape[:-2]
    n_rows, n_units = values.shape[-2:]
    sums = np.zeros((int(np.prod(lead)), n_groups, n_units))
    # Observations lead in memory for an Activity, so that this is a view and one read.
    rows = values.reshape(-1, n_rows, n_units).swapaxes(0, 1)
    group_sums(rows, np.asarray(codes, dtype=np.int64), sums)
    grouped: Array = sums.reshape(*lead, n_groups, n_units)
    return grouped


def _condensed(patterns: Array, metric: str, names: Array, owner: str) -> Array:
    lead, n_conditions = patterns.shape[:-2], patterns.shape[-2]
    stack = patterns.reshape(-1, *patterns.shape[-2:])
    # The distances do not change, and products of centred patterns keep more digits.
    axis = {"correlation": -1, "cosine": None}.get(metric, -2)
    centre = np.zeros((1, 1, 1)) if axis is None else stack.mean(axis=axis, keepdims=True)
    centred = stack if axis is None else stack - centre
    centred, gram, size = _products(centred)
    scales = np.ones(stack.shape[:2])
    directional = axis != -2
    if directional:
        norms = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
        _check_directions(norms, centre[..., 0] / size, stack.shape[-1], metric, names, owner)
        scales = 1.0 / norms
    out = np.empty((len(stack), n_conditions * (n_conditions - 1) // 2))
    squared_distances(gram, centred, scales, out)
    if directional:
        out *= 0.5
    elif metric == "sqeuclidean":
        out *= size * size
    else:
        np.sqrt(out, out=out)
        out *= size
    condensed: Array = out.reshape(*lead, -1)
    return condensed


def _products(stack: Array) -> tuple[Array, Array, float]:
    """Return patterns, their products, and the power of two the patterns were divided by."""
    with np.errstate(over="ignore", invalid="ignore"):
        gram = stack @ stack.swapaxes(-1, -2)
    squares = np.diagonal(gram, axis1=-2, axis2=-1)
    if squares.size == 0 or 1 / _SAFE < squares.max() < _SAFE:
        return stack, gram, 1.0
    peak = float(np.abs(stack).max())
    if peak == 0:
        return stack, gram, 1.0
    size = float(2.0 ** np.frexp(peak)[1])
    stack = stack / size
    return stack, stack @ stack.swapaxes(-1, -2), size


def _check_directions(
    norms: Array, means: Array, n_units: int, metric: str, names: Array, owner: str
) -> None:
    # What is left of a constant pattern after its mean is taken off is rounding.
    flat = norms <= 8 * np.finfo(np.float64).eps * np.sqrt(n_units) * np.abs(means)
    if flat.any():
        what = "constant" if metric == "correlation" else "zero"
        bad = names[np.flatnonzero(flat.any(axis=0))[0]].item()
        raise ActivityError(
            f"{owner}: the {metric} metric needs patterns that are not {what}; {flat.sum()} of "
            f"{flat.size} patterns are, the first of condition {bad!r}. Drop these conditions, or "
            "take the metric 'euclidean'."
        )


def _noise_factor(
    noise_precision: ArrayLike | None, metric: str, n_units: int, owner: str
) -> Array | None:
    """Return F with F F' = precision, so that patterns @ F have white noise."""
    if noise_precision is None:
        return None
    if metric not in ("mahalanobis", "crossnobis"):
        raise ParameterError(
            f"{owner}: noise_precision serves the metrics 'mahalanobis' and 'crossnobis'; "
            f"got {metric!r}."
        )
    precision = np.asarray(noise_precision, dtype=np.float64)
    if precision.shape != (n_units, n_units) or not np.isfinite(precision).all():
        raise ParameterError(
            f"{owner}: noise_precision must be finite, of shape ({n_units}, {n_units}); got shape "
            f"{precision.shape}."
        )
    peak = np.abs(precision).max()
    if np.abs(precision - precision.T).max() > 1e-8 * peak:
        raise ParameterError(f"{owner}: noise_precision must be symmetric.")
    values, vectors = np.linalg.eigh(0.5 * (precision + precision.T))
    if values[0] < -1e-10 * max(values[-1], 0.0) or values[-1] <= 0:
        raise ParameterError(
            f"{owner}: noise_precision must be positive semi-definite; its smallest eigenvalue is "
            f"{values[0]:.3g}. Invert a regularised covariance, such as sklearn's LedoitWolf."
        )
    factor: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return factor


def _fold_sums(
    values: Array, conditions: Array | None, folds: Array | None, owner: str
) -> tuple[Array, Array, Array]:
    """Return sums (..., n_folds, n_conditions, n_units), counts and names for crossnobis."""
    if folds is None:
        if conditions is not None or values.ndim < 3:
            raise ParameterError(
                f"{owner}: the metric 'crossnobis' needs folds: one label per observation, or "
                "patterns of shape (..., n_folds, n_conditions, n_units)."
            )
        counts = np.ones(values.shape[-3:-1])
        return (
            values,
            _checked(counts, np.arange(values.shape[-2]), owner),
            np.arange(values.shape[-2]),
        )
    fold_names, fold_codes = np.unique(folds, return_inverse=True)
    if conditions is None:
        conditions = _positions(fold_codes, owner)
    names, codes = np.unique(conditions, return_inverse=True)
    joint = fold_codes * names.size + codes
    shape = (fold_names.size, names.size)
    counts = np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    _checked(counts, names, owner)
    sums = _grouped(values, joint, counts.size)
    return sums.reshape(*values.shape[:-2], *shape, values.shape[-1]), counts, names


def _positions(fold_codes: Array, owner: str) -> Array:
    sizes = np.bincount(fold_codes)
    if (sizes != sizes[0]).any():
        raise ActivityError(
            f"{owner}: without conditions each fold must hold the same number of rows; got "
            f"{sizes.min()} to {sizes.max()}. Give the condition of each observation."
        )
    positions = np.empty(fold_codes.size, dtype=np.int64)
    for code in range(sizes.size):
        positions[fold_codes == code] = np.arange(sizes[0])
    return positions


def _checked(counts: Array, names: Array, owner: str) -> Array:
    n_folds = (counts > 0).sum(axis=0)
    if (n_folds < 2).any():
        bad = np.flatnonzero(n_folds < 2)
        raise ActivityError(
            f"{owner}: each condition must be measured in at least two folds; {bad.size} of "
            f"{names.size} are not, the first is {names[bad[0]].item()!r}. Drop these conditions."
        )
    return counts


def _crossnobis(sums: Array, counts: Array, n_units: int) -> Array:
    # All pairs of observations, less those of one fold, leave the pairs of different folds.
    total = sums.sum(axis=-3)
    products = total @ total.swapaxes(-1, -2)
    for fold in range(sums.shape[-3]):
        part = sums[..., fold, :, :]
        products -= part @ part.swapaxes(-1, -2)
    overall = counts.sum(axis=0)
    similarity = products / (np.outer(overall, overall) - counts.T @ counts) / n_units
    own = np.diagonal(similarity, axis1=-2, axis2=-1)
    first, second = np.triu_indices(similarity.shape[-1], 1)
    result: Array = own[..., first] + own[..., second] - 2 * similarity[..., first, second]
    return result
