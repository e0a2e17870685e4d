"""Decoding over time with shuffles, against the same decoder in a loop over scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

from activome.activity.nulls import permute_labels
from activome.activity.splits import TrialSplit
from activome.decoding.over_time import decode_over_time
from harness import Case, Peer, main

_TRIALS, _TIMES, _SHUFFLES = 100, 4, 19


def make_trials(n_units: float) -> tuple[Any, Any]:
    """Noise with four classes, told by a tenth of the units in the later half."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.resize(np.arange(4), _TRIALS))
    values = rng.normal(size=(_TRIALS, int(n_units), _TIMES))
    some = slice(0, max(1, int(n_units) // 10))
    values[:, some, _TIMES // 2 :] += 0.5 * labels[:, None, None]
    return values, labels


def ours(data: tuple[Any, Any]) -> Any:
    """Score every bin with all shuffles at once."""
    found = decode_over_time(*data, window=1, step=1, n_permutations=_SHUFFLES, random_state=0)
    return np.vstack([found.scores, found.null])


def loop(data: tuple[Any, Any]) -> Any:
    """Fit scaler, covariance and class means anew for every shuffle, bin and fold."""
    values, labels = data
    rng = np.random.default_rng(0)
    folds = list(TrialSplit(5, random_state=int(rng.integers(2**31))).split(labels, labels))
    fold_of = np.empty(labels.size, dtype=np.int64)
    for k, (_, test) in enumerate(folds):
        fold_of[test] = k
    orders = [np.arange(labels.size)]
    orders += [permute_labels(orders[0], fold_of, rng) for _ in range(_SHUFFLES)]
    scores = np.empty((len(orders), values.shape[2]))
    for row, order in enumerate(orders):
        target = labels[order]
        for k in range(values.shape[2]):
            guessed = np.empty_like(target)
            for train, test in folds:
                scaler = StandardScaler().fit(values[train, :, k])
                first, second = (scaler.transform(values[part, :, k]) for part in (train, test))
                precision = LedoitWolf(assume_centered=True).fit(first).precision_
                whiten = np.linalg.cholesky(precision)
                model = NearestCentroid().fit(first @ whiten, target[train])
                guessed[test] = model.predict(second @ whiten)
            scores[row, k] = balanced_accuracy_score(target, guessed)
    return scores


def differs(one: Any, other: Any) -> float:
    """Tell the largest difference of the scores."""
    return float(np.abs(one - other).max())


def cases() -> Sequence[Case]:
    """Three numbers of units."""
    peer = Peer("loop over scikit-learn", loop, differs, tolerance=1e-9, requires="sklearn")
    return [
        Case(
            name=f"{_TRIALS} trials, {_TIMES} bins, 5 folds, {_SHUFFLES} shuffles, n units",
            sizes=(20, 60, 150),
            smoke=(20,),
            make=make_trials,
            ours=ours,
            peers=[peer],
            aim="ratio at least 10: the work on the activity is done once for all shuffles",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
