"""One recording of one animal as a laboratory gives it, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from activome._checks import nearest_names
from activome.activity.resample import check_stamps
from activome.errors import ActivityError

__all__ = ["WormRecording", "as_recording"]

Array = np.ndarray[Any, Any]

# A volume of a whole brain takes 0.1-1 s; median steps outside this range are in ms or us.
_STEP_RANGE = (1e-3, 10.0)
_NEEDED = ("time", "traces", "labels")
_OFFERED = ("source", "worm", "extra")


@dataclass(frozen=True)
class WormRecording:
    """Traces of one animal with their stamps and labels, as recorded.

    Attributes
    ----------
    time : ndarray of float64, shape (n_times,)
        Stamps in s, increasing.
    traces : ndarray of float, shape (n_times, n_traces)
        Fluorescence of each trace, in the unit of the laboratory; NaN where it was not tracked.
    labels : sequence, length n_traces
        Name of the neuron of each trace, None where it is not known, or several alternatives.
    source : str
        Which experiment it is from, such as "Kato2015".
    worm : str
        Name of the animal.
    extra : mapping
        Whatever else came with it, such as the behaviour, on the same stamps.
    """

    time: Array
    traces: Array
    labels: Sequence[Any]
    source: str = ""
    worm: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def as_recording(recording: Any, index: int, *, owner: str) -> WormRecording:
    """Check one recording and return it with float arrays.

    Parameters
    ----------
    recording : WormRecording or mapping
        With time, traces and labels, and possibly source, worm and extra.
    index : int
        Its place among the recordings, for messages.
    owner : str
        Who asks, for messages.

    Returns
    -------
    WormRecording
        Time as float64; traces as float64.

    Raises
    ------
    ActivityError
        If something is missing, does not fit, is not in s, or is not finite.
    """
    where = f"{owner}: recording {index}"
    if isinstance(recording, Mapping):
        unknown = [key for key in recording if key not in (*_NEEDED, *_OFFERED)]
        missing = [key for key in _NEEDED if key not in recording]
        if missing or unknown:
            hint = nearest_names(str((unknown or missing)[0]), (*_NEEDED, *_OFFERED))
            what = f"lacks {', '.join(missing)}" if missing else f"holds {unknown[0]!r} besides"
            raise ActivityError(f"{where}: it {what}; {hint}")
        recording = WormRecording(**recording)
    if not isinstance(recording, WormRecording):
        raise ActivityError(
            f"{where}: it must be a mapping with time, traces and labels; got "
            f"{type(recording).__name__}."
        )
    name = f"{where} ({recording.source or 'no source'}, {recording.worm or 'no name'})"
    stamps = check_stamps(recording.time, owner=name)
    step = float(np.median(np.diff(stamps)))
    if not _STEP_RANGE[0] <= step <= _STEP_RANGE[1]:
        raise ActivityError(
            f"{name}: time must be in s; its median step is {step:g}, outside "
            f"[{_STEP_RANGE[0]:g}, {_STEP_RANGE[1]:g}] s. Divide milliseconds by 1000."
        )
    traces = _check_traces(recording.traces, stamps.size, name)
    labels = _check_labels(recording.labels, traces.shape[1], name)
    return WormRecording(
        stamps, traces, labels, str(recording.source), str(recording.worm), recording.extra
    )


def _check_labels(labels: Any, n_traces: int, name: str) -> list[Any]:
    if isinstance(labels, (str, bytes)) or not isinstance(labels, (Sequence, np.ndarray)):
        raise ActivityError(
            f"{name}: labels must be a sequence of one label per trace; got "
            f"{type(labels).__name__}."
        )
    if len(labels) != n_traces:
        raise ActivityError(
            f"{name}: labels must name each of the {n_traces} traces; got {len(labels)} labels. "
            "Give None for a trace without a name."
        )
    return list(labels)


def _check_traces(traces: Any, n_times: int, name: str) -> Array:
    values = np.asarray(traces)
    if values.dtype.kind not in "biuf" or values.ndim != 2 or values.size == 0:
        raise ActivityError(
            f"{name}: traces must be numbers of shape (n_times, n_traces); got {values.dtype} of "
            f"shape {values.shape}."
        )
    if values.shape[0] != n_times:
        turned = " Transpose them." if values.shape[1] == n_times else ""
        raise ActivityError(
            f"{name}: traces must have one row per stamp, {n_times}; got shape {values.shape}."
            f"{turned}"
        )
    values = values.astype(np.float64)
    if np.isinf(values).any():
        row, column = (int(k) for k in np.argwhere(np.isinf(values))[0])
        raise ActivityError(
            f"{name}: traces must not be infinite; time {row} of trace {column} is. "
            "Mark missing samples by NaN."
        )
    return values
