"""Estimators that break one check of parameters, state or documentation each."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sound_estimators import Array, Projection, Standard

from activome.activity.estimators.sample import SampleTransformer


class NoDoc(SampleTransformer):
    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def _fit(self, values: Array) -> None:
        self.hidden_ = values.mean(axis=0)

    def _transform(self, values: Array) -> Array:
        return values


class BusyConstructor(Standard):
    def __init__(self, floor: float = 1e-300) -> None:
        super().__init__(floor)
        self.cache = {"floor": floor}


class Varargs(Standard):
    def __init__(self, floor: float = 1e-300, *rest: Any) -> None:
        self.floor = floor
        self.rest = rest


class ForgetsParameters(Standard):
    def set_params(self, **params: Any) -> Any:
        return self


class TunesItself(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        self.floor = 0.5


class ReturnsNothing(Standard):
    def fit(self, X: Any, y: Any = None) -> Any:
        super().fit(X)
        return None


class LearnsNothing(Standard):
    def _fit(self, values: Array) -> None:
        self._mean = values.mean(axis=0)

    def _transform(self, values: Array) -> Array:
        return np.asarray(values - self._mean)


class Miscounts(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        self.n_features_in_ = 3


class UnfittedIsFine(Standard):
    def transform(self, X: Any) -> Any:
        return super().transform(X) if hasattr(self, "mean_") else X


class Accumulates(Standard):
    def _fit(self, values: Array) -> None:
        before = np.resize(getattr(self, "mean_", 0.0), values.shape[1])
        super()._fit(values)
        self.mean_ = self.mean_ + before


class ChangesWhenUsed(Standard):
    def _transform(self, values: Array) -> Array:
        result = super()._transform(values)
        self.mean_ = self.mean_ + 1.0
        return result


class OtherFitTransform(Standard):
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.fit(X).transform(X) * 2.0


class Unseeded(Projection):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        self.components_ = self.components_ + np.random.default_rng().normal()


class IntegersOnly(Projection):
    def _fit(self, values: Array) -> None:
        if isinstance(self.random_state, np.random.Generator):
            raise TypeError("seeds are integers")
        super()._fit(values)


class GlobalSeed(Standard):
    def _fit(self, values: Array) -> None:
        super()._fit(values)
        np.random.rand()  # noqa: NPY002


class CountsThreads(Standard):
    def _fit(self, values: Array) -> None:
        from threadpoolctl import threadpool_info

        super()._fit(values)
        self.mean_ = self.mean_ + sum(pool["num_threads"] for pool in threadpool_info())


class LoadsAnew(Standard):
    @classmethod
    def load(cls, path: Any) -> Any:
        return cls(floor=1e-3)

    def save(self, path: Any) -> None:
        path.write_bytes(b"nothing")


class Pickles(Standard):
    def save(self, path: Any) -> None:
        path.write_bytes(b"\x80\x04.")


class SharesState(Standard):
    _shared: dict[str, Any] = {}  # noqa: RUF012

    def _fit(self, values: Array) -> None:
        super()._fit(values)
        self._shared["mean"] = self.mean_

    def _transform(self, values: Array) -> Array:
        return np.asarray(values - self._shared["mean"])


class Warns(Standard):
    def _fit(self, values: Array) -> None:
        warnings.warn("something", UserWarning, stacklevel=2)
        super()._fit(values)


class NeedsItsOwnCall(Standard):
    def fit(self, X: Any) -> Any:  # type: ignore[override]
        return super().fit(X)


class NotOnFolds(Standard):
    def _fit(self, values: Array) -> None:
        if len(values) < 200:
            raise RuntimeError("more data")
        super()._fit(values)


BROKEN_STATE: dict[str, Any] = {
    "init_only_stores": BusyConstructor(),
    "no_required_varargs": Varargs(),
    "parameters_round_trip": ForgetsParameters(),
    "fit_keeps_parameters": TunesItself(),
    "fit_returns_self": ReturnsNothing(),
    "no_state_before_fit": LearnsNothing(),
    "counts_units": Miscounts(),
    "unfitted_raises": UnfittedIsFine(),
    "fit_idempotent": Accumulates(),
    "refit_forgets": Accumulates(),
    "outputs_deterministic": ChangesWhenUsed(),
    "fit_transform_agrees": OtherFitTransform(),
    "seed_reproduces": Unseeded(),
    "generator_accepted": IntegersOnly(),
    "no_global_randomness": GlobalSeed(),
    "thread_counts_agree": CountsThreads(),
    "save_and_load": LoadsAnew(),
    "copies_are_independent": SharesState(),
    "no_warnings": Warns(),
    "in_pipeline": NeedsItsOwnCall(),
    "in_grid_search": NotOnFolds(),
    "documents_parameters": NoDoc(),
    "documents_attributes": NoDoc(),
}
