"""MATLAB files of spikes: binned counts with behaviour, or cells and structs of spike times."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_choice, check_number
from activome.activity.events import Events
from activome.activity.readers._matlab_values import load_v5, load_v73, outline_v5, outline_v73
from activome.activity.readers._source import (
    check_file,
    check_rate,
    choose_entry,
    fits_memory,
    opening_bytes,
    reading,
    source_of,
)
from activome.activity.schema import KINDS, Activity, make
from activome.errors import ParameterError, ReadError

__all__ = ["check_elements", "read_matlab"]

Array = np.ndarray[Any, Any]
_TIME = ("time", "times", "t", "timestamps", "tvec", "time_bins", "bins")
_RATE = ("sampling_rate", "fs", "sfreq", "rate", "srate", "samplerate")
_BIN = ("dt", "bin_size", "binsize", "bin_width", "timebase", "timeBase")
_FIELDS = ("spike_times", "spiketimes", "times", "time", "spikes", "timestamps", "ts", "t")
_SCALE = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_ORIENTATIONS = ("auto", "unit_time", "time_unit")


def read_matlab(
    path: str | os.PathLike[str],
    *,
    spikes: str | None = None,
    time: str | None = None,
    sampling_rate: float | None = None,
    orientation: str = "auto",
    time_unit: str = "s",
    kind: str | None = None,
    sort: bool = False,
    memory_limit: float | None = None,
) -> Activity | Events:
    """Read a MATLAB file (version 5 to 7.3) of binned counts, traces, or spike times.

    A matrix gives an Activity; other variables as long as its time axis (velocity, position) ride
    along it. A cell array, or structs with a field of times, at any depth, give Events: every
    vector is a unit, named by its place, such as "3.1" for the first cell of the third tetrode.

    Parameters
    ----------
    path : path-like
        The file; its name may end otherwise.
    spikes : str, optional
        Name of the variable of counts or spike times; by default ``spikes`` or the only one.
    time : str, optional
        Name of the variable of times of the bins; by default a vector ``time``, ``t`` ... as
        long as an axis.
    sampling_rate : float, optional
        Bins per s, where no variable states times or rate. Given together with times, those only
        say when the first bin starts.
    orientation : {"auto", "unit_time", "time_unit"}, default="auto"
        Which axis of the matrix is which; by default the axis as long as ``time`` is time, or else
        the longer one.
    time_unit : {"s", "ms", "us"}, default="s"
        Unit of the times in the file.
    kind : str, optional
        Kind of the values; by default "spikes" for whole numbers of a variable named for spikes or
        counts, else "feature".
    sort : bool, default=False
        Sort spike times within a unit; otherwise times out of order are refused.
    memory_limit : float, optional
        Bytes that may be allocated, by default 2 GiB.

    Returns
    -------
    xarray.DataArray or Events
        Counts as Activity (time, unit), spike times as Events.

    Raises
    ------
    ReadError
        If the file is missing, damaged, holds no spikes, or several things and none is named.
    ParameterError
        If a variable is not in the file, or an option is unknown.
    ResourceError
        If the variables pass ``memory_limit``.
    MissingExtraError
        If h5py is not installed and the file is of version 7.3.

    Examples
    --------
    >>> import tempfile, numpy as np, scipy.io
    >>> counts, speed = np.arange(12).reshape(2, 6), np.linspace(0, 1.25, 6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scipy.io.savemat(f"{folder}/a.mat", {"spikes": counts, "speed": speed})
    ...     found = read_matlab(f"{folder}/a.mat", sampling_rate=20.0)
    >>> found.shape, found.attrs["kind"], found.speed.values.tolist()
    ((6, 2), 'spikes', [0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
    """
    owner = "read_matlab"
    check_choice(orientation, _ORIENTATIONS, name="orientation", owner=owner)
    check_choice(time_unit, _SCALE, name="time_unit", owner=owner)
    if kind is not None:
        check_choice(kind, KINDS, name="kind", owner=owner)
    if sampling_rate is not None:
        check_number(sampling_rate, name="sampling_rate", owner=owner, low=0.0)
    file = check_file(path, owner=owner)
    is_hdf = _is_hdf(file, owner)
    with reading(file, "MATLAB", owner=owner):
        if not is_hdf:
            check_elements(file, owner=owner, limit=memory_limit)
        outline = outline_v73(file, owner) if is_hdf else outline_v5(file)
        chosen = _choose(outline, spikes, file, owner)
        if time is not None and time not in outline:
            raise ParameterError(
                f"{owner}: {file.name} holds no variable {time!r}; it holds {', '.join(outline)}."
            )
        wanted = [name for name, (shape, _) in outline.items() if len(shape) == 2]
        total = sum(8.0 * math.prod(outline[name][0]) for name in wanted)
        fits_memory(3 * total, file, owner=owner, limit=memory_limit, cure="Raise memory_limit.")
        load = load_v73 if is_hdf else load_v5
        held = load(file, [chosen, *(name for name in wanted if name != chosen)])
        source = source_of(file, "MATLAB")
        item = held.pop(chosen)
        if isinstance(item, np.ndarray) and min(item.shape, default=0) > 1:
            options = (time, sampling_rate, orientation, _SCALE[time_unit], kind)
            return _matrix(chosen, item, held, options, file, owner, source)
        return _events(chosen, item, held, _SCALE[time_unit], sort, file, owner, source)


def _is_hdf(path: Path, owner: str) -> bool:
    head = opening_bytes(path, 520, owner=owner)
    return head.startswith(b"\x89HDF") or head[512:516] == b"\x89HDF"


def check_elements(path: Path, *, owner: str, limit: float | None = None) -> None:
    """Refuse a version 5 file whose variables do not fit the file, or whose sizes are absurd.

    Parameters
    ----------
    path : Path
        The file.
    owner : str
        Who reads, for messages.
    limit : float, optional
        Bytes that one variable may take, by default 2 GiB.

    Raises
    ------
    ReadError
        If an element reaches past the end of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(128)
        order = "<" if head[126:128] == b"IM" else ">"
        place = 128
        while place + 8 <= size:
            stream.seek(place)
            code, n_bytes = struct.unpack(f"{order}II", stream.read(8))
            place += 8
            if code not in (14, 15) or place + n_bytes > size:
                raise ReadError(
                    f"{owner}: {str(path)!r} is no sound MATLAB file: the variable at byte "
                    f"{place - 8} is of type {code} and declares {n_bytes} bytes, "
                    f"{size - place} are "
                    "left. It was cut or damaged; copy it again."
                )
            if code == 15:
                # The first bytes of a packed variable declare how large it comes out.
                inner = zlib.decompressobj().decompress(stream.read(min(n_bytes, 64)), 8)
                if len(inner) == 8:
                    _, unpacked = struct.unpack(f"{order}II", inner)
                    cure = "Its header is damaged, or memory_limit must be raised."
                    fits_memory(unpacked, path, owner=owner, limit=limit, cure=cure)
                    if unpacked > 1040 * n_bytes + 1024:
                        raise ReadError(
                            f"{owner}: {str(path)!r} declares a variable of {unpacked} bytes in "
                            f"{n_bytes}. It is damaged; copy it again."
                        )
            place += n_bytes


def _choose(
    outline: Mapping[str, tuple[tuple[int, ...], str]], spikes: str | None, path: Path, owner: str
) -> str:
    entries = {
        name: f"{kind} of shape {shape}"
        for name, (shape, kind) in outline.items()
        if (kind in ("cell", "struct") or len(shape) == 2) and math.prod(shape) > 0
    }
    if kind_of_pair(outline):
        return "spike_times" if spikes is None else choose_entry(spikes, entries, path, owner=owner)
    named = [n for n in entries if n.lower() in ("spikes", "spike_times", "spiketimes", "counts")]
    default = named[0] if len(named) == 1 else None
    if default is None and spikes is None:
        large = [
            n for n in entries if outline[n][1] in ("cell", "struct") or min(outline[n][0]) > 1
        ]
        default = large[0] if len(large) == 1 else None
    return choose_entry(spikes, entries, path, owner=owner, default=default)


def kind_of_pair(outline: Mapping[str, tuple[tuple[int, ...], str]]) -> str | None:
    """Return the variable of unit numbers that goes with ``spike_times``, if there is one."""
    if "spike_times" not in outline or outline["spike_times"][1] != "numeric":
        return None
    size = math.prod(outline["spike_times"][0])
    names = ("spike_units", "spike_clusters", "units", "clusters", "unit")
    return next((n for n in names if n in outline and math.prod(outline[n][0]) == size), None)


def _vector(held: Mapping[str, Any], names: tuple[str, ...], size: int | None) -> Array | None:
    lower = {name.lower(): value for name, value in held.items()}
    for name in names:
        value: Any = lower.get(name.lower())
        is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "iuf"
        if is_numeric and value.size == (1 if size is None else size):
            vector: Array = value.reshape(-1).astype(np.float64)
            return vector
    return None


def _matrix(
    name: str, values: Array, held: dict[str, Any], options: tuple[Any, ...], path: Path,
    owner: str, source: str,
) -> Activity:  # fmt: skip
    time, rate, orientation, scale, kind = options
    names = _TIME if time is None else (time,)
    fits = {axis: _vector(held, names, values.shape[axis]) for axis in (0, 1)}
    if orientation == "auto":
        known = [axis for axis in (0, 1) if fits[axis] is not None]
        axis = known[0] if len(known) == 1 else int(values.shape[1] > values.shape[0])
    else:
        axis = 1 if orientation == "unit_time" else 0
    if time is not None and fits[axis] is None:
        raise ParameterError(
            f"{owner}: {time!r} must hold one time per bin, {values.shape[axis]}; it does not."
        )
    counts = values.T if axis == 1 else values
    stamps = fits[axis]
    if stamps is None and rate is None:
        stated, width = _vector(held, _RATE, None), _vector(held, _BIN, None)
        if stated is not None:
            rate = check_rate(stated[0], path, owner=owner)
        elif width is not None and width[0] > 0:
            rate = check_rate(1.0 / (width[0] * scale), path, owner=owner)
    whole = counts.dtype.kind in "biu" or bool(np.all(counts == np.rint(counts)))
    if kind is None:
        is_spikes = whole and any(word in name.lower() for word in ("spike", "count"))
        kind = "spikes" if is_spikes else "feature"
    return make(
        counts,
        ("time", "unit"),
        time=None if stamps is None or options[1] is not None else stamps * scale,
        sampling_rate=rate,
        start=0.0 if stamps is None else float(stamps[0]) * scale,
        coords=_riders(held, counts.shape[0], set(_TIME) | {time}),
        kind=kind,
        units="spikes" if kind == "spikes" else "1",
        source=source,
        name=name,
    )


def _riders(held: Mapping[str, Any], n_times: int, skip: set[Any]) -> dict[str, tuple[str, Array]]:
    """Variables as long as the time axis: one coordinate for each of their rows."""
    coords: dict[str, tuple[str, Array]] = {}
    for name, value in held.items():
        if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "biuf":
            continue
        if name in skip or name in ("trial", "unit", "valid") or n_times not in value.shape:
            continue
        rows = value if value.shape[1] == n_times else value.T
        if rows.shape[0] > 16:
            continue
        for i, row in enumerate(rows):
            coords[name if len(rows) == 1 else f"{name}_{i}"] = ("time", row)
    return coords


def _events(
    name: str, item: Any, held: Mapping[str, Any], scale: float, sort: bool, path: Path, owner: str,
    source: str,
) -> Events:  # fmt: skip
    outline = {key: (value.shape, "numeric") for key, value in held.items()
               if isinstance(value, np.ndarray)}  # fmt: skip
    if isinstance(item, np.ndarray):
        pair = kind_of_pair(outline | {name: (item.shape, "numeric")})
        numbers = None if pair is None else held[pair].reshape(-1)
        times = item.reshape(-1).astype(np.float64) * scale
        unit_names: Array = np.array([name])
        unit = np.zeros(times.size, dtype=np.int64)
        if numbers is not None:
            unit_names, unit = np.unique(numbers, return_inverse=True)
        trains = [times[unit == i] for i in range(unit_names.size)]
        labels = [str(n) for n in unit_names]
        table = pd.DataFrame(index=pd.Index(labels, name="unit"))
    else:
        leaves: list[tuple[str, Array, dict[str, Any]]] = []
        _walk(item, "", leaves)
        if not leaves:
            raise ReadError(f"{owner}: {str(path)!r}: {name!r} holds no vectors of spike times.")
        trains = [times.reshape(-1).astype(np.float64) * scale for _, times, _ in leaves]
        index = pd.Index(
            [label or str(i + 1) for i, (label, _, _) in enumerate(leaves)], name="unit"
        )
        table = _unit_table([row for _, _, row in leaves], index)
    for label, train in zip(table.index, trains, strict=True):
        if not np.isfinite(train).all():
            raise ReadError(
                f"{owner}: {str(path)!r}: unit {label!r} has {int((~np.isfinite(train)).sum())} "
                "times that are not finite. Drop them."
            )
        if not sort and (np.diff(train) < 0).any():
            raise ReadError(
                f"{owner}: {str(path)!r}: times of unit {label!r} are out of order. Sort them, or "
                "read it with sort=True."
            )
    return Events.from_unit_times(trains, unit_table=table, source=source)


def _unit_table(rows: list[dict[str, Any]], index: pd.Index[Any]) -> pd.DataFrame:
    keys = sorted({key for row in rows for key in row})
    full = [key for key in keys if all(key in row for row in rows)]
    columns = {key: [row[key] for row in rows] for key in full}
    kept = {key: v for key, v in columns.items() if len({isinstance(x, str) for x in v}) == 1}
    return pd.DataFrame(kept, index=index)


def _walk(item: Any, label: str, leaves: list[tuple[str, Array, dict[str, Any]]]) -> None:
    """Collect vectors of times with the place where they lie, such as "3.1"."""
    if isinstance(item, np.ndarray):
        if item.dtype.kind in "biuf" and (item.size == 0 or max(item.shape) == item.size):
            leaves.append((label, item, {}))
    elif isinstance(item, list):
        # Empty cells among cells of structs are places without a unit; among vectors, silent units.
        nested = any(isinstance(part, (list, dict)) for part in item)
        for i, part in enumerate(item, start=1):
            if len(item) == 1 and nested:
                _walk(part, label, leaves)
                continue
            if nested and isinstance(part, np.ndarray) and part.size == 0:
                continue
            _walk(part, f"{label}.{i}" if label else str(i), leaves)
    elif isinstance(item, dict):
        lower = {key.lower(): key for key in item}
        field = next((lower[f] for f in _FIELDS if f in lower), None)
        if field is not None and isinstance(item[field], np.ndarray):
            scalars = {
                key: value.reshape(-1)[0].item() if isinstance(value, np.ndarray) else value
                for key, value in item.items()
                if key != field
                and (isinstance(value, str) or (isinstance(value, np.ndarray) and value.size == 1))
            }
            leaves.append((label, item[field], scalars))
        else:
            for key, part in item.items():
                if isinstance(part, (list, dict)) or key.lower().startswith(
                    ("unit", "cell", "spike")
                ):
                    _walk(part, f"{label}.{key}" if label else key, leaves)
