"""Split-half reliability of the dissimilarities of conditions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError
from activome.geometry.reliability import rdm_reliability


def _trials(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.tile(np.arange(6), 10)
    patterns = generator.normal(size=(6, 25))
    return patterns[labels] + noise * generator.normal(size=(60, 25)), labels


def test_without_noise_the_halves_agree() -> None:
    values, labels = _trials(0.0)
    found = rdm_reliability(values, labels, n_permutations=99, random_state=0)
    assert found.reliability == pytest.approx(1.0)
    assert found.p_value == 0.01
    assert found.conditions.tolist() == list(range(6))


def test_two_trials_per_condition_equal_scipy() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(10, 4))
    labels = np.repeat(np.arange(5), 2)
    found = rdm_reliability(values, labels, n_splits=200, random_state=0, n_permutations=1)
    # Every way to deal out the pairs.
    slow = []
    for code in range(32):
        first = np.array([2 * k + (code >> k & 1) for k in range(5)])
        second = np.array([2 * k + 1 - (code >> k & 1) for k in range(5)])
        rdms = pdist(values[first], "correlation"), pdist(values[second], "correlation")
        slow.append(spearmanr(*rdms).statistic)
    assert found.reliability == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / np.sqrt(200))


def test_noise_lowers_the_reliability() -> None:
    scores = [rdm_reliability(*_trials(s), random_state=0).reliability for s in (0.5, 2.0, 8.0)]
    assert scores[0] > scores[1] > scores[2]


def test_without_structure_false_statements_are_as_rare_as_asked() -> None:
    generator = np.random.default_rng(0)
    labels = np.tile(np.arange(5), 6)
    p_values = np.array(
        [
            rdm_reliability(
                generator.normal(size=(30, 10)),
                labels,
                n_splits=5,
                n_permutations=59,
                stop_after=4,
                random_state=seed,
            ).p_value
            for seed in range(100)
        ]
    )
    assert (p_values <= 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert (p_values <= 0.5).mean() == pytest.approx(0.5, abs=0.16)


def test_a_label_of_the_activity_and_ragged_trials() -> None:
    values, labels = _trials(0.5)
    activity = from_ragged(
        [np.tile(row, (2 + k % 3, 1)) for k, row in enumerate(values)],
        coords={"stimulus": ("trial", labels)},
    )
    found = rdm_reliability(activity, "stimulus", random_state=0)
    plain = rdm_reliability(values, labels, random_state=0)
    assert found.reliability == pytest.approx(plain.reliability)
    assert found.p_value == plain.p_value


def test_conditions_with_one_trial_are_left_out() -> None:
    values, labels = _trials(0.5)
    labels[0] = 99
    found = rdm_reliability(values, labels, random_state=0, n_permutations=19)
    assert 99 not in found.conditions


def test_refusals() -> None:
    values, labels = _trials(1.0)
    with pytest.raises(ActivityError, match="one condition per trial"):
        rdm_reliability(values, labels[:-1])
    with pytest.raises(ActivityError, match="three conditions must have two trials; 2 of 2"):
        rdm_reliability(values, labels % 2)
    with pytest.raises(ActivityError, match="use 'euclidean'"):
        rdm_reliability(values[:, :1], labels)
    with pytest.raises(ParameterError, match="unknown compare"):
        rdm_reliability(values, labels, compare="kendall")
    with pytest.raises(ActivityError, match="there is no label 'stimulus'"):
        rdm_reliability(make(values, ("trial", "unit")), "stimulus")
