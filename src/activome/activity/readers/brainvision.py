"""BrainVision recordings: a header (.vhdr) with its markers and samples beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activome._extras import require
from activome._files import atomic_path
from activome.activity.readers._source import check_file, opening_bytes, reading
from activome.activity.readers.mne_raw import load_mne, raw_to_activity
from activome.activity.readers.mne_writing import to_mne
from activome.activity.schema import Activity
from activome.errors import ActivityError, ReadError

__all__ = ["open_raw", "read_brainvision", "write_brainvision"]


@contextmanager
def open_raw(path: Path, *, owner: str) -> Iterator[Any]:
    """Open a BrainVision header with MNE, whatever its name; markers and samples lie beside it.

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
    if path.suffix.lower() in (".vhdr", ".ahdr"):
        yield mne.io.read_raw_brainvision(path, preload=False, verbose="warning")
        return
    with tempfile.TemporaryDirectory() as folder:
        # The header names its neighbours, so that these must lie beside its alias.
        for neighbour in path.resolve().parent.iterdir():
            if neighbour.suffix.lower() in (".vmrk", ".eeg", ".dat", ".amrk"):
                (Path(folder) / neighbour.name).symlink_to(neighbour)
        alias = Path(folder) / "recording.vhdr"
        alias.symlink_to(path.resolve())
        yield mne.io.read_raw_brainvision(alias, preload=False, verbose="warning")


def _check_layout(path: Path, owner: str) -> None:
    """Refuse headers that lead out of their folder, or to samples that do not fit."""
    text = opening_bytes(path, 1 << 20, owner=owner).decode("latin-1")
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, sep, value = line.partition("=")
        if sep and key.strip() in ("DataFile", "MarkerFile", "NumberOfChannels", "BinaryFormat"):
            fields.setdefault(key.strip(), value.strip())
    base = path.stem
    for key in ("DataFile", "MarkerFile"):
        name = fields.get(key, "").replace("$b", base)
        if "/" in name or "\\" in name or name == "..":
            raise ReadError(
                f"{owner}: {str(path)!r} must name files of its own folder; {key} is {name!r}. "
                "Put the files together and correct the header."
            )
    data = path.parent / fields.get("DataFile", "").replace("$b", base)
    width = {"INT_16": 2, "IEEE_FLOAT_32": 4, "IEEE_FLOAT_64": 8}.get(
        fields.get("BinaryFormat", "")
    )
    if width and data.is_file() and fields.get("NumberOfChannels", "").isdigit():
        frame = width * int(fields["NumberOfChannels"])
        size = data.stat().st_size
        if frame == 0 or size == 0 or size % frame:
            raise ReadError(
                f"{owner}: {str(path)!r} declares {fields['NumberOfChannels']} channels of {width} "
                f"bytes, but {data.name!r} has {size} bytes, no whole number of samples. It was "
                "cut or the header is damaged; copy or export it again."
            )


def read_brainvision(
    path: str | os.PathLike[str],
    *,
    channels: str | Sequence[str] | None = None,
    lazy: bool = False,
    memory_limit: float | None = None,
) -> Activity:
    """Read a BrainVision recording from its header file.

    Parameters
    ----------
    path : path-like
        The header (.vhdr); its name may end otherwise.
    channels : str or sequence of str, optional
        A channel type such as "eeg", or names; by default every signal.
    lazy : bool, default=False
        Leave the values in the file, as a dask array. The files must stay where they are.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray
        Dims (time, unit), float64, in V. Markers become the label ``event``.

    Raises
    ------
    ReadError
        If a file is missing, damaged or cut, or the header leads out of its folder.
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
    >>> mark = np.where(np.arange(200) == 50, "tone", "")
    >>> recording = make(
    ...     np.zeros((200, 1)), sampling_rate=100.0, unit=["Cz"], units="V", kind="voltage",
    ...     coords={"event": ("time", mark)},
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_brainvision(recording, f"{folder}/a.vhdr")
    ...     back = read_brainvision(f"{folder}/a.vhdr")
    >>> back.time.values[back.event.values != ""].tolist()
    [0.5]
    """
    owner = "read_brainvision"
    file = check_file(path, owner=owner)
    with reading(file, "BrainVision", owner=owner):
        _check_layout(file, owner)
        with open_raw(file, owner=owner) as raw:
            if lazy:
                raw.filenames = [file.resolve().parent / Path(raw.filenames[0]).name]
            return raw_to_activity(
                raw, file, "BrainVision", owner=owner, channels=channels, lazy=lazy,
                memory_limit=memory_limit,
            )  # fmt: skip


def write_brainvision(activity: Activity, path: str | os.PathLike[str]) -> None:
    """Write a BrainVision recording: NAME.vhdr with NAME.vmrk and NAME.eeg beside it.

    Each file is moved into place whole, the header last.

    Parameters
    ----------
    activity : xarray.DataArray
        Over (time, unit), in V, mV, uV or nV, regularly sampled.
    path : path-like
        The header to write.

    Raises
    ------
    ActivityError
        If it has trials, or ``path`` does not end in .vhdr.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> wave = 1e-5 * np.sin(np.arange(200.0) / 5)[:, None] * [1, 2]
    >>> recording = make(wave, sampling_rate=100.0, unit=["Cz", "Pz"], kind="voltage", units="V")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_brainvision(recording, f"{folder}/a.vhdr")
    ...     back = read_brainvision(f"{folder}/a.vhdr")
    >>> back.unit.values.tolist(), bool(abs(back.values - wave).max() < 1e-11)
    (['Cz', 'Pz'], True)
    """
    owner = "write_brainvision"
    target = Path(path)
    if "trial" in activity.dims or target.suffix != ".vhdr":
        raise ActivityError(
            f"{owner}: activity must have no trials and the path must end in .vhdr; got dims "
            f"{activity.dims} and {target.name!r}. Save trials as .zarr, .npz or .fif."
        )
    raw = to_mne(activity, owner=owner)
    mne = load_mne(owner)
    require("pybv", extra="eeg", owner=owner)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".brainvision-") as folder:
        with reading(target, "BrainVision", owner=owner):
            mne.export.export_raw(
                Path(folder) / target.name, raw, fmt="brainvision", verbose="error"
            )
        for suffix in (".eeg", ".vmrk", ".vhdr"):
            with atomic_path(target.with_suffix(suffix)) as temporary:
                shutil.move(Path(folder) / target.with_suffix(suffix).name, temporary)
