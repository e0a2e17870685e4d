"""Checks of values: layouts and dtypes change nothing; what cannot be used is refused by place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from activome.activity.schema import Activity
from activome.testing._case import (
    Case,
    NotApplicableError,
    assert_close,
    finite_or_refused,
    refused,
)

__all__ = ["VALUE_CHECKS"]

Array = np.ndarray[Any, Any]
_PLACE = (1, 3, 2)


def _with_values(activity: Activity, values: Array) -> Activity:
    return activity.copy(data=values)


def _same_with(case: Case, values: Array, what: str, *, tolerance: float = 1e-6) -> None:
    changed = _with_values(case.activity, values)
    estimator = case.fit(case.activity, X=changed)
    assert_close(case.reference, case.results(estimator, changed), what, tolerance=tolerance)


def float32_near_float64(case: Case) -> None:
    """Single precision gives the results of double precision to 1e-4 of the largest."""
    values = case.activity.values.astype(np.float32)
    exact = _with_values(case.activity, values.astype(np.float64))
    reference = case.results(case.fit(exact), exact)
    single = _with_values(case.activity, values)
    results = case.results(case.fit(single), single)
    assert_close(reference, results, "single precision", tolerance=1e-4)


def fortran_order(case: Case) -> None:
    """Column-major values give the same results."""
    _same_with(case, np.asfortranarray(case.activity.values), "column-major values")


def strided_input(case: Case) -> None:
    """A view with gaps gives the same results."""
    values = case.activity.values
    wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1]))
    wide[..., ::2] = values
    _same_with(case, wide[..., ::2], "a view with gaps")


def big_endian_input(case: Case) -> None:
    """Values in the byte order of another machine give the same results."""
    _same_with(case, case.activity.values.astype(">f8"), "big-endian values")


def integer_input(case: Case) -> None:
    """Whole numbers give the same results as integers and as floats."""
    counts = np.rint(3 * case.activity.values)
    _same_as_float(case, counts.astype(np.int16), "integers")


def boolean_input(case: Case) -> None:
    """Zeros and ones give the same results as booleans and as floats."""
    _same_as_float(case, case.activity.values > np.median(case.activity.values), "booleans")


def _same_as_float(case: Case, values: Array, what: str) -> None:
    as_float = _with_values(case.activity, values.astype(np.float64))
    reference = case.results(case.fit(as_float), as_float)
    given = _with_values(case.activity, values)
    assert_close(reference, case.results(case.fit(given), given), what)


def readonly_memmap(case: Case) -> None:
    """A read-only file mapped into memory gives the same results."""
    X = case.plain(case.activity)
    stacked = np.stack(X) if isinstance(X, list) else np.asarray(X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.npy"
        np.save(path, stacked)
        mapped = np.load(path, mmap_mode="r")
        mapped_X = list(mapped) if isinstance(X, list) else mapped
        estimator = case.fit(case.activity, X=mapped_X)
        results = case.results(estimator, mapped_X)
        del mapped, mapped_X
    assert_close(case.reference, results, "a mapped file")


def input_not_written(case: Case) -> None:
    """Neither fit nor an output method writes into its input."""
    values = case.activity.values.copy()
    writable = _with_values(case.activity, values.copy())
    case.results(case.fit(writable), writable)
    assert np.array_equal(writable.values, values), "the activity was written to"
    assert writable.identical(_with_values(case.activity, values)), "labels were written to"
    X = case.plain(_with_values(case.activity, values.copy()))
    case.results(case.fit(case.activity, X=X), X)
    kept = np.array_equal(np.asarray(X), np.asarray(case.plain(case.activity)))
    assert kept, "the plain numbers were written to"


def one_unit(case: Case) -> None:
    """A single unit gives finite results, or is refused."""
    finite_or_refused(case, case.activity.isel(unit=[0]), "one unit")


def one_sample(case: Case) -> None:
    """A single time point of every trial gives finite results, or is refused."""
    finite_or_refused(case, case.activity.isel(time=[0]), "one time point")


def one_trial(case: Case) -> None:
    """A single trial gives finite results, or is refused."""
    finite_or_refused(case, case.activity.isel(trial=[0]), "one trial")


def constant_unit(case: Case) -> None:
    """A unit that never changes gives finite results, or is refused."""
    values = case.activity.values.copy()
    values[..., 1] = 1.0
    finite_or_refused(case, _with_values(case.activity, values), "a constant unit")


def silent_unit(case: Case) -> None:
    """A unit that is zero throughout gives finite results, or is refused."""
    values = case.activity.values.copy()
    values[..., 0] = 0.0
    finite_or_refused(case, _with_values(case.activity, values), "a silent unit")


def constant_activity(case: Case) -> None:
    """Activity without any change gives finite results, or is refused."""
    finite_or_refused(case, _with_values(case.activity, np.ones(case.activity.shape)), "constant")


def repeated_unit(case: Case) -> None:
    """Two units with the same values give finite results, or are refused."""
    values = case.activity.values.copy()
    values[..., 1] = values[..., 0]
    finite_or_refused(case, _with_values(case.activity, values), "a repeated unit")


def tiny_and_huge_values(case: Case) -> None:
    """Values in other units (1e-9, 1e9) give finite results, or are refused."""
    for scale in (1e-9, 1e9):
        scaled = _with_values(case.activity, case.activity.values * scale)
        finite_or_refused(case, scaled, f"values times {scale:g}")


def _damaged(case: Case, value: float) -> Activity:
    values = case.activity.values.copy()
    values[_PLACE] = value
    return _with_values(case.activity, values)


def _needs_finite(case: Case) -> None:
    if getattr(case.estimator, "_allow_missing", False):
        raise NotApplicableError("it takes missing values")


def _check_place(message: str) -> None:
    for dim, index in zip(("trial", "time", "unit"), _PLACE, strict=True):
        assert f"{dim} {index}" in message, f"the refusal does not say {dim} {index}: {message}"


def nan_refused_in_fit(case: Case) -> None:
    """NaN is refused by fit, and its trial, time and unit are told."""
    _needs_finite(case)
    damaged = _damaged(case, np.nan)
    _check_place(refused(lambda: case.fit(case.activity, X=damaged), "NaN in fit", case.name))


def infinity_refused_in_fit(case: Case) -> None:
    """Infinity is refused by fit, and its trial, time and unit are told."""
    _needs_finite(case)
    damaged = _damaged(case, -np.inf)
    _check_place(refused(lambda: case.fit(case.activity, X=damaged), "infinity in fit", case.name))


def nan_refused_in_outputs(case: Case) -> None:
    """NaN is refused by every output method, and its trial, time and unit are told."""
    _needs_finite(case)
    case.need_outputs()
    damaged = _damaged(case, np.nan)
    for method in case.reference:
        output = getattr(case.fitted, method)
        _check_place(refused(lambda: output(damaged), f"NaN in {method}", case.name))  # noqa: B023


def nan_refused_in_plain_numbers(case: Case) -> None:
    """NaN in plain numbers is refused by fit."""
    _needs_finite(case)
    X = case.plain(_damaged(case, np.nan))
    refused(lambda: case.fit(case.activity, X=X), "NaN in plain numbers", "finite")


def wrong_axes_refused(case: Case) -> None:
    """Plain numbers with one axis too few or too many are refused."""
    values = case.activity.values
    few, many = (values[0], values[np.newaxis]) if case.base == "trial" else (values[0, 0], values)
    refused(lambda: case.fit(case.activity, X=few), f"{few.ndim} axes")
    refused(lambda: case.fit(case.activity, X=many), f"{many.ndim} axes")


def empty_refused(case: Case) -> None:
    """An activity without trials, times or units is refused."""
    for dim in ("trial", "time", "unit"):
        empty = case.activity.isel({dim: slice(0, 0)})
        refused(lambda: case.fit(case.activity, X=empty), f"no {dim}")  # noqa: B023


def text_refused(case: Case) -> None:
    """Text and complex numbers are refused."""
    for dtype in ("U3", "complex128"):
        other = case.activity.astype(dtype)
        refused(lambda: case.fit(case.activity, X=other), f"dtype {dtype}")  # noqa: B023


def ragged_ignores_invalid(case: Case) -> None:
    """What stands in samples outside ``valid`` changes nothing; equal lengths may be demanded."""
    valid = np.ones(case.activity.shape[:2], dtype=bool)
    valid[1, -4:] = valid[4, -1:] = False
    clean = case.activity.assign_coords(valid=(("trial", "time"), valid))
    if case.base == "trial" and not getattr(case.estimator, "_allow_missing", False):
        refused(lambda: case.fit(clean), "ragged trials", "valid")
        return
    reference = case.results(case.fit(clean), clean)
    for poison in (np.nan, 1e300):
        values = case.activity.values.copy()
        values[~valid] = poison
        poisoned = _with_values(clean, values)
        results = case.results(case.fit(poisoned), poisoned)
        assert_close(reference, results, f"{poison:g} outside valid", tolerance=1e-12)


VALUE_CHECKS = (
    float32_near_float64,
    fortran_order,
    strided_input,
    big_endian_input,
    integer_input,
    boolean_input,
    readonly_memmap,
    input_not_written,
    one_unit,
    one_sample,
    one_trial,
    constant_unit,
    silent_unit,
    constant_activity,
    repeated_unit,
    tiny_and_huge_values,
    nan_refused_in_fit,
    infinity_refused_in_fit,
    nan_refused_in_outputs,
    nan_refused_in_plain_numbers,
    wrong_axes_refused,
    empty_refused,
    text_refused,
    ragged_ignores_invalid,
)
