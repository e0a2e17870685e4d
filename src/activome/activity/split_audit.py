"""What leaks in a split: shared samples, groups, identical rows, too small a gap, lost classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_integer

__all__ = ["SplitProblem", "audit_split"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SplitProblem:
    """One way in which a split leaks or cannot be scored.

    Attributes
    ----------
    fold : int
        Number of the fold.
    kind : {"overlap", "group", "identical", "gap", "class", "empty"}
        What is wrong.
    what : str
        In a sentence, with the figures.
    """

    fold: int
    kind: str
    what: str


def audit_split(
    folds: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    values: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    gap: int = 0,
) -> list[SplitProblem]:
    """List the ways in which a split leaks.

    Parameters
    ----------
    folds : iterable of (train, test)
        Sample numbers, as splitters yield them.
    values : array-like, shape (n_samples, n_features), optional
        Looked through for identical rows on both sides.
    labels : array-like, shape (n_samples,), optional
        Classes; each tested class must be in the training set.
    groups : array-like, shape (n_samples,), optional
        No group may be on both sides.
    gap : int, default=0
        Samples that must lie between training and test samples.

    Returns
    -------
    list of SplitProblem
        Empty when nothing is wrong.

    Examples
    --------
    >>> audit_split([([0, 1], [2, 3])], groups=["a", "b", "b", "c"])[0].what
    "1 group is on both sides: 'b'."
    """
    check_integer(gap, name="gap", owner="audit_split", low=0)
    rows = None if values is None else _row_codes(np.asarray(values))
    problems: list[SplitProblem] = []
    for fold, (train_like, test_like) in enumerate(folds):
        train, test = np.asarray(train_like), np.asarray(test_like)
        if train.size == 0 or test.size == 0:
            side = "training" if train.size == 0 else "test"
            problems.append(SplitProblem(fold, "empty", f"the {side} set is empty."))
            continue
        both = np.intersect1d(train, test)
        if both.size:
            what = f"{both.size} samples are on both sides, the first {both[0]}."
            problems.append(SplitProblem(fold, "overlap", what))
        problems += _between(fold, train, test, rows, labels, groups, gap)
    return problems


def _row_codes(values: Array) -> Array:
    flat = np.ascontiguousarray(values.reshape(len(values), -1))
    return np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1)


def _between(
    fold: int,
    train: Array,
    test: Array,
    rows: Array | None,
    labels: ArrayLike | None,
    groups: ArrayLike | None,
    gap: int,
) -> list[SplitProblem]:
    found: list[SplitProblem] = []
    if groups is not None:
        names = np.asarray(groups)
        shared = np.intersect1d(names[train], names[test])
        if shared.size:
            verb = "group is" if shared.size == 1 else "groups are"
            listed = ", ".join(repr(name.item()) for name in shared[:5])
            what = f"{shared.size} {verb} on both sides: {listed}."
            found.append(SplitProblem(fold, "group", what))
    if rows is not None:
        apart = np.setdiff1d(test, train)
        same = apart[np.isin(rows[apart], rows[np.setdiff1d(train, test)])]
        if same.size:
            what = f"{same.size} test rows have an identical row in training, the first {same[0]}."
            found.append(SplitProblem(fold, "identical", what))
    if gap:
        sorted_train = np.sort(train)
        place = np.searchsorted(sorted_train, test)
        left = test - sorted_train[np.maximum(place - 1, 0)]
        right = sorted_train[np.minimum(place, train.size - 1)] - test
        nearest = int(min(np.abs(left).min(), np.abs(right).min()))
        if nearest <= gap:
            what = f"a test sample is {nearest} samples from training; the gap must be {gap}."
            found.append(SplitProblem(fold, "gap", what))
    if labels is not None:
        classes = np.asarray(labels)
        missing = np.setdiff1d(classes[test], classes[train])
        if missing.size:
            what = f"class {missing[0].item()!r} is tested but not in training."
            found.append(SplitProblem(fold, "class", what))
    return found
