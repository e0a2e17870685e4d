"""Event cameras against expelliarmus, aedat, and words written by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import aedat
import expelliarmus
import numpy as np
import pytest
from damage import pixels, sound

from activome.activity.events import Events
from activome.activity.readers import read_aedat, read_prophesee
from activome.errors import ActivityWarning, ReadError


def _many(n_events: int = 5000) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    rng = np.random.default_rng(0)
    table = np.zeros(n_events, [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "u1")])
    table["t"] = np.sort(rng.integers(0, 20_000_000, n_events))
    table["x"], table["y"] = rng.integers(0, 1280, n_events), rng.integers(0, 720, n_events)
    table["p"] = rng.integers(0, 2, n_events)
    return table


@pytest.mark.parametrize("encoding", ["dat", "evt2", "evt3"])
def test_every_encoding_equals_expelliarmus(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.dat" if encoding == "dat" else "a.raw")
    expelliarmus.Wizard(encoding=encoding).save(fpath=path, arr=_many())
    peer = expelliarmus.Wizard(encoding=encoding).read(path)
    ours = read_prophesee(path)
    for name in "txyp":
        np.testing.assert_array_equal(getattr(ours, name), peer[name])


def test_words_of_evt3_by_hand(tmp_path: Path) -> None:
    words = [
        0x2005,  # x = 5, off, before any time: left out
        0x8000 | 0xFFF, 0x6000 | 0x010,  # time 0xFFF010
        0x0000 | 7, 0x2000 | 0x800 | 3,  # row 7, x = 3 on
        0x3000 | 0x800 | 100, 0x4000 | 0b100000000001, 0x5000 | 0b00000010,  # 100, 111, then 113
        0x8000, 0x6000 | 1,  # the 24 bits start again: time 0x1000001
        0x2000 | 9,
    ]  # fmt: skip
    path = tmp_path / "hand.raw"
    path.write_bytes(b"% evt 3.0\n% end\n" + struct.pack(f"<{len(words)}H", *words))
    with pytest.warns(ActivityWarning, match="1 events before the first time stamp"):
        events = read_prophesee(path)
    assert events.x is not None
    assert events.y is not None
    assert events.p is not None
    assert events.t.tolist() == [0xFFF010] * 4 + [0x1000001]
    assert events.x.tolist() == [3, 100, 111, 113, 9]
    assert events.y.tolist() == [7] * 5
    assert events.p.tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("name", ["camera.dat", "camera.raw"])
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    events, back = pixels(), read_prophesee(sound(name, tmp_path))
    for column in ("t", "x", "y", "p"):
        np.testing.assert_array_equal(getattr(back, column), getattr(events, column))


def test_aedat4_equals_its_decoder(tmp_path: Path) -> None:
    path, events = sound("camera.aedat4", tmp_path), pixels()
    peer = np.concatenate([packet["events"] for packet in aedat.Decoder(path)])
    ours = read_aedat(path)
    for column in ("t", "x", "y"):
        np.testing.assert_array_equal(getattr(ours, column), peer[column])
        np.testing.assert_array_equal(getattr(ours, column), getattr(events, column))
    np.testing.assert_array_equal(ours.p, events.p)
    assert ours.shape == (8, 12)


def test_pixels_outside_and_times_out_of_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    head = b"% Data file containing CD events.\n% Version 2\n% Width 4\n% Height 4\n\x00\x08"
    path.write_bytes(head + struct.pack("<IIII", 5, 1, 3, 1))
    with pytest.raises(ReadError, match="out of order, the first is event 1"):
        read_prophesee(path)
    sorted_ = read_prophesee(path, sort=True)
    assert isinstance(sorted_, Events)
    assert sorted_.t.tolist() == [3, 5]
    path.write_bytes(head + struct.pack("<II", 5, 9))
    with pytest.raises(ReadError, match="1 events outside of its 4 x 4 pixels"):
        read_prophesee(path)
