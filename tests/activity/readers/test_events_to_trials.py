"""From a recording with events to trials, for each way in which a file keeps its events; BDF."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest
import scipy.io

from activome.activity.events import Events
from activome.activity.readers import load, read_annotations, read_fif
from activome.activity.schema import Activity
from activome.activity.trials import cut_trials
from activome.errors import ActivityWarning, ParameterError, ReadError, ResourceError

Array = np.ndarray[Any, Any]
RATE = 128
N_TIMES = 6 * RATE
PLACES = np.array([100, 260, 400, 600])
KINDS = ["left", "right", "right", "left"]
CODES = {"left": 5, "right": 7}


def _signals() -> Array:
    """Voltages that are 20 uV in the 16 samples after an event, and small noise elsewhere."""
    values = np.random.default_rng(0).standard_normal((2, N_TIMES)) * 1e-6
    for place, kind in zip(PLACES, KINDS, strict=True):
        values[0 if kind == "left" else 1, place : place + 16] += 20e-6
    return values


def _bdf_status() -> Array:
    status = np.zeros(N_TIMES)
    for place, kind in zip(PLACES, KINDS, strict=True):
        status[place : place + 10] = CODES[kind]
    return status


def _bdf_signals() -> list[Any]:
    return [
        edfio.BdfSignal(row * 1e6, RATE, label=name, physical_dimension="uV")
        for name, row in zip(("A1", "A2"), _signals(), strict=True)
    ]


def write_bdf_annotations(path: Path) -> None:
    """BDF+, 24 bit, with annotations."""
    marks = [edfio.EdfAnnotation(p / RATE, None, k) for p, k in zip(PLACES, KINDS, strict=True)]
    edfio.Bdf(_bdf_signals(), annotations=marks).write(path)


def write_bdf_triggers(path: Path) -> None:
    """BDF with a channel of triggers, as the recorders that the format comes from write."""
    width = (-8388608, 8388607)
    status = edfio.BdfSignal(
        _bdf_status(), RATE, label="Status", physical_dimension="Boolean", physical_range=width,
        digital_range=width,
    )  # fmt: skip
    edfio.Bdf([*_bdf_signals(), status]).write(path)


def _raw(kinds: list[str], rows: Array, first: int = 0) -> Any:
    info = mne.create_info([f"A{i + 1}" for i in range(len(kinds))], RATE, kinds, verbose="error")
    return mne.io.RawArray(rows, info, first_samp=first, verbose="error")


def write_fif_triggers(path: Path) -> None:
    """FIF with a channel of triggers, begun 1000 samples after the recorder was switched on."""
    rows = np.vstack([_signals(), _bdf_status()])
    _raw(["eeg", "eeg", "stim"], rows, 1000).save(path, overwrite=True, verbose="error")


def write_fif_annotations(path: Path) -> None:
    """FIF with annotations, begun 1000 samples after the recorder was switched on."""
    raw = _raw(["eeg", "eeg"], _signals(), 1000)
    raw.set_annotations(mne.Annotations(PLACES / RATE, 0.0, KINDS))
    raw.save(path, overwrite=True, verbose="error")


def write_edf(path: Path) -> None:
    """EDF+, 16 bit, with annotations."""
    raw = _raw(["eeg", "eeg"], _signals())
    raw.set_annotations(mne.Annotations(PLACES / RATE, 0.0, KINDS))
    mne.export.export_raw(path, raw, fmt="edf", verbose="error")


def write_brainvision(path: Path) -> None:
    """BrainVision with markers."""
    raw = _raw(["eeg", "eeg"], _signals())
    raw.set_annotations(mne.Annotations(PLACES / RATE, 0.0, [f"Comment/{k}" for k in KINDS]))
    mne.export.export_raw(path, raw, fmt="brainvision", verbose="error")


def write_eeglab(path: Path) -> None:
    """An EEGLAB set with events."""
    raw = _raw(["eeg", "eeg"], _signals())
    raw.set_annotations(mne.Annotations(PLACES / RATE, 0.0, KINDS))
    mne.export.export_raw(path, raw, fmt="eeglab", verbose="error")


WRITERS: dict[str, Callable[[Path], None]] = {
    "annotations.bdf": write_bdf_annotations,
    "triggers.bdf": write_bdf_triggers,
    "triggers_raw.fif": write_fif_triggers,
    "annotations_raw.fif": write_fif_annotations,
    "annotations.edf": write_edf,
    "markers.vhdr": write_brainvision,
    "events.set": write_eeglab,
}


def _activity(path: Path, **options: Any) -> Activity:
    found = load(path, **options)
    assert not isinstance(found, Events)
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_trials_around_the_events_of_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    recording = _activity(path)
    table = read_annotations(path)
    codes = {str(code): kind for kind, code in CODES.items()}
    kinds = [codes.get(label, label.split("/")[-1]) for label in table["label"]]
    assert kinds == KINDS
    np.testing.assert_allclose(table["onset"], PLACES / RATE, atol=1e-9)
    trials = cut_trials(recording, table["onset"], 0.25, 0.5, {"side": kinds})
    # Brute force: the samples around each event.
    expected = np.stack([_signals().T[p - 32 : p + 65] for p in PLACES])
    step = np.ptp(expected) / 2**15
    np.testing.assert_allclose(trials.values, expected, atol=step)
    np.testing.assert_allclose(trials["time"].values, np.arange(-32, 65) / RATE)
    assert trials["side"].values.tolist() == KINDS
    # Time 0 is the first sample of the response, in the channel of that side.
    left = trials.isel(unit=0).values[:, [31, 32, 47, 48]] > 10e-6
    is_left = np.array(KINDS) == "left"
    assert left[is_left].tolist() == [[False, True, True, False]] * 2
    assert not left[~is_left].any()


@pytest.mark.parametrize("name", WRITERS)
def test_the_label_of_events_finds_the_same_onsets(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    recording = _activity(path)
    places = np.flatnonzero(recording["event"].values != "")
    np.testing.assert_array_equal(places, PLACES)
    by_label = cut_trials(recording, recording["time"].values[places], 0.1, 0.1)
    by_table = cut_trials(recording, read_annotations(path)["onset"], 0.1, 0.1)
    np.testing.assert_array_equal(by_label.values, by_table.values)


def test_an_event_near_the_end_is_left_out_aloud(tmp_path: Path) -> None:
    write_bdf_annotations(tmp_path / "a.bdf")
    recording = _activity(tmp_path / "a.bdf")
    table = read_annotations(tmp_path / "a.bdf")
    with pytest.warns(ActivityWarning, match=r"1 of 4 trials reach outside .* 3 \(onset 4\.6875 s"):
        trials = cut_trials(recording, table["onset"], 0.25, 2.0, table["label"].to_numpy())
    assert trials["trial"].values.tolist() == [0, 1, 2]
    assert trials["event"].values.tolist() == KINDS[:3]


def test_spikes_are_cut_around_the_events_of_another_file(tmp_path: Path) -> None:
    write_bdf_triggers(tmp_path / "a.bdf")
    onsets = read_annotations(tmp_path / "a.bdf")["onset"].to_numpy()
    # One spike 10 ms before, and one 20 ms after each event, of another unit.
    times = [np.sort(onsets - 0.01), np.sort(onsets + 0.02)]
    cells = np.empty(2, dtype=object)
    cells[:] = times
    scipy.io.savemat(tmp_path / "spikes.mat", {"spikes": cells})
    spikes = load(tmp_path / "spikes.mat")
    assert isinstance(spikes, Events)
    trials = cut_trials(spikes, onsets[:3], 0.5, 0.5)
    assert trials.trial is not None
    assert trials.trial.tolist() == [0, 0, 1, 1, 2, 2]
    assert trials.unit.tolist() == [0, 1] * 3
    np.testing.assert_allclose(trials.time, [-0.01, 0.02] * 3, atol=2e-6)


@pytest.mark.parametrize("name", ["annotations.bdf", "triggers.bdf"])
def test_bdf_equals_mne_and_keeps_24_bits(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    ours = _activity(path)
    raw = mne.io.read_raw_bdf(path, preload=True, verbose="error")
    np.testing.assert_array_equal(ours.values, raw.get_data(picks=["A1", "A2"]).T)
    assert ours["unit"].values.tolist() == ["A1", "A2"]
    np.testing.assert_allclose(ours.values, _signals().T, atol=np.ptp(_signals()) / 2**23)
    np.testing.assert_array_equal(_activity(path, lazy=True).values, ours.values)
    (tmp_path / "renamed").write_bytes(path.read_bytes())
    np.testing.assert_array_equal(_activity(tmp_path / "renamed").values, ours.values)


def test_cut_bdf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bdf"
    write_bdf_triggers(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReadError, match="it was cut"):
        load(path)


def test_epochs_of_fif_choose_channels_and_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = _raw(["eeg", "eeg", "stim"], np.vstack([_signals(), _bdf_status()]))
    events = mne.find_events(raw, verbose="error")
    epochs = mne.Epochs(
        raw, events, CODES, -0.25, 0.5, baseline=None, preload=True, verbose="error"
    )
    path = tmp_path / "a-epo.fif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        epochs.save(path, fmt="double", verbose="error")
    capsys.readouterr()
    ours = read_fif(path)
    assert capsys.readouterr().out == ""
    # The channel of triggers is no signal.
    assert (ours["unit"].values.tolist(), ours.attrs["units"]) == (["A1", "A2"], "V")
    np.testing.assert_array_equal(ours.values, epochs.get_data(picks="eeg").transpose(0, 2, 1))
    assert ours["event"].values.tolist() == KINDS
    np.testing.assert_array_equal(read_fif(path, channels="A2").values, ours.values[..., 1:])
    with pytest.raises(ParameterError, match="no channel or type 'A9'"):
        read_fif(path, channels="A9")
    with pytest.raises(ResourceError, match="save fewer epochs a file"):
        read_fif(path, memory_limit=1000)
    with pytest.raises(ReadError, match="holds epochs, no continuous recording"):
        read_annotations(path)
