"""The parts of the engine: one pass, grid, labels, conditions, corrections, code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError
from activome.report._streaming import stream
from activome.report.conditions import condition_patterns
from activome.report.figures import short, shrink
from activome.report.grid import coarsen_grid
from activome.report.labels import read_labels
from activome.report.recording import analysis_grid, open_recording
from activome.report.registry import SECTIONS
from activome.report.section import Statement, Test, holm, plain_values
from activome.report.sections._shared import number
from activome.report.settings import ReportSettings


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 4)),
    bin_size=st.integers(1, 7),
    share=st.sampled_from([0.0, 0.2]),
)
def test_one_pass_equals_numpy(
    seed: int, shape: tuple[int, int, int], bin_size: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) + 1e3
    values[rng.random(shape) < share] = np.nan
    activity = make(dask.array.from_array(values, chunks=(1, 7, 2)), ("trial", "time", "unit"))
    found = stream(activity, bin_size=bin_size, add_up=False, sampling_rate=None)
    rows = values.reshape(-1, shape[2])
    for unit in range(shape[2]):
        good = rows[np.isfinite(rows[:, unit]), unit]
        assert found.n_bad[unit] == rows.shape[0] - good.size
        if good.size:
            np.testing.assert_allclose(found.mean[unit], good.mean(), rtol=1e-12)
            np.testing.assert_allclose(found.std[unit], good.std(), rtol=1e-6, atol=1e-9)
            assert (found.low[unit], found.high[unit]) == (good.min(), good.max())
            assert found.n_low[unit] == (good == good.min()).sum()
    for k in range(found.grid.shape[1]):
        part = values[:, k * bin_size : (k + 1) * bin_size]
        with np.errstate(invalid="ignore"):
            wanted = np.nansum(part, axis=1) / np.isfinite(part).sum(axis=1)
        np.testing.assert_allclose(found.grid[:, k], wanted, rtol=1e-5)


def test_long_recordings_are_read_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 1000, 3))
    activity = make(values, ("trial", "time", "unit"), sampling_rate=100.0)
    options: dict[str, Any] = {"bin_size": 7, "add_up": False, "sampling_rate": None}
    whole = stream(activity, **options)
    monkeypatch.setattr("activome.report._streaming._BLOCK_BYTES", 12 * 64)
    steps: list[int] = []
    pieces = stream(activity, progress=lambda _, done, __: steps.append(done), **options)
    assert max(steps) == 16
    np.testing.assert_allclose(pieces.grid, whole.grid, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(pieces.std, whole.std, rtol=1e-9)
    np.testing.assert_allclose(pieces.digest, whole.digest, rtol=1e-9)


def test_the_spectrum_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(1, 2048, 2)).cumsum(axis=1)
    activity = make(values, ("trial", "time", "unit"), sampling_rate=100.0)
    found = stream(activity, bin_size=1, add_up=False, sampling_rate=100.0)
    frequency, power = signal.welch(
        values[0], 100.0, "hann", nperseg=256, noverlap=0, detrend="constant", axis=0
    )
    assert found.n_segments == 8
    np.testing.assert_allclose(found.frequencies, frequency[1:-1])
    np.testing.assert_allclose(found.power, power[1:-1], rtol=1e-10)


def test_the_checksum_is_of_the_values_alone() -> None:
    values = np.arange(24.0).reshape(1, 12, 2)
    options: dict[str, Any] = {"bin_size": 1, "add_up": False, "sampling_rate": None}
    eager = stream(make(values, ("trial", "time", "unit")), **options)
    chunks = dask.array.from_array(values, chunks=(1, 12, 2))
    lazy = stream(make(chunks, ("trial", "time", "unit")), **options)
    other = stream(make(values + 1e-9, ("trial", "time", "unit")), **options)
    assert eager.checksum == lazy.checksum != other.checksum


def test_counts_add_up_and_numbers_are_averaged_on_the_grid() -> None:
    counts = np.arange(12, dtype=np.uint8).reshape(6, 2)
    coords: dict[str, Any] = {"speed": ("time", np.arange(6.0)), "word": ("time", list("aabbcc"))}
    recording = open_recording(
        make(counts, kind="spikes", sampling_rate=2.0, coords=coords),
        ReportSettings(max_samples=100),
    )
    assert recording.grid.values.tolist() == counts.tolist()
    found = coarsen_grid(recording.grid, 3)
    assert found["speed"].values.tolist() == [0.5, 2.5, 4.5]
    assert found["word"].values.tolist() == ["a", "b", "c"]
    assert found.attrs["sampling_rate"] == 1.0


def test_long_counts_are_summed_in_bins() -> None:
    counts = np.ones((1000, 2), dtype=np.uint8)
    counts[0, 0], counts[1, 1] = 3, 2
    grid = open_recording(make(counts, kind="spikes"), ReportSettings(max_samples=100)).grid
    assert grid.shape == (100, 2)
    assert grid.values[0].tolist() == [12.0, 11.0]
    assert grid.values[1:].tolist() == [[10.0, 10.0]] * 99


def test_ragged_trials_keep_their_valid_samples() -> None:
    rng = np.random.default_rng(0)
    ragged = from_ragged([rng.normal(size=(n, 3)) for n in (30, 10, 20)])
    grid = open_recording(ragged, ReportSettings()).grid
    assert np.isfinite(grid.values).all()
    np.testing.assert_array_equal(grid["valid"].values, ragged["valid"].values)
    kept = ragged["valid"].values
    np.testing.assert_allclose(grid.values[kept], ragged.values[kept], rtol=1e-6)


def test_many_units_are_drawn_and_memory_narrows_the_grid() -> None:
    values = np.random.default_rng(0).normal(size=(2000, 60)).astype(np.float32)
    recording = open_recording(make(values), ReportSettings(max_units=10, memory_limit=1 << 26))
    assert recording.grid.sizes["unit"] == 60
    assert recording.core.sizes["unit"] == 10
    wide = make(np.random.default_rng(0).normal(size=(1000, 3000)).astype(np.float32))
    narrow = open_recording(wide, ReportSettings(memory_limit=1 << 26))
    assert narrow.grid.sizes["time"] <= (1 << 26) // (24 * 4 * 3000) + 1


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (["a", "b"] * 10, "categorical", "2 values"),
        ([True, False] * 10, "categorical", "2 values"),
        ([0, 45, 90, 135] * 5, "categorical", "4 values"),
        ([0.0, 1.0] * 10, "categorical", "2 values"),
        (np.sin(np.arange(20.0)), "continuous", "numbers"),
        (["same"] * 20, "skipped", "it is constant"),
        ([f"id{k}" for k in range(20)], "skipped", "every value is different, as in an identifier"),
        (np.arange(20) * 3, "skipped", "it only rises, as a clock or a counter does"),
        (["", "a", "b", "b"] * 5, "categorical", "2 values; 1 rare or empty ones are left out"),
        (["a"] * 19 + ["b"], "skipped", "fewer than two values stand 5 times or more"),
        (np.arange(20).astype("datetime64[s]"), "skipped", "values of type datetime64[s]"),
    ],
)
def test_labels_are_sorted_sensibly(values: Any, kind: str, reason: str) -> None:
    activity = make(np.zeros((20, 1)), coords={"label": ("time", np.asarray(values))})
    (label,) = read_labels(activity)
    assert label.kind == kind
    assert label.reason.startswith(reason)


def test_tokens_keep_the_frequent_ones() -> None:
    words = [f"t{k}" for k in range(30) for _ in range(k + 1)]
    activity = make(np.zeros((len(words), 1)), coords={"token": ("time", words)})
    (label,) = read_labels(activity)
    assert len(label.classes) == 20
    assert "t29" in label.classes
    assert "t9" not in label.classes


def test_wanted_labels() -> None:
    coords = {"one": ("time", [0, 1] * 5), "two": ("time", [1, 0] * 5)}
    activity = make(np.zeros((10, 1)), coords=coords)
    assert [label.name for label in read_labels(activity, ("two",))] == ["two"]
    with pytest.raises(ParameterError, match="unknown label 'tow'; known: one, two"):
        read_labels(activity, ("tow",))


def test_conditions_by_hand() -> None:
    values = np.array([[1.0], [3.0], [10.0], [5.0]] * 5)
    activity = make(values, coords={"side": ("time", ["l", "l", "r", ""] * 5)})
    found = condition_patterns(activity, "side")
    assert found["side"].values.tolist() == ["l", "r"] * 5
    # Means 2 and 10, five of each: standardised to -1 and 1.
    np.testing.assert_allclose(found.values[:, 0], [-1.0, 1.0] * 5)


def test_conditions_of_fields_are_log_power() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["low", "high"] * 8, 50)
    volts = rng.normal(size=(800, 2)) * np.where(labels == "high", 3.0, 1.0)[:, np.newaxis]
    activity = make(volts, kind="field", coords={"state": ("time", labels)})
    found = condition_patterns(activity, "state")
    high = found["state"].values == "high"
    assert found.values[high].min() > found.values[~high].max()


def test_condition_refusals() -> None:
    shared = make(np.zeros((2, 10, 1)), coords={"side": ("time", ["a", "b"] * 5)})
    with pytest.raises(ActivityError, match="rides on time alone, the same in each trial"):
        condition_patterns(shared, "side")
    rare = make(np.zeros((6, 1)), coords={"side": ("time", ["a", "b"] * 3)})
    with pytest.raises(ActivityError, match="at least 5 observations each; 0 of 2 have"):
        condition_patterns(rare, "side")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_equals_its_definition(p_values: list[float]) -> None:
    ranked = sorted(p_values)
    for p, corrected in zip(p_values, holm(p_values), strict=True):
        steps = [min(1.0, (len(ranked) - k) * q) for k, q in enumerate(ranked) if q <= p]
        assert corrected == pytest.approx(max(steps))


def test_settings_draw_enough_surrogates_for_several_tests() -> None:
    chosen = ReportSettings(alpha=0.01, n_surrogates=199)
    assert chosen.surrogates_for(1) == 199
    for n_tests in (3, 4, 8):
        smallest = 1 / (1 + chosen.surrogates_for(n_tests))
        assert n_tests * smallest <= 0.01 * (1 + 1e-12)
    with pytest.raises(ParameterError, match="alpha must be in"):
        ReportSettings(alpha=1.5)
    with pytest.raises(ParameterError, match="max_units must be an integer at least 2"):
        ReportSettings(max_units=1)


def test_statements_follow_their_test() -> None:
    good, bad = (Test("a null", 99, p, p) for p in (0.01, 0.5))
    assert Statement.judged("yes", "no", good, 0.01) == Statement("yes", "finding", good)
    assert Statement.judged("yes", "no", bad, 0.01) == Statement("no", "absence", bad)


def test_plain_values() -> None:
    given_values = {"a": np.float32(1.5), "b": [np.nan, np.int64(2)], 3: np.array([True])}
    assert plain_values(given_values) == {"a": 1.5, "b": [None, 2], "3": [True]}


def test_texts() -> None:
    assert short("a\nb\x00c") == "a\ufffdb\ufffdc"
    assert len(short("y" * 10**6, 10)) == 9
    assert [number(v) for v in (0.0, 1234.5, 0.00001, 12.345)] == ["0", "1,230", "1.00e-05", "12.3"]
    # Columns 0-1, 2-4, 5-6 and 7-9.
    assert shrink(np.arange(10.0)[np.newaxis], 5, 4).tolist() == [[0.5, 3.0, 5.5, 8.0]]


@pytest.mark.parametrize("name", [entry.name for entry in SECTIONS])
def test_the_three_lines_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ReportSettings(
        alpha=0.05, n_surrogates=19, max_samples=600, max_units=12, max_components=3
    )
    recording = open_recording(None, quick)
    entry = next(entry for entry in SECTIONS if entry.name == name)
    code = entry.analyse()(recording, quick).code
    lines = code.splitlines()
    assert lines[0] == "import activome"
    assert len(lines) == 3
    exec(compile(code, "three lines", "exec"), {})  # noqa: S102  # the code of the report itself
    assert capsys.readouterr().out.strip()


def test_the_grid_of_a_file_is_that_of_the_report(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", header="x,y,z", comments="")
    grid = analysis_grid(tmp_path / "a.csv")
    np.testing.assert_allclose(np.sort(grid.values), np.sort(values), rtol=1e-5)


def test_events_are_binned_in_round_bins(events: Events) -> None:
    recording = open_recording(events, ReportSettings(max_samples=1000))
    assert recording.bin_width == pytest.approx(0.1)
    assert recording.grid.sizes["time"] == 600
    assert recording.grid.values.sum() == events.n_events


def test_an_activity_without_time(trials: Activity) -> None:
    grid = open_recording(trials.isel(time=0, drop=True), ReportSettings()).grid
    assert grid.dims == ("trial", "unit")
