"""Histograms of features over the cells of a grid: one row per trial, for any classifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer
from activome.errors import ActivityError
from activome.patterns._pixel_events import PixelEvents, read_pixel_events

__all__ = ["FeatureHistogram"]

Array = np.ndarray[Any, Any]


class FeatureHistogram(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Count the features of each trial in the cells of a grid.

    Parameters
    ----------
    n_cells : int, default=5
        Cells along each side of the sensor; 1 forgets where features were.
    scaling : {"sqrt", "none"}, default="sqrt"
        What is done to the counts.
    norm : {"l2", "l1", "none"}, default="l2"
        Norm to which each trial is then put; trials without a feature stay 0.
    by : {"feature", "polarity"}, default="feature"
        Count features, or the two polarities of the raw events.
    n_features : int, optional
        Number of features; by default one more than the largest seen in ``fit``.

    Attributes
    ----------
    n_bins_ : int
        Features that are counted.
    shape_ : tuple of int
        Rows and columns of the sensor.

    Raises
    ------
    ActivityError
        If events have no pixels or no features, the sensor is another one than in ``fit``, or a
        feature is unknown.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    One pass over the events. Columns go by feature, then row, then column of the grid. Missed
    events and those at the border are not counted.

    Examples
    --------
    >>> from activome.activity import Events
    >>> seen = Events([0, 1, 2], [0, 1, 3], x=[0, 1, 1], y=[0, 0, 1], feature=[0, 1, -1])
    >>> FeatureHistogram(2, norm="none").fit_transform(seen).tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        n_cells: int = 5,
        scaling: str = "sqrt",
        *,
        norm: str = "l2",
        by: str = "feature",
        n_features: int | None = None,
    ) -> None:
        self.n_cells = n_cells
        self.scaling = scaling
        self.norm = norm
        self.by = by
        self.n_features = n_features

    def fit(self, X: Any, y: Any = None) -> Self:
        """Note how many features there are, and the size of the sensor.

        Parameters
        ----------
        X : Events
            Events with pixels and the column ``feature``.
        y : None
            Ignored.

        Returns
        -------
        Self
            Ready to transform.

        Raises
        ------
        ActivityError
            If events have no pixels or no features.
        ParameterError
            If a parameter is outside its range.
        """
        owner = "FeatureHistogram.fit"
        check_integer(self.n_cells, name="n_cells", owner=owner, low=1)
        check_choice(self.scaling, ("sqrt", "none"), name="scaling", owner=owner)
        check_choice(self.norm, ("l2", "l1", "none"), name="norm", owner=owner)
        check_choice(self.by, ("feature", "polarity"), name="by", owner=owner)
        read = read_pixel_events(X, "separate", owner)
        label = self._label(read, owner)
        if self.n_features is not None:
            check_integer(self.n_features, name="n_features", owner=owner, low=1)
            self.n_bins_ = int(self.n_features)
        else:
            self.n_bins_ = 2 if self.by == "polarity" else max(int(label.max()) + 1, 1)
        self.shape_ = read.shape
        return self

    def transform(self, X: Any) -> Array:
        """Count the features of each trial.

        Parameters
        ----------
        X : Events
            Events with pixels and the column ``feature``.

        Returns
        -------
        ndarray of float64, shape (n_trials, n_features * n_cells**2)
            Scaled counts.

        Raises
        ------
        ActivityError
            If events have no features, the sensor is another one than in ``fit``, or a feature is
            unknown.
        """
        owner = "FeatureHistogram.transform"
        check_is_fitted(self, "n_bins_")
        read = read_pixel_events(X, "separate", owner)
        label = self._label(read, owner)
        if read.shape != tuple(self.shape_):
            raise ActivityError(
                f"{owner}: the sensor must be {tuple(self.shape_)} as in fit; it is {read.shape}. "
                "Give the events their shape."
            )
        if int(label.max()) >= self.n_bins_:
            raise ActivityError(
                f"{owner}: features must be below {self.n_bins_}; got {int(label.max())}. Give "
                "n_features."
            )
        n = self.n_cells
        cell_y = read.columns[1] * n // read.shape[0]
        cell_x = read.columns[2] * n // read.shape[1]
        trial = np.zeros(label.size, np.int64)
        if read.events.trial is not None:
            trial = read.events.trial.astype(np.int64)
        width = self.n_bins_ * n * n
        flat = trial * width + (label * n + cell_y) * n + cell_x
        counts = np.bincount(flat[label >= 0], minlength=read.events.n_trials * width)
        values: Array = counts.reshape(-1, width).astype(np.float64)
        if self.scaling == "sqrt":
            values = np.sqrt(values)
        if self.norm == "none":
            return values
        size = np.linalg.norm(values, ord=2 if self.norm == "l2" else 1, axis=1, keepdims=True)
        values /= np.where(size > 0, size, 1.0)
        return values

    @property
    def _n_features_out(self) -> int:
        return int(self.n_bins_ * self.n_cells**2)

    def _label(self, read: PixelEvents, owner: str) -> Array:
        if self.by == "polarity":
            polarity: Array = read.columns[3]
            return polarity
        if read.events.feature is None:
            raise ActivityError(
                f"{owner}: events must have the column feature; give them that of "
                "FEAST.transform, or count by='polarity'."
            )
        return read.events.feature.astype(np.int64)
