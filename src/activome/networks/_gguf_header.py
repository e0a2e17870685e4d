"""GGUF headers: read with every count and offset held against the size of the file first."""

from __future__ import annotations

import math
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome.errors import ReadError

__all__ = ["GGUFHeader", "GGUFTensor", "read_header"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_SMALLEST_ENTRY = 8 + 1 + 4 + 1  # a name of one letter, a type, a value of one byte
_SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8
_MAX_AXES = 4
# No vocabulary, list of merges or list of tensors comes near; each item costs an object of Python.
_MAX_ITEMS = 2**22
# Values per block, and bytes per block, of the types in which weights are stored, by number.
BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    20: (32, 18),
    23: (256, 136),
    30: (1, 2),
}


@dataclass(frozen=True)
class GGUFTensor:
    """One tensor of a file: its shape, slowest axis first, its type, and where its bytes are."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    n_bytes: int


@dataclass(frozen=True)
class GGUFHeader:
    """What a file says of itself; every tensor lies inside the file, and none over another."""

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, GGUFTensor]


class _Cursor:
    """A place in a file, which refuses to go past the end."""

    def __init__(self, data: mmap.mmap, path: Path, owner: str) -> None:
        self.data, self.path, self.owner = data, path, owner
        self.place, self.size = 0, len(data)

    def refusal(self, detail: str) -> ReadError:
        return ReadError(
            f"{self.owner}: {self.path} must be a whole GGUF file; {detail}. Get it again."
        )

    def need(self, n_bytes: int, what: str) -> int:
        left = self.size - self.place
        if n_bytes > left:
            raise self.refusal(
                f"{what} at byte {self.place} would take {n_bytes} bytes, and {left} are left"
            )
        start = self.place
        self.place += n_bytes
        return start

    def scalar(self, code: str, what: str) -> Any:
        n_bytes = struct.calcsize("<" + code)
        return struct.unpack_from("<" + code, self.data, self.need(n_bytes, what))[0]

    def count(self, code: str, what: str, smallest: int) -> int:
        """Read a number of items, each of which takes at least ``smallest`` bytes."""
        number = int(self.scalar(code, what))
        left = self.size - self.place
        if number * smallest > left or number > _MAX_ITEMS:
            raise self.refusal(f"it counts {number} {what}, for which {left} bytes are left")
        return number

    def string(self, what: str) -> str:
        n_bytes = self.scalar("Q", f"the length of {what}")
        start = self.need(n_bytes, what)
        try:
            return self.data[start : start + n_bytes].decode("utf-8")
        except UnicodeDecodeError:
            raise self.refusal(f"{what} at byte {start} is no UTF-8 text") from None

    def value(self, kind: int, name: str) -> Any:
        if kind == _STRING:
            return self.string(f"the value of {name!r}")
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], f"the value of {name!r}")
        raise self.refusal(f"{name!r} has a value of unknown type {kind}")

    def array(self, name: str) -> Any:
        kind = int(self.scalar("I", f"the item type of {name!r}"))
        what = f"items of {name!r}"
        if kind == _STRING:
            return [self.string(f"an item of {name!r}") for _ in range(self.count("Q", what, 8))]
        if kind not in _SCALARS:
            raise self.refusal(f"{name!r} is a list of items of type {kind}, which is not known")
        dtype = np.dtype("<" + _SCALARS[kind] if kind != 7 else "?")
        number = self.count("Q", what, dtype.itemsize)
        start = self.need(number * dtype.itemsize, what)
        return np.frombuffer(self.data, dtype, number, start).copy()


def read_header(path: str | os.PathLike[str], *, owner: str) -> GGUFHeader:
    """Read the header of a GGUF file.

    Nothing is allocated for a count before the file is known to be long enough for it.

    Raises
    ------
    ReadError
        If the file is no GGUF file of a known version, is cut, or claims what its size cannot hold.
    """
    file = Path(path)
    with file.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size < 24:
            raise ReadError(f"{owner}: {file} must be a GGUF file; it is shorter than a header.")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(_Cursor(data, file, owner))


def _parse(at: _Cursor) -> GGUFHeader:
    magic = at.data[at.need(4, "the magic word") : at.place]
    if magic != _MAGIC:
        raise ReadError(f"{at.owner}: {at.path} must be a GGUF file; it starts with {magic!r}.")
    version = int(at.scalar("I", "the version"))
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
        detail = "is written for big-endian machines" if swapped else f"has version {version}"
        raise ReadError(
            f"{at.owner}: {at.path} {detail}; known are versions 2 and 3 for little-endian ones. "
            "Convert the model again."
        )
    n_tensors = at.count("Q", "tensors", _SMALLEST_TENSOR)
    n_fields = at.count("Q", "fields", _SMALLEST_ENTRY)
    fields: dict[str, Any] = {}
    for _ in range(n_fields):
        name = at.string("the name of a field")
        kind = int(at.scalar("I", f"the type of {name!r}"))
        if name in fields:
            raise at.refusal(f"the field {name!r} is there twice")
        fields[name] = at.array(name) if kind == _ARRAY else at.value(kind, name)
    found = [_tensor(at) for _ in range(n_tensors)]
    alignment = fields.get("general.alignment", 32)
    is_power = isinstance(alignment, int) and 1 <= alignment <= 2**20
    if not is_power or alignment & (alignment - 1):
        raise at.refusal(f"its alignment is {alignment!r}, no power of two up to 2**20")
    return GGUFHeader(at.path, fields, _placed(at, found, alignment))


def _tensor(at: _Cursor) -> GGUFTensor:
    name = at.string("the name of a tensor")
    n_axes = int(at.scalar("I", f"the number of axes of {name!r}"))
    if not 1 <= n_axes <= _MAX_AXES:
        raise at.refusal(f"the tensor {name!r} has {n_axes} axes, not 1 to {_MAX_AXES}")
    sizes = [int(at.scalar("Q", f"a size of {name!r}")) for _ in range(n_axes)]
    kind = int(at.scalar("I", f"the type of {name!r}"))
    start = int(at.scalar("Q", f"the place of {name!r}"))
    if kind not in BLOCKS:
        raise at.refusal(f"the tensor {name!r} is of type {kind}, which is not known")
    n_values, n_bytes = BLOCKS[kind]
    if min(sizes) < 1 or sizes[0] % n_values:
        raise at.refusal(
            f"the tensor {name!r} has sizes {sizes}; each must be positive and the first a "
            f"multiple of {n_values}"
        )
    total = math.prod(sizes) // n_values * n_bytes
    return GGUFTensor(name, tuple(reversed(sizes)), kind, start, total)


def _placed(at: _Cursor, found: list[GGUFTensor], alignment: int) -> dict[str, GGUFTensor]:
    """Give tensors their place in the file, where they fit it and do not overlap."""
    base = -(-at.place // alignment) * alignment
    tensors: dict[str, GGUFTensor] = {}
    end = 0
    for tensor in sorted(found, key=lambda one: one.start):
        if tensor.name in tensors:
            raise at.refusal(f"the tensor {tensor.name!r} is there twice")
        if tensor.start % alignment or tensor.start < end:
            raise at.refusal(
                f"the tensor {tensor.name!r} starts at {tensor.start}, which is inside another "
                f"or no multiple of {alignment}"
            )
        end = tensor.start + tensor.n_bytes
        if base + end > at.size:
            raise at.refusal(
                f"the tensor {tensor.name!r} ends at byte {base + end}, and the file has "
                f"{at.size} bytes"
            )
        tensors[tensor.name] = GGUFTensor(
            tensor.name, tensor.shape, tensor.kind, base + tensor.start, tensor.n_bytes
        )
    return tensors
