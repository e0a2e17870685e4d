"""The checks behind ``check``: structure (labels and attributes) and values (block by block)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from activome.activity.schema import DIMS, KINDS, Problem, regular_rate

__all__ = ["structure_problems", "unit_summary", "value_problems"]

_BLOCK_VALUES = 1 << 22


def structure_problems(activity: Any) -> list[Problem]:
    """Problems of dims, coordinates and attributes; no value is read."""
    if not isinstance(activity, xr.DataArray):
        what = f"an Activity is an xarray.DataArray; got {type(activity).__name__}."
        return [Problem("critical", "type", what, "Build one with activome.make.")]
    problems: list[Problem] = []
    extra = [str(dim) for dim in activity.dims if dim not in DIMS]
    if extra:
        what = f"dims must be out of {DIMS}; got {', '.join(extra)} besides."
        problems.append(Problem("critical", "dims", what, "Rename or stack them."))
    if activity.dtype.kind not in "biuf":
        what = f"values must be real numbers; got dtype {activity.dtype}."
        problems.append(Problem("critical", "values", what, "Convert them first."))
    if activity.size == 0:
        what = f"there are no values (shape {activity.shape})."
        problems.append(Problem("critical", "values", what, "Select at least one sample."))
    problems += _time_problems(activity) + _label_problems(activity) + _valid_problems(activity)
    kind = activity.attrs.get("kind")
    if kind not in KINDS:
        what = f"kind must be one of {', '.join(KINDS)}; got {kind!r}."
        problems.append(Problem("violation", "attrs.kind", what, "Set activity.attrs['kind']."))
    for key in ("units", "source"):
        if not activity.attrs.get(key):
            cure = f"Set activity.attrs[{key!r}]."
            problems.append(Problem("suggestion", f"attrs.{key}", "it is missing.", cure))
    return problems


def _time_problems(activity: xr.DataArray) -> list[Problem]:
    if "time" not in activity.dims:
        return []
    if "time" not in activity.coords:
        what = "there is no coordinate of times in s."
        return [Problem("violation", "time", what, "Assign one, or give sampling_rate to make.")]
    stamps = activity["time"].values
    if stamps.dtype.kind not in "iuf":
        what = f"times must be numbers in s; got dtype {stamps.dtype}."
        return [Problem("critical", "time", what, "Convert dates to seconds from the start.")]
    stamps = stamps.astype(np.float64)
    if not np.isfinite(stamps).all():
        what = f"times must be finite; index {int(np.argmax(~np.isfinite(stamps)))} is not."
        return [Problem("critical", "time", what, "Drop these samples.")]
    if stamps.size > 1 and (np.diff(stamps) <= 0).any():
        place = int(np.argmax(np.diff(stamps) <= 0)) + 1
        what = f"times must increase; index {place} does not."
        return [Problem("critical", "time", what, "Sort by time and drop repeated stamps.")]
    rate, found = activity.attrs.get("sampling_rate"), regular_rate(stamps)
    if rate is None or stamps.size < 2:
        return []
    if found is not None and abs(found - float(rate)) <= 1e-3 * float(rate):
        return []
    measured = "irregular" if found is None else f"{found:g} Hz"
    what = f"sampling_rate is {rate} Hz, but the times are {measured}."
    return [Problem("violation", "attrs.sampling_rate", what, "Remove or correct it.")]


def _label_problems(activity: xr.DataArray) -> list[Problem]:
    problems = []
    for dim in ("unit", "trial"):
        if dim in activity.dims and dim in activity.coords:
            names, counts = np.unique(activity[dim].values, return_counts=True)
            if (counts > 1).any():
                twice = names[counts > 1].tolist()[0]
                what = f"names must be unique; {twice!r} stands {counts.max()} times."
                problems.append(Problem("critical", dim, what, "Number the repeats."))
    return problems


def _valid_problems(activity: xr.DataArray) -> list[Problem]:
    if "valid" not in activity.coords:
        return []
    mask = activity["valid"]
    if mask.dims != ("trial", "time") or mask.dtype != bool:
        what = f"it must be boolean over (trial, time); got {mask.dtype} over {mask.dims}."
        return [Problem("critical", "valid", what, "Build ragged trials with from_ragged.")]
    empty = ~mask.values.any(axis=1)
    if empty.any():
        what = (
            f"{int(empty.sum())} trials have no valid sample, the first at {int(empty.argmax())}."
        )
        return [Problem("violation", "valid", what, "Drop them.")]
    return []


def unit_summary(activity: xr.DataArray) -> dict[str, np.ndarray[Any, Any]]:
    """Per-unit count, bad values, minimum, maximum and a hash of the values, in one pass."""
    array = (
        activity.transpose(..., "unit")
        if "unit" in activity.dims
        else activity.expand_dims("unit", -1)
    )
    mask = array.coords["valid"].values if "valid" in array.coords else None
    n_units = array.sizes["unit"]
    low, high = np.full(n_units, np.inf), np.full(n_units, -np.inf)
    n_bad, n_used = np.zeros(n_units, np.int64), 0
    digest = np.zeros(n_units)
    rng = np.random.default_rng(0)
    lead = array.dims[0] if array.ndim > 1 else "unit"
    per_row = max(1, array.size // max(1, array.sizes[lead]))
    step = max(1, _BLOCK_VALUES // per_row)
    rows = range(0, array.sizes[lead], step) if array.ndim > 1 else [0]
    for first in rows:
        part = array.isel({lead: slice(first, first + step)}) if array.ndim > 1 else array
        block = np.asarray(part.values).astype(np.float64).reshape(-1, n_units)
        if mask is not None:
            axis_mask = mask[first : first + step] if lead == "trial" else mask
            block = block[axis_mask.reshape(-1)]
        finite = np.isfinite(block)
        n_bad += (~finite).sum(axis=0)
        n_used += block.shape[0]
        if block.shape[0]:
            low = np.minimum(low, np.where(finite, block, np.inf).min(axis=0))
            high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=0))
            digest += rng.standard_normal(block.shape[0]) @ np.where(finite, block, 0.0)
    return {
        "n": np.full(n_units, n_used),
        "n_bad": n_bad,
        "low": low,
        "high": high,
        "digest": digest,
    }


def value_problems(activity: xr.DataArray) -> list[Problem]:
    """Problems of the values: not finite, constant or repeated units."""
    stats = unit_summary(activity)
    problems = []
    n_bad, n_units = int(stats["n_bad"].sum()), stats["n_bad"].size
    if n_bad:
        verb, cure = ("is", "it") if n_bad == 1 else ("are", "them")
        what = f"{n_bad} of {int(stats['n'].sum())} values {verb} NaN or infinite."
        problems.append(Problem("violation", "values", what, f"Drop or interpolate {cure} first."))
    # One finite value says nothing of constancy.
    constant = (stats["low"] == stats["high"]) & (stats["n"] - stats["n_bad"] > 1)
    if constant.any():
        names = _names(activity, constant)
        verb, cure = ("is", "it") if constant.sum() == 1 else ("are", "them")
        what = f"{int(constant.sum())} of {n_units} units {verb} constant: {names}."
        silent = "it is silent" if constant.sum() == 1 else "they are silent"
        problems.append(
            Problem("violation", "unit", what, f"Drop {cure}, or say in the report that {silent}.")
        )
    problems += _duplicate_problems(activity, stats, constant)
    return problems


def _duplicate_problems(
    activity: xr.DataArray, stats: dict[str, np.ndarray[Any, Any]], constant: np.ndarray[Any, Any]
) -> list[Problem]:
    keys = np.stack([stats["digest"], stats["low"], stats["high"]], axis=1)
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    repeated = (counts[inverse.reshape(-1)] > 1) & ~constant
    if not repeated.any():
        return []
    what = f"{int(repeated.sum())} units hold the same values as another: "
    what += f"{_names(activity, repeated)}."
    return [
        Problem("violation", "unit", what, "Keep one of each; copies inflate every correlation.")
    ]


def _names(activity: xr.DataArray, which: np.ndarray[Any, Any]) -> str:
    names = activity["unit"].values if "unit" in activity.coords else np.arange(which.size)
    shown = [str(name) for name in np.atleast_1d(names)[which][:5]]
    rest = int(which.sum()) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
