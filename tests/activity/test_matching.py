"""Matching: assignment by hand, brute force over permutations, renaming of labels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activome.activity.matching import match_labels, match_matrix, match_rows, row_similarity
from activome.errors import ActivityError, ParameterError


def test_by_hand() -> None:
    match = match_matrix([[1.0, 9.0, 2.0], [8.0, 7.0, 3.0]])
    assert match.rows.tolist() == [0, 1]
    assert match.columns.tolist() == [1, 0]
    assert match.values.tolist() == [9.0, 8.0]
    assert match.mean == 8.5
    cheapest = match_matrix([[1.0, 9.0, 2.0], [8.0, 7.0, 3.0]], maximize=False)
    assert cheapest.values.tolist() == [1.0, 3.0]


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_no_permutation_is_better(seed: int, n_rows: int, n_columns: int, maximize: bool) -> None:
    table = np.random.default_rng(seed).normal(size=(n_rows, n_columns))
    found = match_matrix(table, maximize=maximize).values.sum()
    tall = table if n_rows >= n_columns else table.T
    sums = [
        sum(tall[row, column] for column, row in enumerate(order))
        for order in permutations(range(tall.shape[0]), tall.shape[1])
    ]
    assert found == pytest.approx(max(sums) if maximize else min(sums), abs=1e-12)


def test_similarities_agree_with_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 7)), rng.normal(size=(4, 7))
    cosine = [[u @ v / np.linalg.norm(u) / np.linalg.norm(v) for v in b] for u in a]
    np.testing.assert_allclose(row_similarity(a, b), cosine, atol=1e-14)
    correlation = np.corrcoef(a, b)[:3, 3:]
    np.testing.assert_allclose(
        row_similarity(a, b, similarity="correlation"), correlation, atol=1e-14
    )
    np.testing.assert_allclose(row_similarity(a, -a, similarity="abs_cosine").diagonal(), 1.0)


@pytest.mark.parametrize("scale", [1e-200, 1e-6, 1e200])
def test_scale_does_not_matter(scale: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    np.testing.assert_allclose(row_similarity(a * scale, b), row_similarity(a, b), atol=1e-12)


def test_a_row_without_length_is_like_nothing() -> None:
    table = row_similarity([[0.0, 0.0], [1.0, 1.0]], [[1.0, 1.0]])
    np.testing.assert_allclose(table[:, 0], [0.0, 1.0])
    constant = row_similarity([[0.1, 0.1, 0.1]], [[1.0, 2.0, 4.0]], similarity="correlation")
    assert constant.tolist() == [[0.0]]


def test_rows_are_found_in_another_order() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(6, 20))
    order = rng.permutation(6)
    match = match_rows(rows[order], rows)
    assert match.columns.tolist() == order.tolist()
    assert match.mean == pytest.approx(1.0)
    assert (
        match_rows(rows[order], -rows, similarity="abs_cosine").columns.tolist() == order.tolist()
    )


def test_labels_by_hand() -> None:
    renamed, confusion = match_labels([0, 0, 1, 1, 2], [7, 7, 5, 5, 5])
    assert renamed.tolist() == [0, 0, 1, 1, 1]
    assert confusion.tolist() == [[2, 0], [0, 2], [0, 1]]


def test_labels_without_a_partner_keep_clear() -> None:
    renamed, confusion = match_labels([3, 3, 3, 3], [0, 0, 1, 2])
    assert renamed.tolist() == [3, 3, 4, 5]
    assert confusion.tolist() == [[2, 1, 1]]


@given(st.integers(0, 10**6))
def test_renaming_is_undone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 60)
    names = rng.permutation(4) + 10
    renamed, confusion = match_labels(labels, names[labels])
    np.testing.assert_array_equal(renamed, labels)
    assert confusion.trace() == 60


@pytest.mark.parametrize("table", [np.zeros((0, 3)), np.zeros(3), np.zeros((2, 2, 2))])
def test_shapes_are_refused(table: np.ndarray) -> None:
    with pytest.raises(ActivityError, match="at least 1 x 1"):
        match_matrix(table)


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="row 0, column 1"):
        match_matrix([[0.0, np.nan]])
    with pytest.raises(ActivityError, match="the same units"):
        row_similarity(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ActivityError, match="there must be rows"):
        row_similarity(np.ones((0, 3)), np.ones((2, 3)))
    with pytest.raises(ActivityError, match="row 1, unit 0"):
        match_rows([[1.0], [np.inf]], [[1.0]])
    with pytest.raises(ParameterError, match="abs_cosine"):
        row_similarity([[1.0]], [[1.0]], similarity="abscosine")
    with pytest.raises(ActivityError, match="integers of shape"):
        match_labels([0.5, 1.0], [0, 1])
    with pytest.raises(ActivityError, match="integers of shape"):
        match_labels([0, 1], [0, 1, 1])
