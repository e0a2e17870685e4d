from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from activome.activity.resample import Resampler, check_stamps, resample
from activome.activity.traces import (
    longest_gap,
    normalise_traces,
    smooth_traces,
    straight_share,
)
from activome.errors import ActivityError, ParameterError, ResourceError

Array = np.ndarray[Any, Any]


def jittered(n: int, step: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return np.cumsum(step * (1 + 0.2 * rng.uniform(-1, 1, n)))


def slow_resample(time: Array, trace: Array, dt: float, blocks: str) -> tuple[Array, Array]:
    """The rule of the method, one sample after another."""
    time = time - time[0]
    grid = [k * dt for k in range(10**4) if k * dt <= time[-1] + 1e-9 * dt]
    if dt < np.median(np.diff(time)):
        return np.array(grid), np.array([np.interp(t, time, trace) for t in grid])
    values, kept = [], []
    for t in grid:
        if blocks == "leading":
            fine = [t + j * dt / 6 for j in range(6)]
            if fine[-1] > time[-1]:
                continue
        else:
            half = min(5 * dt / 12, t, time[-1] - t)
            fine = [t + half * (2 * j - 5) / 5 for j in range(6)]
        values.append(np.mean([np.interp(f, time, trace) for f in fine]))
        kept.append(t)
    return np.array(kept), np.array(values)


def test_up_by_hand() -> None:
    times, values = resample([0.0, 1.0, 3.0], [[0.0, 1.0], [2.0, 1.0], [6.0, 5.0]], 0.75)
    np.testing.assert_allclose(times, [0, 0.75, 1.5, 2.25, 3.0])
    np.testing.assert_allclose(values[:, 0], [0, 1.5, 3.0, 4.5, 6.0])
    np.testing.assert_allclose(values[:, 1], [1, 1, 2.0, 3.5, 5.0])


def test_leading_blocks_by_hand() -> None:
    time = np.arange(0.0, 13.0)
    times, values = resample(time, time, 6.0, blocks="leading")
    # Blocks of 0..5 and 6..11; a third would need 17 s.
    np.testing.assert_allclose(times, [0.0, 6.0])
    np.testing.assert_allclose(values, [2.5, 8.5])


def test_centred_blocks_keep_a_line_where_it_is() -> None:
    time = jittered(400, 0.1)
    times, values = resample(time, 3.0 * (time - time[0]) - 1.0, 0.7)
    np.testing.assert_allclose(values, 3.0 * times - 1.0, atol=1e-9)


@pytest.mark.parametrize("blocks", ["centred", "leading"])
@given(dt=st.floats(0.05, 2.0), n=st.integers(10, 60), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_equals_the_slow_twin(blocks: str, dt: float, n: int, seed: int) -> None:
    time = jittered(n, 0.5, seed) + 100.0
    trace = np.random.default_rng(seed).standard_normal(n)
    times, values = resample(time, trace, dt, blocks=blocks)
    slow_times, slow_values = slow_resample(time, trace, dt, blocks)
    np.testing.assert_allclose(times, slow_times, atol=1e-9)
    np.testing.assert_allclose(values, slow_values, atol=1e-9)


def test_cubic_equals_scipy() -> None:
    time = jittered(50, 0.5)
    trace = np.sin(time)
    times, values = resample(time, trace, 0.2, "cubic")
    truth = CubicSpline(time, trace, bc_type="not-a-knot")(time[0] + times)
    np.testing.assert_allclose(values, truth, atol=1e-9)


@pytest.mark.parametrize(("step", "dt"), [(0.6, 0.333), (0.17, 0.333), (0.05, 0.333)])
def test_slow_sine_survives(step: float, dt: float) -> None:
    rng = np.random.default_rng(0)
    time = np.arange(0.0, 480.0, step)
    time = np.sort(time + 0.05 * step * rng.standard_normal(time.size))
    times, values = resample(time, np.sin(2 * np.pi * 0.05 * time), dt)
    truth = np.sin(2 * np.pi * 0.05 * (times + time[0]))
    z, t = ((x - x.mean()) / x.std() for x in (values, truth))
    # Linear interpolation of a 0.05 Hz sine at 0.6 s errs by about (2 pi 0.05 0.6)^2 / 16 = 0.002.
    assert np.sqrt(np.mean((z - t) ** 2)) < 0.003


def test_block_means_suppress_what_would_alias() -> None:
    time = np.arange(0.0, 200.0, 0.05)
    _, values = resample(time, np.sin(2 * np.pi * 3.1 * time), 0.333)
    # Taking every 0.333 s would keep the full deviation of 0.71.
    assert values.std() < 0.15


def test_missing_samples_stay_missing_and_touch_no_others() -> None:
    time = np.arange(0.0, 20.0)
    trace = time.copy()
    trace[10] = np.nan
    _, up = resample(time, trace, 0.5)
    assert np.flatnonzero(np.isnan(up)).tolist() == [19, 20, 21]
    whole = resample(time, time, 2.0)[1]
    down = resample(time, trace, 2.0)[1]
    seen = ~np.isnan(down)
    assert np.flatnonzero(~seen).tolist() == [5]
    np.testing.assert_allclose(down[seen], whole[seen])


def test_last_grid_point_is_the_last_sample() -> None:
    assert resample(np.arange(11) * 0.1, np.arange(11.0), 0.01)[0].size == 101


def test_times_are_not_accumulated() -> None:
    times = Resampler(np.arange(0.0, 5400.0, 0.6), 0.333).times
    assert times.dtype == np.float64
    np.testing.assert_array_equal(times, np.arange(times.size) * 0.333)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ([0.0, 2.0, 1.0], "time must increase; stamp 2"),
        ([0.0, 1.0, 1.0], "time must increase; stamp 2"),
        ([0.0, np.nan, 1.0], "stamp 1 is nan"),
        ([0.0], "at least two stamps"),
        (["a", "b", "c"], "at least two stamps"),
        (np.zeros((2, 2)), "at least two stamps"),
    ],
)
def test_bad_stamps(time: Any, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        check_stamps(time, owner="test")


def test_refusals() -> None:
    time = np.arange(10.0)
    with pytest.raises(ParameterError, match="dt must be in"):
        resample(time, time, 0.0)
    with pytest.raises(ParameterError, match="unknown method 'spline'"):
        resample(time, time, 1.0, "spline")
    with pytest.raises(ParameterError, match="unknown blocks"):
        resample(time, time, 1.0, blocks="middle")
    with pytest.raises(ActivityError, match="longer than one step"):
        resample(time, time, 10.0)
    with pytest.raises(ActivityError, match="n_times = 10; got shape"):
        resample(time, time[:9], 1.0)
    with pytest.raises(ActivityError, match="spline needs finite traces; 1 of 10"):
        resample(time, np.where(time == 3, np.nan, time), 0.5, "cubic")
    with pytest.raises(ResourceError, match="the grid would take"):
        resample([0.0, 1e9], [0.0, 1.0], 0.1)


# Smoothing and normalisation.


def slow_weighted(trace: Array, weights: Array) -> Array:
    out = np.full_like(trace, np.nan)
    for t in range(trace.size):
        lags = [k for k in range(min(t + 1, weights.size)) if not np.isnan(trace[t - k])]
        if not np.isnan(trace[t]):
            out[t] = sum(weights[k] * trace[t - k] for k in lags) / sum(weights[k] for k in lags)
    return out


@pytest.mark.parametrize("missing", [False, True])
def test_smoothing_equals_the_slow_twin(missing: bool) -> None:
    trace = np.random.default_rng(0).standard_normal(80)
    if missing:
        trace[[0, 11, 12, 40]] = np.nan
    np.testing.assert_allclose(
        smooth_traces(trace, "moving", window=15), slow_weighted(trace, np.ones(8)), atol=1e-12
    )
    gauss = np.exp(-(np.arange(80.0) ** 2) / (2 * 5.0**2))
    np.testing.assert_allclose(
        smooth_traces(trace, "gaussian"), slow_weighted(trace, gauss), atol=1e-12
    )
    state, expected = np.nan, np.full_like(trace, np.nan)
    for t, x in enumerate(trace):
        if not np.isnan(x):
            state = x if np.isnan(state) else 0.5 * x + 0.5 * state
            expected[t] = state
    np.testing.assert_allclose(smooth_traces(trace, "exponential"), expected, atol=1e-12)


@pytest.mark.parametrize("method", ["moving", "exponential", "gaussian"])
def test_smoothing_is_causal_and_keeps_constants(method: str) -> None:
    rng = np.random.default_rng(1)
    trace = rng.standard_normal((60, 2))
    changed = trace.copy()
    changed[30:] += 5.0
    np.testing.assert_array_equal(
        smooth_traces(trace, method)[:30], smooth_traces(changed, method)[:30]
    )
    np.testing.assert_allclose(smooth_traces(np.full(40, 3.0), method), 3.0, atol=1e-12)


def test_causal_normalisation_by_hand_and_by_slow_twin() -> None:
    trace = 1e6 + np.random.default_rng(2).standard_normal(50)
    expected = [
        (trace[t] - trace[: t + 1].mean()) / max(trace[: t + 1].std(), 1e-4) for t in range(50)
    ]
    np.testing.assert_allclose(normalise_traces(trace, "causal")[0], expected, atol=1e-6)


def test_normalisation_laws() -> None:
    trace = np.random.default_rng(3).standard_normal((200, 3)) * [1, 1e3, 1e-3] + [0, 5, -1]
    trace[7, 1] = np.nan
    scaled, rate = normalise_traces(trace, companions=(np.ones_like(trace),))
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(rate[0], 1 / np.nanstd(trace, axis=0), rtol=1e-12)
    assert np.isnan(scaled[7, 1])
    np.testing.assert_array_equal(normalise_traces(np.full(9, 0.1))[0], 0.0)
    (same,) = normalise_traces(trace, None)
    np.testing.assert_array_equal(same, trace)


def test_longest_gap_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    traces = np.where(rng.random((40, 6)) < 0.5, np.nan, 1.0)
    traces[:, 5] = np.nan
    for k, share in enumerate(longest_gap(traces)):
        text = "".join("x" if np.isnan(v) else " " for v in traces[:, k])
        assert share == max((len(run) for run in text.split()), default=0) / 40


def test_straight_share_finds_filled_stretches() -> None:
    rng = np.random.default_rng(5)
    trace = rng.standard_normal((200, 3))
    trace[60:115, 1] = np.linspace(0.0, 1.0, 55)
    trace[:, 2] = np.nan
    share = straight_share(trace)
    assert share[0] == share[2] == 0.0
    starts = range(0, 151, 25)
    brute = [len(set(np.round(np.diff(trace[s : s + 50, 1]), 3).tolist())) == 1 for s in starts]
    # The filled stretch of 55 holds no whole window on the grid of 25 unless it starts there.
    assert share[1] == np.mean(brute)
    trace[50:100, 1] = np.linspace(0.0, 1.0, 50)
    assert straight_share(trace)[1] == pytest.approx(1 / 7)


def test_trace_refusals() -> None:
    with pytest.raises(ParameterError, match="unknown method 'median'"):
        smooth_traces([1.0, 2.0], "median")
    with pytest.raises(ParameterError, match="unknown method 'minmax'"):
        normalise_traces([1.0, 2.0], "minmax")
    with pytest.raises(ParameterError, match="alpha must be in"):
        smooth_traces([1.0, 2.0], alpha=0.0)
    with pytest.raises(ActivityError, match="hold samples"):
        longest_gap(np.zeros((0, 2)))
    with pytest.raises(ActivityError, match="one window of 50 samples; got 10"):
        straight_share(np.zeros((10, 1)))
