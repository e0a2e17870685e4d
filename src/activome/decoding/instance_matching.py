"""Overlap and matching of instances that are given as flat indices of their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_finite, check_number
from activome.decoding._instance_matching import match_consuming, match_one_to_one, overlap_table
from activome.errors import ActivityError

__all__ = ["centerline_overlap", "match_greedy", "match_many_to_many"]

Array = np.ndarray[Any, Any]


def centerline_overlap(lines: Sequence[ArrayLike], masks: Sequence[ArrayLike]) -> Array:
    """Return the share of every centre line inside every mask.

    Parameters
    ----------
    lines : sequence of array-like of int
        Flat indices of each centre line.
    masks : sequence of array-like of int
        Flat indices of each instance, in the same volume; they may overlap.

    Returns
    -------
    ndarray of float64, shape (n_lines, n_masks + 1)
        Shares in [0, 1]; column 0 is the share outside all masks.

    Raises
    ------
    ActivityError
        If a line is empty.

    Examples
    --------
    >>> centerline_overlap([[1, 2, 3, 4]], [[3, 4, 9], [4, 5]]).tolist()
    [[0.5, 0.5, 0.25]]
    """
    owner = "centerline_overlap"
    ready = _sorted_indices(lines, owner, "lines")
    empty = [k for k, line in enumerate(ready) if line.size == 0]
    if empty:
        raise ActivityError(f"{owner}: every line must hold a voxel; line {empty[0]} is empty.")
    return overlap_table(ready, _sorted_indices(masks, owner, "masks"))


def match_greedy(likeness: ArrayLike, threshold: float = 0.5) -> Array:
    """Match rows and columns one to one, the most alike first.

    Parameters
    ----------
    likeness : array-like of float, shape (n_truth, n_pred)
        How alike each pair is.
    threshold : float, default=0.5
        Pairs must be above it.

    Returns
    -------
    ndarray of int64, shape (n_matches, 2)
        Pairs (row, column), the most alike first; ties by row, then column.

    Raises
    ------
    ActivityError
        If the table has not two axes, or holds NaN.
    ParameterError
        If the threshold is no number.

    Examples
    --------
    >>> match_greedy([[0.9, 0.8], [0.85, 0.1]]).tolist()
    [[0, 0]]
    """
    owner = "match_greedy"
    level = check_number(threshold, name="threshold", owner=owner)
    table = np.asarray(likeness, dtype=np.float64)
    if table.ndim != 2:
        raise ActivityError(
            f"{owner}: likeness must be a table (n_truth, n_pred); got shape {table.shape}."
        )
    check_finite(table, owner=owner, axes=("row", "column"), what="likeness")
    return match_one_to_one(table, level, "greedy")


def match_many_to_many(
    lines: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    predictions: Sequence[ArrayLike],
    threshold: float = 0.1,
) -> Array:
    """Match truths and predictions many to many; what a pair shares is used up.

    The pair that shares most of a truth's line is taken first. The prediction is then removed from
    that line and the truth from that prediction, and the pairs of either are valued anew.

    Parameters
    ----------
    lines : sequence of array-like of int
        Flat indices of each truth's centre line.
    truths, predictions : sequence of array-like of int
        Flat indices of the instances, in the same volume.
    threshold : float in [0, 1), default=0.1
        Pairs must share more than that of the line.

    Returns
    -------
    ndarray of int64, shape (n_matches, 2)
        Pairs (truth, prediction), in the order in which they were taken.

    Raises
    ------
    ActivityError
        If there is not one line per truth, or a line is empty.
    ParameterError
        If the threshold is outside [0, 1).

    Examples
    --------
    Two crossing truths, and a prediction that is the first of them only:

    >>> truths = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [4, 5, 20, 21, 22]]
    >>> match_many_to_many(truths, truths, [truths[0]]).tolist()
    [[0, 0]]
    """
    owner = "match_many_to_many"
    level = check_number(
        threshold, name="threshold", owner=owner, low=0.0, high=1.0, include_low=True
    )
    ready = _sorted_indices(lines, owner, "lines")
    if len(ready) != len(truths) or any(line.size == 0 for line in ready):
        raise ActivityError(
            f"{owner}: there must be one line with voxels per truth; got {len(ready)} lines for "
            f"{len(truths)} truths."
        )
    true = _sorted_indices(truths, owner, "truths")
    found = _sorted_indices(predictions, owner, "predictions")
    return match_consuming(ready, true, found, overlap_table(ready, found)[:, 1:], level)


def _sorted_indices(given: Sequence[ArrayLike], owner: str, what: str) -> list[Array]:
    ready = []
    for number, one in enumerate(given):
        indices = np.asarray(one)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "ui"):
            raise ActivityError(
                f"{owner}: {what} must be rows of whole flat indices; number {number} is "
                f"{indices.dtype} of shape {indices.shape}."
            )
        ready.append(np.unique(indices.astype(np.int64)))
    return ready
