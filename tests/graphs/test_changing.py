"""Changing communities: planted changes, none where there are none, a slow twin, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError
from activome.graphs.changing import _modularity, _move_units, changing_communities
from activome.graphs.communities import signed_modularity_matrix
from activome.samples.null_recordings import null_recording

Array = np.ndarray[Any, Any]


def two_halves(seed: int, changes: bool, n: int = 1200) -> Array:
    """Twelve units in two groups of six; in the second half three of each group swap."""
    rng = np.random.default_rng(seed)
    drive = np.repeat(rng.normal(size=(n, 2)), 6, axis=1)
    if changes:
        order = np.r_[0:3, 6:9, 3:6, 9:12]
        drive[n // 2 :] = drive[n // 2 :, order]
    return np.asarray(drive + rng.normal(size=(n, 12)))


def test_a_planted_change_is_found_and_named() -> None:
    found = changing_communities(two_halves(0, True), 4, alpha=0.05, random_state=0)
    assert found.is_significant
    assert found.p_value == pytest.approx(0.01)
    first, *_, last = found.labels.values
    groups = [{frozenset(np.flatnonzero(row == k)) for k in set(row)} for row in (first, last)]
    assert groups[0] == {frozenset(range(6)), frozenset(range(6, 12))}
    assert groups[1] == {frozenset([0, 1, 2, 6, 7, 8]), frozenset([3, 4, 5, 9, 10, 11])}
    assert found.bounds[[0, -1]].tolist() == [0, 1200]
    assert 0.2 < found.moved < 0.6


def test_constant_communities_do_not_change() -> None:
    p_values = [
        changing_communities(two_halves(seed, False, 600), random_state=seed).p_value
        for seed in range(30)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15
    assert np.mean(p_values) > 0.25
    found = changing_communities(two_halves(0, False), random_state=0)
    assert (found.labels.values == found.whole.values).all()
    assert found.moved == 0.0


@pytest.mark.parametrize("kind", ["ar1", "drift", "heavy_tailed", "ragged"])
def test_unrelated_units_do_not_change(kind: str) -> None:
    sizes = {"n_units": 6, "n_times": 20, "n_trials": 24}
    hits = 0
    for seed in range(20):
        activity, _ = null_recording(kind, memory=0.8, random_state=seed, **sizes)
        hits += changing_communities(activity, alpha=0.01, random_state=seed).is_significant
    assert hits <= 2


def test_modularity_and_moves_by_definition() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(30, 9))
    samples[:, 4] = 0.0
    product = samples.T @ samples
    matrix = _modularity(product)
    spread = np.sqrt(np.diag(product))
    spread[4] = np.inf
    wanted, total = signed_modularity_matrix(product / np.outer(spread, spread))
    np.testing.assert_allclose(matrix, wanted / total, atol=1e-12)
    start = rng.integers(0, 3, 9)
    labels = start.copy()
    gain = _move_units(matrix, labels, 50)

    def quality(groups: Array) -> float:
        return float(matrix[groups[:, None] == groups].sum())

    assert gain == pytest.approx(quality(labels) - quality(start))
    for unit in range(9):
        for other in range(labels.max() + 2):
            moved = labels.copy()
            moved[unit] = other
            assert quality(moved) <= quality(labels) + 1e-9


def test_labels_constant_units_and_trials() -> None:
    values = np.insert(two_halves(1, True), 3, 5.0, axis=1)
    activity = make(values.reshape(40, 30, 13), unit=[f"n{k}" for k in range(13)])
    found = changing_communities(activity, 2, random_state=0)
    assert found.labels.unit.values[3] == "n3"
    assert (found.labels.values[:, 3] == found.labels.values.max(axis=1)).all()
    assert set(found.bounds % 30) == {0}


def test_refusals() -> None:
    good = two_halves(0, False, 200)
    cases: list[tuple[Any, str]] = [
        (good[:, :2], "three units must vary"),
        (good[:30], "long for its memory"),
        (np.cumsum(good, axis=0), "long for its memory"),
        (np.where(good > 2, np.nan, good), "must be finite"),
        (good[0], "n_samples, n_units"),
    ]
    for values, message in cases:
        with pytest.raises(ActivityError, match=message):
            changing_communities(values)
    with pytest.raises(ParameterError, match="max_windows"):
        changing_communities(good, 1)
    with pytest.raises(ParameterError, match="alpha"):
        changing_communities(good, alpha=0.0)
