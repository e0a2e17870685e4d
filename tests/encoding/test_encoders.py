"""Encoders of intensities: counts by law, times by hand, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from activome.activity.schema import make
from activome.encoding.current import CurrentEncoder
from activome.encoding.latency import LatencyEncoder
from activome.encoding.poisson import PoissonEncoder
from activome.errors import ActivityError, ParameterError


@pytest.mark.parametrize("linear", [False, True])
def test_poisson_counts_are_binomial(linear: bool) -> None:
    x = np.array([0.2, 1.0, 3.0])
    encoder = PoissonEncoder(rate=50.0, duration=1.0, linear=linear, random_state=1)
    counts = encoder.encode(np.tile(x, (800, 1))).bin(1.0).values[:, 0]
    chance = 50.0 * x * 1e-3 if linear else 1 - np.exp(-50.0 * x * 1e-3)
    mean, variance = 1000 * chance, 1000 * chance * (1 - chance)
    assert np.abs(counts.mean(axis=0) - mean).max() < 4 * np.sqrt(variance / 800).max()
    np.testing.assert_allclose(counts.var(axis=0) / variance, 1.0, atol=0.2)


def test_poisson_fano_factor_is_one_for_small_bins() -> None:
    encoder = PoissonEncoder(rate=20.0, duration=1.0, dt=1e-4, random_state=0)
    counts = encoder.encode(np.ones((400, 20))).bin(1.0).values.ravel()
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.05)


def test_poisson_follows_a_changing_rate_and_keeps_names() -> None:
    values = np.zeros((3, 4, 2))
    values[:, 2, 1] = 1e5  # a spike in every bin of the third sample
    activity = make(values, sampling_rate=100.0, unit=["a", "b"], source="test")
    spikes = PoissonEncoder(rate=1.0, dt=1e-3, random_state=0).encode(activity)
    assert spikes.unit_table.index.tolist() == ["a", "b"]
    counts = spikes.bin(0.01).values
    np.testing.assert_array_equal(counts, np.where(values > 0, 10, 0))
    assert spikes.stop == pytest.approx(0.04)


def test_same_seed_same_spikes() -> None:
    x = np.linspace(0, 1, 30)
    one, two = (PoissonEncoder(random_state=3).encode(x) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(PoissonEncoder(random_state=4).encode(x))


def test_latency_is_in_order_of_intensity() -> None:
    x = np.random.default_rng(0).random((5, 40))
    spikes = LatencyEncoder(t_max=0.05, threshold=0.3).encode(x)
    assert spikes.n_events == (x >= 0.3).sum()
    for k in range(5):
        here = spikes.unit[spikes.trial == k] if spikes.trial is not None else spikes.unit
        expected = np.argsort(-x[k], kind="stable")[: (x[k] >= 0.3).sum()]
        np.testing.assert_array_equal(here, expected)
    assert LatencyEncoder(threshold=0.5).encode([0.5]).n_events == 1


def test_current_is_there_in_every_step() -> None:
    x = np.array([[0.0, 1.0, -2.0], [1.0, 0.0, 0.0]])
    events = CurrentEncoder(gain=0.5, duration=0.004, dt=1e-3).encode(x)
    assert events.value is not None
    assert events.trial is not None
    dense = np.zeros((2, 4, 3))
    dense[events.trial, events.t // 1000, events.unit] = events.value
    np.testing.assert_allclose(dense, np.repeat(0.5 * x[:, None], 4, axis=1))


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="at most 1 with linear=True"):
        PoissonEncoder(rate=2000.0, linear=True).encode([1.0])
    with pytest.raises(ParameterError, match="whole number of bins"):
        PoissonEncoder(duration=0.0105)
    with pytest.raises(ParameterError, match="whole number of microseconds"):
        PoissonEncoder(duration=0.1, dt=1.5e-7)
    with pytest.raises(ActivityError, match="negative; the first is at trial 0, unit 1"):
        PoissonEncoder().encode([0.0, -1.0])
    with pytest.raises(ActivityError, match="trial 0, time 0, unit 1"):
        PoissonEncoder().encode([0.0, np.nan])
    with pytest.raises(ActivityError, match=r"in \[0, 1\]"):
        LatencyEncoder().encode([1.5])
    with pytest.raises(ActivityError, match="must not change in time"):
        CurrentEncoder().encode(np.ones((1, 2, 3)))
    with pytest.raises(ActivityError, match="empty"):
        LatencyEncoder().encode([])
    with pytest.raises(ParameterError, match="whole number of steps"):
        CurrentEncoder(duration=0.0015)


def test_one_sample_with_a_time_axis_lasts_one_sample() -> None:
    encoder = PoissonEncoder(rate=500.0, duration=0.1, random_state=0)
    values = np.ones((2, 1, 3))
    assert encoder.encode(values).t_stop == 1000  # one bin
    timed = make(values, ("trial", "time", "unit"), sampling_rate=50.0)
    assert encoder.encode(timed).t_stop == 20_000  # 1 / 50 Hz, not the duration
    assert encoder.encode(values[:, 0]).t_stop == 100_000


def test_currents_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(ParameterError, match="largest float32"):
        CurrentEncoder(gain=1e39).encode([1.0])
    with pytest.raises(ParameterError, match="largest float32"):
        CurrentEncoder(gain=1e300).encode([1e200, 0.0])
