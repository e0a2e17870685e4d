"""What the checks share: the estimator under test, its data, and its results as plain numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone, is_classifier, is_regressor

from activome.activity.schema import Activity
from activome.activity.stacking import to_samples, to_sequences, to_trials
from activome.errors import ActivityWarning, ActivomeError, ConvergenceWarning
from activome.testing.data import check_activity

__all__ = [
    "OUTPUT_METHODS",
    "Case",
    "NotApplicableError",
    "Results",
    "assert_close",
    "finite_or_refused",
    "global_random_states",
    "is_partition",
    "learned",
    "numbers",
    "refused",
    "tolerated",
]

Array = np.ndarray[Any, Any]
Results = dict[str, Array]

OUTPUT_METHODS = ("transform", "predict", "predict_proba", "decision_function", "score_samples")
# Layout and laziness may change the order of sums; a method may amplify that by its iterations.
CLOSE = 1e-6


class NotApplicableError(Exception):
    """The check says nothing about this estimator; the message says why."""


@dataclass
class Case:
    """An estimator under test, with data that suits it."""

    estimator: Any
    base: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Class of the estimator."""
        return type(self.estimator).__name__

    def new(self, **parameters: Any) -> Any:
        """Return an unfitted copy, with a seed where one can be set."""
        fresh = clone(self.estimator)
        if fresh.get_params().get("random_state", 0) is None:
            fresh.set_params(random_state=0)
        return fresh.set_params(**parameters)

    @cached_property
    def activity(self) -> Activity:
        """Return the data of the checks; never written to."""
        made = check_activity(**self.data)
        made.values.flags.writeable = False
        return made

    @property
    def takes_target(self) -> bool:
        """Tell whether ``fit`` needs a target."""
        tags = self.estimator.__sklearn_tags__()
        return bool(getattr(self.estimator, "_takes_target", False) or tags.target_tags.required)

    def target(self, activity: Activity) -> Any:
        """Return the target that belongs to some activity, or None."""
        if not self.takes_target:
            return None
        per_trial = np.asarray(activity["condition"].values)
        if is_regressor(self.estimator):
            per_trial = (per_trial == "right") + 0.1 * np.arange(per_trial.size)
        if self.base != "sample":
            return per_trial
        per_sample = np.repeat(per_trial[:, np.newaxis], activity.sizes["time"], axis=1)
        if "valid" in activity.coords:
            return per_sample[activity["valid"].values]
        return per_sample.reshape(-1)

    def plain(self, activity: Activity) -> Any:
        """Return an activity as plain numbers in the orientation of the method."""
        if self.base == "sample":
            return to_samples(activity)[0]
        return (
            self.turned(to_trials(activity)[0])
            if self.base == "trial"
            else (to_sequences(activity)[0])
        )

    def turned(self, values: Any) -> Any:
        """Exchange units and times for a trial method whose plain numbers have times first."""
        is_turned = getattr(self.estimator, "_times_before_units", False)
        is_series = isinstance(values, np.ndarray) and values.ndim == 3
        return values.swapaxes(1, 2) if is_turned and is_series else values

    def fit(self, activity: Activity, estimator: Any = None, *, X: Any = None) -> Any:
        """Fit a fresh copy (or the estimator given) to an activity, or to a form of it."""
        fresh = self.new() if estimator is None else estimator
        X = activity if X is None else X
        with tolerated():
            return fresh.fit(X, self.target(activity)) if self.takes_target else fresh.fit(X)

    @cached_property
    def fitted(self) -> Any:
        """Return one fitted copy that checks may use but not change."""
        return self.fit(self.activity)

    @cached_property
    def reference(self) -> Results:
        """Return the results of the fitted copy on its own data."""
        return self.results(self.fitted, self.activity)

    def raw_outputs(self, estimator: Any, X: Any) -> dict[str, Any]:
        """Return what each output method gives, as it gives it."""
        with tolerated():
            given = {m: getattr(estimator, m)(X) for m in OUTPUT_METHODS if hasattr(estimator, m)}
        return {method: self.turned(result) for method, result in given.items()}

    def results(self, estimator: Any, X: Any) -> Results:
        """Return the outputs as plain numbers; the learned state for methods without outputs."""
        outputs = {name: numbers(item) for name, item in self.raw_outputs(estimator, X).items()}
        return outputs or learned(estimator)

    def need_outputs(self) -> None:
        """Leave the check when the method has no outputs."""
        if not any(hasattr(self.fitted, method) for method in OUTPUT_METHODS):
            raise NotApplicableError("it has no transform or predict")

    def need_transform(self) -> None:
        """Leave the check when the method is no transformer."""
        if not hasattr(self.fitted, "transform"):
            raise NotApplicableError("it has no transform")


@contextmanager
def tolerated() -> Iterator[None]:
    """Let the two warnings pass that a sound result may carry; any other one is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for category in (ActivityWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", category)
        yield


def numbers(result: Any) -> Array:
    """Return a result in whatever container as one array, its samples along the first axis."""
    if isinstance(result, xr.DataArray):
        if "unit" in result.dims and result.ndim > 1:
            values = np.asarray(result.values)
            return values.reshape(-1, values.shape[-1])
        return np.asarray(result.values).reshape(-1)
    if isinstance(result, (list, tuple)):
        return np.concatenate([numbers(item) for item in result])
    values = np.asarray(result)
    # Trials of series (n_trials, n_units, n_times), as the labelled form has them.
    return np.moveaxis(values, 1, 2).reshape(-1, values.shape[1]) if values.ndim == 3 else values


def learned(estimator: Any) -> Results:
    """Return the learned attributes that are numbers or arrays of numbers."""
    found = {}
    for name, value in sorted(vars(estimator).items()):
        if name.endswith("_") and not name.startswith("_") and name != "unit_names_":
            if isinstance(value, (list, tuple)):
                # Lists of arrays may differ in length, which is no array.
                parts = [np.ravel(item) for item in value]
                value = np.concatenate(parts) if parts else np.empty(0)
            array = np.asarray(value.values if isinstance(value, xr.DataArray) else value)
            if array.dtype.kind in "biufc":
                found[name] = array
    return found


def assert_close(one: Results, two: Results, what: str, *, tolerance: float = CLOSE) -> None:
    """Compare results: labels exactly, numbers to a share of the largest of them."""
    assert one.keys() == two.keys(), f"{what}: {sorted(one)} became {sorted(two)}"
    for name, mine in one.items():
        theirs = two[name]
        assert mine.shape == theirs.shape, f"{what}: {name} has shape {theirs.shape}, {mine.shape}"
        if mine.dtype.kind not in "fc":
            n_other = int(np.count_nonzero(mine != theirs))
            assert n_other == 0, f"{what}: {n_other} of {mine.size} entries of {name} differ"
            continue
        is_known = np.isfinite(mine)
        same_places = np.array_equal(is_known, np.isfinite(theirs))
        assert same_places, f"{what}: NaN stands in other places of {name}"
        if is_known.any():
            scale = max(float(np.abs(mine[is_known]).max()), float(np.finfo(np.float64).tiny))
            error = float(np.abs(mine[is_known] - theirs[is_known]).max()) / scale
            assert error <= tolerance, f"{what}: {name} differs by {error:.3g} of its largest value"


def refused(action: Callable[[], Any], what: str, *words: str) -> str:
    """Require that something is refused by an error of activome, with some words in its message."""
    try:
        with tolerated():
            action()
    except ActivomeError as error:
        message = str(error)
    except Exception as error:
        kind = type(error).__name__
        raise AssertionError(f"{what}: {kind} instead of an error of activome: {error}") from error
    else:
        raise AssertionError(f"{what}: it was accepted")
    for word in words:
        assert word in message, f"{what}: the refusal does not say {word!r}: {message}"
    return message


def finite_or_refused(case: Case, activity: Activity, what: str) -> None:
    """Require finite results, or a refusal in the name of the estimator."""
    refusal = None
    try:
        results = case.results(case.fit(activity), activity)
    except ActivomeError as error:
        refusal, results = str(error), {}
    named = refusal is None or case.name in refusal
    assert named, f"{what}: the refusal does not name {case.name}: {refusal}"
    for name, values in results.items():
        if values.dtype.kind in "fc":
            n_bad = int(np.count_nonzero(~np.isfinite(values)))
            assert n_bad == 0, f"{what}: {n_bad} of {values.size} values of {name} are not finite"


def is_partition(case: Case, method: str, values: Array) -> bool:
    """Tell whether an output is a set of arbitrary labels, such as those of clusters."""
    return (
        method in ("predict", "transform")
        and values.ndim == 1
        and values.dtype.kind in "biu"
        and not is_classifier(case.estimator)
    )


def global_random_states() -> list[Any]:
    """Return the states of the generators that belong to the process."""
    import random

    states: list[Any] = [random.getstate(), np.random.get_state()[1].tobytes()]  # type: ignore[index]  # noqa: NPY002
    states.append(np.random.get_state()[2])  # type: ignore[index]  # noqa: NPY002
    if "torch" in sys.modules:
        states.append(sys.modules["torch"].get_rng_state().numpy().tobytes())
    return states
