"""Parts of trials: planted ones, none of unrelated units, signed activity, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from activome.activity.schema import Activity, make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError
from activome.patterns.trial_parts import _flat, _shifted, trial_parts
from activome.samples.null_recordings import null_recording

Array = np.ndarray[Any, Any]


def planted(seed: int, n_trials: int = 40) -> Activity:
    """Units 0-4 early in even trials, units 5-9 late in the first half of the trials."""
    rng = np.random.default_rng(seed)
    rate = np.full((n_trials, 8, 12), 0.02)
    rate[::2, 1:4, :5] += 8.0
    rate[: n_trials // 2, 5:7, 5:10] += 8.0
    counts = rng.poisson(rate)
    return make(counts, sampling_rate=10.0, kind="spikes", unit=[f"n{k}" for k in range(12)])


def test_planted_parts() -> None:
    activity = planted(0)
    found = trial_parts(activity, 3, random_state=0)
    assert (found.p_value, found.n_parts) == (0.01, 2)
    early = int(np.argmax(found.units.values[:, :5].sum(axis=1)))
    late = 1 - early
    assert set(np.argsort(-found.units.values[early])[:5]) == set(range(5))
    assert set(np.argsort(-found.units.values[late])[:5]) == set(range(5, 10))
    assert set(np.argsort(-found.times.values[early])[:3]) == {1, 2, 3}
    trials = found.trials.values
    assert trials[early, ::2].min() > trials[early, 1::2].max()
    assert trials[late, :20].min() > trials[late, 20:].max()
    assert found.units.unit.values.tolist() == activity.unit.values.tolist()
    assert found.explained > 0.5
    assert found.statistic > found.null.max()


def test_signed_activity_has_two_halves() -> None:
    rng = np.random.default_rng(1)
    values = 0.3 * rng.normal(size=(30, 6, 6))
    values[::3, 2:4, :3] += 2.0
    values[::3, 2:4, 3:] -= 2.0
    found = trial_parts(make(values), 2, random_state=0)
    assert found.p_value == 0.01
    k = int(np.argmax(found.weights))
    loadings = found.units.values[k]
    assert (np.sign(loadings) == [1, 1, 1, -1, -1, -1]).all()


def test_responses_alone_are_no_parts() -> None:
    rng = np.random.default_rng(2)
    course = rng.gamma(2.0, 2.0, size=(6, 5))
    hits = 0
    for seed in range(8):
        counts = np.random.default_rng(seed).poisson(np.broadcast_to(course, (30, 6, 5)))
        hits += trial_parts(make(counts, kind="spikes"), 2, random_state=seed).p_value <= 0.02
    assert hits <= 2


@pytest.mark.parametrize("kind", ["poisson", "ar1", "drift", "ragged"])
def test_unrelated_units(kind: str) -> None:
    hits = 0
    for seed in range(6):
        activity, _ = null_recording(
            kind, memory=0.8, n_units=6, n_times=20, n_trials=24, random_state=seed
        )
        found = trial_parts(activity, 2, alpha=0.01, random_state=seed)
        hits += found.n_parts > 0
        assert found.units.shape == (found.n_parts, 6)
    assert hits <= 1


def test_independent_drifts_are_no_parts() -> None:
    hits = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        walk = np.cumsum(rng.normal(size=(120, 1, 6)), axis=0)
        values = walk + rng.normal(size=(120, 3, 6))
        hits += trial_parts(make(values), 2, alpha=0.01, random_state=seed).n_parts > 0
    assert hits <= 2


def test_a_shift_keeps_the_trials_of_each_unit() -> None:
    halves = np.random.default_rng(0).random((2, 5, 3, 4))
    moved = _shifted(halves, np.random.default_rng(1))
    assert moved.shape == halves.shape
    for unit in range(4):
        lag = next(
            k for k in range(5) if (np.roll(halves[..., unit], -k, 1) == moved[..., unit]).all()
        )
        assert 0 <= lag < 5
    assert _flat(halves).shape == (5, 3, 8)
    np.testing.assert_array_equal(_flat(halves)[2, 1, 4:], halves[1, 2, 1])


def test_refusals() -> None:
    good = planted(0)
    cases: list[tuple[Any, str]] = [
        (good.values, "must be an Activity"),
        (good.isel(time=0, drop=True), "dims trial, time and unit"),
        (good.isel(trial=slice(5)), "at least 20 trials"),
        (good.isel(time=slice(1)), "two times"),
        (good.isel(unit=slice(2)), "three units"),
        (good.astype(float).where(good < 9), "must be finite"),
        (from_ragged([np.ones((1 + k, 4)) for k in range(25)]), "1 common times"),
    ]
    for activity, message in cases:
        with pytest.raises(ActivityError, match=message):
            trial_parts(activity)
    with pytest.raises(ParameterError, match="max_rank"):
        trial_parts(good, 0)
