"""Events: building, sorting, cutting, joining, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activome.activity.events import Events
from activome.activity.schema import make
from activome.errors import ActivityError, ActivityWarning, ParameterError


def three_units() -> Events:
    table = pd.DataFrame({"region": ["A", "B", "A"]}, index=["p", "q", "r"])
    return Events.from_times([0.1, 0.2, 0.2, 0.4], [0, 2, 1, 0], stop=0.5, unit_table=table)


def test_worked_example() -> None:
    e = three_units()
    assert e.t.tolist() == [100_000, 200_000, 200_000, 400_000]
    assert e.time.tolist() == [0.1, 0.2, 0.2, 0.4]
    assert (e.n_events, len(e), e.n_units, e.n_trials) == (4, 4, 3, 1)
    assert (e.start, e.stop) == (0.0, 0.5)
    assert e.counts().tolist() == [2, 1, 1]
    assert [i.tolist() for i in e.isi()] == [[pytest.approx(0.3)], [], []]
    assert repr(e) == "<Events: 4 events of 3 units, 0 to 0.5 s, tick 1e-06 s>"


def test_unsorted_events_are_sorted_with_a_warning() -> None:
    with pytest.warns(
        ActivityWarning, match="2 events came before the one ahead of them, the first is event 1"
    ):
        e = Events([5, 3, 4, 1], [0, 1, 2, 3])
    assert e.t.tolist() == [1, 3, 4, 5]
    assert e.unit.tolist() == [3, 1, 2, 0]
    with pytest.raises(ActivityError, match=r"the first is event 1.*Leave assume_sorted out"):
        Events([5, 3], [0, 1], assume_sorted=True)


def test_sorting_is_stable_and_by_trial_first() -> None:
    with pytest.warns(ActivityWarning):
        e = Events([1, 1, 0, 1], [9, 8, 7, 6], trial=[1, 0, 1, 0])
    assert e.unit.tolist() == [8, 6, 7, 9]
    assert e.offsets.tolist() == [0, 2, 4]


def test_columns_are_read_only_copies() -> None:
    t = np.array([1, 2, 3])
    e = Events(t, [0, 0, 0])
    t[0] = 99
    assert e.t[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        e.t[0] = 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t": [0.5], "unit": [0]}, "t must be integers; got dtype float64. For times in s use"),
        ({"t": [1], "unit": [0, 1]}, r"one entry per event \(1\); unit has 2"),
        ({"t": [[1]], "unit": [0]}, "t must have one axis"),
        ({"t": [1], "unit": [-1]}, r"unit must be in \[0, 2147483647\]"),
        ({"t": [1], "unit": [2**31]}, "the first outside at event 0"),
        (
            {"t": [1], "unit": [3], "n_units": 2},
            "there are 2 units, but an event belongs to unit 3",
        ),
        ({"t": [1], "unit": [0], "n_trials": 2}, "there is no column 'trial'"),
        ({"t": [5], "unit": [0], "t_stop": 5}, r"must lie in the window \[0, 5\) of ticks; 1 lie"),
        ({"t": [1], "unit": [0], "x": [1]}, "x and y must be given together"),
        ({"t": [1], "unit": [0], "x": [3], "y": [0], "shape": (2, 2)}, "pixels go up to"),
        ({"t": [1], "unit": [0], "p": [200]}, r"p must be in \[-128, 127\]"),
        ({"t": [1], "unit": [0], "value": ["a"]}, "value must be numbers"),
        ({"t": [1], "unit": [0], "unit_table": pd.DataFrame(index=[0, 0])}, "a name of its own"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        Events(**arguments)


def test_times_that_are_no_times_are_refused() -> None:
    with pytest.raises(ActivityError, match="1 of 2 are not, the first is event 1"):
        Events.from_times([0.0, np.nan], [0, 0])
    with pytest.raises(ActivityError, match="Are they in another unit"):
        Events.from_times([1e15], [0])
    with pytest.raises(ParameterError, match="tick must be in"):
        Events([1], [0], tick=0.0)


def test_negative_times_and_empty_recordings() -> None:
    e = Events.from_times([-0.5, 0.25], [0, 0])
    assert (e.start, e.time.tolist()) == (-0.5, [-0.5, 0.25])
    empty = Events([], [], n_units=3, t_stop=10)
    assert empty.n_events == 0
    assert empty.bin(5e-6).values.tolist() == [[0, 0, 0]] * 2
    assert [i.size for i in empty.isi()] == [0, 0, 0]
    assert empty.offsets.tolist() == [0, 0]


def test_select_keeps_the_order_given() -> None:
    e = three_units().select(units=["r", "p"])
    assert e.unit.tolist() == [1, 0, 1]
    assert e.unit_table.index.tolist() == ["r", "p"]
    assert e.stop == 0.5
    with pytest.raises(ParameterError, match="unknown unit 'x'; known: p, q, r"):
        three_units().select(units=["x"])
    with pytest.raises(ParameterError, match="may stand once"):
        three_units().select(units=["p", "p"])
    with pytest.raises(ParameterError, match="no trials to select from"):
        three_units().select(trials=[0])


def test_select_trials_in_another_order() -> None:
    e = Events([1, 2, 3], [0, 1, 0], trial=[0, 1, 2], t_stop=9)
    chosen = e.select(trials=[2, 0])
    assert chosen.t.tolist() == [3, 1]
    assert chosen.trial is not None
    assert chosen.trial.tolist() == [0, 1]
    assert chosen.n_trials == 2


def test_between_is_right_open() -> None:
    e = three_units().between(0.1, 0.4)
    assert e.time.tolist() == [0.1, 0.2, 0.2]
    assert (e.start, e.stop) == (0.1, 0.4)
    with pytest.raises(ParameterError, match="stop must be after start"):
        three_units().between(0.4, 0.1)


def test_concat_trials_times_and_units() -> None:
    e = three_units()
    trials = Events.concat([e, e])
    assert trials.n_trials == 2
    assert trials.offsets.tolist() == [0, 4, 8]
    halves = Events.concat([e.between(0.0, 0.2), e.between(0.2, 0.5)], dim="time")
    assert halves.equals(e)
    units = Events.concat([e, e], dim="unit")
    assert units.n_units == 6
    assert units.counts().tolist() == [2, 1, 1, 2, 1, 1]
    with pytest.raises(ActivityError, match="windows must follow each other"):
        Events.concat([e, e], dim="time")
    with pytest.raises(ActivityError, match="must have one tick"):
        Events.concat([e, Events([1], [0], tick=1e-3, unit_table=e.unit_table.iloc[:1])])
    with pytest.raises(ActivityError, match="at least one part; got none"):
        Events.concat([])
    with pytest.raises(ActivityError, match="parts must have the same units; part 1 has others"):
        Events.concat([e, Events([1], [0])])


def test_concat_of_many_windows_that_overlap_is_refused() -> None:
    e = Events.from_times([0.1, 0.3, 0.5], [0, 0, 0], stop=0.6)
    parts = [e.between(0.0, 0.2), e.between(0.2, 0.4), e.between(0.3, 0.6)]
    with pytest.raises(ActivityError, match=r"part 2 starts at 0.3 s"):
        Events.concat(parts, dim="time")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=1, max_size=12))
def test_raster_round_trip(counts: list[list[int]]) -> None:
    raster = make(np.array(counts), sampling_rate=10.0, kind="spikes", unit=["a", "b"])
    e = Events.from_raster(raster)
    assert e.n_events == int(raster.sum())
    assert np.array_equal(e.bin(0.1).values, raster.values)
    assert e.unit_table.index.tolist() == ["a", "b"]


def test_raster_with_trials_and_labels() -> None:
    raster = make(
        np.array([[[1, 0], [0, 2]], [[0, 0], [0, 1]]]),
        sampling_rate=4.0,
        start=1.0,
        coords={"region": ("unit", ["A", "B"])},
    )
    e = Events.from_raster(raster)
    assert (e.n_trials, e.n_events) == (2, 4)
    assert e.time.tolist() == [1.0, 1.25, 1.25, 1.25]
    again = e.bin(0.25)
    assert np.array_equal(again.values, raster.values)
    assert again["region"].values.tolist() == ["A", "B"]
    assert e.to_raster(0.25, units=[1]).values[..., 0].tolist() == [[False, True], [False, True]]


def test_what_is_no_raster_is_refused() -> None:
    with pytest.raises(ActivityError, match="must hold counts, whole and not negative"):
        Events.from_raster(make(np.array([[0.5]] * 2), sampling_rate=1.0))
    with pytest.raises(ActivityError, match="must have a regular time axis"):
        Events.from_raster(make(np.ones((3, 1)), time=[0.0, 1.0, 3.0]))
    with pytest.raises(ActivityError, match="must be finite"):
        Events.from_raster(make(np.array([[np.nan]] * 2), sampling_rate=1.0))


def test_frames_of_pixels() -> None:
    e = Events([0, 1, 10], [0, 1, 0], x=[1, 0, 1], y=[0, 1, 0], p=[1, -1, 1], shape=(2, 2))
    frames = e.to_frames(1e-5)
    assert frames.shape == (1, 2, 2, 2, 2)
    assert frames[0, 0, 0].tolist() == [[0, 0], [1, 0]]
    assert frames[0, 1].tolist() == [[[0, 1], [0, 0]], [[0, 1], [0, 0]]]
    records = e.to_structured()
    assert records["t"].tolist() == [0, 1, 10]
    assert records["p"].tolist() == [1, -1, 1]
    with pytest.raises(ActivityError, match=r"to_frames: these events have no pixels"):
        three_units().to_frames(0.1)
    with pytest.raises(ActivityError, match=r"to_structured: these events have no pixels"):
        three_units().to_structured()


def test_equality() -> None:
    e = three_units()
    assert e.equals(three_units())
    assert not e.equals(e.select(units=["p", "q"]))
    assert not e.equals("events")
    assert e.equals(Events(e.t, e.unit, t_stop=e.t_stop, unit_table=e.unit_table, source="else"))


def test_intervals_do_not_span_trials() -> None:
    e = Events([1, 5, 2, 9], [0, 0, 0, 0], trial=[0, 0, 1, 1])
    assert e.isi()[0].tolist() == [4e-6, 7e-6]


def test_columns_are_given_and_ride_along() -> None:
    e = three_units().assign(feature=[3, -1, 0, 2], value=[0.5, 1.0, 0.0, 0.25])
    assert e.feature is not None
    assert e.feature.dtype == np.int32
    assert e.select(units=["p"]).assign(value=[1.0, 2.0]).feature.tolist() == [3, 2]  # type: ignore[union-attr]
    assert not e.equals(three_units())
    joined = Events.concat([e, e])
    assert joined.feature is not None
    assert joined.feature.tolist() == [3, -1, 0, 2] * 2
    with pytest.raises(ParameterError, match="the column"):
        e.assign(t=[0, 1, 2, 3])
