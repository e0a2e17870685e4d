from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.activity.readers.worm_flavell import read_worm_flavell
from activome.activity.worm import homogenize
from activome.errors import ReadError

h5py = pytest.importorskip("h5py", reason="needs activome[worm]")

Array = np.ndarray[Any, Any]


def write(path: Path, *, traces: str = "gcamp/traces_array_F_F20", n_stamps: int = 720) -> Array:
    """An animal in the public layout: 700 volumes, a clock that runs on, behaviour."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((700, 4)).cumsum(axis=0)
    with h5py.File(path, "w") as store:
        store[traces] = values
        store["timing/timestamp_confocal"] = np.arange(n_stamps) * 0.6 + 2.0
        store["behavior/velocity"] = np.linspace(-1, 1, n_stamps)
        store["behavior/reversal_vec"] = (np.arange(n_stamps) % 50 < 10).astype(np.int64)
        store["behavior/pumping"] = np.zeros(n_stamps)
        store["behavior/head_angle"] = np.ones(n_stamps)
        store["behavior/unrelated"] = np.ones(3)
    return values


@pytest.mark.parametrize("place", ["gcamp/traces_array_F_F20", "gcamp/trace_array", "trace_array"])
def test_traces_stamps_and_behaviour(tmp_path: Path, place: str) -> None:
    values = write(tmp_path / "2022-07-26-31-data.h5", traces=place)
    recording = read_worm_flavell(tmp_path / "2022-07-26-31-data.h5", {1: "AVAL", 4: "RIML"})
    np.testing.assert_array_equal(recording.traces, values)
    np.testing.assert_allclose(recording.time, np.arange(700) * 0.6 + 2.0)
    assert list(recording.labels) == ["AVAL", None, None, "RIML"]
    # removesuffix, not strip: "-data.h5" as a set of characters would eat into the name.
    assert recording.worm == "2022-07-26-31"
    assert set(recording.extra) == {"velocity", "reversal_vec", "pumping", "head_angle"}
    assert all(track.shape == (700,) for track in recording.extra.values())


def test_a_name_that_ends_in_the_suffix_letters_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "data-h5-data.h5")
    assert read_worm_flavell(tmp_path / "data-h5-data.h5").worm == "data-h5"


TABLES: list[Any] = [
    {"1": "AVAL", "3": "VB02"},
    {"1": {"label": "AVAL", "confidence": 3}, "3": {"label": "VB02"}},
    {"w": {"1": {"label": "AVAL"}, "3": {"label": "VB02"}}, "other": {}},
    {"w": [{"1": {"label": "AVAL"}, "3": {"label": "VB02"}}, {"AVAL": ["1"]}]},
]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("as_file", [True, False])
def test_label_tables(tmp_path: Path, table: Any, as_file: bool) -> None:
    write(tmp_path / "w-data.h5")
    (tmp_path / "labels.json").write_text(json.dumps(table))
    labels = tmp_path / "labels.json" if as_file else table
    recording = read_worm_flavell(tmp_path / "w-data.h5", labels)
    assert list(recording.labels) == ["AVAL", None, "VB02", None]


def write_jld2(path: Path) -> None:
    """Dictionaries as JLD2 stores them: vectors of pairs, behind references."""
    text = h5py.string_dtype()
    pair = np.dtype([("first", text), ("second", h5py.ref_dtype)])
    with h5py.File(path, "w", userblock_size=512) as store:
        entries = np.empty(2, dtype=pair)
        for k, (number, name) in enumerate((("1", "AVAL"), ("3", "VB02"))):
            entry = np.empty(1, dtype=np.dtype([("first", text), ("second", text)]))
            entry[0] = ("label", name)
            store[f"_types/label{k}"] = entry
            entries[k] = (number, store[f"_types/label{k}"].ref)
        store["_types/by_trace"] = entries
        animals = np.empty(1, dtype=pair)
        animals[0] = ("w", store["_types/by_trace"].ref)
        store["_types/animals"] = animals
        wrapped = np.empty((), dtype=np.dtype([("kvvec", h5py.ref_dtype)]))
        wrapped["kvvec"] = store["_types/animals"].ref
        store["labels"] = wrapped
    with path.open("r+b") as stream:
        stream.write(b"HDF5-based Julia Data Format, version 0.1.1")


def test_labels_of_julia(tmp_path: Path) -> None:
    write(tmp_path / "w-data.h5")
    write_jld2(tmp_path / "labels.jld2")
    recording = read_worm_flavell(tmp_path / "w-data.h5", tmp_path / "labels.jld2")
    assert list(recording.labels) == ["AVAL", None, "VB02", None]


def test_goes_straight_into_the_pipeline(tmp_path: Path) -> None:
    write(tmp_path / "w-data.h5")
    recording = read_worm_flavell(tmp_path / "w-data.h5", {1: "AVA?", 2: "VB02", 3: "RIML"})
    worm = homogenize([recording])[0]
    assert worm.unit.values[worm.labelled].tolist() == ["RIML", "VB2"]
    assert worm.attrs["original_dt"] == pytest.approx(0.6)
    assert worm.attrs["worm"] == "w"


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="there is no such file"):
        read_worm_flavell(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(ReadError, match="no sound HDF5 recording file"):
        read_worm_flavell(tmp_path / "text.h5")
    write(tmp_path / "odd.h5", traces="gcamp/other")
    with pytest.raises(ReadError, match="must hold traces at gcamp/traces_array_F_F20 or"):
        read_worm_flavell(tmp_path / "odd.h5")
    write(tmp_path / "few.h5", n_stamps=699)
    with pytest.raises(ReadError, match=r"traces of shape \(700, 4\) and 699 stamps"):
        read_worm_flavell(tmp_path / "few.h5")
    write(tmp_path / "w-data.h5")
    with pytest.raises(ReadError, match="number traces from 1 to 4; got 5"):
        read_worm_flavell(tmp_path / "w-data.h5", {5: "AVAL"})
    with pytest.raises(ReadError, match="number traces from 1 to 4; got 0"):
        read_worm_flavell(tmp_path / "w-data.h5", {0: "AVAL"})
    with pytest.raises(ReadError, match="know nothing of 'w'; they have 'v'"):
        read_worm_flavell(tmp_path / "w-data.h5", {"v": {"1": "AVAL"}})
    with pytest.raises(ReadError, match="dictionary from trace numbers to names; got str"):
        read_worm_flavell(tmp_path / "w-data.h5", {"w": "AVAL"})
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(ReadError, match="one dictionary of labels; got 0"):
        read_worm_flavell(tmp_path / "w-data.h5", tmp_path / "list.json")


def test_cut_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "w-data.h5")
    whole = (tmp_path / "w-data.h5").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "cut.h5").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ReadError, match=r"cut\.h5"):
            read_worm_flavell(tmp_path / "cut.h5")
