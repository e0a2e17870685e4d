"""Matching: which part, state or cluster of one solution is which of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from activome._checks import check_choice, check_finite
from activome.errors import ActivityError

__all__ = ["Matching", "match_labels", "match_matrix", "match_rows", "row_similarity"]

Array = np.ndarray[Any, Any]
SIMILARITIES = ("cosine", "abs_cosine", "correlation", "abs_correlation")


@dataclass(frozen=True)
class Matching:
    """A one-to-one assignment of rows to columns.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_pairs,)
        Matched rows, increasing; ``n_pairs`` is the smaller of the two numbers.
    columns : ndarray of int64, shape (n_pairs,)
        The column of each matched row.
    values : ndarray of float64, shape (n_pairs,)
        Similarity, overlap or cost of each pair.
    """

    rows: Array
    columns: Array
    values: Array

    @property
    def mean(self) -> float:
        """Return the mean value over the pairs."""
        return float(self.values.mean())


def match_matrix(table: ArrayLike, *, maximize: bool = True) -> Matching:
    """Pair rows with columns so that the sum of the chosen cells is the best possible.

    The Hungarian assignment [1]_ on any table: similarities of factors or overlaps of labels to be
    made large, or errors of trajectories to be made small.

    Parameters
    ----------
    table : array-like of float, shape (n_rows, n_columns)
        Value of every pair, all finite.
    maximize : bool, default=True
        Whether large values are good; False for costs.

    Returns
    -------
    Matching
        One pair for each row or column of the shorter side.

    Raises
    ------
    ActivityError
        If the table is not two-dimensional, is empty, or holds NaN or infinity.

    Notes
    -----
    Cost is cubic in the longer side.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", 1955.

    Examples
    --------
    >>> match = match_matrix([[1.0, 9.0, 2.0], [8.0, 7.0, 3.0]])
    >>> match.columns.tolist(), match.values.tolist()
    ([1, 0], [9.0, 8.0])
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ActivityError(
            f"match_matrix: the table must be (n_rows, n_columns), at least 1 x 1; got shape "
            f"{values.shape}."
        )
    check_finite(values, owner="match_matrix", axes=("row", "column"), what="the table")
    rows, columns = linear_sum_assignment(values, maximize=maximize)
    return Matching(rows, columns, values[rows, columns])


def row_similarity(a: ArrayLike, b: ArrayLike, *, similarity: str = "cosine") -> Array:
    """Return the similarity of every row of one array with every row of another.

    Parameters
    ----------
    a, b : array-like of float, shape (n_rows, n_units) and (n_other_rows, n_units)
        Factors, templates or mean patterns.
    similarity : {"cosine", "abs_cosine", "correlation", "abs_correlation"}, default="cosine"
        Correlation centres each row first; "abs" ignores the sign, for methods that leave it open.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_other_rows)
        Values in [-1, 1]; 0 for a row without length (all zero, or constant for correlation).

    Raises
    ------
    ActivityError
        If the arrays are not two-dimensional, differ in units, are empty, or are not finite.
    ParameterError
        If ``similarity`` is unknown.

    Examples
    --------
    >>> row_similarity([[1.0, 0.0]], [[0.0, 2.0], [-3.0, 0.0]]).tolist()
    [[0.0, -1.0]]
    """
    check_choice(similarity, SIMILARITIES, name="similarity", owner="row_similarity")
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ActivityError(
            "row_similarity: both arrays must be two-dimensional with the same units; got shapes "
            f"{first.shape} and {second.shape}."
        )
    if first.size == 0 or second.size == 0:
        raise ActivityError(
            f"row_similarity: there must be rows and units; got {first.shape} and {second.shape}."
        )
    for values in (first, second):
        check_finite(values, owner="row_similarity", axes=("row", "unit"), what="rows")
    is_centred = similarity.endswith("correlation")
    table = _directions(first, is_centred) @ _directions(second, is_centred).T
    table = np.clip(table, -1.0, 1.0)
    return np.asarray(np.abs(table) if similarity.startswith("abs") else table)


def _directions(values: Array, is_centred: bool) -> Array:
    # The largest entry first becomes 1, so that squares of tiny or huge rows stay in range.
    largest = np.abs(values).max(axis=1, keepdims=True)
    scaled = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
    if is_centred:
        scaled = scaled - scaled.mean(axis=1, keepdims=True)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    # What centring leaves of a constant row is rounding, and has no direction.
    floor = 8 * np.finfo(np.float64).eps * np.sqrt(values.shape[1])
    return np.asarray(np.divide(scaled, length, out=np.zeros_like(scaled), where=length > floor))


def match_rows(a: ArrayLike, b: ArrayLike, *, similarity: str = "cosine") -> Matching:
    """Pair the rows of two arrays by their similarity, such as the parts of two fits.

    Parameters
    ----------
    a, b : array-like of float, shape (n_rows, n_units) and (n_other_rows, n_units)
        Factors, templates or mean patterns; the numbers of rows may differ.
    similarity : {"cosine", "abs_cosine", "correlation", "abs_correlation"}, default="cosine"
        As in ``row_similarity``.

    Returns
    -------
    Matching
        ``values`` are the similarities of the pairs.

    Examples
    --------
    >>> match = match_rows([[1.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [2.0, 0.0]])
    >>> match.columns.tolist(), match.mean
    ([1, 0], 1.0)
    """
    return match_matrix(row_similarity(a, b, similarity=similarity))


def match_labels(reference: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Rename labels so that they agree with reference labels in as many places as possible.

    States, clusters and communities have arbitrary names; this finds the one-to-one renaming with
    the largest overlap. Labels without a partner keep clear of the reference: they are numbered
    from one above its largest.

    Parameters
    ----------
    reference : array-like of int, shape (n_samples,)
        Labels whose names are kept.
    labels : array-like of int, shape (n_samples,)
        Labels to rename.

    Returns
    -------
    renamed : ndarray of int64, shape (n_samples,)
        ``labels`` under the new names.
    confusion : ndarray of int64, shape (n_reference, n_labels)
        How often each reference label (increasing) meets each new name: columns are the reference
        names that are used, in order, then the names without a partner.

    Raises
    ------
    ActivityError
        If the two are not one-dimensional integers of equal, positive length.

    Examples
    --------
    >>> renamed, confusion = match_labels([0, 0, 1, 1, 2], [7, 7, 5, 5, 5])
    >>> renamed.tolist(), confusion.tolist()
    ([0, 0, 1, 1, 1], [[2, 0], [0, 2], [0, 1]])
    """
    first, second = np.asarray(reference), np.asarray(labels)
    is_integer = first.dtype.kind in "biu" and second.dtype.kind in "biu"
    if first.ndim != 1 or first.shape != second.shape or first.size == 0 or not is_integer:
        raise ActivityError(
            "match_labels: both must be integers of shape (n_samples,), at least one; got "
            f"{first.dtype} {first.shape} and {second.dtype} {second.shape}."
        )
    known, row = np.unique(first, return_inverse=True)
    found, column = np.unique(second, return_inverse=True)
    table = np.bincount(row * found.size + column, minlength=known.size * found.size)
    table = table.reshape(known.size, found.size)
    match = match_matrix(table)
    is_paired = np.zeros(found.size, dtype=bool)
    is_paired[match.columns] = True
    names = np.empty(found.size, dtype=np.int64)
    names[match.columns] = known[match.rows]
    names[~is_paired] = int(known.max()) + 1 + np.arange(np.count_nonzero(~is_paired))
    return names[column], table[:, np.argsort(names)]
