"""Finding real data that do not ship: in an installed package, or in a folder of the user's."""

from __future__ import annotations

import importlib.util
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from activome.errors import MissingExtraError, ReadError

__all__ = ["in_folder", "in_package", "read_npz", "reading", "require_columns"]

Folder = str | os.PathLike[str] | None
_VARIABLE = "ACTIVOME_DATA"
# What the readers of numpy, scipy, pandas and h5py raise on files that are not what they claim.
_FAILURES = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    StopIteration,
    zipfile.BadZipFile,
    zlib.error,
)


def in_folder(relative: str, *, folder: Folder, owner: str, origin: str) -> Path:
    """Return the path of a file or folder that the user has, wherever below the folder it lies.

    Looked for at ``folder / relative``, at ``folder / name`` and then anywhere below; without
    ``folder`` in the folder that the environment variable ACTIVOME_DATA names.
    """
    root = os.environ.get(_VARIABLE) if folder is None else folder
    if not root:
        raise ReadError(
            f"{owner}: needs {relative!r}, which does not ship with the package. Get it from "
            f"{origin}, then give folder=... or set {_VARIABLE} to the folder that holds it."
        )
    base = Path(root)
    for candidate in (base / relative, base / Path(relative).name):
        if candidate.exists():
            return candidate
    parts = Path(relative).parts
    found = sorted(p for p in base.rglob(parts[-1]) if p.parts[-len(parts) :] == parts)
    if not found:
        raise ReadError(
            f"{owner}: there is no {relative!r} in {base} or below it. Get it from {origin}."
        )
    return found[0]


def in_package(package: str, relative: str, *, folder: Folder, owner: str, install: str) -> Path:
    """Return the path of a file or folder inside an installed package, without importing it.

    A ``folder`` (or ACTIVOME_DATA) that holds the package unpacked serves as well.
    """
    found = importlib.util.find_spec(package)
    if found is not None and found.submodule_search_locations:
        path = Path(next(iter(found.submodule_search_locations))) / relative
        if path.exists():
            return path
        raise ReadError(
            f"{owner}: the installed package {package!r} has no {relative!r}. Install it again "
            f"with: {install}"
        )
    if folder is not None or os.environ.get(_VARIABLE):
        return in_folder(f"{package}/{relative}", folder=folder, owner=owner, origin=install)
    raise MissingExtraError(
        f"{owner}: needs the data of the package {package!r}, which is not installed. Install it "
        f"with: {install}",
        name=package,
    )


@contextmanager
def reading(path: Path, what: str, *, owner: str) -> Iterator[None]:
    """Turn any failure to read a file into one error that names it."""
    try:
        yield
    except _FAILURES as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(
            f"{owner}: {path} must be {what}; it could not be read: {error}. Get it again."
        ) from error


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return some arrays of an npz file; the file is closed also when it is damaged."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        require_columns(archive, names)
        return {name: archive[name] for name in names}


def require_columns(found: Any, names: tuple[str, ...]) -> None:
    """Refuse a table of arrays that lacks one of them."""
    missing = [name for name in names if name not in found]
    if missing:
        raise KeyError(f"it lacks {', '.join(missing)}")
