"""Overlap of codes: how much of the activity of two codes is common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from activome._checks import check_finite, check_number
from activome.errors import ActivityError
from activome.patterns._overlap import (
    distinct_rows,
    is_sparse,
    overlap_with,
    refuse_negative,
    row_sums,
    signed_parts,
)

__all__ = ["SIMILARITIES", "duplicate_rows", "generalized_jaccard"]

Array = np.ndarray[Any, Any]
_LARGE = 1e120  # squares of larger numbers, summed, may leave the range


def generalized_jaccard(codes: Any, prototype: Any) -> Array:
    """Return the generalised Jaccard index of each row with a prototype.

    ``sum_k min(z_k, t_k) / sum_k max(z_k, t_k)``: 1 for equal codes, 0 for codes that share no
    active place. It is the index of sets for codes of 0 and 1, and counts how much of the activity
    of two codes is common; 0/0 is 0.

    Parameters
    ----------
    codes : sparse matrix or array-like of float, shape (n_samples, n_units)
        Codes, at least 0.
    prototype : sparse matrix or array-like of float, shape (n_units,) or (1, n_units)
        What they are compared with, at least 0.

    Returns
    -------
    ndarray of float64, shape (n_samples,)
        In [0, 1].

    Raises
    ------
    ActivityError
        If a value is negative or not finite, or the shapes differ.

    Notes
    -----
    One read of the values that are stored: the sum of the larger values is that of both less the
    overlap. With the Bray-Curtis dissimilarity BC the index is (1 - BC) / (1 + BC).

    References
    ----------
    .. [1] M. Ruzicka, "Anwendung mathematisch-statistischer Methoden in der Geobotanik", 1958.

    Examples
    --------
    >>> generalized_jaccard([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [2.0, 2.0, 0.0]).tolist()
    [0.75, 0.0]
    """
    owner = "generalized_jaccard"
    rows = _table(codes, owner)
    vector = prototype.toarray() if is_sparse(prototype) else np.asarray(prototype)
    vector = vector.astype(np.float64).reshape(-1)
    if np.shape(prototype) not in ((rows.shape[1],), (1, rows.shape[1])):
        raise ActivityError(
            f"{owner}: the prototype must have the {rows.shape[1]} units of the codes; got shape "
            f"{np.shape(prototype)}."
        )
    check_finite(vector, owner=owner, axes=("unit",), what="the prototype")
    refuse_negative(rows, owner)
    refuse_negative(vector, owner)
    return _jaccard(rows, vector)


def duplicate_rows(codes: Any, threshold: float = 1.0) -> Array:
    """Find the rows that repeat an earlier one, or nearly do.

    Parameters
    ----------
    codes : sparse matrix or array-like of float, shape (n_samples, n_units)
        Such as the counts of words of texts, or codes; negative values are compared apart from
        positive ones.
    threshold : float in (0, 1], default=1.0
        Generalised Jaccard index from which two rows are taken for one; 1 for equal rows.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        For each row the most similar of the earlier rows that are kept, where its index reaches the
        threshold; else the row itself. ``numpy.unique`` of it are the rows to keep.

    Raises
    ------
    ActivityError
        If the codes are not a table of finite numbers.
    ParameterError
        If the threshold is not in (0, 1].

    Notes
    -----
    A row meets only the kept rows with which it shares a place. That is O(n_samples^2) in the worst
    case, of places that all rows share, and close to linear for rare ones.

    Examples
    --------
    >>> duplicate_rows([[1.0, 2.0], [0.0, 2.0], [1.0, 2.0], [1.0, 1.9]], 0.95).tolist()
    [0, 1, 0, 0]
    """
    owner = "duplicate_rows"
    check_number(threshold, name="threshold", owner=owner, low=0.0, high=1.0, include_high=True)
    rows = signed_parts(_table(codes, owner))
    return distinct_rows(rows, threshold, rows.shape[0])


def _table(codes: Any, owner: str) -> Any:
    if is_sparse(codes):
        rows: Any = sparse.csr_array(codes)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
    else:
        rows = np.asarray(codes)
    if rows.dtype.kind in "iub":
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or rows.dtype.kind != "f":
        raise ActivityError(
            f"{owner}: codes must be numbers of shape (n_samples, n_units); got {rows.dtype} of "
            f"shape {rows.shape}."
        )
    is_stored = is_sparse(rows)
    axes = ("entry",) if is_stored else ("sample", "unit")
    check_finite(rows.data if is_stored else rows, owner=owner, axes=axes, what="codes")
    return rows


def _jaccard(values: Any, vector: Array) -> Array:
    values, vector, _ = _tamed(values, vector)
    overlap, totals = overlap_with(values, vector)
    union = totals + vector.sum() - overlap
    # Rounding of the three sums may leave a little more than the whole.
    share: Array = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return np.minimum(share, 1.0)


def _cosine(values: Any, vector: Array) -> Array:
    values, vector, _ = _tamed(values, vector)
    norms = np.sqrt(_square_sums(values)) * np.linalg.norm(vector)
    product = np.asarray(values @ vector).ravel()
    share: Array = np.divide(product, norms, out=np.zeros_like(norms), where=norms > 0)
    return np.clip(share, -1.0, 1.0)


def _euclidean(values: Any, vector: Array) -> Array:
    values, vector, scale = _tamed(values, vector)
    if not is_sparse(values):
        return -scale * np.sqrt(_square_sums(values - vector))
    # Only what is stored differs from the distance to zero.
    near = vector[values.indices]
    change = np.square(values.data - near) - np.square(near)
    square = row_sums(values, change) + np.square(vector).sum()
    distance: Array = scale * np.sqrt(np.maximum(square, 0.0))
    return -distance


def _square_sums(values: Any) -> Array:
    if is_sparse(values):
        return row_sums(values, np.square(values.data, dtype=np.float64))
    return np.asarray(np.einsum("ij,ij->i", values, values, dtype=np.float64))


def _tamed(values: Any, vector: Array) -> tuple[Any, Array, float]:
    """Return both in a scale in which sums and squares stay in range, and that scale."""
    stored: Any = values.data if is_sparse(values) else values
    peak = max(float(np.abs(part).max(initial=0.0)) for part in (stored, vector))
    if peak == 0.0 or 1.0 / _LARGE < peak < _LARGE:
        return values, vector, 1.0
    return values.astype(np.float64) / peak, vector / peak, peak


SIMILARITIES: dict[str, Callable[[Any, Array], Array]] = {
    "jaccard": _jaccard,
    "cosine": _cosine,
    "euclidean": _euclidean,
}
