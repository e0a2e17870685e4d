"""Cutting trials out of recordings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activome.activity.events import Events
from activome.activity.schema import make
from activome.activity.trials import cut_trials
from activome.errors import ActivityError, ActivityWarning, ParameterError


def test_worked_example_with_labels() -> None:
    signal = make(
        np.arange(20.0).reshape(10, 2), sampling_rate=10.0, start=5.0, unit=["a", "b"],
        coords={"region": ("unit", ["M1", "S1"])}, kind="rate", units="Hz",
    )  # fmt: skip
    labels = pd.DataFrame({"side": ["left", "right"], "level": [1.5, 2.5]})
    trials = cut_trials(signal, [5.7, 5.2], 0.1, 0.2, labels=labels)
    assert trials.dims == ("trial", "time", "unit")
    assert trials.sel(unit="a").values.tolist() == [[12, 14, 16, 18], [2, 4, 6, 8]]
    np.testing.assert_allclose(trials["time"].values, [-0.1, 0.0, 0.1, 0.2])
    assert trials["side"].values.tolist() == ["left", "right"]
    assert trials["onset"].values.tolist() == [5.7, 5.2]
    assert trials["region"].values.tolist() == ["M1", "S1"]
    assert (trials.attrs["kind"], trials.attrs["units"]) == ("rate", "Hz")
    assert trials.attrs["sampling_rate"] == 10.0


def test_trials_outside_are_listed_padded_or_refused() -> None:
    signal = make(np.arange(10), sampling_rate=10.0)
    with pytest.warns(ActivityWarning, match=r"2 of 3 trials .*0 \(onset 0 s\), 2 \(onset 0.9 s\)"):
        kept = cut_trials(signal, [0.0, 0.5, 0.9], 0.1, 0.1, labels=["x", "y", "z"])
    assert kept["trial"].values.tolist() == [1]
    assert kept["event"].values.tolist() == ["y"]
    padded = cut_trials(signal, [0.0, 0.5, 0.9], 0.1, 0.1, outside="pad")
    np.testing.assert_array_equal(padded.values, [[np.nan, 0, 1], [4, 5, 6], [8, 9, np.nan]])
    assert padded["valid"].values.tolist() == [[False, True, True], [True] * 3, [True, True, False]]
    with pytest.raises(ParameterError, match="2 of 3 trials reach outside"):
        cut_trials(signal, [0.0, 0.5, 0.9], 0.1, 0.1, outside="raise")
    with pytest.raises(ActivityError, match="no trial is left"):
        cut_trials(signal, [7.0], 0.1, 0.1)


def test_windows_of_their_own_give_ragged_trials() -> None:
    signal = make(np.arange(10.0), sampling_rate=10.0)
    trials = cut_trials(signal, [0.2, 0.6], [0.1, 0.0], [0.1, 0.3])
    np.testing.assert_allclose(trials["time"].values, [-0.1, 0.0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(trials.values, [[1, 2, 3, np.nan, np.nan], [np.nan, 6, 7, 8, 9]])
    assert trials["valid"].values.sum(axis=1).tolist() == [3, 4]


def test_a_lazy_recording_stays_lazy() -> None:
    whole = make(np.random.default_rng(0).standard_normal((100, 3)), sampling_rate=50.0)
    onsets = [0.5, 1.0, 0.7]
    lazy = cut_trials(whole.chunk(time=7), onsets, 0.2, 0.3)
    assert hasattr(lazy.data, "dask")
    assert lazy.compute().equals(cut_trials(whole, onsets, 0.2, 0.3))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 1000), max_size=60),
    st.lists(st.integers(100, 900), min_size=1, max_size=5),
    st.integers(-50, 100),
    st.integers(60, 100),
)
def test_events_equal_a_plain_loop(
    t: list[int], onsets: list[int], before: int, after: int
) -> None:
    ticks = np.sort(np.asarray(t, dtype=np.int64))
    unit = np.arange(ticks.size) % 3
    events = Events(
        ticks, unit, value=ticks.astype(float), tick=1e-3, n_units=3, t_start=0, t_stop=1001
    )
    cut = cut_trials(events, np.asarray(onsets) * 1e-3, before * 1e-3, after * 1e-3)
    expected = [
        (k, time - onset, int(u), float(time))
        for k, onset in enumerate(onsets)
        for time, u in zip(ticks.tolist(), unit, strict=True)
        if onset - before <= time < onset + after
    ]
    assert cut.trial is not None
    assert cut.value is not None
    found = zip(
        cut.trial.tolist(), cut.t.tolist(), cut.unit.tolist(), cut.value.tolist(), strict=True
    )
    assert list(found) == expected
    assert cut.n_trials == len(onsets)
    assert (cut.t_start, cut.t_stop) == (-before, after)


def test_binning_then_cutting_equals_cutting_then_binning() -> None:
    rng = np.random.default_rng(3)
    events = Events(np.sort(rng.integers(0, 10**6, 500)), rng.integers(0, 4, 500), t_stop=10**6)
    onsets = [0.2, 0.55, 0.31]
    first = cut_trials(events, onsets, 0.1, 0.2).bin(0.01)
    second = cut_trials(events.bin(0.01), onsets, 0.1, 0.19)
    np.testing.assert_array_equal(first.values, second.values)


def test_refusals() -> None:
    signal = make(np.arange(10.0), sampling_rate=10.0)
    events = Events([1, 2], [0, 0], t_stop=10**6)
    with pytest.raises(ParameterError, match="1 of 2 are not"):
        cut_trials(signal, [0.1, np.nan], 0.1, 0.1)
    with pytest.raises(ParameterError, match="one at least"):
        cut_trials(signal, [], 0.1, 0.1)
    with pytest.raises(ParameterError, match="before \\+ after must be more than 0"):
        cut_trials(signal, [0.5], 0.1, -0.1)
    with pytest.raises(ParameterError, match="'event' must have shape"):
        cut_trials(signal, [0.5], 0.1, 0.1, labels=["a", "b"])
    with pytest.raises(ParameterError, match="unknown outside 'keep'"):
        cut_trials(signal, [0.5], 0.1, 0.1, outside="keep")
    with pytest.raises(ActivityError, match="no sampling_rate"):
        cut_trials(make(np.arange(3.0), time=[0.0, 0.1, 0.5]), [0.1], 0.1, 0.1)
    with pytest.raises(ActivityError, match="no trials"):
        cut_trials(cut_trials(signal, [0.5], 0.1, 0.1), [0.0], 0.1, 0.1)
    with pytest.raises(ParameterError, match="labels cannot be used for Events"):
        cut_trials(events, [0.5], 0.1, 0.1, labels=["a"])
    with pytest.raises(ParameterError, match="windows that differ"):
        cut_trials(events, [0.5, 0.6], [0.1, 0.2], 0.1)
