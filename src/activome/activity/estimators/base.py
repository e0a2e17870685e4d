"""What the three estimator bases share: reading activity, targets and labels."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from activome._checks import check_finite, check_memory
from activome.activity.stacking import SampleIndex, label_values
from activome.errors import ActivityError

__all__ = ["UNITLESS", "ActivityEstimator", "refuse_too_large"]

Array = np.ndarray[Any, Any]
# The results of a method are numbers of its own, whatever the unit of the activity was.
UNITLESS = {"units": "1"}


class ActivityEstimator(BaseEstimator):
    """What the three bases share: reading the input, the target, and the labels of the output.

    A method file implements ``_fit(values)`` or, with ``_takes_target``, ``_fit(values, y)``; and
    ``_transform(values)`` or ``_inverse_transform(values)`` where it has one.

    Raises
    ------
    ActivityError
        If the activity is not finite, is empty, or has the wrong shape or other units than in
        ``fit``; or if the target is missing.
    """

    # Given by the base of the kind of data, and by the method.
    _read: Callable[..., tuple[Any, SampleIndex | None]]
    _fit: Callable[..., None]

    _takes_target: ClassVar[bool] = False
    _accept_sparse: ClassVar[tuple[str, ...]] = ()
    _min_samples: ClassVar[int] = 1
    _min_units: ClassVar[int] = 1
    _allow_missing: ClassVar[bool] = False
    # True where output column j is input unit j; else outputs are named after the class.
    _keeps_units: ClassVar[bool] = False
    _output_kind: ClassVar[str] = "feature"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from activity.

        Parameters
        ----------
        X : xarray.DataArray or array-like
            An Activity with any dims out of (trial, time, unit) in any order, or plain numbers in
            the orientation of the method.
        y : array-like or str, optional
            Target of each sample or trial, or the name of a label of the activity; ignored by
            methods without a target.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ActivityError
            If the activity is not finite, is empty, or has the wrong shape.
        """
        values, index = self._read(X, reset=True)
        if self._takes_target:
            target = self._read_target(y, index)
            self._check_target_length(target, values)
            self._fit(values, target)
        else:
            self._fit(values)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and learned state to a file, without pickle.

        Parameters
        ----------
        path : path-like
            File to write; it is moved into place when whole.
        """
        from activome.activity.persist import save_estimator

        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an estimator that ``save`` wrote.

        Parameters
        ----------
        path : path-like
            File to read.

        Returns
        -------
        Self
            The estimator, fitted as it was.

        Raises
        ------
        ActivityError
            If the file holds an estimator of another class.
        """
        from activome.activity.persist import load_estimator

        estimator = load_estimator(path)
        if not isinstance(estimator, cls):
            raise ActivityError(
                f"{cls.__name__}.load: {os.fspath(path)} holds a {type(estimator).__name__}. "
                f"Load it with {type(estimator).__name__}.load."
            )
        return estimator

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the units, for methods whose outputs are the units.

        Returns
        -------
        ndarray of object, shape (n_outputs,)
            Unit names, or the class name in lower case with a number.
        """
        check_is_fitted(self)
        if self._keeps_units:
            names = (
                getattr(self, "feature_names_in_", None)
                if input_features is None
                else input_features
            )
            if names is None:
                names = [f"x{i}" for i in range(self.n_features_in_)]
            return np.asarray(names, dtype=object)
        return np.asarray(self._names_out(self._count_outputs()), dtype=object)

    def _names_out(self, n: int) -> list[str]:
        return [f"{type(self).__name__.lower()}{i}" for i in range(n)]

    def _count_outputs(self) -> int:
        components = getattr(self, "components_", None)
        return self.n_features_in_ if components is None else int(components.shape[0])

    def _owner(self, reset: bool) -> str:
        return f"{type(self).__name__}.{'fit' if reset else 'transform'}"

    def _validate_matrix(self, X: Any, *, reset: bool) -> Any:
        owner = self._owner(reset)
        try:
            values = validate_data(
                self,
                X,
                reset=reset,
                accept_sparse=list(self._accept_sparse) or False,
                dtype=[np.float64, np.float32],
                ensure_all_finite=False,
                ensure_min_samples=self._min_samples if reset else 1,
                ensure_min_features=self._min_units,
            )
        except ValueError as error:
            raise ActivityError(f"{owner}: {error}") from error
        if not self._allow_missing:
            is_sparse = bool(sparse.issparse(values))
            stored: Any = values.data if is_sparse else values
            axes = ("entry",) if is_sparse else ("sample", "unit")
            check_finite(stored, owner=owner, axes=axes)
        return values

    def _check_units(self, n_units: int, index: SampleIndex, *, reset: bool) -> None:
        names = index.unit_coords.get("unit")
        values = None if names is None else np.asarray(names)
        if reset:
            self.n_features_in_ = n_units
            self.unit_names_ = values
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            return
        owner = self._owner(reset)
        if n_units != self.n_features_in_:
            raise ActivityError(
                f"{owner}: activity must have the {self.n_features_in_} units of fit; "
                f"got {n_units}. Select the same units."
            )
        fitted = getattr(self, "unit_names_", None)
        if fitted is not None and values is not None and not np.array_equal(fitted, values):
            place = (
                int(np.argmax(fitted != values)) if fitted.dtype.kind == values.dtype.kind else 0
            )
            raise ActivityError(
                f"{owner}: units must be those of fit, in the same order; unit {place} was "
                f"{fitted[place]!r} and is {values[place]!r}. Use activity.sel(unit=...)."
            )

    def _check_values(self, values: Array, index: SampleIndex, *, reset: bool) -> Array:
        """Convert and check plain values that came out of an Activity, naming places by label."""
        owner = self._owner(reset)
        values = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
        if values.shape[0] < (self._min_samples if reset else 1):
            raise ActivityError(
                f"{owner}: needs at least {self._min_samples} samples; got {values.shape[0]}."
            )
        if values.shape[1] < self._min_units:
            raise ActivityError(
                f"{owner}: needs at least {self._min_units} units; got {values.shape[1]}."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            whole = self._allow_missing or bool(np.isfinite(values.sum(dtype=np.float64)))
        if not whole and not np.isfinite(values).all():
            # Back on the labelled grid, so that the message can name trial, time and unit.
            grid = index.restore(values)
            if index.mask is not None:
                grid = grid.where(xr.DataArray(index.mask, dims=("trial", "time")), 0.0)
            check_finite(np.asarray(grid.values), owner=owner, axes=[str(d) for d in grid.dims])
        return values

    def _read_target(self, y: Any, index: SampleIndex | None) -> Any:
        owner, per = f"{type(self).__name__}.fit", self._target_per
        if y is None:
            raise ActivityError(f"{owner}: requires y to be passed, but the target y is None.")
        if isinstance(y, str):
            if index is None:
                raise ActivityError(
                    f"{owner}: y={y!r} names a label, but the activity is a plain array. "
                    "Give the labels themselves."
                )
            return label_values(index, y, owner=owner, per=per)
        values = y.values if isinstance(y, xr.DataArray) else np.asarray(y)
        if index is not None and per == "sample" and values.shape == index.frame.shape:
            values = values[index.mask] if index.mask is not None else values.reshape(-1)
        return values

    def _check_target_length(self, target: Any, values: Any) -> None:
        # Sequence methods read their own targets, one per sequence or one per sample of each.
        if isinstance(values, list) or len(target) == values.shape[0]:
            return
        raise ActivityError(
            f"{type(self).__name__}.fit: y must have one entry per {self._target_per} "
            f"({values.shape[0]}); got {len(target)}."
        )

    _target_per: ClassVar[str] = "sample"


def refuse_too_large(activity: xr.DataArray, *, owner: str) -> None:
    """Refuse to load a lazy activity that passes the memory limit, before it is read.

    Parameters
    ----------
    activity : xarray.DataArray
        The activity; one that is in memory already is never refused.
    owner : str
        Who asks, for the message.
    """
    if activity.chunks is not None:
        check_memory(
            activity.nbytes,
            owner=owner,
            what="loading this lazy activity",
            cure="Load it yourself with .load(), select fewer samples, or fit it by blocks with "
            "activome.activity.fit_blocks where the method allows it.",
        )
