"""Splits that do not leak, and the audit that finds leaks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsRegressor

from activome.activity.splits import (
    BlockedSplit,
    GroupSplit,
    SpeckledHoldOut,
    TrialSplit,
    audit_split,
)
from activome.errors import ActivityError, ParameterError


@pytest.mark.parametrize(("n", "k", "gap"), [(20, 4, 0), (103, 5, 7), (10, 2, 3)])
def test_blocks_test_each_sample_once_and_keep_the_gap(n: int, k: int, gap: int) -> None:
    folds = list(BlockedSplit(k, gap=gap).split(np.zeros(n)))
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(n))
    for train, test in folds:
        assert np.abs(train[:, np.newaxis] - test).min() == gap + 1
    assert audit_split(folds, gap=gap) == []


def test_blocks_end_where_trials_end() -> None:
    offsets = [0, 7, 11, 20, 31, 40]
    for _, test in BlockedSplit(3, offsets=offsets).split(np.zeros(40)):
        assert test[0] in offsets
        assert test[-1] + 1 in offsets


def test_a_random_split_of_a_slow_series_leaks_and_blocks_do_not() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(1000, 5)).cumsum(axis=0)
    target = generator.normal(size=1000).cumsum()
    model = KNeighborsRegressor(3)
    leaky = cross_val_score(model, values, target, cv=KFold(5, shuffle=True, random_state=0)).mean()
    honest = cross_val_score(model, values, target, cv=BlockedSplit(5, gap=50)).mean()
    assert leaky > 0.9
    assert honest < 0.0


def test_groups_equal_scikit_learn() -> None:
    groups = np.repeat(np.arange(6), [3, 1, 4, 2, 5, 3])
    ours = [test.tolist() for _, test in GroupSplit(3).split(groups, groups=groups)]
    theirs = [test.tolist() for _, test in GroupKFold(3).split(groups, groups=groups)]
    assert ours == theirs
    alone = [test.tolist() for _, test in GroupSplit(None).split(groups, groups=groups)]
    assert alone == [t.tolist() for _, t in LeaveOneGroupOut().split(groups, groups=groups)]
    assert GroupSplit(None).get_n_splits(groups=groups) == 6


def test_stratified_groups_hold_each_class() -> None:
    groups = np.arange(12).repeat(4)
    labels = (groups % 3 == 0).astype(int)
    folds = list(GroupSplit(4, stratify=True, random_state=0).split(labels, labels, groups))
    assert audit_split(folds, groups=groups, labels=labels) == []
    assert [int(labels[test].sum()) for _, test in folds] == [4, 4, 4, 4]


def test_trials_equal_scikit_learn() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 5])
    ours = list(TrialSplit(5, random_state=3).split(labels, labels))
    theirs = list(StratifiedKFold(5, shuffle=True, random_state=3).split(labels, labels))
    for (a, b), (c, d) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_speckles_are_disjoint_and_of_the_asked_length() -> None:
    masks = list(SpeckledHoldOut(0.2, n_splits=5, length=4).split(np.zeros((40, 6))))
    total = np.sum(masks, axis=0)
    assert total.max() == 1
    assert [int(mask.sum()) for mask in masks] == [48] * 5
    assert (masks[0].reshape(10, 4, 6).sum(axis=1) % 4 == 0).all()


def test_audit_finds_each_leak() -> None:
    values = np.arange(12.0).reshape(6, 2)
    values[5] = values[0]
    labels, groups = ["a", "a", "b", "a", "a", "c"], ["x", "x", "y", "x", "z", "z"]
    found = audit_split(
        [([0, 1, 2, 4], [4, 5]), ([0], []), ([0, 1, 2, 3, 4], [5])],
        values=values,
        labels=labels,
        groups=groups,
        gap=1,
    )
    kinds = [(problem.fold, problem.kind) for problem in found]
    assert kinds == [
        (0, "overlap"),
        (0, "group"),
        (0, "identical"),
        (0, "gap"),
        (0, "class"),
        (1, "empty"),
        (2, "group"),
        (2, "identical"),
        (2, "gap"),
        (2, "class"),
    ]


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="n_splits"):
        next(BlockedSplit(1).split(np.zeros(9)))
    with pytest.raises(ActivityError, match="fewer folds or a smaller gap"):
        list(BlockedSplit(2, gap=9).split(np.zeros(10)))
    with pytest.raises(ActivityError, match="at least 5 samples"):
        list(BlockedSplit(5).split(np.zeros(3)))
    with pytest.raises(ActivityError, match="offsets must run"):
        list(BlockedSplit(2, offsets=[0, 3]).split(np.zeros(10)))
    with pytest.raises(ActivityError, match="one group per sample"):
        list(GroupSplit(2).split(np.zeros(4)))
    with pytest.raises(ActivityError, match="at least 3 groups"):
        list(GroupSplit(3).split(np.zeros(4), groups=[0, 0, 1, 1]))
    with pytest.raises(ActivityError, match="trials of each class; got 1"):
        list(TrialSplit(2).split(np.zeros(4), [0, 0, 0, 1]))
    with pytest.raises(ParameterError, match=r"share \* n_splits"):
        list(SpeckledHoldOut(0.5, n_splits=3).split(np.zeros((4, 4))))
