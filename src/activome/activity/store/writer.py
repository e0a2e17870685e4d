"""Writing a store block by block, with bounded memory; a killed writer is resumed."""

from __future__ import annotations

import itertools
import math
import os
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np

from activome._checks import check_choice, check_integer
from activome._files import remove_tree
from activome.activity._json_values import encode
from activome.activity.schema import Activity, ensure
from activome.activity.store._activity import ActivityFiles, describe, join_coords, read_coords
from activome.activity.store._chunks import chunk_stamp, open_array
from activome.activity.store._fit import BlockFit
from activome.activity.store._journal import JOURNAL, Commit, Journal
from activome.activity.store._lock import writer_lock
from activome.activity.store._manifest import MANIFEST, check_files, read_manifest
from activome.activity.store.status import CHUNK_BYTES, CODECS, store_folder
from activome.errors import StoreError

__all__ = ["StoreWriter"]

Array = np.ndarray[Any, Any]


class StoreWriter:
    """Append an activity to a store, block by block along one dim.

    Use it as a context manager. Rows are written in slabs of whole chunks, and each slab is
    committed to a journal; the store is complete only when the block ends without an error. A
    writer that was killed is taken up again with ``resume=True``: feed it from ``n_written`` on,
    and the store becomes, byte for byte, what it would have been.

    Parameters
    ----------
    path : path-like
        Folder of the store.
    template : xarray.DataArray
        An Activity like those to come: its dims, dtype, name, attributes, and the coordinates
        that do not run along ``dim`` are those of the store. Its values are not written.
    dim : {"trial", "time"}, optional
        Dim to append along, by default the first of the two that the template has.
    length : int, optional
        Rows in all along ``dim``, if known; fewer at the end leave the store incomplete.
    chunk_bytes : int, default=8 MiB
        Bytes per chunk before compression; 1-16 MiB is good.
    compress : {"auto", "zstd", "none"}, default="auto"
        ``auto`` compresses integers, booleans, and floats with many whole numbers (zeros), as the
        first slab shows.
    resume : bool, default=False
        Go on with a store that is incomplete, or append to a complete one; begin one if there is
        none.

    Attributes
    ----------
    n_written : int
        Rows the writer has, along ``dim``: the next block must begin there.
    n_committed : int
        Rows that a reader sees with ``open_store(path, partial=True)``, and that survive a kill.

    Raises
    ------
    StoreError
        If another process or thread writes this store, a store is there already and ``resume`` is
        False, or the store was begun with another template, chunk size or length.
    ActivityError
        If a block does not fit the template or what was written before.
    ParameterError
        If an option is unknown or out of range.

    Notes
    -----
    Held at once: one slab, the block, and the coordinates along ``dim``.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from activome.activity import make, open_store, StoreWriter
    >>> block = make(np.ones((4, 2), "float32"), trial=None, sampling_rate=2.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(f"{folder}/a.zarr", block) as writer:
    ...         writer.append(block)
    ...         writer.append(block.assign_coords(time=block.time + 2.0))
    ...     open_store(f"{folder}/a.zarr").shape
    (8, 2)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        template: Activity,
        *,
        dim: str | None = None,
        length: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        compress: str = "auto",
        resume: bool = False,
    ) -> None:
        self._folder = store_folder(path, owner="StoreWriter")
        ensure(template, owner="StoreWriter")
        along = [name for name in ("trial", "time") if name in template.dims]
        self._dim = check_choice(
            dim or (along[0] if along else None), along, name="dim", owner="StoreWriter"
        )
        if length is not None:
            check_integer(length, name="length", owner="StoreWriter", low=0)
        check_integer(chunk_bytes, name="chunk_bytes", owner="StoreWriter", low=1)
        check_choice(compress, CODECS, name="compress", owner="StoreWriter")
        self._record = describe(template, owner="StoreWriter")
        self._axis = self._record["dims"].index(self._dim)
        self._fit = BlockFit(template, self._dim, length)
        self._riding, self._static = self._fit.riding, self._fit.static
        shape = list(template.shape)
        shape[self._axis] = length or 0
        self._shape = tuple(shape)
        self._options: dict[str, Any] = {"chunk_bytes": int(chunk_bytes), "compress": compress}
        self._length, self._resume = length, resume
        self._stack = ExitStack()
        self._thread_lock = threading.Lock()
        self._pid = -1

    def __enter__(self) -> Self:
        """Take the lock, and begin the store or take up the one that is there."""
        self._stack.enter_context(writer_lock(self._folder, owner="StoreWriter"))
        try:
            self._pid = os.getpid()
            self._buffer: list[tuple[Array, dict[str, Array]]] = []
            self._n_buffered = 0
            self._files = ActivityFiles(
                self._folder,
                self._record,
                self._shape,
                axis=self._axis,
                is_open_ended=self._length is None,
                **self._options,
            )
            self._is_sealed = False
            self._journal = Journal(self._header())
            self._begin()
            pieces = [commit.coords for commit in self._journal.commits]
            self._fit.begin([*pieces, *(labels for _, labels in self._buffer)])
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete the store, or leave it incomplete after an error; free the lock."""
        with self._stack:
            if kind is None and os.getpid() == self._pid and not self._is_sealed:
                self._finish()
            self._pid = -1

    @property
    def n_committed(self) -> int:
        """Rows on disk."""
        return self._journal.n_rows

    @property
    def n_written(self) -> int:
        """Rows on disk or waiting for their slab to be full."""
        return self._journal.n_rows + self._n_buffered

    def append(self, block: Activity) -> None:
        """Append the rows of a block.

        Parameters
        ----------
        block : xarray.DataArray
            Like the template, with any length along ``dim``; lazy values are computed piece by
            piece. Times must go on increasing, names of trials must be new.

        Raises
        ------
        StoreError
            If the writer is not open in this process.
        ActivityError
            If the block does not fit.
        """
        if os.getpid() != self._pid:
            raise StoreError(
                f"StoreWriter.append: the writer of {self._folder} is not open in this process. "
                "Use it inside its with block, in the process that opened it."
            )
        with self._thread_lock:
            self._fit.check(block, self.n_written, self._last_time())
            n_rows = block.sizes[self._dim]
            if n_rows and self._is_sealed:
                self._unseal()
            for start in range(0, n_rows, self._files.group):
                piece = block.isel({self._dim: slice(start, start + self._files.group)})
                values = np.asarray(piece.values)
                coords = {name: np.array(piece[name].values) for name in self._riding}
                self._buffer.append((values, coords))
                self._n_buffered += values.shape[self._axis]
                if self._n_buffered >= self._files.slab:
                    self._flush(self._n_buffered // self._files.slab * self._files.slab)
                else:
                    # Copied, since the caller may fill the same array again before it is written.
                    self._buffer[-1] = (values.copy(), coords)

    def _last_time(self) -> float | None:
        if "time" not in self._riding:
            return None
        pieces = [commit.coords for commit in self._journal.commits[-1:]]
        pieces += [labels for _, labels in self._buffer[-1:]]
        return float(pieces[-1]["time"][-1]) if pieces else None

    def _header(self) -> dict[str, Any]:
        return {
            "activity": self._record,
            "static": {name: encode(values) for name, values in self._static.items()},
            "dim": self._dim,
            "shape": [n for i, n in enumerate(self._shape) if i != self._axis],
            "length": self._length,
            "chunks": list(self._files.chunks),
            **self._options,
        }

    def _begin(self) -> None:
        folder = self._folder
        is_complete, is_begun = (folder / MANIFEST).exists(), (folder / JOURNAL).exists()
        if (is_complete or is_begun) and not self._resume:
            what = "a store" if is_complete else "an incomplete store"
            raise StoreError(
                f"StoreWriter: there is {what} at {folder}. Give resume=True to go on with it, or "
                "remove it first."
            )
        if is_complete:
            self._take_up_complete()
        elif is_begun:
            self._take_up()
        else:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise StoreError(
                    f"StoreWriter: {folder} holds something that is no store. Choose another path."
                )
            folder.mkdir(parents=True, exist_ok=True)
            self._journal.write(folder)

    def _require_same(self, header: dict[str, Any]) -> None:
        mine = self._journal.header
        different = sorted(key for key in mine if mine[key] != header.get(key))
        if different:
            raise StoreError(
                f"StoreWriter: {self._folder} was begun with another {', '.join(different)}. Give "
                "the same template and options to resume, or write to another path."
            )

    def _take_up(self) -> None:
        journal = Journal.read(self._folder, owner="StoreWriter")
        self._require_same(journal.header)
        name = self._record["values"]
        commits = itertools.takewhile(lambda c: c.is_on_disk(self._folder, name), journal.commits)
        self._journal.commits = list(commits)
        self._files.reopen()
        self._rebuffer_last()
        self._journal.write(self._folder)
        self._remove_uncommitted()

    def _rebuffer_last(self) -> None:
        """Take a last slab that is not full back into the buffer, to be filled up."""
        n_rows, slab = self._journal.n_rows, self._files.slab
        if n_rows % slab == 0:
            return
        full, last = n_rows // slab * slab, self._journal.commits.pop()
        box: list[Any] = [slice(None)] * len(self._shape)
        box[self._axis] = slice(full, n_rows)
        values = open_array(self._folder, self._record["values"])[tuple(box)]
        cut = full - last.start
        tail = {name: self._rows(name, last.coords[name], cut, None) for name in self._riding}
        self._buffer, self._n_buffered = [(np.asarray(values), tail)], n_rows - full
        if cut:
            head = {name: self._rows(name, last.coords[name], 0, cut) for name in self._riding}
            stamps = [s for s in last.stamps if s[0][self._axis] < full // slab]
            self._journal.commits.append(Commit(last.start, full, head, stamps))

    def _rows(self, name: str, values: Array, start: int, stop: int | None) -> Array:
        box: list[Any] = [slice(None)] * values.ndim
        box[self._riding[name]] = slice(start, stop)
        result: Array = values[tuple(box)]
        return result

    def _remove_uncommitted(self) -> None:
        name = self._record["values"]
        keep = {self._folder / JOURNAL, self._folder / name / "zarr.json"}
        for commit in self._journal.commits:
            keep |= {self._folder.joinpath(name, "c", *map(str, i)) for i, _, _ in commit.stamps}
        for file in self._folder.rglob("*"):
            if file.is_file() and file not in keep:
                file.unlink()
        for item in self._folder.iterdir():
            if item.is_dir() and item.name != name:
                remove_tree(item)

    def _take_up_complete(self) -> None:
        manifest = read_manifest(self._folder, owner="StoreWriter")
        if manifest["kind"] != "activity":
            raise StoreError(f"StoreWriter: {self._folder} holds Events; only activity grows.")
        check_files(self._folder, manifest, owner="StoreWriter")
        content = manifest["content"]
        values = manifest["arrays"][content["activity"]["values"]]
        coords = read_coords(self._folder, manifest)
        if len(values["chunks"]) == len(self._shape):
            self._files.adopt(values["chunks"])
            self._journal.header["chunks"] = values["chunks"]
        n_rows = values["shape"][self._axis]
        static = {name: encode(item) for name, item in coords.items() if name not in self._riding}
        self._require_same(
            self._journal.header
            | {
                "activity": content["activity"],
                "static": static,
                "shape": [n for i, n in enumerate(values["shape"]) if i != self._axis],
                "chunk_bytes": content["chunk_bytes"],
                "compress": content["compress"],
            }
        )
        if n_rows:
            grid = self._grid(0, n_rows)
            stamps = [(i, *chunk_stamp(self._folder, self._record["values"], i)) for i in grid]
            riding = {name: coords[name] for name in self._riding}
            self._journal.commits = [Commit(0, n_rows, riding, stamps)]
        self._is_sealed = True
        (self._folder / JOURNAL).unlink(missing_ok=True)

    def _unseal(self) -> None:
        """Make a complete store incomplete again; at each step it is one of the two."""
        self._journal.write(self._folder)
        (self._folder / MANIFEST).unlink()
        self._is_sealed = False
        (self._folder / "zarr.json").unlink()
        self._files.reopen()
        waiting, self._buffer, self._n_buffered = self._buffer, [], 0
        self._rebuffer_last()
        self._buffer += waiting
        self._journal.write(self._folder)
        self._remove_uncommitted()

    def _flush(self, n_rows: int) -> None:
        """Write the first ``n_rows`` of the buffer, and commit them."""
        waiting = [item for item, _ in self._buffer]
        values = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=self._axis)
        coords = {
            name: np.concatenate([labels[name] for _, labels in self._buffer], axis=axis)
            for name, axis in self._riding.items()
        }
        start = self._journal.n_rows
        box: list[Any] = [slice(None)] * values.ndim
        box[self._axis] = slice(0, n_rows)
        self._files.write(start, values[tuple(box)])
        name = self._record["values"]
        stamps = [
            (index, *chunk_stamp(self._folder, name, index))
            for index in self._grid(start, start + n_rows)
        ]
        head = {key: self._rows(key, labels, 0, n_rows) for key, labels in coords.items()}
        self._journal.add(self._folder, Commit(start, start + n_rows, head, stamps))
        box[self._axis] = slice(n_rows, None)
        rest = {key: self._rows(key, labels, n_rows, None) for key, labels in coords.items()}
        self._n_buffered -= n_rows
        self._buffer = [(values[tuple(box)].copy(), rest)] if self._n_buffered else []

    def _grid(self, start: int, stop: int) -> list[list[int]]:
        """Return the grid index of each chunk of some rows."""
        chunks = self._files.chunks
        ranges = [range(math.ceil(n / c)) for n, c in zip(self._shape, chunks, strict=True)]
        slab = self._files.slab
        ranges[self._axis] = range(start // slab, math.ceil(stop / slab))
        return [list(index) for index in itertools.product(*ranges)]

    def _finish(self) -> None:
        if self._length is not None and self.n_written != self._length:
            raise StoreError(
                f"StoreWriter: {self._folder} was begun for {self._length} rows along "
                f"{self._dim!r}; {self.n_written} are written, so it stays incomplete. Resume it "
                "with resume=True and append the rest."
            )
        if self._n_buffered:
            self._flush(self._n_buffered)
        pieces = [commit.coords for commit in self._journal.commits] or [self._fit.empty]
        coords = self._static | join_coords(self._record, self._dim, pieces)
        self._files.finish(self._journal.n_rows, coords, owner="StoreWriter")
        (self._folder / JOURNAL).unlink()
        self._is_sealed = True
