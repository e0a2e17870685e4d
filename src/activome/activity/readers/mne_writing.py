"""An Activity as the Raw or Epochs of MNE, for the formats that MNE writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome.activity.readers.mne_raw import load_mne
from activome.activity.schema import Activity, ensure
from activome.errors import ActivityError

__all__ = ["to_mne"]

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}


def to_mne(activity: Activity, *, owner: str) -> Any:
    """Return an Activity in volts as an MNE Raw, or Epochs when it has trials.

    Parameters
    ----------
    activity : xarray.DataArray
        Over (time, unit) or (trial, time, unit), regularly sampled, in V, mV, uV or nV, or in T.
    owner : str
        Who writes, for messages.

    Returns
    -------
    mne.io.RawArray or mne.EpochsArray
        With channel types, positions and events from the labels.

    Raises
    ------
    ActivityError
        If it is irregular, ragged, without units, or of another physical unit.
    """
    mne = load_mne(owner)
    activity = ensure(activity, owner=owner)
    rate = activity.attrs.get("sampling_rate")
    if rate is None or not {"time", "unit"} <= set(activity.dims):
        raise ActivityError(
            f"{owner}: activity must have dims time and unit and a sampling_rate; got dims "
            f"{activity.dims} and {rate}. Resample it to a regular clock first."
        )
    if "valid" in activity.coords and not bool(activity["valid"].all()):
        raise ActivityError(f"{owner}: trials must be of one length. Save ragged ones as .zarr.")
    units = str(activity.attrs.get("units", ""))
    if units not in _VOLTS and units not in ("T", "T/m"):
        raise ActivityError(
            f"{owner}: values must be in V, mV, uV, nV, T or T/m; got units {units!r}. Convert "
            "them, or save as .zarr, .npz or .nwb."
        )
    default = {"T": "mag", "T/m": "grad"}.get(units, "eeg")
    known = activity.coords.get("channel_type")
    types = [default] * activity.sizes["unit"] if known is None else [str(k) for k in known.values]
    names = [str(name) for name in activity["unit"].values]
    info = mne.create_info(names, float(rate), types, verbose="error")
    _place_channels(info, activity)
    values = activity.transpose(..., "unit", "time").values * _VOLTS.get(units, 1.0)
    if "trial" in activity.dims:
        return _epochs_array(mne, values, info, activity)
    raw = mne.io.RawArray(values, info, verbose="error")
    if "event" in activity.coords and activity["event"].dims == ("time",):
        marks = activity["event"].values.astype(str)
        places = np.flatnonzero(marks != "")
        raw.set_annotations(mne.Annotations(places / float(rate), 0.0, marks[places]))
    return raw


def _place_channels(info: Any, activity: Activity) -> None:
    if {"x", "y", "z"} <= set(activity.coords):
        places = np.stack([activity[axis].values.astype(float) for axis in "xyz"], axis=1)
        for channel, place in zip(info["chs"], places, strict=True):
            channel["loc"][:3] = place


def _epochs_array(mne: Any, values: np.ndarray[Any, Any], info: Any, activity: Activity) -> Any:
    labels = activity.coords.get("event", activity["trial"])
    names, codes = np.unique(labels.values.astype(str), return_inverse=True)
    samples = np.arange(len(codes)) * values.shape[-1]
    if "onset" in activity.coords:
        onsets = np.rint(activity["onset"].values * info["sfreq"]).astype(int)
        samples = onsets if np.unique(onsets).size == onsets.size else samples
    events = np.stack([samples, np.zeros_like(codes), codes + 1], axis=1)
    return mne.EpochsArray(
        values, info, events=events, tmin=float(activity["time"].values[0]),
        event_id={str(name): i + 1 for i, name in enumerate(names)}, verbose="error",
    )  # fmt: skip
