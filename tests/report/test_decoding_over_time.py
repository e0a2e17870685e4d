"""The section on decoding over time: planted onsets are found, and what cannot be told is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from activome.activity.schema import Activity, make
from activome.activity.stacking import from_ragged
from activome.report.recording import open_recording
from activome.report.section import Section
from activome.report.sections.decoding_over_time import analyse
from activome.report.settings import ReportSettings
from null_rates import no_pictures

SETTINGS = ReportSettings(n_surrogates=99)


@pytest.fixture(autouse=True)
def _no_pictures() -> Iterator[None]:
    with no_pictures():
        yield


def planted(n_trials: int = 60, n_times: int = 20, onset: int = 10, **labels: Any) -> Activity:
    rng = np.random.default_rng(0)
    side = rng.permutation(np.resize(["left", "right"], n_trials))
    values = rng.normal(size=(n_trials, n_times, 8))
    values[side == "left", onset:, 0] += 3.0
    coords = {"side": ("trial", side)} | {k: ("trial", v) for k, v in labels.items()}
    return make(values, sampling_rate=20.0, coords=coords, kind="feature")


def section_of(activity: Activity, settings: ReportSettings = SETTINGS) -> Section:
    return analyse(open_recording(activity, settings), settings)


def test_planted_onset_is_found_and_told() -> None:
    section = section_of(planted())
    numbers = section.numbers["side"]
    assert section.verdict.kind == "found"
    # Windows of two bins: the first that reaches over the onset at 0.5 s ends there.
    assert numbers["onset"] == pytest.approx(0.5, abs=0.051)
    assert numbers["n_windows"] == 19
    assert section.statements[0].text.startswith("There is a time for side: it can be read in ")
    assert section.statements[0].test is not None
    assert section.statements[0].test.p_value == numbers["p_value"] == 0.01
    assert section.arrays["side-null"].shape == (99, 19)


def test_code_gives_the_scores_again() -> None:
    activity = planted()
    section = section_of(activity)
    # The first line imports the package, and the last one prints.
    _, grid, analysis = section.code.splitlines()
    import activome

    names: dict[str, Any] = {"activome": activome, "recording": activity}
    exec(grid, names)  # noqa: S102
    expression = analysis.removeprefix("print(").removesuffix(")")
    found = eval(expression, names)  # noqa: S307
    np.testing.assert_array_equal(found, section.arrays["side-scores"])


def test_labels_are_corrected_together() -> None:
    rng = np.random.default_rng(1)
    section = section_of(planted(strength=rng.normal(size=60), other=rng.permutation(60) % 3))
    assert set(section.numbers) == {"side", "strength", "other"}
    assert section.numbers["side"]["p_value"] == pytest.approx(0.01)
    assert section.numbers["strength"]["metric"] == "R2"
    kinds = [statement.kind for statement in section.statements]
    assert kinds == ["finding", "absence", "absence"]
    assert "in none of 19 windows" in section.statements[1].text


def test_runs_of_a_label_are_pointed_out() -> None:
    activity = planted()
    order = np.argsort(activity["side"].values, kind="stable")
    section = section_of(activity.isel(trial=order))
    assert "slow drift could pass for it" in section.statements[0].text


def test_ragged_trials_end_with_the_shortest() -> None:
    rng = np.random.default_rng(0)
    trials = [rng.normal(size=(n, 4)) for n in rng.permutation(np.arange(30, 70))]
    side = rng.permutation(np.resize(["a", "b"], 40))
    activity = from_ragged(trials, sampling_rate=10.0, coords={"side": ("trial", side)})
    section = section_of(activity)
    assert section.verdict.kind in ("found", "nothing")
    assert section.arrays["side-times"][-1] <= 2.9


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        (make(np.random.default_rng(0).normal(size=(200, 3)), sampling_rate=10.0), "no trials"),
        (planted().isel(time=[0]), "no trials with several times"),
        (planted().drop_vars("side"), "no label of trials"),
    ],
)
def test_what_does_not_apply(activity: Activity, reason: str) -> None:
    section = section_of(activity)
    assert section.verdict.kind == "not applicable"
    assert reason in section.verdict.text
