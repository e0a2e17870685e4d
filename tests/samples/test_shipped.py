"""The recordings inside the package: sizes, labels, checksums, and refusal of damaged files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from activome.activity.schema import check
from activome.errors import ParameterError, ReadError
from activome.samples import catalog, shipped

DATA = Path(shipped.__file__).parent / "data"
NAMES = ("motor_cortex", "visual_gratings", "motor_imagery_eeg")


@pytest.mark.parametrize("name", NAMES)
def test_activity_fits_the_schema(name: str) -> None:
    activity = catalog.load(name)
    critical = [problem for problem in check(activity) if problem.severity == "critical"]
    assert critical == []
    assert activity.attrs["source"].startswith(f"activome sample {name}, sha256 ")
    assert activity.attrs["sampling_rate"] in (20.0, 100.0, 160.0)


@pytest.mark.parametrize("name", NAMES)
def test_provenance_stands_beside_the_data(name: str) -> None:
    text = (DATA / f"{name}.md").read_text("utf-8")
    digest = hashlib.sha256((DATA / f"{name}.npz").read_bytes()).hexdigest()
    assert digest in text
    for word in ("**Source.**", "commit", "**What was changed.**", "**Licence.**", "License"):
        assert word in text


def test_all_data_are_below_five_megabytes() -> None:
    assert sum((DATA / f"{name}.npz").stat().st_size for name in NAMES) < 5e6


def test_motor_cortex_figures() -> None:
    a = shipped.motor_cortex()
    assert a.sizes == {"time": 15536, "unit": 171}
    assert a.dtype == np.uint8
    # 17.7 spikes per second and unit; the recording starts at 12.591 s.
    assert float(a.mean()) * 20 == pytest.approx(17.7, abs=0.05)
    assert float(a["time"][0]) == pytest.approx(12.591, abs=1e-12)
    assert float(abs(a["time"] - a["stamp"]).max()) < 5.1e-4
    # The hand's velocity is the change of its position: the labels belong together.
    speed = np.gradient(a["position_x"].values)
    assert np.corrcoef(speed, a["velocity_x"].values)[0, 1] > 0.9


def test_visual_gratings_figures() -> None:
    a = shipped.visual_gratings()
    assert a.sizes == {"trial": 200, "time": 10, "unit": 1000}
    assert int(a.sum()) == 153_635
    directions, counts = np.unique(a["direction"], return_counts=True)
    assert directions.tolist() == [0, 45, 90, 135]
    assert counts.tolist() == [50, 50, 50, 50]


def test_motor_imagery_is_in_volt_with_positions() -> None:
    a = shipped.motor_imagery_eeg()
    assert a.sizes == {"time": 20000, "unit": 64}
    digital = a.values * 1e6
    assert np.abs(digital - np.rint(digital)).max() < 1e-9
    assert (digital.min(), digital.max()) == (pytest.approx(-655), pytest.approx(580))
    place = {n: (float(a.x[i]), float(a.y[i]), float(a.z[i])) for i, n in enumerate(a.unit.values)}
    assert place["C3"][0] < -0.05 < 0.05 < place["C4"][0]
    assert place["Fz"][1] > 0 > place["Oz"][1]
    assert place["Cz"][2] == max(z for _, _, z in place.values())


def test_motor_imagery_trials_are_cut_at_the_events() -> None:
    whole = shipped.motor_imagery_eeg()
    trials = shipped.motor_imagery_eeg("trials", tmin=0.0, tmax=1.5)
    assert trials.sizes == {"trial": 30, "time": 240, "unit": 64}
    labels, counts = np.unique(trials["event"], return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {
        "both feet": 8,
        "both fists": 7,
        "rest": 15,
    }
    for i in (0, 7, 29):
        onset = float(trials["onset"][i])
        first = round(onset * 160)
        assert np.array_equal(trials.values[i], whole.values[first : first + 240])
        assert str(whole["event"].values[first]) == str(trials["event"].values[i])


def test_fists_and_feet_differ_at_c3() -> None:
    # Imagining fists lowers 8-13 Hz power over the hand area more than imagining feet.
    a = shipped.motor_imagery_eeg("trials", tmin=0.5, tmax=3.5)
    x = a.values - a.values.mean(axis=2, keepdims=True)
    at_c3 = x[..., a.unit.values.tolist().index("C3")]
    spectrum = np.abs(np.fft.rfft(at_c3 * np.hanning(at_c3.shape[1]), axis=1)) ** 2
    f = np.fft.rfftfreq(at_c3.shape[1], 1 / 160)
    power = np.log(spectrum[:, (f >= 8) & (f <= 13)].mean(axis=1))
    event = a["event"].values
    assert power[event == "both fists"].mean() < power[event == "both feet"].mean() - 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "epochs"}, "unknown form 'epochs'"),
        ({"form": "trials", "tmin": -1.0}, "must hold a sample and lie within the run of 125 s"),
        ({"form": "trials", "tmax": 9.0}, "Events start at 0 to 120.4 s"),
        ({"form": "trials", "tmin": 1.0, "tmax": 0.5}, r"tmax must be in \(1, inf\)"),
    ],
)
def test_wrong_windows_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        shipped.motor_imagery_eeg(**options)


def test_damaged_and_missing_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "_DATA", tmp_path)
    with pytest.raises(ReadError, match=r"visual_gratings\.npz must ship with the package"):
        shipped.visual_gratings()
    content = bytearray((DATA / "visual_gratings.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "visual_gratings.npz").write_bytes(content)
    with pytest.raises(ReadError, match=r"visual_gratings\.npz must have the checksum"):
        shipped.visual_gratings()


def test_names_and_load() -> None:
    assert set(catalog.names("shipped")) >= set(NAMES)
    assert set(catalog.names()) == set(catalog.names("shipped")) | set(catalog.names("elsewhere"))
    with pytest.raises(ParameterError, match="Did you mean 'motor_cortex'"):
        catalog.load("motor_cortx")
    with pytest.raises(ParameterError, match=r"has no option 'forms'.*Did you mean 'form'"):
        catalog.load("motor_imagery_eeg", forms="trials")
    with pytest.raises(ParameterError, match="unknown which 'mine'"):
        catalog.names("mine")  # type: ignore[arg-type]
