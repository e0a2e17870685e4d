"""Cross-validation of decoders: equal to scikit-learn's, chance without structure, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.svm import LinearSVC

from activome.activity.splits import TrialSplit
from activome.decoding.population_net import PopulationDecoder
from activome.decoding.validation import accuracy_by_units, cross_validate_decoder
from activome.errors import ActivityError, ParameterError

Array = np.ndarray[Any, Any]


def planted(effect: float = 1.0, n_units: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.resize([0, 1, 2], 60))
    values = rng.normal(size=(60, n_units, 3))
    values[:, 0] += effect * labels[:, np.newaxis]
    return values, labels


def test_equals_scikit_learn() -> None:
    values, labels = planted()
    model = LogisticRegression()
    found = cross_validate_decoder(model, values, labels, random_state=5)
    seed = int(np.random.default_rng(5).integers(2**31))
    flat = values.reshape(60, -1)
    folds = TrialSplit(5, random_state=seed)
    guessed = cross_val_predict(model, flat, labels, cv=folds)
    chances = cross_val_predict(model, flat, labels, cv=folds, method="predict_proba")
    np.testing.assert_array_equal(found.predictions, guessed)
    assert found.accuracy == np.mean(guessed == labels)
    assert found.log_loss == pytest.approx(log_loss(labels, chances))
    np.testing.assert_array_equal(found.confusion.values, confusion_matrix(labels, guessed))
    assert found.fold_scores.mean() == pytest.approx(found.accuracy)
    assert found.chance == pytest.approx(1 / 3)
    assert (found.p_value, found.null.size) == (None, 0)


def test_p_value_and_null() -> None:
    values, labels = planted()
    found = cross_validate_decoder(LogisticRegression(), values, labels, n_permutations=19)
    assert found.p_value == 0.05
    assert found.null.mean() == pytest.approx(1 / 3, abs=0.08)
    rng = np.random.default_rng(1)
    noise = [
        cross_validate_decoder(
            LogisticRegression(), rng.normal(size=(30, 2, 1)), labels[:30], n_permutations=9
        ).p_value
        for _ in range(10)
    ]
    # Uniform on 0.1, 0.2 ... 1: mean 0.55, its deviation over ten 0.09.
    assert np.mean(np.array(noise, dtype=float)) == pytest.approx(0.55, abs=0.3)


def test_blocks_are_held_out_whole() -> None:
    # Every block has a drift of its own that gives its class away, and no other block's.
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(12), 10)
    labels = np.tile([0, 0, 1, 1, 0, 1], 2)[block]
    drift = 3 * rng.normal(size=(12, 30))[block]
    values = (drift + rng.normal(size=(120, 30)))[:, :, np.newaxis]
    random = cross_validate_decoder(LogisticRegression(), values, labels)
    honest = cross_validate_decoder(LogisticRegression(), values, labels, groups=block)
    assert random.accuracy > 0.9
    assert honest.accuracy < 0.8


def test_decoders_without_probabilities_and_of_trials() -> None:
    values, labels = planted(3.0)
    assert cross_validate_decoder(LinearSVC(), values, labels).log_loss is None
    pytest.importorskip("torch", reason="torch is not installed")
    network = PopulationDecoder(
        embed=6, channels=(8,), max_epochs=80, lr=0.01, count_transform="none"
    )
    found = cross_validate_decoder(network, values, labels, n_folds=3)
    assert found.accuracy > 0.8
    assert found.log_loss is not None
    assert found.log_loss < np.log(3)


def test_more_units_are_better_where_each_adds() -> None:
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], 80)
    values = rng.normal(size=(80, 40, 1)) + 0.7 * labels[:, np.newaxis, np.newaxis]
    curve = accuracy_by_units(LogisticRegression(), values, labels, [1, 8, 40], n_draws=3)
    assert curve.dims == ("size", "draw")
    assert (np.diff(curve.mean("draw")) > 0).all()
    # All units, whatever the draw, differ only by the folds.
    assert np.ptp(curve.sel(size=40).values) < 0.08


def test_refusals() -> None:
    values, labels = planted()
    model = LogisticRegression()
    with pytest.raises(ActivityError, match="at least two classes"):
        cross_validate_decoder(model, values, np.zeros(60))
    with pytest.raises(ActivityError, match="at least 5 trials of each class; got 1"):
        cross_validate_decoder(model, values, np.where(np.arange(60) == 3, 9, labels))
    with pytest.raises(ActivityError, match=r"must be \(n_trials, n_units, n_times\)"):
        cross_validate_decoder(model, values[:, :, 0], labels)
    with pytest.raises(ActivityError, match="names a label, but the responses are a plain array"):
        cross_validate_decoder(model, values, "side")
    with pytest.raises(ParameterError, match="sizes must be an integer at least 1 and at most 6"):
        accuracy_by_units(model, values, labels, [7])
    broken = values.copy()
    broken[1, 2, 0] = np.inf
    with pytest.raises(ActivityError, match="the first at trial 1, unit 2, time 0"):
        cross_validate_decoder(model, broken, labels)
