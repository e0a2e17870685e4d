"""Tables of homogenized recordings: our own, and that of the published data set."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from activome._extras import require
from activome.activity._worm_dataset import worm_dataset
from activome.activity._worm_neurons import NEURONS
from activome.activity.readers._source import check_file, reading
from activome.errors import ActivityWarning, ReadError

__all__ = ["read_worm_table"]

Array = np.ndarray[Any, Any]

_OWNER = "read_worm_table"
# Our column first, then what the published tables call it.
_NAMES = {
    "source": ("source_dataset",),
    "worm": ("worm",),
    "neuron": ("neuron",),
    "slot": ("slot",),
    "labelled": ("is_labelled", "is_labeled_neuron"),
    "guessed": ("is_guessed",),
    "label": ("original_label",),
    "dt": ("dt", "median_dt"),
    "original_dt": ("original_dt", "original_median_dt"),
    "norm": ("norm", "normalization_method"),
    "smooth": ("smooth", "smooth_method"),
    "time": ("time", "time_in_seconds"),
    "calcium": ("calcium", "calcium_data"),
    "residual": ("residual", "residual_calcium"),
    "smoothed": ("smoothed", "smooth_calcium_data"),
    "smoothed_residual": ("smoothed_residual", "smooth_residual_calcium"),
    "original_time": ("original_time", "original_time_in_seconds"),
    "original": ("original_calcium", "original_calcium_data"),
}
_NEEDED = ("source", "worm", "neuron", "labelled", "time", "calcium")
_TRACES = ("calcium", "residual", "smoothed", "smoothed_residual")


def read_worm_table(path: str | os.PathLike[str]) -> list[xr.Dataset]:
    """Read a Parquet table with one row per animal and neuron.

    Parameters
    ----------
    path : path-like
        What `to_parquet` wrote, or a table of the published data set (its other column names, its
        single-precision stamps).

    Returns
    -------
    list of xarray.Dataset
        One per animal in order of appearance, with whatever companions the table has.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    ReadError
        If the file is damaged, lacks a column, or holds a neuron that is not among the names.

    Warns
    -----
    ActivityWarning
        If stamps were rounded when they were stored; they are counted anew from the step.

    References
    ----------
    .. [1] Q. Simeon, A. Kashyap, K. P. Kording and E. S. Boyden, "Homogenized C. elegans neural
       activity and connectivity data", 2024.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.worm import homogenize
    >>> time = np.arange(700) * 0.5
    >>> traces = np.column_stack([np.sin(0.3 * time), np.cos(0.3 * time)])
    >>> worms = homogenize(
    ...     [{"time": time, "traces": traces, "labels": ["AVAL", "VB02"], "source": "here"}]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     worms.to_parquet(f"{folder}/worms.parquet")
    ...     back = read_worm_table(f"{folder}/worms.parquet")
    >>> len(back), bool((back[0].observed == worms[0].observed).all())
    (1, True)
    """
    file = check_file(path, owner=_OWNER)
    parquet = require("pyarrow.parquet", extra="tables", owner=_OWNER)
    with reading(file, "Parquet", owner=_OWNER):
        table = parquet.read_table(file)
        found = set(table.column_names)
        columns = {
            key: next((name for name in names if name in found), None)
            for key, names in _NAMES.items()
        }
        missing = [" or ".join(_NAMES[key]) for key in _NEEDED if columns[key] is None]
        if missing:
            raise ReadError(
                f"{_OWNER}: {str(file)!r} must have columns of homogenized recordings; it lacks "
                f"{', '.join(missing)}."
            )
        metadata = (table.schema.metadata or {}).get(b"activome")
        names = tuple(json.loads(metadata)["names"]) if metadata else NEURONS
        animals: dict[tuple[str, str], list[int]] = {}
        pairs = zip(table[columns["source"]], table[columns["worm"]], strict=True)
        for row, (source, worm) in enumerate(pairs):
            animals.setdefault((str(source), str(worm)), []).append(row)
        worms = []
        n_rounded = 0
        for (source, worm), rows in animals.items():
            part = table.take(rows)
            values = {
                key: part[name].combine_chunks()
                for key, name in columns.items()
                if name is not None
            }
            dataset, is_rounded = _animal(values, names, source, worm, file)
            worms.append(dataset)
            n_rounded += is_rounded
    if n_rounded:
        warnings.warn(
            f"{_OWNER}: {file.name}: the stamps of {n_rounded} of {len(worms)} animals were stored "
            "rounded; they were counted anew from the step.",
            ActivityWarning,
            stacklevel=2,
        )
    return worms


def _animal(
    values: Mapping[str, Any], names: tuple[str, ...], source: str, worm: str, file: Path
) -> tuple[xr.Dataset, bool]:
    neurons = values["neuron"].to_pylist()
    index = {name: k for k, name in enumerate(names)}
    unknown = [name for name in neurons if name not in index]
    if unknown or len(set(neurons)) < len(neurons):
        what = f"{unknown[0]!r} is none of the {len(names)} names" if unknown else "one is repeated"
        raise ReadError(f"{_OWNER}: {str(file)!r}: neurons of {source} {worm}: {what}.")
    slot = np.array([index[name] for name in neurons])
    variables = {key: _matrix(values[key]) for key in _TRACES if key in values}
    stamps = np.asarray(values["time"][0].values, dtype=np.float64)
    dt, is_rounded = _step(stamps, float(values["dt"][0].as_py()) if "dt" in values else None)
    labelled = np.array(values["labelled"].to_pylist(), dtype=bool)
    n_traces = len(neurons)
    original_time = original = None
    if "original" in values and "original_time" in values:
        original = _matrix(values["original"]).astype(np.float64)
        original_time = np.asarray(values["original_time"][0].values, dtype=np.float64)
    step = np.median(np.diff(original_time)) if original_time is not None else np.nan
    attrs = {
        "source": source,
        "worm": worm,
        "dt": dt,
        "original_dt": values["original_dt"][0].as_py() if "original_dt" in values else float(step),
        "norm": str(values["norm"][0]) if "norm" in values else "unknown",
        "smooth": str(values["smooth"][0]) if "smooth" in values else "unknown",
        "dropped": "",
    }
    dataset = worm_dataset(
        variables,
        np.arange(stamps.size) * dt,
        names,
        slot,
        labelled=labelled,
        guessed=np.array(values["guessed"].to_pylist())
        if "guessed" in values
        else labelled & False,
        original_label=values["label"].to_pylist() if "label" in values else [""] * n_traces,
        units="normalised",
        attrs=attrs,
        original=original,
        original_time=original_time,
    )
    return dataset, is_rounded


def _matrix(lists: Any) -> Array:
    return np.stack([np.asarray(item.values) for item in lists], axis=1)


def _step(stamps: Array, dt: float | None) -> tuple[float, bool]:
    """The step of regular stamps; of rounded ones the step to a millisecond, and that they were."""
    step = float(stamps[-1] - stamps[0]) / max(stamps.size - 1, 1) if dt is None else dt
    exact = np.allclose(stamps, np.arange(stamps.size) * step, rtol=0, atol=1e-9)
    if exact or dt is not None:
        return step, not exact
    return round(step, 3), True
