"""The state of a store at a glance: complete, incomplete, damaged or absent."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from activome.activity.store._journal import JOURNAL, Journal
from activome.activity.store._lock import lock_owner
from activome.activity.store._manifest import MANIFEST, check_files, read_manifest
from activome.errors import StoreError

__all__ = ["CHUNK_BYTES", "CODECS", "StoreStatus"]

CHUNK_BYTES = 8 * 1024**2
CODECS = ("auto", "zstd", "none")


@dataclass(frozen=True)
class StoreStatus:
    """What is known of a store without reading its values.

    Attributes
    ----------
    path : Path
        The folder.
    state : {"complete", "incomplete", "damaged", "absent"}
        Damaged: a file is missing, cut, or another than was written; ``problem`` says which.
    kind : {"activity", "events"} or None
        What it holds.
    n_chunks : int
        Chunks of values (of all columns, for events) that are written.
    n_chunks_total : int or None
        Chunks there will be; None while a writer of unknown length is not done.
    n_rows : int
        Rows written along the dim that grows (the first, for a complete store), or events.
    writer : int or None
        Process that writes it now.
    problem : str or None
        What is wrong, in one sentence.
    """

    path: Path
    state: Literal["complete", "incomplete", "damaged", "absent"]
    kind: Literal["activity", "events"] | None
    n_chunks: int
    n_chunks_total: int | None
    n_rows: int
    writer: int | None
    problem: str | None


def store_folder(path: str | os.PathLike[str], *, owner: str) -> Path:
    """Return the folder of a store, refusing what cannot be one."""
    text = os.fspath(path)
    folder = Path(text)
    if "://" in text or "\0" in text or folder.name in ("", "..") or ".." in folder.name:
        raise StoreError(
            f"{owner}: a store is a local folder with a name of its own, without '..' in it; got "
            f"{text!r}. Choose another path."
        )
    return folder


def status_of(folder: Path) -> StoreStatus:
    """Return the state of a store."""
    writer = lock_owner(folder)
    if (folder / MANIFEST).exists():
        return _status_complete(folder, writer)
    if (folder / JOURNAL).exists():
        try:
            journal = Journal.read(folder, owner="store_status")
        except StoreError as error:
            return StoreStatus(folder, "damaged", "activity", 0, None, 0, writer, str(error))
        total, what = _expected(journal)
        return StoreStatus(
            folder, "incomplete", "activity", journal.n_chunks, total, journal.n_rows, writer, what
        )
    if folder.exists():
        problem = f"{folder} is no store of activome: it has no {MANIFEST}."
        return StoreStatus(folder, "damaged", None, 0, None, 0, writer, problem)
    return StoreStatus(folder, "absent", None, 0, None, 0, writer, f"there is no {folder}.")


def _status_complete(folder: Path, writer: int | None) -> StoreStatus:
    try:
        manifest = read_manifest(folder, owner="store_status")
    except StoreError as error:
        return StoreStatus(folder, "damaged", None, 0, None, 0, writer, str(error))
    kind, content, arrays = manifest["kind"], manifest["content"], manifest["arrays"]
    is_activity = kind == "activity"
    names = [content["activity"]["values"]] if is_activity else content["columns"]
    n_chunks = sum(len(arrays[name]["sizes"]) for name in names)
    shape = arrays[names[0]]["shape"]
    try:
        check_files(folder, manifest, owner="store_status")
    except StoreError as error:
        return StoreStatus(folder, "damaged", kind, 0, n_chunks, 0, writer, str(error))
    n_rows = shape[0] if shape else 1
    return StoreStatus(folder, "complete", kind, n_chunks, n_chunks, n_rows, writer, None)


def _expected(journal: Journal) -> tuple[int | None, str]:
    header = journal.header
    axis = header["activity"]["dims"].index(header["dim"])
    total = None
    if header["length"] is not None:
        shape = [*header["shape"]]
        shape.insert(axis, header["length"])
        total = math.prod(math.ceil(n / c) for n, c in zip(shape, header["chunks"], strict=True))
    of = f" of {total}" if total is not None else ""
    return total, f"incomplete: {journal.n_chunks}{of} chunks"
