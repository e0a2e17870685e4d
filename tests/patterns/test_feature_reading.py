"""Reading features: contexts, words and concepts, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activome.errors import ActivityError, ParameterError
from activome.patterns.feature_reading import concept_score, feature_contexts, feature_tokens


def test_contexts_by_hand() -> None:
    coef = np.zeros((8, 2))
    coef[[1, 2, 6], 1] = [2.0, 3.0, 1.0]
    found = feature_contexts(coef, list("abcdefgh"), component=1, window=4)
    assert [context.sample for context in found] == [2, 1, 6]
    assert [context.start for context in found] == [1, 0, 5]
    assert ["".join(context.labels) for context in found] == ["bcde", "abcd", "fgh"]
    assert found[0].values.tolist() == [2.0, 3.0, 0.0, 0.0]
    apart = feature_contexts(coef, component=1, min_gap=2)
    assert [context.sample for context in apart] == [2, 6]
    assert apart[1].labels == (0, 1, 2, 3, 4, 5, 6, 7)
    assert feature_contexts(coef, component=0) == []


def test_contexts_stay_in_their_sequence() -> None:
    coef = np.array([[1.0], [5.0], [4.0], [3.0]])
    found = feature_contexts(
        coef, list("abcd"), component=0, window=3, sequence=["one", "one", "two", "two"], min_gap=2
    )
    assert ["".join(context.labels) for context in found] == ["ab", "cd"]
    assert [context.sample for context in found] == [1, 2]


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5), st.integers(1, 6))
def test_contexts_agree_with_a_slow_search(seed: int, window: int, gap: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    coef = rng.random((30, 1)) * (rng.random((30, 1)) < 0.6)
    part = np.repeat([0, 1, 0], 10)
    run = np.repeat([0, 1, 2], 10)
    found = feature_contexts(
        coef, component=0, window=window, min_gap=gap, n_contexts=n, sequence=part
    )
    taken: list[int] = []
    for i in sorted(range(30), key=lambda j: -coef[j, 0]):
        clear = all(run[i] != run[j] or abs(i - j) >= gap for j in taken)
        if coef[i, 0] > 0 and clear and len(taken) < n:
            taken.append(i)
    assert [context.sample for context in found] == taken
    for context in found:
        middle = context.sample
        wanted = [
            j
            for j in range(middle - (window - 1) // 2, middle - (window - 1) // 2 + window)
            if 0 <= j < 30 and run[j] == run[middle]
        ]
        assert list(context.labels) == wanted


def test_words_by_hand() -> None:
    weight = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    unembedding = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.5, 0.5]])
    feature = np.array([0.0, 3.0, 4.0])
    found = feature_tokens(feature, weight, unembedding, list("wxyz"), n_tokens=2)
    # Residual (8, 3) / 5: logits 1.6, 0.6, -1.6, 1.1.
    assert found.raised == ("w", "z")
    assert found.lowered == ("y", "x")
    np.testing.assert_allclose(found.raised_logits, [1.6, 1.1])
    np.testing.assert_allclose(found.lowered_logits, [-1.6, 0.6])
    turned = feature_tokens(-2 * feature, weight, unembedding, list("wxyz"), n_tokens=9)
    assert turned.raised == ("y", "x", "z", "w")


def test_concepts_by_hand() -> None:
    coef = [[4.0, 1.0, 0.0, 0.0, 2.0], [4.0, 1.0, 0.0, 3.0, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0],
            [3.0, 1.0, 0.0, 0.0, 8.0]]  # fmt: skip
    score = concept_score(coef, [True, True, False, False])
    np.testing.assert_allclose(score, [np.log(2), 0.0, 0.0, np.inf, np.log(0.25)])
    assert concept_score([[0.0], [1.0]], np.array([True, False])).tolist() == [-np.inf]


def test_concepts_turn_with_the_sides() -> None:
    coef = np.random.default_rng(0).random((20, 3))
    mask = np.arange(20) < 7
    np.testing.assert_allclose(concept_score(coef, mask), -concept_score(coef, ~mask))
    np.testing.assert_allclose(concept_score(5 * coef, mask), concept_score(coef, mask))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"component": 2}, ParameterError, "component"),
        ({"component": -1}, ParameterError, "component"),
        ({"n_contexts": 0}, ParameterError, "n_contexts"),
        ({"window": 0}, ParameterError, "window"),
        ({"min_gap": 0}, ParameterError, "min_gap"),
        ({"labels": ["a"]}, ActivityError, "each of the 4 samples; got 1"),
        ({"sequence": [0, 1]}, ActivityError, "one entry per sample"),
        ({"coef": np.ones(4)}, ActivityError, "n_samples, n_components"),
        ({"coef": [[np.nan]]}, ActivityError, "sample 0, component 0"),
    ],
)
def test_contexts_are_refused(changes: dict[str, Any], error: Any, message: str) -> None:
    arguments: dict[str, Any] = {"coef": np.ones((4, 2)), "component": 0}
    with pytest.raises(error, match=message):
        feature_contexts(**(arguments | changes))


def test_words_are_refused() -> None:
    words = list("abc")
    with pytest.raises(ActivityError, match="must fit, with 3 words"):
        feature_tokens(np.ones(2), np.ones((2, 4)), np.ones((3, 2)), words)
    with pytest.raises(ActivityError, match="must fit"):
        feature_tokens(np.ones(4), np.ones(4), np.ones((3, 2)), words)
    with pytest.raises(ActivityError, match="must not be all zero"):
        feature_tokens(np.zeros(4), np.ones((2, 4)), np.ones((3, 2)), words)
    with pytest.raises(ActivityError, match="unembedding must be finite"):
        feature_tokens(np.ones(4), np.ones((2, 4)), np.full((3, 2), np.nan), words)
    with pytest.raises(ParameterError, match="n_tokens"):
        feature_tokens(np.ones(4), np.ones((2, 4)), np.ones((3, 2)), words, n_tokens=0)


def test_concepts_are_refused() -> None:
    with pytest.raises(ActivityError, match="at least 0"):
        concept_score([[-1.0], [1.0]], [True, False])
    with pytest.raises(ActivityError, match=r"boolean of shape \(2,\)"):
        concept_score([[1.0], [1.0]], [1, 0])
    with pytest.raises(ActivityError, match="2 of 2 are of the concept"):
        concept_score([[1.0], [1.0]], [True, True])
    with pytest.raises(ActivityError, match="not empty"):
        concept_score(np.zeros((0, 2)), [])
