"""Section spike trains: what it says of spikes, and that it says nothing of anything else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from activome.activity.events import Events
from activome.activity.schema import Activity
from activome.report.recording import open_recording
from activome.report.section import Section
from activome.report.sections.spike_trains import analyse
from activome.report.settings import ReportSettings
from activome.samples.null_spike_trains import null_spike_trains
from null_rates import no_pictures


@pytest.fixture
def _no_pictures() -> Iterator[None]:
    with no_pictures():
        yield


def section_of(source: Events | Activity, settings: ReportSettings) -> Section:
    return analyse(open_recording(source, settings), settings)


def test_a_shared_rhythm_is_said(quick: ReportSettings) -> None:
    rng = np.random.default_rng(0)
    t = [np.sort(rng.uniform(0, 30, 900)) for _ in range(8)]
    trains = [x[rng.random(900) < 0.5 * (1 + np.cos(2 * np.pi * 25 * x))] for x in t]
    section = section_of(Events.from_unit_times(trains, start=0.0, stop=30.0), quick)
    assert {"synchrony", "oscillation"} <= set(section.numbers["found"])
    assert section.numbers["frequency"] == pytest.approx(25, abs=1)
    assert any("The population oscillates at 25" in s.text for s in section.statements)
    assert all(s.test is not None for s in section.statements if s.kind != "fact")
    assert section.figures[0].png[:4] == b"\x89PNG"


@pytest.mark.usefixtures("_no_pictures")
def test_regular_trains_are_said_to_be_regular_and_no_more() -> None:
    events, _ = null_spike_trains("gamma", n_units=6, duration=20.0, random_state=0)
    section = section_of(events, ReportSettings())
    assert section.numbers["found"] == ["regularity"]
    assert "more regular than Poisson" in section.statements[1].text
    assert section.verdict.text.startswith("regular, p = ")
    # Of the others it says what was tested and how it came out, not that there is nothing.
    absences = [said for said in section.statements if said.kind == "absence"]
    assert len(absences) == 3
    for said in absences:
        assert said.text.startswith("Not told from ")
        assert said.test is not None
        assert said.test.p_value > 0.01
    excess = section.numbers["synchrony"] / section.arrays["synchrony_null"].mean()
    assert f"{excess:.3g} times as often as in these" in absences[1].text


def test_few_spikes_are_tested_as_far_as_they_go(quick: ReportSettings) -> None:
    one = Events.from_times(np.cumsum(np.full(50, 0.1)), np.zeros(50, int), stop=6.0)
    section = section_of(one, quick)
    assert set(section.numbers) >= {"p_regularity", "p_order"}
    assert "p_synchrony" not in section.numbers
    assert section.headline[1] == "median rate of a unit"
    few = Events.from_times([0.1, 0.2], [0, 1], stop=0.3)
    assert section_of(few, quick).verdict.kind == "not applicable"


def test_samples_are_not_applicable(trials: Activity, quick: ReportSettings) -> None:
    section = section_of(trials, quick)
    assert section.verdict.kind == "not applicable"
    assert "no times of spikes" in section.verdict.text


def test_its_three_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    events, _ = null_spike_trains(n_units=4, duration=10.0, random_state=0)
    settings = ReportSettings(n_surrogates=19, alpha=0.05)
    code = section_of(events, settings).code
    assert len(code.splitlines()) == 3
    exec(compile(code, "three lines", "exec"), {"recording": events})  # noqa: S102  # of the report
    assert 0 < float(capsys.readouterr().out) <= 1
