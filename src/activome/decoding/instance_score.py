"""Scores of instance segmentations of long thin structures: coverage, F1, false splits, merges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_choice, check_integer, check_number
from activome.decoding._instance_matching import (
    MATCHERS,
    covered_share,
    match_consuming,
    match_one_to_one,
    overlap_table,
)
from activome.errors import ActivityError, ParameterError
from activome.graphs._instances import Instances, crop_to_common, read_instances
from activome.graphs.filaments import centre_line

__all__ = ["InstanceScores", "score_instances"]

Array = np.ndarray[Any, Any]
_THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))
_MATCHED_AT = 0.5
_EMPTY = np.zeros(0)


@dataclass(frozen=True)
class InstanceScores:
    """How well instances were told apart, in one volume or, added up, in several.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (n_thresholds,)
        Least likeness at which a pair is a match.
    tp_counts, fp_counts, fn_counts : ndarray of int64, shape (n_thresholds,)
        Matches, predictions without one, truths without one.
    coverage_per_truth : ndarray of float64, shape (n_truth,)
        Share of each truth's centre line inside the predictions that belong to it.
    match_values : ndarray of float64, shape (n_matches,)
        Likeness of the pairs matched at 0.5.
    false_splits, false_merges : int
        Predictions too many for a truth, truths too many for a prediction.
    n_truth, n_pred : int
        Instances; small predictions are left out.
    coverage_dim, coverage_overlap : ndarray of float64, shape (n_dim,), (n_overlap,)
        Coverage of the dim truths, and of those that share voxels with another, each among
        themselves.
    matches_dim, matches_overlap : int
        Of these, how many are matched at 0.5.
    likeness : ndarray of float64, shape (n_truth, n_pred), or None
        Likeness of every pair; None for several volumes.
    matches : ndarray of int64, shape (n_matches, 2)
        The pairs (truth, prediction) matched at 0.5, counted from 0; empty for several volumes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((8, 8, 40), dtype=int)
    >>> truth[2:5, 2:5, 2:38] = 1
    >>> scores = score_instances(truth, truth, remove_small=0)
    >>> (scores + scores).n_truth, (scores + scores).S
    (2, 1.0)
    """

    thresholds: Array
    tp_counts: Array
    fp_counts: Array
    fn_counts: Array
    coverage_per_truth: Array
    match_values: Array
    false_splits: int
    false_merges: int
    n_truth: int
    n_pred: int
    coverage_dim: Array
    coverage_overlap: Array
    matches_dim: int
    matches_overlap: int
    likeness: Array | None
    matches: Array

    @property
    def f1_per_threshold(self) -> Array:
        """F1 at each threshold, shape (n_thresholds,)."""
        total = 2 * self.tp_counts + self.fp_counts + self.fn_counts
        return np.asarray(2 * self.tp_counts / total)

    @property
    def avF1(self) -> float:  # noqa: N802  # the field's name
        """Mean F1 over the thresholds."""
        return float(self.f1_per_threshold.mean())

    @property
    def C(self) -> float:  # noqa: N802
        """Mean coverage over the truths."""
        return float(self.coverage_per_truth.mean())

    @property
    def S(self) -> float:  # noqa: N802
        """Mean of ``avF1`` and ``C``."""
        return 0.5 * (self.avF1 + self.C)

    @property
    def tp(self) -> float:
        """Share of the truths matched at 0.5."""
        return self.match_values.size / self.n_truth

    @property
    def clDice_tp(self) -> float:  # noqa: N802
        """Mean likeness of the pairs matched at 0.5; 0 where there is none."""
        return float(self.match_values.mean()) if self.match_values.size else 0.0

    @property
    def tp_dim(self) -> float:
        """Share of the dim truths matched at 0.5; 0 where there is none."""
        return self.matches_dim / max(self.coverage_dim.size, 1)

    @property
    def C_dim(self) -> float:  # noqa: N802
        """Mean coverage of the dim truths; 0 where there is none."""
        return float(self.coverage_dim.mean()) if self.coverage_dim.size else 0.0

    @property
    def tp_overlap(self) -> float:
        """Share of the overlapping truths matched at 0.5; 0 where there is none."""
        return self.matches_overlap / max(self.coverage_overlap.size, 1)

    @property
    def C_overlap(self) -> float:  # noqa: N802
        """Mean coverage of the overlapping truths; 0 where there is none."""
        return float(self.coverage_overlap.mean()) if self.coverage_overlap.size else 0.0

    def table(self) -> pd.Series[float]:
        """Return the scores by their names in the field.

        Returns
        -------
        pandas.Series
            S, avF1, C, clDice_tp, tp, FS, FM and the scores of the dim and overlapping truths.
        """
        names = ("S", "avF1", "C", "clDice_tp", "tp", "tp_dim", "C_dim", "tp_overlap", "C_overlap")
        values = {name: float(getattr(self, name)) for name in names}
        counts = {"FS": self.false_splits, "FM": self.false_merges}
        return pd.Series({**values, **counts, "n_truth": self.n_truth, "n_pred": self.n_pred})

    def __add__(self, other: InstanceScores) -> InstanceScores:
        """Return the scores of two sets of volumes together.

        Parameters
        ----------
        other : InstanceScores
            With the same thresholds.

        Returns
        -------
        InstanceScores
            Counts are summed before F1; coverage is averaged over all truths.

        Raises
        ------
        ParameterError
            If the thresholds differ.
        """
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ParameterError(
                "InstanceScores: only scores with the same thresholds add up; got "
                f"{self.thresholds.tolist()} and {other.thresholds.tolist()}."
            )
        added = ("tp_counts", "fp_counts", "fn_counts", "false_splits", "false_merges", "n_truth",
                 "n_pred", "matches_dim", "matches_overlap")  # fmt: skip
        joined = ("coverage_per_truth", "match_values", "coverage_dim", "coverage_overlap")
        values: dict[str, Any] = {n: getattr(self, n) + getattr(other, n) for n in added}
        values |= {n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in joined}
        return replace(self, **values, likeness=None, matches=np.zeros((0, 2), dtype=np.int64))


def score_instances(
    truth: Any,
    prediction: Any,
    shape: Sequence[int] | None = None,
    *,
    ndim: int = 3,
    criterion: str = "cldice",
    remove_small: int = 800,
    thresholds: Sequence[float] = _THRESHOLDS,
    merge_threshold: float = 0.1,
    split_threshold: float = 0.05,
    partly: bool = False,
    dim: Sequence[int] = (),
    match: str = "greedy",
) -> InstanceScores:
    """Score a segmentation of long thin instances against the truth.

    A pair is alike by the clDice of its centre lines: the harmonic mean of the share of the
    prediction's line inside the truth and of the truth's line inside the prediction. From it come
    F1 over a range of thresholds, coverage, and counts of false splits and merges.

    Parameters
    ----------
    truth, prediction : array-like of int, shape (n_z, n_y, n_x) or (n_instances, n_z, n_y, n_x)
        Labels with 0 for the background, or masks that may overlap; or a list of flat indices of
        each instance. Volumes of different size are cropped around their centres to the smaller.
    shape : sequence of int, optional
        Size of the volume; needed for flat indices.
    ndim : {2, 3}, default=3
        Axes of space.
    criterion : {"cldice", "iou"}, default="cldice"
        Compare centre lines, or whole masks by intersection over union.
    remove_small : int, default=800
        Predictions of that many voxels or fewer are left out.
    thresholds : sequence of float in [0, 1), default=0.1 to 0.9
        Where F1 is taken.
    merge_threshold, split_threshold : float in [0, 1), default=0.1 and 0.05
        Least share of a truth's line that counts as a merge or a split.
    partly : bool, default=False
        Whether the truth names only some of the objects: predictions that lie mostly in the
        background are then no false positives.
    dim : sequence of int, default=()
        Numbers of the dim truths, counted from 1 in the order of the labels or masks.
    match : {"greedy", "hungarian"}, default="greedy"
        How pairs are matched one to one.

    Returns
    -------
    InstanceScores
        All scores; ``+`` adds up volumes.

    Raises
    ------
    ActivityError
        If there is no truth, a truth is empty, labels are not whole and non-negative, or the forms
        do not fit.
    MissingExtraError
        If scikit-image is not installed.
    ParameterError
        If an option is unknown or outside its range.
    ResourceError
        If the bounding box of an instance would not fit in memory.

    Notes
    -----
    A prediction belongs to the truth, or to the background, that holds most of its line; coverage
    counts only the predictions that belong to a truth. Splits and merges are counted in a matching
    in which what a pair shares is used up before the next one is taken, so that overlapping truths
    are no merge. Thinning dominates the cost. For "iou" all scores use whole masks instead of lines
    (our choice).

    References
    ----------
    .. [1] L. Mais, P. Hirsch, C. Managan, R. Kandarpa, J. L. Rumberger, A. Reinke, L. Maier-Hein,
       G. Ihrke and D. Kainmueller, "FISBe: a real-world benchmark dataset for instance segmentation
       of long-range thin filamentous structures", 2024.
    .. [2] S. Shit et al., "clDice: a novel topology-preserving loss function for tubular structure
       segmentation", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((8, 8, 40), dtype=int)
    >>> truth[2:5, 2:5, 2:38] = 1
    >>> halves = truth * (1 + (np.arange(40) > 19))
    >>> scores = score_instances(truth, halves, remove_small=0)
    >>> scores.false_splits, scores.C, scores.n_pred
    (1, 1.0, 2)
    """
    owner = "score_instances"
    check_integer(ndim, name="ndim", owner=owner, low=2, high=3)
    check_choice(criterion, ("cldice", "iou"), name="criterion", owner=owner)
    check_choice(match, MATCHERS, name="match", owner=owner)
    check_integer(remove_small, name="remove_small", owner=owner, low=0)
    levels = np.array([_share(t, "thresholds", owner) for t in thresholds])
    if levels.size == 0:
        raise ParameterError(f"{owner}: there must be a threshold; got none.")
    merge_level = _share(merge_threshold, "merge_threshold", owner)
    split_level = _share(split_threshold, "split_threshold", owner)
    true, found = crop_to_common(
        read_instances(truth, shape=shape, ndim=ndim, owner=owner, what="truth"),
        read_instances(prediction, shape=shape, ndim=ndim, owner=owner, what="prediction"),
    )
    _refuse_empty(true, owner)
    dim_rows = _dim_rows(dim, len(true.voxels), owner)
    pair = _Pair(true, found.larger_than(remove_small), criterion)
    tp_counts, fp_counts = np.array(
        [pair.count(level, match, partly=partly) for level in levels]
    ).T  # fmt: skip
    matches = match_one_to_one(pair.likeness, _MATCHED_AT, match)
    overlap_rows = pair.overlapping()
    return InstanceScores(
        thresholds=levels,
        tp_counts=tp_counts,
        fp_counts=fp_counts,
        fn_counts=len(true.voxels) - tp_counts,
        coverage_per_truth=pair.coverage(np.arange(len(true.voxels))),
        match_values=pair.likeness[matches[:, 0], matches[:, 1]],
        false_splits=_too_many(pair.consume(split_level)[:, 0]),
        false_merges=_too_many(pair.consume(merge_level)[:, 1]),
        n_truth=len(true.voxels),
        n_pred=len(pair.predictions),
        coverage_dim=pair.coverage(dim_rows),
        coverage_overlap=pair.coverage(overlap_rows),
        matches_dim=len(match_one_to_one(pair.likeness[dim_rows], _MATCHED_AT, match)),
        matches_overlap=len(match_one_to_one(pair.likeness[overlap_rows], _MATCHED_AT, match)),
        likeness=pair.likeness,
        matches=matches,
    )


def _share(value: float, name: str, owner: str) -> float:
    return check_number(value, name=name, owner=owner, low=0.0, high=1.0, include_low=True)


def _refuse_empty(truth: Instances, owner: str) -> None:
    empty = [k for k, voxels in enumerate(truth.voxels) if voxels.size == 0]
    if empty or not truth.voxels:
        which = f"instance {empty[0]} holds no voxel" if empty else "it is all background"
        raise ActivityError(
            f"{owner}: truth must hold instances with voxels; {which}. "
            "Leave out volumes and instances without truth."
        )


def _dim_rows(dim: Sequence[int], n_truth: int, owner: str) -> Array:
    return np.array(
        [check_integer(k, name="dim", owner=owner, low=1, high=n_truth) - 1 for k in dim],
        dtype=np.int64,
    )


def _too_many(matched: Array) -> int:
    return int(np.maximum(np.unique(matched, return_counts=True)[1] - 1, 0).sum())


class _Pair:
    """Truth and prediction of one volume, and what they share."""

    def __init__(self, truth: Instances, prediction: Instances, criterion: str) -> None:
        self.truths, self.predictions = truth.voxels, prediction.voxels
        self.lines, self.lines_found = (
            one.voxels
            if criterion == "iou"
            else [centre_line(voxels, one.shape) for voxels in one.voxels]
            for one in (truth, prediction)
        )
        self.precision = overlap_table(self.lines_found, self.truths)
        self.recall = overlap_table(self.lines, self.predictions)[:, 1:]
        p, r = self.precision[:, 1:].T, self.recall
        total = p + r - p * r if criterion == "iou" else (p + r) / 2
        self.likeness = np.where(total > 0, p * r / np.where(total > 0, total, 1.0), 0.0)

    def count(self, threshold: float, how: str, *, partly: bool) -> tuple[int, int]:
        """Return the matches and the false positives at a threshold."""
        matched = match_one_to_one(self.likeness, threshold, how)
        is_false = np.ones(len(self.predictions), dtype=bool)
        is_false[matched[:, 1]] = False
        if partly:
            is_false &= self.precision.argmax(axis=1) > 0
        return len(matched), int(is_false.sum())

    def coverage(self, rows: Array) -> Array:
        """Return the coverage of some truths, as if there were no others."""
        if rows.size == 0:
            return _EMPTY
        among = self.precision
        if rows.size < len(self.truths):
            among = overlap_table(self.lines_found, [self.truths[k] for k in rows])
        owned_by = among.argmax(axis=1)
        return np.array(
            [
                covered_share(
                    self.lines[row],
                    [self.predictions[k] for k in np.flatnonzero(owned_by == number)],
                )
                for number, row in enumerate(rows, start=1)
            ]
        )

    def overlapping(self) -> Array:
        """Return the truths that share voxels with another."""
        everything = np.concatenate(self.truths)
        voxel, count = np.unique(everything, return_counts=True)
        shared = voxel[count > 1]
        return np.flatnonzero([np.isin(v, shared, assume_unique=True).any() for v in self.truths])

    def consume(self, threshold: float) -> Array:
        """Return the pairs of the matching that uses up what it matched."""
        return match_consuming(self.lines, self.truths, self.predictions, self.recall, threshold)
