"""Finding the reader by content, saving by suffix, and round trips of labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from damage import FORMATS, pixels, sound, spikes, voltage

import activome
from activome.activity.events import Events
from activome.activity.readers import load, save, sniff
from activome.activity.schema import Activity, make
from activome.errors import ActivityWarning, MissingExtraError, ParameterError, ReadError

EXPECTED = {
    "npz": "npz", "npy": "npy", "csv": "csv", "parquet": "parquet", "nwb": "nwb", "edf": "edf",
    "fif": "fif", "vhdr": "brainvision", "set": "eeglab", "nii": "nifti", "gz": "nifti",
    "mat": "matlab", "dat": "prophesee", "raw": "prophesee", "aedat4": "aedat",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_the_content_decides_not_the_name(name: str, tmp_path: Path) -> None:
    path = sound(name, tmp_path)
    other = path.rename(tmp_path / "misnamed.jpg")
    assert sniff(other) == EXPECTED[name.rsplit(".", 1)[-1]]
    misnamed = load(other)
    other.rename(path)
    assert misnamed.equals(load(path))  # type: ignore[arg-type]  # of one type by construction


@pytest.mark.parametrize("name", [n for n in FORMATS if n.endswith((".fif", ".set", ".nwb"))])
def test_a_new_process_reads_what_this_one_wrote(name: str, tmp_path: Path) -> None:
    """Packages that load their parts on first use have none loaded there."""
    path = sound(name, tmp_path)
    code = "import sys, activome; print(activome.load(sys.argv[1]).sizes)"
    if isinstance(load(path), Events):
        code = code.replace(".sizes", ".n_units")
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".zarr"])
@pytest.mark.parametrize("maker", [voltage, spikes, pixels])
def test_full_formats_keep_every_label(
    suffix: str, maker: Callable[[], Activity | Events], tmp_path: Path
) -> None:
    data = maker()
    save(data, tmp_path / f"data{suffix}")
    back = load(tmp_path / f"data{suffix}")
    if isinstance(data, Events):
        assert isinstance(back, Events)
        assert back.equals(data)
        assert back.source == data.source
        pd.testing.assert_frame_equal(back.unit_table, data.unit_table)
    else:
        assert isinstance(back, type(data))
        assert back.compute().identical(data)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_ragged_trials_and_small_types_come_back(suffix: str, tmp_path: Path) -> None:
    valid = np.ones((2, 3), dtype=bool)
    valid[1, 2] = False
    data = make(
        np.arange(12, dtype=np.int16).reshape(2, 3, 2),
        time=[0.0, 0.1, 0.35],
        trial=["a", "b"],
        valid=valid,
        coords={"depth": ("unit", np.array([1.5, np.nan], dtype=np.float32))},
        name="counts",
    )
    save(data, tmp_path / f"data{suffix}")
    back = load(tmp_path / f"data{suffix}")
    assert isinstance(back, type(data))
    assert back.identical(data)
    assert back.dtype == np.int16
    assert back["depth"].dtype == np.float32


def test_numpy_opens_what_save_writes(tmp_path: Path) -> None:
    data = voltage()
    save(data, tmp_path / "data.npz")
    with np.load(tmp_path / "data.npz", allow_pickle=False) as held:
        np.testing.assert_array_equal(held["values"], data.values)
        np.testing.assert_array_equal(held["coords/unit"], data["unit"].values)


def test_source_names_the_file_and_its_checksum(tmp_path: Path) -> None:
    import hashlib

    path = sound("recording.edf", tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    data = load(path)
    assert not isinstance(data, Events)
    assert data.attrs["source"] == f"recording.edf (EDF, sha256 {digest})"


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    save(voltage(), path)
    before = path.read_bytes()
    bad = voltage().assign_coords(odd=("unit", np.array([{}, [], ()], dtype=object)))
    with pytest.raises(activome.errors.ActivityError, match="labels must be numbers or text"):
        save(bad, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["data.npz"]


def test_paths_that_are_no_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "gone.edf": "no such file", "loop": "cannot be opened", "folder": "folder",
        "pipe": "pipe or a device", "x\x00y": "cannot be opened",
    }  # fmt: skip
    for name, seen in cases.items():
        with pytest.raises(ReadError, match=seen):
            load(tmp_path / name)
        with pytest.raises(OSError, match=seen):
            sniff(tmp_path / name)


def test_unknown_options_and_suffixes_list_the_known(tmp_path: Path) -> None:
    path = sound("plain.npy", tmp_path)
    with pytest.raises(ParameterError, match=r"no option 'sampling'; .*'sampling_rate'"):
        load(path, sampling=3)
    with pytest.raises(ParameterError, match=r"must end in one of .*\.nwb"):
        save(voltage(), tmp_path / "data.docx")
    with pytest.raises(ParameterError, match="no option 'level'"):
        save(voltage(), tmp_path / "data.npz", level=3)


def test_a_missing_extra_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    path = sound("image.nii", tmp_path)
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "nibabel":
            raise ModuleNotFoundError(name=name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'activome\[fmri\]'"):
        load(path)


def test_memory_is_estimated_before_it_is_taken(tmp_path: Path) -> None:
    for name in FORMATS:
        path = sound(name, tmp_path)
        with pytest.raises(activome.errors.ResourceError, match=path.name):
            load(path, memory_limit=64)


@pytest.mark.parametrize(
    "name",
    ["recording.edf", "recording.fif", "recording.vhdr", "image.nii", "image.nii.gz",
     "voltage.nwb", "plain.npy"],
)  # fmt: skip
def test_lazy_values_equal_the_loaded_ones(name: str, tmp_path: Path) -> None:
    path = sound(name, tmp_path)
    lazy, whole = load(path, lazy=True), load(path)
    assert not isinstance(lazy, Events)
    assert not isinstance(whole, Events)
    assert hasattr(lazy.data, "dask")
    assert lazy.compute().identical(whole)
    part = lazy.isel(time=slice(2, 5), unit=[1])
    np.testing.assert_array_equal(part.values, whole.isel(time=slice(2, 5), unit=[1]).values)
    if hasattr(lazy, "close"):
        lazy.close()


def test_plain_npz_of_other_makers(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "mne.npz", data=values, ch_names=["a", "b", "c"], sfreq=50.0)
    data = load(tmp_path / "mne.npz")
    assert not isinstance(data, Events)
    assert data.dims == ("trial", "time", "unit")
    assert data.sizes["unit"] == 3
    np.testing.assert_array_equal(data.values, values.transpose(0, 2, 1))
    np.savez(tmp_path / "two.npz", rates=np.ones((3, 2)), other=np.zeros((4, 2)))
    with pytest.raises(ReadError, match=r"holds 2 things.*'rates'.*'other'.*what='rates'"):
        load(tmp_path / "two.npz")
    chosen = load(tmp_path / "two.npz", what="other", sampling_rate=10.0)
    assert not isinstance(chosen, Events)
    assert chosen.shape == (4, 2)
    with pytest.raises(ParameterError, match=r"'rate'.*'rates'"):
        load(tmp_path / "two.npz", what="rate")
    np.savez(tmp_path / "s.npz", spike_times=[0.1, 0.2, 0.3], spike_clusters=[1, 0, 1])
    events = load(tmp_path / "s.npz")
    assert isinstance(events, Events)
    assert events.t.tolist() == [100000, 200000, 300000]
    assert events.unit.tolist() == [1, 0, 1]


def test_csv_layouts(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("time_ms;a;b\n0;1;2\n100;3;4\n")
    wide = load(path, kind="rate", units="Hz")
    assert not isinstance(wide, Events)
    assert wide["time"].values.tolist() == [0.0, 0.1]
    assert (wide.attrs["kind"], wide.attrs["units"]) == ("rate", "Hz")
    path.write_text("time,unit,value\n0.0,a,1\n0.1,a,3\n0.0,b,2\n")
    with pytest.warns(ActivityWarning, match="1 of 4 values are not in the table"):
        long = load(path)
    assert not isinstance(long, Events)
    np.testing.assert_array_equal(long.values, [[1, 2], [3, np.nan]])
    # Unit after unit is in order; within a unit it must be.
    path.write_text("time,unit\n0.1,n1\n0.3,n1\n0.2,n2\n")
    events = load(path)
    assert isinstance(events, Events)
    assert events.time.tolist() == [0.1, 0.2, 0.3]
    assert events.unit_table.index[events.unit].tolist() == ["n1", "n2", "n1"]
    path.write_text("time,unit\n0.3,n1\n0.1,n1\n0.2,n2\n")
    with pytest.raises(ReadError, match="1 rows are out of order, the first is row 2"):
        load(path)
    assert len(load(path, sort=True)) == 3
    path.write_text("1,2\n3,4\n5,6\n")
    bare = load(path, sampling_rate=2.0)
    assert not isinstance(bare, Events)
    assert bare.shape == (3, 2)


def test_csv_keeps_trials_and_says_what_it_loses(tmp_path: Path) -> None:
    data = make(np.arange(12.0).reshape(2, 3, 2), sampling_rate=10.0, trial=[5, 7])
    save(data, tmp_path / "t.csv")
    back = load(tmp_path / "t.csv")
    assert not isinstance(back, Events)
    np.testing.assert_array_equal(back.values, data.values)
    assert back["trial"].values.tolist() == [5, 7]
    labelled = data.assign_coords(region=("unit", ["M1", "S1"]))
    with pytest.warns(ActivityWarning, match="cannot hold the labels region"):
        save(labelled, tmp_path / "t.csv")


def test_csv_trials_of_unequal_length_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text("trial,time,a\n0,0.0,1\n0,0.1,2\n1,0.0,3\n")
    with pytest.raises(ReadError, match=r"trials\.csv.*trials have 1 to 2"):
        load(path)
    path.write_text("trial,time,a\n0,0.0,1\n0,0.1,2\n1,0.0,3\n1,0.2,4\n")
    with pytest.raises(ReadError, match=r"trials\.csv.*same times in all trials"):
        load(path)
