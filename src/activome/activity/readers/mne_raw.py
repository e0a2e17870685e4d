"""Recordings that MNE reads: from its Raw and Epochs to an Activity in SI units."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd

from activome._extras import require
from activome.activity.readers._source import (
    check_file,
    check_rate,
    fits_memory,
    reading,
    source_of,
    unique_names,
)
from activome.activity.schema import Activity, make
from activome.errors import ActivityWarning, ParameterError, ReadError

__all__ = ["epochs_to_activity", "load_mne", "raw_to_activity", "read_annotations"]

_HOUSEKEEPING = {"stim", "syst", "ias", "exci", "chpi"}
# Labels of events are text, four bytes a letter and sample: beyond this they cost more than data.
_EVENT_BYTES = 256 * 1024**2


def load_mne(owner: str) -> Any:
    """Return the mne module.

    Parameters
    ----------
    owner : str
        Who needs it, for messages.

    Returns
    -------
    module
        The package mne.
    """
    return require("mne", extra="eeg", owner=owner)


class _LazyRaw:
    """What dask needs of an array, read from a Raw sample block by sample block."""

    def __init__(self, raw: Any, picks: Sequence[int]) -> None:
        self.raw, self.picks = raw, np.asarray(picks)
        self.shape = (int(raw.n_times), len(picks))
        self.dtype, self.ndim = np.dtype(np.float64), 2

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray[Any, Any]:
        first, last, _ = key[0].indices(self.shape[0])
        picks = self.picks[key[1]]
        return np.ascontiguousarray(self.raw.get_data(picks=picks, start=first, stop=last).T)


def raw_to_activity(
    raw: Any,
    path: Path,
    form: str,
    *,
    owner: str,
    channels: str | Sequence[str] | None = None,
    lazy: bool = False,
    memory_limit: float | None = None,
    units: Sequence[str] | None = None,
    factors: Sequence[float] | None = None,
) -> Activity:
    """Return the signals of an MNE Raw as an Activity of (time, unit).

    Parameters
    ----------
    raw : mne.io.BaseRaw
        An opened recording, not preloaded.
    path : Path
        Its file.
    form : str
        Name of the format.
    owner : str
        Who reads, for messages.
    channels : str or sequence of str, optional
        A channel type, or names of channels; by default all but triggers.
    lazy : bool, default=False
        Leave the values in the file, as a dask array.
    memory_limit : float, optional
        Bytes that may be allocated.
    units : sequence of str, optional
        Physical unit of each channel of ``raw`` where MNE does not know it.
    factors : sequence of float, optional
        What each channel of ``raw`` is multiplied with.

    Returns
    -------
    xarray.DataArray
        With ``channel_type``, ``physical_unit`` and positions on unit, ``event`` on time.

    Raises
    ------
    ReadError
        If the recording holds no samples or no signals.
    ParameterError
        If a channel is unknown.
    """
    rate = check_rate(raw.info["sfreq"], path, owner=owner)
    picks = _picks(raw, channels, path, owner)
    if raw.n_times == 0:
        raise ReadError(f"{owner}: {str(path)!r} holds no samples. Export it again.")
    coords, kind, physical = _channel_labels(raw.info, picks, units)
    marks = _event_labels(raw, path, owner)
    if marks is not None:
        coords["event"] = ("time", marks)
    scale = None if factors is None else np.asarray(factors, dtype=np.float64)[picks]
    values: Any
    if lazy:
        rows = max(1, (1 << 20) // max(1, len(picks)))
        values = dask.array.from_array(
            _LazyRaw(raw, picks), chunks=(rows, len(picks)), name=False, lock=True
        )
    else:
        need = 16.0 * raw.n_times * len(picks)
        fits_memory(need, path, owner=owner, limit=memory_limit)
        values = np.ascontiguousarray(raw.get_data(picks=picks).T)
    if scale is not None and (scale != 1).any():
        values = values * scale
    return make(
        values,
        ("time", "unit"),
        unit=unique_names([raw.ch_names[i] for i in picks], path, owner=owner),
        coords=coords,
        kind=kind,
        units=physical,
        sampling_rate=rate,
        source=source_of(path, form),
    ).rename(None)


def _picks(raw: Any, channels: str | Sequence[str] | None, path: Path, owner: str) -> list[int]:
    types = raw.get_channel_types()
    names = list(raw.ch_names)
    if channels is None:
        found = [i for i, kind in enumerate(types) if kind not in _HOUSEKEEPING]
        if not found:
            raise ReadError(
                f"{owner}: {str(path)!r} holds no signals, only {len(names)} trigger channels or "
                "annotations. Read these with read_annotations."
            )
        return found
    wanted = [channels] if isinstance(channels, str) else list(channels)
    found = []
    for name in wanted:
        places = [i for i, other in enumerate(names) if other == name]
        places = places or [i for i, kind in enumerate(types) if kind == name]
        if not places:
            from activome._checks import nearest_names

            hint = nearest_names(str(name), [*sorted(set(types)), *names])
            raise ParameterError(f"{owner}: {path.name} has no channel or type {name!r}; {hint}")
        found += [i for i in places if i not in found]
    return found


def _channel_labels(
    info: Any, picks: Sequence[int], units: Sequence[str] | None
) -> tuple[dict[str, tuple[str, Any]], str, str]:
    names = {107: "V", 112: "T", 201: "T/m", 2: "m", 4: "s", 101: "Hz", 103: "Pa", 6: "mol"}
    codes = [int(info["chs"][i]["unit"]) for i in picks]
    physical = [names.get(code, "1") for code in codes]
    if units is not None:
        physical = [units[i] for i in picks]
    types = info.get_channel_types(picks=list(picks), unique=False)
    places = np.array([info["chs"][i]["loc"][:3] for i in picks], dtype=np.float64)
    coords: dict[str, tuple[str, Any]] = {"channel_type": ("unit", np.asarray(types))}
    if len(set(physical)) > 1:
        coords["physical_unit"] = ("unit", np.asarray(physical))
    if np.isfinite(places).all(axis=1).any() and np.any(np.nan_to_num(places)):
        for axis, column in zip("xyz", places.T, strict=True):
            coords[axis] = ("unit", column)
    found = sorted(set(physical))
    kind = "feature"
    if found == ["V"]:
        kind = "voltage"
    elif set(found) <= {"T", "T/m"}:
        kind = "field"
    return coords, kind, found[0] if len(found) == 1 else "see physical_unit"


def _event_table(raw: Any) -> pd.DataFrame:
    marks = raw.annotations
    onset = np.asarray(marks.onset, dtype=np.float64) - raw.first_time
    frames = [(onset, np.asarray(marks.duration, float), [str(d) for d in marks.description])]
    mne = load_mne("read_annotations")
    stims = [n for n, k in zip(raw.ch_names, raw.get_channel_types(), strict=True) if k == "stim"]
    for name in stims:
        # Channels of single lines (STI001 ...) repeat what the summed one says.
        is_line = len(name) == 6 and name.startswith("STI0") and name != "STI014"
        if is_line and len(stims) > 1:
            continue
        found = mne.find_events(raw, stim_channel=name, shortest_event=1, verbose="error")
        if len(found):
            times = (found[:, 0] - raw.first_samp) / raw.info["sfreq"]
            frames.append((times, np.zeros(len(found)), [str(code) for code in found[:, 2]]))
    table = pd.concat(
        [pd.DataFrame({"onset": o, "duration": d, "label": t}) for o, d, t in frames],
        ignore_index=True,
    )
    table["label"] = table["label"].astype(object)
    return table.sort_values("onset", kind="stable", ignore_index=True)


def _event_labels(raw: Any, path: Path, owner: str) -> np.ndarray[Any, Any] | None:
    table = _event_table(raw)
    if table.empty:
        return None
    sample = np.rint(table["onset"].to_numpy() * raw.info["sfreq"]).astype(np.int64)
    inside = (sample >= 0) & (sample < raw.n_times)
    if not inside.all():
        warnings.warn(
            f"{owner}: {path.name}: {int((~inside).sum())} of {inside.size} events lie outside the "
            "recording and were left out.",
            ActivityWarning,
            stacklevel=3,
        )
    joined: dict[int, str] = {}
    for place, text in zip(sample[inside], table["label"].to_numpy()[inside], strict=True):
        joined[int(place)] = f"{joined[int(place)]} + {text}" if int(place) in joined else text
    width = max((len(text) for text in joined.values()), default=1)
    if 4.0 * width * raw.n_times > _EVENT_BYTES:
        warnings.warn(
            f"{owner}: {path.name}: {len(joined)} events were left out of the labels, since text "
            "along so many samples would take too much memory. Read them with read_annotations.",
            ActivityWarning,
            stacklevel=3,
        )
        return None
    labels = np.zeros(raw.n_times, dtype=f"<U{max(1, width)}")
    for place, text in joined.items():
        labels[place] = text
    return labels


def epochs_to_activity(
    epochs: Any,
    path: Path,
    form: str,
    *,
    owner: str,
    channels: str | Sequence[str] | None = None,
    memory_limit: float | None = None,
) -> Activity:
    """Return MNE Epochs as an Activity of (trial, time, unit), with ``event`` on trial.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        The epochs; loaded here, when they fit.
    path : Path
        Their file.
    form : str
        Name of the format.
    owner : str
        Who reads, for messages.
    channels : str or sequence of str, optional
        A channel type, or names of channels; by default all but triggers.
    memory_limit : float, optional
        Bytes that may be allocated.

    Returns
    -------
    xarray.DataArray
        In SI units, with ``event``, ``onset`` (s) and the metadata on trial.

    Raises
    ------
    ReadError
        If there are no epochs.
    ParameterError
        If a channel is unknown.
    """
    rate = check_rate(epochs.info["sfreq"], path, owner=owner)
    need = 16.0 * len(epochs.events) * len(epochs.ch_names) * len(epochs.times)
    cure = "Raise memory_limit, or save fewer epochs a file."
    fits_memory(need, path, owner=owner, limit=memory_limit, cure=cure)
    if not len(epochs.load_data()):
        raise ReadError(f"{owner}: {str(path)!r} holds no epochs. Export it again.")
    picks = _picks(epochs, channels, path, owner)
    coords, kind, physical = _channel_labels(epochs.info, picks, None)
    names = {code: name for name, code in epochs.event_id.items()}
    coords["event"] = ("trial", np.array([names[code] for code in epochs.events[:, 2]]))
    coords["onset"] = ("trial", epochs.events[:, 0] / rate)
    metadata = epochs.metadata
    for key in [] if metadata is None else metadata.columns:
        if key not in ("trial", "time", "unit", "event", "onset", "valid"):
            column = metadata[key].to_numpy()
            coords[str(key)] = (
                "trial",
                column if column.dtype.kind in "biuf" else column.astype(str),
            )
    return make(
        np.ascontiguousarray(epochs.get_data(picks=picks, copy=False).transpose(0, 2, 1)),
        time=epochs.times,
        unit=unique_names([epochs.ch_names[i] for i in picks], path, owner=owner),
        coords=coords,
        kind=kind,
        units=physical,
        sampling_rate=rate,
        source=source_of(path, form),
    )


def read_annotations(path: str | os.PathLike[str]) -> pd.DataFrame:
    """List the events and annotations of an EDF, BDF, FIF, BrainVision or EEGLAB recording.

    The ``event`` labels of an Activity keep the onset sample; this table keeps exact onsets and
    durations. Use its columns with ``cut_trials``.

    Parameters
    ----------
    path : path-like
        The recording.

    Returns
    -------
    pandas.DataFrame
        Columns ``onset`` (s from the first sample), ``duration`` (s) and ``label``, by onset.

    Raises
    ------
    ReadError
        If the file is damaged or of another format, or holds epochs: their events are labels.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.readers.edf import write_edf
    >>> from activome.activity.schema import make
    >>> mark = np.where(np.arange(200) % 80 == 40, "tone", "")
    >>> wave = np.sin(np.arange(200.0))[:, None]
    >>> coords = {"event": ("time", mark)}
    >>> recording = make(wave, sampling_rate=100.0, units="uV", kind="voltage", coords=coords)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_edf(recording, f"{folder}/a.edf")
    ...     table = read_annotations(f"{folder}/a.edf")
    >>> table.onset.tolist(), table.label.tolist()
    ([0.4, 1.2], ['tone', 'tone'])
    """
    from activome.activity.readers.loading import sniff

    owner = "read_annotations"
    file = check_file(path, owner=owner)
    form = sniff(file)
    opener = _openers().get(form)
    if opener is None:
        raise ReadError(
            f"{owner}: {str(file)!r} is {form}; annotations are read from edf, bdf, fif, "
            "brainvision and eeglab recordings. Of NWB files use read_trials."
        )
    with reading(file, form, owner=owner):
        return opener(file, form)


def _openers() -> dict[str, Callable[[Path, str], pd.DataFrame]]:
    from activome.activity.readers import brainvision, edf, eeglab, fif

    def table(open_raw: Callable[..., Any]) -> Callable[[Path, str], pd.DataFrame]:
        def run(file: Path, form: str) -> pd.DataFrame:
            with open_raw(file, owner="read_annotations") as raw:
                return _event_table(raw)

        return run

    return {
        "edf": table(edf.open_raw),
        "bdf": table(edf.open_raw),
        "fif": table(fif.open_raw),
        "brainvision": table(brainvision.open_raw),
        "eeglab": table(eeglab.open_raw),
    }
