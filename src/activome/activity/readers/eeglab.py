"""EEGLAB data sets (.set, with or without .fdt): continuous and epoched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activome._extras import require
from activome._files import atomic_path
from activome.activity.readers._source import check_file, fits_memory, reading
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

_FEWER = "Raise memory_limit, or save fewer epochs a file."


@dataclass(frozen=True)
class _Header:
    """The fields of a data set that say how many samples there are, and where."""

    n_units: int
    n_times: int
    n_trials: int
    data: str | None

    @property
    def n_values(self) -> int:
        """Samples of all channels."""
        return self.n_units * self.n_times * self.n_trials


def _read_header(path: Path) -> _Header:
    from scipy.io import loadmat, whosmat

    layout = {name: kind for name, _, kind in whosmat(path)}
    sizes = ["nbchan", "pnts", "trials"]
    # In a set without the struct EEG its fields are variables; the samples among them stay there.
    names = ["EEG", *sizes, *(["data"] if layout.get("data") == "char" else [])]
    held = loadmat(path, variable_names=names, squeeze_me=True, struct_as_record=False)
    fields = vars(held["EEG"]) if "EEG" in held else held
    n_units, n_times, n_trials = (int(fields[name]) for name in sizes)
    data = fields.get("data")
    return _Header(n_units, n_times, max(1, n_trials), data if isinstance(data, str) else None)


def _check_samples(path: Path, header: _Header, owner: str) -> None:
    """Refuse a .fdt that lies in another folder, or does not hold what the set declares."""
    if header.data is None:
        return
    if "/" in header.data or "\\" in header.data:
        raise ReadError(
            f"{owner}: {str(path)!r} must name a file of its own folder for its samples; it names "
            f"{header.data!r}. Put the files together and save the set again."
        )
    places = [path.parent / header.data, path.with_suffix(".fdt")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ReadError(
            f"{owner}: {str(path)!r} keeps its samples in {header.data!r}, which is not beside it. "
            "Copy that file too."
        )
    size, need = found.stat().st_size, 4 * header.n_values
    if size != need:
        raise ReadError(
            f"{owner}: {str(path)!r} declares {header.n_units} channels, {header.n_times} samples "
            f"and {header.n_trials} trials, {need} bytes; {found.name!r} has {size}. It was cut, "
            "or belongs to another set; copy it again."
        )


@contextmanager
def _alias(path: Path) -> Iterator[Path]:
    """Yield the set under a name that ends in .set, with the files of samples beside it."""
    if path.suffix.lower() == ".set":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        for neighbour in path.resolve().parent.iterdir():
            if neighbour.suffix.lower() == ".fdt":
                (Path(folder) / neighbour.name).symlink_to(neighbour)
        alias = Path(folder) / f"{path.stem}.set"
        alias.symlink_to(path.resolve())
        yield alias


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

    Raises
    ------
    ReadError
        If the set holds epochs.
    """
    mne = load_mne(owner)
    header = _read_header(path)
    if header.n_trials > 1:
        raise ReadError(
            f"{owner}: {str(path)!r} holds epochs, no continuous recording. Their events are the "
            "label 'event' of what read_eeglab gives."
        )
    _check_samples(path, header, owner)
    with _alias(path) as alias:
        yield mne.io.read_raw_eeglab(alias, preload=False, montage_units="auto", verbose="warning")


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
        If the file is missing or damaged, its .fdt is missing, cut or in another folder, or it is
        of MATLAB 7.3.
    ParameterError
        If a channel is unknown.
    ResourceError
        If the values pass ``memory_limit``.
    MissingExtraError
        If mne is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> epochs = make(
    ...     np.ones((3, 50, 2)), sampling_rate=100.0, start=-0.1, units="uV", kind="voltage",
    ...     coords={"event": ("trial", ["go", "stop", "go"])},
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_eeglab(epochs, f"{folder}/a.set")
    ...     back = read_eeglab(f"{folder}/a.set")
    >>> back.shape, back.event.values.tolist(), back.attrs["units"]
    ((3, 50, 2), ['go', 'stop', 'go'], 'V')
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
        header = _read_header(file)
        if header.n_trials > 1:
            _check_samples(file, header, owner)
            fits_memory(16.0 * header.n_values, file, owner=owner, limit=memory_limit, cure=_FEWER)
            with _alias(file) as alias:
                epochs = mne.read_epochs_eeglab(alias, montage_units="auto", verbose="warning")
            return epochs_to_activity(
                epochs, file, "EEGLAB", owner=owner, channels=channels, memory_limit=memory_limit
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

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> wave = 1e-5 * np.sin(np.arange(200.0) / 5)[:, None] * [1, 2]
    >>> recording = make(wave, sampling_rate=100.0, unit=["Cz", "Pz"], kind="voltage", units="V")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_eeglab(recording, f"{folder}/a.set")
    ...     back = read_eeglab(f"{folder}/a.set")
    >>> back.unit.values.tolist(), bool(abs(back.values - wave).max() < 1e-11)
    (['Cz', 'Pz'], True)
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
