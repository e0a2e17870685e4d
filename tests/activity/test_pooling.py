"""One code for each trial, from the codes of its samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from activome.activity import from_ragged, make, pooled_codes
from activome.errors import ActivityError, ParameterError


class Halves:
    """Two components per unit, of which the ``k`` first that are not zero are kept."""

    def sparse_code(self, X: Any, *, k: int | None = None) -> Any:
        codes = np.hstack([np.maximum(X, 0), np.maximum(-X, 0)])
        if k is not None:
            codes[np.cumsum(codes > 0, axis=1) > k] = 0.0
        return sparse.csr_array(codes)


class Doubling:
    def transform(self, X: Any) -> Any:
        return 2 * np.asarray(X)


def ragged(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    trials = [rng.normal(size=(n, 3)) for n in (4, 1, 6)]
    return from_ragged(trials), trials


def test_by_hand() -> None:
    activity = from_ragged([[[1.0, -2.0], [3.0, 0.0]], [[5.0, 5.0]]])
    found = pooled_codes(activity, Halves())
    assert isinstance(found, sparse.csr_array)
    assert found.toarray().tolist() == [[2.0, 0.0, 0.0, 1.0], [5.0, 5.0, 0.0, 0.0]]
    assert pooled_codes(activity, Halves(), k=1).toarray()[1].tolist() == [5.0, 0.0, 0.0, 0.0]
    assert pooled_codes(activity).tolist() == [[2.0, -1.0], [5.0, 5.0]]


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_equals_a_loop(pool: str) -> None:
    activity, trials = ragged()
    reduce = getattr(np, pool)
    plain = np.stack([reduce(trial, axis=0) for trial in trials])
    np.testing.assert_allclose(pooled_codes(activity, pool=pool), plain, rtol=1e-12)
    np.testing.assert_allclose(pooled_codes(activity, Doubling(), pool=pool), 2 * plain, rtol=1e-12)
    coded = [Halves().sparse_code(trial).toarray() for trial in trials]
    expected = np.stack([reduce(code, axis=0) for code in coded])
    found = pooled_codes(activity, Halves(), pool=pool)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12)


def test_a_mean_does_not_know_the_length() -> None:
    one = np.random.default_rng(1).normal(size=(3, 2))
    activity = from_ragged([one, np.concatenate([one, one])])
    first, second = pooled_codes(activity)
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_trials_without_times_are_their_own() -> None:
    activity = make(np.arange(6.0).reshape(3, 2), ("trial", "unit"))
    np.testing.assert_array_equal(pooled_codes(activity), activity.values)
    counts = make(np.arange(8).reshape(2, 2, 2))
    assert pooled_codes(counts).tolist() == [[1.0, 2.0], [5.0, 6.0]]


def test_refusals() -> None:
    activity, _ = ragged()
    with pytest.raises(ParameterError, match="unknown pool 'sum'"):
        pooled_codes(activity, pool="sum")
    with pytest.raises(ParameterError, match="k goes with an encoder that has sparse_code"):
        pooled_codes(activity, Doubling(), k=3)
    with pytest.raises(ParameterError, match="k must be"):
        pooled_codes(activity, Halves(), k=0)
    with pytest.raises(ActivityError, match="must have the dim trial"):
        pooled_codes(make(np.ones((4, 2)), ("time", "unit")))
    empty = activity.assign_coords(valid=(("trial", "time"), np.eye(3, 6, dtype=bool)[[0, 1, 1]]))
    empty["valid"].values[2] = False
    with pytest.raises(ActivityError, match="trial 2 has none"):
        pooled_codes(empty.fillna(0.0))
    with pytest.raises(ActivityError, match="finite"):
        pooled_codes(make(np.full((1, 2, 2), math.nan)))
