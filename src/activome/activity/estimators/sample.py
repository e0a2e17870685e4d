"""Base of methods on independent samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import xarray as xr
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from activome.activity.estimators.base import UNITLESS, ActivityEstimator, refuse_too_large
from activome.activity.stacking import SampleIndex, to_samples
from activome.errors import ActivityError

__all__ = ["SampleEstimator", "SampleTransformer"]

Array = np.ndarray[Any, Any]
_BLOCK_BYTES = 64 * 1024**2


class SampleEstimator(ActivityEstimator):
    """Base of methods on independent samples: plain numbers are (n_samples, n_units).

    An Activity is stacked over trials and times by name; samples outside ``valid`` are left out.
    A lazy Activity is fitted block by block where the method can be solved from sums, and
    transformed block by block always.
    """

    def _read(self, X: Any, *, reset: bool) -> tuple[Any, SampleIndex | None]:
        if not isinstance(X, xr.DataArray):
            if reset:
                self.unit_names_ = None
            return self._validate_matrix(X, reset=reset), None
        refuse_too_large(X, owner=self._owner(reset))
        values, index = to_samples(X, owner=self._owner(reset))
        self._check_units(values.shape[1], index, reset=reset)
        return self._check_values(values, index, reset=reset), index

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from activity.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, or plain numbers.
        y : array-like or str, optional
            Target of each sample, or the name of a label; ignored by methods without a target.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ActivityError
            If the activity is not finite, is empty, or has the wrong shape.
        """
        from_sums = hasattr(self, "summarise") and not self._takes_target
        if isinstance(X, xr.DataArray) and X.chunks is not None and from_sums:
            from activome.activity.blocks import fit_blocks

            fit_blocks(self, X)
            return self
        super().fit(X, y)
        return self


class SampleTransformer(TransformerMixin, SampleEstimator):
    """Base of methods that map each sample to new numbers: ``_transform`` takes and gives rows."""

    _transform: Callable[[Any], Array]

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit, then transform the same activity.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, or plain numbers.
        y : array-like or str, optional
            Target, for methods that have one.

        Returns
        -------
        xarray.DataArray or ndarray, shape (n_samples, n_outputs)
            As ``transform`` gives it.
        """
        return self.fit(X, y).transform(X)

    def transform(self, X: Any) -> Any:
        """Map each sample.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, or plain numbers.

        Returns
        -------
        xarray.DataArray or ndarray, shape (n_samples, n_outputs)
            For an Activity, an Activity with the labels of its trials and times.

        Raises
        ------
        ActivityError
            If the activity is not finite or has other units than in ``fit``.
        """
        check_is_fitted(self)
        if isinstance(X, xr.DataArray) and X.chunks is not None:
            return self._transform_blocks(X)
        values, index = self._read(X, reset=False)
        return self._label(self._transform(values), index)

    def inverse_transform(self, X: Any) -> Any:
        """Map results back to units.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_outputs)
            What ``transform`` gave.

        Returns
        -------
        xarray.DataArray or ndarray, shape (n_samples, n_units)
            Activity as the method sees it.

        Raises
        ------
        ActivityError
            If the method cannot be inverted.
        """
        check_is_fitted(self)
        if not hasattr(self, "_inverse_transform"):
            raise ActivityError(f"{type(self).__name__}.inverse_transform: it has no inverse.")
        if not isinstance(X, xr.DataArray):
            return self._inverse_transform(np.asarray(X))
        values, index = to_samples(X, owner=f"{type(self).__name__}.inverse_transform")
        names = getattr(self, "unit_names_", None)
        units = range(self.n_features_in_) if names is None else names
        return index.restore(self._inverse_transform(values), units=list(units))

    def _label(self, result: Array, index: SampleIndex | None) -> Any:
        if index is None:
            return result
        if self._keeps_units and result.shape[1:] == (self.n_features_in_,):
            return index.restore(result, kind=self._output_kind)
        n_outputs = result.shape[1] if result.ndim > 1 else 1
        units = self._names_out(n_outputs)
        # Set afterwards: restore has an argument "units" of its own, the names of the outputs.
        labelled = index.restore(result, units=units, kind=self._output_kind)
        return labelled.assign_attrs(UNITLESS)

    def _transform_blocks(self, activity: xr.DataArray) -> xr.DataArray:
        lead = next((dim for dim in ("trial", "time") if dim in activity.dims), None)
        if lead is None or activity.sizes[lead] == 0:
            return self.transform(activity.load())  # type: ignore[no-any-return]
        per_row = max(1, activity.nbytes // activity.sizes[lead])
        step = max(1, _BLOCK_BYTES // per_row)
        parts = [
            self.transform(activity.isel({lead: slice(i, i + step)}).compute())
            for i in range(0, activity.sizes[lead], step)
        ]
        joined: xr.DataArray = xr.concat(parts, dim=lead, combine_attrs="override", join="exact")
        return joined
