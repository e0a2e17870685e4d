"""A corpus of sound files of every format, and of damaged and hostile files made from them."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.io

from activome.activity.events import Events
from activome.activity.readers import save
from activome.activity.schema import Activity, make

__all__ = ["FORMATS", "Canary", "cuts", "flips", "hostile", "sound", "spikes", "voltage"]


def voltage(n_times: int = 200, n_units: int = 3) -> Activity:
    """Voltages of some channels with two events."""
    rng = np.random.default_rng(1)
    event = np.zeros(n_times, dtype="<U5")
    event[[20, 120]] = ["left", "right"]
    return make(
        rng.standard_normal((n_times, n_units)) * 1e-5,
        sampling_rate=100.0,
        unit=[f"C{i}" for i in range(n_units)],
        coords={"event": ("time", event)},
        kind="voltage",
        units="V",
        source="a test",
    )


def spikes(n_units: int = 4, n_events: int = 60) -> Events:
    """Spikes of some units with a table."""
    rng = np.random.default_rng(2)
    t = np.sort(rng.integers(0, 2_000_000, n_events))
    names = pd.Index([f"u{i}" for i in range(n_units)], name="unit")
    table = pd.DataFrame({"region": ["CA1"] * (n_units - 1) + ["CA3"]}, index=names)
    return Events(t, rng.integers(0, n_units, n_events), unit_table=table, t_stop=2_000_000)


def pixels(n_events: int = 50) -> Events:
    """Events of a small camera, in time order."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 12, n_events), rng.integers(0, 8, n_events)
    return Events(
        np.sort(rng.integers(0, 5000, n_events)), y * 12 + x, x=x, y=y,
        p=rng.integers(0, 2, n_events), n_units=96, shape=(8, 12),
    )  # fmt: skip


def bold() -> Activity:
    """Voxels of a 3 x 4 x 2 image."""
    rng = np.random.default_rng(4)
    voxels = np.argwhere(np.ones((3, 4, 2), dtype=bool))
    coords: dict[str, Any] = {axis: ("unit", voxels[:, i]) for i, axis in enumerate("ijk")}
    names = [f"{i},{j},{k}" for i, j, k in voxels]
    image = make(
        rng.standard_normal((6, 24)), sampling_rate=0.5, unit=names, coords=coords, kind="bold"
    )
    affine = np.diag([2.0, 2.0, 3.0, 1.0]).reshape(-1).tolist()
    return image.assign_attrs(affine=affine, image_shape=[3, 4, 2])


def _matlab(path: Path) -> None:
    counts = np.random.default_rng(5).poisson(1.0, (3, 40)).astype(np.uint8)
    held = {
        "spikes": counts,
        "time": np.arange(40) * 0.05,
        "velocity": np.arange(80.0).reshape(2, 40),
    }
    scipy.io.savemat(path, held, do_compression=path.stem == "packed")


def _matlab73(path: Path) -> None:
    """A file as MATLAB writes it: a block of text, then HDF5 with cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cell = file.create_dataset("spikes", (3, 1), dtype=h5py.ref_dtype)
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        store = file.create_group("#refs#")
        for i in range(3):
            item = store.create_dataset(f"a{i}", data=np.sort(np.arange(1.0 + i)[:, None]))
            item.attrs["MATLAB_class"] = np.bytes_("double")
            cell[i, 0] = item.ref
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(text)


def _aedat(path: Path) -> None:
    path.write_bytes(aedat4(pixels()))


def aedat4(events: Events) -> bytes:
    """The bytes of an AEDAT 4 file with one stream of events, by the published layout.

    The magic line, then a size-prefixed FlatBuffer (identifier IOHE: compression, place of the data
    table, XML of the streams), then packets: stream, size, and a size-prefixed FlatBuffer
    (identifier EVTS) with one vector of structs (t, x, y, on, padded to 16 bytes).
    """
    assert events.x is not None
    assert events.y is not None
    assert events.p is not None
    assert events.shape is not None
    rows, columns = events.shape
    xml = (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
        '<node name="0" path="/mainloop/Recorder/outInfo/0/">'
        '<attr key="compression" type="string">NONE</attr>'
        '<attr key="originalModuleName" type="string">capture</attr>'
        '<attr key="originalOutputName" type="string">events</attr>'
        '<attr key="typeDescription" type="string">Array of events.</attr>'
        '<attr key="typeIdentifier" type="string">EVTS</attr>'
        '<node name="info" path="/mainloop/Recorder/outInfo/0/info/">'
        f'<attr key="sizeX" type="int">{columns}</attr>'
        f'<attr key="sizeY" type="int">{rows}</attr>'
        '<attr key="source" type="string">camera</attr></node></node></node></dv>'
    ).encode()
    table = np.zeros(
        len(events), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("_", "V3")]
    )
    table["t"], table["x"], table["y"], table["on"] = events.t, events.x, events.y, events.p
    # A table of three fields (at 4, 8 and 16), behind its list of offsets.
    head = struct.pack("<I4s", 24, b"IOHE") + struct.pack("<HHHHHxxxxxx", 10, 24, 4, 8, 16)
    head += struct.pack("<iiqI", 16, 0, -1, 4) + struct.pack("<I", len(xml)) + xml + b"\x00"
    head += b"\x00" * (-len(head) % 4)
    body = struct.pack("<I4s", 16, b"EVTS") + struct.pack("<HHHxx", 6, 8, 4)
    body += struct.pack("<iI", 8, 4)
    # The structs hold 8-byte numbers: their vector starts, after its length, on 8 bytes.
    body += struct.pack("<I", len(table)) + table.tobytes()
    packet = struct.pack("<I", len(body)) + body
    return (
        b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head
        + struct.pack("<II", 0, len(packet)) + packet
    )  # fmt: skip


def _saved(data: Callable[[], Any]) -> Callable[[Path], None]:
    return lambda path: save(data(), path)


def _plain_npy(path: Path) -> None:
    np.save(path, np.random.default_rng(6).standard_normal((30, 4)))


def _epochs() -> Activity:
    return make(
        voltage().values[:180].reshape(3, 60, 3), sampling_rate=100.0, kind="voltage", units="V"
    )


# Maker of a sound file, by the name of the file.
FORMATS: dict[str, Callable[[Path], None]] = {
    "activity.npz": _saved(voltage),
    "events.npz": _saved(spikes),
    "plain.npy": _plain_npy,
    "wide.csv": _saved(lambda: voltage().drop_vars("event")),
    "events.csv": _saved(lambda: Events(np.arange(50) * 1000, np.arange(50) % 3)),
    "activity.parquet": _saved(voltage),
    "units.nwb": _saved(spikes),
    "voltage.nwb": _saved(lambda: voltage().drop_vars("event")),
    "recording.edf": _saved(voltage),
    "recording.fif": _saved(voltage),
    "epochs.fif": _saved(_epochs),
    "recording.vhdr": _saved(voltage),
    "recording.set": _saved(voltage),
    "image.nii": _saved(bold),
    "image.nii.gz": _saved(bold),
    "spikes.mat": _matlab,
    "packed.mat": _matlab,
    "cells.mat": _matlab73,
    "camera.dat": _saved(pixels),
    "camera.raw": _saved(pixels),
    "camera.aedat4": _aedat,
}


def sound(name: str, folder: Path) -> Path:
    """Write one sound file of the corpus."""
    path = folder / name
    FORMATS[name](path)
    return path


def cuts(path: Path, n: int = 20) -> Iterator[tuple[str, bytes]]:
    """The file cut at n places, the first at nothing and the last one byte short of its end."""
    data = path.read_bytes()
    for place in np.unique(np.linspace(0, len(data) - 1, n).astype(int)):
        yield f"cut at {place}", data[:place]


def flips(path: Path, n: int = 50) -> Iterator[tuple[str, bytes]]:
    """The file with one byte inverted, at n places spread over it and its first kilobyte."""
    data = path.read_bytes()
    first = np.linspace(0, min(len(data), 1024) - 1, n // 2).astype(int)
    rest = np.linspace(0, len(data) - 1, n - n // 2).astype(int)
    for place in np.unique(np.concatenate([first, rest])):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        yield f"flip at {place}", bytes(damaged)


class Canary:
    """Pickled, it makes a folder when it is loaded: the sign that a reader ran it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Name the command to run on loading."""
        return os.mkdir, (str(self.path),)


def _npy(shape: tuple[int, ...], descr: str, body: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + body


def _zip(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _field(data: bytes, place: int, text: str, width: int) -> bytes:
    return data[:place] + text.ljust(width).encode() + data[place + width :]


def _packed(data: bytes, place: int, form: str, *values: Any) -> bytes:
    size = struct.calcsize(form)
    return data[:place] + struct.pack(form, *values) + data[place + size :]


def hostile(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files that lie about their size, name, order or content: name and bytes."""
    canary = pickle.dumps(Canary(folder / "executed"))
    yield "pickled.npy", _npy((1,), "|O", canary)
    yield "pickled.npz", _zip({"values.npy": _npy((1,), "|O", canary)})
    yield "huge.npy", _npy((10**6, 10**6), "<f8", b"")
    yield "huge_flat.npy", _npy((10**12,), "<f8", b"\x00" * 64)
    yield "negative.npy", _npy((-5, 3), "<f8", b"\x00" * 64)
    yield "huge.npz", _zip({"values.npy": _npy((10**6, 10**6), "<f8", b"")})
    yield "climb.npz", _zip({"../../escape.npy": _npy((2, 2), "<f8", b"\x00" * 32)})
    yield "absolute.npz", _zip({"/escape.npy": _npy((2, 2), "<f8", b"\x00" * 32)})
    yield "twice.npz", _zip({"values.npy": _npy((2, 2), "<f8", b""), "readme.txt": b"no"})
    yield "empty.npz", _zip({})
    # A bomb: the table of the archive is made to declare 8 TB for a member of a few bytes.
    bomb = bytearray(_zip({"values.npy": _npy((1000, 1000), "<f8", b"\x00" * 8_000_000)}))
    entry = bomb.index(b"PK\x01\x02")
    bomb[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)
    yield "bomb.npz", bytes(bomb)

    edf = sound("recording.edf", folder).read_bytes()
    for name, place, text, width in (
        ("channels", 252, "9999", 4), ("negative_channels", 252, "-3", 4),
        ("records", 236, "99999999", 8), ("no_records", 236, "0", 8), ("nan_length", 244, "nan", 8),
        ("zero_length", 244, "0", 8), ("header", 184, "88888888", 8), ("text", 236, "many", 8),
    ):  # fmt: skip
        yield f"{name}.edf", _field(edf, place, text, width)
    n_channels = int(edf[252:256])
    samples = 256 + 216 * n_channels
    yield "samples.edf", _field(edf, samples, "99999999", 8)
    yield "flat_range.edf", _field(edf, 256 + 104 * n_channels, "nan", 8)

    nii = sound("image.nii", folder).read_bytes()
    yield "dims.nii", _packed(nii, 40, "<8h", 4, 32000, 32000, 32000, 32000, 1, 1, 1)
    yield "negative_dims.nii", _packed(nii, 40, "<8h", 4, -3, 4, 2, 6, 1, 1, 1)
    yield "many_dims.nii", _packed(nii, 40, "<h", 99)
    yield "nan_step.nii", _packed(nii, 92, "<f", float("nan"))
    yield "no_step.nii", _packed(nii, 92, "<f", 0.0)
    yield "three.nii", _packed(nii, 40, "<8h", 3, 3, 4, 2, 1, 1, 1, 1)
    yield "offset.nii", _packed(nii, 108, "<f", 1e9)
    dims = _packed(nii, 40, "<8h", 4, 30000, 30000, 30000, 30000, 1, 1, 1)
    yield "dims.nii.gz", gzip.compress(dims)

    mat = sound("spikes.mat", folder).read_bytes()
    yield "size.mat", _packed(mat, 132, "<I", 2**31 - 8)
    yield "type.mat", _packed(mat, 128, "<I", 77)
    place = mat.index(struct.pack("<II", 5, 8)) + 8
    yield "dims.mat", _packed(mat, place, "<ii", 2**30, 2**30)

    yield "unsorted.csv", b"time,a\n0.0,1\n0.2,2\n0.1,3\n"
    yield "repeated_time.csv", b"time,a\n0.0,1\n0.0,2\n0.1,3\n"
    yield "twins.csv", b"time,a,a\n0.0,1,2\n0.1,3,4\n"
    yield "text.csv", b"time,a\n0.0,one\n0.1,two\n"
    yield "ragged.csv", b"time,a\n0.0,1\n0.1,2,3,4\n"
    yield "header.csv", b"time,a\n"
    yield "nan_time.csv", b"time,a\nnan,1\n0.1,2\n"
    yield "repeats.csv", b"time,unit,value\n0.0,a,1\n0.0,a,2\n"
    order = np.random.default_rng(0).permutation(10**6)
    rows = "\n".join(f"{t},{t % 3}" for t in order.tolist())
    yield "million.csv", b"time,unit\n" + rows.encode()
    nan_rate = {"values.npy": _npy((2, 2), "<f8", b"\x00" * 32),
                "fs.npy": _npy((), "<f8", struct.pack("<d", float("nan")))}  # fmt: skip
    yield "nan_rate.npz", _zip(nan_rate)
    names = np.array(["a", "a"])
    twins = nan_rate | {"channels.npy": _npy((2,), names.dtype.str, names.tobytes())}
    twins.pop("fs.npy")
    yield "twins.npz", _zip(twins)

    camera = sound("camera.dat", folder).read_bytes()
    yield "odd.dat", camera[:-3]
    yield "no_header.dat", b"% Data file\n" + b"\x00\x08"
    yield "endless.raw", b"% evt 3.0 " + b"x" * 100_000
    yield "evt9.raw", b"% evt 9.0\n" + b"\x00" * 16
    yield "old.aedat", b"#!AER-DAT2.0\r\n" + b"\x00" * 64
    yield "newer.aedat", b"#!AER-DAT3.1\r\n" + b"\x00" * 64
    yield "huge.aedat4", b"#!AER-DAT4.0\r\n" + struct.pack("<I", 2**31 - 1) + b"\x00" * 64
    header = b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
    yield "climb.vhdr", header + b"DataFile=../../secret.eeg\nMarkerFile=a.vmrk\n"
    yield "alone.vhdr", header + b"DataFile=gone.eeg\nNumberOfChannels=3\n"
    yield "nothing.xyz", b""
    yield "zeros.xyz", b"\x00" * 4096
    yield "noise.xyz", np.random.default_rng(9).bytes(4096)
    yield "prose.xyz", b"This is a letter.\nIt holds no data.\n"
    yield "page.xyz", b"<html><body>404</body></html>"
    yield "archive.zip", _zip({"a.txt": b"x"})
    yield "cut.gz", gzip.compress(b"x" * 10_000)[:20]
    yield "plain.gz", gzip.compress(b"\x00" * 100)
