"""On recordings without structure a section says so: false statements in at most 5 % of 200."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace

import numpy as np
import pytest

from activome.activity.schema import Activity, make
from activome.errors import ActivityError, ActivityWarning
from activome.report.recording import Recording, open_recording
from activome.report.registry import SECTIONS
from activome.report.section import Section
from activome.report.settings import ReportSettings
from activome.samples.null_recordings import null_recording

ENTRIES = {entry.name: entry for entry in SECTIONS}
SETTINGS = ReportSettings(max_components=3)
# One test holds a tenth of the 200 recordings of a section; every tenth must hold 5 % by itself.
N_EACH, MOST = 20, 1
KINDS = ("poisson", "ar1", "drift", "heavy_tailed", "ragged")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out: it has no part in what a section says."""
    from activome.report.section import Figure

    empty = Figure("none", b"", "none", "none")
    for place in (
        "dimensions._figure", "parts._figure", "parts._choice", "graph._figure",
        "geometry._figure", "decoding._scores", "decoding._traces", "decoding._confusion",
        "statistics._figure", "activity._figures", "overview._figure",
    ):  # fmt: skip
        many = place == "activity._figures"
        result = [empty] if many else empty
        monkeypatch.setattr(
            f"activome.report.sections.{place}", functools.partial(_constant, result)
        )


def _constant(value: object, *_: object, **__: object) -> object:
    return value


def _null(kind: str, seed: int) -> Activity:
    """Return a null recording with a categorical label of three values and a slow number."""
    activity, _ = null_recording(
        kind, n_units=6, n_times=20, n_trials=24, memory=0.8, random_state=seed
    )
    rng = np.random.default_rng(seed + 10_000)
    n = activity.sizes["trial"]
    condition = rng.permutation(np.resize(["a", "b", "c"], n))
    return activity.assign_coords(
        condition=("trial", condition), strength=("trial", rng.normal(size=n))
    )


def _continuous(seed: int) -> Activity:
    """Return white noise in one stretch: no memory either."""
    values = np.random.default_rng(seed).normal(size=(400, 8))
    return make(values, sampling_rate=128.0, kind="field", units="V")


def _open(activity: Activity, seed: int) -> Recording:
    return open_recording(activity, replace(SETTINGS, random_state=seed))


def _says_there_is(section: Section) -> bool:
    return any(statement.kind == "finding" for statement in section.statements)


def _false_statements(names: str, kind: str, half: int) -> dict[str, int]:
    found = dict.fromkeys(names.split(), 0)
    for seed in range(half * N_EACH, (half + 1) * N_EACH):
        settings = replace(SETTINGS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ActivityWarning)
            recording = _open(_null(kind, seed), seed)
            for name in found:
                section = ENTRIES[name].analyse()(recording, settings)
                assert section.verdict.kind in ("found", "nothing")
                found[name] += _says_there_is(section)
    return found


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
# Ensembles and graph stand together: they rest on the same partition, found once per recording.
@pytest.mark.parametrize("names", ["activity graph", "dimensions", "parts", "geometry", "decoding"])
def test_rate_of_false_statements(names: str, kind: str, half: int) -> None:
    false = _false_statements(names, kind, half)
    assert max(false.values()) <= MOST, false


@pytest.mark.parametrize("name", ["statistics", "overview"])
def test_white_noise_has_no_memory_and_no_line_noise(name: str) -> None:
    found = 0
    for seed in range(200):
        settings = replace(SETTINGS, random_state=seed)
        section = ENTRIES[name].analyse()(_open(_continuous(seed), seed), settings)
        found += _says_there_is(section)
    assert found <= 10


@pytest.mark.parametrize("name", ["activity", "dimensions", "parts", "graph"])
def test_structure_is_found_where_it_is(name: str) -> None:
    rng = np.random.default_rng(0)
    drive = rng.normal(size=(400, 2))
    values = np.repeat(drive, 5, axis=1) * 1.5 + rng.normal(size=(400, 10))
    recording = _open(make(values, sampling_rate=10.0), 0)
    try:
        section = ENTRIES[name].analyse()(recording, SETTINGS)
    except ActivityError as error:
        pytest.fail(str(error))
    assert _says_there_is(section)
