"""The generalised Jaccard index against scipy, and repeated rows against all pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.feature_extraction.text import CountVectorizer

from activome.errors import ActivityError, ParameterError
from activome.patterns import duplicate_rows, generalized_jaccard


def sparse_codes(seed: int, n: int = 40, width: int = 30, share: float = 0.2) -> Any:
    rng = np.random.default_rng(seed)
    return rng.exponential(size=(n, width)) * (rng.random((n, width)) < share)


def index(one: Any, two: Any) -> float:
    """Return the index as it is written."""
    largest = float(np.maximum(one, two).sum())
    return float(np.minimum(one, two).sum()) / largest if largest else 0.0


def test_by_hand() -> None:
    # Overlaps 1 + 2 + 0 of 3 + 2 + 4.
    found = generalized_jaccard([[3.0, 2.0, 0.0]], [1.0, 2.0, 4.0])
    assert found.tolist() == [3.0 / 9.0]


def test_sets() -> None:
    codes = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)
    found = generalized_jaccard(codes, codes[0])
    np.testing.assert_array_equal(found, [1.0, 0.25, 0.0])


@pytest.mark.parametrize("seed", range(5))
def test_equals_braycurtis(seed: int) -> None:
    codes = sparse_codes(seed)
    prototype = codes[:4].mean(axis=0)
    bray = cdist(codes, prototype[np.newaxis], "braycurtis").ravel()
    expected = (1.0 - bray) / (1.0 + bray)
    for form in (codes, sparse.csr_array(codes), sparse.csr_matrix(codes), sparse.coo_array(codes)):
        np.testing.assert_allclose(generalized_jaccard(form, prototype), expected, atol=1e-13)
    row = sparse.csr_array(prototype[np.newaxis])
    np.testing.assert_allclose(generalized_jaccard(codes, row), expected, atol=1e-13)
    narrow = generalized_jaccard(codes.astype(np.float32), prototype.astype(np.float32))
    np.testing.assert_allclose(narrow, expected, atol=1e-6)


def test_laws() -> None:
    codes = sparse_codes(7)
    one, two = codes[0], codes[1]
    assert generalized_jaccard(codes[:1], one)[0] == 1.0
    assert generalized_jaccard(codes[:1], two) == generalized_jaccard(codes[1:2], one)
    # One minus the index is a metric.
    d01, d12, d02 = (
        1.0 - generalized_jaccard(codes[a : a + 1], codes[b])[0]
        for a, b in ((0, 1), (1, 2), (0, 2))
    )
    assert d02 <= d01 + d12
    for scale in (1e-300, 1e-3, 1e280):
        np.testing.assert_allclose(
            generalized_jaccard(scale * codes, scale * two), generalized_jaccard(codes, two)
        )


def test_stored_twice_counts_together() -> None:
    twice = sparse.csr_array(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 2))
    assert generalized_jaccard(twice, [3.0, 0.0]).tolist() == [1.0]
    assert twice.nnz == 2


@pytest.mark.parametrize(
    ("codes", "prototype", "message"),
    [
        ([[1.0, -2.0]], [1.0, 1.0], "at least 0"),
        (sparse.csr_array([[1.0, -2.0]]), [1.0, 1.0], "Negative values in data: 1 of 2"),
        ([[1.0, 2.0]], [1.0, -1.0], "at least 0"),
        ([[1.0, math.nan]], [1.0, 1.0], "finite"),
        ([[1.0, 2.0]], [math.inf, 1.0], "the prototype must be finite"),
        ([[1.0, 2.0]], [1.0], "the 2 units"),
        ([1.0, 2.0], [1.0], r"shape \(n_samples, n_units\)"),
        ([["a"]], [1.0], "must be numbers"),
    ],
)
def test_index_refuses(codes: Any, prototype: Any, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        generalized_jaccard(codes, prototype)


def slow_duplicates(codes: Any, threshold: float) -> list[int]:
    found: list[int] = []
    for i, row in enumerate(codes):
        kept = [j for j in range(i) if found[j] == j]
        indices = [1.0 if not (row.any() or codes[j].any()) else index(row, codes[j]) for j in kept]
        best = int(np.argmax(indices)) if indices else -1
        found.append(kept[best] if indices and indices[best] >= threshold else i)
    return found


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9, 1.0])
def test_duplicates_equal_all_pairs(threshold: float) -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, size=(80, 6)).astype(float) * (rng.random((80, 6)) < 0.4)
    expected = slow_duplicates(codes, threshold)
    assert len(set(expected)) < len(codes)
    assert duplicate_rows(codes, threshold).tolist() == expected
    assert duplicate_rows(sparse.csr_array(codes), threshold).tolist() == expected


def test_signed_rows_repeat_by_both_parts() -> None:
    assert duplicate_rows([[1.0, -1.0], [1.0, 1.0], [1.0, -1.0]]).tolist() == [0, 1, 0]


def test_texts_that_nearly_repeat() -> None:
    texts = ["the cat sat on the mat", "the cat sat on the old mat", "dogs bark at night"]
    counts = CountVectorizer().fit_transform(texts)
    assert duplicate_rows(counts, 0.8).tolist() == [0, 0, 2]
    assert duplicate_rows(counts).tolist() == [0, 1, 2]


def test_duplicates_refuse() -> None:
    with pytest.raises(ParameterError, match=r"threshold must be in \(0, 1\]"):
        duplicate_rows([[1.0]], 0.0)
    with pytest.raises(ActivityError, match="codes must be finite"):
        duplicate_rows([[math.nan]])
