"""GGUF headers: one by hand, all that is hostile refused before memory is taken for it."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.errors import ReadError
from activome.networks._gguf_header import BLOCKS, read_header

HUGE = 2**62


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_tensors: int = 1,
    n_fields: int = 2,
    fields: bytes | None = None,
    tensors: bytes | None = None,
    n_data: int = 24,
) -> bytes:
    """Return a file of one tensor (2, 3) of float32, and of two fields."""
    if fields is None:
        fields = text("a.size") + struct.pack("<II", 4, 7)
        fields += text("a.words") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("yz")
    if tensors is None:
        tensors = tensor()
    start = magic + struct.pack("<IQQ", version, n_tensors, n_fields) + fields + tensors
    return start + b"\0" * (-len(start) % 32) + b"\1" * n_data


def tensor(
    name: str = "w", sizes: tuple[int, ...] = (3, 2), kind: int = 0, start: int = 0, axes: int = -1
) -> bytes:
    n_axes = len(sizes) if axes < 0 else axes
    return (
        text(name)
        + struct.pack(f"<I{len(sizes)}Q", n_axes, *sizes)
        + struct.pack("<IQ", kind, start)
    )


def field(kind: int, value: bytes, name: str = "f") -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def read(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    return read_header(path, owner="test")


def test_a_header_by_hand(tmp_path: Path) -> None:
    data = header()
    found = read(tmp_path / "a.gguf", data)
    assert found.fields == {"a.size": 7, "a.words": ["x", "yz"]}
    w = found.tensors["w"]
    assert (w.shape, w.kind, w.n_bytes) == ((2, 3), 0, 24)
    assert w.start == len(data) - 24


HOSTILE = {
    "magic": (header(magic=b"GGML"), "it starts with b'GGML'"),
    "version": (header(version=99), "has version 99"),
    "big-endian": (header(version=3 << 24), "written for big-endian machines"),
    "tensors": (header(n_tensors=HUGE), f"counts {HUGE} tensors"),
    "fields": (header(n_fields=HUGE), f"counts {HUGE} fields"),
    "more fields than are there": (header(n_fields=5), "whole GGUF file"),
    "name": (header(fields=struct.pack("<Q", HUGE) + b"a"), f"would take {HUGE} bytes"),
    "string": (header(fields=field(8, struct.pack("<Q", 2**63))), "would take"),
    "array": (header(fields=field(9, struct.pack("<IQ", 4, HUGE))), f"counts {HUGE} items"),
    "strings": (header(fields=field(9, struct.pack("<IQ", 8, HUGE))), f"counts {HUGE} items"),
    "nested": (header(fields=field(9, struct.pack("<IQ", 9, 1))), "items of type 9"),
    "type": (header(fields=field(77, b"")), "value of unknown type 77"),
    "text": (header(n_fields=1, fields=field(8, struct.pack("<Q", 1) + b"\xff")), "no UTF-8"),
    "twice": (header(fields=2 * field(4, b"\0\0\0\0")), "'f' is there twice"),
    "alignment": (
        header(n_fields=1, fields=field(4, struct.pack("<I", 33), "general.alignment")),
        "alignment is 33",
    ),
    "axes": (header(tensors=tensor(axes=2**31)), "axes, not 1 to 4"),
    "no axes": (header(tensors=tensor(axes=0)), "has 0 axes"),
    "sizes": (header(tensors=tensor(sizes=(HUGE, HUGE))), "ends at byte"),
    "empty": (header(tensors=tensor(sizes=(0, 2))), "must be positive"),
    "kind": (header(tensors=tensor(kind=99)), "of type 99"),
    "block": (header(tensors=tensor(kind=8)), "multiple of 32"),
    "past the end": (header(tensors=tensor(start=32)), "ends at byte"),
    "far past the end": (header(tensors=tensor(start=2**64 - 32)), "ends at byte"),
    "crooked": (header(tensors=tensor(start=5)), "no multiple of 32"),
    "overlap": (header(n_tensors=2, tensors=tensor() + tensor("v")), "inside another"),
    "same name": (
        header(n_tensors=2, tensors=tensor() + tensor(start=32), n_data=64),
        "'w' is there twice",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_before_memory_is_taken(name: str, tmp_path: Path) -> None:
    data, message = HOSTILE[name]
    path = tmp_path / "hostile.gguf"
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match=r"hostile\.gguf") as caught:
            read(path, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message in str(caught.value)
    assert peak < 1e6


@pytest.mark.parametrize("share", np.linspace(0.0, 0.99, 20).tolist())
def test_cut_files_are_refused(share: float, tmp_path: Path) -> None:
    data = header()
    with pytest.raises(ReadError, match=r"cut\.gguf"):
        read(tmp_path / "cut.gguf", data[: int(share * len(data))])


def test_any_changed_byte_is_read_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = header()
    n_refused = 0
    for _ in range(400):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        try:
            found = read(tmp_path / "any.gguf", bytes(changed))
        except ReadError:
            n_refused += 1
        else:
            assert all(t.start + t.n_bytes <= len(data) for t in found.tensors.values())
    assert n_refused > 100


def test_sizes_of_blocks_are_those_of_the_gguf_package() -> None:
    gguf = pytest.importorskip("gguf", reason="gguf is not installed; lift it with: make test")
    for number, sizes in BLOCKS.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(number)] == sizes
