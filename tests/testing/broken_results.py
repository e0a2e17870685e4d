"""Estimators that break one check of labels or values each."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from sklearn.utils.validation import check_is_fitted
from sound_estimators import Array, NearestMean, Projection, Standard


class Overriding(Standard):
    """Wrap the results of the sound parent."""

    def transform(self, X: Any) -> Any:
        """Change the result after the fact."""
        return self.after(super().transform(X))

    def after(self, result: Any) -> Any:
        """Return the result as it is."""
        return result


class LosesLabels(Overriding):
    def after(self, result: Any) -> Any:
        return result.drop_vars("condition") if isinstance(result, xr.DataArray) else result


class LosesAttributes(Overriding):
    def after(self, result: Any) -> Any:
        return result.drop_attrs() if isinstance(result, xr.DataArray) else result


class TurnsDims(Overriding):
    def after(self, result: Any) -> Any:
        return result.transpose(..., "trial") if isinstance(result, xr.DataArray) else result


class _Peeking(Standard):
    """Fit the sound parent, then spoil what it learned when ``spoils`` says so."""

    def fit(self, X: Any, y: Any = None) -> Any:
        super().fit(X)
        if self.spoils(X):
            self.mean_ = self.mean_ + 1.0
        return self

    def spoils(self, X: Any) -> bool:
        return False


class ReadsAxesByPlace(_Peeking):
    def spoils(self, X: Any) -> bool:
        return isinstance(X, xr.DataArray) and X.dims[0] != "trial"


class FitsFirstChunk(_Peeking):
    def spoils(self, X: Any) -> bool:
        return isinstance(X, xr.DataArray) and X.chunks is not None


class LabelsOnly(_Peeking):
    def spoils(self, X: Any) -> bool:
        return not isinstance(X, xr.DataArray)


class FirstUnitCounts(Projection):
    def _transform(self, values: Array) -> Array:
        return np.asarray(values[:, :2] * np.array([1.0, 2.0]))


class ShiftsRows(Projection):
    def _transform(self, values: Array) -> Array:
        return np.asarray(values @ self.components_.T + np.arange(len(values))[:, np.newaxis])


class CentresAnew(Projection):
    def _transform(self, values: Array) -> Array:
        return np.asarray((values - values.mean(axis=0)) @ self.components_.T)


class Trusting(Standard):
    """Take any units."""

    def transform(self, X: Any) -> Any:
        """Standardise without looking at the names."""
        check_is_fitted(self)
        values = X.values.reshape(-1, X.sizes["unit"]) if isinstance(X, xr.DataArray) else X
        n = min(values.shape[1], self.mean_.size)
        result = (values[:, :n] - self.mean_[:n]) / self.scale_[:n]
        return result


class RenamesUnits(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        if isinstance(X, xr.DataArray):
            foreign = [dim for dim in X.dims if dim not in ("trial", "time", "unit")]
            X = X.rename(dict.fromkeys(foreign, "trial"))
            X = X.assign_coords(unit=np.arange(X.sizes["unit"]))
        return super().fit(X)


class TooManyNames(Projection):
    def _count_outputs(self) -> int:
        return 7


class PandasShuffled(Overriding):
    def after(self, result: Any) -> Any:
        return result.iloc[:, ::-1] if hasattr(result, "iloc") else result


class InverseWithoutNames(Standard):
    def inverse_transform(self, X: Any) -> Any:
        back = super().inverse_transform(X)
        return back.assign_coords(unit=np.arange(back.sizes["unit"]))


class NameBlind(NearestMean):
    def fit(self, X: Any, y: Any = None) -> Any:
        if isinstance(y, str):
            y = np.resize(["left", "right"], X.sizes["trial"] * X.sizes["time"])
        return super().fit(X, y)


class TargetOptional(NearestMean):
    def fit(self, X: Any, y: Any = None) -> Any:
        n = X.sizes["trial"] * X.sizes["time"] if isinstance(X, xr.DataArray) else len(X)
        return super().fit(X, np.resize(np.array(["left", "right"]) if y is None else y, n))


class InventsLabels(NearestMean):
    def predict(self, X: Any) -> Array:
        return np.where(super().predict(X) == "left", "leftish", "right")


class RemembersUnits(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        super().fit(X)
        self.n_features_in_ = 6
        return self


class Rounds(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        if values.dtype == np.float32:
            self.mean_ = np.round(self.mean_, 2)


class _ByLayout(_Peeking):
    def flag(self, values: Array) -> bool:
        return False

    def spoils(self, X: Any) -> bool:
        return isinstance(X, xr.DataArray) and self.flag(X.values)


class CContiguousOnly(_ByLayout):
    def flag(self, values: Array) -> bool:
        return bool(values.flags.f_contiguous and not values.flags.c_contiguous)


class DenseOnly(_ByLayout):
    def flag(self, values: Array) -> bool:
        return not bool(values.flags.c_contiguous or values.flags.f_contiguous)


class NativeOnly(_ByLayout):
    def flag(self, values: Array) -> bool:
        return not bool(values.dtype.isnative)


class FloatsOnly(_ByLayout):
    def flag(self, values: Array) -> bool:
        return bool(values.dtype.kind == "i")


class NumbersOnly(_ByLayout):
    def flag(self, values: Array) -> bool:
        return bool(values.dtype.kind == "b")


class WritesInPlace(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        values = X.values if isinstance(X, xr.DataArray) else X
        if values.flags.writeable:
            values += 1e-3
        return super().fit(X)


class NeedsWritable(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        if isinstance(X, np.memmap):
            X *= 1.0
        return super().fit(X)


class Fragile(Standard):
    """Divide by what may be zero, in silence."""

    def _fit(self, values: Array) -> None:
        super()._fit(values)
        with np.errstate(all="ignore"):
            self.scale_ = values.std(axis=0)

    def _transform(self, values: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray((values - self.mean_) / self.scale_)


class NeedsManyUnits(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        self.scale_ = self.scale_ * (np.nan if values.shape[1] == 1 else 1.0)


class NeedsManySamples(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        self.scale_ = self.scale_ * (np.nan if len(values) <= 24 else 1.0)


class NeedsRank(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        rank = np.linalg.matrix_rank(values - self.mean_)
        self.scale_ = self.scale_ * (np.nan if rank < values.shape[1] else 1.0)


class Overflows(Standard):
    def _transform(self, values: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.exp(values) - 1)


class LetsMissingPass(Standard):
    """Take what it is given without a look at it."""

    def fit(self, X: Any, y: Any = None) -> Any:
        values = X.values if isinstance(X, xr.DataArray) else np.asarray(X)
        values = np.nan_to_num(np.real(values), posinf=0, neginf=0) if values.size else values
        return super().fit(np.atleast_2d(values.reshape(-1, values.shape[-1])))

    def transform(self, X: Any) -> Any:
        return np.nan_to_num(np.asarray(X))


class TakesNothing(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        return super().fit(X if np.size(X) else np.ones((2, 6)))


class TakesText(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        return super().fit(np.real(X.astype(complex)).astype(float))


class UsesInvalid(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        return super().fit(X.fillna(0.0).drop_vars("valid", errors="ignore"))


BROKEN_RESULTS: dict[str, Any] = {
    "labels_kept": LosesLabels(),
    "attributes_survive": LosesAttributes(),
    "dims_ordered": TurnsDims(),
    "dims_order_irrelevant": ReadsAxesByPlace(),
    "lazy_equals_eager": FitsFirstChunk(),
    "plain_equals_labelled": LabelsOnly(),
    "unit_permutation": FirstUnitCounts(),
    "trial_order_kept": ShiftsRows(),
    "subset_same_results": CentresAnew(),
    "other_unit_names_refused": Trusting(),
    "other_unit_order_refused": Trusting(),
    "other_unit_count_refused": Trusting(),
    "duplicate_unit_names_refused": RenamesUnits(),
    "foreign_dim_refused": RenamesUnits(),
    "feature_names_out": TooManyNames(),
    "set_output_pandas": PandasShuffled(),
    "inverse_restores_units": InverseWithoutNames(),
    "target_by_name": NameBlind(),
    "target_missing_refused": TargetOptional(),
    "predicts_known_labels": InventsLabels(),
    "clone_has_no_labels": RemembersUnits(),
    "float32_near_float64": Rounds(),
    "fortran_order": CContiguousOnly(),
    "strided_input": DenseOnly(),
    "big_endian_input": NativeOnly(),
    "integer_input": FloatsOnly(),
    "boolean_input": NumbersOnly(),
    "readonly_memmap": NeedsWritable(),
    "input_not_written": WritesInPlace(),
    "one_unit": NeedsManyUnits(),
    "one_sample": NeedsManySamples(),
    "one_trial": NeedsManySamples(),
    "constant_unit": Fragile(),
    "silent_unit": Fragile(),
    "constant_activity": Fragile(),
    "repeated_unit": NeedsRank(),
    "tiny_and_huge_values": Overflows(),
    "nan_refused_in_fit": LetsMissingPass(),
    "infinity_refused_in_fit": LetsMissingPass(),
    "nan_refused_in_outputs": LetsMissingPass(),
    "nan_refused_in_plain_numbers": LetsMissingPass(),
    "wrong_axes_refused": LetsMissingPass(),
    "empty_refused": TakesNothing(),
    "text_refused": TakesText(),
    "ragged_ignores_invalid": UsesInvalid(),
}
