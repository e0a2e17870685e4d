"""FIF recordings, the format of MNE and Neuromag: continuous and epoched."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activome._extras import require
from activome._files import atomic_path
from activome.activity.readers._source import alias_with_suffix, check_file, reading
from activome.activity.readers.mne_raw import (
    epochs_to_activity,
    load_mne,
    raw_to_activity,
)
from activome.activity.readers.mne_writing import to_mne
from activome.activity.schema import Activity
from activome.errors import ParameterError, ReadError

__all__ = ["open_raw", "read_fif", "write_fif"]

_SUFFIXES = (".fif", ".fif.gz")
_RAW_DATA, _EPOCHS = (102, 119, 103), 373


@contextmanager
def open_raw(path: Path, *, owner: str) -> Iterator[Any]:
    """Open a continuous FIF file with MNE, whatever its name.

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
        If the file holds epochs.
    """
    mne = load_mne(owner)
    if _holds_epochs(path, owner):
        raise ReadError(
            f"{owner}: {str(path)!r} holds epochs, no continuous recording. Their events are the "
            "label 'event' of what read_fif gives."
        )
    with alias_with_suffix(path, _suffix(path)) as alias, warnings.catch_warnings():
        # MNE wants names that end in raw.fif; the content, not the name, decides here.
        warnings.filterwarnings("ignore", message="This filename .* does not conform")
        yield mne.io.read_raw_fif(alias, preload=False, allow_maxshield="yes", verbose="warning")


def _suffix(path: Path) -> list[str]:
    with path.open("rb") as stream:
        return [".fif.gz"] if stream.read(2) == b"\x1f\x8b" else [".fif"]


def _holds_epochs(path: Path, owner: str) -> bool:
    # Modules of their own: in a new process ``mne`` alone has not loaded them yet.
    opening = require("mne._fiff.open", extra="eeg", owner=owner)
    tree = require("mne._fiff.tree", extra="eeg", owner=owner)
    with alias_with_suffix(path, _suffix(path)) as alias:
        stream, root, _ = opening.fiff_open(alias, verbose="warning")
        with stream:
            return bool(tree.dir_tree_find(root, _EPOCHS))


def read_fif(
    path: str | os.PathLike[str],
    *,
    channels: str | Sequence[str] | None = None,
    lazy: bool = False,
    memory_limit: float | None = None,
) -> Activity:
    """Read a FIF file: a continuous recording, or epochs.

    Parameters
    ----------
    path : path-like
        The file, plain or compressed; its name may end otherwise.
    channels : str or sequence of str, optional
        A channel type such as "eeg" or "mag", or names; by default every signal.
    lazy : bool, default=False
        Leave continuous values in the file, as a dask array. The file must stay where it is.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray
        Dims (time, unit), or (trial, time, unit) of epochs, in V and T. Annotations and triggers
        become the label ``event``.

    Raises
    ------
    ReadError
        If the file is missing or damaged.
    ParameterError
        If a channel is unknown, or a lazy file has no name that ends in .fif.
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
    ...     write_fif(epochs, f"{folder}/a.fif")
    ...     back = read_fif(f"{folder}/a.fif")
    >>> back.shape, back.event.values.tolist(), back.attrs["units"]
    ((3, 50, 2), ['go', 'stop', 'go'], 'V')
    """
    owner = "read_fif"
    file = check_file(path, owner=owner)
    if lazy and not file.name.lower().endswith(_SUFFIXES):
        raise ParameterError(
            f"{owner}: lazy=True needs a name that ends in .fif or .fif.gz; got {file.name!r}. "
            "Rename the file, or read it whole."
        )
    mne = load_mne(owner)
    with reading(file, "FIF", owner=owner):
        if _holds_epochs(file, owner):
            with alias_with_suffix(file, _suffix(file)) as alias, warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="This filename .* does not conform")
                epochs = mne.read_epochs(alias, preload=False, verbose="warning")
                return epochs_to_activity(
                    epochs, file, "FIF", owner=owner, channels=channels, memory_limit=memory_limit
                )
        with open_raw(file, owner=owner) as raw:
            return raw_to_activity(
                raw, file, "FIF", owner=owner, channels=channels, lazy=lazy,
                memory_limit=memory_limit,
            )  # fmt: skip


def write_fif(activity: Activity, path: str | os.PathLike[str]) -> None:
    """Write a FIF file: a continuous recording, or epochs when the activity has trials.

    Parameters
    ----------
    activity : xarray.DataArray
        Over (time, unit) or (trial, time, unit), in V, mV, uV, nV, T or T/m, regularly sampled.
    path : path-like
        Where to write; replaced whole.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> wave = 1e-5 * np.sin(np.arange(200.0) / 5)[:, None] * [1, 2]
    >>> recording = make(wave, sampling_rate=100.0, unit=["Cz", "Pz"], kind="voltage", units="V")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_fif(recording, f"{folder}/a.fif")
    ...     back = read_fif(f"{folder}/a.fif")
    >>> back.unit.values.tolist(), bool(abs(back.values - wave).max() < 1e-15)
    (['Cz', 'Pz'], True)
    """
    owner = "write_fif"
    recording = to_mne(activity, owner=owner)
    # Split files would escape the move into place: one file, up to the 2 GB that FIF holds.
    options = {} if "trial" in activity.dims else {"split_size": "2GB"}
    with (
        atomic_path(path) as temporary,
        reading(temporary, "FIF", owner=owner),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="This filename .* does not conform")
        recording.save(temporary, fmt="double", overwrite=True, verbose="error", **options)
