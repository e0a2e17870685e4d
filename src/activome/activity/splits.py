"""Splits that do not leak: blocks in time with a gap, groups, stratified trials, speckled cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from activome._checks import check_integer, check_number
from activome._random import RandomState, integer_seed, make_generator
from activome.activity.split_audit import SplitProblem, audit_split
from activome.errors import ActivityError, ParameterError

__all__ = [
    "BlockedSplit",
    "GroupSplit",
    "SpeckledHoldOut",
    "SplitProblem",
    "TrialSplit",
    "audit_split",
]

Array = np.ndarray[Any, Any]
Fold = tuple[Array, Array]


class BlockedSplit(BaseCrossValidator):
    """Folds of consecutive samples, with a gap between training and test samples.

    Neighbours in time are alike: a random split would test on near copies of the training data.

    Parameters
    ----------
    n_splits : int, default=5
        Folds; each sample is tested once.
    gap : int, default=0
        Samples left out of the training set on each side of the test block; at least the history
        of the features and the autocorrelation time of the target.
    offsets : array-like of int, shape (n_segments + 1,), optional
        Bounds of trials. Blocks then end at bounds, where there are at least ``n_splits`` trials.

    Raises
    ------
    ParameterError
        If ``n_splits`` is below 2, or ``gap`` is negative.
    ActivityError
        If a fold is left without training samples, or ``offsets`` do not cover the samples.

    Examples
    --------
    >>> import numpy as np
    >>> for train, test in BlockedSplit(2, gap=1).split(np.zeros(6)):
    ...     print(train.tolist(), test.tolist())
    [4, 5] [0, 1, 2]
    [0, 1] [3, 4, 5]
    """

    def __init__(
        self, n_splits: int = 5, *, gap: int = 0, offsets: ArrayLike | None = None
    ) -> None:
        self.n_splits = n_splits
        self.gap = gap
        self.offsets = offsets

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, optional
            Ignored.

        Returns
        -------
        int
            ``n_splits``.
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yield the training and the test samples of each fold.

        Parameters
        ----------
        X : array-like, shape (n_samples, ...)
            Only its length is used.
        y, groups : object, optional
            Ignored.

        Yields
        ------
        train, test : ndarray of int64
            Sample numbers.

        Raises
        ------
        ActivityError
            If a fold is left without training samples.
        """
        check_integer(self.n_splits, name="n_splits", owner="BlockedSplit", low=2)
        check_integer(self.gap, name="gap", owner="BlockedSplit", low=0)
        n = len(X)
        edges = self._edges(n)
        everyone = np.arange(n)
        for low, high in itertools.pairwise(edges):
            train = everyone[(everyone < low - self.gap) | (everyone >= high + self.gap)]
            if train.size == 0 or high == low:
                raise ActivityError(
                    f"BlockedSplit: every fold must have training and test samples; the test block "
                    f"{low} to {high} of {n} samples leaves {train.size} with a gap of {self.gap}. "
                    "Use fewer folds or a smaller gap."
                )
            yield train, everyone[low:high]

    def _edges(self, n: int) -> Array:
        if n < self.n_splits:
            raise ActivityError(f"BlockedSplit: needs at least {self.n_splits} samples; got {n}.")
        even = np.linspace(0, n, self.n_splits + 1).round().astype(np.int64)
        if self.offsets is None:
            return even
        bounds = np.asarray(self.offsets, dtype=np.int64)
        if bounds.ndim != 1 or bounds.size < 2 or bounds[0] != 0 or bounds[-1] != n:
            raise ActivityError(f"BlockedSplit: offsets must run from 0 to the {n} samples.")
        bounds = np.unique(bounds)
        if bounds.size - 1 < self.n_splits:
            return even
        nearest = bounds[np.abs(bounds - even[:, np.newaxis]).argmin(axis=1)]
        if np.unique(nearest).size == nearest.size:
            return np.asarray(nearest)
        return np.asarray(bounds[np.linspace(0, bounds.size - 1, self.n_splits + 1).astype(int)])


class GroupSplit(BaseCrossValidator):
    """Folds of whole groups: an animal or a session is never on both sides.

    Parameters
    ----------
    n_splits : int or None, default=5
        Folds; None leaves out one group at a time.
    stratify : bool, default=False
        Keep the shares of the classes in each fold as even as the groups allow.
    random_state : int, Generator or None
        Seed of the order of groups; None keeps the order.

    Raises
    ------
    ParameterError
        If ``n_splits`` is below 2.
    ActivityError
        If no groups are given, or there are fewer groups than folds.

    Examples
    --------
    >>> import numpy as np
    >>> for train, test in GroupSplit(None).split(np.zeros(4), groups=["a", "b", "a", "b"]):
    ...     print(train.tolist(), test.tolist())
    [1, 3] [0, 2]
    [0, 2] [1, 3]
    """

    def __init__(
        self,
        n_splits: int | None = 5,
        *,
        stratify: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.n_splits = n_splits
        self.stratify = stratify
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y : object, optional
            Ignored.
        groups : array-like, shape (n_samples,), optional
            Needed where one group at a time is left out.

        Returns
        -------
        int
            Folds.
        """
        return int(np.unique(np.asarray(groups)).size) if self.n_splits is None else self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yield the training and the test samples of each fold.

        Parameters
        ----------
        X : array-like, shape (n_samples, ...)
            Only its length is used.
        y : array-like, shape (n_samples,), optional
            Classes, where ``stratify``.
        groups : array-like, shape (n_samples,)
            Group of each sample.

        Yields
        ------
        train, test : ndarray of int64
            Sample numbers.

        Raises
        ------
        ActivityError
            If no groups are given, or there are fewer groups than folds.
        """
        if groups is None or len(groups) != len(X):
            raise ActivityError("GroupSplit: there must be one group per sample; give groups.")
        n_groups = np.unique(np.asarray(groups)).size
        wanted = 2 if self.n_splits is None else self.n_splits
        check_integer(wanted, name="n_splits", owner="GroupSplit", low=2)
        if n_groups < wanted:
            raise ActivityError(
                f"GroupSplit: needs at least {wanted} groups; got {n_groups}. Use fewer folds."
            )
        shuffle = self.random_state is not None
        seed = integer_seed(self.random_state) if shuffle else None
        splitter: Any
        if self.n_splits is None:
            splitter = LeaveOneGroupOut()
        elif self.stratify:
            splitter = StratifiedGroupKFold(self.n_splits, shuffle=shuffle, random_state=seed)
        else:
            splitter = GroupKFold(self.n_splits, shuffle=shuffle, random_state=seed)
        yield from splitter.split(np.zeros(len(X)), y, groups)


class TrialSplit(BaseCrossValidator):
    """Folds of trials drawn at random, with equal shares of each class where classes are given.

    Parameters
    ----------
    n_splits : int, default=5
        Folds.
    random_state : int, Generator or None, default=0
        Seed.

    Raises
    ------
    ParameterError
        If ``n_splits`` is below 2.
    ActivityError
        If there are fewer trials, or fewer trials of a class, than folds.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array(["a", "b", "a", "b"])
    >>> [sorted(labels[test].tolist()) for _, test in TrialSplit(2).split(labels, labels)]
    [['a', 'b'], ['a', 'b']]
    """

    def __init__(self, n_splits: int = 5, *, random_state: RandomState = 0) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, optional
            Ignored.

        Returns
        -------
        int
            ``n_splits``.
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yield the training and the test trials of each fold.

        Parameters
        ----------
        X : array-like, shape (n_trials, ...)
            Only its length is used.
        y : array-like, shape (n_trials,), optional
            Classes; None for a plain split.
        groups : object, optional
            Ignored; use ``GroupSplit``.

        Yields
        ------
        train, test : ndarray of int64
            Trial numbers.

        Raises
        ------
        ActivityError
            If there are fewer trials, or fewer trials of a class, than folds.
        """
        check_integer(self.n_splits, name="n_splits", owner="TrialSplit", low=2)
        seed = integer_seed(self.random_state)
        n = len(X)
        fewest = n if y is None else int(np.unique(np.asarray(y), return_counts=True)[1].min())
        if fewest < self.n_splits:
            what = "trials" if y is None else "trials of each class"
            raise ActivityError(
                f"TrialSplit: needs at least {self.n_splits} {what}; got {fewest}. Use fewer folds."
            )
        kind: Any = KFold if y is None else StratifiedKFold
        yield from kind(self.n_splits, shuffle=True, random_state=seed).split(np.zeros(n), y)


class SpeckledHoldOut:
    """Single cells of a matrix held out, for models that predict every unit at every time.

    Parameters
    ----------
    share : float in (0, 1), default=0.1
        Share of the cells in each hold-out.
    n_splits : int, default=5
        Hold-outs; disjoint, so ``share * n_splits`` must be at most 1.
    length : int, default=1
        Consecutive samples of a unit held out together; at least the autocorrelation time.
    random_state : int, Generator or None, default=0
        Seed.

    Raises
    ------
    ParameterError
        If an option is outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> [int(mask.sum()) for mask in SpeckledHoldOut(0.25, n_splits=2).split(np.zeros((8, 4)))]
    [8, 8]
    """

    def __init__(
        self,
        share: float = 0.1,
        *,
        n_splits: int = 5,
        length: int = 1,
        random_state: RandomState = 0,
    ) -> None:
        self.share = share
        self.n_splits = n_splits
        self.length = length
        self.random_state = random_state

    def split(self, values: Any) -> Iterator[Array]:
        """Yield the mask of each hold-out.

        Parameters
        ----------
        values : array-like, shape (n_samples, n_units)
            Only its shape is used.

        Yields
        ------
        ndarray of bool, shape (n_samples, n_units)
            True where held out.

        Raises
        ------
        ParameterError
            If the hold-outs together are more than all cells.
        """
        owner = "SpeckledHoldOut"
        check_number(self.share, name="share", owner=owner, low=0.0, high=1.0)
        check_integer(self.n_splits, name="n_splits", owner=owner, low=1)
        check_integer(self.length, name="length", owner=owner, low=1)
        if self.share * self.n_splits > 1 + 1e-9:
            raise ParameterError(
                f"{owner}: share * n_splits must be at most 1; got {self.share} * {self.n_splits}."
            )
        n_samples, n_units = np.shape(values)
        n_runs = -(-n_samples // self.length)
        order = make_generator(self.random_state).permutation(n_runs * n_units)
        each = round(self.share * order.size)
        for k in range(self.n_splits):
            runs = np.zeros(n_runs * n_units, dtype=bool)
            runs[order[k * each : (k + 1) * each]] = True
            mask = np.repeat(runs.reshape(n_runs, n_units), self.length, axis=0)
            yield mask[:n_samples]
