"""Chunks of one array: their shape, their codecs, their files, and reading them with a check."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from activome._checks import human_bytes
from activome.errors import ResourceError, StoreError

__all__ = [
    "ChunkReader",
    "chunk_files",
    "chunk_shape",
    "chunk_stamp",
    "create_array",
    "is_compressible",
    "open_array",
]

Array = np.ndarray[Any, Any]
_SUM_BYTES = 4
_SAMPLE = 1 << 16
_MOSTLY = 0.25


def chunk_shape(
    shape: Sequence[int], itemsize: int, target: int, *, first: int = 0
) -> tuple[int, ...]:
    """Return the chunk shape that holds at most ``target`` bytes, later axes kept whole longest.

    Parameters
    ----------
    shape : sequence of int
        Sizes; that of ``first`` may stand for a size that is not known yet.
    itemsize : int
        Bytes per value.
    target : int
        Bytes per chunk.
    first : int, default=0
        Axis that is cut first: the one that is appended to.

    Returns
    -------
    tuple of int
        At least 1 along each axis.
    """
    chunks = [max(1, n) for n in shape]
    for axis in sorted(range(len(chunks)), key=lambda a: a != first):
        rest = math.prod(chunks) // chunks[axis] * itemsize
        if rest * chunks[axis] <= target:
            break
        chunks[axis] = max(1, target // rest)
    return tuple(chunks)


def is_compressible(values: Array) -> bool:
    """Tell whether compression pays: integers, booleans, and floats with many whole numbers."""
    if values.dtype.kind != "f":
        return True
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    if sample.size == 0:
        return True
    with np.errstate(invalid="ignore"):
        n_plain = np.count_nonzero((sample == np.rint(sample)) | np.isnan(sample))
    return bool(n_plain >= _MOSTLY * sample.size)


def create_array(
    folder: Path,
    name: str,
    *,
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: Any,
    is_compressed: bool,
    dims: Sequence[str],
    attributes: dict[str, Any],
) -> Any:
    """Create a Zarr array whose chunks carry a checksum; missing floats are NaN."""
    is_float = dtype is not str and np.dtype(dtype).kind == "f"
    codecs = [ZstdCodec(level=1)] if is_compressed else []
    return zarr.create_array(
        # Not under a name in the store's root: Zarr would then mark the root as a group, and a
        # store that is not complete could be opened.
        LocalStore(folder / name),
        shape=tuple(shape),
        chunks=tuple(max(1, n) for n in chunks),
        dtype=dtype,
        compressors=[*codecs, Crc32cCodec()],
        fill_value=float("nan") if is_float else None,
        dimension_names=tuple(dims),
        attributes=attributes,
        # A chunk of zeros is written too: every chunk that is missing is then a fault.
        config={"write_empty_chunks": True},
    )


def open_array(folder: Path, name: str, *, mode: str = "r") -> Any:
    """Open a Zarr array of a store."""
    store = LocalStore(folder, read_only=mode == "r")
    array = zarr.open_array(store, path=name, mode=mode)
    # Not as an option of open_array, which takes it and does not use it for an array that is there.
    return array.with_config({"write_empty_chunks": True})


def chunk_files(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the grid index of every chunk, in C order."""
    grid = [math.ceil(n / c) for n, c in zip(shape, chunks, strict=True)]
    return itertools.product(*(range(n) for n in grid))


def _key(index: Sequence[int]) -> str:
    return "/".join(("c", *map(str, index)))


def chunk_stamp(folder: Path, name: str, index: Sequence[int]) -> tuple[int, int]:
    """Return the size of a chunk file and the checksum it ends with; (-1, 0) if it is missing."""
    try:
        with (folder / name / _key(index)).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _SUM_BYTES))
            return size, int.from_bytes(file.read(_SUM_BYTES), "little")
    except FileNotFoundError:
        return -1, 0


def place_of(
    shape: Sequence[int], chunks: Sequence[int], index: Sequence[int], dims: Sequence[str]
) -> str:
    """Return the index range of a chunk as text: ``trial 0:4, unit 0:100``."""
    return ", ".join(
        f"{dim} {i * c}:{min((i + 1) * c, n)}"
        for dim, i, c, n in zip(dims, index, chunks, shape, strict=True)
    )


def damage(folder: Path, name: str, index: Sequence[int]) -> str | None:
    """Read a chunk file whole and say what is wrong with it, if anything."""
    try:
        data = (folder / name / _key(index)).read_bytes()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if len(data) < _SUM_BYTES:
        return f"is cut short ({len(data)} bytes)"
    stored, found = int.from_bytes(data[-_SUM_BYTES:], "little"), google_crc32c.value(data[:-4])
    if stored != found:
        return f"does not match its checksum (stored {stored:08x}, computed {found:08x})"
    return None


def damage_error(
    owner: str,
    folder: Path,
    name: str,
    index: Sequence[int],
    layout: tuple[Sequence[int], Sequence[int], Sequence[str]],
    what: str,
) -> StoreError:
    """Return the refusal of a chunk: file, what is wrong, index range, cure."""
    shape, chunks, dims = layout
    place = place_of(shape, chunks, index, dims)
    where = f", which holds {place}" if place else ""
    return StoreError(
        f"{owner}: chunk {name}/{_key(index)} of {folder}{where}, {what}. Restore that file "
        "from a copy, or write the store again."
    )


class ChunkReader:
    """Reads boxes of one array, naming chunk, index range and cure when a chunk is damaged.

    It holds no open file and travels to other processes.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        shape: Sequence[int],
        dims: Sequence[str],
        dtype: str | None = None,
    ) -> None:
        self._folder, self._name, self._dims = folder, name, tuple(dims)
        self._array = open_array(folder, name)
        self.chunks: tuple[int, ...] = tuple(self._array.chunks)
        self.shape = tuple(shape)
        # On disk numbers are little-endian; in memory they are what they were.
        self.dtype = np.dtype(dtype or self._array.dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> Array:
        box = tuple(slice(*piece.indices(n)) for piece, n in zip(key, self.shape, strict=True))
        # A missing chunk reads as fill without an error: that it is there is checked first.
        for index in self._touched(box):
            if not (self._folder / self._name / _key(index)).is_file():
                raise self._refuse(index, "is missing")
        try:
            return np.asarray(self._array[box]).astype(self.dtype, copy=False)
        except MemoryError as error:
            size = math.prod(s.stop - s.start for s in box) * self.dtype.itemsize
            raise ResourceError(
                f"open_store: {self._name} of {self._folder} needs {human_bytes(size)}, more than "
                "there is. Open it with lazy=True and work in blocks."
            ) from error
        except Exception as error:
            for index in self._touched(box):
                what = damage(self._folder, self._name, index)
                if what is not None:
                    raise self._refuse(index, what) from error
            raise StoreError(
                f"open_store: {self._name} of {self._folder} cannot be read: {error}. Restore it "
                "from a copy, or write the store again."
            ) from error

    def read(self) -> Array:
        """Read the whole array."""
        return self[tuple(slice(None) for _ in self.shape)]

    def _touched(self, box: tuple[slice, ...]) -> Iterator[tuple[int, ...]]:
        return itertools.product(
            *(
                range(piece.start // c, math.ceil(piece.stop / c))
                for piece, c in zip(box, self.chunks, strict=True)
            )
        )

    def _refuse(self, index: tuple[int, ...], what: str) -> StoreError:
        layout = (self.shape, self.chunks, self._dims)
        return damage_error("open_store", self._folder, self._name, index, layout, what)
