"""The state of the symmetric STDP classifier, and its passes over images; a part of that class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from activome._random import RandomState, make_generator
from activome.networks._image_inputs import check_classes, check_parameters, read_chance
from activome.networks._image_network import Shown, Traces
from activome.networks._image_runs import respond, teach

__all__ = ["ImageLearning"]

Array = np.ndarray[Any, Any]


class ImageLearning(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Weights are drawn, taught and asked here."""

    n_hidden: int
    random_state: RandomState
    hidden_weights_: Array
    class_weights_: Array

    @property
    def _n_features_out(self) -> int:
        return int(self.hidden_weights_.shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _begin(self, n_inputs: int, classes: Array) -> None:
        check_classes(self, classes)
        self._generator = make_generator(self.random_state)
        self.n_features_in_, self.classes_ = n_inputs, classes
        self.hidden_weights_ = self._generator.uniform(0.0, 0.3, (n_inputs, self.n_hidden))
        self.class_weights_ = self._generator.uniform(0.0, 0.3, (self.n_hidden, classes.size))
        n_cells = 2 * self.n_hidden + classes.size
        self._theta = np.where(np.arange(n_cells) < self.n_hidden, 20.0, 0.0)
        self._traces = Traces(n_inputs, n_cells)
        self._test_seed = int(self._generator.integers(2**31))
        self._response = np.zeros((classes.size, self.n_hidden))
        self._n_seen = np.zeros(classes.size, np.int64)

    def _pass(
        self, chance: Array, index: Array, learns: Array, *, fresh: bool, counts: bool
    ) -> None:
        if fresh:
            self._response[:], self._n_seen[:] = 0.0, 0
        for label, hidden in teach(self, chance, index, learns):
            if counts:
                self._response[label] += hidden
                self._n_seen[label] += 1
        self.theta_ = self._theta[: self.n_hidden].copy()
        rate = self._response / np.maximum(self._n_seen, 1)[:, None]
        self.assignments_ = rate.argmax(axis=0)

    def _show(
        self, X: ArrayLike, method: str, label: int | None, *, record: bool = False
    ) -> Sequence[Shown]:
        check_is_fitted(self, "hidden_weights_")
        check_parameters(self)
        chance = read_chance(self, X, method)
        return respond(self, chance, label, record=record)
