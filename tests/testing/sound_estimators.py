"""Small estimators that keep the whole contract; the broken ones each break it in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from activome._random import RandomState, make_generator
from activome.activity.estimators.sample import SampleEstimator, SampleTransformer
from activome.activity.estimators.sequence import SequenceTransformer
from activome.activity.estimators.trial import TrialTransformer

Array = np.ndarray[Any, Any]


class Standard(SampleTransformer):
    """Centre and scale each unit.

    Parameters
    ----------
    floor : float, default=1e-300
        Smallest scale.

    Attributes
    ----------
    mean_ : ndarray of float64, shape (n_units,)
        Mean of each unit.
    scale_ : ndarray of float64, shape (n_units,)
        Standard deviation of each unit.
    """

    _keeps_units = True

    def __init__(self, floor: float = 1e-300) -> None:
        self.floor = floor

    def _fit(self, values: Array) -> None:
        self.mean_ = values.mean(axis=0, dtype=np.float64)
        scale = values.std(axis=0, dtype=np.float64)
        self.scale_ = np.where(scale > self.floor, scale, 1.0)

    def _transform(self, values: Array) -> Array:
        result: Array = (values - self.mean_) / self.scale_
        return result

    def _inverse_transform(self, values: Array) -> Array:
        result: Array = values * self.scale_ + self.mean_
        return result


class Projection(SampleTransformer):
    """Project on random combinations of the principal axes.

    Parameters
    ----------
    random_state : int, Generator or None, default=None
        Seed.

    Attributes
    ----------
    components_ : ndarray of float64, shape (2, n_units)
        Directions.
    """

    def __init__(self, random_state: RandomState = None) -> None:
        self.random_state = random_state

    def _fit(self, values: Array) -> None:
        centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        mixing = make_generator(self.random_state).normal(size=(2, axes.shape[1]))
        signs = np.sign(axes.sum(axis=0))
        self.components_ = mixing @ (axes * np.where(signs == 0, 1, signs)).T

    def _transform(self, values: Array) -> Array:
        result: Array = values @ self.components_.T
        return result


class NearestMean(ClassifierMixin, SampleEstimator):
    """Give each sample the label of the nearest mean.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Labels.
    means_ : ndarray of float64, shape (n_classes, n_units)
        Means.
    """

    _takes_target = True

    def _fit(self, values: Array, *target: Any) -> None:
        (y,) = target
        self.classes_ = np.unique(y)
        self.means_ = np.stack([values[y == c].mean(axis=0, dtype=float) for c in self.classes_])

    def predict(self, X: Any) -> Array:
        """Predict a label per sample."""
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        apart = ((values[:, np.newaxis].astype(float) - self.means_) ** 2).sum(axis=2)
        labels: Array = self.classes_[apart.argmin(axis=1)]
        return labels


class Power(TrialTransformer):
    """Measure the power of each unit in each trial.

    Parameters
    ----------
    root : bool, default=False
        Take its square root.

    Attributes
    ----------
    total_ : float
        Mean power of the training trials.
    """

    _keeps_units = False

    def __init__(self, root: bool = False) -> None:
        self.root = root

    def _fit(self, values: Array) -> None:
        self.total_ = float(np.mean(values.astype(np.float64) ** 2))

    def _transform(self, values: Array) -> Array:
        power: Array = (values.astype(np.float64) ** 2).mean(axis=2)
        return np.sqrt(power) if self.root else power


class Running(SequenceTransformer):
    """Sum each unit along time.

    Parameters
    ----------
    gain : float, default=1.0
        Factor.

    Attributes
    ----------
    n_times_ : int
        Number of samples in training.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def _fit(self, values: list[Array]) -> None:
        self.n_times_ = int(sum(len(sequence) for sequence in values))

    def _transform(self, values: Array) -> Array:
        result: Array = self.gain * np.cumsum(values.astype(np.float64), axis=0)
        return result


SOUND = (Standard(), Projection(), NearestMean(), Power(), Running())
