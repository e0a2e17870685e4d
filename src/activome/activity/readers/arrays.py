"""NumPy files: our own npz layout with labels, and plain npy and npz of other makers."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array
import numpy as np

from activome._files import atomic_path
from activome.activity.events import Events
from activome.activity.readers._labels import (
    activity_parts,
    build_activity,
    build_events,
    event_parts,
)
from activome.activity.readers._source import (
    check_file,
    check_rate,
    choose_entry,
    fits_memory,
    opening_bytes,
    reading,
    source_of,
)
from activome.activity.schema import Activity, ensure, make
from activome.errors import ActivityError, ReadError

__all__ = ["read_arrays", "write_arrays"]

Array = np.ndarray[Any, Any]
_HEADER = "header"
_TIME = ("time", "times", "t", "timestamps")
_RATE = ("sampling_rate", "sfreq", "fs", "rate")
_NAMES = ("unit", "units", "unit_names", "channels", "ch_names", "channel_names", "names")
_SPIKES = (("spike_times", "spike_units"), ("spike_times", "spike_clusters"), ("times", "units"),
           ("spike_times", "unit"), ("spike_times", "units"))  # fmt: skip


def read_arrays(
    path: str | os.PathLike[str],
    *,
    what: str | None = None,
    sampling_rate: float | None = None,
    kind: str = "feature",
    units: str = "1",
    lazy: bool = False,
    memory_limit: float | None = None,
) -> Activity | Events:
    """Read an .npz written by ``save``, or a plain .npy or .npz of numbers.

    In a plain file the values are its only array of two or three dims, in the order (time, unit)
    or (trial, time, unit), or with units before times where their names are as many as that axis is
    long; ``time``, ``sampling_rate`` (``fs``, ``sfreq``) and ``unit``
    (``channels``, ``ch_names``) beside it are used. Arrays ``spike_times`` (s) and ``spike_units``
    give events. Pickled objects are refused, never run.

    Parameters
    ----------
    path : path-like
        The file; its name may end otherwise.
    what : str, optional
        Name of the array of values in a plain .npz that holds several, or "events".
    sampling_rate : float, optional
        Rate in Hz, of a plain file that does not state it.
    kind, units : str
        Kind and physical unit of the values of a plain file.
    lazy : bool, default=False
        Leave the values of a plain .npy in the file, as a dask array over a memory map.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray or Events
        What the file holds.

    Raises
    ------
    ReadError
        If the file is missing, damaged, holds pickled objects or several arrays with no choice.
    ResourceError
        If the arrays pass ``memory_limit``.
    ParameterError
        If ``what`` is not in the file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", rates=np.ones((40, 2)), fs=20.0, channels=["a", "b"])
    ...     rates = read_arrays(f"{folder}/a.npz", kind="rate", units="Hz")
    >>> rates.shape, rates.unit.values.tolist(), rates.attrs["sampling_rate"]
    ((40, 2), ['a', 'b'], 20.0)
    """
    owner = "read_arrays"
    file = check_file(path, owner=owner)
    labels: dict[str, Any] = {"kind": kind, "units": units}
    if opening_bytes(file, 6, owner=owner) == b"\x93NUMPY":
        with reading(file, "npy", owner=owner):
            values = _read_npy(file, owner, lazy, memory_limit)
            rate = None if sampling_rate is None else check_rate(sampling_rate, file, owner=owner)
            return make(values, sampling_rate=rate, source=source_of(file, "npy"), **labels).rename(
                None
            )
    with reading(file, "npz", owner=owner), _members(file, owner) as shapes:
        own = _HEADER in shapes
        if own:
            _check_size(shapes, file, owner, memory_limit)
            return _read_own(_extract(file, shapes, owner), file, owner)
        return _read_plain(file, shapes, what, sampling_rate, labels, owner, memory_limit)


def _npy_header(stream: Any, path: Path, owner: str, name: str) -> tuple[tuple[int, ...], Any, int]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
        (3, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ReadError(f"{owner}: {str(path)!r}: {name} is of an unknown npy version {version}.")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ReadError(
            f"{owner}: {str(path)!r}: {name} holds pickled Python objects, which could run any "
            "command; they are never loaded. Save it as numbers or text."
        )
    if any(size < 0 for size in shape):
        raise ReadError(f"{owner}: {str(path)!r}: {name} declares the shape {shape}.")
    return shape, dtype, math.prod(shape) * int(dtype.itemsize)


def _read_npy(path: Path, owner: str, lazy: bool, limit: float | None) -> Any:
    with path.open("rb") as stream:
        shape, _, n_bytes = _npy_header(stream, path, owner, "the array")
        held = path.stat().st_size - stream.tell()
    if held != n_bytes:
        raise ReadError(
            f"{owner}: {str(path)!r} declares an array of shape {shape}, {n_bytes} bytes, and "
            "holds "
            f"{held}. It was cut or its header is damaged; copy it again."
        )
    if lazy:
        view = np.load(path, mmap_mode="r", allow_pickle=False)
        return dask.array.from_array(view, chunks="auto", name=False)
    fits_memory(n_bytes, path, owner=owner, limit=limit)
    return np.load(path, allow_pickle=False)


@contextmanager
def _members(path: Path, owner: str) -> Iterator[dict[str, zipfile.ZipInfo]]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = info.filename
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
                raise ReadError(
                    f"{owner}: {str(path)!r} holds the name {name!r}, which leads out of it. "
                    "Do not trust this file."
                )
            if not name.endswith(".npy") or name.removesuffix(".npy") in found:
                raise ReadError(
                    f"{owner}: {str(path)!r} is no npz: it holds {name!r}, twice or not an array."
                )
            found[name.removesuffix(".npy")] = info
    if not found:
        raise ReadError(f"{owner}: {str(path)!r} is an empty archive. Save it again.")
    yield found


def _check_size(
    members: Mapping[str, zipfile.ZipInfo], path: Path, owner: str, limit: float | None
) -> None:
    total = float(sum(info.file_size for info in members.values()))
    fits_memory(
        2 * total, path, owner=owner, limit=limit,
        cure="Raise memory_limit if you trust the file, or save it as .zarr and load it lazily.",
    )  # fmt: skip


def _extract(path: Path, members: Mapping[str, zipfile.ZipInfo], owner: str) -> dict[str, Array]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name, info in members.items():
            # Read to the end, so that the checksum of the member is compared.
            data = archive.read(info)
            stream = io.BytesIO(data)
            _, _, n_bytes = _npy_header(stream, path, owner, f"member {name!r}")
            if len(data) - stream.tell() != n_bytes:
                raise ReadError(
                    f"{owner}: {str(path)!r}: member {name!r} declares {n_bytes} bytes and holds "
                    f"{len(data) - stream.tell()}. Save it again."
                )
            stream.seek(0)
            arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays


def _read_own(arrays: dict[str, Array], path: Path, owner: str) -> Activity | Events:
    header = json.loads(str(arrays.pop(_HEADER)[()]))
    if not isinstance(header, dict) or header.get("activome") != 1:
        raise ReadError(
            f"{owner}: {str(path)!r} was written by another version; update activome to read it."
        )
    if header["type"] == "events":
        return build_events(header, arrays)
    coords = {name.removeprefix("coords/"): a for name, a in arrays.items() if name != "values"}
    return build_activity(header, arrays["values"], coords)


def _read_plain(
    path: Path,
    members: Mapping[str, zipfile.ZipInfo],
    what: str | None,
    sampling_rate: float | None,
    labels: dict[str, Any],
    owner: str,
    limit: float | None,
) -> Activity | Events:
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for name, info in members.items():
            with archive.open(info) as stream:
                shape, dtype, _ = _npy_header(stream, path, owner, f"member {name!r}")
            shapes[name] = (shape, dtype)
    pair = next((p for p in _SPIKES if all(n in shapes for n in p)), None)
    values = {
        name: f"{dtype} of shape {shape}"
        for name, (shape, dtype) in shapes.items()
        if len(shape) in (2, 3) and dtype.kind in "biuf"
    }
    entries = values | ({"events": f"events of {pair[0]} and {pair[1]}"} if pair else {})
    default = "events" if pair and not values else None
    chosen = choose_entry(what, entries, path, owner=owner, default=default)
    if chosen == "events" and pair is not None:
        used = {name: members[name] for name in pair}
        _check_size(used, path, owner, limit)
        held = _extract(path, used, owner)
        return _plain_events(held[pair[0]], held[pair[1]], path)
    used = {chosen: members[chosen]}
    for group in (_TIME, _RATE, _NAMES):
        found = next((n for n in group if n in shapes), None)
        if found is not None and len(shapes[found][0]) <= 1:
            used[found] = members[found]
    _check_size(used, path, owner, limit)
    return _plain_activity(_extract(path, used, owner), chosen, sampling_rate, labels, path, owner)


def _plain_events(times: Array, units: Array, path: Path) -> Events:
    if times.shape != units.shape or times.ndim != 1:
        raise ReadError(
            f"read_arrays: {str(path)!r} must hold one unit per spike; spike times and units have "
            f"shapes {times.shape} and {units.shape}. Save them again."
        )
    return Events.from_times(times, units, assume_sorted=True, source=source_of(path, "npz"))


def _plain_activity(
    arrays: dict[str, Array],
    chosen: str,
    sampling_rate: float | None,
    labels: dict[str, Any],
    path: Path,
    owner: str,
) -> Activity:
    values = arrays.pop(chosen)
    found = [arrays[n].size for n in _NAMES if n in arrays]
    if found and found[0] == values.shape[-2] != values.shape[-1]:
        # The names say that units come before times, as in MNE.
        values = np.swapaxes(values, -1, -2)
    n_times, n_units = values.shape[-2:]
    time = next((arrays[n] for n in _TIME if n in arrays and arrays[n].shape == (n_times,)), None)
    names = next((arrays[n] for n in _NAMES if n in arrays and arrays[n].shape == (n_units,)), None)
    rate = sampling_rate
    stated = next((arrays[n] for n in _RATE if n in arrays and arrays[n].size == 1), None)
    if rate is None and stated is not None and time is None:
        rate = check_rate(stated.reshape(-1)[0], path, owner=owner)
    return make(
        values, time=time, sampling_rate=rate, unit=names, source=source_of(path, "npz"), **labels
    )


def write_arrays(data: Activity | Events, path: str | os.PathLike[str]) -> None:
    """Write an .npz with all labels, which ``numpy.load`` opens too.

    Member ``values`` (or the columns of events) and one member per coordinate; ``header`` is JSON
    text. Every member carries a checksum, and none needs pickle.

    Parameters
    ----------
    data : xarray.DataArray or Events
        What to write; a lazy activity is computed.
    path : path-like
        Where to write; replaced whole.

    Raises
    ------
    ActivityError
        If a label is neither number nor text.

    Examples
    --------
    >>> import tempfile
    >>> from activome.activity.events import Events
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_arrays(Events([10, 25], [0, 1]), f"{folder}/a.npz")
    ...     back = read_arrays(f"{folder}/a.npz")
    >>> back.t.tolist(), back.unit.tolist()
    ([10, 25], [0, 1])
    """
    owner = "write_arrays"
    if isinstance(data, Events):
        header, arrays = event_parts(data, owner=owner)
    else:
        data = ensure(data, owner=owner)
        header, coords = activity_parts(data, owner=owner)
        arrays = {f"coords/{name}": array for name, array in coords.items()}
        arrays["values"] = np.asarray(data.values)
    if any(array.dtype.hasobject for array in arrays.values()):
        raise ActivityError(f"{owner}: labels must be numbers or text. Drop the others.")
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        # A stream, since savez appends .npz to names that end otherwise.
        np.savez_compressed(stream, **{_HEADER: np.array(header)}, **arrays)  # type: ignore[arg-type]  # the stub takes further keywords for its own
