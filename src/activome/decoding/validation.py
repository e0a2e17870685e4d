"""Honest scores of any decoder of trials: held-out trials, chance, and numbers of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import confusion_matrix, log_loss

from activome._checks import check_integer
from activome._progress import Progress, silent
from activome._random import RandomState, make_generator
from activome.activity.nulls import permute_labels
from activome.activity.splits import GroupSplit, TrialSplit
from activome.activity.statistics import monte_carlo_p
from activome.decoding._responses import as_plain, labels_of
from activome.errors import ActivityError

__all__ = ["CrossValidation", "accuracy_by_units", "cross_validate_decoder"]

Array = np.ndarray[Any, Any]
Fold = tuple[Array, Array]


@dataclass(frozen=True)
class CrossValidation:
    """How well a decoder names the classes of trials that it was not trained on.

    Attributes
    ----------
    accuracy : float
        Share of the trials that are named rightly.
    log_loss : float or None
        Mean negative logarithm of the probability of the true class, in nats: tells apart decoders
        that are all right. None for decoders without probabilities.
    chance : float
        Share of the largest class.
    fold_scores : ndarray of float64, shape (n_folds,)
        Accuracy of each fold.
    predictions, truth : ndarray, shape (n_trials,)
        Predicted and true classes.
    confusion : xarray.DataArray of int64
        Dims (actual, predicted): trials.
    null : ndarray of float64, shape (n_permutations,)
        Accuracies with shuffled labels.
    p_value : float or None
        Chance of such an accuracy if responses and labels were independent; None without shuffles.
    """

    accuracy: float
    log_loss: float | None
    chance: float
    fold_scores: Array
    predictions: Array
    truth: Array
    confusion: xr.DataArray
    null: Array
    p_value: float | None


def cross_validate_decoder(
    decoder: Any,
    X: Any,
    y: ArrayLike | str,
    *,
    groups: ArrayLike | str | None = None,
    n_folds: int = 5,
    n_permutations: int = 0,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> CrossValidation:
    """Train a decoder on some trials and test it on the others, fold by fold.

    Parameters
    ----------
    decoder : estimator
        An unfitted classifier. One of trials gets (n_trials, n_units, n_times); any other, such as
        a pipeline of scikit-learn, gets units and times side by side.
    X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
        An Activity, or plain numbers.
    y : array-like or str, shape (n_trials,)
        Classes, or the name of a label.
    groups : array-like or str, optional
        Animal, session or block of each trial: whole groups are held out, and labels are permuted
        within groups. Needed where neighbouring trials are of one class.
    n_folds : int, default=5
        Folds.
    n_permutations : int, default=0
        Shuffles of the labels, each with all folds fitted anew.
    random_state : int, Generator or None, default=0
        Seed of folds and shuffles.
    progress : Progress, default=silent
        Told of each shuffle.

    Returns
    -------
    CrossValidation
        Accuracy, log-loss, confusion, and null.

    Raises
    ------
    ActivityError
        If a class has fewer trials than there are folds, there are fewer groups than folds, there
        is one class only, labels are not one per trial, or values are not finite.
    ParameterError
        If a number is outside its range.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from activome.samples import visual_gratings
    >>> late = visual_gratings().isel(unit=slice(0, 100), time=slice(5, 10))
    >>> found = cross_validate_decoder(LogisticRegression(max_iter=500), late, "direction")
    >>> found.accuracy > 0.9, found.chance
    (True, 0.25)
    """
    owner = "cross_validate_decoder"
    check_integer(n_folds, name="n_folds", owner=owner, low=2)
    check_integer(n_permutations, name="n_permutations", owner=owner, low=0)
    values, index = as_plain(X, owner)
    labels = labels_of(y, index, len(values), owner)
    blocks = None if groups is None else labels_of(groups, index, len(values), owner)
    classes, counts = np.unique(labels, return_counts=True)
    if classes.size < 2:
        raise ActivityError(f"{owner}: there must be at least two classes; got {classes.tolist()}.")
    generator = make_generator(random_state)
    seed = int(generator.integers(2**31))
    splitter: Any = (
        GroupSplit(n_folds) if blocks is not None else TrialSplit(n_folds, random_state=seed)
    )
    folds = list(splitter.split(values, labels, blocks))
    inputs = _inputs(decoder, values)
    predictions, probabilities = _held_out(decoder, inputs, labels, folds, classes)
    accuracy = float(np.mean(predictions == labels))
    # Without groups labels move within folds, so that these keep equal shares of the classes.
    within = _fold_of(folds, labels.size) if blocks is None else blocks
    null, p_value = np.zeros(0), None
    if n_permutations:

        def draw() -> float:
            shuffled = labels[permute_labels(np.arange(labels.size), within, generator)]
            guessed, _ = _held_out(decoder, inputs, shuffled, folds, classes)
            return float(np.mean(guessed == shuffled))

        test = monte_carlo_p(accuracy, draw, n_permutations, progress=progress)
        null, p_value = test.null, test.p_value
    table = confusion_matrix(labels, predictions, labels=classes)
    return CrossValidation(
        accuracy=accuracy,
        log_loss=None if probabilities is None else float(
            log_loss(labels, probabilities, labels=classes)
        ),
        chance=float(counts.max() / counts.sum()),
        fold_scores=np.array([np.mean(predictions[test] == labels[test]) for _, test in folds]),
        predictions=predictions,
        truth=labels,
        confusion=xr.DataArray(
            table, dims=("actual", "predicted"), coords={"actual": classes, "predicted": classes}
        ),
        null=null,
        p_value=p_value,
    )  # fmt: skip


def _fold_of(folds: list[Fold], n: int) -> Array:
    numbers = np.empty(n, dtype=np.int64)
    for number, (_, test) in enumerate(folds):
        numbers[test] = number
    return numbers


def _inputs(decoder: Any, values: Array) -> Array:
    tags = decoder.__sklearn_tags__().input_tags
    return values if tags.three_d_array else values.reshape(len(values), -1)


def _held_out(
    decoder: Any, inputs: Array, labels: Array, folds: list[Fold], classes: Array
) -> tuple[Array, Array | None]:
    guessed = np.empty_like(labels)
    has_chances = hasattr(decoder, "predict_proba")
    chances = np.zeros((labels.size, classes.size))
    for train, test in folds:
        fitted = clone(decoder).fit(inputs[train], labels[train])
        guessed[test] = fitted.predict(inputs[test])
        if has_chances:
            columns = np.searchsorted(classes, fitted.classes_)
            chances[np.ix_(test, columns)] = fitted.predict_proba(inputs[test])
    return guessed, chances if has_chances else None


def accuracy_by_units(
    decoder: Any,
    X: Any,
    y: ArrayLike | str,
    sizes: Sequence[int],
    *,
    n_draws: int = 5,
    n_folds: int = 5,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> xr.DataArray:
    """Return the cross-validated accuracy of random groups of units of several sizes.

    Parameters
    ----------
    decoder : estimator
        An unfitted classifier, as for ``cross_validate_decoder``.
    X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
        An Activity, or plain numbers.
    y : array-like or str, shape (n_trials,)
        Classes, or the name of a label.
    sizes : sequence of int
        Numbers of units.
    n_draws : int, default=5
        Random groups of each size.
    n_folds : int, default=5
        Folds.
    random_state : int, Generator or None, default=0
        Seed.
    progress : Progress, default=silent
        Told of each group.

    Returns
    -------
    xarray.DataArray of float64
        Dims (size, draw): accuracy in [0, 1].

    Raises
    ------
    ActivityError
        If a class has fewer trials than there are folds, there is one class only, labels are not
        one per trial, or values are not finite.
    ParameterError
        If a size is not between 1 and the number of units, or a number is outside its range.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from activome.samples import visual_gratings
    >>> curve = accuracy_by_units(
    ...     LogisticRegression(max_iter=500), visual_gratings(), "direction", [5, 50], n_draws=2)
    >>> bool((curve.mean("draw").diff("size") > 0).all())
    True
    """
    owner = "accuracy_by_units"
    check_integer(n_draws, name="n_draws", owner=owner, low=1)
    values, index = as_plain(X, owner)
    labels = labels_of(y, index, len(values), owner)
    n_units = values.shape[1]
    numbers = [check_integer(s, name="sizes", owner=owner, low=1, high=n_units) for s in sizes]
    generator = make_generator(random_state)
    found = np.empty((len(numbers), n_draws))
    for place, _ in np.ndenumerate(found):
        units = np.sort(generator.permutation(n_units)[: numbers[place[0]]])
        found[place] = cross_validate_decoder(
            decoder, values[:, units], labels, n_folds=n_folds, random_state=generator
        ).accuracy
        progress("groups of units", place[0] * n_draws + place[1] + 1, found.size)
    return xr.DataArray(
        found, dims=("size", "draw"), coords={"size": numbers, "draw": range(n_draws)}
    )
