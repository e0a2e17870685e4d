"""On recordings without structure a section says so: false statements in at most 5 % of 200."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from activome.activity.schema import Activity, make
from activome.report.recording import Recording, open_recording
from activome.report.registry import SECTIONS
from activome.report.settings import ReportSettings
from activome.samples.generators import states
from activome.samples.responses import autoregression
from null_rates import (
    GROUPS,
    KINDS,
    SPIKE_NULL_KINDS,
    false_spike_statements,
    false_statements,
    no_pictures,
    says_there_is,
)

ENTRIES = {entry.name: entry for entry in SECTIONS}
SETTINGS = ReportSettings(max_components=3)
# Ten tests of 20 recordings make the 200 of a section. At the level of the report, 1 %, one test in
# a thousand has more than 2 false ones of 20 by chance; at a rate of 20 % four in five have.
N_EACH, MOST = 20, 2


@pytest.fixture(autouse=True)
def _no_pictures() -> Iterator[None]:
    with no_pictures():
        yield


def _continuous(seed: int) -> Activity:
    """Return white noise in one stretch: no memory either."""
    values = np.random.default_rng(seed).normal(size=(400, 8))
    return make(values, sampling_rate=128.0, kind="field", units="V")


def _open(activity: Activity, seed: int) -> Recording:
    return open_recording(activity, replace(SETTINGS, random_state=seed))


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", GROUPS)
def test_rate_of_false_statements(names: str, kind: str, half: int) -> None:
    seeds = range(half * N_EACH, (half + 1) * N_EACH)
    false = false_statements(names, kind, seeds, SETTINGS, n_units=6, n_times=20, n_trials=24)
    assert max(false.values()) <= MOST, false


@pytest.mark.parametrize("kind", SPIKE_NULL_KINDS)
def test_rate_of_false_statements_on_independent_trains(kind: str) -> None:
    assert false_spike_statements(kind, range(10), SETTINGS, n_units=6, duration=15.0) <= 1


@pytest.mark.parametrize("name", ["statistics", "overview"])
def test_white_noise_has_no_memory_and_no_line_noise(name: str) -> None:
    found = 0
    for seed in range(200):
        settings = replace(SETTINGS, random_state=seed)
        section = ENTRIES[name].analyse()(_open(_continuous(seed), seed), settings)
        found += says_there_is(section)
    assert found <= 10


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("name", ["activity", "dimensions", "parts", "graph"])
def test_structure_is_found_where_it_is(name: str, signed: bool) -> None:
    rng = np.random.default_rng(0)
    drive = rng.normal(size=(400, 2)) if signed else rng.exponential(size=(400, 2))
    values = np.repeat(drive, 5, axis=1) * 1.5 + rng.normal(size=(400, 10))
    recording = _open(make(values, sampling_rate=10.0), 0)
    assert says_there_is(ENTRIES[name].analyse()(recording, SETTINGS))


def test_parts_of_trials_are_found_where_they_are() -> None:
    rate = np.full((30, 6, 8), 0.5)
    rate[::2, 1:3, :4] += 6.0
    rate[::3, 3:5, 4:] += 6.0
    counts = np.random.default_rng(0).poisson(rate)
    recording = _open(make(counts, sampling_rate=10.0, kind="spikes", units="events"), 0)
    section = ENTRIES["trials"].analyse()(recording, SETTINGS)
    assert says_there_is(section)
    assert section.numbers["n_parts"] >= 2


def test_a_change_of_communities_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    drive = np.repeat(rng.normal(size=(800, 2)), 4, axis=1)
    drive[400:] = drive[400:, [0, 1, 4, 5, 2, 3, 6, 7]]
    values = drive + 0.7 * rng.normal(size=drive.shape)
    section = ENTRIES["changes"].analyse()(_open(make(values, sampling_rate=10.0), 0), SETTINGS)
    assert says_there_is(section)
    assert section.numbers["moved"] > 0.2


@pytest.mark.parametrize("name", ["trials", "changes"])
def test_what_a_recording_is_too_short_for_is_said(name: str) -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=(120, 4)), axis=0)
    section = ENTRIES[name].analyse()(_open(make(values, sampling_rate=10.0), 0), SETTINGS)
    assert section.verdict.kind == "not applicable"
    assert section.code.splitlines()[2].startswith("print(dict(grid.sizes))")


def test_states_are_found_where_they_are() -> None:
    activity, _ = states(10, 3, n_times=600, n_trials=1, stay=0.97, random_state=0)
    section = ENTRIES["states"].analyse()(_open(activity.isel(trial=0), 0), SETTINGS)
    assert says_there_is(section)
    assert section.numbers["n_states"] == 3
    assert len(section.arrays["pattern"]) == 3


def test_one_state_is_enough_for_what_is_slow_and_shared() -> None:
    rng = np.random.default_rng(0)
    drive = autoregression((1, 800, 2), 0.9, rng)[0]
    values = drive @ rng.normal(size=(2, 10)) + rng.normal(size=(800, 10))
    section = ENTRIES["states"].analyse()(_open(make(values, sampling_rate=10.0), 0), SETTINGS)
    assert not says_there_is(section)
    assert section.headline == ("1", "state is enough")
    assert section.statements[0].text.startswith("One state is enough")
