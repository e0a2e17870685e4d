"""EDF and BDF recordings: European data format, 16 and 24 bit, with annotations (EDF+)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._files import atomic_path
from activome.activity.readers._source import alias_with_suffix, check_file, reading
from activome.activity.readers.mne_raw import load_mne, raw_to_activity
from activome.activity.readers.mne_writing import to_mne
from activome.activity.schema import Activity
from activome.errors import ActivityError, ActivityWarning, ReadError

__all__ = ["EdfHeader", "open_raw", "parse_header", "read_edf", "write_edf"]

# What MNE multiplies with, and what is right; other units it takes for volts.
_MNE_KNOWS = {"uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "mV": 1e-3, "V": 1.0}
_VOLTS = _MNE_KNOWS | {"nV": 1e-9}


@dataclass(frozen=True)
class EdfHeader:
    """The header fields that decide where the samples lie."""

    is_bdf: bool
    is_discontinuous: bool
    n_records: int
    record_seconds: float
    names: list[str]
    units: list[str]
    samples: np.ndarray[Any, Any]

    @property
    def record_bytes(self) -> int:
        """Bytes of one data record."""
        return int(self.samples.sum()) * (3 if self.is_bdf else 2)

    @property
    def is_annotation(self) -> np.ndarray[Any, Any]:
        """Which channels hold annotations."""
        return np.array([name in ("EDF Annotations", "BDF Annotations") for name in self.names])


def parse_header(path: Path, *, owner: str) -> EdfHeader:
    """Return the header of an EDF or BDF file, checked against the size of the file.

    Parameters
    ----------
    path : Path
        The file.
    owner : str
        Who reads, for messages.

    Returns
    -------
    EdfHeader
        Its fields; ``n_records`` counted from the size where the file says -1.

    Raises
    ------
    ReadError
        If a field is not what the format asks for, or the file is shorter than it declares.
    """

    def refuse(what: str) -> ReadError:
        return ReadError(
            f"{owner}: {str(path)!r} is no sound EDF or BDF file: {what}. Its header is damaged or "
            "it was cut; copy or export it again."
        )

    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(256)
        if len(head) < 256:
            raise refuse(f"the header takes 256 bytes, the file has {size}")
        try:
            n_header, n_records = int(head[184:192]), int(head[236:244])
            seconds, n_channels = float(head[244:252]), int(head[252:256])
        except ValueError as error:
            raise refuse(f"a number of the header cannot be read ({error})") from error
        if not 1 <= n_channels <= 9999 or n_header != 256 * (n_channels + 1) or n_header > size:
            raise refuse(f"it declares {n_channels} channels and a header of {n_header} bytes")
        table = stream.read(256 * n_channels)
    is_bdf = head[:1] == b"\xff"

    def column(first: int, width: int) -> list[str]:
        place = first * n_channels
        cells = (table[place + width * i :][:width] for i in range(n_channels))
        return [cell.decode("latin-1").strip("\x00 ") for cell in cells]

    try:
        samples = np.array([int(cell) for cell in column(216, 8)], dtype=np.int64)
        ranges = np.array([[float(cell) for cell in column(at, 8)] for at in (104, 112, 120, 128)])
    except ValueError as error:
        raise refuse(f"a number of a channel cannot be read ({error})") from error
    if (samples < 1).any() or not (np.isfinite(seconds) and seconds >= 0) or n_records < -1:
        raise refuse(f"it declares {samples.min()} samples in records of {seconds:g} s")
    if n_records == 0:
        raise refuse("it declares no records")
    marks = column(0, 16)
    header = EdfHeader(
        is_bdf, head[192:236].startswith((b"EDF+D", b"BDF+D")), n_records, seconds, marks,
        column(96, 8), samples,
    )  # fmt: skip
    signal = ~header.is_annotation
    if signal.any() and seconds == 0:
        raise refuse("its records last 0 s")
    if not np.isfinite(ranges).all() or (ranges[2] == ranges[3])[signal].any():
        raise refuse("the range of a channel is empty or not finite")
    held = (size - n_header) // header.record_bytes
    if held < 1 or (n_records > 0 and held < n_records):
        raise refuse(f"it declares {n_records} records and holds {held}")
    if n_records == -1:
        return EdfHeader(**{**header.__dict__, "n_records": int(held)})
    return header


def _check_gaps(header: EdfHeader, path: Path, owner: str) -> None:
    """Refuse records that do not follow each other: their samples would get the wrong times."""
    channel = int(np.argmax(header.is_annotation))
    width = 3 if header.is_bdf else 2
    place = int(header.samples[:channel].sum()) * width
    n_header = 256 * (len(header.names) + 1)
    shape = (header.n_records, header.record_bytes)
    records = np.memmap(path, dtype=np.uint8, mode="r", offset=n_header, shape=shape)
    expected = None
    for i in range(header.n_records):
        text = records[i, place : place + int(header.samples[channel]) * width].tobytes()
        onset = float(text.split(b"\x14", 1)[0].split(b"\x15", 1)[0])
        if expected is not None and abs(onset - expected) > 1e-4:
            raise ReadError(
                f"{owner}: {str(path)!r} is a recording with gaps (EDF+D): record {i} starts at "
                f"{onset:g} s, not at {expected:g} s. Export its continuous parts as files of "
                "their own."
            )
        expected = onset + header.record_seconds


@contextmanager
def open_raw(path: Path, *, owner: str) -> Iterator[Any]:
    """Open an EDF or BDF file with MNE, whatever its name.

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
        If the header is damaged, the file was cut, or it is a recording with gaps.
    """
    mne = load_mne(owner)
    header = parse_header(path, owner=owner)
    if header.is_discontinuous and header.is_annotation.any():
        _check_gaps(header, path, owner)
    suffix = ".bdf" if header.is_bdf else ".edf"
    read = mne.io.read_raw_bdf if header.is_bdf else mne.io.read_raw_edf
    with alias_with_suffix(path, [suffix]) as alias:
        yield _open(read, alias)


def _open(read: Any, alias: Path) -> Any:
    try:
        return read(alias, preload=False, verbose="warning")
    except UnicodeDecodeError:
        # EDF+ asks for UTF-8; older recorders write their own code page.
        return read(alias, preload=False, encoding="latin1", verbose="warning")


def read_edf(
    path: str | os.PathLike[str],
    *,
    channels: str | Sequence[str] | None = None,
    lazy: bool = False,
    memory_limit: float | None = None,
) -> Activity:
    """Read an EDF, EDF+, BDF or BDF+ recording.

    Voltages are converted to V by the unit each channel states. Annotations and triggers become
    the label ``event`` at their onset sample.

    Parameters
    ----------
    path : path-like
        The file; its name may end otherwise.
    channels : str or sequence of str, optional
        A channel type such as "eeg", or names; by default every signal.
    lazy : bool, default=False
        Leave the values in the file, as a dask array. The file must stay where it is.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray
        Dims (time, unit), float64, in V (or see ``physical_unit`` on unit).

    Raises
    ------
    ReadError
        If the file is missing, damaged, cut or has gaps.
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
    ...     write_edf(recording, f"{folder}/a.edf")
    ...     back = read_edf(f"{folder}/a.edf")
    >>> back.time.values[back.event.values != ""].tolist()
    [0.5]
    """
    owner = "read_edf"
    file = check_file(path, owner=owner)
    with reading(file, "EDF or BDF", owner=owner), open_raw(file, owner=owner) as raw:
        header = parse_header(file, owner=owner)
        units, factors = _physical(header, raw, file, owner)
        _warn_of_rates(header, file, owner)
        if lazy:
            _relink(raw, file)
        return raw_to_activity(
            raw, file, "BDF" if header.is_bdf else "EDF", owner=owner, channels=channels,
            lazy=lazy, memory_limit=memory_limit, units=units, factors=factors,
        )  # fmt: skip


def _relink(raw: Any, file: Path) -> None:
    """Let a Raw that was opened by an alias read from the file itself from now on."""
    raw._raw_extras[0]["file_name"] = file
    raw.filenames = [file]


def _physical(header: EdfHeader, raw: Any, path: Path, owner: str) -> tuple[list[str], list[float]]:
    stated = [u for u, mark in zip(header.units, header.is_annotation, strict=True) if not mark]
    types = raw.get_channel_types()
    units, factors, silent = [], [], 0
    for unit, kind in zip(stated, types, strict=True):
        volts = _VOLTS.get(unit)
        silent += not unit and kind not in ("stim", "misc")
        units.append("V" if volts is not None or not unit else unit)
        factors.append(1.0 if volts is None else volts / _MNE_KNOWS.get(unit, 1.0))
    if silent:
        warnings.warn(
            f"{owner}: {path.name}: {silent} channels state no physical unit; their values were "
            "taken for V.",
            ActivityWarning,
            stacklevel=3,
        )
    return units, factors


def _warn_of_rates(header: EdfHeader, path: Path, owner: str) -> None:
    samples = header.samples[~header.is_annotation]
    slow = samples < samples.max(initial=0)
    if slow.any():
        names = [n for n, mark in zip(header.names, header.is_annotation, strict=True) if not mark]
        first = names[int(np.argmax(slow))]
        rates = samples / (header.record_seconds or 1.0)
        warnings.warn(
            f"{owner}: {path.name}: {int(slow.sum())} of {slow.size} channels were recorded at a "
            f"lower rate (the first, {first!r}, at {rates[slow][0]:g} Hz) and were resampled to "
            f"{rates.max():g} Hz. Name channels of one rate to leave them out.",
            ActivityWarning,
            stacklevel=3,
        )


def write_edf(activity: Activity, path: str | os.PathLike[str]) -> None:
    """Write an EDF+ recording, with events as annotations.

    Samples are stored in 16 bits between the smallest and the largest value of the recording, and
    the file holds voltages, names and annotations alone.

    Parameters
    ----------
    activity : xarray.DataArray
        Over (time, unit), in V, mV, uV or nV, regularly sampled.
    path : path-like
        Where to write; replaced whole.

    Raises
    ------
    ActivityError
        If it has trials, or cannot be an EDF recording.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity.schema import make
    >>> wave = 1e-5 * np.sin(np.arange(200.0) / 5)[:, None] * [1, 2]
    >>> recording = make(wave, sampling_rate=100.0, unit=["Cz", "Pz"], kind="voltage", units="V")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_edf(recording, f"{folder}/a.edf")
    ...     back = read_edf(f"{folder}/a.edf")
    >>> back.unit.values.tolist(), bool(abs(back.values - wave).max() < 1e-9)
    (['Cz', 'Pz'], True)
    """
    owner = "write_edf"
    if "trial" in activity.dims:
        raise ActivityError(f"{owner}: EDF holds no trials; save them as .zarr, .npz or .fif.")
    raw = to_mne(activity, owner=owner)
    mne = load_mne(owner)
    with atomic_path(path) as temporary, reading(temporary, "EDF", owner=owner):
        mne.export.export_raw(temporary, raw, fmt="edf", overwrite=True, verbose="error")
