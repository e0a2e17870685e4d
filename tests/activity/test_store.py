"""Stores: what is written comes back identical, whole or block by block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from activome.activity.events import Events
from activome.activity.schema import make
from activome.activity.store import (
    StoreWriter,
    is_complete,
    open_store,
    store_status,
    write_store,
)
from activome.errors import ActivityError, ParameterError, StoreError

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


def _opened(path: Any, **options: Any) -> xr.DataArray:
    found = open_store(path, **options)
    assert isinstance(found, xr.DataArray)
    return found


def _recording(n_trials: int = 5, n_times: int = 7, n_units: int = 3) -> xr.DataArray:
    rng = np.random.default_rng(0)
    mixed = np.array(["a", None, 1.5, True, 3][:n_units], dtype=object)
    activity = make(
        rng.standard_normal((n_trials, n_times, n_units)).astype(np.float32),
        sampling_rate=250.0,
        start=-0.5,
        trial=[f"t{i}" for i in range(n_trials)],
        unit=[f"ü{i}" for i in range(n_units)],
        coords={
            "stimulus": ("trial", np.array(["blå", "röd", "x", "", "y"] * n_trials)[:n_trials]),
            "is_correct": ("trial", np.arange(n_trials) % 2 == 0),
            "block": ("time", np.arange(n_times, dtype=np.uint8)),
            "depth": ("unit", np.linspace(0, 1, n_units, dtype=np.float32)),
            "mixed": ("unit", mixed),
        },
        valid=rng.random((n_trials, n_times)) < 0.7,
        kind="voltage",
        units="V",
        source="généré",
        name="lfp",
    )
    activity = activity.assign_coords(subject="m1", session=3)
    activity["depth"].attrs["units"] = "mm"
    activity.attrs |= {
        "note": [1, "two", None, {"three": 3.5}],
        "size": (1, 2),
        "gain": np.float32(2),
    }
    return activity


def _same(found: xr.DataArray, wanted: xr.DataArray) -> None:
    xr.testing.assert_identical(found.load(), wanted)
    assert found.dtype == wanted.dtype
    for name, coordinate in wanted.coords.items():
        assert found[name].dtype == coordinate.dtype, name
    assert {k: type(v) for k, v in found.attrs.items()} == {
        k: type(v) for k, v in wanted.attrs.items()
    }


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("chunk_bytes", [64, 2**20])
def test_everything_of_an_activity_comes_back(lazy: bool, chunk_bytes: int) -> None:
    activity = _recording()
    write_store(activity, "a.zarr", chunk_bytes=chunk_bytes)
    found = _opened("a.zarr", lazy=lazy)
    assert (found.chunks is not None) == lazy
    _same(found, activity)
    assert is_complete("a.zarr")


@given(
    values=hnp.arrays(
        st.sampled_from(
            ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", ">f4"]
        ),
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4),
    ),
    dims=st.sampled_from(
        [("trial", "time", "unit"), ("time", "unit"), ("trial", "unit"), ("time",), ("unit",)]
    ),
    labels=st.lists(_TEXT, min_size=5, max_size=5, unique=True),
    chunk_bytes=st.integers(8, 400),
    compress=st.sampled_from(["auto", "zstd", "none"]),
    name=st.none() | _TEXT,
    attrs=st.dictionaries(_TEXT, st.none() | st.floats() | st.integers() | _TEXT, max_size=3),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_activity_comes_back(
    tmp_path: Path,
    values: Any,
    dims: tuple[str, ...],
    labels: list[str],
    chunk_bytes: int,
    compress: str,
    name: str | None,
    attrs: dict[str, Any],
) -> None:
    values = values[(0,) * (3 - len(dims))]
    named = {
        dim: labels[: values.shape[dims.index(dim)]] for dim in ("trial", "unit") if dim in dims
    }
    activity = make(values, dims, name=name, **named)  # type: ignore[arg-type]  # labels by dim
    activity.attrs |= attrs
    path = tmp_path / "a.zarr"
    write_store(activity, path, chunk_bytes=chunk_bytes, compress=compress, overwrite=True)
    found = _opened(path).load()
    xr.testing.assert_identical(found, activity)
    assert found.dtype == activity.dtype
    assert found.values.tobytes() == np.ascontiguousarray(activity.values).tobytes()


def test_dims_in_another_order_dates_and_bare_dims_come_back() -> None:
    bare = xr.DataArray(np.arange(6).reshape(2, 3), dims=("unit", "time"), attrs={"kind": "rate"})
    stamps = np.array(["2020-01-01T00:00:00.5", "NaT", "1999-12-31"], dtype="datetime64[ns]")
    steps = np.array([1, 2], dtype="timedelta64[ms]").astype("timedelta64[ns]")
    bare = bare.assign_coords(when=("time", stamps), delay=("unit", steps))
    write_store(bare, "bare.zarr")
    xr.testing.assert_identical(_opened("bare.zarr").load(), bare)


def test_strangers_read_the_store() -> None:
    activity = _recording()
    write_store(activity, "a.zarr", chunk_bytes=200)
    dataset = xr.open_zarr("a.zarr")
    np.testing.assert_array_equal(dataset["values"].values, activity.values)
    assert dataset["values"].dims == activity.dims
    np.testing.assert_array_equal(dataset["stimulus"].values, activity["stimulus"].values)
    assert {"stimulus", "valid", "depth", "subject"} <= set(dataset.coords)
    group = zarr.open_group("a.zarr", mode="r")
    arrays = dict(group.arrays())
    np.testing.assert_array_equal(np.asarray(arrays["unit"][:]), activity["unit"].values)
    assert arrays["values"].metadata.to_dict()["codecs"][-1] == {"name": "crc32c"}  # type: ignore[index]  # JSON


def test_compression_is_chosen_by_the_values() -> None:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((400, 10)).astype(np.float32)
    cases = {
        "dense": (dense, False),
        "rectified": (np.maximum(dense, 0), True),
        "counts": (rng.poisson(3.0, (400, 10)).astype(np.uint8), True),
    }
    for name, (values, is_compressed) in cases.items():
        write_store(make(values), f"{name}.zarr")
        codecs = [
            c["name"]
            for c in json.loads(Path(f"{name}.zarr/values/zarr.json").read_text())["codecs"]
        ]
        assert ("zstd" in codecs) == is_compressed, name
        assert codecs[-1] == "crc32c"
    document = json.loads(Path("dense.zarr/values/zarr.json").read_text())
    assert document["fill_value"] == "NaN"


def test_chunks_hold_the_bytes_asked_for() -> None:
    write_store(make(np.zeros((6, 100, 10), np.float64)), "a.zarr", chunk_bytes=16_000)
    assert _opened("a.zarr").chunks == ((2, 2, 2), (100,), (10,))
    write_store(make(np.zeros((2, 100, 10), np.float64)), "b.zarr", chunk_bytes=4_000)
    assert _opened("b.zarr").chunks == ((1, 1), (50, 50), (10,))


def _events(**more: Any) -> Events:
    rng = np.random.default_rng(1)
    n, trial = 200, np.sort(rng.integers(0, 4, 200))
    t = rng.integers(-50, 1000, n)
    order = np.lexsort((t, trial))
    table = pd.DataFrame(
        {
            "region": ["CA1", "CA3", "ünï"],
            "depth": [0.5, np.nan, 2.0],
            "n_spikes": np.array([3, 4, 5], np.int16),
            "is_good": [True, False, True],
            "note": pd.Series(["x", None, "z"], dtype="str"),
            "mixed": pd.Series(["x", 1, None], dtype=object),
            7: [1, 2, 3],
        },
        index=pd.Index(["u1", "u2", "ü3"]),
    )
    columns: dict[str, Any] = {
        "trial": trial[order],
        "value": rng.standard_normal(n).astype(np.float32),
        "x": rng.integers(0, 30, n),
        "y": rng.integers(0, 20, n),
        "p": rng.choice([-1, 1], n),
        "shape": (24, 32),
        "n_trials": 6,
        "unit_table": table,
        "t_start": -100,
        "t_stop": 2000,
        "source": "généré",
        "tick": 1 / 30_000,
    }
    return Events(t[order], rng.integers(0, 3, n), **(columns | more))


@pytest.mark.parametrize("chunk_bytes", [100, 2**20])
def test_everything_of_events_comes_back(chunk_bytes: int) -> None:
    events = _events()
    write_store(events, "e.zarr", chunk_bytes=chunk_bytes)
    found = open_store("e.zarr")
    assert isinstance(found, Events)
    assert found.equals(events)
    for name in ("t", "unit", "trial", "value", "x", "y", "p"):
        np.testing.assert_array_equal(getattr(found, name), getattr(events, name))
        assert getattr(found, name).dtype == getattr(events, name).dtype
    for name in ("tick", "n_units", "n_trials", "shape", "t_start", "t_stop", "source"):
        assert getattr(found, name) == getattr(events, name)
    pd.testing.assert_frame_equal(found.unit_table, events.unit_table)
    assert is_complete("e.zarr")


def test_bare_and_empty_events_come_back() -> None:
    for i, events in enumerate(
        [Events([1, 5, 9], [0, 1, 0]), Events([], [], n_units=4, t_stop=10)]
    ):
        write_store(events, f"e{i}.zarr")
        found = open_store(f"e{i}.zarr")
        assert isinstance(found, Events)
        assert found.equals(events)
        pd.testing.assert_frame_equal(found.unit_table, events.unit_table)
        assert found.trial is None


def _tree(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


@pytest.mark.parametrize("dim", ["trial", "time"])
@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]])
@pytest.mark.parametrize("chunk_bytes", [1, 170, 10_000])
def test_blocks_join_to_one_store(dim: str, sizes: list[int], chunk_bytes: int) -> None:
    activity = _recording(n_times=5)
    for path, cuts in (("blocks.zarr", sizes), ("once.zarr", [5])):
        with StoreWriter(path, activity, dim=dim, chunk_bytes=chunk_bytes) as writer:
            start = 0
            for size in cuts:
                writer.append(activity.isel({dim: slice(start, start + size)}))
                start += size
                assert writer.n_written == start
    xr.testing.assert_identical(_opened("blocks.zarr").load(), activity)
    assert _tree("blocks.zarr") == _tree("once.zarr")


def test_lazy_blocks_and_a_known_length() -> None:
    activity = _recording(n_trials=40)
    with StoreWriter("a.zarr", activity, length=40, chunk_bytes=200) as writer:
        writer.append(activity[:25].chunk({"trial": 3}))
        status = store_status("a.zarr")
        assert (status.state, status.n_chunks, status.n_chunks_total) == ("incomplete", 12, 20)
        assert status.writer == os.getpid()
        writer.append(activity[25:])
    xr.testing.assert_identical(_opened("a.zarr").load(), activity)
    assert store_status("a.zarr").writer is None


def test_a_complete_store_grows() -> None:
    activity = _recording(n_trials=9)
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
    assert _tree("once.zarr") == _tree("twice.zarr")
    write_store(activity[:5], "grown.zarr", **options)
    with StoreWriter("grown.zarr", activity, **options, resume=True) as writer:
        writer.append(activity[5:])
    xr.testing.assert_identical(_opened("grown.zarr").load(), activity)


def test_a_reader_sees_what_is_committed() -> None:
    activity = _recording(n_trials=30)
    with StoreWriter("a.zarr", activity, chunk_bytes=200) as writer:
        with pytest.raises(StoreError, match="no committed row yet"):
            open_store("a.zarr", partial=True)
        for i in range(30):
            writer.append(activity[i : i + 1])
            if writer.n_committed:
                found = _opened("a.zarr", partial=True)
                assert found.sizes["trial"] == writer.n_committed
                xr.testing.assert_identical(found.load(), activity[: writer.n_committed])
        with pytest.raises(
            StoreError, match=r"incomplete: 15 chunks; resume.*Process \d+ is writing"
        ):
            open_store("a.zarr")
    xr.testing.assert_identical(_opened("a.zarr", partial=True).load(), activity)


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
    activity = _recording()
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
    assert _opened("a.zarr").sizes["time"] == 8


def test_a_store_that_is_too_short_stays_incomplete() -> None:
    activity = _recording()
    with (
        pytest.raises(StoreError, match="begun for 9 rows along 'trial'; 5 are written"),
        StoreWriter("a.zarr", activity, length=9, chunk_bytes=84) as writer,
    ):
        writer.append(activity)
    with pytest.raises(StoreError, match="incomplete: 5 of 9 chunks; resume"):
        open_store("a.zarr")
    assert not is_complete("a.zarr")


def test_refusals_of_names_types_and_places() -> None:
    activity = _recording()
    for name in ("../x", "a/b", "..", "a..b", "__x"):
        with pytest.raises(StoreError, match="stored under its name"):
            write_store(activity.assign_coords({name: ("unit", [1, 2, 3])}), "a.zarr")
    with pytest.raises(StoreError, match=r"attributes of the array .* there is a builtins\.object"):
        write_store(activity.assign_attrs(x=object()), "a.zarr")
    sets = np.array([{1}, {2}, {3}], dtype=object)
    with pytest.raises(StoreError, match="'s' must hold text"):
        write_store(activity.assign_coords(s=("unit", sets)), "a.zarr")
    with pytest.raises(ActivityError, match="must be an Activity or Events; got list"):
        write_store([1], "a.zarr")  # type: ignore[arg-type]  # refused on purpose
    with pytest.raises(ParameterError, match="unknown compress 'gzip'"):
        write_store(activity, "a.zarr", compress="gzip")
    with pytest.raises(ParameterError, match="chunk_bytes"):
        write_store(activity, "a.zarr", chunk_bytes=0)
    for path in ("s3://bucket/x", "..", "x/..", "a..zarr"):
        with pytest.raises(StoreError, match="local folder"):
            write_store(activity, path)
    assert list(Path().iterdir()) == []


def test_only_stores_are_overwritten() -> None:
    activity = _recording()
    write_store(activity, "a.zarr")
    with pytest.raises(StoreError, match="overwrite=True"):
        write_store(activity, "a.zarr")
    with pytest.raises(StoreError, match="resume=True"), StoreWriter("a.zarr", activity):
        pass
    write_store(activity + 1, "a.zarr", overwrite=True)
    np.testing.assert_array_equal(_opened("a.zarr").values, activity.values + 1)
    Path("thesis").mkdir()
    Path("thesis/text").write_text("years of work")
    for path in ("thesis", "thesis/text"):
        with pytest.raises(StoreError, match="is no store of activome"):
            write_store(activity, path, overwrite=True)
    with pytest.raises(StoreError, match="no store"), StoreWriter("thesis", activity, resume=True):
        pass
    assert Path("thesis/text").read_text() == "years of work"
    assert sorted(p.name for p in Path().iterdir()) == ["a.zarr", "thesis"]


def test_a_failed_write_leaves_nothing_behind() -> None:
    def fail(block: Any) -> Any:
        raise RuntimeError("the source broke")

    lazy = dask.array.zeros((4, 3), chunks=(1, 3)).map_blocks(
        fail, dtype=float, meta=np.empty((0, 0))
    )
    write_store(make(np.ones((4, 3))), "a.zarr")
    with pytest.raises(RuntimeError, match="the source broke"):
        write_store(make(lazy), "a.zarr", overwrite=True)
    assert [p.name for p in Path().iterdir()] == ["a.zarr"]
    np.testing.assert_array_equal(_opened("a.zarr").values, 1.0)


_MEMORY = """
import resource, sys
import dask.array, numpy as np
from activome.activity.schema import make
from activome.activity.store import StoreWriter, open_store, write_store
write_store(make(np.zeros((2, 2))), "warm.zarr"); open_store("warm.zarr").load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n_times, n_units, step = 750_000, 100, 30_000
block = np.random.default_rng(0).standard_normal((step, n_units)).astype("f4")
template = make(block, sampling_rate=1000.0)
with StoreWriter("a.zarr", template, chunk_bytes=2**20) as writer:
    for start in range(0, n_times, step):
        writer.append(template.assign_coords(time=(start + np.arange(step)) / 1000.0))
total = 0.0
lazy = open_store("a.zarr")
for start in range(0, n_times, step):
    total += float(lazy[start : start + step].values.sum(dtype="f8"))
assert abs(total - 25 * block.sum(dtype="f8")) < 1e-6 * abs(total) + 1e-3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource is part of POSIX systems only")
def test_memory_stays_bounded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True, timeout=120
    )
    # 300 MB go through; 12 MB blocks, 6 MB of times (with copies) and the codecs' chunks are held.
    assert int(done.stdout) < 120_000
