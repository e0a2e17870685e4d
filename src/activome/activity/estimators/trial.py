"""Base of methods on trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_finite
from activome.activity.estimators.base import UNITLESS, ActivityEstimator, refuse_too_large
from activome.activity.stacking import SampleIndex, to_trials
from activome.errors import ActivityError

__all__ = ["TrialEstimator", "TrialTransformer"]

Array = np.ndarray[Any, Any]


class TrialEstimator(ActivityEstimator):
    """Base of methods on trials: plain numbers are (n_trials, n_units, n_times).

    Raises
    ------
    ActivityError
        If the activity is not finite, is empty, or has the wrong shape or other units than in
        ``fit``; or if the target is missing.
    """

    _target_per: ClassVar[str] = "trial"
    # True where plain numbers are (n_trials, n_times, n_units), as layers over time take them.
    _times_before_units: ClassVar[bool] = False

    def _read(self, X: Any, *, reset: bool) -> tuple[Any, SampleIndex | None]:
        owner = self._owner(reset)
        index: SampleIndex | None = None
        if isinstance(X, xr.DataArray):
            refuse_too_large(X, owner=owner)
            values, index = to_trials(X, owner=owner)
            if index.mask is not None and not index.mask.all() and not self._allow_missing:
                raise ActivityError(
                    f"{owner}: trials must have equal lengths; {int((~index.mask).sum())} samples "
                    "are not valid. Cut the trials to a common window."
                )
            self._check_units(values.shape[1], index, reset=reset)
        else:
            values = np.asarray(X)
            if values.ndim != 3:
                axes = "n_times, n_units" if self._times_before_units else "n_units, n_times"
                raise ActivityError(
                    f"{owner}: plain numbers must be (n_trials, {axes}); "
                    f"got {values.ndim} axes of shape {values.shape}."
                )
            values = values.swapaxes(1, 2) if self._times_before_units else values
            if reset:
                self.unit_names_ = None
                self.n_features_in_ = values.shape[1]
            elif values.shape[1] != self.n_features_in_:
                raise ActivityError(
                    f"{owner}: activity must have the {self.n_features_in_} units of fit; "
                    f"got {values.shape[1]}."
                )
        if values.size == 0 or (reset and values.shape[0] < self._min_samples):
            raise ActivityError(
                f"{owner}: needs at least {self._min_samples} trials with samples; "
                f"got shape {values.shape}."
            )
        values = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
        if not self._allow_missing:
            check_finite(values, owner=owner, axes=("trial", "unit", "time"))
        return values, index

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that the input has three axes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class TrialTransformer(TransformerMixin, TrialEstimator):
    """Base of methods that map each trial to features or to new series."""

    _transform: Callable[[Any], Array]

    def transform(self, X: Any) -> Any:
        """Map each trial.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_trials, n_units, n_times)
            An Activity, or plain numbers.

        Returns
        -------
        xarray.DataArray or ndarray, shape (n_trials, n_outputs) or (n_trials, n_units, n_times)
            For an Activity, an Activity with the labels of its trials.

        Raises
        ------
        ActivityError
            If the activity is not finite or has other units than in ``fit``.
        """
        check_is_fitted(self)
        values, index = self._read(X, reset=False)
        result = self._transform(values)
        if index is None:
            is_turned = self._times_before_units and result.ndim == 3
            return result.swapaxes(1, 2) if is_turned else result
        return self._label(result, index)

    def _label(self, result: Array, index: SampleIndex) -> xr.DataArray:
        frame = index.frame if "trial" in index.frame.dims else index.frame.expand_dims("trial")
        attrs = dict(index.attrs)
        n_times = result.shape[2] if result.ndim == 3 else None
        if n_times != frame.sizes.get("time"):
            # Features of a whole trial, or a series on a clock of its own: labels of time go.
            frame = frame.isel(time=0, drop=True) if "time" in frame.dims else frame
            frame = frame.drop_vars("valid", errors="ignore")
            attrs.pop("sampling_rate", None)
        if n_times is not None and "time" not in frame.dims:
            frame = frame.expand_dims(time=np.arange(float(n_times)), axis=1)
        keeps = self._keeps_units and result.shape[1:2] == (self.n_features_in_,)
        names = None if keeps or result.ndim == 1 else self._names_out(result.shape[1])
        rows = SampleIndex(frame, None, index.unit_coords if keeps else {}, attrs)
        flat = result if n_times is None else np.moveaxis(result, 1, 2).reshape(-1, result.shape[1])
        labelled = rows.restore(flat, units=names, kind=self._output_kind)
        return labelled if keeps else labelled.assign_attrs(UNITLESS)
