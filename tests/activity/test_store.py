"""Stores: what is written comes back identical."""

from __future__ import annotations

import json
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
from stores import assert_same, opened, recording

from activome.activity.events import Events
from activome.activity.schema import make
from activome.activity.store import (
    StoreWriter,
    is_complete,
    open_store,
    write_store,
)
from activome.errors import ActivityError, ParameterError, StoreError

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("chunk_bytes", [64, 2**20])
def test_everything_of_an_activity_comes_back(lazy: bool, chunk_bytes: int) -> None:
    activity = recording()
    write_store(activity, "a.zarr", chunk_bytes=chunk_bytes)
    found = opened("a.zarr", lazy=lazy)
    assert (found.chunks is not None) == lazy
    assert_same(found, activity)
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
    found = opened(path).load()
    xr.testing.assert_identical(found, activity)
    assert found.dtype == activity.dtype
    assert found.values.tobytes() == np.ascontiguousarray(activity.values).tobytes()


def test_dims_in_another_order_dates_and_bare_dims_come_back() -> None:
    bare = xr.DataArray(np.arange(6).reshape(2, 3), dims=("unit", "time"), attrs={"kind": "rate"})
    stamps = np.array(["2020-01-01T00:00:00.5", "NaT", "1999-12-31"], dtype="datetime64[ns]")
    steps = np.array([1, 2], dtype="timedelta64[ms]").astype("timedelta64[ns]")
    bare = bare.assign_coords(when=("time", stamps), delay=("unit", steps))
    write_store(bare, "bare.zarr")
    xr.testing.assert_identical(opened("bare.zarr").load(), bare)


def test_strangers_read_the_store() -> None:
    activity = recording()
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
    assert opened("a.zarr").chunks == ((2, 2, 2), (100,), (10,))
    write_store(make(np.zeros((2, 100, 10), np.float64)), "b.zarr", chunk_bytes=4_000)
    assert opened("b.zarr").chunks == ((1, 1), (50, 50), (10,))


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
        "feature": rng.integers(-2, 9, n),
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


def test_refusals_of_names_types_and_places() -> None:
    activity = recording()
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
    activity = recording()
    write_store(activity, "a.zarr")
    with pytest.raises(StoreError, match="overwrite=True"):
        write_store(activity, "a.zarr")
    with pytest.raises(StoreError, match="resume=True"), StoreWriter("a.zarr", activity):
        pass
    write_store(activity + 1, "a.zarr", overwrite=True)
    np.testing.assert_array_equal(opened("a.zarr").values, activity.values + 1)
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
    np.testing.assert_array_equal(opened("a.zarr").values, 1.0)


_MEMORY = """
import resource, sys
import dask.array, numpy as np
from activome.activity.schema import make
from activome.activity.store import StoreWriter, open_store, write_store
write_store(make(np.zeros((2, 2))), "warm.zarr"); open_store("warm.zarr").load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n_times, n_units, step = 600_000, 100, 20_000
block = np.random.default_rng(0).standard_normal((step, n_units)).astype("f4")
template = make(block, sampling_rate=1000.0)
with StoreWriter("a.zarr", template, chunk_bytes=2**20) as writer:
    for start in range(0, n_times, step):
        writer.append(template.assign_coords(time=(start + np.arange(step)) / 1000.0))
total = 0.0
lazy = open_store("a.zarr")
for start in range(0, n_times, step):
    total += float(lazy[start : start + step].values.sum(dtype="f8"))
assert abs(total - 30 * block.sum(dtype="f8")) < 1e-6 * abs(total) + 1e-3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource is part of POSIX systems only")
def test_memory_stays_bounded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True, timeout=120
    )
    # 240 MB go through; 8 MB blocks, 5 MB of times (with copies) and the codecs' chunks are held.
    assert int(done.stdout) < 120_000
