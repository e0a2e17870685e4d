"""Stores under faults: damage is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from stores import CHUNK, counts, cut_file, flip_bit, floats, opened

from activome.activity.events import Events
from activome.activity.store import (
    is_complete,
    open_store,
    store_status,
    write_store,
)
from activome.errors import StoreError


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _flip_last(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


_IN_CHUNK = r"chunk values/c/7/0/0 of .*s\.zarr, which holds trial 7:8, time 0:10, unit 0:10, "


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "is missing"),
        (cut_file, "is cut short"),
        (_empty, "is cut short"),
        (_flip_last, "is another than was written"),
    ],
)
@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_a_damaged_chunk_is_named_on_opening(
    harm: Callable[[Path], None], message: str, compress: str
) -> None:
    write_store(counts(), "s.zarr", chunk_bytes=CHUNK, compress=compress)
    harm(Path("s.zarr/values/c/7/0/0"))
    with pytest.raises(StoreError, match=_IN_CHUNK + message + r".*Restore that file"):
        open_store("s.zarr")
    status = store_status("s.zarr")
    assert status.state == "damaged"
    assert "values/c/7/0/0" in str(status.problem)
    assert not is_complete("s.zarr")


@pytest.mark.parametrize("compress", ["none", "zstd"])
@pytest.mark.parametrize("activity", [counts(), floats()], ids=["int", "float"])
def test_a_flipped_bit_is_named_on_reading(activity: xr.DataArray, compress: str) -> None:
    write_store(activity, "s.zarr", chunk_bytes=CHUNK, compress=compress)
    flip_bit(Path("s.zarr/values/c/7/0/0"))
    message = _IN_CHUNK + r"does not match its checksum \(stored [0-9a-f]{8}, computed"
    lazy = opened("s.zarr")
    np.testing.assert_array_equal(lazy[:7].values, activity[:7].values)
    with pytest.raises(StoreError, match=message):
        lazy.load()
    with pytest.raises(StoreError, match=message):
        open_store("s.zarr", lazy=False)


def test_every_flipped_bit_of_a_chunk_is_found() -> None:
    write_store(counts(2), "s.zarr", chunk_bytes=CHUNK, compress="zstd")
    file = Path("s.zarr/values/c/1/0/0")
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 30).tolist():
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        file.write_bytes(data)
        with pytest.raises(StoreError, match=r"values/c/1/0/0"):
            open_store("s.zarr", lazy=False)


def test_a_chunk_that_goes_missing_after_opening_is_no_zero() -> None:
    write_store(counts(), "s.zarr", chunk_bytes=CHUNK)
    lazy = opened("s.zarr")
    Path("s.zarr/values/c/7/0/0").unlink()
    with pytest.raises(StoreError, match=_IN_CHUNK + "is missing"):
        lazy.load()


def test_chunks_that_changed_places_are_found() -> None:
    write_store(floats(), "s.zarr", chunk_bytes=CHUNK, compress="none")
    shutil.copy("s.zarr/values/c/3/0/0", "s.zarr/values/c/7/0/0")
    with pytest.raises(StoreError, match=_IN_CHUNK + "is another than was written"):
        open_store("s.zarr")


@pytest.mark.parametrize("file", ["zarr.json", "values/zarr.json", "trial/zarr.json"])
@pytest.mark.parametrize("harm", [cut_file, _empty, flip_bit, Path.unlink])
def test_damaged_metadata_is_named(file: str, harm: Callable[[Path], None]) -> None:
    write_store(counts(3), "s.zarr", chunk_bytes=CHUNK)
    harm(Path("s.zarr") / file)
    with pytest.raises(StoreError, match=rf"s\.zarr/{file} is (damaged|missing).*Restore it"):
        open_store("s.zarr")


@pytest.mark.parametrize("n_left", [0, 1, 5, 9, 10, 100, -2])
def test_a_cut_manifest_is_named(n_left: int) -> None:
    write_store(counts(3), "s.zarr")
    file = Path("s.zarr/activome.json")
    file.write_bytes(file.read_bytes()[:n_left])
    with pytest.raises(StoreError, match=r"activome\.json is damaged"):
        open_store("s.zarr")


def test_every_flipped_bit_of_the_manifest_is_found() -> None:
    write_store(counts(3), "s.zarr")
    file = Path("s.zarr/activome.json")
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole) - 8, 50).tolist():
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        file.write_bytes(data)
        with pytest.raises(StoreError, match=r"activome\.json"):
            open_store("s.zarr")


def test_damaged_labels_and_events_are_named() -> None:
    write_store(floats(), "a.zarr", chunk_bytes=CHUNK)
    flip_bit(Path("a.zarr/stimulus/c/0"))
    with pytest.raises(StoreError, match=r"chunk stimulus/c/0 of .*checksum"):
        open_store("a.zarr")
    write_store(Events(np.arange(500), np.arange(500) % 7), "e.zarr", chunk_bytes=CHUNK)
    flip_bit(Path("e.zarr/t/c/2"))
    with pytest.raises(StoreError, match=r"chunk t/c/2 of .*which holds event 100:150.*checksum"):
        open_store("e.zarr")


def test_what_is_no_store_is_said() -> None:
    Path("folder").mkdir()
    xr.Dataset({"v": ("x", [1.0])}).to_zarr("other.zarr", consolidated=False)
    Path("file").write_text("x")
    for path in ("folder", "other.zarr", "file"):
        with pytest.raises(StoreError, match=r"is no store of activome.*xarray\.open_zarr"):
            open_store(path)
        assert store_status(path).state == "damaged"
    with pytest.raises(StoreError, match="there is no nowhere"):
        open_store("nowhere")
    assert store_status("nowhere").state == "absent"


def test_a_store_of_a_later_format_is_refused() -> None:
    from activome.activity.store._manifest import seal, unseal

    write_store(counts(3), "s.zarr")
    file = Path("s.zarr/activome.json")
    file.write_text(seal(unseal(file.read_text()) | {"format": 2}))
    with pytest.raises(StoreError, match=r"format 2; this version reads format 1"):
        open_store("s.zarr")
