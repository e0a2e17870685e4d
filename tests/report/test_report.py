"""The report from end to end: every kind of source, its files, resuming, odd data."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from activome.activity.events import Events
from activome.activity.schema import Activity, make
from activome.errors import ActivityError, ParameterError
from activome.report.api import ReportResult, run_report
from activome.report.recording import open_recording
from activome.report.registry import SECTIONS
from activome.report.settings import ReportSettings

VOID = {"meta", "br", "img", "link", "input", "hr"}
NAMES = [entry.name for entry in SECTIONS]


class Page(HTMLParser):
    """Collect tags, ids, links and text, and check that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(result: ReportResult) -> Page:
    page = Page(result.html.read_text(encoding="utf-8"))
    assert page.open == []
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "form"}
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    for tag, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        if tag == "a":
            assert (attrs["href"] or "").removeprefix("#") in ids
        if tag == "img":
            assert attrs["alt"]
            source = attrs["src"] or ""
            assert base64.b64decode(source.removeprefix("data:image/png;base64,"))[:4] == b"\x89PNG"
    policy = next(attrs for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'; img-src data:;")
    return page


def check_statements(record: dict[str, Any]) -> None:
    for section in record["sections"].values():
        for statement in section["statements"]:
            is_claim = statement["text"].startswith("There ")
            assert is_claim == (statement["kind"] == "finding")
            if statement["kind"] != "fact":
                test = statement["test"]
                assert test["null"]
                assert 0 <= test["p_value"] <= 1
                assert test["n_surrogates"] >= 0
                found = test["p_value"] <= record["settings"]["alpha"]
                assert found == (statement["kind"] == "finding")


def test_a_continuous_recording(continuous: Activity, quick: ReportSettings) -> None:
    result = run_report(continuous, "r.html", settings=quick)
    page, sections = check_page(result), result.record["sections"]
    check_statements(result.record)
    assert list(sections) == NAMES
    assert sections["activity"]["numbers"]["n_ensembles"] == 2
    assert sections["graph"]["numbers"]["n_communities"] == 2
    assert sections["dimensions"]["numbers"]["n_components"] == 2
    assert set(sections["decoding"]["numbers"]) == {"speed", "state"}
    assert sections["decoding"]["numbers"]["speed"]["score"] > 0.5
    skipped = dict(sections["decoding"]["tables"][0]["rows"])
    assert skipped["stamp"].startswith("it only rises")
    assert skipped["word"].startswith("every value is different")
    assert "1 of 12 units is constant: 11" in page.text
    assert result.folder == Path("r_data")
    assert re.search(r"12\s*units", page.text)
    check_data(result, continuous)


def check_data(result: ReportResult, continuous: Activity) -> None:
    stored = json.loads((result.folder / "report.json").read_text(encoding="utf-8"))
    assert stored == result.record
    assert stored["settings"]["random_state"] == 0
    assert stored["versions"]["activome"]
    assert all(cost["peak_memory_bytes"] > 0 for cost in stored["cost"].values())
    arrays = zarr.open_group(result.folder / "arrays.zarr", mode="r")
    for name in NAMES:
        group = arrays[name]
        assert isinstance(group, zarr.Group)
        assert len(list(group.array_keys())) == len(stored["sections"][name]["arrays"])
    weight = np.asarray(arrays["graph/weight"])
    inside = np.corrcoef(continuous.values[:, :11].T)
    np.testing.assert_allclose(weight, inside, atol=0.02)
    for section in stored["sections"].values():
        for figure in section["figures"]:
            assert (result.folder / "figures" / f"{figure['name']}.png").is_file()


def test_trials_with_conditions(trials: Activity, quick: ReportSettings) -> None:
    result = run_report(trials, "r.html", settings=quick)
    check_page(result)
    check_statements(result.record)
    sections = result.record["sections"]
    assert sections["geometry"]["verdict"]["kind"] == "found"
    assert sections["geometry"]["numbers"]["condition"]["conditions"] == ["a", "b", "c", "d"]
    assert sections["decoding"]["numbers"]["condition"]["score"] > 0.9


def test_events(events: Events, quick: ReportSettings) -> None:
    result = run_report(events, "r.html", settings=quick)
    check_page(result)
    statistics = result.record["sections"]["statistics"]["numbers"]
    assert statistics["median_rate"] == pytest.approx(8.0, rel=0.15)
    assert statistics["median_isi_cv"] == pytest.approx(1.0, abs=0.1)
    assert result.record["source"]["n_events"] == events.n_events
    assert result.record["source"]["bin_width"] == pytest.approx(0.1)


def test_events_with_trials(quick: ReportSettings) -> None:
    rng = np.random.default_rng(0)
    trial = np.repeat(np.arange(20), 40)
    spikes = Events.from_times(
        np.sort(rng.uniform(0, 1, (20, 40)), axis=1).reshape(-1),
        rng.integers(0, 4, 800),
        trial=trial,
        start=0.0,
        stop=1.0,
    )
    result = run_report(spikes, "r.html", settings=quick)
    assert result.record["source"]["sizes"] == {"trial": 20, "time": 20, "unit": 4}


def test_field_potentials_have_a_spectrum_and_line_noise(quick: ReportSettings) -> None:
    rng = np.random.default_rng(3)
    time = np.arange(6400) / 160.0
    volts = rng.normal(size=(6400, 5)) * 1e-5
    volts[:, 2] += 2e-5 * np.sin(2 * np.pi * 60.0 * time)
    volts[:, 4] = np.clip(volts[:, 4], -1e-5, 1e-5)
    recording = make(volts, sampling_rate=160.0, kind="field", units="V")
    result = run_report(recording, "r.html", settings=quick)
    check_statements(result.record)
    texts = [s["text"] for s in result.record["sections"]["overview"]["statements"]]
    assert any(text.startswith("There is line noise at 60 Hz") for text in texts)
    assert "No line noise at 50 Hz stands out" in texts
    what = [p["what"] for p in result.record["sections"]["overview"]["numbers"]["problems"]]
    assert any("at their limit" in text and ": 4." in text for text in what)
    arrays = zarr.open_group(result.folder / "arrays.zarr", mode="r")
    power, frequency = (np.asarray(arrays[f"statistics/{k}"]) for k in ("power", "frequency"))
    # White noise of variance s has the density 2 s / rate.
    band = (frequency > 5) & (frequency < 50)
    assert power[band, 0].mean() == pytest.approx(2 * 1e-10 / 160.0, rel=0.05)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Leave three sections, where the machinery is tested and not what it says."""
    names = ("overview", "activity", "dimensions")
    chosen = tuple(entry for entry in SECTIONS if entry.name in names)
    monkeypatch.setattr("activome.report.api.SECTIONS", chosen)
    return [entry.name for entry in chosen]


def test_same_seed_same_report(continuous: Activity, quick: ReportSettings, few: list[str]) -> None:
    first = run_report(continuous, "a.html", settings=quick).record
    second = run_report(continuous, "b.html", settings=quick).record
    assert first["sections"] == second["sections"]
    for picture in Path("a_data/figures").iterdir():
        assert picture.read_bytes() == Path("b_data/figures", picture.name).read_bytes()


def test_names_from_files_are_inert(continuous: Activity, quick: ReportSettings) -> None:
    evil = "<img src=x onerror=alert(1)>"
    names = np.array([evil, "$\\frac{1}", "x" * 1_000_000, *map(str, range(9))], dtype=object)
    bad = continuous.assign_coords(unit=names).rename({"state": "</style><script>"})
    bad.attrs["source"] = evil
    bad.attrs["units"] = "{{ 7 * 7 }}"
    result = run_report(bad, "r.html", title=evil, settings=quick)
    page = check_page(result)
    assert evil in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert result.html.stat().st_size < 3e6
    assert "x" * 1000 not in page.text


def test_an_interrupted_report_goes_on(
    continuous: Activity, quick: ReportSettings, few: list[str]
) -> None:
    whole = run_report(continuous, "whole.html", settings=quick).record
    started: list[str] = []

    def interrupt(task: str, done: int, total: int) -> None:
        if task in {entry.title for entry in SECTIONS} and done == 0:
            started.append(task)
            if len(started) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_report(continuous, "r.html", settings=quick, progress=interrupt)
    folder = Path("r_data/sections")
    assert sorted(p.stem for p in folder.iterdir()) == ["activity", "overview"]
    assert not Path("r.html").exists()
    stamp = (folder / "activity.json").stat().st_mtime_ns
    result = run_report(continuous, "r.html", settings=quick)
    assert (folder / "activity.json").stat().st_mtime_ns == stamp
    assert result.record["sections"] == whole["sections"]


def test_other_data_settings_or_a_lost_picture_are_not_taken_over(
    continuous: Activity, quick: ReportSettings, few: list[str]
) -> None:
    def stamps() -> dict[str, int]:
        return {p.stem: p.stat().st_mtime_ns for p in Path("r_data/sections").iterdir()}

    run_report(continuous, "r.html", settings=quick)
    first = stamps()
    run_report(continuous, "r.html", settings=quick)
    assert stamps() == first
    Path("r_data/figures/dimensions.png").write_bytes(b"cut")
    run_report(continuous, "r.html", settings=quick)
    assert {name for name, stamp in stamps().items() if stamp != first[name]} == {"dimensions"}
    run_report(continuous, "r.html", settings=replace(quick, n_surrogates=20))
    assert all(stamp != first[name] for name, stamp in stamps().items())


def test_a_changed_value_is_another_recording(continuous: Activity, quick: ReportSettings) -> None:
    changed = continuous.copy(deep=True)
    changed.values[0, 0] += 1e-6
    relabelled = continuous.assign_coords(speed=("time", -continuous["speed"].values))
    sums = {open_recording(a, quick).checksum for a in (continuous, changed, relabelled)}
    assert len(sums) == 3


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((300, 1), ("time", "unit")),
        ((200,), ("time",)),
        ((1, 60, 3), ("trial", "time", "unit")),
        ((5, 3), ("time", "unit")),
        ((2, 2), ("time", "unit")),
        ((30, 4), ("trial", "unit")),
        ((4, 1, 2), ("trial", "time", "unit")),
    ],
)
def test_tiny_recordings(
    shape: tuple[int, ...], dims: tuple[str, ...], quick: ReportSettings
) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    result = run_report(make(values, dims), "r.html", settings=quick)
    check_page(result)
    kinds = {name: s["verdict"]["kind"] for name, s in result.record["sections"].items()}
    assert kinds["geometry"] == kinds["decoding"] == "not applicable"
    if values.size < 100:
        assert kinds["parts"] == "not applicable"


def test_missing_constant_and_copied_units(quick: ReportSettings, few: list[str]) -> None:
    values = np.random.default_rng(0).normal(size=(400, 8))
    values[:, 1] = 2.0
    values[100:140, 2] = np.nan
    values[:, 3] = np.nan
    values[:, 5] = values[:, 4]
    result = run_report(make(values, sampling_rate=10.0), "r.html", settings=quick)
    check_page(result)
    numbers = result.record["sections"]["overview"]["numbers"]
    assert numbers["n_kept"] == 5
    assert numbers["n_filled"] == 40
    arrays = zarr.open_group(result.folder / "arrays.zarr", mode="r")
    flags = {
        k: np.flatnonzero(np.asarray(arrays[f"overview/is_{k}"]))
        for k in ("flat", "missing", "duplicated")
    }
    assert {k: v.tolist() for k, v in flags.items()} == {
        "flat": [1], "missing": [2, 3], "duplicated": [4, 5],
    }  # fmt: skip


def test_cells_of_one_spike_are_no_copies(quick: ReportSettings) -> None:
    counts = np.random.default_rng(0).poisson(2.0, size=(60, 8))
    counts[:, :3] = 0
    counts[20, :3] = 1
    counts[40, 2] = 1
    counts[:, 5] = counts[:, 4]
    result = run_report(make(counts, sampling_rate=20.0, kind="spikes"), "r.html", settings=quick)
    arrays = zarr.open_group(result.folder / "arrays.zarr", mode="r")
    is_copy = np.asarray(arrays["overview/is_duplicated"])
    assert np.flatnonzero(is_copy).tolist() == [4, 5]
    assert result.record["sections"]["overview"]["numbers"]["n_kept"] == 7


def test_refusals(quick: ReportSettings) -> None:
    with pytest.raises(ActivityError, match="at least one of the 3 units must vary; none does"):
        run_report(make(np.ones((50, 3))), "r.html", settings=quick)
    with pytest.raises(ActivityError, match="must have times or trials"):
        run_report(make(np.arange(3.0), ("unit",)), "r.html", settings=quick)
    with pytest.raises(ActivityError, match="must be a path, an Activity or Events; got list"):
        run_report([1, 2], "r.html", settings=quick)
    noise = make(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(ParameterError, match="unknown label 'speed'"):
        run_report(noise, "r.html", labels=["speed"], settings=quick)
    with pytest.raises(ParameterError, match="n_jobs"):
        run_report(noise, "r.html", n_jobs=0)
    assert not Path("r.html").exists()


def test_progress_tells_every_section_in_order(events: Events, quick: ReportSettings) -> None:
    steps: list[tuple[str, int, int]] = []
    run_report(events, "r.html", settings=quick, progress=lambda *step: steps.append(step))
    overall = [done for task, done, _ in steps if task == "report"]
    assert overall == list(range(len(SECTIONS) + 2))
    titles = [entry.title for entry in SECTIONS]
    assert [task for task, done, _ in steps if task in titles and done == 1] == titles


def test_a_bug_in_a_section_is_seen(
    events: Events, quick: ReportSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("activome.report.sections.graph.analyse", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run_report(events, "r.html", settings=quick)
