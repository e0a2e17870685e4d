"""MATLAB variables of both file versions as arrays, lists (cells, struct arrays) and dicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from activome._extras import require

__all__ = ["load_v5", "load_v73", "outline_v5", "outline_v73"]

Array = np.ndarray[Any, Any]
Outline = dict[str, tuple[tuple[int, ...], str]]
_DEPTH = 16


def outline_v5(path: Path) -> Outline:
    """Shape and kind ("numeric", "cell", "struct", "text" or "other") of every variable."""
    from scipy.io import whosmat

    kinds = {"cell": "cell", "struct": "struct", "char": "text", "logical": "numeric",
             "function": "other", "object": "other", "opaque": "other"}  # fmt: skip
    return {
        name: (tuple(int(n) for n in shape), kinds.get(kind, "numeric"))
        for name, shape, kind in whosmat(path, appendmat=False)
        if kinds.get(kind, "numeric") not in ("other", "text")
    }


def load_v5(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Variables of a file of version 4 to 7."""
    from scipy.io import loadmat

    held = loadmat(path, variable_names=list(names), appendmat=False, chars_as_strings=True)
    return {name: _plain(held[name], 0) for name in names if name in held}


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise ValueError(f"cells and structs are nested deeper than {_DEPTH}")
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is not None:
        rows = [
            {field: _plain(row[field], depth + 1) for field in value.dtype.names}
            for row in value.reshape(-1)
        ]
        return rows[0] if len(rows) == 1 else rows
    if value.dtype == object:
        return [_plain(part, depth + 1) for part in value.reshape(-1, order="F")]
    if value.dtype.kind == "U":
        return str(value.reshape(-1)[0]) if value.size else ""
    return value


def outline_v73(path: Path, owner: str) -> Outline:
    """Shape and kind of every variable of a file of version 7.3."""
    h5py = require("h5py", extra="spikes", owner=owner)
    found: Outline = {}
    with h5py.File(path, "r") as file:
        for name, item in file.items():
            kind = _class_of(item)
            if name.startswith("#") or kind in ("char", "function_handle"):
                continue
            if isinstance(item, h5py.Group):
                found[name] = ((1, 1), "struct")
            elif kind == "cell":
                found[name] = (tuple(reversed(item.shape)), "cell")
            elif item.dtype.kind in "biuf":
                is_empty = "MATLAB_empty" in item.attrs
                found[name] = ((0, 0) if is_empty else tuple(reversed(item.shape)), "numeric")
    return found


def _class_of(item: Any) -> str:
    name = item.attrs.get("MATLAB_class", b"")
    return name.decode() if isinstance(name, bytes) else str(name)


def load_v73(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Variables of a file of version 7.3 (HDF5)."""
    h5py = require("h5py", extra="spikes", owner="read_matlab")
    with h5py.File(path, "r") as file:
        return {name: _item(h5py, file, file[name], 0) for name in names}


def _item(h5py: Any, file: Any, item: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise ValueError(f"cells and structs are nested deeper than {_DEPTH}")
    if isinstance(item, h5py.Group):
        return _struct(h5py, file, item, depth)
    kind = _class_of(item)
    if "MATLAB_empty" in item.attrs:
        return [] if kind == "cell" else np.empty((0, 0))
    if item.dtype.kind == "O":
        references = np.asarray(item[()]).T.reshape(-1, order="F")
        return [_item(h5py, file, file[reference], depth + 1) for reference in references]
    # MATLAB stores columns first: what HDF5 shows is the transpose.
    values = np.asarray(item[()]).T
    if kind == "char":
        return "".join(chr(int(code)) for code in values.reshape(-1, order="C"))
    return values


def _struct(h5py: Any, file: Any, group: Any, depth: int) -> Any:
    """A struct as a dict; an array of structs, whose fields hold references, as a list of dicts."""
    fields = {name: group[name] for name in group}
    is_array = bool(fields) and all(
        isinstance(f, h5py.Dataset) and f.dtype.kind == "O" and _class_of(f) != "cell"
        for f in fields.values()
    )
    if not is_array:
        return {name: _item(h5py, file, field, depth + 1) for name, field in fields.items()}
    columns = {
        name: [
            _item(h5py, file, file[reference], depth + 1)
            for reference in np.asarray(field[()]).T.reshape(-1, order="F")
        ]
        for name, field in fields.items()
    }
    n_rows = min(len(column) for column in columns.values())
    return [{name: column[i] for name, column in columns.items()} for i in range(n_rows)]
