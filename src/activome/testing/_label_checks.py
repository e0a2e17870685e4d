"""Checks of labels: what comes back carries the labels of what went in, whatever its form."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone
from sklearn.utils.multiclass import unique_labels

from activome.activity.schema import Activity
from activome.testing._case import (
    Case,
    NotApplicableError,
    assert_close,
    is_partition,
    numbers,
    refused,
    tolerated,
)

__all__ = ["LABEL_CHECKS"]

Array = np.ndarray[Any, Any]


def labels_kept(case: Case) -> None:
    """Results of a labelled activity carry its trials, times and the labels that ride on them."""
    case.need_transform()
    result = case.raw_outputs(case.fitted, case.activity)["transform"]
    assert isinstance(result, xr.DataArray), f"transform gave a {type(result).__name__}"
    for dim in ("trial", "time"):
        if dim not in result.dims:
            continue
        kept = result.sizes[dim] == case.activity.sizes[dim]
        assert kept or dim == "time", f"{dim} has another length"
        for name, label in case.activity.coords.items():
            if kept and label.dims == (dim,):
                assert name in result.coords, f"label {name!r} is lost"
                same = np.array_equal(result[name].values, label.values)
                assert same, f"label {name!r} has changed"


def attributes_survive(case: Case) -> None:
    """Results tell their source, their kind, and the sampling rate where time is kept."""
    case.need_transform()
    result = case.raw_outputs(case.fitted, case.activity)["transform"]
    attrs = getattr(result, "attrs", {})
    assert attrs.get("source") == case.activity.attrs["source"], "attrs['source'] is lost"
    assert "kind" in attrs, "attrs['kind'] is lost"
    if "time" in result.dims and result.sizes["time"] == case.activity.sizes["time"]:
        rate = case.activity.attrs["sampling_rate"]
        assert attrs.get("sampling_rate") == rate, "attrs['sampling_rate'] is lost"


def dims_ordered(case: Case) -> None:
    """Results have their dims in the order (trial, time, unit)."""
    case.need_transform()
    result = case.raw_outputs(case.fitted, case.activity)["transform"]
    dims = [dim for dim in ("trial", "time", "unit") if dim in result.dims]
    assert list(result.dims) == dims, f"dims are {result.dims}"


def dims_order_irrelevant(case: Case) -> None:
    """The order of the dims of the input changes nothing."""
    turned = case.activity.transpose("unit", "trial", "time")
    estimator = case.fit(case.activity, X=turned)
    assert_close(case.reference, case.results(estimator, turned), "dims in another order")


def lazy_equals_eager(case: Case) -> None:
    """An activity in chunks gives the results of one in memory."""
    lazy = case.activity.chunk({"trial": 5, "time": 11})
    estimator = case.fit(case.activity, X=lazy)
    assert_close(case.reference, case.results(estimator, lazy), "a lazy activity")


def plain_equals_labelled(case: Case) -> None:
    """Plain numbers give the results of the labelled activity."""
    X = case.plain(case.activity)
    estimator = case.fit(case.activity, X=X)
    assert_close(case.reference, case.results(estimator, X), "plain numbers")


def unit_permutation(case: Case) -> None:
    """Units in another order give the same results: moved along, or equal up to a rotation.

    Outputs that are the units move with them. Other outputs may change sign or place, so that the
    inner products of the samples are compared; labels of clusters may be renamed.
    """
    case.need_outputs()
    order = np.random.default_rng(3).permutation(case.activity.sizes["unit"])
    turned = case.activity.isel(unit=order)
    results = case.results(case.fit(turned), turned)
    for name, mine in case.reference.items():
        what = f"units in another order: {name}"
        theirs = results[name]
        if name == "transform" and getattr(case.estimator, "_keeps_units", False):
            mine = mine[:, order]
        elif is_partition(case, name, mine):
            assert _same_partition(mine, theirs), f"{what} groups the samples in another way"
            continue
        elif name == "transform" and mine.ndim == 2 and mine.shape == theirs.shape:
            mine, theirs = _inner_products(mine), _inner_products(theirs)
        assert_close({name: mine}, {name: theirs}, what, tolerance=1e-5)


def _inner_products(values: Array) -> Array:
    known = np.nan_to_num(values.astype(np.float64))
    product: Array = known @ known.T
    return product


def _same_partition(one: Array, two: Array) -> bool:
    pairs = np.unique(np.stack([one, two]), axis=1).shape[1]
    return bool(pairs == np.unique(one).size == np.unique(two).size)


def trial_order_kept(case: Case) -> None:
    """A fitted method maps trials in another order to results in that order."""
    case.need_outputs()
    order = np.arange(case.activity.sizes["trial"])[::-1]
    _compare_trials(case, order, "trials in another order")


def subset_same_results(case: Case) -> None:
    """A fitted method maps some of the trials as it maps them among all."""
    case.need_outputs()
    _compare_trials(case, np.array([1, 4, 5]), "some of the trials")


def _compare_trials(case: Case, chosen: Array, what: str) -> None:
    n_trials = case.activity.sizes["trial"]
    results = case.results(case.fitted, case.activity.isel(trial=chosen))
    for name, all_rows in case.reference.items():
        per_trial, rest = divmod(all_rows.shape[0], n_trials)
        assert rest == 0, f"{what}: {name} has {all_rows.shape[0]} rows for {n_trials} trials"
        rows = all_rows.reshape(n_trials, per_trial, *all_rows.shape[1:])[chosen]
        rows = rows.reshape(-1, *all_rows.shape[1:])
        assert_close({name: rows}, {name: results[name]}, what, tolerance=1e-5)


def other_unit_names_refused(case: Case) -> None:
    """A fitted method refuses units of other names."""
    case.need_outputs()
    names = [f"other{i}" for i in range(case.activity.sizes["unit"])]
    _refuse_outputs(case, case.activity.assign_coords(unit=names), "units of other names")


def other_unit_order_refused(case: Case) -> None:
    """A fitted method refuses its units in another order."""
    case.need_outputs()
    _refuse_outputs(case, case.activity.isel(unit=slice(None, None, -1)), "units in another order")


def other_unit_count_refused(case: Case) -> None:
    """A fitted method refuses another number of units, labelled or plain."""
    case.need_outputs()
    fewer = case.activity.isel(unit=slice(0, -1))
    _refuse_outputs(case, fewer, "fewer units")
    plain = case.fit(case.activity, X=case.plain(case.activity))
    for method in case.reference:
        refused(lambda: getattr(plain, method)(case.plain(fewer)), "fewer units, plain")  # noqa: B023


def _refuse_outputs(case: Case, activity: Activity, what: str) -> None:
    for method in case.reference:
        refused(lambda: getattr(case.fitted, method)(activity), f"{method} of {what}", "unit")  # noqa: B023


def duplicate_unit_names_refused(case: Case) -> None:
    """Two units of one name are refused, and the name is told."""
    names = ["twice", "twice", *(f"n{i}" for i in range(case.activity.sizes["unit"] - 2))]
    twice = case.activity.assign_coords(unit=names)
    refused(lambda: case.fit(case.activity, X=twice), "two units of one name", "twice")


def foreign_dim_refused(case: Case) -> None:
    """A dim that is not trial, time or unit is refused by name."""
    foreign = case.activity.rename(trial="frequency_band").drop_vars("frequency_band")
    what = "a foreign dim"
    refused(lambda: case.fit(case.activity, X=foreign), what, "frequency_band")


def feature_names_out(case: Case) -> None:
    """Output names are strings, one per output column, and name the units of labelled results."""
    case.need_transform()
    result = case.raw_outputs(case.fitted, case.activity)["transform"]
    if numbers(result).ndim != 2:
        raise NotApplicableError("its output has no columns")
    names = case.fitted.get_feature_names_out()
    n_outputs = numbers(result).shape[1]
    assert len(names) == n_outputs, f"{len(names)} names for {n_outputs} outputs"
    assert len(set(names)) == len(names), "names stand twice"
    if not getattr(case.estimator, "_keeps_units", False):
        same = list(map(str, result["unit"].values)) == list(map(str, names))
        assert same, "labelled results name their outputs in another way"


def set_output_pandas(case: Case) -> None:
    """``set_output(transform="pandas")`` gives a frame with the output names as columns."""
    case.need_transform()
    X = case.plain(case.activity)
    estimator = case.fit(case.activity, X=X)
    with tolerated():
        plain = estimator.transform(X)
        if not (isinstance(plain, np.ndarray) and plain.ndim == 2):
            raise NotApplicableError("its output is no table")
        frame = estimator.set_output(transform="pandas").transform(X)
    assert hasattr(frame, "columns"), f"transform gave a {type(frame).__name__}"
    same = list(frame.columns) == list(estimator.get_feature_names_out())
    assert same, f"columns are {list(frame.columns)}"
    assert_close({"transform": plain}, {"transform": frame.to_numpy()}, "a frame")


def inverse_restores_units(case: Case) -> None:
    """``inverse_transform`` of labelled results has the units and samples of the activity."""
    case.need_transform()
    if not hasattr(case.fitted, "_inverse_transform"):
        raise NotApplicableError("it has no inverse")
    with tolerated():
        back = case.fitted.inverse_transform(case.fitted.transform(case.activity))
    assert back.dims == case.activity.dims, f"dims are {back.dims}"
    for dim in back.dims:
        same = np.array_equal(back[dim].values, case.activity[dim].values)
        assert same, f"{dim} has other labels"


def target_by_name(case: Case) -> None:
    """A target given as the name of a label is the target given as an array."""
    if not case.takes_target:
        raise NotApplicableError("it takes no target")
    labelled, y = case.activity, case.target(case.activity)
    if case.base == "sample":
        y = y.reshape(labelled.sizes["trial"], -1)[:, 0]
    labelled = labelled.assign_coords(goal=("trial", y))
    with tolerated():
        estimator = case.new().fit(labelled, "goal")
    assert_close(case.reference, case.results(estimator, labelled), "a target by name")
    refused(lambda: case.new().fit(labelled, "gaol"), "an unknown label", "gaol")


def target_missing_refused(case: Case) -> None:
    """A method with a target refuses to be fitted without one, or with one of another length."""
    if not case.takes_target:
        raise NotApplicableError("it takes no target")
    y = case.target(case.activity)
    refused(lambda: case.new().fit(case.activity), "no target", "y")
    refused(lambda: case.new().fit(case.activity, y[:-1]), "a target that is too short")


def predicts_known_labels(case: Case) -> None:
    """A classifier predicts labels that it was trained on, and tells them in ``classes_``."""
    tags = case.estimator.__sklearn_tags__()
    if tags.estimator_type != "classifier":
        raise NotApplicableError("it is no classifier")
    known = unique_labels(case.target(case.activity))
    classes = list(case.fitted.classes_)
    assert classes == list(known), f"classes_ is {classes}"
    strange = set(case.reference["predict"].tolist()) - set(known.tolist())
    assert not strange, f"it predicts {strange}"


def clone_has_no_labels(case: Case) -> None:
    """A clone of a fitted method knows no units, and is fitted to other ones."""
    fresh = clone(case.fitted)
    other = case.activity.isel(unit=slice(0, -1))
    other = other.assign_coords(unit=[f"m{i}" for i in range(other.sizes["unit"])])
    estimator = case.fit(other, fresh)
    assert estimator.n_features_in_ == other.sizes["unit"], "n_features_in_ is of another fit"


LABEL_CHECKS = (
    labels_kept,
    attributes_survive,
    dims_ordered,
    dims_order_irrelevant,
    lazy_equals_eager,
    plain_equals_labelled,
    unit_permutation,
    trial_order_kept,
    subset_same_results,
    other_unit_names_refused,
    other_unit_order_refused,
    other_unit_count_refused,
    duplicate_unit_names_refused,
    foreign_dim_refused,
    feature_names_out,
    set_output_pandas,
    inverse_restores_units,
    target_by_name,
    target_missing_refused,
    predicts_known_labels,
    clone_has_no_labels,
)
