"""From labelled activity to features, targets, folds and the ways to shuffle the targets."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_finite
from activome.activity.bootstrap import autocorrelation_time
from activome.activity.nulls import permute_labels
from activome.activity.splits import BlockedSplit, GroupSplit, TrialSplit
from activome.activity.stacking import label_values, to_samples, to_trials
from activome.errors import ActivityError

__all__ = ["Design", "read_design"]

Array = np.ndarray[Any, Any]
OWNER = "decode_label"
_MAX_CLASSES = 20


@dataclass
class Design:
    """What is decoded from what.

    Attributes
    ----------
    features : ndarray of float64, shape (n_rows, n_features)
        One row per trial or sample with a label.
    target : ndarray, shape (n_rows,)
        float64 values, or int64 class codes.
    classes : ndarray or None
        Names of the classes.
    rows : ndarray of int64, shape (n_rows,)
        Trial or sample numbers of the rows.
    groups : ndarray or None
        Group of each row.
    offsets : ndarray of int64
        Bounds of the trials among the rows.
    per : {"trial", "sample"}
        What a row is.
    """

    features: Array
    target: Array
    classes: Array | None
    rows: Array
    groups: Array | None
    offsets: Array
    per: str

    def folds(self, n_folds: int, history: int, seed: int) -> list[tuple[Array, Array]]:
        """Return the training and test rows of each fold."""
        if self.groups is not None:
            n_groups = np.unique(self.groups).size
            splitter = GroupSplit(min(n_folds, n_groups))
            return list(splitter.split(self.target, None, self.groups))
        if self.per == "sample":
            gap = max(history, self.memory(len(self.target) // (4 * n_folds)))
            blocks = BlockedSplit(n_folds, gap=gap, offsets=self.offsets)
            return list(blocks.split(self.target))
        labels = self.target if self.classes is not None else None
        if labels is not None:
            n_folds = min(n_folds, int(np.bincount(labels).min()))
        n_folds = min(n_folds, len(self.target))
        return list(TrialSplit(n_folds, random_state=seed).split(self.target, labels))

    def memory(self, most: int) -> int:
        """Return the autocorrelation time of the target in samples, at most ``most``."""
        columns = self.target.astype(np.float64)
        if self.classes is not None:
            columns = np.eye(self.classes.size)[self.target]
        return int(min(np.ceil(autocorrelation_time(columns).max()), max(most, 1)))

    def shuffler(
        self, folds: list[tuple[Array, Array]], generator: np.random.Generator
    ) -> Callable[[], Array]:
        """Return the function that draws the order of the targets under the null."""
        places = np.arange(self.target.size)
        if self.per == "sample":
            # Lags of all sizes: without the small ones the data would stand out by themselves.
            return lambda: np.roll(places, int(generator.integers(1, places.size)))
        if self.groups is not None:
            if _constant_in_groups(self.target, self.groups):
                return lambda: _permute_groups(self.groups, generator)
            return lambda: permute_labels(places, self.groups, generator)
        if self.classes is None:
            return lambda: permute_labels(places, None, generator)
        # Folds hold equal shares of the classes; labels move within folds so that this stays so.
        fold_of = np.empty(places.size, dtype=np.int64)
        for k, (_, test) in enumerate(folds):
            fold_of[test] = k
        return lambda: permute_labels(places, fold_of, generator)


def _constant_in_groups(target: Array, groups: Array) -> bool:
    return all(np.unique(target[groups == name]).size == 1 for name in np.unique(groups))


def _permute_groups(groups: Any, generator: np.random.Generator) -> Array:
    """Give every group the label of another one: the order is of one row per group."""
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    order: Array = first[generator.permutation(first.size)][codes]
    return order


def read_design(
    activity: Any, label: Any, *, kind: str, groups: Any, history: int
) -> tuple[Design, str]:
    """Build the design; return it with the name of the label.

    Raises
    ------
    ActivityError
        If labels are neither one per trial nor one per sample, or too few are left.
    """
    per, index, values, target, name = _read_label(activity, label)
    group_values = _read_groups(groups, index, per, target.shape[0])
    if per == "trial":
        features, keep = values, np.ones(len(values), dtype=bool)
        offsets = np.arange(len(values) + 1)
    else:
        offsets = _bounds(index, len(values))
        features, keep = _with_history(values, offsets, history)
    keep &= _has_label(target)
    if kind == "auto":
        kind = _guess(target[keep], per)
    classes: Array | None = None
    if kind == "categorical":
        keep &= _common_enough(target, keep)
        classes, coded = np.unique(target[keep], return_inverse=True)
    else:
        coded = _as_numbers(target[keep], name)
    if coded.size < 6 or np.unique(coded).size < 2:
        raise ActivityError(
            f"{OWNER}: label {name!r} needs at least two values, each in two rows, and six rows; "
            f"{coded.size} rows with {np.unique(coded).size} values are left."
        )
    features = features[keep]
    check_finite(features, owner=OWNER, axes=(per, "feature"))
    bounds = np.concatenate([[0], np.cumsum(keep)])[offsets]
    chosen = None if group_values is None else group_values[keep]
    if chosen is not None and np.unique(chosen).size < 2:
        raise ActivityError(f"{OWNER}: groups must be at least two; got one. Leave groups out.")
    return (
        Design(features, coded, classes, np.flatnonzero(keep), chosen, bounds, per),
        name,
    )


def _read_label(activity: Any, label: Any) -> tuple[str, Any, Array, Array, str]:
    name = label if isinstance(label, str) else str(getattr(label, "name", None) or "label")
    if not isinstance(activity, xr.DataArray):
        values, target = np.asarray(activity, dtype=np.float64), np.asarray(label)
        if values.ndim != 2 or target.shape != values.shape[:1]:
            raise ActivityError(
                f"{OWNER}: plain numbers must be (n_samples, n_units) with one label per sample; "
                f"got {values.shape} and {target.shape}. Build an Activity for trials."
            )
        return "sample", None, values, target, name
    if isinstance(label, str):
        known = label in activity.coords
        dims: tuple[Any, ...] = activity.coords[label].dims if known else ("trial",)
        per = "trial" if dims == ("trial",) else "sample"
    else:
        given = label.values if isinstance(label, xr.DataArray) else np.asarray(label)
        is_trial = "trial" in activity.dims and given.shape == (activity.sizes["trial"],)
        per = "trial" if is_trial else "sample"
    if per == "trial":
        cube, index = to_trials(activity, owner=OWNER)
        values = _mean_over_times(cube.astype(np.float64), index.mask)
    else:
        values, index = to_samples(activity, owner=OWNER)
        values = values.astype(np.float64)
    if isinstance(label, str):
        return per, index, values, label_values(index, label, owner=OWNER, per=per), name
    lead = tuple(activity.sizes[dim] for dim in activity.dims if dim != "unit")
    if per == "sample" and given.shape == lead and len(lead) == 2:
        given = given[index.mask] if index.mask is not None else given.reshape(-1)
    if given.shape != values.shape[:1]:
        raise ActivityError(
            f"{OWNER}: labels must be one per trial or one per sample ({len(values)}); "
            f"got shape {given.shape}."
        )
    return per, index, values, given, name


def _mean_over_times(cube: Array, mask: Array | None) -> Array:
    if mask is None:
        return np.asarray(cube.mean(axis=2))
    total = np.where(mask[:, np.newaxis], cube, 0.0).sum(axis=2)
    return np.asarray(total / np.maximum(mask.sum(axis=1), 1)[:, np.newaxis])


def _read_groups(groups: Any, index: Any, per: str, n: int) -> Array | None:
    if groups is None:
        return None
    if isinstance(groups, str):
        if index is None:
            raise ActivityError(f"{OWNER}: groups={groups!r} names a label of no Activity.")
        return label_values(index, groups, owner=OWNER, per=per)
    values = np.asarray(groups)
    if values.shape != (n,):
        raise ActivityError(
            f"{OWNER}: there must be one group per {per} ({n}); got {values.shape}."
        )
    return values


def _bounds(index: Any, n: int) -> Array:
    if index is None or "trial" not in index.frame.dims:
        return np.array([0, n])
    if index.mask is not None:
        return np.concatenate([[0], np.cumsum(index.mask.sum(axis=1))])
    n_times = index.frame.sizes.get("time", 1)
    return np.asarray(np.arange(index.frame.sizes["trial"] + 1) * n_times)


def _with_history(values: Array, offsets: Array, history: int) -> tuple[Array, Array]:
    """Put the last ``history`` samples side by side, the present one first; never over trials."""
    n, n_units = values.shape
    features = np.zeros((n, history * n_units))
    keep = np.ones(n, dtype=bool)
    for lag in range(history):
        features[lag:, lag * n_units : (lag + 1) * n_units] = values[: n - lag]
    for low, high in itertools.pairwise(offsets):
        keep[low : min(low + history - 1, high)] = False
    return features, keep


def _has_label(target: Array) -> Array:
    if target.dtype.kind == "f":
        return np.isfinite(target)
    if target.dtype.kind in "OUS":
        missing = [v is None or v == "" or (isinstance(v, float) and np.isnan(v)) for v in target]
        return ~np.array(missing, dtype=bool)
    return np.ones(target.shape, dtype=bool)


def _guess(target: Array, per: str) -> str:
    if target.dtype.kind in "OUSb":
        return "categorical"
    values, counts = np.unique(target, return_counts=True)
    whole = bool((values == np.rint(values)).all())
    few = 0 < values.size <= _MAX_CLASSES and counts.min() >= 2
    return "categorical" if whole and few else "continuous"


def _common_enough(target: Array, keep: Array) -> Array:
    names, counts = np.unique(target[keep], return_counts=True)
    common: Array = np.isin(target, names[counts >= 2])
    return common


def _as_numbers(target: Array, name: str) -> Array:
    try:
        return target.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ActivityError(
            f"{OWNER}: a continuous label must be numbers; {name!r} is not. Use kind='categorical'."
        ) from error
