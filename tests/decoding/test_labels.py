"""Decoding of labels: parity with scikit-learn, no leaks, calibrated p-values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict

from activome.activity.schema import make
from activome.activity.splits import BlockedSplit
from activome.activity.stacking import from_ragged
from activome.decoding._linear import DiscriminantFold, RidgeFold
from activome.decoding.labels import decode_label
from activome.errors import ActivityError, ParameterError


def _slow(n: int, n_series: int, generator: np.random.Generator) -> np.ndarray:
    noise = generator.normal(size=(n + 300, n_series))
    return np.asarray(lfilter([1.0], [1.0, -0.95], noise, axis=0)[300:])


@pytest.mark.parametrize("shape", [(60, 8), (20, 50)])
def test_ridge_equals_scikit_learn_with_the_best_penalty(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=shape) * 3 + 1, generator.normal(size=(7, shape[1]))
    target = train[:, :2] @ [[1.0], [0.5]] + generator.normal(size=(shape[0], 1))
    fold = RidgeFold(train, test)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    x, errors, models = (train - mean) / spread, [], []
    centred = target - target.mean()
    for penalty in fold.penalties:
        model = Ridge(alpha=penalty).fit(x, target)
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(shape[1]), x.T)
        residual = centred - hat @ centred
        errors.append(float((residual**2).sum()) / (shape[0] - 1 - np.trace(hat)) ** 2)
        models.append(model)
    expected = models[int(np.argmin(errors))].predict((test - mean) / spread)
    np.testing.assert_allclose(fold.predict(target)[:, 0], expected.reshape(-1), atol=1e-6)


@pytest.mark.parametrize("shape", [(60, 8), (24, 50)])
def test_discriminant_equals_the_dense_formula(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=shape), generator.normal(size=(40, shape[1]))
    codes = generator.integers(0, 3, size=(shape[0], 4))
    found = DiscriminantFold(train, test).predict(codes, 3)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    x, y = (train - mean) / spread, (test - mean) / spread
    covariance = x.T @ x / shape[0]
    a = ledoit_wolf_shrinkage(x, assume_centered=True)
    shrunk = (1 - a) * covariance + a * np.trace(covariance) / shape[1] * np.eye(shape[1])
    for k in range(4):
        means = np.stack([x[codes[:, k] == c].mean(axis=0) for c in range(3)])
        weights = np.linalg.solve(shrunk, means.T)
        scores = y @ weights - 0.5 * np.einsum("cf,fc->c", means, weights)
        np.testing.assert_array_equal(found[:, k], scores.argmax(axis=1))


def test_predictions_equal_cross_val_predict_on_the_same_blocks() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(400, 3))
    target = values @ [1.0, -1.0, 0.5] + 0.1 * generator.normal(size=400)
    found = decode_label(values, target, history=1, n_permutations=19, random_state=0)
    blocks = BlockedSplit(5, gap=1)
    expected = cross_val_predict(Ridge(alpha=0.0), values, target, cv=blocks)
    np.testing.assert_allclose(found.predictions, expected, atol=0.01)
    assert found.score > 0.98
    assert found.chance == 0.0
    assert found.metric == "R2"


def test_classes_of_trials_are_decoded_with_the_balanced_accuracy_by_hand() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(["left", "right", "up"], [40, 20, 20])
    values = generator.normal(size=(80, 12))
    values[:, 0] += 1.5 * (labels == "left")
    values[:, 1] += 1.5 * (labels == "up")
    activity = make(values, ("trial", "unit"), coords={"direction": ("trial", labels)})
    found = decode_label(activity, "direction", random_state=0)
    by_hand = np.mean(
        [np.mean(found.predictions[found.truth == name] == name) for name in np.unique(labels)]
    )
    assert found.score == pytest.approx(by_hand)
    assert found.chance == pytest.approx(1 / 3)
    assert found.p_value == 0.005
    assert found.interval[0] < found.score < found.interval[1]
    assert found.fold_scores.size == 5
    assert found.in_runs
    assert (found.kind, found.per, found.label) == ("categorical", "trial", "direction")


def test_a_lagged_label_needs_history() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(600, 4))
    target = np.roll(values[:, 0], 3)
    now = decode_label(values, target, history=1, n_permutations=19, random_state=0)
    past = decode_label(values, target, history=5, n_permutations=19, random_state=0)
    assert now.score < 0.05
    assert past.score > 0.95
    assert past.samples[0] == 4


def test_slow_activity_does_not_decode_an_unrelated_slow_label() -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for seed in range(30):
        values, target = _slow(500, 6, generator), _slow(500, 1, generator)[:, 0]
        found = decode_label(
            values, target, history=2, n_permutations=39, stop_after=4, random_state=seed
        )
        p_values.append(found.p_value)
    # 0.05 expected; two standard errors, and one of 39 draws more for the ends of the recording.
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 30) + 0.025


@pytest.mark.parametrize("kind", ["balanced", "rare", "continuous"])
def test_unrelated_labels_of_trials_are_decoded_as_rarely_as_asked(kind: str) -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for seed in range(30):
        values = generator.poisson(0.5, (40, 10)).astype(float)
        labels = {
            "balanced": np.arange(40) % 2,
            "rare": np.arange(40) % 5 == 0,
            "continuous": generator.normal(size=40),
        }[kind]
        activity = make(values, ("trial", "unit"))
        found = decode_label(activity, labels, n_permutations=39, stop_after=4, random_state=seed)
        p_values.append(found.p_value)
    assert np.mean(np.array(p_values) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 30)


def test_labels_that_ride_on_groups_are_permuted_over_groups() -> None:
    generator = np.random.default_rng(0)
    animal = np.repeat(np.arange(10), 12)
    trait = np.where(animal % 2 == 0, "a", "b")
    # Every animal has a pattern of its own, which says nothing of the trait of another one.
    values = generator.normal(size=(10, 15))[animal] * 3 + generator.normal(size=(120, 15))
    activity = make(values, ("trial", "unit"), coords={"animal": ("trial", animal)})
    mixed = decode_label(activity, trait, random_state=0, n_permutations=39)
    honest = decode_label(activity, trait, groups="animal", random_state=0, n_permutations=39)
    assert mixed.score > 0.95
    assert honest.p_value > 0.05
    assert honest.null.std() > 0.1


def test_ragged_trials_missing_labels_and_single_classes() -> None:
    generator = np.random.default_rng(0)
    side = np.array(["l", "r"] * 15 + ["", "once"], dtype=object)
    trials = [
        generator.normal(size=(generator.integers(3, 9), 5)) + 4 * (name == "r") for name in side
    ]
    activity = from_ragged(trials)
    found = decode_label(activity, side, n_permutations=39, random_state=0)
    assert found.samples.tolist() == list(range(30))
    assert found.classes is not None
    assert found.classes.tolist() == ["l", "r"]
    assert found.score > 0.95


def test_history_does_not_cross_trials() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(12, 15, 2))
    position = values[..., 0] * 2
    found = decode_label(make(values), position, history=4, n_permutations=19, random_state=0)
    assert found.per == "sample"
    assert found.truth.size == 12 * 12
    assert 0 not in found.samples % 15
    assert found.score > 0.99


def test_states_in_time_are_decoded_as_classes() -> None:
    generator = np.random.default_rng(0)
    state = (_slow(800, 1, generator)[:, 0] > 0).astype(int)
    values = generator.normal(size=(800, 5))
    values[:, 2] += 2 * state
    activity = make(values, sampling_rate=10.0, coords={"state": ("time", state)})
    found = decode_label(activity, "state", n_permutations=39, random_state=0)
    assert (found.kind, found.per) == ("categorical", "sample")
    assert found.p_value <= 0.05  # a shift by one sample is nearly the label itself
    assert found.score > 0.8


def test_same_seed_same_result() -> None:
    values = np.random.default_rng(0).normal(size=(60, 4))
    first, second = (
        decode_label(values, values[:, 0] > 0, n_permutations=19, random_state=3) for _ in range(2)
    )
    np.testing.assert_array_equal(first.null, second.null)
    assert first.interval == second.interval


def test_refusals() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(30, 3))
    activity = make(values, ("trial", "unit"), coords={"x": ("trial", ["a"] * 30)})
    with pytest.raises(ActivityError, match="there is no label 'y'"):
        decode_label(activity, "y")
    with pytest.raises(ActivityError, match="at least two values"):
        decode_label(activity, "x")
    with pytest.raises(ActivityError, match="one label per sample"):
        decode_label(values, np.zeros(29))
    with pytest.raises(ActivityError, match="must be numbers; 'label' is not"):
        decode_label(activity, np.array(["a", "b"] * 15), kind="continuous")
    with pytest.raises(ActivityError, match="groups must be at least two"):
        decode_label(activity, np.arange(30) % 2, groups=np.zeros(30))
    with pytest.raises(ParameterError, match="unknown kind"):
        decode_label(activity, "x", kind="class")
    with pytest.raises(ParameterError, match="history"):
        decode_label(values, np.arange(30.0), history=0)
