"""Stores of activity: written, read and appended to, against plain Zarr with the same chunks.

The peer writes what ours writes: chunks of the same shape with the same codecs, each with a
checksum, empty ones too. Results are compared bit for bit, and the files of the chunks byte for
byte. Ours further checks the recording, writes the labels and a list of all files, and moves the
store into place; when it reads, it checks that list first. That costs a few tens of ms, and is
most of the time of a small store. The writer of blocks also commits every slab with its labels to a
journal, and completes the store twice: plain Zarr, which a kill leaves in an unknown state, stays
faster. How much memory each way takes is printed first, in processes of their own.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy.stats import poisson
from zarr.codecs import Crc32cCodec, ZstdCodec

from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.activity.store.api import open_store, write_store
from activome.activity.store.status import CHUNK_BYTES
from activome.activity.store.writer import StoreWriter
from harness import Case, Peer, main, peak_bytes

Array = np.ndarray[Any, Any]
_UNITS = 512
_RATE = 100.0
_KINDS = ("float32, dense", "uint8 spike counts, 5 % of bins")
_MEMORY_ROWS = {"smoke": (8_000,), "full": (40_000, 200_000, 1_000_000)}


@dataclass(frozen=True)
class Inputs:
    """A recording, and a folder that both sides write into."""

    activity: Activity
    folder: Path

    @property
    def rows(self) -> int:
        """Rows of a chunk that ours takes: whole rows, up to 8 MiB."""
        return CHUNK_BYTES // (_UNITS * self.activity.dtype.itemsize)


def make_block(kind: str, n_rows: int, start: int = 0) -> Activity:
    """Rows of 512 units: normal deviates, or counts of about one spike in twenty bins."""
    rng = np.random.default_rng(start)
    values: Array
    if kind == _KINDS[0]:
        values = rng.standard_normal((n_rows, _UNITS), dtype=np.float32)
    else:
        counts = poisson.ppf((np.arange(256) + 0.5) / 256, 0.05).astype(np.uint8)
        values = counts[rng.integers(0, 256, (n_rows, _UNITS), dtype=np.uint8)]
    return make(values, sampling_rate=_RATE, start=start / _RATE)


@cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """Folder of this process, removed at its end."""
    return tempfile.TemporaryDirectory()


@cache
def disk_rate() -> float:
    """Bytes per second of writing one file in pieces of the size of a chunk, best of five."""
    piece, file, times = bytes(CHUNK_BYTES), Path(scratch().name) / "plain", []
    for _ in range(5):
        start = time.perf_counter()
        with file.open("wb", buffering=0) as stream:
            for _ in range(32):
                stream.write(piece)
        times.append(time.perf_counter() - start)
        file.unlink()
    return 32 * len(piece) / min(times)


def new_inputs(kind: str, n_rows: float) -> Inputs:
    """Make a recording, and an empty folder."""
    folder = Path(scratch().name) / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Inputs(make_block(kind, int(n_rows)), folder)


def written_inputs(kind: str, n_rows: float) -> Inputs:
    """Make a recording and write it both ways."""
    inputs = new_inputs(kind, n_rows)
    write_ours(inputs)
    write_plain(inputs)
    return inputs


def write_ours(inputs: Inputs) -> Path:
    """Write a store, replacing the one before."""
    write_store(inputs.activity, inputs.folder / "ours.zarr", overwrite=True)
    return inputs.folder / "ours.zarr" / "values"


def plain_array(inputs: Inputs, rows: int) -> Any:
    """Create an array of Zarr with so many rows in a chunk, replacing the one before."""
    dtype = inputs.activity.dtype
    return zarr.create_array(
        inputs.folder / "plain.zarr",
        shape=inputs.activity.shape,
        chunks=(rows, _UNITS),
        dtype=dtype,
        compressors=[*([ZstdCodec(level=1)] if dtype.kind == "u" else []), Crc32cCodec()],
        fill_value=float("nan") if dtype.kind == "f" else 0,
        overwrite=True,
        config={"write_empty_chunks": True},
    )


def write_plain(inputs: Inputs) -> Path:
    """Write with Zarr alone."""
    plain_array(inputs, min(inputs.rows, inputs.activity.shape[0]))[...] = inputs.activity.values
    return inputs.folder / "plain.zarr"


def append_ours(inputs: Inputs) -> Path:
    """Append in blocks of a chunk, stopping halfway and going on with a second writer."""
    activity, rows = inputs.activity, inputs.rows
    shutil.rmtree(inputs.folder / "ours.zarr", ignore_errors=True)
    starts = range(0, activity.shape[0], rows)
    for part in (starts[: len(starts) // 2], starts[len(starts) // 2 :]):
        with StoreWriter(inputs.folder / "ours.zarr", activity, resume=True) as writer:
            for start in part:
                writer.append(activity[start : start + rows])
    return inputs.folder / "ours.zarr" / "values"


def append_plain(inputs: Inputs) -> Path:
    """Write the same blocks with Zarr into an array of the right length."""
    values, rows = inputs.activity.values, inputs.rows
    array = plain_array(inputs, rows)
    for start in range(0, len(values), rows):
        array[start : start + rows] = values[start : start + rows]
    return inputs.folder / "plain.zarr"


def opened(path: Path) -> Array:
    """Give the values of a store of an Activity."""
    found = open_store(path, lazy=False)
    if isinstance(found, Events):
        raise TypeError(f"{path} holds Events")
    values: Array = found.values
    return values


def read_ours(inputs: Inputs) -> Array:
    """Read a store whole."""
    return opened(inputs.folder / "ours.zarr")


def read_plain(inputs: Inputs) -> Array:
    """Read with Zarr alone."""
    return np.asarray(zarr.open_array(inputs.folder / "plain.zarr", mode="r")[...])


def bytes_differ(ours: Array, theirs: Array) -> float:
    """Count the bytes that differ."""
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return float("inf")
    return float(np.count_nonzero(ours.view(np.uint8) != theirs.view(np.uint8)))


def files_differ(ours: Path, theirs: Path) -> float:
    """Count the chunks whose files differ, and the bytes of the values read back."""
    mine, others = (sorted((path / "c").rglob("*")) for path in (ours, theirs))
    if [f.relative_to(ours) for f in mine] != [f.relative_to(theirs) for f in others]:
        return float("inf")
    files = [(a, b) for a, b in zip(mine, others, strict=True) if a.is_file()]
    n_files = sum(a.read_bytes() != b.read_bytes() for a, b in files)
    return n_files + values_differ(ours, theirs)


def values_differ(ours: Path, theirs: Path) -> float:
    """Count the bytes of the values, read back, that differ."""
    return bytes_differ(*(np.asarray(zarr.open_array(p, mode="r")[...]) for p in (ours, theirs)))


def cases() -> Sequence[Case]:
    """Each way for each kind of values; the largest size is the one that is stated."""
    found = []
    for kind in _KINDS:
        width = 4 if kind == _KINDS[0] else 1
        ways: list[tuple[str, Any, Any, Any, Any, str]] = [
            (f"write_store, {kind}", new_inputs, write_ours, write_plain, files_differ, "writing"),
            (
                f"open_store(lazy=False), {kind}",
                written_inputs,
                read_ours,
                read_plain,
                bytes_differ,
                "reading",
            ),
            (
                f"StoreWriter in blocks, resumed, {kind}",
                new_inputs,
                append_ours,
                append_plain,
                # Not the files: behind the last row a chunk may be filled with anything.
                values_differ,
                "writing the same blocks",
            ),
        ]
        found += [
            Case(
                name=f"{name}, n rows of {_UNITS} units",
                sizes=(2_000, 20_000, 200_000) if width == 4 else (8_000, 80_000, 800_000),
                make=partial(build, kind),
                ours=ours,
                peers=[Peer(f"plain Zarr {what}", plain, differs)],
                # The values once; compressed counts take fewer bytes on the disk.
                bytes_moved=lambda n, width=width: width * _UNITS * n,  # type: ignore[misc]
                roof=disk_rate,
                aim="at least 0.9 of the speed of plain Zarr at the largest size",
            )
            for name, build, ours, plain, differs, what in ways
        ]
    return found


def append_many(folder: str, n_rows: int) -> None:
    """Append rows that are made block by block, resuming halfway."""
    step, half = 4_000, n_rows // 2
    template = make_block(_KINDS[0], 1)
    for first, last in ((0, half), (half, n_rows)):
        with StoreWriter(Path(folder) / "a.zarr", template, resume=True) as writer:
            for start in range(first, last, step):
                writer.append(make_block(_KINDS[0], min(step, last - start), start))


def write_many(folder: str, n_rows: int) -> None:
    """Write rows that are in memory."""
    write_store(make_block(_KINDS[0], n_rows), Path(folder) / "a.zarr")


def read_many(folder: str, n_rows: int) -> None:
    """Read back what was written, and nothing else."""
    n_found = len(opened(Path(folder) / "a.zarr"))
    if n_found != n_rows:
        raise RuntimeError(f"{n_found} rows were read, {n_rows} were written")


def memory_of(job: Callable[[str, int], None], folder: str, n_rows: int) -> float:
    """Run a job; give the MiB that the process held at most, beyond what it held before."""
    before = peak_bytes()
    job(folder, n_rows)
    return (peak_bytes() - before) / 2**20


def print_memory(size: str) -> None:
    """Print the memory of each way, for three lengths."""
    for n_rows in _MEMORY_ROWS[size]:
        with tempfile.TemporaryDirectory() as folder:
            for word, job in (
                ("StoreWriter in blocks, resumed", append_many),
                ("open_store(lazy=False)", read_many),
                ("recording made, then write_store", write_many),
            ):
                if job is write_many:
                    shutil.rmtree(Path(folder) / "a.zarr")
                # A process of its own: the most that it ever held.
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    held = pool.submit(memory_of, job, folder, n_rows).result()
                size_mib = n_rows * _UNITS * 4 / 2**20
                print(f"  {n_rows} rows, {size_mib:.0f} MiB, {word}: {held:.0f} MiB held")


if __name__ == "__main__":
    if "--worker" not in sys.argv:
        print_memory("smoke" if "smoke" in sys.argv else "full")
    raise SystemExit(main(cases))
