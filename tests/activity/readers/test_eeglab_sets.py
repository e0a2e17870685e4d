"""EEGLAB sets as EEGLAB saves them: samples in a .fdt or within, fields in a struct or bare."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import scipy.io

from activome.activity.events import Events
from activome.activity.readers import load, read_annotations, read_eeglab, save
from activome.activity.schema import Activity, make
from activome.errors import ActivityWarning, ParameterError, ReadError, ResourceError

Array = np.ndarray[Any, Any]
RATE, FIRST = 100.0, -0.2
PLACES = ((60.0, 2.0, 60.0), (0.0, 2.0, 90.0), (-60.0, 2.0, 60.0))
LAYOUTS = [(fdt, bare) for fdt in (True, False) for bare in (True, False)]


def _structs(rows: list[dict[str, Any]]) -> Array:
    table = np.zeros(len(rows), dtype=[(key, object) for key in rows[0]])
    for place, row in enumerate(rows):
        table[place] = tuple(row.values())
    return table


def write_set(
    path: Path,
    data: Array,
    events: list[dict[str, Any]],
    epochs: list[dict[str, Any]] | None = None,
    *,
    fdt: bool = True,
    bare: bool = False,
) -> None:
    """Write a set of data (n_units, n_times) or (n_units, n_times, n_trials) in uV."""
    n_units, n_times, n_trials = (*data.shape, 1)[:3]
    empty = np.empty((0, 0))
    places = [
        {"labels": name, "X": x, "Y": y, "Z": z, "type": "EEG"}
        for name, (x, y, z) in zip(("Fz", "Cz", "Pz"), PLACES, strict=True)
    ]
    fields: dict[str, Any] = {
        "nbchan": float(n_units), "trials": float(n_trials), "pnts": float(n_times),
        "srate": RATE, "xmin": FIRST if epochs else 0.0,
        "xmax": (FIRST if epochs else 0.0) + (n_times - 1) / RATE,
        "data": f"{path.stem}.fdt" if fdt else data, "chanlocs": _structs(places),
        "event": _structs(events), "epoch": _structs(epochs) if epochs else empty,
        "icawinv": empty, "icasphere": empty, "icaweights": empty, "icaact": empty,
        "icachansind": empty, "chaninfo": {"nosedir": "+X", "plotrad": 0.5}, "ref": "common",
    }  # fmt: skip
    if fdt:
        data.astype("<f4").ravel(order="F").tofile(path.with_suffix(".fdt"))
    scipy.io.savemat(path, fields if bare else {"EEG": fields}, appendmat=False)


def write_continuous(path: Path, *, fdt: bool = True, bare: bool = False) -> Array:
    """500 samples with two events, of which EEGLAB counts the latency from 1."""
    data = np.random.default_rng(0).standard_normal((3, 500)).astype(np.float32) * 10
    events = [
        {"type": "left", "latency": 51.0, "duration": 0.0},
        {"type": "right", "latency": 301.25, "duration": 0.0},
    ]
    write_set(path, data, events, fdt=fdt, bare=bare)
    return data


def write_epochs(path: Path, *, fdt: bool = True, bare: bool = False) -> Array:
    """Five epochs of 80 samples; time 0, the 21st, is the event."""
    data = np.random.default_rng(1).standard_normal((3, 80, 5)).astype(np.float32) * 10
    names = ["go", "nogo", "go", "nogo", "go"]
    events = [
        {"type": name, "latency": 21.0 + 80 * k, "epoch": k + 1.0, "duration": 0.0}
        for k, name in enumerate(names)
    ]
    epochs = [
        {"event": k + 1.0, "eventtype": name, "eventlatency": 0.0} for k, name in enumerate(names)
    ]
    write_set(path, data, events, epochs, fdt=fdt, bare=bare)
    return data


def _activity(path: Path, **options: Any) -> Activity:
    found = load(path, **options)
    assert not isinstance(found, Events)
    return found


@pytest.mark.parametrize(("fdt", "bare"), LAYOUTS)
def test_continuous_sets(fdt: bool, bare: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.set"
    data = write_continuous(path, fdt=fdt, bare=bare)
    ours = _activity(path)
    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error")
    np.testing.assert_array_equal(ours.values, raw.get_data().T)
    np.testing.assert_allclose(ours.values, data.T.astype(np.float64) * 1e-6, rtol=1e-12)
    assert ours["unit"].values.tolist() == ["Fz", "Cz", "Pz"]
    assert (ours.attrs["kind"], ours.attrs["units"]) == ("voltage", "V")
    # EEGLAB points X to the nose and Y to the left; here x points to the right, in m.
    np.testing.assert_allclose(ours["x"].values, -0.002)
    np.testing.assert_allclose(ours["y"].values, [0.06, 0.0, -0.06], atol=1e-12)
    marks = {float(t): str(e) for t, e in zip(ours["time"], ours["event"].values, strict=True) if e}
    assert marks == {0.5: "left", 3.0: "right"}
    table = read_annotations(path)
    np.testing.assert_allclose(table["onset"], [0.5, 3.0025])
    assert table["label"].tolist() == ["left", "right"]


@pytest.mark.parametrize(("fdt", "bare"), LAYOUTS)
def test_epoched_sets(fdt: bool, bare: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.set"
    data = write_epochs(path, fdt=fdt, bare=bare)
    ours = _activity(path)
    assert ours.dims == ("trial", "time", "unit")
    np.testing.assert_allclose(ours.values, data.transpose(2, 1, 0) * 1e-6, rtol=1e-6)
    epochs = mne.read_epochs_eeglab(path, verbose="error")
    np.testing.assert_array_equal(ours.values, epochs.get_data(copy=False).transpose(0, 2, 1))
    np.testing.assert_allclose(ours["time"].values, FIRST + np.arange(80) / RATE, atol=1e-12)
    assert ours["event"].values.tolist() == ["go", "nogo", "go", "nogo", "go"]
    np.testing.assert_allclose(ours["onset"].values, 0.2 + 0.8 * np.arange(5))
    some = read_eeglab(path, channels=["Pz", "Fz"])
    np.testing.assert_array_equal(some.values, ours.sel(unit=["Pz", "Fz"]).values)
    with pytest.raises(ParameterError, match="no channel or type 'Oz'; known: eeg, Fz, Cz, Pz"):
        read_eeglab(path, channels="Oz")
    with pytest.raises(ReadError, match="holds epochs, no continuous recording"):
        read_annotations(path)
    with pytest.raises(ResourceError, match="save fewer epochs a file"):
        read_eeglab(path, memory_limit=1000)


def test_further_events_of_an_epoch_are_named_aloud(tmp_path: Path) -> None:
    data = np.zeros((3, 80, 2), dtype=np.float32)
    events = [
        {"type": kind, "latency": at + 80 * k, "epoch": k + 1.0, "duration": 0.0}
        for k in range(2)
        for kind, at in (("cue", 21.0), ("press", 51.0))
    ]
    epochs = [
        {
            "event": np.array([2 * k + 1.0, 2 * k + 2.0]),
            "eventtype": np.array(["cue", "press"], dtype=object),
            "eventlatency": np.array([0.0, 300.0]),
        }
        for k in range(2)
    ]
    write_set(tmp_path / "a.set", data, events, epochs)
    with pytest.warns(ActivityWarning, match="multiple events"):
        ours = _activity(tmp_path / "a.set")
    assert ours["event"].values.tolist() == ["cue/press", "cue/press"]
    np.testing.assert_allclose(ours["onset"].values, [0.2, 1.0])


@pytest.mark.parametrize("write", [write_continuous, write_epochs])
def test_a_renamed_set_finds_its_samples(
    write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.set")
    expected = _activity(tmp_path / "a.set")
    (tmp_path / "a.set").rename(tmp_path / "b.download")
    np.testing.assert_array_equal(_activity(tmp_path / "b.download").values, expected.values)
    # Both renamed: the set still names the old file.
    (tmp_path / "a.fdt").rename(tmp_path / "b.fdt")
    with pytest.warns(ActivityWarning, match=r"\(a\.fdt\) is incorrect"):
        found = _activity(tmp_path / "b.download")
    np.testing.assert_array_equal(found.values, expected.values)
    # MNE also prints what it warns of; the library does not print.
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("write", [write_continuous, write_epochs])
def test_samples_that_do_not_fit_are_refused(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.set"
    write(path)
    whole = (tmp_path / "a.fdt").read_bytes()
    for damaged in (whole[:-4], whole[:-1], whole + b"\0" * 4, b""):
        (tmp_path / "a.fdt").write_bytes(damaged)
        with pytest.raises(ReadError, match=rf"'a\.fdt' has {len(damaged)}"):
            load(path)
    (tmp_path / "a.fdt").unlink()
    with pytest.raises(ReadError, match=r"samples in 'a\.fdt', which is not beside it"):
        load(path)


def test_a_set_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write_continuous(tmp_path / "a.set")
    held = scipy.io.loadmat(tmp_path / "a.set", simplify_cells=True)
    held["EEG"]["data"] = "../a.fdt"
    scipy.io.savemat(tmp_path / "inner" / "b.set", {"EEG": held["EEG"]}, appendmat=False)
    with pytest.raises(ReadError, match="a file of its own folder"):
        load(tmp_path / "inner" / "b.set")


def test_epochs_go_there_and_back(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal((4, 60, 3)) * 1e-5
    epochs = make(
        values, sampling_rate=RATE, start=FIRST, kind="voltage", units="V",
        unit=["Fz", "Cz", "Pz"], coords={"event": ("trial", ["a", "b", "b", "a"])},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(epochs, tmp_path / "a.set")
        back = _activity(tmp_path / "a.set")
    np.testing.assert_allclose(back.values, values, rtol=1e-6)
    np.testing.assert_allclose(back["time"].values, epochs["time"].values, atol=1e-12)
    assert back["event"].values.tolist() == ["a", "b", "b", "a"]
