"""Base of methods on time series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_finite
from activome.activity.estimators.base import UNITLESS, ActivityEstimator, refuse_too_large
from activome.activity.stacking import SampleIndex, to_sequences
from activome.errors import ActivityError

__all__ = ["SequenceEstimator", "SequenceTransformer"]

Array = np.ndarray[Any, Any]


class SequenceEstimator(ActivityEstimator):
    """Base of methods on time series: plain numbers are (n_times, n_units) or a list of these.

    Raises
    ------
    ActivityError
        If the activity is not finite, is empty, or has the wrong shape or other units than in
        ``fit``; or if the target is missing.
    """

    def _read(self, X: Any, *, reset: bool) -> tuple[Any, SampleIndex | None]:
        owner = self._owner(reset)
        index: SampleIndex | None = None
        if isinstance(X, xr.DataArray):
            refuse_too_large(X, owner=owner)
            sequences, index = to_sequences(X, owner=owner)
            self._check_units(sequences[0].shape[1], index, reset=reset)
            for k, values in enumerate(sequences):
                if not self._allow_missing:
                    check_finite(values, owner=f"{owner}: trial {k}", axes=("time", "unit"))
        elif isinstance(X, (list, tuple)) and len(X) and np.ndim(X[0]) == 2:
            sequences = []
            for k, item in enumerate(X):
                try:
                    sequences.append(self._validate_matrix(item, reset=reset and k == 0))
                except ActivityError as error:
                    raise ActivityError(f"{error} (sequence {k})") from error
            if reset:
                self.unit_names_ = None
        else:
            sequences = [self._validate_matrix(X, reset=reset)]
            if reset:
                self.unit_names_ = None
        kept = [
            s if s.dtype in (np.float32, np.float64) else s.astype(np.float64) for s in sequences
        ]
        short = [k for k, s in enumerate(kept) if s.shape[0] < self._min_samples]
        if reset and short:
            raise ActivityError(
                f"{owner}: every sequence needs at least {self._min_samples} samples; "
                f"sequence {short[0]} has {kept[short[0]].shape[0]}."
            )
        return kept, index


class SequenceTransformer(TransformerMixin, SequenceEstimator):
    """Base of methods that map a time series to a series of states or features."""

    _transform: Callable[[Any], Array]

    def transform(self, X: Any) -> Any:
        """Map each sequence.

        Parameters
        ----------
        X : xarray.DataArray, array-like of shape (n_times, n_units), or a list of these
            An Activity, or plain numbers.

        Returns
        -------
        xarray.DataArray, ndarray, or list of ndarray
            In the form of ``X``; for an Activity, an Activity with the labels of its samples.

        Raises
        ------
        ActivityError
            If the activity is not finite or has other units than in ``fit``.
        """
        check_is_fitted(self)
        sequences, index = self._read(X, reset=False)
        results = [np.asarray(self._transform(values)) for values in sequences]
        if index is not None:
            result = np.concatenate(results)
            if result.ndim > 1 and self._keeps_units:
                return index.restore(result, kind=self._output_kind)
            units = self._names_out(result.shape[1]) if result.ndim > 1 else None
            labelled = index.restore(result, units=units, kind=self._output_kind)
            return labelled.assign_attrs(UNITLESS)
        is_list = isinstance(X, (list, tuple)) and len(X) > 0 and np.ndim(X[0]) == 2
        return results if is_list else results[0]
