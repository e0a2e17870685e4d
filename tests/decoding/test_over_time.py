"""Decoding over time: against scikit-learn window by window, planted onsets, chance, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

from activome.activity.schema import make
from activome.activity.splits import TrialSplit
from activome.activity.stacking import from_ragged
from activome.decoding.over_time import decode_over_time
from activome.errors import ActivityError, ParameterError

Array = np.ndarray[Any, Any]


def planted(n_trials: int = 60, effect: float = 1.5, n_units: int = 6) -> tuple[Array, Array]:
    """Return noise (trial, unit, time 16) in which one unit tells the class from bin 8 on."""
    rng = np.random.default_rng(0)
    side = rng.permutation(np.resize(["a", "b", "c"], n_trials))
    values = rng.normal(size=(n_trials, n_units, 16))
    values[:, 0, 8:] += effect * np.unique(side, return_inverse=True)[1][:, np.newaxis]
    return values, side


def by_hand(features: Array, labels: Array, folds: list[tuple[Array, Array]]) -> Array:
    """Standardise, whiten by the shrunk covariance of all training trials, nearest class mean."""
    guessed = np.empty_like(labels)
    for train, test in folds:
        scaler = StandardScaler().fit(features[train])
        first, second = scaler.transform(features[train]), scaler.transform(features[test])
        precision = LedoitWolf(assume_centered=True).fit(first).precision_
        whiten = np.linalg.cholesky(precision)
        model = NearestCentroid().fit(first @ whiten, labels[train])
        guessed[test] = model.predict(second @ whiten)
    return guessed


def test_equals_scikit_learn_window_by_window() -> None:
    values, side = planted()
    found = decode_over_time(values, side, window=3, step=2, random_state=7, n_permutations=19)
    seed = int(np.random.default_rng(7).integers(2**31))
    folds = list(TrialSplit(5, random_state=seed).split(side, side))
    for k, start in enumerate(range(0, 14, 2)):
        guessed = by_hand(values[:, :, start : start + 3].mean(axis=2), side, folds)
        np.testing.assert_array_equal(found.predictions[k], guessed)
        assert found.scores[k] == pytest.approx(balanced_accuracy_score(side, guessed))
    assert found.times.tolist() == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0]
    assert (found.starts[0], found.stops[0]) == (0.0, 2.0)
    assert found.chance == pytest.approx(1 / 3)


def test_shuffles_equal_a_loop() -> None:
    values, side = planted(30)
    found = decode_over_time(values, side, window=8, step=8, random_state=3, n_permutations=20)
    rng = np.random.default_rng(3)
    seed = int(rng.integers(2**31))
    folds = list(TrialSplit(5, random_state=seed).split(side, side))
    fold_of = np.empty(30, dtype=int)
    for k, (_, test) in enumerate(folds):
        fold_of[test] = k
    from activome.activity.nulls import permute_labels

    for row in found.null:
        labels = side[permute_labels(np.arange(30), fold_of, rng)]
        for k, start in enumerate((0, 8)):
            guessed = by_hand(values[:, :, start : start + 8].mean(axis=2), labels, folds)
            assert row[k] == pytest.approx(balanced_accuracy_score(labels, guessed))


def test_p_values_by_hand() -> None:
    values, side = planted()
    found = decode_over_time(values, side, random_state=0, n_permutations=99)
    largest = found.null.max(axis=1)
    for k, score in enumerate(found.scores):
        assert found.p_values[k] == (1 + (largest >= score - 1e-9).sum()) / 100
        assert found.p_uncorrected[k] == (1 + (found.null[:, k] >= score - 1e-9).sum()) / 100
    assert found.p_value == found.p_values.min()


def test_onset_is_where_it_was_planted() -> None:
    values, side = planted(effect=3.0)
    found = decode_over_time(values, side, window=1, random_state=0)
    assert found.onset(0.01) == 8.0
    assert (found.p_values <= 0.01).tolist() == [False] * 8 + [True] * 8
    flat = decode_over_time(values[:, 1:], side, window=1, random_state=0)
    assert flat.onset(0.01) is None


def test_any_false_window_is_as_rare_as_the_level() -> None:
    # 100 recordings of noise with memory over time; at 5 %, 12 or more have a chance of 0.4 %.
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(24, 4, 12)).cumsum(axis=2)
        side = rng.permutation(np.resize([0, 1], 24))
        found = decode_over_time(
            values, side, window=2, step=2, n_permutations=19, random_state=seed
        )
        false += found.onset(0.05) is not None
    assert false <= 11


def test_numbers_are_read_by_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    speed = rng.normal(size=50)
    values = rng.normal(size=(50, 5, 6))
    values[:, 1, 3:] += speed[:, np.newaxis]
    found = decode_over_time(values, speed, window=1, random_state=0, n_permutations=49)
    assert found.metric == "R2"
    assert found.scores[0] == pytest.approx(r2_score(speed, found.predictions[0]))
    assert found.onset() == 3.0
    # Near what ridge regression with any sensible penalty gives.
    seed = int(np.random.default_rng(0).integers(2**31))
    guessed = np.empty(50)
    for train, test in TrialSplit(5, random_state=seed).split(speed):
        scaler = StandardScaler().fit(values[train, :, 4])
        model = Ridge(1.0).fit(scaler.transform(values[train, :, 4]), speed[train])
        guessed[test] = model.predict(scaler.transform(values[test, :, 4]))
    assert found.scores[4] == pytest.approx(r2_score(speed, guessed), abs=0.03)


def test_labelled_and_plain_agree_and_missing_labels_are_left_out() -> None:
    values, side = planted()
    side[5] = ""
    activity = make(
        np.moveaxis(values, 1, 2), sampling_rate=10.0, start=-0.8, coords={"side": ("trial", side)}
    )
    labelled = decode_over_time(activity, "side", window=0.2, step=0.2, random_state=0)
    plain = decode_over_time(values, side, window=2, step=2, random_state=0)
    np.testing.assert_array_equal(labelled.scores, plain.scores)
    np.testing.assert_array_equal(labelled.null, plain.null)
    np.testing.assert_allclose(labelled.times, plain.times * 0.1 - 0.8)
    assert 5 not in labelled.trials
    assert labelled.truth.size == 59


def test_groups_are_held_out_whole() -> None:
    # Each animal tells the class by the sign of its own: no animal tells it for another.
    rng = np.random.default_rng(0)
    animal = np.repeat(np.arange(6), 20)
    side = np.tile([0, 1], 60)
    values = rng.normal(size=(120, 3, 4))
    values[:, 0] += (4.0 * (side - 0.5) * np.where(animal % 2, 1, -1))[:, np.newaxis]
    values[:, 1] += 4.0 * np.where(animal % 2, 1, -1)[:, np.newaxis]
    mixed = decode_over_time(values[:, :1], side, random_state=0)
    apart = decode_over_time(values[:, :1], side, groups=animal, random_state=0)
    assert mixed.onset() is None
    assert apart.onset() is None
    one_sign = values[:, :1] * np.where(animal % 2, 1, -1)[:, np.newaxis, np.newaxis]
    assert decode_over_time(one_sign, side, groups=animal, random_state=0).onset() == 0.0


def test_ragged_trials_are_used_to_where_the_shortest_ends() -> None:
    values, side = planted()
    rng = np.random.default_rng(0)
    lengths = rng.integers(12, 17, size=60)
    lengths[0] = 12
    ragged = from_ragged(
        [v.T[:n] for v, n in zip(values, lengths, strict=True)],
        sampling_rate=1.0, coords={"side": ("trial", side)},
    )  # fmt: skip
    found = decode_over_time(ragged, "side", window=1, step=1, random_state=0)
    whole = decode_over_time(values[:, :, :12], side, window=1, step=1, random_state=0)
    np.testing.assert_array_equal(found.scores, whole.scores)


def test_refusals() -> None:
    values, side = planted()
    activity = make(np.moveaxis(values, 1, 2), coords={"side": ("trial", side)})
    with pytest.raises(ActivityError, match="must have dims trial, time and unit"):
        decode_over_time(activity.isel(time=0), "side")
    with pytest.raises(ActivityError, match=r"plain numbers must be \(n_trials, n_units, n_times"):
        decode_over_time(values[0], side)
    with pytest.raises(ActivityError, match=r"one per trial \(60\); got \(59,\)"):
        decode_over_time(values, side[1:])
    clock = activity.assign_coords(phase=("time", np.arange(16.0)))
    with pytest.raises(ActivityError, match="Use decode_label for labels of times"):
        decode_over_time(clock, "phase")
    with pytest.raises(ParameterError, match="window, in bins, must be an integer at most 16"):
        decode_over_time(values, side, window=17)
    with pytest.raises(ParameterError, match="step must be in"):
        decode_over_time(values, side, step=0)
    with pytest.raises(ActivityError, match="at least two values"):
        decode_over_time(values, np.full(60, "a"))
    broken = values.copy()
    broken[3, 2, 1] = np.nan
    with pytest.raises(ActivityError, match="must be finite"):
        decode_over_time(broken, side)
    with pytest.raises(ParameterError, match="alpha must be in"):
        decode_over_time(values, side, n_permutations=1).onset(0.0)
