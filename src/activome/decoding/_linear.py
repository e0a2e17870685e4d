"""Linear decoders whose work on the activity is done once and reused for every set of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.covariance import ledoit_wolf_shrinkage

__all__ = ["DiscriminantFold", "RidgeFold"]

Array = np.ndarray[Any, Any]
# Penalties relative to the mean eigenvalue of the features.
_PENALTIES = 10.0 ** np.arange(-4, 4.5, 0.5)


def _standardise(train: Array, test: Array) -> tuple[Array, Array]:
    mean = train.mean(axis=0)
    spread = train.std(axis=0)
    spread = np.where(spread > 1e-12 * (np.abs(mean) + 1e-300), spread, np.inf)
    return (train - mean) / spread, (test - mean) / spread


class RidgeFold:
    """Ridge regression of one fold, for many targets at once.

    Features are standardised on the training samples; the penalty of each target is chosen by
    generalised cross-validation on them, between 1e-4 and 1e4 times the mean eigenvalue.

    Parameters
    ----------
    train, test : ndarray of float64, shape (n_train, n_features), (n_test, n_features)
        Features.
    """

    def __init__(self, train: Array, test: Array) -> None:
        self.train, self.test = _standardise(train, test)
        self.is_tall = train.shape[0] >= train.shape[1]
        gram = self.train.T @ self.train if self.is_tall else self.train @ self.train.T
        values, self.vectors = np.linalg.eigh(gram)
        self.values = np.maximum(values, 0.0)
        scale = max(float(self.values.mean()), 1e-300)
        self.penalties = _PENALTIES * scale
        if not self.is_tall:
            self.bridge = (self.test @ self.train.T) @ self.vectors

    def predict(self, targets: Array) -> Array:
        """Fit to the training targets and predict the test samples.

        Parameters
        ----------
        targets : ndarray of float64, shape (n_train, n_targets)
            One column per target.

        Returns
        -------
        ndarray of float64, shape (n_test, n_targets)
            Predictions.
        """
        mean = targets.mean(axis=0)
        centred = targets - mean
        if self.is_tall:
            projected = self.vectors.T @ (self.train.T @ centred)
            energy = projected**2 / np.maximum(self.values, 1e-12 * self.penalties[0])[:, None]
        else:
            projected = self.vectors.T @ centred
            energy = projected**2
        penalty = self._choose(energy, np.einsum("tk,tk->k", centred, centred))
        weights = projected / (self.values[:, np.newaxis] + penalty)
        if self.is_tall:
            return np.asarray(mean + self.test @ (self.vectors @ weights))
        return np.asarray(mean + self.bridge @ weights)

    def _choose(self, energy: Array, total: Array) -> Array:
        """Return the penalty of each target with the least generalised cross-validation error."""
        n = self.train.shape[0]
        best = np.full(total.size, np.inf)
        chosen = np.full(total.size, self.penalties[-1])
        for penalty in self.penalties:
            shrink = self.values / (self.values + penalty)
            # Energy outside the features stays; inside, what the penalty leaves over.
            residual = total - ((2 * shrink - shrink**2)[:, np.newaxis] * energy).sum(axis=0)
            # The mean costs one degree of freedom.
            error = residual / max(n - 1.0 - float(shrink.sum()), 1e-9) ** 2
            better = error < best
            best, chosen = np.where(better, error, best), np.where(better, penalty, chosen)
        return chosen


class DiscriminantFold:
    """Linear discriminant analysis of one fold, with equal priors, for many labellings at once.

    Features are standardised on the training samples and whitened by their total covariance, shrunk
    after Ledoit and Wolf; a sample goes to the nearest class mean. The total covariance instead of
    that within classes gives the same decisions for two classes, and does not depend on the labels.

    Parameters
    ----------
    train, test : ndarray of float64, shape (n_train, n_features), (n_test, n_features)
        Features.
    """

    def __init__(self, train: Array, test: Array) -> None:
        first, second = _standardise(train, test)
        shrinkage = float(ledoit_wolf_shrinkage(first, assume_centered=True))
        # In the space of the singular vectors no covariance of the features is formed.
        left, singular, right = np.linalg.svd(first, full_matrices=False)
        n_features = first.shape[1]
        level = float((singular**2).sum()) / first.shape[0] / n_features
        variance = (1 - shrinkage) * singular**2 / first.shape[0] + shrinkage * level
        scale = np.where(variance > 0, 1.0 / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
        self.train = left * (singular * scale)
        # Means of the training samples lie in their span, so that what is outside does not matter.
        self.test = (second @ right.T) * scale

    def predict(self, codes: Array, n_classes: int) -> Array:
        """Fit to training labels and predict the classes of the test samples.

        Parameters
        ----------
        codes : ndarray of int, shape (n_train, n_labellings)
            Classes from 0 on.
        n_classes : int
            Number of classes.

        Returns
        -------
        ndarray of int64, shape (n_test, n_labellings)
            Classes.
        """
        n_train, n_labellings = codes.shape
        rows = (codes + n_classes * np.arange(n_labellings)).ravel()
        columns = np.repeat(np.arange(n_train), n_labellings)
        count = np.bincount(rows, minlength=n_labellings * n_classes)
        # One entry per sample and labelling: with many classes nearly all would be zeros.
        member = csr_array((np.ones(rows.size), (rows, columns)), shape=(count.size, n_train))
        means = (member @ self.train) / np.maximum(count, 1)[:, np.newaxis]
        count = count.reshape(n_labellings, n_classes)
        scores = self.test @ means.T - 0.5 * np.einsum("kf,kf->k", means, means)
        scores = scores.reshape(-1, n_labellings, n_classes)
        scores[:, count == 0] = -np.inf
        return np.asarray(scores.argmax(axis=2))
