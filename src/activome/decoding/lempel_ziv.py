"""Decisions by how complex the trains of each unit are, whatever their rate."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice
from activome.activity._spike_trains import as_spikes, check_classes
from activome.activity.complexity import lempel_ziv_complexity
from activome.activity.estimators.trial import TrialTransformer
from activome.errors import ActivityError, ParameterError

__all__ = ["LempelZivClassifier"]

Array = np.ndarray[Any, Any]
_RULES = ("classifier", "threshold")
_LEAST_SPREAD = 1e-12
# Learned by one rule or classifier and not by another.
_OF_RULES = ("classifier_", "coef_", "intercept_", "threshold_", "is_above_")


def _gives(name: str) -> Any:
    """Offer a method where the rule and the classifier have it: scorers ask."""

    def check(model: Any) -> bool:
        if model.rule == "threshold":
            return name == "decision_function"
        return model.classifier is None or hasattr(model.classifier, name)

    return available_if(check)


class LempelZivClassifier(ClassifierMixin, TrialTransformer):
    """Classify trials by the Lempel-Ziv complexity of every unit.

    The complexity of a binary train estimates its entropy rate, so that trains of one rate and
    different timing come apart. The class is decided from the complexities of all units by a linear
    classifier; or, of two classes, from their mean by a single threshold.

    Parameters
    ----------
    binarise : {"spike", "median", "mean"}, default="spike"
        What is 1: spikes, which must be 0 or 1 already; or what is above the median, or the mean,
        of its unit in its trial.
    variant : {"lz76", "lz78"}, default="lz76"
        Parsing; see ``lempel_ziv_complexity``.
    rule : {"classifier", "threshold"}, default="classifier"
        How complexities decide.
    classifier : classifier of scikit-learn, optional
        Fitted to the standardised complexities; by default ``LogisticRegression(max_iter=500)``.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels.
    mean_, spread_ : ndarray of float64, shape (n_units,)
        Mean and deviation of the complexity over the training trials; a unit whose complexity never
        differs counts nothing.
    constant_share_ : ndarray of float64, shape (n_units,)
        Share of the training trials in which the train of a unit does not change. Such trains, of
        silent units above all, have two phrases and a complexity above 0: where the share is high,
        complexity tells of silence.
    n_times_ : int
        Steps of a trial.
    classifier_ : classifier or None
        The fitted classifier; without one given, its numbers are in ``coef_`` and ``intercept_``.
    coef_, intercept_ : ndarray of float64, shapes (n_outputs, n_units) and (n_outputs,)
        Of the default classifier.
    threshold_ : float
        Mean complexity at which the decision changes ("threshold").
    is_above_ : bool
        Whether the second class is above it.

    Raises
    ------
    ActivityError
        If trains are not 0 or 1 where they must be, are not finite, have fewer than two steps,
        there are fewer than two classes or one without a spike, or labels are not one per trial
        and of one type.
    ParameterError
        If a word is unknown, ``classifier`` is none, or a threshold is to tell more than two
        classes apart.

    Notes
    -----
    Plain arrays are (n_trials, n_times, n_units). The complexity depends on the length: trials to
    decide must be as long as those of ``fit``. Standardising is our choice, as is the threshold:
    halfway between the two neighbouring means at which the training accuracy is highest, the first
    of equals.

    References
    ----------
    .. [1] Z. Rudnicka, J. Szczepanski and A. Pregowska, "Learning internal biological neuron
       parameters and complexity-based encoding for improved spiking neural networks performance",
       2025.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> regular = (np.arange(200) + rng.integers(0, 5, (40, 3, 1))) % 5 == 0
    >>> chance = rng.random((40, 3, 200)) < 0.2
    >>> X = np.where(y[:, None, None] == 1, chance, regular).swapaxes(1, 2)
    >>> model = LempelZivClassifier(rule="threshold").fit(X[:20], y[:20])
    >>> model.score(X[20:], y[20:]), model.is_above_, 0.2 < model.threshold_ < 0.7
    (1.0, True, True)
    """

    _takes_target: ClassVar[bool] = True
    _min_samples: ClassVar[int] = 2
    _keeps_units: ClassVar[bool] = True
    _times_before_units: ClassVar[bool] = True

    def __init__(
        self,
        binarise: str = "spike",
        variant: str = "lz76",
        *,
        rule: str = "classifier",
        classifier: Any = None,
    ) -> None:
        self.binarise = binarise
        self.variant = variant
        self.rule = rule
        self.classifier = classifier

    def _fit(self, values: Array, target: Array) -> None:
        owner = "LempelZivClassifier.fit"
        check_choice(self.rule, _RULES, name="rule", owner=owner)
        if self.classifier is not None and not _is_classifier(self.classifier):
            raise ParameterError(
                f"{owner}: classifier must be a classifier of scikit-learn, not fitted yet; got "
                f"{self.classifier!r}."
            )
        _check_labels(target, owner)
        trains = self._trains(values, owner)
        self.classes_, codes = np.unique(target, return_inverse=True)
        check_classes(trains, codes, self.classes_, owner)
        if self.rule == "threshold" and self.classes_.size > 2:
            raise ParameterError(
                f"{owner}: a threshold tells two classes apart; there are {self.classes_.size}. "
                "Set rule='classifier'."
            )
        for name in _OF_RULES:
            self.__dict__.pop(name, None)
        self.n_times_ = trains.shape[1]
        complexity = self._complexity(trains)
        self.constant_share_ = np.mean(trains.all(axis=1) | ~trains.any(axis=1), axis=0)
        self.mean_ = complexity.mean(axis=0)
        spread = complexity.std(axis=0)
        self.spread_ = np.where(spread > _LEAST_SPREAD, spread, np.inf)
        if self.rule == "threshold":
            self.threshold_, self.is_above_ = _best_threshold(complexity.mean(axis=1), codes == 1)
            return
        given = LogisticRegression(max_iter=500) if self.classifier is None else self.classifier
        fitted = clone(given).fit(self._standard(complexity), codes)
        self.classifier_: Any = None if self.classifier is None else fitted
        if self.classifier is None:
            self.coef_, self.intercept_ = fitted.coef_, fitted.intercept_

    @_gives("decision_function")
    def decision_function(self, X: Any) -> Array:
        """Return what the decision is made from.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Trials as long as those of ``fit``.

        Returns
        -------
        ndarray of float64, shape (n_trials,) or (n_trials, n_classes)
            Of two classes, above 0 for the second: log-odds, or how far the mean complexity is on
            its side of the threshold. One output for each of more classes.

        Raises
        ------
        ActivityError
            If trains are not as those of ``fit``.
        """
        complexity = self._read_complexity(X, "LempelZivClassifier.decision_function")
        if self.rule == "threshold":
            away = complexity.mean(axis=1) - self.threshold_
            return np.asarray(away if self.is_above_ else -away)
        features = self._standard(complexity)
        if self.classifier_ is not None:
            return np.asarray(self.classifier_.decision_function(features))
        outputs = features @ self.coef_.T + self.intercept_
        return np.asarray(outputs[:, 0] if self.classes_.size == 2 else outputs)

    @_gives("predict_proba")
    def predict_proba(self, X: Any) -> Array:
        """Return how probable each class is; of a classifier that tells, not of a threshold.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Trials as long as those of ``fit``.

        Returns
        -------
        ndarray of float64, shape (n_trials, n_classes)
            Probabilities; each row sums to 1.

        Raises
        ------
        ActivityError
            If trains are not as those of ``fit``.
        """
        complexity = self._read_complexity(X, "LempelZivClassifier.predict_proba")
        features = self._standard(complexity)
        if self.classifier_ is not None:
            return np.asarray(self.classifier_.predict_proba(features))
        outputs = features @ self.coef_.T + self.intercept_
        if self.classes_.size > 2:
            return np.asarray(softmax(outputs, axis=1))
        return np.hstack([expit(-outputs), expit(outputs)])

    def predict(self, X: Any) -> Array:
        """Name the class of every trial.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Trials as long as those of ``fit``.

        Returns
        -------
        ndarray, shape (n_trials,)
            Labels.

        Raises
        ------
        ActivityError
            If trains are not as those of ``fit``.
        """
        if self.rule == "classifier" and getattr(self, "classifier_", None) is not None:
            complexity = self._read_complexity(X, "LempelZivClassifier.predict")
            return np.asarray(self.classes_[self.classifier_.predict(self._standard(complexity))])
        outputs = self.decision_function(X)
        codes = (outputs > 0).astype(np.int64) if outputs.ndim == 1 else outputs.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def score(self, X: Any, y: ArrayLike | str, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of trials that are named rightly.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_times, n_units)
            Trials as long as those of ``fit``.
        y : array-like or str, shape (n_trials,)
            Labels, or the name of a label of the activity.
        sample_weight : array-like of float, shape (n_trials,), optional
            Weight of each trial.

        Returns
        -------
        float
            Accuracy in [0, 1].

        Raises
        ------
        ActivityError
            If trains are not as those of ``fit``, or there is not a label for each trial.
        """
        check_is_fitted(self)
        values, index = self._read(X, reset=False)
        labels = self._read_target(y, index)
        self._check_target_length(labels, values)
        return float(accuracy_score(labels, self.predict(X), sample_weight=sample_weight))

    def _transform(self, values: Array) -> Array:
        trains = self._trains(values, "LempelZivClassifier.transform")
        self._check_length(trains, "LempelZivClassifier.transform")
        return self._complexity(trains)

    def _trains(self, values: Array, owner: str) -> Array:
        """Return trains of booleans (n_trials, n_times, n_units)."""
        check_choice(self.binarise, _BINARISE, name="binarise", owner=owner)
        levels = _BINARISE[self.binarise]
        if levels is None:
            return as_spikes(values, owner)
        return as_spikes(values > levels(values, axis=2, keepdims=True), owner)

    def _complexity(self, trains: Array) -> Array:
        return np.asarray(lempel_ziv_complexity(trains, axis=1, variant=self.variant))

    def _standard(self, complexity: Array) -> Array:
        return np.asarray((complexity - self.mean_) / self.spread_)

    def _read_complexity(self, X: Any, owner: str) -> Array:
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        trains = self._trains(values, owner)
        self._check_length(trains, owner)
        return self._complexity(trains)

    def _check_length(self, trains: Array, owner: str) -> None:
        if trains.shape[1] != self.n_times_:
            raise ActivityError(
                f"{owner}: trials must be as long as those of fit ({self.n_times_} steps), because "
                f"the complexity depends on the length; got {trains.shape[1]}."
            )


def _is_classifier(given: Any) -> bool:
    is_estimator = hasattr(given, "__sklearn_tags__") and not isinstance(given, type)
    return is_estimator and is_classifier(given)


def _check_labels(target: Array, owner: str) -> None:
    if np.ndim(target) != 1:
        raise ActivityError(
            f"{owner}: y must be one label per trial; got shape {np.shape(target)}. Flatten it."
        )
    kinds = {type(label).__name__ for label in target} if target.dtype == object else set()
    if len(kinds) > 1:
        raise ActivityError(
            f"{owner}: labels must be of one type; got {', '.join(sorted(kinds))}. Name missing "
            "ones, or drop their trials."
        )
    check_classification_targets(target)


def _best_threshold(value: Array, is_second: Array) -> tuple[float, bool]:
    """Return the cut of highest accuracy, and whether the second class is above it."""
    order = np.argsort(value, kind="stable")
    value, is_second = value[order], is_second[order]
    below = np.concatenate([[0], np.cumsum(is_second)])
    n = np.arange(value.size + 1)
    # Right at a cut after k trials, were the second class above it.
    right = (n - below) + (below[-1] - below)
    # Equal values are on one side; all on one side is no cut unless nothing else can be.
    edge = np.concatenate([[-np.inf], value, [np.inf]])
    is_cut = edge[1:] > edge[:-1]
    is_cut[[0, -1]] = not is_cut[1:-1].any()
    above, under = np.where(is_cut, right, -1), np.where(is_cut, value.size - right, -1)
    is_above = bool(above.max() >= under.max())
    k = int(np.argmax(above if is_above else under))
    low, high = value[max(k - 1, 0)], value[min(k, value.size - 1)]
    return float((low + high) / 2), is_above


_BINARISE: dict[str, Any] = {"spike": None, "median": np.median, "mean": np.mean}
