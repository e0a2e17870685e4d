"""Write a store whole, open it, and tell whether it is sound."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from activome._checks import check_choice, check_integer
from activome._files import atomic_path
from activome._progress import Progress, silent
from activome.activity._json_values import decode
from activome.activity.events import Events
from activome.activity.schema import Activity, ensure
from activome.activity.store._activity import (
    assemble,
    join_coords,
    read_activity,
    read_values,
    write_activity,
)
from activome.activity.store._events import read_events, write_events
from activome.activity.store._journal import JOURNAL, Journal
from activome.activity.store._lock import writer_lock
from activome.activity.store._manifest import MANIFEST, check_files, read_manifest
from activome.activity.store.status import (
    CHUNK_BYTES,
    CODECS,
    StoreStatus,
    status_of,
    store_folder,
)
from activome.errors import ActivityError, StoreError

__all__ = ["is_complete", "open_store", "store_status", "write_store"]


def write_store(
    data: Activity | Events,
    path: str | os.PathLike[str],
    *,
    chunk_bytes: int = CHUNK_BYTES,
    compress: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> None:
    """Write an Activity or Events as a Zarr store.

    The store is written beside its place and moved there when whole: at no time is half of one to
    be seen. ``open_store`` gives back the same values, labels, attributes and types;
    ``xarray.open_zarr`` and ``zarr.open`` read it too.

    Parameters
    ----------
    data : xarray.DataArray or Events
        What to write; a lazy Activity is computed piece by piece.
    path : path-like
        Folder of the store, by custom ending in ``.zarr``.
    chunk_bytes : int, default=8 MiB
        Bytes per chunk before compression; 1-16 MiB is good. The last dims are kept whole longest.
    compress : {"auto", "zstd", "none"}, default="auto"
        ``auto`` compresses integers, booleans, and floats with many whole numbers (zeros).
    overwrite : bool, default=False
        Replace a store that is there.
    progress : Progress, default=silent
        Told of the rows written.

    Raises
    ------
    ActivityError
        If ``data`` is neither Activity nor Events.
    StoreError
        If something is at ``path`` already, another process writes there, or a label or attribute
        has no place in a store.
    ParameterError
        If an option is unknown or out of range.

    Notes
    -----
    Every chunk carries a crc32c checksum; a list of all files with their sizes and checksums is
    written last, and checked by ``open_store``. Held at once: 64 MiB of values, or one slab of
    chunks along the first dim if that is more.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity import make
    >>> a = make(np.eye(3), sampling_rate=10.0, unit=["a", "b", "c"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_store(a, f"{folder}/a.zarr")
    ...     open_store(f"{folder}/a.zarr").load().identical(a)
    True
    """
    owner = "write_store"
    folder = store_folder(path, owner=owner)
    check_integer(chunk_bytes, name="chunk_bytes", owner=owner, low=1)
    check_choice(compress, CODECS, name="compress", owner=owner)
    if isinstance(data, xr.DataArray):
        ensure(data, owner=owner)
    elif not isinstance(data, Events):
        raise ActivityError(
            f"{owner}: data must be an Activity or Events; got {type(data).__name__}. Build one "
            "with activity.make."
        )
    with writer_lock(folder, owner=owner):
        _make_way(folder, overwrite=overwrite)
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            if isinstance(data, Events):
                write_events(
                    temporary, data, chunk_bytes=chunk_bytes, compress=compress, owner=owner
                )
                return
            for done, total in write_activity(
                temporary, data, chunk_bytes=chunk_bytes, compress=compress, owner=owner
            ):
                progress("writing", done, total)


def _make_way(folder: Path, *, overwrite: bool) -> None:
    if not (folder.exists() or folder.is_symlink()):
        return
    is_store = any((folder / name).exists() for name in (MANIFEST, JOURNAL))
    if overwrite and is_store:
        return
    if is_store:
        raise StoreError(
            f"write_store: there is a store at {folder}. Give overwrite=True to replace it."
        )
    if overwrite and folder.is_dir() and not any(folder.iterdir()):
        return
    raise StoreError(
        f"write_store: {folder} is there and is no store of activome; it is left as it is. Choose "
        "another path, or remove it first."
    )


def open_store(
    path: str | os.PathLike[str], *, lazy: bool = True, partial: bool = False
) -> Activity | Events:
    """Open a store, checking it against the list of its files first.

    Parameters
    ----------
    path : path-like
        Folder of the store.
    lazy : bool, default=True
        Leave the values on disk, as a dask array with the chunks of the store; labels are read.
        Events are always read.
    partial : bool, default=False
        Of a store that is still being written, or whose writer was killed, give the rows that are
        committed.

    Returns
    -------
    xarray.DataArray or Events
        What was written.

    Raises
    ------
    StoreError
        If there is no store, it is incomplete (and ``partial`` is False), or a file is missing,
        cut, or another than was written; with file, index range and cure. A bit that flipped
        inside a chunk is found when that chunk is read.
    ResourceError
        If the values do not fit in memory with ``lazy=False``.
    """
    owner = "open_store"
    folder = store_folder(path, owner=owner)
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder, owner=owner)
        check_files(folder, manifest, owner=owner)
        if manifest["kind"] == "events":
            return read_events(folder, manifest)
        return read_activity(folder, manifest, lazy=lazy)
    if partial and (folder / JOURNAL).exists():
        return _open_partial(folder, lazy=lazy)
    status = status_of(folder)
    by = f" Process {status.writer} is writing it." if status.writer is not None else ""
    if status.state == "incomplete":
        raise StoreError(
            f"{owner}: {folder} is {status.problem}; resume it with StoreWriter(..., resume=True), "
            f"write it again, or read its first {status.n_rows} rows with partial=True.{by}"
        )
    raise StoreError(
        f"{owner}: {status.problem} Check the path; stores of other tools open with "
        f"xarray.open_zarr.{by}"
    )


def _open_partial(folder: Path, *, lazy: bool) -> Activity:
    journal = Journal.read(folder, owner="open_store")
    header = journal.header
    record, dim = header["activity"], header["dim"]
    axis = record["dims"].index(dim)
    shape = [*header["shape"]]
    shape.insert(axis, journal.n_rows)
    if not journal.n_rows:
        raise StoreError(
            f"open_store: {folder} has no committed row yet. Wait for its writer, or resume it."
        )
    static = {name: decode(values) for name, values in header["static"].items()}
    pieces = [commit.coords for commit in journal.commits]
    coords = static | join_coords(record, dim, pieces)
    values = read_values(folder, record, tuple(shape), lazy=lazy)
    return assemble(values, record, coords)


def is_complete(path: str | os.PathLike[str]) -> bool:
    """Tell whether a store is finished and every file is there as it was written.

    Parameters
    ----------
    path : path-like
        Folder of the store.

    Returns
    -------
    bool
        False for a store that is incomplete, damaged or absent; ``store_status`` says which.
    """
    return store_status(path).state == "complete"


def store_status(path: str | os.PathLike[str]) -> StoreStatus:
    """Tell the state of a store: how much is written, who is writing, what is wrong.

    Parameters
    ----------
    path : path-like
        Folder of the store.

    Returns
    -------
    StoreStatus
        State, chunks written and expected, rows, process of the writer, problem.
    """
    return status_of(store_folder(path, owner="store_status"))
