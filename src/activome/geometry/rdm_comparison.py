"""Comparing RDMs, and how well any model could do given the noise: the noise ceiling."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_finite
from activome.errors import ActivityError
from activome.geometry._rdm_kernels import average_ranks, concordance

__all__ = ["COMPARISONS", "NoiseCeiling", "compare_rdms", "noise_ceiling", "rank_rdms"]

Array: TypeAlias = np.ndarray[Any, Any]

COMPARISONS = ("pearson", "spearman", "rho-a", "kendall-a", "cosine")
# Rows taken at a time: they stay in the cache between one pass and the next.
_BLOCK = 4
# Below this share of the sum of squares, the spread around the mean is computed from differences.
_CANCELLATION = 1e-2


class NoiseCeiling(NamedTuple):
    """How well a model could do, given how much subjects agree.

    Attributes
    ----------
    lower : float
        Mean similarity of each subject to the mean of the others: a model should reach it.
    upper : float
        Mean similarity of each subject to the mean of all: a model can hardly pass it.
    """

    lower: float
    upper: float


def compare_rdms(
    a: ArrayLike | xr.DataArray, b: ArrayLike | xr.DataArray, method: str = "pearson"
) -> Any:
    """Compute the similarity of every RDM of one set with every RDM of another.

    Parameters
    ----------
    a, b : array-like of float, shape (n_a, n_pairs) and (n_b, n_pairs), or one RDM (n_pairs,)
        Condensed dissimilarities of the same conditions. Labelled ones, as `rdm` gives for an
        Activity, must hold the same conditions in the same order.
    method : {"pearson", "spearman", "rho-a", "kendall-a", "cosine"}, default="pearson"
        Rho-a and kendall-a are the rank correlations to take where a model has ties: a tie counts
        as no agreement, so that a model gains nothing by leaving pairs open.

    Returns
    -------
    ndarray of float64, shape (n_a, n_b), or xarray.DataArray
        Similarities; the axis of a single RDM is left out, and two single RDMs give a float. Of
        two labelled sets of RDMs: the dims of both, that of ``b`` with "_b" where the names agree.

    Raises
    ------
    ActivityError
        If shapes or conditions do not fit, values are not finite, there are fewer than 3 pairs, or
        an RDM is constant (zero for cosine) where the method divides by its spread.
    ParameterError
        If the method is unknown.

    Notes
    -----
    Each RDM is ranked once per call. To rank once over many calls, keep `rank_rdms` of the RDMs
    and take "pearson" of the ranks, which is Spearman's. Kendall's tau-a is exact, O(n log n).

    References
    ----------
    .. [1] H. Nili, C. Wingfield, A. Walther, L. Su, W. Marslen-Wilson and N. Kriegeskorte, "A
       toolbox for representational similarity analysis", 2014.
    .. [2] H. H. Schutt, A. D. Kipnis, J. Diedrichsen and N. Kriegeskorte, "Statistical inference
       on representational geometries", 2023.

    Examples
    --------
    >>> compare_rdms([1.0, 2.0, 4.0], [[1.0, 2.0, 3.0], [4.0, 2.0, 1.0]], "kendall-a").tolist()
    [1.0, -1.0]
    """
    check_choice(method, COMPARISONS, name="method", owner="compare_rdms")
    _check_same_conditions(a, b)
    first, second = _rows(a, "a"), _rows(b, "b", is_checked=method != "kendall-a")
    if first.shape[-1] != second.shape[-1]:
        raise ActivityError(
            "compare_rdms: RDMs must have the same number of pairs; got "
            f"{first.shape[-1]} and {second.shape[-1]}."
        )
    similarities = _kendall if method == "kendall-a" else _products
    result = similarities(first, second, method)
    shape = (*_lead(a), *_lead(b))
    if not (isinstance(a, xr.DataArray) and isinstance(b, xr.DataArray)):
        return result.reshape(shape) if shape else float(result[0, 0])
    dims = [str(dim) for dim in a.dims if dim != "pair"]
    dims += [f"{dim}_b" if dim in dims else str(dim) for dim in b.dims if dim != "pair"]
    return xr.DataArray(result.reshape(shape), dims=dims, attrs={"method": method})


def rank_rdms(rdms: ArrayLike) -> Array:
    """Rank the dissimilarities of each RDM, ties sharing their mean rank.

    Parameters
    ----------
    rdms : array-like of float, shape (..., n_pairs)
        Condensed dissimilarities.

    Returns
    -------
    ndarray of float64, shape (..., n_pairs)
        Ranks from 1 to n_pairs, each RDM by itself.

    Raises
    ------
    ActivityError
        If a value is not finite, or there are no pairs.

    Examples
    --------
    >>> rank_rdms([0.5, 0.1, 0.5, 0.9]).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    values = np.asarray(rdms, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ActivityError(
            f"rank_rdms: RDMs must have shape (..., n_pairs) with pairs; got {values.shape}."
        )
    axes = [*(f"axis {k}" for k in range(values.ndim - 1)), "pair"]
    check_finite(values, owner="rank_rdms", axes=axes, what="RDMs")
    flat = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
    ranks = np.empty_like(flat)
    for row, out in zip(flat, ranks, strict=True):
        average_ranks(row, np.argsort(row), out)
    return ranks.reshape(values.shape)


def noise_ceiling(
    rdms: ArrayLike, method: str = "pearson", *, subject: ArrayLike | None = None
) -> NoiseCeiling:
    """Estimate the range in which the true model's mean similarity to the subjects lies.

    Each subject is compared with the mean RDM of the others (lower bound, as a model from other
    data would be) and with the mean of all including itself (upper bound: fitted to the noise).

    Parameters
    ----------
    rdms : array-like of float, shape (n_rdms, n_pairs)
        RDMs of several subjects over the same conditions.
    method : {"pearson", "spearman", "rho-a", "kendall-a", "cosine"}, default="pearson"
        Similarity, as in `compare_rdms`. RDMs are averaged in the form that fits it: standardised,
        scaled to unit length, or ranked. For kendall-a the mean of ranks is an approximation of
        the best RDM, so that its upper bound may be passed slightly.
    subject : array-like, shape (n_rdms,), optional
        Subject of each RDM; the RDMs of one (such as its sessions) are left out together and count
        as one. By default each RDM is a subject.

    Returns
    -------
    NoiseCeiling
        Named tuple (lower, upper).

    Raises
    ------
    ActivityError
        If there are fewer than two subjects, labels do not fit, or for the reasons of
        `compare_rdms`.
    ParameterError
        If the method is unknown.

    References
    ----------
    .. [1] H. Nili, C. Wingfield, A. Walther, L. Su, W. Marslen-Wilson and N. Kriegeskorte, "A
       toolbox for representational similarity analysis", 2014.

    Examples
    --------
    >>> ceiling = noise_ceiling([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [1.0, 3.0, 4.0]])
    >>> [round(bound, 3) for bound in ceiling]
    [0.973, 0.988]
    """
    check_choice(method, COMPARISONS, name="method", owner="noise_ceiling")
    values = _rows(rdms, "rdms", owner="noise_ceiling")
    labels = np.arange(len(values)) if subject is None else np.asarray(subject)
    if labels.shape != (len(values),):
        raise ActivityError(
            f"noise_ceiling: subject must hold one label for each of the {len(values)} RDMs; got "
            f"shape {labels.shape}."
        )
    names, codes = np.unique(labels, return_inverse=True)
    if names.size < 2:
        raise ActivityError(
            f"noise_ceiling: needs at least two subjects; got {names.size}. One subject says "
            "nothing about agreement."
        )
    poolable = _poolable(values, method)
    total = poolable.sum(axis=0)
    whole = (total / len(values))[None]
    lower, upper = [], []
    for code in range(names.size):
        own = codes == code
        others = (total - poolable[own].sum(axis=0)) / np.count_nonzero(~own)
        lower.append(np.mean(compare_rdms(others[None], values[own], method)))
        upper.append(np.mean(compare_rdms(whole, values[own], method)))
    return NoiseCeiling(float(np.mean(lower)), float(np.mean(upper)))


def _poolable(values: Array, method: str) -> Array:
    if method not in ("cosine", "pearson"):
        return rank_rdms(values)
    means = values.mean(axis=1) if method == "pearson" else np.zeros(len(values))
    what = "constant" if method == "pearson" else "zero"
    centred = values - means[:, None]
    scaled: Array = centred / _spread(centred, means, "noise_ceiling", what)[:, None]
    return scaled


def _check_same_conditions(a: Any, b: Any) -> None:
    if not (isinstance(a, xr.DataArray) and isinstance(b, xr.DataArray)):
        return
    for name in ("condition_a", "condition_b"):
        known = name in a.coords and name in b.coords
        if known and not np.array_equal(a.coords[name].values, b.coords[name].values):
            raise ActivityError(
                "compare_rdms: the RDMs must hold the same conditions in the same order; "
                f"{name} differs. Select the conditions that both hold."
            )


def _lead(rdms: Any) -> tuple[int, ...]:
    if isinstance(rdms, xr.DataArray):
        return tuple(size for dim, size in rdms.sizes.items() if dim != "pair")
    return tuple(np.shape(rdms)[:-1])


def _rows(rdms: Any, name: str, owner: str = "compare_rdms", *, is_checked: bool = False) -> Array:
    """Return RDMs as rows; ``is_checked`` where whoever reads the values checks them."""
    if isinstance(rdms, xr.DataArray):
        if "pair" not in rdms.dims:
            raise ActivityError(f"{owner}: {name} must have the dim 'pair'; got {rdms.dims}.")
        rdms = rdms.transpose(..., "pair").values
    values = np.asarray(rdms)
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        raise ActivityError(
            f"{owner}: {name} must be condensed RDMs of shape (n_rdms, n_pairs) or (n_pairs,); got "
            f"{values.dtype} of shape {values.shape}. Turn square ones into this form with "
            "to_condensed."
        )
    values = np.ascontiguousarray(np.atleast_2d(values), dtype=np.float64)
    if values.shape[1] < 3 or len(values) == 0:
        raise ActivityError(
            f"{owner}: {name} must hold RDMs of at least 3 pairs; got shape {values.shape}."
        )
    if not is_checked:
        check_finite(values, owner=owner, axes=("RDM", "pair"), what=name)
    return values


def _spread(rows: Array, means: Array | float, owner: str, what: str) -> Array:
    """Return the norm of each row, from which its mean was taken off."""
    norms: Array = np.sqrt(np.vecdot(rows, rows))
    _check_spread(norms, means, rows.shape[1], owner, what)
    return norms


def _check_spread(norms: Array, means: Array | float, n: int, owner: str, what: str) -> None:
    # What is left of a constant row after its mean is taken off is rounding.
    flat = norms <= 8 * np.finfo(np.float64).eps * np.sqrt(n) * np.abs(means)
    if flat.any():
        raise ActivityError(
            f"{owner}: an RDM must not be {what}; RDM {int(np.argmax(flat))} of {flat.size} is. "
            "It orders nothing: leave it out."
        )


def _products(first: Array, second: Array, method: str) -> Array:
    ranked, centred = method in ("spearman", "rho-a"), method != "cosine"
    left = rank_rdms(first) if ranked else first
    means = left.mean(axis=1) if centred else np.zeros(len(left))
    left = left - means[:, None] if centred else left
    result = np.empty((len(first), len(second)))
    norms, shifts = np.empty(len(second)), np.empty(len(second))
    for start in range(0, len(second), _BLOCK):
        block = slice(start, start + _BLOCK)
        right = rank_rdms(second[block]) if ranked else second[block]
        result[:, block], norms[block], shifts[block] = _block_products(left, right, centred)
    n_pairs = first.shape[1]
    if method == "rho-a":
        # The denominator of ranks without ties: a tie then counts as no agreement.
        result *= 12.0 / (float(n_pairs) ** 3 - n_pairs)
        return result
    what = "constant" if centred else "zero"
    _check_spread(norms, shifts, n_pairs, "compare_rdms", what)
    result /= _spread(left, means, "compare_rdms", what)[:, None] * norms
    return np.clip(result, -1.0, 1.0, out=result)


def _block_products(left: Array, right: Array, centred: bool) -> tuple[Array, Array, Array]:
    """Return products, norms and means of the right side, its means taken off if ``centred``."""
    squares = np.vecdot(right, right)
    if not np.isfinite(squares).all():
        check_finite(right, owner="compare_rdms", axes=("RDM", "pair"), what="b")
    if not centred:
        return left @ right.T, np.sqrt(squares), np.zeros(len(right))
    means = right.mean(axis=1)
    spread = squares - right.shape[1] * means**2
    if (spread > _CANCELLATION * squares).all():
        # The left side is centred, so the right side need not be: one read and no copy.
        return left @ right.T, np.sqrt(spread), means
    right = right - means[:, None]
    return left @ right.T, np.sqrt(np.vecdot(right, right)), means


def _kendall(first: Array, second: Array, method: str) -> Array:
    n_pairs = first.shape[1]
    result = np.empty((len(first), len(second)))
    left = [_dense(row) for row in first]
    for j, row in enumerate(second):
        dense, order = _dense(row)
        for i, (group, _) in enumerate(left):
            result[i, j] = concordance(group, np.bincount(group), order, dense)
    tau: Array = result / (0.5 * n_pairs * (n_pairs - 1.0))
    return tau


def _dense(row: Array) -> tuple[Array, Array]:
    """Return dense ranks from 0, and the order."""
    order = np.argsort(row)
    ordered = row[order]
    dense = np.empty(row.size, dtype=np.int64)
    dense[order] = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
    return dense, order
