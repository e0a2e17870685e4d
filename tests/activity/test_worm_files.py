"""Homogenized recordings on disk: sets of stores, tables, and what a killed writer leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from activome.activity.worm import (
    Worms,
    WormSchema,
    homogenize,
    read_worms,
    to_parquet,
    to_zarr,
)
from activome.errors import ActivityError, ActivityWarning, ReadError, StoreError


def recording(
    labels: Any = ("AVAL", "VB02", None), n: int = 700, step: float = 0.5, **changes: Any
) -> dict[str, Any]:
    rng = np.random.default_rng(len(labels))
    time = 5.0 + np.cumsum(step * (1 + 0.05 * rng.uniform(-1, 1, n)))
    traces = np.cumsum(rng.standard_normal((n, len(labels))), axis=0)
    return {"time": time, "traces": traces, "labels": list(labels), "source": "lab"} | changes


def worms(n: int = 2, first: int = 0) -> Worms[xr.Dataset]:
    given = [
        recording(["AVAL", f"VB0{k + 1}", "AVA?"], worm=f"w{first + k}", n=610) for k in range(n)
    ]
    return homogenize(given, companions=True, ambiguous="nearest", smooth="exponential")


def test_zarr_round_trip_and_append(tmp_path: Path) -> None:
    first, second = worms(2), worms(1, first=2)
    first.to_zarr(tmp_path / "set")
    second.to_zarr(tmp_path / "set")
    back = read_worms(tmp_path / "set", companions=True)
    assert [worm.attrs["worm"] for worm in back] == ["w0", "w1", "w2"]
    for one, other in zip(back, [*first, *second], strict=True):
        assert set(one.data_vars) == set(other.data_vars)
        for name in other.data_vars:
            np.testing.assert_array_equal(one[name].values, other[name].values)
        for name in ("labelled", "observed", "guessed", "original_label", "time", "original_time"):
            np.testing.assert_array_equal(one[name].values, other[name].values)
        assert WormSchema().check(one) == []
    activity = read_worms(tmp_path / "set")[0]
    assert isinstance(activity, xr.DataArray)
    assert activity.attrs["original_dt"] == first[0].attrs["original_dt"]
    to_zarr(second, tmp_path / "set", append=False)
    assert [worm.attrs["worm"] for worm in read_worms(tmp_path / "set")] == ["w2"]


def test_a_set_holds_one_form(tmp_path: Path) -> None:
    homogenize([recording()]).to_zarr(tmp_path / "set")
    with pytest.raises(ActivityError, match=r"other dt of 0.5 s, not 0.333 s"):
        homogenize([recording()], dt=0.5).to_zarr(tmp_path / "set")
    with pytest.raises(ActivityError, match="other names"):
        homogenize([recording()], order=["AVAL", "VB2", "X"]).to_zarr(tmp_path / "set")
    with pytest.raises(ActivityError, match="contradict the mask"):
        to_zarr([homogenize([recording()])[0].fillna(0.0)], tmp_path / "set")
    assert len(read_worms(tmp_path / "set")) == 1


def _write_and_die(path: str) -> None:
    def stream() -> Any:
        yield from worms(1, first=7)
        os._exit(9)

    to_zarr(stream(), path)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_killed_writer_leaves_no_whole_looking_set(
    tmp_path: Path, is_new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new process imports this file.
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    place = tmp_path / "set"
    if not is_new:
        worms(1).to_zarr(place)
    process = multiprocessing.get_context("spawn").Process(
        target=_write_and_die, args=(str(place),)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    assert len(list(place.glob("worm-*"))) == (1 if is_new else 2)
    if is_new:
        with pytest.raises(StoreError, match=r"index.json, which is written last"):
            read_worms(place)
    else:
        assert [worm.attrs["worm"] for worm in read_worms(place)] == ["w0"]
    worms(1, first=3).to_zarr(place)
    assert read_worms(place)[-1].attrs["worm"] == "w3"
    assert len(list(place.glob("worm-*"))) == (1 if is_new else 2)


def test_damaged_sets_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "set"
    with pytest.raises(StoreError, match="there is neither"):
        read_worms(place)
    worms(1).to_zarr(place)
    shutil.rmtree(place / "worm-000000" / "calcium")
    with pytest.raises(StoreError, match="is in the index, but is gone"):
        read_worms(place)
    (place / "index.json").write_text("{")
    with pytest.raises(StoreError, match="is no index"):
        read_worms(place)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no set of recordings"):
        worms(1).to_zarr(tmp_path / "other")


def test_parquet_round_trip(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs activome[tables]")
    given = worms(2)
    given.to_parquet(tmp_path / "worms.parquet")
    table = parquet.read_table(tmp_path / "worms.parquet")
    assert table.num_rows == 6
    columns = {"source_dataset", "worm", "neuron", "is_labelled", "original_time", "time"}
    assert columns | {"original_calcium", "calcium", "residual"} <= set(table.column_names)
    back = read_worms(tmp_path / "worms.parquet", companions=True)
    for one, other in zip(back, given, strict=True):
        for name in other.data_vars:
            np.testing.assert_array_equal(one[name].values, other[name].values)
        for name in ("labelled", "observed", "guessed", "original_label", "time"):
            np.testing.assert_array_equal(one[name].values, other[name].values)
        assert one.attrs["dt"] == 0.333
    with pytest.raises(ActivityError, match="at least one recording"):
        to_parquet([], tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_published_table_is_read_and_its_half_precision_stamps_mended(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="a dependency")
    pytest.importorskip("pyarrow", reason="needs activome[tables]")
    worm = homogenize([recording(n=3000, step=0.6)])[0]
    stamps = worm.time.values.astype(np.float16).astype(np.float32)
    assert np.unique(stamps).size < stamps.size
    rows = [
        {
            "source_dataset": "Kato2015",
            "worm": "worm0",
            "neuron": name,
            "is_labeled_neuron": bool(worm.labelled.sel(unit=name)),
            "calcium_data": worm.sel(unit=name).values,
            "time_in_seconds": stamps,
        }
        for name in worm.unit.values[worm.observed]
    ]
    pandas.DataFrame(rows).to_parquet(tmp_path / "published.parquet")
    with pytest.warns(ActivityWarning, match="stamps of 1 of 1 animals were stored rounded"):
        back = read_worms(tmp_path / "published.parquet")[0]
    np.testing.assert_array_equal(back.time, worm.time)
    np.testing.assert_array_equal(back.values, worm.values)
    assert back.attrs["source"] == "Kato2015"


def test_bad_tables(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="a dependency")
    pytest.importorskip("pyarrow", reason="needs activome[tables]")
    file = tmp_path / "t.parquet"
    pandas.DataFrame({"worm": ["a"]}).to_parquet(file)
    with pytest.raises(ReadError, match="it lacks source_dataset, neuron"):
        read_worms(file)
    row = {"source_dataset": "a", "worm": "b", "is_labelled": True, "time": [0.0, 1.0]}
    pandas.DataFrame([row | {"neuron": "foo", "calcium": [0.0, 1.0]}]).to_parquet(file)
    with pytest.raises(ReadError, match="'foo' is none of the 300 names"):
        read_worms(file)
    file.write_bytes(b"PAR1 is not all it takes")
    with pytest.raises(ReadError, match="no sound Parquet file"):
        read_worms(file)


def test_index_is_plain_json(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        worms(1).to_zarr(tmp_path / "set")
    index = json.loads((tmp_path / "set" / "index.json").read_text())
    assert index["worms"][0]["worm"] == "w0"
    assert len(index["names"]) == 300
