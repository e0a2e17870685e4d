"""Whole-brain calcium of *C. elegans* in the HDF5 layout of the Flavell laboratory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from activome._extras import require
from activome.activity._worm_recording import WormRecording
from activome.activity.readers._source import check_file, opening_bytes, reading
from activome.errors import ReadError

__all__ = ["read_worm_flavell"]

Array = np.ndarray[Any, Any]

_OWNER = "read_worm_flavell"
_TRACES = (
    "gcamp/traces_array_F_F20",
    "gcamp/trace_array_F_F20",
    "gcamp/traces_array",
    "gcamp/trace_array",
    "trace_array",
)
_STAMPS = ("timing/timestamp_confocal", "timestamp_confocal")
_BEHAVIOUR = ("velocity", "reversal_vec", "pumping", "head_angle")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_worm_flavell(
    path: str | os.PathLike[str],
    labels: str | os.PathLike[str] | Mapping[Any, Any] | None = None,
    *,
    source: str = "Flavell",
) -> WormRecording:
    """Read one animal: traces, stamps, behaviour, and the names of its neurons.

    The result goes into `homogenize` as it is.

    Parameters
    ----------
    path : path-like
        HDF5 file with ``gcamp/traces_array_F_F20`` or ``trace_array`` (n_times, n_traces),
        ``timing/timestamp_confocal`` in s, and possibly ``behavior/velocity``, ``reversal_vec``,
        ``pumping`` and ``head_angle``.
    labels : path-like or mapping, optional
        Names by trace number, counted from 1: ``{1: "AVAL"}`` or ``{"1": {"label": "AVAL"}}``; or
        a JSON or JLD2 file of such a dictionary, or of one per animal by the name of its file.
    source : str, default="Flavell"
        Which experiment it is from.

    Returns
    -------
    WormRecording
        Traces with one label each, None where there is none; ``extra`` holds the behaviour on the
        same stamps.

    Raises
    ------
    MissingExtraError
        If h5py is not installed.
    ReadError
        If a file is damaged, lacks traces or stamps, or the labels number traces that are not there
        or know nothing of this animal.

    Notes
    -----
    Stamps beyond the last sample are left out: the clock of the microscope runs on after the last
    volume. Of a JLD2 file the dictionaries are resolved through HDF5; other Julia types are not
    understood.

    References
    ----------
    .. [1] U. Dag et al., "Dissecting the functional organization of the C. elegans serotonergic
       system at whole-brain scale", 2023.
    .. [2] A. A. Atanas et al., "Brain-wide representations of behavior spanning multiple timescales
       and states in C. elegans", 2023.

    Examples
    --------
    >>> import tempfile, h5py, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(f"{folder}/2022-07-26-31-data.h5", "w") as store:
    ...         store["gcamp/trace_array"] = np.ones((100, 2))
    ...         store["timing/timestamp_confocal"] = np.arange(100) * 0.6
    ...     animal = read_worm_flavell(f"{folder}/2022-07-26-31-data.h5", {2: "AVAL"})
    >>> animal.worm, animal.traces.shape, list(animal.labels)
    ('2022-07-26-31', (100, 2), [None, 'AVAL'])
    """
    file = check_file(path, owner=_OWNER)
    h5py = require("h5py", extra="worm", owner=_OWNER)
    worm = file.name.removesuffix(file.suffix).removesuffix("-data")
    with reading(file, "HDF5 recording", owner=_OWNER), h5py.File(file, "r") as store:
        traces = np.asarray(_first(store, _TRACES, file, "traces"), dtype=np.float64)
        stamps = np.asarray(_first(store, _STAMPS, file, "stamps"), dtype=np.float64).ravel()
        n_times = _check_shapes(traces, stamps, file)
        extra = {
            name: np.asarray(store[f"behavior/{name}"][()])[:n_times]
            for name in _BEHAVIOUR
            if f"behavior/{name}" in store
        }
    table = _table(labels, worm)
    names: list[str | None] = [None] * traces.shape[1]
    for number, name in table.items():
        if not 1 <= number <= len(names):
            raise ReadError(
                f"{_OWNER}: labels of {worm!r} must number traces from 1 to {len(names)}; got "
                f"{number} ({name!r}). Give the labels of this animal."
            )
        names[number - 1] = name
    return WormRecording(stamps[:n_times], traces, names, source, worm, extra)


def _first(store: Any, places: tuple[str, ...], file: Path, what: str) -> Any:
    for place in places:
        if place in store:
            return store[place][()]
    raise ReadError(
        f"{_OWNER}: {str(file)!r} must hold {what} at {' or '.join(places)}; it holds "
        f"{', '.join(sorted(store)) or 'nothing'}."
    )


def _check_shapes(traces: Array, stamps: Array, file: Path) -> int:
    if traces.ndim != 2 or traces.shape[0] > stamps.size or traces.size == 0:
        raise ReadError(
            f"{_OWNER}: {str(file)!r} must hold traces (n_times, n_traces) and a stamp for each "
            f"time; got traces of shape {traces.shape} and {stamps.size} stamps."
        )
    return int(traces.shape[0])


def _table(labels: Any, worm: str) -> dict[int, str]:
    """Names by trace number of one animal, from any of the forms in use."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        labels = _dictionary(check_file(labels, owner=_OWNER))
    if labels and not all(_is_number(key) for key in labels):
        if worm not in labels:
            known = ", ".join(repr(key) for key in list(labels)[:5])
            raise ReadError(
                f"{_OWNER}: the labels know nothing of {worm!r}; they have {known}. "
                "Give the labels of this animal."
            )
        labels = labels[worm]
    # The public file holds a pair per animal: names by trace, and traces by name.
    if isinstance(labels, (list, tuple)):
        labels = labels[0]
    if not isinstance(labels, Mapping) or not all(_is_number(key) for key in labels):
        raise ReadError(
            f"{_OWNER}: labels of {worm!r} must be a dictionary from trace numbers to names; got "
            f"{type(labels).__name__}."
        )
    named = {int(k): v.get("label") if isinstance(v, Mapping) else v for k, v in labels.items()}
    return {number: str(name) for number, name in named.items() if name is not None}


def _is_number(key: Any) -> bool:
    return str(key).isdecimal()


def _dictionary(file: Path) -> Mapping[Any, Any]:
    # JLD2 files carry the HDF5 signature at 0 or, after a header of Julia's, at 512.
    start = opening_bytes(file, 520, owner=_OWNER)
    with reading(file, "labels", owner=_OWNER):
        if _HDF5 in (start[:8], start[512:]):
            h5py = require("h5py", extra="worm", owner=_OWNER)
            with h5py.File(file, "r") as store:
                found = {
                    key: _julia(store, store[key][()], h5py)
                    for key in store
                    if isinstance(store[key], h5py.Dataset)
                }
            tables = [value for value in found.values() if isinstance(value, dict)]
        else:
            found = json.loads(file.read_text(encoding="utf-8"))
            tables = [found] if isinstance(found, dict) else []
    if len(tables) != 1:
        raise ReadError(
            f"{_OWNER}: {str(file)!r} must hold one dictionary of labels; got {len(tables)}."
        )
    return tables[0]


def _julia(store: Any, value: Any, h5py: Any) -> Any:
    """Resolve references, pairs and serialized dictionaries of Julia to Python's own."""
    if isinstance(value, h5py.Reference):
        return _julia(store, store[value][()], h5py) if value else None
    if isinstance(value, np.void) and value.dtype.names:
        fields = {name: _julia(store, value[name], h5py) for name in value.dtype.names}
        if set(fields) == {"first", "second"}:
            return _Pair((fields["first"], fields["second"]))
        return fields["kvvec"] if set(fields) == {"kvvec"} else fields
    if isinstance(value, np.ndarray) and (value.dtype.names or value.dtype == object):
        items = [_julia(store, item, h5py) for item in value.ravel()]
        if items and all(isinstance(item, _Pair) for item in items):
            return dict(items)
        return items
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if isinstance(value, np.generic) else value


class _Pair(tuple[Any, Any]):
    """A pair of Julia's, told apart from a tuple of two."""

    __slots__ = ()
