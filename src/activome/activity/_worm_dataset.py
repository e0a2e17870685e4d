"""A homogenized recording as a dataset: slots filled, masks set, original values beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from activome.activity.schema import Activity, make

__all__ = ["COMPANIONS", "worm_dataset"]

Array = np.ndarray[Any, Any]

COMPANIONS = ("residual", "smoothed", "smoothed_residual")


def worm_dataset(
    variables: Mapping[str, Array],
    time: Array,
    names: Sequence[str],
    slot: Array,
    *,
    labelled: Array,
    guessed: Array,
    original_label: Sequence[str],
    units: str,
    attrs: Mapping[str, Any],
    original: Array | None = None,
    original_time: Array | None = None,
) -> xr.Dataset:
    """Put the traces of one animal into the slots of all neurons.

    Parameters
    ----------
    variables : mapping of str to ndarray, shape (n_times, n_traces)
        ``calcium`` and possibly its companions.
    time : ndarray of float64, shape (n_times,)
        Times in s.
    names : sequence of str, length n_slots
        Names of the slots.
    slot : ndarray of int, shape (n_traces,)
        Slot of each trace.
    labelled, guessed : ndarray of bool, shape (n_traces,)
        Whether the slot's name is the trace's, and whether that was guessed.
    original_label : sequence of str, length n_traces
        Labels as recorded.
    units : str
        Unit of the calcium traces.
    attrs : mapping
        Attributes, with ``source`` and ``dt``.
    original : ndarray of float64, shape (n_original_times, n_traces), optional
        Values as recorded.
    original_time : ndarray of float64, shape (n_original_times,), optional
        Their stamps in s.

    Returns
    -------
    xarray.Dataset
        Variables (time, unit) of float32, NaN in empty slots, and ``original``.
    """
    flags = np.zeros((3, len(names)), dtype=bool)
    flags[:, slot] = labelled, np.ones(slot.size, dtype=bool), guessed
    labels = np.full(len(names), "", dtype=object)
    labels[slot] = list(original_label)
    along = {
        "labelled": ("unit", flags[0]),
        "observed": ("unit", flags[1]),
        "guessed": ("unit", flags[2]),
        "original_label": ("unit", labels.astype(str)),
    }
    dataset = xr.Dataset()
    for key, values in variables.items():
        full = np.full((values.shape[0], len(names)), np.nan, dtype=np.float32)
        full[:, slot] = values
        array: Activity = make(
            full,
            ("time", "unit"),
            time=time,
            unit=names,
            coords=along,
            kind="calcium",
            units=f"{units} per s" if "residual" in key else units,
            sampling_rate=1.0 / float(attrs["dt"]),
        )
        dataset[key] = array.assign_attrs(attrs)
    if original is not None and original_time is not None:
        full = np.full((original_time.size, len(names)), np.nan)
        full[:, slot] = original
        dataset["original"] = xr.DataArray(
            full,
            dims=("original_time", "unit"),
            coords={"original_time": original_time},
            attrs={"kind": "calcium", "units": "fluorescence (arbitrary)"},
        )
    return dataset.assign_attrs(dataset["calcium"].attrs)
