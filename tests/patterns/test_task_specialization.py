"""Task specialisation: against scipy's tests, by hand, shuffled targets, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu, ttest_ind
from sklearn.model_selection import KFold

from activome.activity import make
from activome.errors import ActivityError, ParameterError
from activome.patterns.task_specialization import TaskSpecialization

TASK = np.repeat([0, 1], [20, 24])


def planted(n_units: int = 12, seed: int = 0) -> Any:
    """Return samples in which unit 1 is for task 0, unit 3 for task 1, and unit 5 never varies."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(44, n_units))
    values[TASK == 0, 1] += 3.0
    values[TASK == 1, 3] += 3.0
    values[:, 5] = 7.3
    return values


@pytest.mark.parametrize("test", ["mannwhitney", "ttest"])
def test_statistics_are_those_of_scipy_unit_by_unit(test: str) -> None:
    values = planted()
    found = TaskSpecialization(test).fit(values, TASK)
    for unit in range(values.shape[1]):
        a, b = values[TASK == 0, unit], values[TASK == 1, unit]
        if unit == 5:
            assert (found.p_[unit], found.d_[unit]) == (1.0, 0.0)
            continue
        if test == "mannwhitney":
            wanted: Any = mannwhitneyu(a, b, alternative="two-sided")
        else:
            wanted = ttest_ind(a, b, equal_var=False)
        assert found.p_[unit] == pytest.approx(wanted.pvalue, rel=1e-12)
        assert found.statistic_[unit] == pytest.approx(wanted.statistic, rel=1e-12)
        d = (a.mean() - b.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        assert found.d_[unit] == pytest.approx(d, rel=1e-12)
    np.testing.assert_allclose(found.p_adj_, false_discovery_control(found.p_), rtol=1e-12)
    assert found.label_.tolist() == [
        {1: "recall", 3: "reasoning"}.get(unit, "none") for unit in range(12)
    ]


def test_benjamini_hochberg_by_hand() -> None:
    p = TaskSpecialization().fit(planted(), TASK).p_
    adjusted = TaskSpecialization(correction="bh").fit(planted(), TASK).p_adj_
    order = np.argsort(p)
    steps = p[order] * p.size / np.arange(1, p.size + 1)
    by_hand = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    np.testing.assert_allclose(adjusted[order], by_hand, rtol=1e-12)
    np.testing.assert_array_equal(
        TaskSpecialization(correction="none").fit(planted(), TASK).p_adj_, p
    )


def test_the_worked_example() -> None:
    # Means 2 and 5, sums of squares 12 each. Every part has the difference of the whole.
    first, second = np.tile([1.0, 2.0, 3.0], 6), np.tile([4.0, 5.0, 6.0], 6)
    values = np.concatenate([first, second])[:, np.newaxis]
    found = TaskSpecialization(cv=6).fit(values, np.repeat([0, 1], 18))
    assert found.d_[0] == pytest.approx(-3.0 / np.sqrt(12 / 17))
    assert found.statistic_[0] == 0.0
    assert (found.consistency_[0], found.label_[0]) == (1.0, "reasoning")


def test_a_sign_that_turns_in_a_part_is_not_consistent() -> None:
    values = planted()
    # The first fold holds the first 4 samples of the one task and 5 of the other.
    values[:4, 1] -= 10.0
    found = TaskSpecialization(d_min=0.0, alpha=0.5).fit(values, TASK)
    assert found.consistency_[1] == pytest.approx(0.8)
    assert found.label_[1] == "none"
    assert found.consistency_[3] == 1.0


def test_features_of_a_component_may_disagree() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(44, 4, 3))
    values[TASK == 0, 1, 0] += 3.0
    values[TASK == 0, 2, 0] += 3.0
    values[TASK == 1, 2, 2] += 3.0
    found = TaskSpecialization().fit(values, TASK)
    assert found.p_.shape == found.d_.shape == (4, 3)
    assert found.label_.tolist() == ["none", "recall", "mixed", "none"]
    flat = TaskSpecialization().fit(values.reshape(44, 12), TASK)
    np.testing.assert_array_equal(found.p_adj_.ravel(), flat.p_adj_)


def test_shuffled_targets_specialise_next_to_nothing() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(60, 300))
    y = np.repeat([0, 1], 30)
    found = TaskSpecialization(n_permutations=30, alpha=0.05, d_min=0.0).fit(noise, y)
    assert found.null_share_.shape == (30,)
    assert found.null_share_.mean() <= 0.01
    # The shuffles say so where the test is no test: without correction 5 in 100 pass.
    loose = TaskSpecialization(
        n_permutations=10, alpha=0.2, d_min=0.0, correction="none", cv=2
    ).fit(noise, y)
    assert loose.null_share_.mean() > 0.1


def test_turning_the_tasks_round_turns_the_signs() -> None:
    there = TaskSpecialization().fit(planted(), TASK)
    back = TaskSpecialization().fit(planted(), 1 - TASK)
    np.testing.assert_allclose(there.d_, -back.d_)
    np.testing.assert_allclose(there.p_, back.p_, rtol=1e-9)


def test_a_recording_with_two_conditions() -> None:
    condition = np.where(TASK == 0, "go", "stop")
    activity = make(
        planted(), ("trial", "unit"), coords={"condition": ("trial", condition)}, kind="rate"
    )
    found = TaskSpecialization().fit(activity, "condition")
    assert found.classes_.tolist() == ["go", "stop"]
    assert (found.label_[1], found.label_[3]) == ("go", "stop")
    named = TaskSpecialization(names=("left", "right")).fit(planted(), TASK)
    assert set(named.label_) == {"left", "right", "none"}


def test_a_difference_without_spread_is_infinite() -> None:
    values = planted()
    values[:, 5] = TASK
    found = TaskSpecialization("ttest").fit(values, TASK)
    assert (found.d_[5], found.p_[5], found.label_[5]) == (-np.inf, 0.0, "reasoning")


def test_refusals() -> None:
    values = planted()
    with pytest.raises(ActivityError, match="at least 8 samples; '1' has 4"):
        TaskSpecialization().fit(values[:24], TASK[:24])
    with pytest.raises(ActivityError, match="two tasks to tell apart; got 3 classes"):
        TaskSpecialization().fit(values, np.arange(44) % 3)
    with pytest.raises(ActivityError, match="got 1 class: "):
        TaskSpecialization().fit(values, np.zeros(44, dtype=int))
    with pytest.raises(ActivityError, match="one task alone"):
        TaskSpecialization(cv=KFold(4)).fit(values, TASK)
    with pytest.raises(ActivityError, match="Lower cv"):
        TaskSpecialization(cv=21).fit(values, TASK)
    broken = values.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ActivityError, match="finite"):
        TaskSpecialization().fit(broken, TASK)
    wide = np.full((44, 2, 2), np.nan)
    with pytest.raises(ActivityError, match="finite"):
        TaskSpecialization().fit(wide, TASK)
    for options, text in (
        ({"test": "anova"}, "unknown test"),
        ({"alpha": 0.0}, "alpha"),
        ({"d_min": -1.0}, "d_min"),
        ({"correction": "fdr"}, "unknown correction"),
        ({"cv": 1}, "cv"),
        ({"names": "ab"}, "names"),
        ({"n_permutations": -1}, "n_permutations"),
    ):
        with pytest.raises(ParameterError, match=text):
            TaskSpecialization(**options).fit(values, TASK)
