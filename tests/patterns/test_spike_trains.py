"""Tests of spike trains: what is planted is found, by hand where possible, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from activome.activity.events import Events
from activome.errors import ActivityError, ParameterError
from activome.patterns._spike_counts import bin_trains
from activome.patterns.spike_trains import (
    interval_order,
    interval_regularity,
    local_variation,
    population_oscillation,
    spike_synchrony,
)
from activome.samples.null_spike_trains import SPIKE_NULL_KINDS, null_spike_trains

SYNCHRONY = [spike_synchrony, population_oscillation]
INTERVALS = [interval_regularity, interval_order]


def p_value(found: Any) -> float:
    return float(getattr(found, "test", found).p_value)


def test_local_variation_by_hand() -> None:
    # Ratios -1/3 and 2/4: 3 (1/9 + 1/4) / 2.
    assert local_variation(np.array([2.0, 1.0, 3.0])) == pytest.approx(3 * (1 / 9 + 1 / 4) / 2)
    assert local_variation(np.ones(5)) == 0.0
    poisson = np.random.default_rng(0).exponential(size=20_000)
    assert local_variation(poisson) == pytest.approx(1.0, abs=0.03)
    with pytest.raises(ActivityError, match="two successive intervals; got 1"):
        local_variation(np.ones(1))


def test_pairs_by_hand() -> None:
    # Bins of 5 ms: unit 0 twice and unit 1 once in the first, both once in the third.
    events = Events.from_unit_times([[0.001, 0.002, 0.011], [0.004, 0.013, 0.029]], start=0.0)
    trains = bin_trains(events, 0.005, np.random.default_rng(0), "test")
    assert trains.counts().tolist() == [3.0, 0.0, 2.0, 0.0, 0.0]
    assert trains.own_pairs() == 4 + 1 + 1 + 1
    shifted = trains._shifted(np.array([1, -1]))
    assert shifted.tolist() == [0.0, 2 + 1, 0.0, 1.0, 1.0]


def test_shifts_keep_each_trial_and_the_pairs_of_each_unit() -> None:
    rng = np.random.default_rng(0)
    t, trial = rng.integers(0, 10**6, 400), np.repeat([0, 1], [300, 100])
    order = np.lexsort((t, trial))
    events = Events(t[order], rng.integers(0, 4, 400), trial=trial[order], t_stop=10**6)
    trains = bin_trains(events, 0.01, rng, "test")
    counts = trains.shifted(30, rng).reshape(2, 100)
    assert counts.sum(axis=1).tolist() == [300, 100]


def test_of_many_spikes_a_stretch_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activome.patterns._spike_counts._MOST_EVENTS", 200)
    events, _ = null_spike_trains(n_units=5, duration=40.0, random_state=0)
    trains = bin_trains(events, 0.005, np.random.default_rng(0), "test")
    assert 100 < trains.place.size < 300
    assert trains.place.max() < trains.n_bins
    parts = [events.between(10.0 * k, 10.0 * k + 10.0) for k in range(4)]
    trial = np.repeat(np.arange(4), [len(part) for part in parts])
    t = np.concatenate([part.t - part.t_start for part in parts])
    stacked = Events(t, np.concatenate([p.unit for p in parts]), trial=trial, t_stop=10**7)
    assert bin_trains(stacked, 0.005, np.random.default_rng(0), "test").n_trials < 4


def synchronous(seed: int) -> Events:
    rng = np.random.default_rng(seed)
    shared = rng.uniform(0, 30, 60)
    trains = [
        np.sort(np.append(rng.uniform(0, 30, 200), shared + rng.normal(0, 0.001, 60)))
        for _ in range(6)
    ]
    return Events.from_unit_times([np.clip(t, 0, 29.9) for t in trains], start=0.0, stop=30.0)


def test_synchrony_is_found_and_is_no_rhythm() -> None:
    found = spike_synchrony(synchronous(0), n_surrogates=99, random_state=0)
    assert found.p_value == 0.01
    assert found.observed > 2 * found.null.mean()
    p = [
        p_value(population_oscillation(synchronous(k), n_surrogates=99, random_state=k))
        for k in range(10)
    ]
    assert sum(value <= 0.05 for value in p) <= 2


def test_a_rhythm_of_the_population_is_found_at_its_frequency() -> None:
    rng = np.random.default_rng(0)
    trains = []
    for _ in range(10):
        t = np.sort(rng.uniform(0, 30, 900))
        trains.append(t[rng.random(900) < 0.5 * (1 + np.cos(2 * np.pi * 40 * t))])
    events = Events.from_unit_times(trains, start=0.0, stop=30.0)
    found = population_oscillation(events, n_surrogates=99, random_state=0)
    assert found.test.p_value == 0.01
    assert found.frequency == pytest.approx(40, abs=1)
    assert found.power.shape == found.frequencies.shape == (128,)
    assert found.null_power.shape == (2, 128)
    short = population_oscillation(events.between(0.0, 3.0), n_surrogates=19, random_state=0)
    assert short.power.shape == (32,)
    assert short.frequency == pytest.approx(40, abs=4)


def test_order_and_regularity_are_found() -> None:
    rng = np.random.default_rng(0)
    steps = [np.where(np.arange(400) % 4 < 2, 0.05, 0.15) * rng.gamma(20, 0.05, 400) for _ in "ab"]
    events = Events.from_unit_times([np.cumsum(s) for s in steps], start=0.0)
    assert interval_order(events, n_surrogates=99, random_state=0).p_value == 0.01
    regular = interval_regularity(events, n_surrogates=99, random_state=0)
    assert regular.p_value == 0.01
    assert regular.observed < regular.null.min()


def test_a_coarse_clock_makes_no_synchrony() -> None:
    rng = np.random.default_rng(0)
    p = []
    for _ in range(20):
        trains = [np.unique(rng.integers(0, 2000, 300)) * 0.02 for _ in range(5)]
        events = Events.from_unit_times(trains, start=0.0, stop=40.0)
        p.append(spike_synchrony(events, n_surrogates=99, random_state=0).p_value)
    assert sum(value <= 0.05 for value in p) <= 3


@pytest.mark.parametrize("function", [*INTERVALS, *SYNCHRONY])
def test_same_seed_same_p_value(function: Callable[..., Any]) -> None:
    events, _ = null_spike_trains("gamma", n_units=4, duration=20.0, random_state=1)
    found = [p_value(function(events, n_surrogates=19, random_state=3)) for _ in "ab"]
    assert found[0] == found[1]


@pytest.mark.parametrize("function", SYNCHRONY)
def test_one_unit_or_few_bins_are_refused(function: Callable[..., Any]) -> None:
    one = Events.from_unit_times([np.arange(0, 9, 0.1), []], start=0.0, stop=9.0)
    with pytest.raises(ActivityError, match="at least two units must fire; 1 do"):
        function(one)
    short = Events.from_unit_times([[0.01], [0.02]], start=0.0, stop=0.05)
    with pytest.raises(ActivityError, match=r"there must be (more than 40 bins|8 segments)"):
        function(short)
    with pytest.raises(ParameterError, match="bin_width must be"):
        function(one, bin_width=0.0)


def test_trials_of_few_spikes_are_no_regularity_and_no_order() -> None:
    rng = np.random.default_rng(0)
    p: dict[str, list[float]] = {"regularity": [], "order": []}
    for seed in range(20):
        counts = rng.poisson(rng.choice([8, 40], 60))
        t = np.concatenate([np.sort(rng.integers(0, 1000, n)) for n in counts])
        trial = np.repeat(np.arange(60), counts)
        events = Events(t, np.zeros(t.size, int), trial=trial, t_stop=1000, tick=1e-3)
        options: dict[str, Any] = {"n_surrogates": 99, "random_state": seed}
        p["regularity"].append(interval_regularity(events, **options).p_value)
        p["order"].append(interval_order(events, **options).p_value)
    assert all(sum(value <= 0.05 for value in values) <= 3 for values in p.values())


@pytest.mark.parametrize("function", INTERVALS)
def test_few_intervals_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(
        ActivityError, match="a unit with at least 20 intervals in its trials; none of the 1"
    ):
        function(Events.from_times([0.1, 0.2], [0, 0]))


@pytest.mark.parametrize("kind", SPIKE_NULL_KINDS)
def test_null_trains_have_their_rates(kind: str) -> None:
    events, rates = null_spike_trains(kind, n_units=40, duration=100.0, random_state=0)
    assert events.counts().sum() == pytest.approx(rates.sum() * 100, rel=0.3)
    assert events.time.min() >= 0.0
    assert events.time.max() < 100.0
    again, _ = null_spike_trains(kind, n_units=40, duration=100.0, random_state=0)
    assert again.equals(events)
    with pytest.raises(ParameterError, match="unknown kind"):
        null_spike_trains("pink")
