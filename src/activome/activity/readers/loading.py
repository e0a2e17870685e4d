"""``load``, ``save`` and ``sniff``: which reader a file needs, told by its content."""

from __future__ import annotations

import gzip
import importlib
import inspect
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activome._checks import nearest_names
from activome.activity.events import Events
from activome.activity.readers._source import check_file, opening_bytes
from activome.activity.schema import Activity
from activome.errors import ParameterError, ReadError

__all__ = ["FORMATS", "Format", "load", "save", "sniff"]


@dataclass(frozen=True)
class Format:
    """Where the reader and the writer of a format are, and what its files are called."""

    reader: str
    writer: str
    suffixes: tuple[str, ...]


_HERE = "activome.activity.readers"
FORMATS = {
    "zarr": Format("activome.activity.store:open_store", "activome.activity.store:write_store",
                   (".zarr",)),
    "npz": Format(f"{_HERE}.arrays:read_arrays", f"{_HERE}.arrays:write_arrays", (".npz",)),
    "npy": Format(f"{_HERE}.arrays:read_arrays", "", (".npy",)),
    "csv": Format(f"{_HERE}.tables:read_table", f"{_HERE}.tables_writing:write_table",
                  (".csv", ".tsv")),
    "parquet": Format(f"{_HERE}.tables:read_table", f"{_HERE}.tables_writing:write_table",
                      (".parquet", ".pq")),
    "nwb": Format(f"{_HERE}.nwb:read_nwb", f"{_HERE}.nwb_writing:write_nwb", (".nwb",)),
    "edf": Format(f"{_HERE}.edf:read_edf", f"{_HERE}.edf:write_edf", (".edf",)),
    "bdf": Format(f"{_HERE}.edf:read_edf", "", (".bdf",)),
    "fif": Format(f"{_HERE}.fif:read_fif", f"{_HERE}.fif:write_fif", (".fif", ".fif.gz")),
    "brainvision": Format(f"{_HERE}.brainvision:read_brainvision",
                          f"{_HERE}.brainvision:write_brainvision", (".vhdr",)),
    "eeglab": Format(f"{_HERE}.eeglab:read_eeglab", f"{_HERE}.eeglab:write_eeglab", (".set",)),
    "nifti": Format(f"{_HERE}.nifti:read_nifti", f"{_HERE}.nifti:write_nifti",
                    (".nii", ".nii.gz")),
    "matlab": Format(f"{_HERE}.matlab:read_matlab", "", (".mat",)),
    "prophesee": Format(f"{_HERE}.prophesee:read_prophesee", f"{_HERE}.prophesee:write_prophesee",
                        (".dat", ".raw")),
    "aedat": Format(f"{_HERE}.aedat:read_aedat", "", (".aedat4",)),
}  # fmt: skip

_MAGIC = (
    (b"\x93NUMPY", "npy"),
    (b"PAR1", "parquet"),
    (b"0       ", "edf"),
    (b"\xffBIOSEMI", "bdf"),
    (b"\x00\x00\x00\x64\x00\x00\x00\x1f", "fif"),
    (b"#!AER-DAT", "aedat"),
    (b"% ", "prophesee"),
)
_HEAD = 4096


def sniff(path: str | os.PathLike[str]) -> str:
    """Tell the format of a file from its first bytes and its structure, whatever its name.

    Parameters
    ----------
    path : path-like
        A file, or the folder of a Zarr store.

    Returns
    -------
    str
        A key of the table of formats, such as "edf", "nwb" or "npz".

    Raises
    ------
    ReadError
        If there is no such file, or its content is of no known format; the message says what was
        seen.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "download"
    ...     with file.open("wb") as stream:
    ...         np.save(stream, np.zeros((3, 2)))
    ...     sniff(file)
    'npy'
    """
    owner = "sniff"
    place = Path(path).expanduser()
    try:
        is_folder = place.is_dir()
    except (OSError, ValueError):
        is_folder = False
    if is_folder:
        # The journal is that of a store whose writing was cut short, which open_store refuses.
        marks = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata", "activome.journal")
        if any((place / mark).is_file() for mark in marks):
            return "zarr"
        raise ReadError(
            f"{owner}: {str(place)!r} is a folder and no Zarr store. Give the file inside it."
        )
    file = check_file(place, owner=owner)
    head = opening_bytes(file, _HEAD, owner=owner)
    if head.startswith(b"\x1f\x8b"):
        head = _unpacked(file, owner)
    found = _by_bytes(head) or _by_structure(head, file)
    if found is None:
        raise ReadError(
            f"{owner}: {str(file)!r} is of no known format; it begins with {_shown(head)}. Known: "
            f"{', '.join(FORMATS)}. Convert it to one of these, such as .npz or .csv."
        )
    return found


def _unpacked(path: Path, owner: str) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(
            f"{owner}: {str(path)!r} is no sound gzip file: {error}. It was cut or damaged; "
            "copy it "
            "again."
        ) from error


def _by_bytes(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    size = (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    if 348 in size and head[344:347] in (b"n+1", b"ni1"):
        return "nifti"
    if 540 in size and head[4:7] in (b"n+2", b"ni2"):
        return "nifti"
    text = head.lstrip(b"\xef\xbb\xbf")
    if text.startswith((b"Brain Vision Data Exchange Header", b"BrainVision Data Exchange Header")):
        return "brainvision"
    return None


def _by_structure(head: bytes, path: Path) -> str | None:
    if head.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                is_npz = any(name.endswith(".npy") for name in archive.namelist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            # A cut archive has lost its table at the end; the reader says so.
            return "npz" if b".npy" in head else None
        return "npz" if is_npz else None
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf(path)
    if head.startswith(b"MATLAB 7.3 MAT-file"):
        return "eeglab" if path.suffix.lower() == ".set" else "matlab"
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        return _matlab(path)
    return "csv" if _is_table(head) else None


def _hdf(path: Path) -> str | None:
    from activome._extras import is_installed

    if not is_installed("h5py"):
        return "matlab" if path.suffix.lower() == ".mat" else "nwb"
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "nwb_version" in file.attrs or "nwb_version" in file:
                return "nwb"
            is_matlab = any("MATLAB_class" in item.attrs for item in file.values())
    except (OSError, RuntimeError, KeyError, ValueError):
        # Damaged inside: the reader of its name says where.
        return "matlab" if path.suffix.lower() == ".mat" else "nwb"
    return "matlab" if is_matlab else None


def _matlab(path: Path) -> str:
    from scipy.io import whosmat

    try:
        names = {name for name, _, _ in whosmat(path, appendmat=False)}
    # A damaged file raises anything here; the reader of its name refuses it with the place.
    except Exception:
        return "eeglab" if path.suffix.lower() == ".set" else "matlab"
    return "eeglab" if "EEG" in names or {"nbchan", "srate", "data"} <= names else "matlab"


def _is_table(head: bytes) -> bool:
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff")
    if b"\x00" in head and encoding == "utf-8":
        return False
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not all(char.isprintable() or char == "\t" for char in lines[0]):
        return False
    separator = max(",;\t|", key=lines[0].count)
    count = lines[0].count(separator)
    # The last line may be cut by the end of the head.
    return count > 0 and all(line.count(separator) == count for line in lines[1:-1])


def _shown(head: bytes) -> str:
    start = head[:16]
    return repr(start.decode("ascii")) if start.isascii() else f"bytes {start.hex(' ')}"


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _check_options(function: Callable[..., Any], options: dict[str, Any], form: str) -> None:
    known = list(inspect.signature(function).parameters)[1:]
    for option in options:
        if option not in known:
            raise ParameterError(
                f"load: a {form} file takes no option {option!r}; {nearest_names(option, known)}"
            )


def load(path: str | os.PathLike[str], **options: Any) -> Activity | Events:
    """Read a recording; the reader is found by the content of the file, not by its name.

    Parameters
    ----------
    path : path-like
        A recording: a Zarr store, npz, npy, csv, Parquet, NWB, EDF, BDF, FIF, BrainVision, EEGLAB,
        NIfTI, MATLAB, Prophesee DAT and RAW, or AEDAT 4.
    **options : Any
        Options of the reader of the format, such as ``what="units"`` (which part of a file that
        holds several), ``lazy=True`` or ``channels="eeg"``; see ``read_nwb``, ``read_edf`` ...

    Returns
    -------
    xarray.DataArray or Events
        The recording with its labels, in s and SI units; ``source`` names the file and its
        checksum.

    Raises
    ------
    ReadError
        If the file is missing, damaged or of no known format, or holds several things and none is
        named.
    ParameterError
        If the reader of the format has no such option, or its value is wrong.
    ResourceError
        If the recording does not fit the memory limit; load it with ``lazy=True``.
    MissingExtraError
        If the format needs a package that is not installed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "two_units.csv"
    >>> _ = file.write_text("time,a,b\\n0.0,1,5\\n0.1,2,6\\n0.2,3,7\\n")
    >>> activity = load(file)
    >>> activity.sizes["time"], activity.unit.values.tolist(), activity.attrs["sampling_rate"]
    (3, ['a', 'b'], 10.0)
    """
    form = sniff(path)
    function = _function(FORMATS[form].reader)
    _check_options(function, options, form)
    found: Activity | Events = function(path, **options)
    return found


def save(data: Activity | Events, path: str | os.PathLike[str], **options: Any) -> None:
    """Write a recording in the format that the end of the name says, whole or not at all.

    Zarr, npz and Parquet keep every label; what another format cannot hold is refused or named in a
    warning.

    Parameters
    ----------
    data : xarray.DataArray or Events
        What to write.
    path : path-like
        Where to write, ending in .zarr, .npz, .csv, .tsv, .parquet, .nwb, .edf, .fif, .vhdr, .set,
        .nii, .nii.gz, .dat or .raw.
    **options : Any
        Options of the writer of the format.

    Raises
    ------
    ParameterError
        If no writer has this ending, or the writer has no such option.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from activome.activity.schema import make
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "rates.npz"
    >>> rates = make(np.ones((2, 3)), sampling_rate=10.0, kind="rate", units="Hz")
    >>> save(rates, file)
    >>> load(file).identical(rates)
    True
    """
    name = Path(path).name.lower()
    endings = {s: form for form, entry in FORMATS.items() if entry.writer for s in entry.suffixes}
    found = [ending for ending in endings if name.endswith(ending)]
    if not found:
        raise ParameterError(
            f"save: the path must end in one of {', '.join(endings)}; got {Path(path).name!r}."
        )
    function = _function(FORMATS[endings[max(found, key=len)]].writer)
    known = list(inspect.signature(function).parameters)[2:]
    for option in options:
        if option not in known:
            raise ParameterError(
                f"save: a {found[0]} file takes no option {option!r}; "
                f"{nearest_names(option, known)}"
            )
    function(data, path, **options)
