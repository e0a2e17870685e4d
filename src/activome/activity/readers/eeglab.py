"""EEGLAB data sets (.set, with or without .fdt): continuous and epoched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activome._extras import require
from activome._files import atomic_path
from activome.activity.readers._source import alias_with_suffix, check_file, reading
from activome.activity.readers.matlab import check_elements
from activome.activity.readers.mne_raw import (
    epochs_to_activity,
    load_mne,
    raw_to_activity,
)
from activome.activity.readers.mne_writing import to_mne
from activome.activity.schema import Activity
from activome.errors import ReadError

__all__ = ["open_raw", "read_eeglab", "write_eeglab"]


@contextmanager
def open_raw(path: Path, *, owner: str) -> Iterator[Any]:
    """Open a continuous EEGLAB set with MNE, whatever its name.

    Parameters
    ----------
    path : Path
        The file.
    owner : str
        Who reads, for messages.

    Returns
    -------
    context manager of mne.io.BaseRaw
        The opened recording, not preloaded.
    """
    mne = load_mne(owner)
    with alias_with_suffix(path, [".set"]) as alias:
        yield mne.io.read_raw_eeglab(alias, preload=False, montage_units="auto", verbose="warning")


def _n_trials(path: Path) -> int:
    from scipy.io import loadmat

    names = ["EEG", "trials"]
    held = loadmat(path, variable_names=names, squeeze_me=True, struct_as_record=False)
    if "EEG" in held:
        return int(held["EEG"].trials)
    return int(held.get("trials", 1))


def read_eeglab(
    path: str | os.PathLike[str],
    *,
    channels: str | Sequence[str] | None = None,
    memory_limit: float | None = None,
) -> Activity:
    """Read an EEGLAB data set.

    Parameters
    ----------
    path : path-like
        The .set file; its name may end otherwise. A .fdt file lies beside it.
    channels : str or sequence of str, optional
        A channel type such as "eeg", or names; by default every signal.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray
        Dims (time, unit), or (trial, time, unit) of epochs, float64, in V. Events become the label
        ``event``.

    Raises
    ------
    ReadError
        If the file is missing or damaged, its .fdt is missing, or it is of MATLAB 7.3.
    ParameterError
        If a channel is unknown.
    ResourceError
        If the values pass ``memory_limit``.
    MissingExtraError
        If mne is not installed.
    """
    owner = "read_eeglab"
    file = check_file(path, owner=owner)
    mne = load_mne(owner)
    with reading(file, "EEGLAB", owner=owner):
        with file.open("rb") as stream:
            if stream.read(19).startswith(b"MATLAB 7.3"):
                raise ReadError(
                    f"{owner}: {str(file)!r} is an EEGLAB set in MATLAB 7.3 form. Save it in "
                    "EEGLAB without the option of variables over 2 GB."
                )
        check_elements(file, owner=owner, limit=memory_limit)
        if _n_trials(file) > 1:
            with alias_with_suffix(file, [".set"]) as alias:
                epochs = mne.read_epochs_eeglab(alias, montage_units="auto", verbose="warning")
            if channels is not None:
                epochs = epochs.pick(channels)
            return epochs_to_activity(
                epochs, file, "EEGLAB", owner=owner, memory_limit=memory_limit
            )
        with open_raw(file, owner=owner) as raw:
            return raw_to_activity(
                raw, file, "EEGLAB", owner=owner, channels=channels, memory_limit=memory_limit
            )


def write_eeglab(activity: Activity, path: str | os.PathLike[str]) -> None:
    """Write an EEGLAB data set: a continuous recording, or epochs when the activity has trials.

    Parameters
    ----------
    activity : xarray.DataArray
        Over (time, unit) or (trial, time, unit), in V, mV, uV or nV, regularly sampled.
    path : path-like
        Where to write; replaced whole.
    """
    owner = "write_eeglab"
    recording = to_mne(activity, owner=owner)
    mne = load_mne(owner)
    require("eeglabio", extra="eeg", owner=owner)
    with atomic_path(path) as temporary, reading(temporary, "EEGLAB", owner=owner):
        if "trial" in activity.dims:
            mne.export.export_epochs(temporary, recording, fmt="eeglab", verbose="error")
        else:
            mne.export.export_raw(temporary, recording, fmt="eeglab", verbose="error")
