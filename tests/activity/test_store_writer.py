"""Writers of stores: block by block, growing, and read while they grow."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import xarray as xr
from stores import files_of, opened, recording

from activome.activity.schema import make
from activome.activity.store import (
    StoreWriter,
    is_complete,
    open_store,
    store_status,
    write_store,
)
from activome.errors import ActivityError, StoreError


@pytest.mark.parametrize("dim", ["trial", "time"])
@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]])
@pytest.mark.parametrize("chunk_bytes", [1, 170, 10_000])
def test_blocks_join_to_one_store(dim: str, sizes: list[int], chunk_bytes: int) -> None:
    activity = recording(n_times=5)
    for path, cuts in (("blocks.zarr", sizes), ("once.zarr", [5])):
        with StoreWriter(path, activity, dim=dim, chunk_bytes=chunk_bytes) as writer:
            start = 0
            for size in cuts:
                writer.append(activity.isel({dim: slice(start, start + size)}))
                start += size
                assert writer.n_written == start
    xr.testing.assert_identical(opened("blocks.zarr").load(), activity)
    assert files_of("blocks.zarr") == files_of("once.zarr")


@pytest.mark.parametrize("empty", [np.zeros((), np.uint8), np.array(np.nan, np.float32)])
def test_chunks_of_nothing_are_written_after_growth_and_resumption(
    empty: np.ndarray[Any, Any],
) -> None:
    """They are values like others: a chunk that is missing would be refused as a fault."""
    activity = make(np.full((80, 4), empty), sampling_rate=1.0)
    options: dict[str, Any] = {"chunk_bytes": 4 * empty.dtype.itemsize}
    with StoreWriter("once.zarr", activity, length=80, **options) as writer:
        writer.append(activity)
    # Room is made for 16 chunks at first, and doubled when they are full.
    with StoreWriter("grown.zarr", activity, **options) as writer:
        for start in range(0, 80, 10):
            writer.append(activity[start : start + 10])
    for part in (activity[:30], activity[30:]):
        with StoreWriter("resumed.zarr", activity, resume=True, **options) as writer:
            writer.append(part)
    for path in ("once.zarr", "grown.zarr", "resumed.zarr"):
        xr.testing.assert_identical(opened(path).load(), activity)
    assert files_of("grown.zarr") == files_of("resumed.zarr")


def test_lazy_blocks_and_a_known_length() -> None:
    activity = recording(n_trials=40)
    with StoreWriter("a.zarr", activity, length=40, chunk_bytes=200) as writer:
        writer.append(activity[:25].chunk({"trial": 3}))
        status = store_status("a.zarr")
        assert (status.state, status.n_chunks, status.n_chunks_total) == ("incomplete", 12, 20)
        assert status.writer == os.getpid()
        writer.append(activity[25:])
    xr.testing.assert_identical(opened("a.zarr").load(), activity)
    assert store_status("a.zarr").writer is None


def test_a_complete_store_grows() -> None:
    activity = recording(n_trials=9)
    options: dict[str, Any] = {"chunk_bytes": 340}
    with StoreWriter("once.zarr", activity, **options) as writer:
        writer.append(activity)
    with StoreWriter("twice.zarr", activity, **options) as writer:
        writer.append(activity[:5])
    with StoreWriter("twice.zarr", activity, **options, resume=True) as writer:
        assert writer.n_written == 5
    assert is_complete("twice.zarr")
    with StoreWriter("twice.zarr", activity, **options, resume=True) as writer:
        writer.append(activity[5:])
    assert files_of("once.zarr") == files_of("twice.zarr")
    write_store(activity[:5], "grown.zarr", **options)
    with StoreWriter("grown.zarr", activity, **options, resume=True) as writer:
        writer.append(activity[5:])
    xr.testing.assert_identical(opened("grown.zarr").load(), activity)


def test_a_reader_sees_what_is_committed() -> None:
    activity = recording(n_trials=30)
    with StoreWriter("a.zarr", activity, chunk_bytes=200) as writer:
        with pytest.raises(StoreError, match="no committed row yet"):
            open_store("a.zarr", partial=True)
        for i in range(30):
            writer.append(activity[i : i + 1])
            if writer.n_committed:
                found = opened("a.zarr", partial=True)
                assert found.sizes["trial"] == writer.n_committed
                xr.testing.assert_identical(found.load(), activity[: writer.n_committed])
        with pytest.raises(
            StoreError, match=r"incomplete: 15 chunks; resume.*Process \d+ is writing"
        ):
            open_store("a.zarr")
    xr.testing.assert_identical(opened("a.zarr", partial=True).load(), activity)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.isel(unit=[0]), "must have dims"),
        (lambda a: a.astype("float64"), "must have dims"),
        (lambda a: a.drop_vars("stimulus"), "'stimulus'.* only one of the two"),
        (lambda a: a.assign_coords(depth=("unit", np.ones(3, np.float32))), "'depth' must be that"),
        (lambda a: a.assign_coords(is_correct=("trial", [1, 2])), "'is_correct' must be bool"),
        (lambda a: a, "names of trials must be unique; 't0' is written already"),
        (lambda a: a[:, :0], "there are no values"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    activity = recording()
    writer = StoreWriter("a.zarr", activity, chunk_bytes=200)
    with writer:
        writer.append(activity[:2])
        with pytest.raises(ActivityError, match=message):
            writer.append(change(activity[:2]))
    with pytest.raises(StoreError, match="not open in this process"):
        writer.append(activity[2:])


def test_times_that_do_not_go_on_are_refused() -> None:
    activity = make(np.zeros((6, 2)), sampling_rate=10.0)
    with StoreWriter("a.zarr", activity, length=8) as writer:
        writer.append(activity)
        with pytest.raises(
            ActivityError, match="times must go on increasing; the block begins at 0 s"
        ):
            writer.append(activity[:2])
        with pytest.raises(ActivityError, match="begun for 8 rows; 6 are written"):
            writer.append(activity.assign_coords(time=activity.time + 1.0))
        writer.append(activity[:2].assign_coords(time=[1.0, 1.5]))
    assert opened("a.zarr").sizes["time"] == 8


def test_a_store_that_is_too_short_stays_incomplete() -> None:
    activity = recording()
    with (
        pytest.raises(StoreError, match="begun for 9 rows along 'trial'; 5 are written"),
        StoreWriter("a.zarr", activity, length=9, chunk_bytes=84) as writer,
    ):
        writer.append(activity)
    with pytest.raises(StoreError, match="incomplete: 5 of 9 chunks; resume"):
        open_store("a.zarr")
    assert not is_complete("a.zarr")
