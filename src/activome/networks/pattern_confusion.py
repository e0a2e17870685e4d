"""Count what a detector of patterns fires for, over all inputs or some."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice
from activome.errors import ActivityError
from activome.networks._pattern_input import read_patterns
from activome.networks.spatial_pattern import SpatialPatternDetector

__all__ = ["pattern_confusion"]

_MOST = 20
_ROWS = 1 << 14


def pattern_confusion(
    detector: SpatialPatternDetector, patterns: ArrayLike, *, inputs: ArrayLike | str = "all"
) -> dict[str, Any]:
    """Compare what a detector fires for with the patterns that it should fire for.

    Accuracy over all inputs is mostly the share of inputs that are rightly ignored: read precision
    and recall beside it.

    Parameters
    ----------
    detector : SpatialPatternDetector
        A fitted detector; an input counts as detected where any output fires.
    patterns : array-like of bool, shape (n_patterns, n_lines)
        What it should fire for.
    inputs : "all" or array-like of bool, shape (n_inputs, n_lines), default="all"
        What to show; "all" is every input there is, for at most 20 lines.

    Returns
    -------
    dict
        Counts ``tp``, ``fp``, ``fn`` and ``tn``, ``accuracy``, ``precision`` (NaN where nothing was
        detected), ``recall`` (NaN where no pattern was shown), and ``by_distance``: from the
        Hamming distance to the nearest pattern to (inputs, detected).

    Raises
    ------
    ActivityError
        If there are too many lines for "all", shapes do not fit, or patterns or inputs are not
        zeros and ones.
    ParameterError
        If ``inputs`` is another word.

    Examples
    --------
    >>> pattern = np.array([[1, 1, 1, 0, 0, 0]])
    >>> found = pattern_confusion(SpatialPatternDetector().fit(pattern), pattern)
    >>> found["tp"], found["fp"], found["fn"], found["tn"]
    (1, 0, 0, 63)
    """
    owner = "pattern_confusion"
    check_is_fitted(detector)
    wanted = read_patterns(patterns, owner)
    n_lines = int(detector.n_features_in_)
    if wanted.shape[1] != n_lines or not len(wanted):
        raise ActivityError(
            f"{owner}: patterns must be (n_patterns, {n_lines}), as in fit; got {wanted.shape}."
        )
    if isinstance(inputs, str):
        check_choice(inputs, ("all",), name="inputs", owner=owner)
        if n_lines > _MOST:
            raise ActivityError(
                f"{owner}: 'all' enumerates 2 ** n_lines inputs, for at most {_MOST} lines; got "
                f"{n_lines}. Give the inputs as an array."
            )
        rows = (np.arange(2**n_lines)[:, None] >> np.arange(n_lines) & 1).astype(bool)
    else:
        rows = read_patterns(inputs, owner)
        if rows.shape[1] != n_lines or not len(rows):
            raise ActivityError(
                f"{owner}: inputs must be (n_inputs, {n_lines}), as in fit; got {rows.shape}."
            )
    is_fired = np.zeros(len(rows), dtype=bool)
    distance = np.zeros(len(rows), np.int64)
    for k in range(0, len(rows), _ROWS):
        here = slice(k, k + _ROWS)
        is_fired[here] = ~np.isnan(detector.latency(rows[here])).all(axis=1)
        apart = [(rows[here] != pattern).sum(axis=1) for pattern in wanted]
        distance[here] = np.min(apart, axis=0)
    is_wanted = distance == 0
    tp, fp = int((is_fired & is_wanted).sum()), int((is_fired & ~is_wanted).sum())
    fn, tn = int((~is_fired & is_wanted).sum()), int((~is_fired & ~is_wanted).sum())
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "accuracy": (tp + tn) / len(rows),
        "precision": tp / (tp + fp) if tp + fp else float("nan"),
        "recall": tp / (tp + fn) if tp + fn else float("nan"),
        "by_distance": {
            int(d): (int((distance == d).sum()), int((is_fired & (distance == d)).sum()))
            for d in np.unique(distance)
        },
    }
