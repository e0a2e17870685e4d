"""Command ``run``: every estimator of the table, results that can be read, refusals."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.base import is_regressor

import activome
from activome._methods import METHODS, Method
from activome.activity import load_estimator, open_store, write_store
from activome.cli import main
from activome.errors import ParameterError
from activome.geometry import PrincipalComponents
from activome.report._method_ways import NEEDS, estimators
from activome.report.method_run import run_method
from activome.report.recording import open_recording
from activome.report.settings import ReportSettings
from activome.testing import check_activity

Array = np.ndarray[Any, Any]
RUNNABLE = {row.name for row in estimators()}


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Run the command line in this process and return exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["activome", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def class_of(row: Method) -> type[Any]:
    found: type[Any] = getattr(importlib.import_module(row.module), row.name)
    return found


def is_estimator(row: Method) -> bool:
    return row.kind != "function" and callable(getattr(class_of(row), "fit", None))


def as_text(value: Any) -> str | None:
    """Return an argument as one types it, None for what cannot be typed."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) + ("," if len(value) == 1 else "")
    return str(value) if isinstance(value, (bool, int, float, str, type(None))) else None


def label_of(row: Method) -> list[str]:
    made = class_of(row)(**row.arguments) if row.name in RUNNABLE else None
    tags = getattr(made, "__sklearn_tags__", lambda: None)()
    is_target = getattr(made, "_takes_target", False) or bool(tags and tags.target_tags.required)
    if row.name in ("GeoTopological", "Geodesic"):
        return ["--label", "block"]
    if not is_target:
        return []
    return ["--label", "block" if is_regressor(made) else "condition"]


ROWS = [row for row in METHODS if is_estimator(row)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_estimator_runs_or_says_why_not(
    row: Method, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(check_activity(**row.data), "recording.zarr")
    arguments = ["run", row.name, "recording.zarr", "-o", "result.zarr", *label_of(row)]
    for name, value in row.arguments.items():
        text = as_text(value)
        arguments += [] if text is None else ["--param", f"{name}={text}"]
    code, out, err = command(monkeypatch, capsys, *arguments)
    if row.name not in RUNNABLE:
        # A new estimator of kind "other" gets a way in report/_method_ways.py, or needs more than
        # a recording by the arguments of its fit.
        needs = list(inspect.signature(class_of(row).fit).parameters)[1]
        assert code == 2
        if row.name in NEEDS:
            assert f"{row.name}.fit takes {NEEDS[row.name]}, not a recording" in err
            return
        assert f"{row.name}.fit takes {needs}" in err, "no way to give it a recording"
        assert needs not in ("X", "activity", "values"), "it takes a recording: give it a way"
        assert not Path("result.zarr").exists()
        return
    assert code == 0, err
    record = json.loads(Path("result_run.json").read_text())
    assert record["method"] == row.name
    assert load_estimator("result_estimator.npz").get_params().keys() >= row.arguments.keys()
    assert not Path("result_partial").exists()
    if record["has_activity"]:
        opened = open_recording("result.zarr", ReportSettings())
        assert opened.n_units >= 1
    else:
        assert "only learns" in out


def test_result_is_that_of_python_and_a_report_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = check_activity()
    write_store(recording, "recording.zarr")
    arguments = ("recording.zarr", "-p", "n_components=2", "-o", "pc.zarr")
    assert command(monkeypatch, capsys, "run", "principal-components", *arguments)[0] == 0
    expected = PrincipalComponents(2).fit(recording)
    result = open_store("pc.zarr")
    assert isinstance(result, xr.DataArray)
    xr.testing.assert_identical(result.load(), expected.transform(recording))
    learned = load_estimator("pc_estimator.npz")
    np.testing.assert_array_equal(learned.components_, expected.components_)
    settings = ReportSettings(n_surrogates=19, max_components=2)
    report = activome.report.run_report("pc.zarr", "pc.html", settings=settings)
    assert report.record["source"]["n_units"] == 2


def test_same_run_is_found_and_another_is_not_replaced_unasked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(check_activity(), "recording.zarr")
    arguments = ["run", "PrincipalComponents", "recording.zarr", "-o", "pc.zarr", "-p"]
    assert "wrote" in command(monkeypatch, capsys, *arguments, "n_components=2")[1]
    assert "found" in command(monkeypatch, capsys, *arguments, "n_components=2")[1]
    code, _, err = command(monkeypatch, capsys, *arguments, "n_components=3")
    assert code == 2
    assert "--overwrite" in err
    replaced = command(monkeypatch, capsys, *arguments, "n_components=3", "--overwrite")
    assert "wrote" in replaced[1]
    assert activome.load("pc.zarr").sizes["unit"] == 3  # type: ignore[union-attr]  # no Events


def test_the_source_is_never_replaced() -> None:
    write_store(check_activity(), "recording.zarr")
    with pytest.raises(ParameterError, match="must not replace its source"):
        run_method("Covariance", "recording.zarr", "./recording.zarr", overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SemiNFM", "motor_cortex"], "Did you mean 'SemiNMF'"),
        (["rdm", "motor_cortex"], "is a function"),
        (["Taps", "motor_cortex"], "learns nothing"),
        (["RegionIdentification", "motor_cortex"], "rdms and region and subject"),
        (["SemiNMF", "motor_cortex", "-p", "n_component=2"], "Did you mean 'n_components'"),
        (["SemiNMF", "motor_cortex", "-p", "n_components"], "name=value"),
        (["SemiNMF", "motor_cortex", "-p", "n_components=two"], "must be an integer"),
        (["NonnegativeCP", "motor_cortex", "-p", "init=randm"], "Did you mean 'random'"),
        (["SemiNMF", "motor_cortex", "--label", "x"], "learns without a label"),
        (["GeoTopological", "motor_cortex"], "give --label"),
        (["SemiNMF", "motor_cortex", "-o", "result.npz"], "must end in .zarr"),
        (["SemiNMF", "nowhere.npz"], "nowhere.npz"),
        (["SemiNMF", "motor_cortex", "--bin", "0.1"], "only events are binned"),
        (["SemiNMF", "motor_cortex", "--max-memory", "1kB"], "more than the limit"),
        (["HMMGLM", "motor_cortex", "--blocks"], "not solved from sums"),
        (["SemiNMF", "motor_cortex", "--output-of", "predict"], "unknown output of SemiNMF"),
        (["NonnegativeCP", "motor_cortex", "--output-of", "predict"], "has one result"),
        (["SemiNMF"], "a method and a recording"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = command(monkeypatch, capsys, "run", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not list(Path().iterdir())


def test_list_shows_methods_and_parameters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = command(monkeypatch, capsys, "run", "--list")[1]
    assert all(name in out for name in RUNNABLE)
    assert "n_components" in command(monkeypatch, capsys, "run", "SemiNMF", "--list")[1]


def test_events_are_binned() -> None:
    spikes = activome.Events.from_unit_times(
        [np.linspace(0.01, 9.9, 80), np.linspace(0.02, 9.8, 50)], start=0.0, stop=10.0
    )
    done = run_method("PrincipalComponents", spikes, "pc.zarr", bin_width=0.5)
    assert activome.load("pc.zarr").sizes["time"] == 20  # type: ignore[union-attr]  # no Events
    assert done.record["source"]["bin_width"] == pytest.approx(0.5)


def test_blocks_give_the_result_of_memory_and_go_on_where_they_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).normal(size=(3000, 6))
    recording = activome.make(values, sampling_rate=10.0)
    write_store(recording, "recording.zarr", chunk_bytes=8000)
    expected = PrincipalComponents(2).fit(values).transform(values)
    steps: list[tuple[str, int, int]] = []

    def stop(task: str, done: int, total: int) -> None:
        steps.append((task, done, total))
        if task == "transforming" and done > 1000:
            raise KeyboardInterrupt

    run: dict[str, Any] = {"parameters": {"n_components": 2}, "blocks": True}
    run |= {"memory_limit": 100_000}
    with pytest.raises(KeyboardInterrupt):
        run_method("PrincipalComponents", "recording.zarr", "pc.zarr", progress=stop, **run)
    assert max(total for task, _, total in steps if task.startswith("fitting")) > 5
    assert not Path("pc.zarr").exists()
    assert Path("pc_partial").exists()

    def never(*_: Any) -> None:
        raise AssertionError("it was fitted again")

    monkeypatch.setattr(PrincipalComponents, "summarise", never)
    run_method("PrincipalComponents", "recording.zarr", "pc.zarr", **run)
    assert not Path("pc_partial").exists()
    result: Any = open_store("pc.zarr")
    np.testing.assert_allclose(result.values, expected, atol=1e-10)
    np.testing.assert_array_equal(result["time"].values, recording["time"].values)


def test_a_source_that_changed_is_another_run() -> None:
    recording = check_activity()
    first = run_method("Covariance", recording, "c.zarr")
    changed = recording.copy()
    changed[0, 0, 0] += 1.0
    second = run_method("Covariance", changed, "c.zarr", overwrite=True)
    assert first.record["source"]["checksum"] != second.record["source"]["checksum"]
    assert not second.is_reused


def test_a_convergence_warning_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(check_activity(), "recording.zarr")
    arguments = ("recording.zarr", "-p", "max_iter=1", "-p", "n_init=1")
    code, _, err = command(monkeypatch, capsys, "run", "NonnegativeCP", *arguments)
    assert code == 0
    assert "warning: NonnegativeCP.fit" in err
