"""Which label columns of a recording can be decoded, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from activome._checks import nearest_names
from activome.errors import ParameterError

__all__ = ["Label", "read_labels"]

Array = np.ndarray[Any, Any]
_MOST_CLASSES = 20
_FEWEST_PER_CLASS = 5


@dataclass(frozen=True)
class Label:
    """A label column.

    Attributes
    ----------
    name : str
        Its coordinate.
    dims : tuple of str
        What it rides on: trial, time, or both.
    kind : {"categorical", "continuous", "skipped"}
        How it is used.
    reason : str
        Why it is skipped, or how it is made up.
    classes : tuple of str
        Names of the classes that are used; empty for a continuous label.
    """

    name: str
    dims: tuple[str, ...]
    kind: Literal["categorical", "continuous", "skipped"]
    reason: str
    classes: tuple[Any, ...] = ()


def read_labels(activity: xr.DataArray, wanted: tuple[str, ...] | None = None) -> list[Label]:
    """Sort the label columns of an activity into categorical, continuous and skipped ones.

    Strings and booleans are categorical; so are whole numbers with at most 20 values, each of
    which stands at least 5 times on average. Other numbers are continuous. Constants, identifiers
    (a string of its own everywhere; numbers of a column that ends in ``_id``) and clocks (numbers
    that only rise) are skipped.

    Parameters
    ----------
    activity : xarray.DataArray
        Its coordinates along trial or time are looked at.
    wanted : tuple of str, optional
        Columns to use, all by default.

    Returns
    -------
    list of Label
        In the order of the coordinates.

    Raises
    ------
    ParameterError
        If a wanted column does not exist.
    """
    found = []
    for name, coord in activity.coords.items():
        dims = tuple(str(dim) for dim in coord.dims)
        if str(name) in ("trial", "time", "unit", "valid") or not dims or "unit" in dims:
            continue
        found.append(_sort_label(str(name), dims, np.asarray(coord.values)))
    if wanted is None:
        return found
    known = [label.name for label in found]
    for name in wanted:
        if name not in known:
            raise ParameterError(f"report: unknown label {name!r}; {nearest_names(name, known)}")
    return [label for label in found if label.name in wanted]


def _sort_label(name: str, dims: tuple[str, ...], values: Array) -> Label:
    flat = values.reshape(-1)
    if flat.dtype.kind not in "biufOUST":
        return Label(name, dims, "skipped", f"values of type {flat.dtype} are not decoded")
    if flat.dtype.kind in "OUST":
        flat = np.array([str(value) for value in flat])
    elif flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    names, counts = np.unique(flat, return_counts=True)
    if names.size < 2:
        return Label(name, dims, "skipped", "it is constant")
    if flat.dtype.kind == "U":
        return _of_strings(name, dims, names, counts)
    is_whole = flat.dtype.kind != "f" or bool((flat == np.rint(flat)).all())
    few = names.size <= _MOST_CLASSES and flat.size >= _FEWEST_PER_CLASS * names.size
    if flat.dtype.kind == "b" or (is_whole and few):
        return Label(name, dims, "categorical", f"{names.size} values", tuple(names.tolist()))
    if name.endswith("_id"):
        return Label(name, dims, "skipped", "it names things by number; their order means nothing")
    steps = np.diff(flat.astype(np.float64))
    if (steps >= 0).all() and (steps > 0).mean() > 0.9:
        return Label(name, dims, "skipped", "it only rises, as a clock or a counter does")
    return Label(name, dims, "continuous", "numbers")


def _of_strings(name: str, dims: tuple[str, ...], names: Array, counts: Array) -> Label:
    if names.size == counts.sum():
        return Label(name, dims, "skipped", "every value is different, as in an identifier")
    kept = np.flatnonzero((counts >= _FEWEST_PER_CLASS) & (names != ""))
    if kept.size < 2:
        reason = f"fewer than two values stand {_FEWEST_PER_CLASS} times or more"
        return Label(name, dims, "skipped", reason)
    kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")[:_MOST_CLASSES]])
    left = names.size - kept.size
    reason = f"{kept.size} values" + (f"; {left} rare or empty ones are left out" if left else "")
    return Label(name, dims, "categorical", reason, tuple(names[kept].tolist()))
