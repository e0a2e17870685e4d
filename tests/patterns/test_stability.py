"""Number of parts by stability: planted parts, structureless recordings, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.decomposition import NMF, PCA

from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError
from activome.patterns import stability
from activome.patterns.semi_nmf import SemiNMF
from activome.patterns.stability import choose_n_components

Array = np.ndarray[Any, Any]
FAST: dict[str, Any] = {"n_splits": 1, "n_surrogates": 21, "max_samples": 600}


def planted(seed: int = 0, n: int = 600, k: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    use = rng.exponential(size=(n, k)) * (rng.random((n, k)) < 0.2)
    return 2 * use @ np.kron(np.eye(k), np.ones(5)) + rng.normal(size=(n, 5 * k))


def model() -> SemiNMF:
    return SemiNMF(keep=0.4, init="svd")


def test_planted_parts_are_counted() -> None:
    result = choose_n_components(model(), planted(), (2, 3, 5), **FAST)
    assert result.n_components == 3
    assert result.p_value == pytest.approx(1 / 22)
    assert result.candidates.tolist() == [2, 3, 5]
    assert result.stability[1] > 0.9
    assert result.null.shape == (21, 3)
    np.testing.assert_allclose(result.excess, result.stability - result.null.mean(axis=0))
    np.testing.assert_allclose(result.stability, result.stability_splits.mean(axis=0))
    assert (result.p_values >= result.p_value).all()


def test_shifting_the_units_takes_the_parts_away() -> None:
    X = planted()
    apart = np.stack([np.roll(column, 17 * i) for i, column in enumerate(X.T)], axis=1)
    result = choose_n_components(model(), apart, (2, 3, 5), **FAST)
    assert result.n_components == 0
    assert result.p_value > 0.05
    # Hopeless after a few surrogates: the rest is saved.
    assert result.null.shape[0] < 21


def test_slow_units_without_relation_are_no_parts() -> None:
    found = []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=(400, 8))
        slow = lfilter([1.0], [1.0, -0.95], noise, axis=0)
        found.append(choose_n_components(model(), slow, (2, 3), random_state=seed, **FAST))
    assert sum(result.n_components > 0 for result in found) <= 1


def test_other_estimators_and_an_activity() -> None:
    X = planted()
    activity = make(X.reshape(6, 100, 15), sampling_rate=20.0)
    with_pca = choose_n_components(PCA(), activity, (2, 3), similarity="abs_cosine", **FAST)
    assert with_pca.p_value < 0.05
    same = choose_n_components(PCA(), X, (3, 2), similarity="abs_cosine", **FAST)
    np.testing.assert_array_equal(same.stability, with_pca.stability)
    positive = np.maximum(planted(1), 0)
    with_nmf = choose_n_components(NMF(init="nndsvda"), positive, (3,), scale="none", **FAST)
    assert with_nmf.n_components == 3


def test_the_seed_decides() -> None:
    X = planted()
    one, two = (choose_n_components(model(), X, (2, 3), random_state=4, **FAST) for _ in range(2))
    np.testing.assert_array_equal(one.null, two.null)
    other = choose_n_components(model(), X, (2, 3), random_state=5, **FAST)
    assert not np.array_equal(one.null, other.null)


def test_long_recordings_are_brought_down() -> None:
    X = np.arange(100.0)[:, np.newaxis] * [1.0, 2.0] + [0.0, 5.0]
    X[:, 1] = X[::-1, 1]
    mean = stability._prepare(X, scale="none", reduce="average", max_samples=40)
    np.testing.assert_allclose(mean[:, 0], np.arange(99.0).reshape(-1, 3).mean(axis=1))
    every = stability._prepare(X, scale="none", reduce="subsample", max_samples=40)
    np.testing.assert_allclose(every[:, 0], np.arange(0.0, 99.0, 3))
    scored = stability._prepare(X, scale="zscore", reduce="average", max_samples=100)
    np.testing.assert_allclose(scored.std(axis=0), 1.0, rtol=1e-5)


def test_constant_units_are_left_out() -> None:
    X = np.concatenate([planted(), np.full((600, 2), 7.5)], axis=1)
    plain = choose_n_components(model(), planted(), (2, 3), **FAST)
    np.testing.assert_allclose(
        choose_n_components(model(), X, (2, 3), **FAST).stability, plain.stability, atol=1e-6
    )


def test_halves_share_no_sample_and_are_even() -> None:
    for seed in range(5):
        a, b = stability._halves(205, np.random.default_rng(seed))
        assert sorted([*a, *b]) == list(range(205))
        assert abs(len(a) - len(b)) <= 10


def test_p_values_by_hand() -> None:
    # The recording beats all four surrogates in the first candidate, one of them in the second.
    table = np.array([[9.0, 1.0], [1.0, 0.0], [2.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    p_values = stability._corrected(table)
    scores = (table - table.mean(axis=0)) / table.std(axis=0)
    best = scores[1:].max(axis=1)
    wanted = [(1 + (best >= scores[0, j]).sum()) / 5 for j in range(2)]
    np.testing.assert_allclose(p_values, wanted)
    assert p_values[0] == 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator": object()}, "n_components"),
        ({"candidates": ()}, "at least one number"),
        ({"candidates": (0,)}, "candidates"),
        ({"n_splits": 0}, "n_splits"),
        ({"alpha": 1.0}, "alpha"),
        ({"n_surrogates": 19}, "at least 20"),
        ({"similarity": "cos"}, "similarity"),
        ({"scale": "no"}, "scale"),
        ({"reduce": "mean"}, "reduce"),
        ({"max_samples": 10}, "max_samples"),
        ({"n_iter": 0}, "n_iter"),
    ],
)
def test_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"estimator": model(), "activity": np.ones((50, 3))}
    with pytest.raises(ParameterError, match=message):
        choose_n_components(**(arguments | changes))


def test_activity_is_refused() -> None:
    X = planted()
    with pytest.raises(ActivityError, match="candidates must be at most"):
        choose_n_components(model(), X, (2, 16))
    with pytest.raises(ActivityError, match="at least 40 samples"):
        choose_n_components(model(), X[:30])
    with pytest.raises(ActivityError, match="at least 40 samples"):
        choose_n_components(model(), X[:, 0])
    with pytest.raises(ActivityError, match="all 3 are constant"):
        choose_n_components(model(), np.ones((50, 3)))
    X[5, 2] = np.nan
    with pytest.raises(ActivityError, match="sample 5, unit 2"):
        choose_n_components(model(), X)
