"""The files of CIFAR-10, read for their arrays without running what a pickle asks for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from activome.samples._locate import reading

__all__ = ["read_cifar10"]

Array = np.ndarray[Any, Any]
_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
_MOST_BYTES = 1 << 28
_ROW = 3072


class _Stub:
    """Stands for an array or dtype of a pickle, and keeps its state as plain data."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Stub,
    ("numpy._core.multiarray", "_reconstruct"): _Stub,
    ("numpy", "ndarray"): _Stub,
    ("numpy", "dtype"): _Stub,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle.Unpickler):
    """Builds containers, numbers, text and stubs; any other name in the file is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of the few names that an array needs."""
        found = _ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return found


def read_cifar10(folder: Path, *, owner: str) -> tuple[Array, ...] | None:
    """Return training and test images and labels, or None where the files are not there."""
    for suffix, load in (("", _from_pickle), (".bin", _from_binary)):
        paths = [folder / f"{name}{suffix}" for name in (*_BATCHES, "test_batch")]
        if not all(path.is_file() for path in paths):
            continue
        parts = []
        for path in paths:
            with reading(path, "a batch of CIFAR-10", owner=owner):
                if path.stat().st_size > _MOST_BYTES:
                    raise ValueError(f"it has {path.stat().st_size} bytes, too many for a batch")
                parts.append(load(path))
        pixels, labels = zip(*parts, strict=True)
        train = np.concatenate(pixels[:-1]), np.concatenate(labels[:-1])
        return (*train, pixels[-1], labels[-1])
    return None


def _from_binary(path: Path) -> tuple[Array, Array]:
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if not raw.size or raw.size % (_ROW + 1):
        raise ValueError(f"it has {raw.size} bytes, no whole number of {_ROW + 1}")
    rows = raw.reshape(-1, _ROW + 1)
    return _as_images(rows[:, 1:]), _as_labels(rows[:, 0])


def _from_pickle(path: Path) -> tuple[Array, Array]:
    with path.open("rb") as stream:
        try:
            found = _ArraysOnly(stream, encoding="bytes").load()
        except (pickle.UnpicklingError, EOFError) as error:
            raise ValueError(str(error)) from error
    data = found[b"data"] if b"data" in found else found["data"]
    labels = found[b"labels"] if b"labels" in found else found["labels"]
    # State of an array: version, shape, dtype, order and bytes.
    _, shape, dtype, is_fortran, raw = data.state
    code = dtype.arguments[0]
    if code not in ("u1", b"u1") or is_fortran or len(shape) != 2 or shape[1] != _ROW:
        raise ValueError(f"its data must be bytes of shape (n, {_ROW}) in C order; got {shape}")
    if shape[0] * _ROW != len(raw) or len(labels) != shape[0]:
        raise ValueError(
            f"it says {shape[0]} images, and holds {len(raw)} bytes and {len(labels)} labels"
        )
    pixels = np.frombuffer(bytes(raw), np.uint8).reshape(shape)
    return _as_images(pixels), _as_labels(np.array(labels))


def _as_images(rows: Array) -> Array:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _as_labels(values: Array) -> Array:
    labels = values.astype(np.int64)
    if labels.size and (labels.min() < 0 or labels.max() > 9):
        raise ValueError(f"its labels run from {labels.min()} to {labels.max()}, not 0 to 9")
    return labels
