"""Decisions by complexity: a threshold by hand, equal rates, parity with a pipeline, refusals."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

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
    with pytest.raises(ActivityError, match=r"one label per trial; got shape \(12, 2\)"):
        LempelZivClassifier().fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ActivityError, match="labels must be of one type; got NoneType, str"):
        LempelZivClassifier().fit(X, np.array(["a", None], dtype=object)[y])
    for wrong in ("svm", Ridge(), LogisticRegression):
        with pytest.raises(ParameterError, match="must be a classifier of scikit-learn"):
            LempelZivClassifier(classifier=wrong).fit(X, y)


def slow_complexity(train: Array) -> float:
    """Try every earlier beginning of every phrase."""
    text, at, n_phrases = train.tolist(), 0, 0
    while at < len(text):
        longest = 0
        for start in range(at):
            length = 0
            while at + length < len(text) and text[start + length] == text[at + length]:
                length += 1
            longest = max(longest, length)
        at += longest + 1
        n_phrases += 1
    return n_phrases * float(np.log2(len(text))) / len(text)


def slow_features(X: Array) -> Array:
    return np.array([[slow_complexity(train) for train in trial.T] for trial in X])


def slow_cut(value: Array, y: Array) -> float:
    """Try every cut on both sides; give the accuracy of the best."""
    cuts = (np.sort(value)[1:] + np.sort(value)[:-1]) / 2
    shares = [float(np.mean((value > c) == y)) for c in cuts]
    return max(max(share, 1.0 - share) for share in shares)


def noisy(n: int, seed: int, n_first: int | None = None) -> tuple[Array, Array]:
    """Trains of two classes that overlap, as many of the first as told."""
    X, y = trains(n, seed)
    X = X ^ (np.random.default_rng(seed).random(X.shape) < 0.12)
    keep = np.sort(np.concatenate([np.flatnonzero(y == 0)[:n_first], np.flatnonzero(y == 1)]))
    return X[keep], y[keep]


@pytest.mark.parametrize("n_first", [None, 5])
def test_cross_validation_equals_a_slow_twin(n_first: int | None) -> None:
    X, y = noisy(60, 0, n_first)
    twin = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    features = slow_features(X)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    for scoring in ("accuracy", "roc_auc", "neg_log_loss"):
        found = cross_val_score(LempelZivClassifier(), X, y, cv=folds, scoring=scoring)
        expected = cross_val_score(twin, features, y, cv=folds, scoring=scoring)
        np.testing.assert_allclose(found, expected, atol=1e-10)
    single = LempelZivClassifier(rule="threshold").fit(X, y)
    assert single.score(X, y) == pytest.approx(slow_cut(features.mean(axis=1), y))
    single = LempelZivClassifier(rule="threshold")
    assert np.isfinite(cross_val_score(single, X, y, cv=folds, scoring="roc_auc")).all()


@pytest.mark.parametrize(
    "names",
    [
        np.array(["steady", "bursts"]),
        np.array(["steady", "bursts"], dtype=object),
        np.array([7, -5]),
        np.array([False, True]),
        np.array([1.0, 0.0]),
    ],
)
@pytest.mark.parametrize("rule", ["classifier", "threshold"])
def test_labels_of_any_kind(names: Array, rule: str) -> None:
    X, y = noisy(40, 1)
    fresh, _ = noisy(30, 2)
    expected = LempelZivClassifier(rule=rule).fit(X, y).predict(fresh)
    found = LempelZivClassifier(rule=rule).fit(X, names[y]).predict(fresh)
    assert found.dtype == names.dtype
    assert np.mean(found == names[expected]) == 1.0


def test_probabilities_are_offered_where_there_are_some() -> None:
    X, y = trains(60, 2, n_classes=3)
    fresh, _ = trains(30, 3, n_classes=3)
    for given in (None, GaussianNB()):
        model = LempelZivClassifier(classifier=given).fit(X, y)
        found = model.predict_proba(fresh)
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
        assert np.array_equal(found.argmax(axis=1), model.predict(fresh))
    assert not hasattr(LempelZivClassifier(rule="threshold"), "predict_proba")
    assert not hasattr(LempelZivClassifier(classifier=GaussianNB()), "decision_function")
    assert not hasattr(LempelZivClassifier(classifier=LinearSVC()), "predict_proba")
    logistic = LogisticRegression(max_iter=500)
    explicit = LempelZivClassifier(classifier=logistic).fit(X, y).predict_proba(fresh)
    default = LempelZivClassifier().fit(X, y).predict_proba(fresh)
    np.testing.assert_allclose(default, explicit, atol=1e-10)


def test_copies_and_second_fits() -> None:
    X, y = noisy(40, 3)
    model = LempelZivClassifier(classifier=GaussianNB()).fit(X, y)
    restored = pickle.loads(pickle.dumps(model))  # noqa: S301  # what this test wrote
    assert np.array_equal(restored.predict(X), model.predict(X))
    assert clone(model).fit(X, y).score(X, y) == model.score(X, y)
    again = model.set_params(rule="threshold").fit(X, y)
    assert np.array_equal(
        again.predict(X), LempelZivClassifier(rule="threshold").fit(X, y).predict(X)
    )
    # What the first fit learned does not stay behind.
    assert set(vars(again)) == set(vars(LempelZivClassifier(rule="threshold").fit(X, y)))
    again.set_params(rule="classifier", classifier=None).fit(X, y)
    assert set(vars(again)) == set(vars(LempelZivClassifier().fit(X, y)))


def test_one_trial_is_decided_and_one_is_too_few_to_learn() -> None:
    X, y = noisy(40, 4)
    model = LempelZivClassifier().fit(X, y)
    single = np.concatenate([model.predict(trial[None]) for trial in X])
    assert np.array_equal(single, model.predict(X))
    with pytest.raises(ActivityError, match="at least 2 trials"):
        LempelZivClassifier().fit(X[:1], y[:1])
    assert LempelZivClassifier().fit(X[:2], y[:2]).score(X[:2], y[:2]) == 1.0
