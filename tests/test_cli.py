"""The command line, as a user types it."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import activome
from activome._systems import systems

# What makes a start slow; none of it may be loaded before it is needed.
HEAVY = {"torch", "mne", "matplotlib", "numba", "sklearn", "pandas", "xarray", "scipy", "dask"}


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own and check its exit code."""
    command = [sys.executable, "-m", "activome.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    "statement",
    [
        "import activome",
        (
            "import sys; sys.argv = ['activome', '--help']; import activome.cli as c\n"
            "try: c.main()\nexcept SystemExit: pass"
        ),
    ],
)
def test_start_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys; print(); print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & HEAVY
    assert "numpy" not in loaded


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    names = "report run compare record assets study systems info check convert samples cite"
    for command in names.split():
        assert command in text


def test_version() -> None:
    assert run("--version").stdout.strip() == f"activome {activome.__version__}"


@pytest.mark.parametrize("module", ["activome", "activome.cli"])
def test_the_package_runs_as_a_module(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module, run_name="__main__")
    assert not stop.value.code
    assert capsys.readouterr().out.strip() == f"activome {activome.__version__}"


def test_systems_as_json() -> None:
    table = json.loads(run("systems", "--json").stdout)
    assert [row["number"] for row in table] == [system.number for system in systems()]


def test_study_prints_json_and_nothing_else(tmp_path: Path) -> None:
    done = run(
        "study",
        "celegans-homogenized",
        "--size",
        "smoke",
        "--json",
        "-o",
        str(tmp_path / "results"),
    )
    record = json.loads(done.stdout)
    assert record["system"] == "celegans-homogenized"
    assert record["claims"]
    keys = {"name", "paper", "measured", "threshold", "holds"}
    assert all(keys <= claim.keys() for claim in record["claims"])
    assert (
        json.loads((tmp_path / "results" / "celegans-homogenized-smoke.json").read_text()) == record
    )


def test_an_unknown_study_is_one_sentence() -> None:
    done = run("study", "snfm", code=2)
    assert done.stdout == ""
    assert "Did you mean 'snmf'" in done.stderr
    assert "Traceback" not in done.stderr


def test_study_wants_a_name_or_all() -> None:
    assert "--all" in run("study", code=2).stderr


def test_a_recording_that_ships_goes_by_its_name(tmp_path: Path) -> None:
    assert "1000 units" in run("check", "visual_gratings").stdout
    run("convert", "motor_cortex", str(tmp_path / "motor.npz"))
    loaded = activome.load(tmp_path / "motor.npz")
    assert isinstance(loaded, xr.DataArray)
    np.testing.assert_array_equal(loaded.values, activome.samples.load("motor_cortex").values)


def test_a_word_that_names_nothing_offers_what_ships() -> None:
    assert "Did you mean 'visual_gratings'" in run("info", "gratings", code=2).stderr
    assert "samples.load('eegmat')" in run("report", "eegmat", code=2).stderr


def test_a_warning_is_one_sentence_without_code(tmp_path: Path) -> None:
    lines = run("convert", "motor_cortex", str(tmp_path / "a.csv")).stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("activome: warning: ")
    assert "cannot hold the labels" in lines[0]


def test_info_tells_sizes_and_labels(tmp_path: Path) -> None:
    record = json.loads(run("info", "visual_gratings", "--json").stdout)
    assert record["sizes"] == {"trial": 200, "time": 10, "unit": 1000}
    labels = {label["name"]: label for label in record["labels"]}
    assert labels["direction"]["examples"] == ["0", "45", "90", "135"]
    spikes = activome.Events.from_unit_times([[0.1, 0.4], [0.2]], start=0.0, stop=1.0)
    activome.save(spikes, tmp_path / "spikes.zarr")
    printed = run("info", str(tmp_path / "spikes.zarr")).stdout
    assert "n_events      3" in printed
    assert "zarr" in printed


def test_samples_tells_which_ship() -> None:
    rows = json.loads(run("samples", "--json").stdout)
    assert [row["name"] for row in rows if row["ships"]] == activome.samples.names("shipped")
    assert all(row["summary"].endswith(".") for row in rows)


def test_cite_knows_systems_and_recordings() -> None:
    assert activome.__version__ in run("cite").stdout
    printed = run("cite", "trsa", "motor_cortex").stdout
    assert "Kriegeskorte" in printed
    assert "Stevenson" in printed
    assert "motor_cortex" in run("cite", "nobody", code=2).stderr


def test_the_memory_limit_is_read_and_held(tmp_path: Path) -> None:
    assert "500MB" in run("report", "--max-memory", "lots", code=2).stderr
    noise = activome.make(np.random.default_rng(0).normal(size=(200, 3)), sampling_rate=10.0)
    activome.save(noise, tmp_path / "noise.npz")
    output = tmp_path / "noise.html"
    run("report", str(tmp_path / "noise.npz"), "-o", str(output), "--max-memory", "300MB")
    settings = json.loads((tmp_path / "noise_data" / "report.json").read_text())["settings"]
    assert settings["memory_limit"] == 300_000_000


def test_debug_shows_where_an_error_came_from() -> None:
    done = run("check", "nowhere.nwb", "--debug", code=1)
    assert "Traceback" in done.stderr
    assert "ReadError" in done.stderr


def test_a_missing_file_is_one_sentence() -> None:
    done = run("check", "nowhere.nwb", code=2)
    assert "nowhere.nwb" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_names_the_problem_and_convert_keeps_the_labels(tmp_path: Path) -> None:
    values = np.column_stack([np.arange(5.0), np.ones(5)])
    a = activome.make(values, sampling_rate=10.0, unit=["moving", "still"], kind="rate")
    activome.save(a, tmp_path / "a.npz")
    assert "still" in run("check", str(tmp_path / "a.npz")).stdout
    run("convert", str(tmp_path / "a.npz"), str(tmp_path / "b.zarr"))
    back = activome.load(tmp_path / "b.zarr")
    assert not isinstance(back, activome.Events)
    np.testing.assert_array_equal(back.values, values)
    assert back["unit"].values.tolist() == ["moving", "still"]
