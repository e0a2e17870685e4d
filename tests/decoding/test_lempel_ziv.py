"""Decisions by complexity: a threshold by hand, equal rates, parity with a pipeline, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from activome.activity.complexity import lempel_ziv_complexity
from activome.decoding.lempel_ziv import LempelZivClassifier, _best_threshold
from activome.errors import ActivityError, ParameterError

Array = np.ndarray[Any, Any]


def trains(n: int, seed: int, n_classes: int = 2) -> tuple[Array, Array]:
    """Trains of one rate: by chance, regular, or of pairs."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    phase = rng.integers(0, 10, (n, 1, 4))
    time = (np.arange(100)[:, None] + phase) % 10
    kinds = np.stack([rng.random((n, 100, 4)) < 0.2, time % 5 == 0, time < 2])
    return kinds[y, np.arange(n)], y


def test_the_threshold_by_hand() -> None:
    value = np.array([0.1, 0.4, 0.2, 0.3, 0.6])
    # Sorted 0.1 0.2 0.3 | 0.4 0.6 with classes 0 0 1 1 1: the cut at 0.25 names all rightly.
    assert _best_threshold(value, np.array([False, True, False, True, True])) == (0.25, True)
    assert _best_threshold(value, np.array([True, False, True, False, False])) == (0.25, False)
    # Equal values cannot be parted: between 0.1 and 0.3, not among those of 0.3.
    tied = np.array([0.1, 0.3, 0.3, 0.3])
    assert _best_threshold(tied, np.array([False, False, True, True])) == (0.2, True)
    assert _best_threshold(np.full(3, 0.5), np.array([True, False, True])) == (0.5, True)


def test_equal_rates_come_apart() -> None:
    X, y = trains(60, 0)
    fresh, truth = trains(60, 1)
    for variant, least in (("lz76", 1.0), ("lz78", 0.65)):
        for rule in ("classifier", "threshold"):
            model = LempelZivClassifier(variant=variant, rule=rule).fit(X, y)
            assert model.score(fresh, truth) >= least
            side = model.decision_function(fresh) > 0
            assert np.array_equal(model.predict(fresh), side.astype(int))
    assert model.is_above_ is False
    counts = X.sum(axis=1)
    assert LogisticRegression().fit(counts, y).score(fresh.sum(axis=1), truth) < 0.75


def test_it_is_the_pipeline_of_its_parts() -> None:
    X, y = trains(60, 2, n_classes=3)
    fresh, _ = trains(30, 3, n_classes=3)
    model = LempelZivClassifier().fit(X, y)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    pipeline.fit(lempel_ziv_complexity(X, axis=1), y)
    expected = pipeline.decision_function(lempel_ziv_complexity(fresh, axis=1))
    np.testing.assert_allclose(model.decision_function(fresh), expected, atol=1e-10)
    np.testing.assert_allclose(model.transform(fresh), lempel_ziv_complexity(fresh, axis=1))
    bayes = LempelZivClassifier(classifier=GaussianNB()).fit(X, y)
    assert bayes.score(fresh, np.arange(30) % 3) > 0.75


def test_labels_and_binarised_series() -> None:
    X, y = trains(40, 4)
    names = np.array(["chance", "regular"])[y]
    activity = xr.DataArray(
        X.swapaxes(1, 2), dims=("trial", "unit", "time"), coords={"kind_of": ("trial", names)}
    )
    model = LempelZivClassifier().fit(activity, "kind_of")
    assert model.score(activity, "kind_of") == model.score(X, names) == 1.0
    found = model.transform(activity)
    assert found.dims == ("trial", "unit")
    assert "kind_of" in found.coords
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(40, 100, 4))
    wave = np.sin(np.arange(100) / 5.0)[:, None] + 0.1 * noise
    series = 1e3 + np.where(y[:, None, None] == 1, wave, noise)
    for binarise in ("median", "mean"):
        slow = LempelZivClassifier(binarise).fit(series, y)
        assert slow.score(series, y) == 1.0
        level = getattr(np, binarise)(series, axis=1, keepdims=True)
        expected = lempel_ziv_complexity(series > level, axis=1)
        np.testing.assert_array_equal(slow.transform(series), expected)


def test_silent_units_are_told_and_do_no_harm() -> None:
    X, y = trains(40, 6)
    X[:, :, 1] = False
    X[::4, :, 2] = False
    model = LempelZivClassifier().fit(X, y)
    assert model.constant_share_.tolist() == [0.0, 1.0, 0.25, 0.0]
    assert model.coef_[0, 1] == 0.0
    # Two phrases of a constant train: 0 | 00...
    assert model.transform(X)[0, 1] == pytest.approx(2 * np.log2(100) / 100)


def test_refusals() -> None:
    X, y = trains(12, 7)
    for options, message in (
        ({"binarise": "mode"}, "unknown binarise"),
        ({"rule": "vote"}, "unknown rule"),
        ({"variant": "lzw"}, "unknown variant"),
    ):
        with pytest.raises(ParameterError, match=message):
            LempelZivClassifier(**options).fit(X, y)
    with pytest.raises(ParameterError, match="tells two classes apart; there are 3"):
        LempelZivClassifier(rule="threshold").fit(X, np.arange(12) % 3)
    with pytest.raises(ActivityError, match="spikes must be 0 or 1"):
        LempelZivClassifier().fit(0.5 + X, y)
    with pytest.raises(ActivityError, match="got 1 class"):
        LempelZivClassifier().fit(X, np.zeros(12))
    with pytest.raises(ActivityError, match="class 1 has none in 6 trials"):
        LempelZivClassifier().fit(X & (y == 0)[:, None, None], y)
    with pytest.raises(ActivityError, match="at least two steps"):
        LempelZivClassifier().fit(X[:, :1] | True, y)
    with pytest.raises(ActivityError, match="got 2 axes"):
        LempelZivClassifier().fit(X[:, :, 0], y)
    with pytest.raises(ActivityError, match=r"as long as those of fit \(100 steps\).*got 50"):
        LempelZivClassifier().fit(X, y).predict(X[:, :50])
    with pytest.raises(ActivityError, match="finite"):
        LempelZivClassifier("median").fit(np.where(X, np.nan, 1.0), y)
