"""Nearest averages with subjects left out, from one product of the vectors with themselves."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

__all__ = ["identify", "nested_choice", "resampled_pairs"]

Array: TypeAlias = np.ndarray[Any, Any]


def identify(
    vectors: Array,
    region_codes: Array,
    subject_codes: Array,
    metric: str,
    *,
    held_out: int | None = None,
) -> Array:
    """Return the region code of the nearest average of the other subjects.

    Parameters
    ----------
    vectors : ndarray of float64, shape (n_rdms, n_features)
        Mapped RDMs.
    region_codes, subject_codes : ndarray of int64, shape (n_rdms,)
        Labels from 0.
    metric : {"euclidean", "correlation", "cosine"}
        Distance to the averages.
    held_out : int, optional
        Leave out this subject only, whose RDMs are the only ones identified.

    Returns
    -------
    ndarray of int64, shape (n_rdms,)
        Region codes.
    """
    gram = _gram(vectors, metric)
    present = np.unique(subject_codes) if held_out is None else np.array([held_out])
    found = np.zeros(len(vectors), dtype=np.int64)
    for subject in present:
        tested = subject_codes == subject
        found[tested] = _nearest(gram, ~tested, tested, region_codes, metric)
    return found


def nested_choice(
    vectors: Array, region_codes: Array, subject_codes: Array, metric: str
) -> tuple[Array, Array]:
    """Return, for each subject left out, the accuracy among the others and that on the subject.

    Parameters
    ----------
    vectors : ndarray of float64, shape (n_rdms, n_features)
        RDMs mapped with one setting.
    region_codes, subject_codes : ndarray of int64, shape (n_rdms,)
        Labels from 0.
    metric : {"euclidean", "correlation", "cosine"}
        Distance to the averages.

    Returns
    -------
    inner, outer : ndarray of float64, shape (n_subjects,)
        Accuracies; the inner one never sees the subject.
    """
    gram = _gram(vectors, metric)
    n_subjects = int(subject_codes.max()) + 1
    inner, outer = np.zeros(n_subjects), np.zeros(n_subjects)
    for subject in range(n_subjects):
        own = subject_codes == subject
        outer[subject] = np.mean(
            _nearest(gram, ~own, own, region_codes, metric) == region_codes[own]
        )
        hits = 0
        for other in range(n_subjects):
            if other != subject:
                tested = subject_codes == other
                found = _nearest(gram, ~own & ~tested, tested, region_codes, metric)
                hits += int(np.count_nonzero(found == region_codes[tested]))
        inner[subject] = hits / np.count_nonzero(~own)
    return inner, outer


def resampled_pairs(drawn: Array, n_conditions: int) -> tuple[Array, Array]:
    """Return the pairs of the distinct conditions drawn, and how they repeat in the draw.

    Parameters
    ----------
    drawn : ndarray of int64, shape (n_drawn,)
        Conditions drawn with replacement.
    n_conditions : int
        Number of conditions there are.

    Returns
    -------
    columns : ndarray of int64
        Condensed index of each pair of distinct conditions, in condensed order.
    copies : ndarray of int64
        Index into ``columns`` of each drawn pair; pairs of a condition with its copy are dropped.
    """
    distinct, counts = np.unique(drawn, return_counts=True)
    first, second = np.triu_indices(distinct.size, 1)
    i, j = distinct[first], distinct[second]
    columns = i * n_conditions - i * (i + 1) // 2 + (j - i - 1)
    return columns, np.repeat(np.arange(columns.size), counts[first] * counts[second])


def _gram(vectors: Array, metric: str) -> Array:
    # A common shift does not change Euclidean distances, and the products then keep more digits.
    axis = {"euclidean": 0, "correlation": 1}.get(metric)
    if axis is not None:
        vectors = vectors - vectors.mean(axis=axis, keepdims=True)
    gram: Array = vectors @ vectors.T
    return gram


def _nearest(gram: Array, train: Array, test: Array, region_codes: Array, metric: str) -> Array:
    n_regions = int(region_codes.max()) + 1
    weights = np.eye(n_regions)[region_codes] * train[:, None]
    weights /= weights.sum(axis=0)
    products = gram[test] @ weights
    squares = np.einsum("ir,ij,jr->r", weights, gram, weights, optimize=True)
    if metric == "euclidean":
        nearest: Array = np.argmin(squares - 2 * products, axis=1)
        return nearest
    # The length of the tested vector is common to all regions; an average of length 0 has no
    # direction and is never the nearest.
    cosine = np.full_like(products, -np.inf)
    np.divide(products, np.sqrt(np.maximum(squares, 0)), out=cosine, where=squares > 0)
    nearest = np.argmax(cosine, axis=1)
    return nearest
