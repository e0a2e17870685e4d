"""EDF, FIF, BrainVision and EEGLAB against MNE: values in V, names, events."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from damage import sound, voltage

from activome.activity.events import Events
from activome.activity.readers import load, read_annotations, read_edf, save
from activome.activity.schema import Activity, make
from activome.errors import ActivityError, ActivityWarning, ParameterError, ReadError

PEERS = {
    "recording.edf": mne.io.read_raw_edf,
    "recording.fif": mne.io.read_raw_fif,
    "recording.vhdr": mne.io.read_raw_brainvision,
    "recording.set": mne.io.read_raw_eeglab,
}


def _activity(path: Path, **options: Any) -> Activity:
    data = load(path, **options)
    assert not isinstance(data, Events)
    return data


@pytest.mark.parametrize("name", PEERS)
def test_values_names_and_events_equal_mne(name: str, tmp_path: Path) -> None:
    path = sound(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        raw = PEERS[name](path, preload=True, verbose="error")
    ours = _activity(path)
    np.testing.assert_array_equal(ours.values, raw.get_data().T)
    assert ours["unit"].values.tolist() == raw.ch_names
    assert ours.attrs["sampling_rate"] == raw.info["sfreq"] == 100.0
    assert (ours.attrs["kind"], ours.attrs["units"]) == ("voltage", "V")
    # Written from volts: 16 bits of the range in EDF, single precision in BrainVision and EEGLAB.
    np.testing.assert_allclose(ours.values, voltage().values, rtol=1e-6, atol=1e-9)
    marks = {float(t): str(e) for t, e in zip(ours["time"], ours["event"].values, strict=True) if e}
    assert list(marks) == [0.2, 1.2]
    assert [label.split("/")[-1] for label in marks.values()] == ["left", "right"]
    table = read_annotations(path)
    np.testing.assert_allclose(table["onset"], raw.annotations.onset)
    assert table["label"].tolist() == raw.annotations.description.tolist()


def test_epochs_equal_mne(tmp_path: Path) -> None:
    path = sound("epochs.fif", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        epochs = mne.read_epochs(path, verbose="error")
    ours = _activity(path)
    assert ours.dims == ("trial", "time", "unit")
    np.testing.assert_array_equal(ours.values.transpose(0, 2, 1), epochs.get_data())
    np.testing.assert_array_equal(ours["time"].values, epochs.times)


def test_channels_are_chosen_by_name_and_type(tmp_path: Path) -> None:
    path = sound("recording.edf", tmp_path)
    assert _activity(path, channels=["C2", "C0"])["unit"].values.tolist() == ["C2", "C0"]
    assert _activity(path, channels="eeg").sizes["unit"] == 3
    with pytest.raises(ParameterError, match="no channel or type 'C9'; known: eeg, C0"):
        load(path, channels="C9")


def _with_field(path: Path, first: int, width: int, cells: list[str]) -> None:
    """Overwrite a column of the table of channels in an EDF header."""
    data = bytearray(path.read_bytes())
    n_channels = int(data[252:256])
    for i, cell in enumerate(cells):
        place = 256 + first * n_channels + width * i
        data[place : place + width] = cell.ljust(width).encode("latin-1")
    path.write_bytes(bytes(data))


def test_units_of_edf_channels_are_converted(tmp_path: Path) -> None:
    path = sound("recording.edf", tmp_path)
    base = _activity(path).values
    _with_field(path, 96, 8, ["mV", "nV", "mmHg"])
    mixed = _activity(path)
    assert mixed["physical_unit"].values.tolist() == ["V", "V", "mmHg"]
    assert mixed.attrs["kind"] == "feature"
    np.testing.assert_allclose(mixed.values, base * [1e3, 1e-3, 1e6], rtol=1e-9)
    _with_field(path, 96, 8, ["", "uV", "uV"])
    with pytest.warns(ActivityWarning, match="1 channels state no physical unit"):
        load(path)


def test_repeated_names_in_edf_are_numbered_aloud(tmp_path: Path) -> None:
    path = sound("recording.edf", tmp_path)
    _with_field(path, 0, 16, ["C0", "C0", "C2"])
    with pytest.warns(ActivityWarning, match="not unique|repeated"):
        data = load(path)
    assert not isinstance(data, Events)
    assert np.unique(data["unit"].values).size == 3


def test_edf_with_gaps_is_refused(tmp_path: Path) -> None:
    path = sound("recording.edf", tmp_path)
    data = path.read_bytes().replace(b"EDF+C", b"EDF+D")
    path.write_bytes(data)
    assert read_edf(path).sizes["time"] == 200
    n_header = int(data[184:192])
    second = data.index(b"+1\x14\x14", n_header)
    path.write_bytes(data[:second] + b"+5" + data[second + 2 :])
    with pytest.raises(ReadError, match=r"gaps.*starts at 5 s, not at"):
        load(path)


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    trials = make(np.zeros((2, 5, 2)), sampling_rate=10.0, kind="voltage", units="V")
    with pytest.raises(ActivityError, match="EDF holds no trials"):
        save(trials, tmp_path / "t.edf")
    rates = make(np.ones((5, 2)), sampling_rate=10.0, kind="rate", units="Hz")
    with pytest.raises(ActivityError, match="got units 'Hz'"):
        save(rates, tmp_path / "t.fif")
    irregular = make(np.ones((3, 1)), time=[0.0, 1.0, 5.0], units="V")
    with pytest.raises(ActivityError, match="sampling_rate"):
        save(irregular, tmp_path / "t.set")
    assert not list(tmp_path.iterdir())
