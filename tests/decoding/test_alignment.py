"""Alignment of populations: maps by hand and by scikit-learn, transfer without leakage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import Ridge

from activome.activity.populations import pseudo_populations
from activome.activity.schema import make
from activome.decoding.alignment import ResponseAligner, transfer_matrix
from activome.errors import ActivityError, ParameterError

Array = np.ndarray[Any, Any]


def shared_code(n_units: int, labels: Array, seed: int) -> Array:
    """Return counts of units that mix two courses over time, one for each class."""
    rng = np.random.default_rng(seed)
    courses = np.stack([np.sin(np.linspace(0, 3, 6)), np.linspace(1, 0, 6)])
    weights = rng.normal(size=(n_units, 2))
    drive = np.einsum("ul,lt->ult", weights, courses)[:, (labels == "b").astype(int)]
    return np.asarray(rng.poisson(np.exp(1.0 + 0.8 * np.moveaxis(drive, 1, 0))))


def scaled_means(counts: Array, labels: Array) -> tuple[Array, Array, Array]:
    root = np.sqrt(counts)
    mean, spread = root.mean(axis=(0, 2)), root.std(axis=(0, 2)) + 0.1
    z = (root - mean[:, None]) / spread[:, None]
    rows = [z[labels == name].mean(axis=0).T for name in np.unique(labels)]
    return np.concatenate(rows), mean, spread


LABELS = np.tile(["a", "b"], 20)
SOURCE, TARGET = shared_code(9, LABELS, 0), shared_code(7, LABELS, 1)


@pytest.mark.parametrize("n_target", [7, 20])
def test_map_is_ridge_regression_of_class_means(n_target: int) -> None:
    target = shared_code(n_target, LABELS, 1)
    aligner = ResponseAligner(ridge=2.0).fit(SOURCE, LABELS, target, LABELS)
    m_s, _, _ = scaled_means(SOURCE, LABELS)
    m_t, _, _ = scaled_means(target, LABELS)
    model = Ridge(alpha=2.0, fit_intercept=False).fit(m_t, m_s)
    np.testing.assert_allclose(aligner.map_, model.coef_.T, atol=1e-9)


def test_transform_by_hand_and_back_to_the_root() -> None:
    aligner = ResponseAligner().fit(SOURCE, LABELS, TARGET, LABELS)
    _, mean_s, spread_s = scaled_means(SOURCE, LABELS)
    _, mean_t, spread_t = scaled_means(TARGET, LABELS)
    z = (np.sqrt(TARGET) - mean_t[:, None]) / spread_t[:, None]
    root = np.einsum("kut,us->kst", z, aligner.map_) * spread_s[:, None] + mean_s[:, None]
    found = aligner.transform(TARGET)
    np.testing.assert_allclose(np.sign(found) * np.sqrt(np.abs(found)), root, atol=1e-9)


def test_rotation_is_that_of_scipy() -> None:
    target = shared_code(9, LABELS, 1)
    aligner = ResponseAligner(how="procrustes").fit(SOURCE, LABELS, target, LABELS)
    m_s, _, _ = scaled_means(SOURCE, LABELS)
    m_t, _, _ = scaled_means(target, LABELS)
    rotation, total = orthogonal_procrustes(m_t, m_s)
    # Where class means do not reach, scipy completes the rotation; the images of means agree.
    np.testing.assert_allclose(m_t @ aligner.map_, total / (m_t**2).sum() * m_t @ rotation,
                               atol=1e-8)  # fmt: skip


def test_a_population_is_brought_onto_itself() -> None:
    order = np.random.default_rng(0).permutation(9)
    aligner = ResponseAligner(ridge=1e-6).fit(SOURCE, LABELS, SOURCE[:, order], LABELS)
    m_s, _, _ = scaled_means(SOURCE, LABELS)
    np.testing.assert_allclose(m_s[:, order] @ aligner.map_, m_s, atol=1e-3)


def test_labels_of_trials_and_units_of_the_source() -> None:
    source, target = (
        make(np.moveaxis(counts, 1, 2), unit=[f"{name}{k}" for k in range(counts.shape[1])],
             sampling_rate=100.0, coords={"side": ("trial", LABELS)}, kind="spikes")
        for name, counts in (("s", SOURCE), ("t", TARGET))
    )  # fmt: skip
    aligner = ResponseAligner().fit(source, "side", target, "side")
    found = aligner.transform(target.isel(trial=slice(3, 9)))
    assert found.dims == ("trial", "time", "unit")
    assert found["unit"].values.tolist() == [f"s{k}" for k in range(9)]
    assert found["side"].values.tolist() == LABELS[3:9].tolist()
    np.testing.assert_array_equal(found["time"], target["time"])
    plain = ResponseAligner().fit(SOURCE, LABELS, TARGET, LABELS).transform(TARGET[3:9])
    np.testing.assert_allclose(np.moveaxis(found.values, 2, 1), plain)


class Nearest(ClassifierMixin, BaseEstimator):
    """Nearest class mean of standardised roots; keeps what it was trained on."""

    seen: list[Array] = []  # noqa: RUF012

    def fit(self, X: Array, y: Array) -> Nearest:
        Nearest.seen.append(X)
        self.classes_ = np.unique(y)
        self.means_ = np.stack([self._root(X)[y == name].mean(axis=0) for name in self.classes_])
        return self

    def predict(self, X: Array) -> Array:
        distance = ((self._root(X)[:, None] - self.means_) ** 2).sum(axis=(2, 3))
        return np.asarray(self.classes_[distance.argmin(axis=1)])

    def _root(self, X: Array) -> Array:
        return np.asarray(np.sign(X) * np.sqrt(np.abs(X)))


def animals(n: int = 3) -> list[tuple[Array, Array]]:
    labels = np.tile(["a", "b"], 25)
    return [(shared_code(8, labels, seed), labels) for seed in range(n)]


def test_transfer_needs_the_map() -> None:
    without = transfer_matrix(animals(), Nearest()).values
    aligned = transfer_matrix(animals(), Nearest(), ResponseAligner()).values
    away = ~np.eye(3, dtype=bool)
    assert np.diag(without).min() > 0.9
    np.testing.assert_array_equal(np.diag(without), np.diag(aligned))
    assert aligned[away].mean() > 0.9
    assert aligned[away].mean() > without[away].mean() + 0.2


def test_nothing_is_learned_from_test_trials() -> None:
    """Damaged test trials change neither the decoder nor the map."""
    seen = []
    for factor in (1, 50):
        changed = [(counts.copy(), labels) for counts, labels in animals(2)]
        Nearest.seen.clear()
        transfer_matrix(changed, Nearest(), ResponseAligner(), random_state=3)
        train = Nearest.seen[0]
        is_test = ~np.array([any((c == t).all() for t in train) for c in changed[0][0]])
        for counts, _ in changed:
            counts[is_test] *= factor
        Nearest.seen.clear()
        transfer_matrix(changed, Nearest(), ResponseAligner(), random_state=3)
        seen.append([x.copy() for x in Nearest.seen])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    assert is_test.sum() == 20


def test_shuffled_labels_do_not_transfer() -> None:
    rng = np.random.default_rng(0)
    mixed = [(counts, rng.permutation(labels)) for counts, labels in animals(4)]
    matrix = transfer_matrix(mixed, Nearest(), ResponseAligner()).values
    # 12 pairs of 20 trials at 1/2, not independent: far from the 0.9 of true labels.
    assert abs(matrix[~np.eye(4, dtype=bool)].mean() - 0.5) < 0.15


def test_groups_of_units_are_disjoint() -> None:
    counts = np.arange(2 * 10 * 3).reshape(2, 10, 3)
    groups = pseudo_populations(counts, 3, random_state=0)
    assert [group.shape for group in groups] == [(2, 3, 3)] * 3
    units = np.concatenate([group[0, :, 0] for group in groups])
    assert np.unique(units).size == 9
    activity = make(np.moveaxis(counts, 1, 2), unit=[f"n{k}" for k in range(10)])
    named = pseudo_populations(activity, 3, random_state=0)
    for group, plain in zip(named, groups, strict=True):
        np.testing.assert_array_equal(np.moveaxis(group.values, 2, 1), plain)
    with pytest.raises(ActivityError, match="4 groups of 3 need 12 units; there are 10"):
        pseudo_populations(counts, 3, 4)
    with pytest.raises(ActivityError, match="there must be units"):
        pseudo_populations(counts[0], 3)
    with pytest.raises(ParameterError, match="size must be an integer at least 1"):
        pseudo_populations(counts, 0)


def test_refusals() -> None:
    others = np.where(LABELS == "a", "c", LABELS)
    aligner = ResponseAligner()
    with pytest.raises(ActivityError, match=r"same classes; the source saw \['a', 'b'\]"):
        aligner.fit(SOURCE, LABELS, TARGET, np.where(LABELS == "a", "c", LABELS))
    with pytest.raises(ActivityError, match="the source has 6 bins, the target 5"):
        aligner.fit(SOURCE, LABELS, TARGET[:, :, 1:], LABELS)
    with pytest.raises(ActivityError, match=r"ResponseAligner.fit \(target\): counts must not be"):
        aligner.fit(SOURCE, LABELS, -TARGET, LABELS)
    with pytest.raises(ParameterError, match="unknown how 'best'"):
        ResponseAligner(how="best").fit(SOURCE, LABELS, TARGET, LABELS)
    with pytest.raises(ActivityError, match="must have the 7 units of the target; got 9"):
        aligner.fit(SOURCE, LABELS, TARGET, LABELS).transform(SOURCE)
    with pytest.raises(ActivityError, match="at least two animals; got 1"):
        transfer_matrix(animals(1), Nearest())
    with pytest.raises(ParameterError, match="give one of them"):
        transfer_matrix(animals(2), Nearest(), ResponseAligner(), n_shots=2)
    with pytest.raises(ActivityError, match="two trials of each; animal 0 has"):
        transfer_matrix([(SOURCE[:3], LABELS[:3]), (TARGET, LABELS)], Nearest())
    with pytest.raises(ActivityError, match="all animals must have seen the same classes"):
        transfer_matrix([(SOURCE, LABELS), (TARGET, others)], Nearest())
