"""How each estimator of the package is given a recording, and what it gives back."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from activome._checks import check_choice, nearest_names
from activome._methods import METHODS, Method
from activome.activity.estimators.base import UNITLESS
from activome.activity.schema import Activity, ensure, make
from activome.activity.stacking import to_samples
from activome.errors import ActivityError, ParameterError
from activome.report.method_source import label_columns

__all__ = [
    "NEEDS", "OUTPUTS", "OWNER", "Fit", "as_activity", "choose_output", "estimator_class",
    "estimators", "find_row", "fit_and_apply",
]  # fmt: skip

Array = np.ndarray[Any, Any]
OWNER = "run"
# In this order: what a method says of each sample, the fullest first.
OUTPUTS = ("transform", "predict_proba", "decision_function", "score_samples", "predict")
_BASES = ("sample", "trial", "sequence")
# Estimators of something else than a recording.
NEEDS = {
    "ActivationEmbedder": "texts",
    "DelayMotionClassifier": "movies of events with the direction of their motion",
    "EmergenceCurve": "steps of a training and a value at each",
    "FEAST": "the pixels of an event camera",
    "FeatureHistogram": "events that carry features",
    "SpatialPatternDetector": "binary patterns",
    "SymmetricSTDPClassifier": "images and their classes",
}


@dataclass(frozen=True)
class Fit:
    """What a way of running an estimator gives.

    Attributes
    ----------
    activity : xarray.DataArray or None
        The result; None for a method that only learns.
    output : str
        What it is: the name of the method that gave it, or words.
    """

    activity: Activity | None
    output: str


def find_row(name: str) -> Method:
    """Return the row of an estimator; capitals, hyphens and underscores do not matter."""
    wanted = _plain(name)
    row = next((row for row in METHODS if _plain(row.name) == wanted), None)
    if row is None or row.kind == "function":
        known = [row.name for row in estimators()]
        what = "is a function, which is called from Python" if row else "is no estimator"
        raise ParameterError(f"{OWNER}: {name!r} {what}; {nearest_names(name, known)}")
    return row


def estimators() -> list[Method]:
    """Return the rows of the estimators that a recording can be given to."""
    return [row for row in METHODS if row.kind in _BASES or row.name in _WAYS]


def estimator_class(row: Method) -> type[Any]:
    """Return the class of a row.

    Raises
    ------
    ParameterError
        If it learns nothing, or needs more than a recording.
    """
    cls: type[Any] = getattr(importlib.import_module(row.module), row.name)
    if not callable(getattr(cls, "fit", None)):
        known = [other.name for other in estimators()]
        raise ParameterError(
            f"{OWNER}: {row.name} learns nothing from a recording; {nearest_names(row.name, known)}"
        )
    if row.kind not in _BASES and row.name not in _WAYS:
        if row.name in NEEDS:
            raise ParameterError(
                f"{OWNER}: {row.name}.fit takes {NEEDS[row.name]}, not a recording. Call it from "
                f"Python: {row.module.rsplit('.', 1)[0]}.{row.name}."
            )
        fitted = list(inspect.signature(cls.fit).parameters.values())[1:]
        needs = [p.name for p in fitted if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        raise ParameterError(
            f"{OWNER}: {row.name}.fit takes {' and '.join(needs)}, which a recording does not "
            f"hold. Call it from Python: {row.module.rsplit('.', 1)[0]}.{row.name}."
        )
    return cls


def fit_and_apply(
    row: Method, estimator: Any, activity: Activity, label: str | None, output: str | None
) -> Fit:
    """Fit an estimator to an activity in memory and return what it makes of it."""
    way = _WAYS.get(row.name)
    if way is not None:
        return way(estimator, activity, label)
    fit_with_label(estimator, activity, label)
    name = choose_output(estimator, output)
    if name is None:
        return Fit(None, "nothing but learned attributes")
    return Fit(as_activity(getattr(estimator, name)(activity), activity, row.name), name)


def fit_with_label(estimator: Any, activity: Activity, label: str | None) -> None:
    """Fit, with the label as the target where the method has one."""
    name = type(estimator).__name__
    tags = estimator.__sklearn_tags__()
    if getattr(estimator, "_takes_target", False) or tags.target_tags.required:
        estimator.fit(activity, _need_label(activity, label, f"{name} learns a label"))
        return
    _refuse_label(estimator, label)
    estimator.fit(activity)


def choose_output(estimator: Any, wanted: str | None) -> str | None:
    """Return the method of an estimator to call for its result, None where there is none."""
    if type(estimator).__name__ in _WAYS:
        if wanted is not None:
            raise ParameterError(
                f"{OWNER}: {type(estimator).__name__} has one result; leave out {wanted!r}."
            )
        return None
    offered = [name for name in OUTPUTS if callable(getattr(estimator, name, None))]
    if wanted is None:
        return offered[0] if offered else None
    return check_choice(wanted, offered, name=f"output of {type(estimator).__name__}", owner=OWNER)


def as_activity(result: Any, activity: Activity, name: str) -> Activity:
    """Return a result as an Activity with the labels of the samples, trials or times."""
    if isinstance(result, xr.DataArray):
        return ensure(result.copy(data=_numbers(result.values)), owner=f"{OWNER}: {name}")
    if isinstance(result, (list, tuple)):
        result = np.concatenate([np.asarray(item) for item in result])
    values = _numbers(np.asarray(result))
    rows, index = to_samples(activity, owner=OWNER)
    units = [f"{name.lower()}{k}" for k in range(values.shape[-1])] if values.ndim == 2 else None
    if values.ndim in (1, 2) and len(values) == len(rows):
        return index.restore(values, units=units, kind="feature").assign_attrs(UNITLESS)
    if values.ndim in (1, 2) and len(values) == activity.sizes.get("trial"):
        riding = {k: coord for k, coord in activity.coords.items() if coord.dims == ("trial",)}
        return make(values, ("trial", "unit")[: values.ndim], unit=units).assign_coords(riding)
    raise ActivityError(
        f"{OWNER}: {name} gave a result of shape {values.shape}, which fits neither the samples "
        "nor the trials of the recording. Call it from Python."
    )


def _numbers(values: Array) -> Array:
    """Return numbers as they are, and names as their place in the sorted list of names."""
    if values.dtype.kind in "biuf":
        return values
    return np.unique(values.astype(str), return_inverse=True)[1].reshape(values.shape)


def _need_label(activity: Activity, label: str | None, why: str) -> str:
    known = label_columns(activity)
    if label is None:
        raise ParameterError(
            f"{OWNER}: {why}; give --label with one of those of the recording: "
            f"{', '.join(known) or 'it has none'}."
        )
    return check_choice(label, known, name="label", owner=OWNER)


def _refuse_label(estimator: Any, label: str | None) -> None:
    if label is not None:
        name = type(estimator).__name__
        raise ParameterError(f"{OWNER}: {name} learns without a label; leave out {label!r}.")


def _tensor(estimator: Any, activity: Activity, label: str | None) -> Fit:
    """Factorise the tensor (trial, time, unit); the result is each component over the first dim."""
    _refuse_label(estimator, label)
    estimator.fit(activity)
    lead = str(activity.dims[0])
    loadings = estimator.factors_[0] * estimator.weights_
    names = [f"component{k}" for k in range(loadings.shape[1])]
    riding = {k: coord for k, coord in activity.coords.items() if coord.dims == (lead,)}
    if lead == "unit":
        # Units that stand first are what the components hold: one observation per unit.
        return Fit(make(loadings, ("trial", "unit"), unit=names), "loadings of the units")
    result = make(loadings, (lead, "unit"), unit=names, source=_source(activity))
    return Fit(result.assign_coords(riding), f"loadings of each {lead}")


def _graph(estimator: Any, activity: Activity, label: str | None) -> Fit:
    """Find the blocks of the functional network; the result is the mean activity of each."""
    from activome.graphs.functional import functional_network

    _refuse_label(estimator, label)
    if "unit" not in activity.dims:
        raise ActivityError(f"{OWNER}: a network needs units; the recording has none.")
    network = functional_network(activity)
    is_edge = network["edge"].values & (network["weight"].values > 0)
    weights = np.where(is_edge & ~np.eye(len(is_edge), dtype=bool), network["weight"].values, 0.0)
    estimator.fit(weights)
    rows, index = to_samples(activity, owner=OWNER)
    members = np.eye(estimator.n_blocks_)[estimator.labels_]
    means = rows.astype(np.float64) @ (members / members.sum(axis=0))
    names = [f"block{k}" for k in range(means.shape[1])]
    return Fit(index.restore(means, units=names), "mean activity of each block of units")


def _patterns(estimator: Any, activity: Activity, label: str | None) -> Fit:
    """Store every sample; the result is the overlap of each with every segment."""
    _refuse_label(estimator, label)
    rows, index = to_samples(activity, owner=OWNER)
    estimator.fit(rows)
    overlaps = estimator.transform(rows)
    names = [f"segment{k}" for k in range(overlaps.shape[1])]
    return Fit(index.restore(overlaps, units=names), "overlap with each segment")


def _rdm(estimator: Any, activity: Activity, label: str | None) -> Fit:
    """Map the RDM of a label; the result is a row of dissimilarities per condition."""
    from activome.geometry.rdm import rdm
    from activome.geometry.rdm_forms import to_square
    from activome.report.conditions import observation_patterns

    name = type(estimator).__name__
    label = _need_label(activity, label, f"{name} maps the RDM of conditions")
    patterns, labels = observation_patterns(activity, label, owner=OWNER)
    condensed = rdm(patterns, "euclidean", conditions=labels)
    square = np.asarray(to_square(estimator.fit_transform(np.asarray(condensed)[np.newaxis])[0]))
    conditions = np.unique(labels)
    result = make(
        square,
        ("trial", "unit"),
        unit=[str(condition) for condition in conditions],
        coords={label: ("trial", conditions)},
        source=_source(activity),
    )
    return Fit(result, f"mapped dissimilarities of the values of {label}")


def _source(activity: Activity) -> str:
    return str(activity.attrs.get("source", "memory"))


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


# Estimators of other bases, by name: what of a recording they are given.
_WAYS: dict[str, Callable[[Any, Activity, str | None], Fit]] = {
    "ActiveDendriteNeuron": _patterns,
    "Geodesic": _rdm,
    "GeoTopological": _rdm,
    "NonnegativeCP": _tensor,
    "WeightedBlockModel": _graph,
}
