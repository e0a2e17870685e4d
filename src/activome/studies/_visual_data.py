"""What the study of the visual decoder measures, on the recording that ships."""

from __future__ import annotations

import functools
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from activome.activity.populations import pseudo_populations
from activome.decoding.alignment import ResponseAligner, transfer_matrix
from activome.decoding.over_time import decode_over_time
from activome.decoding.population_net import PopulationDecoder
from activome.decoding.validation import accuracy_by_units, cross_validate_decoder
from activome.samples.shipped import visual_gratings

__all__ = ["UNIT_COUNTS", "across", "few_shots", "linear", "over_time", "shuffled", "whole"]

Array = np.ndarray[Any, Any]
UNIT_COUNTS = (10, 30, 100, 300)
_TEST_SHARE = 0.4


def _regression() -> Any:
    """Return logistic regression with the penalty of scikit-learn."""
    return LogisticRegression(max_iter=2000)


def _counts() -> tuple[Array, Array]:
    """Return counts (trial, unit, time) and the direction of each trial."""
    activity = visual_gratings()
    return np.moveaxis(activity.values, 1, 2), np.asarray(activity["direction"].values)


def _split(labels: Array, seed: int) -> tuple[Array, Array]:
    splitter = StratifiedShuffleSplit(1, test_size=_TEST_SHARE, random_state=seed)
    train, test = next(splitter.split(labels, labels))
    return train, test


def _animals(seed: int, n_groups: int, size: int) -> list[tuple[Array, Array]]:
    counts, labels = _counts()
    groups = pseudo_populations(counts, size, n_groups, random_state=seed)
    return [(group, labels) for group in groups]


def whole(seed: int, n_units: int, n_epochs: int) -> dict[str, Any]:
    """Train the network on many units.

    Parameters
    ----------
    seed : int
        Seed of split and network.
    n_units, n_epochs : int
        Units, from the first on, and passes.

    Returns
    -------
    dict
        "accuracy" and "log_loss" on held-out trials; "confusion" of true and named classes.
    """
    counts, labels = _counts()
    counts = counts[:, :n_units]
    train, test = _split(labels, seed)
    decoder = PopulationDecoder(max_epochs=n_epochs, random_state=seed)
    decoder.fit(counts[train], labels[train])
    codes = np.searchsorted(decoder.classes_, labels[test])
    named = np.searchsorted(decoder.classes_, decoder.predict(counts[test]))
    n = decoder.classes_.size
    chances = decoder.predict_proba(counts[test])
    return {
        "accuracy": float((codes == named).mean()),
        "log_loss": float(log_loss(labels[test], chances, labels=decoder.classes_)),
        "confusion": np.bincount(codes * n + named, minlength=n * n).reshape(n, n),
    }


def linear(seed: int, counts_of_units: tuple[int, ...], n_draws: int) -> dict[str, Any]:
    """Measure logistic regression: all units, parts of the response, fewer units.

    Parameters
    ----------
    seed : int
        Seed of folds and draws.
    counts_of_units : tuple of int
        Numbers of units.
    n_draws : int
        Random groups of each.

    Returns
    -------
    dict
        Accuracies "all", "early" (0 to 40 ms), "late" (50 to 100 ms), the log-loss "log_loss" of
        all, and "curve" (sizes, draws).
    """
    counts, labels = _counts()
    model = make_pipeline(FunctionTransformer(np.sqrt), _regression())
    sums = {
        "all": counts.sum(axis=2, dtype=np.float64)[..., np.newaxis],
        "early": counts[:, :, :4].sum(axis=2, dtype=np.float64)[..., np.newaxis],
        "late": counts[:, :, 5:].sum(axis=2, dtype=np.float64)[..., np.newaxis],
    }
    found = {k: cross_validate_decoder(model, v, labels, random_state=seed)
             for k, v in sums.items()}  # fmt: skip
    curve = accuracy_by_units(
        model, sums["all"], labels, counts_of_units, n_draws=n_draws, random_state=seed
    )
    return {
        **{name: result.accuracy for name, result in found.items()},
        "log_loss": float(found["all"].log_loss or 0.0),
        "curve": curve.values,
    }


def across(seed: int, how: str, n_groups: int, size: int, n_epochs: int) -> Array:
    """Return the accuracy of every group's network on every group.

    Parameters
    ----------
    seed : int
        Seed of groups, split and networks.
    how : {"none", "class-means", "procrustes"}
        How responses are brought into the source's units.
    n_groups, size, n_epochs : int
        Groups, units of each, and passes.

    Returns
    -------
    ndarray of float64, shape (n_groups, n_groups)
        Accuracy by source and target.
    """
    aligner = None if how == "none" else ResponseAligner(how=how)
    decoder = PopulationDecoder(max_epochs=n_epochs, random_state=seed)
    matrix = transfer_matrix(
        _animals(seed, n_groups, size), decoder, aligner, test_share=_TEST_SHARE, random_state=seed
    )
    return np.asarray(matrix.values)


@functools.cache
def _trained(seed: int, group: int, n_groups: int, size: int, n_epochs: int) -> Any:
    """Return the decoder of a group; the same one for every number of shots."""
    counts, labels = _animals(seed, n_groups, size)[group]
    train, _ = _split(labels, seed)
    decoder = PopulationDecoder(max_epochs=n_epochs, random_state=seed)
    return decoder.fit(counts[train], labels[train])


def few_shots(seed: int, n_shots: int, n_groups: int, size: int, n_epochs: int) -> dict[str, float]:
    """Learn from few trials of the next group: with a trained trunk, a random one, from scratch.

    Parameters
    ----------
    seed : int
        Seed of groups, split and networks.
    n_shots : int
        Trials per class.
    n_groups, size, n_epochs : int
        Groups, units of each, and passes.

    Returns
    -------
    dict of str to float
        Mean accuracies "transferred", "random" and "scratch" over neighbouring groups.
    """
    animals = _animals(seed, n_groups, size)
    labels = animals[0][1]
    train, test = _split(labels, seed)
    chosen = np.concatenate([train[labels[train] == c][:n_shots] for c in np.unique(labels)])
    found: dict[str, list[float]] = {"transferred": [], "random": [], "scratch": []}
    for k, (target, _) in enumerate(animals[1:] + animals[:1]):
        few = target[chosen], labels[chosen]
        trained = _trained(seed, k, n_groups, size, n_epochs)
        drawn = deepcopy(_trained(seed, k, n_groups, size, 0))
        passes = 2 * n_epochs // 3
        moved = {
            "transferred": deepcopy(trained).partial_readin_fit(*few, max_epochs=passes),
            "random": drawn.partial_readin_fit(*few, max_epochs=passes),
            "scratch": PopulationDecoder(max_epochs=n_epochs, random_state=seed).fit(*few),
        }
        for name, decoder in moved.items():
            found[name].append(decoder.score(target[test], labels[test]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def shuffled(seed: int, n_groups: int, size: int, n_epochs: int) -> list[float]:
    """Return the accuracies of networks that were trained on shuffled labels."""
    found = []
    for k, (counts, labels) in enumerate(_animals(seed, n_groups, size)):
        train, test = _split(labels, seed)
        order = np.random.default_rng([seed, k]).permutation(train)
        decoder = PopulationDecoder(max_epochs=n_epochs, random_state=seed)
        found.append(decoder.fit(counts[train], labels[order]).score(counts[test], labels[test]))
    return found


def over_time(seed: int, n_units: int) -> dict[str, Any]:
    """Decode the direction from each bin of 10 ms, against shuffled labels."""
    activity = visual_gratings().isel(unit=slice(0, n_units))
    found = decode_over_time(activity, "direction", random_state=seed)
    onset = found.onset(0.01)
    return {
        "times": found.times,
        "scores": found.scores,
        "limit": float(np.quantile(found.null.max(axis=1), 0.99)),
        "onset": -1.0 if onset is None else onset,
    }
