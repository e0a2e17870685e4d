"""Command ``simulate``, as a user types it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import activome
from activome.activity.events import Events
from activome.cli import main
from activome.cli._examples import EXAMPLES, BalancedNetwork, EventCamera, MetaNeurons
from activome.cli._taught_examples import ImageClassifier, PatternDetector

SHORT = {
    "balanced": ["-p", "n_cells=100", "-p", "weight=1.5", "--duration", "0.5"],
    "meta_neurons": ["-p", "n_cells=8", "--duration", "1"],
    "hippocampal_cam": ["--duration", "0.2"],
    "event_camera": ["-p", "n_rows=8", "-p", "n_columns=6", "--duration", "0.5"],
    "pattern_detector": ["-p", "n_lines=30", "-p", "n_active=8", "--duration", "1"],
    "image_classifier": ["-p", "n_train=50", "-p", "n_hidden=30", "--duration", "1"],
}


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: str, code: int = 0
) -> tuple[str, str]:
    """Run the command line in this process; return what it prints."""
    monkeypatch.setattr(sys, "argv", ["activome", "simulate", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert (stop.value.code or 0) == code, out + err
    return out, err


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load_events(path: str) -> Events:
    found = activome.load(path)
    assert isinstance(found, Events)
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_events_and_state_are_written(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out, _ = call(monkeypatch, capsys, name, *SHORT[name], "--state", "-o", "a.zarr")
    assert "look at them with: activome report a.zarr" in out
    events = load_events("a.zarr")
    assert events.n_events > 20
    assert events.stop == pytest.approx(float(SHORT[name][-1]), abs=2e-6)
    state = activome.load("a-state.zarr")
    assert isinstance(state, xr.DataArray)
    assert state.dims == ("time", "unit")
    assert np.isfinite(state.values).all()
    assert state.sizes["unit"] <= events.n_units
    call(monkeypatch, capsys, name, *SHORT[name], "-o", "b.zarr")
    assert load_events("b.zarr").equals(events)
    call(monkeypatch, capsys, name, *SHORT[name], "--seed", "1", "-o", "c.zarr")
    assert not load_events("c.zarr").equals(events)


def test_units_tell_their_population() -> None:
    events, state = BalancedNetwork(n_cells=20, weight=2.0).run(0.05, 0, with_state=True)
    assert events.unit_table["population"].tolist() == ["exc"] * 16 + ["inh"] * 4
    assert state is not None
    assert state["unit"].values.tolist() == events.unit_table.index.tolist()


def test_a_balanced_network_is_irregular_and_inhibition_quiets_it() -> None:
    events, _ = BalancedNetwork().run(1.0, 1, with_state=False)
    cv = [x.std() / x.mean() for x in events.isi() if x.size > 5]
    assert np.median(cv) > 0.5
    # Without synapses a cell fires every 2 + 20 ln(30 / (30 - 20)) ms.
    alone, _ = BalancedNetwork(n_cells=20, weight=1e-9).run(1.0, 0, with_state=False)
    assert alone.counts().mean() == pytest.approx(1e3 / (2 + 20 * np.log(3)), rel=0.05)
    assert events.counts().mean() < alone.counts().mean()


def test_the_balanced_network_has_settled() -> None:
    events, state = BalancedNetwork().run(1.0, 0, with_state=True)
    rate = np.histogram(events.time, np.linspace(0, 1, 21))[0]
    # Of 20 bins of 50 ms the first is none that stands out; from the beginning on it is, by 4.2.
    rest = rate[1:]
    assert abs(rate[0] - rest.mean()) < 3 * rest.std()
    assert state is not None
    assert (events.start, events.stop) == (0.0, 1.0)
    np.testing.assert_allclose(state.time, np.arange(1000) / 1e3, atol=1e-12)


def test_shared_noise_makes_meta_neurons_fire_together() -> None:
    pairs = []
    for shared in (0.0, 0.9):
        events, _ = MetaNeurons(n_cells=20, shared=shared).run(5.0, 0, with_state=False)
        counts = events.bin(0.005).values.astype(float)
        pairs.append(counts.sum(axis=1).var() / counts.var(axis=0).sum())
    assert pairs[1] > 2 * pairs[0]


def test_both_polarities_of_the_camera() -> None:
    events, frames = EventCamera(n_rows=6, n_columns=6).run(0.5, 0, with_state=True)
    assert events.p is not None
    assert set(events.p.tolist()) == {-1, 1}
    assert frames is not None
    assert frames.sizes == {"time": 101, "unit": 36}


def test_a_taught_detector_fires_for_its_patterns_alone() -> None:
    detector = PatternDetector(n_lines=60, n_active=12, n_outputs=3, missing=1)
    events, volts = detector.run(12.0, 0, with_state=True)
    assert volts is not None
    assert volts["population"].values.tolist() == ["output"] * 3
    volleys = events.bin(0.2).values
    lines, outputs = volleys[:, :60] > 0, volleys[:, 60:]
    whole = [np.flatnonzero(row) for row in np.unique(lines[outputs.any(axis=1)], axis=0)]
    full = [row for row in whole if row.size == 12]
    assert len(full) == 3
    for shown, fired in zip(lines, outputs, strict=True):
        n_shared = max(int(shown[row].sum()) for row in full)
        assert bool(fired.any()) == (n_shared == shown.sum())


def test_digits_are_told_apart_by_the_class_cells() -> None:
    network = ImageClassifier(n_train=300, n_hidden=40)
    events, shown = network.run(8.0, 0, with_state=True)
    assert shown is not None
    is_class = (events.unit_table["population"] == "class").to_numpy()
    counts = events.bin(0.2).values[:, is_class]
    assert (counts.argmax(axis=1) == shown["digit"].values[::8]).mean() > 0.4


def test_networks_and_their_parameters_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out, _ = call(monkeypatch, capsys, "--list")
    assert [line.partition(":")[0] for line in out.splitlines()] == list(EXAMPLES)
    out, _ = call(monkeypatch, capsys, "balanced", "--list")
    assert "inhibition : float > 0, default=8.0" in out
    assert "activome simulate balanced -p n_cells=1000 -p connection=0.1" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a network, as in `activome simulate balanced`"),
        (["balance"], "unknown network 'balance'; known: balanced"),
        (["balanced", "-p", "n=3"], "balanced has no parameter 'n'"),
        (["balanced", "-p", "weight=-1"], "balanced: weight must be in"),
        (["balanced", "--duration", "0"], "duration must be in"),
        (["meta_neurons", "--duration", "0.0105"], "whole number of steps of 1 ms"),
        (["meta_neurons", "--duration", "1e9"], "a duration of 1e+09 s would take"),
        (["hippocampal_cam", "--duration", "0.01"], "three operations take 0.09 s"),
        (["event_camera", "-p", "n_rows=1"], "n_rows must be an integer at least 2"),
        (["pattern_detector", "--duration", "0.1"], "a volley takes 0.2 s"),
        (
            ["pattern_detector", "-p", "missing=20"],
            "missing must be an integer at least 0 and at most 19",
        ),
        (["image_classifier", "--duration", "0.1"], "a digit takes 0.2 s"),
        (
            ["image_classifier", "-p", "n_train=5"],
            "n_train must be an integer at least 10 and at most 1200",
        ),
    ],
)
def test_what_cannot_be_simulated_is_said(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    _, err = call(monkeypatch, capsys, *arguments, code=2)
    assert message in err
    assert not Path("run.zarr").exists()


def test_a_store_is_replaced_on_demand_only(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    arguments = ["event_camera", *SHORT["event_camera"]]
    call(monkeypatch, capsys, *arguments)
    before = load_events("run.zarr")
    _, err = call(monkeypatch, capsys, *arguments, "--seed", "3", code=2)
    assert "'run.zarr' is there already" in err
    call(monkeypatch, capsys, *arguments, "--seed", "3", "--overwrite")
    assert not load_events("run.zarr").equals(before)


def test_the_report_reads_it(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from activome.report import ReportSettings
    from activome.report.recording import open_recording
    from activome.report.sections.spike_trains import analyse

    call(monkeypatch, capsys, "meta_neurons", "-p", "n_cells=6", "-p", "shared=0.8",
         "--duration", "10")  # fmt: skip
    settings = ReportSettings(alpha=0.05, n_surrogates=19)
    section = analyse(open_recording("run.zarr", settings), settings)
    assert "synchrony" in section.numbers["found"]
