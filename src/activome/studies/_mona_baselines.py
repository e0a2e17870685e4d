"""What selection is compared with: words alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

__all__ = ["bm25", "precision"]

Array = np.ndarray[Any, Any]


def bm25(
    queries: Sequence[str], documents: Sequence[str], *, k1: float = 1.5, b: float = 0.75
) -> Array:
    """Return the score of each document for all queries together, by the words they share.

    Inverse document frequency is that which stays positive; each occurrence of a word in a query
    counts.
    """
    words = CountVectorizer(token_pattern=r"(?u)\b\w+\b")  # noqa: S106  # no password
    counts = words.fit_transform(documents).tocsr().astype(np.float64)
    n_documents = counts.shape[0]
    holding = np.bincount(counts.indices, minlength=counts.shape[1])
    weight = np.log1p((n_documents - holding + 0.5) / (holding + 0.5))
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    rows = np.repeat(np.arange(n_documents), np.diff(counts.indptr))
    norm = k1 * (1.0 - b + b * lengths / lengths.mean())
    asked = np.asarray(words.transform(queries).sum(axis=0)).ravel()
    gain = counts.data * (k1 + 1.0) / (counts.data + norm[rows])
    found: Array = np.bincount(rows, gain * (weight * asked)[counts.indices], minlength=n_documents)
    return found


def precision(scores: Array, kind: Array, relations: Sequence[str]) -> Array:
    """Return, for each relation, the share of its texts among as many of the best.

    ``scores`` is (relation, text). Of equal scores the first is taken.
    """
    shares = []
    for row, name in zip(scores, relations, strict=True):
        is_own = kind == name
        best = np.argsort(-row, kind="stable")[: int(is_own.sum())]
        shares.append(is_own[best].mean())
    return np.array(shares)
