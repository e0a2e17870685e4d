"""Counting events into bins: on whole ticks, against brute force and against peers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activome.activity._binning import count_events
from activome.activity.events import Events
from activome.errors import ParameterError, ResourceError


def brute_force(e: Events, first: int, width: int, n_bins: int) -> Any:
    counts = np.zeros((e.n_trials, n_bins, e.n_units), np.int64)
    trials = np.zeros(e.n_events, int) if e.trial is None else e.trial
    for t, u, r in zip(e.t.tolist(), e.unit.tolist(), trials.tolist(), strict=True):
        for k in range(n_bins):
            if first + k * width <= t < first + (k + 1) * width:
                counts[r, k, u] += 1
    return counts


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-20, 60), st.integers(0, 3)), max_size=40),
    st.integers(1, 17),
    st.booleans(),
    st.sampled_from(["keep", "drop"]),
)
def test_counts_equal_brute_force(
    rows: list[tuple[int, int, int]], width: int, has_trials: bool, tail: Any
) -> None:
    rows = sorted(rows) if has_trials else sorted(rows, key=lambda row: row[1])
    trial, t, unit = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(3))
    e = Events(
        t,
        unit,
        trial=trial if has_trials else None,
        n_trials=3 if has_trials else None,
        n_units=4,
        tick=1e-3,
        t_start=-20,
        t_stop=61,
    )
    n_bins = -(-81 // width) if tail == "keep" else 81 // width
    counts = e.bin(width * 1e-3, tail=tail)
    expected = brute_force(e, -20, width, n_bins)
    assert np.array_equal(counts.values, expected if has_trials else expected[0])


def test_window_inside_the_events() -> None:
    e = Events.from_times([0.05, 0.15, 0.25, 0.35], [0, 0, 0, 0])
    a = e.bin(0.1, start=0.1, stop=0.3)
    assert a.values.ravel().tolist() == [1, 1]
    assert a["time"].values.tolist() == [0.1, 0.2]


def test_edges_that_floats_get_wrong() -> None:
    # In floats 0.29 / 0.01 is 28.999..., so that the event would fall one bin too early.
    assert int(0.29 / 0.01) == 28
    a = Events.from_times([0.29], [0], stop=0.3).bin(0.01)
    assert a.values.ravel().tolist() == [0] * 29 + [1]
    every = np.arange(1000) * 0.1
    counts = Events.from_times(every, np.zeros(1000, int), stop=100.0).bin(0.1)
    assert counts.values.ravel().tolist() == [1] * 1000


def test_sample_clock_of_30_khz_is_exact() -> None:
    ticks = np.arange(0, 30_000 * 10, 30)
    e = Events(ticks, np.zeros(ticks.size, int), tick=1 / 30_000, t_stop=300_000)
    counts = e.bin(0.001)
    assert counts.sizes["time"] == 10_000
    assert (counts.values == 1).all()
    assert float(counts["time"][-1]) == 9.999


def test_dtype_grows_with_the_largest_count() -> None:
    for n, dtype in ((255, np.uint8), (256, np.uint16), (65_536, np.uint32)):
        counts = Events(np.zeros(n, int), np.zeros(n, int), t_stop=1).bin(1e-6)
        assert counts.dtype == dtype
        assert counts.values.tolist() == [[n]]


def test_kernel_ignores_events_outside() -> None:
    t = np.array([-5, 0, 9, 10, 99], np.int64)
    unit = np.zeros(5, np.int32)
    counts = count_events(t, np.empty(0, np.int32), unit, first=0, width=5, shape=(1, 2, 1))
    assert counts.ravel().tolist() == [1, 1]


def test_tail() -> None:
    e = Events.from_times([0.05, 0.24], [0, 0], stop=0.25)
    assert e.bin(0.1).values.ravel().tolist() == [1, 0, 1]
    assert e.bin(0.1, tail="drop").values.ravel().tolist() == [1, 0]
    with pytest.raises(ParameterError, match=r"dt = 0\.1 s must divide the window of 0\.25 s"):
        e.bin(0.1, tail="refuse")


def test_refusals() -> None:
    e = Events.from_times([0.5], [0], stop=1.0)
    with pytest.raises(ParameterError, match="must be a whole number of ticks"):
        e.bin(1.5e-6)
    with pytest.raises(ParameterError, match=r"dt must be in \(0, inf\)"):
        e.bin(0.0)
    with pytest.raises(ParameterError, match="must hold at least one bin"):
        e.bin(2.0, tail="drop")
    with pytest.raises(ParameterError, match="Did you mean 'keep'"):
        e.bin(0.1, tail="kep")  # type: ignore[arg-type]
    with pytest.raises(ResourceError, match="a raster of 1 trials x 1000000 bins x 1 units"):
        e.bin(1e-6, memory_limit=1e5)


def _recording() -> tuple[list[Any], Events]:
    rng = np.random.default_rng(0)
    times = [np.sort(rng.integers(0, 10_000_000, n)) / 1e6 for n in (300, 40, 500)]
    return times, Events.from_unit_times(times, start=0.0, stop=10.0)


def test_parity_with_pynapple() -> None:
    nap = pytest.importorskip("pynapple", reason="needs the extra spikes")
    times, e = _recording()
    group = nap.TsGroup(
        {i: nap.Ts(t) for i, t in enumerate(times)}, time_support=nap.IntervalSet(0, 10)
    )
    theirs = np.asarray(group.count(0.1).values)
    ours = e.bin(0.1).values
    assert ours.shape == theirs.shape
    # pynapple decides on floats: an event within 1 ns of an edge may fall on the other side.
    near = sum(int((np.abs(t / 0.1 - np.rint(t / 0.1)) < 1e-7).sum()) for t in times)
    assert np.abs(ours.astype(int) - theirs).sum() <= 2 * near
    assert ours.sum() == theirs.sum() == 840


@pytest.mark.filterwarnings("ignore")  # elephant and quantities warn of their own deprecations
def test_parity_with_elephant() -> None:
    conversion = pytest.importorskip("elephant.conversion", reason="needs elephant")
    quantities = pytest.importorskip("quantities")
    _, e = _recording()
    trains = e.to_neo().segments[0].spiketrains
    binned = conversion.BinnedSpikeTrain(
        list(trains),
        bin_size=0.1 * quantities.s,
        t_start=0 * quantities.s,
        t_stop=10 * quantities.s,
    )
    assert np.array_equal(e.bin(0.1).values.T, binned.to_array())
