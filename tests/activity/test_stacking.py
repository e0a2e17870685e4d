"""From labels to plain arrays and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activome.activity.schema import DIMS, make
from activome.activity.stacking import (
    from_ragged,
    label_values,
    to_samples,
    to_sequences,
    to_trials,
)
from activome.errors import ActivityError


def test_worked_example() -> None:
    a = make(np.arange(12).reshape(2, 3, 2), coords={"s": ("trial", ["x", "y"])})
    samples, index = to_samples(a)
    assert samples.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    trials, _ = to_trials(a)
    assert trials[1].tolist() == [[6, 8, 10], [7, 9, 11]]
    sequences, _ = to_sequences(a)
    assert sequences[1].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert label_values(index, "s", owner="f").tolist() == ["x"] * 3 + ["y"] * 3
    assert label_values(index, "s", owner="f", per="trial").tolist() == ["x", "y"]
    assert np.shares_memory(samples, a.values)


@given(st.sets(st.sampled_from(DIMS), min_size=1), st.randoms())
def test_round_trip_of_any_dims_in_any_order(dims: set[str], random: object) -> None:
    order = sorted(dims)
    shape = [{"trial": 2, "time": 3, "unit": 4}[dim] for dim in order]
    a = make(np.arange(np.prod(shape)).reshape(shape), order)
    values, index = to_samples(a.transpose(*order[::-1]))
    assert values.ndim == 2
    back = index.restore(values if "unit" in dims else values[:, 0])
    assert back.identical(a)
    trials, _ = to_trials(a)
    assert trials.ndim == 3


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_ragged_round_trip(lengths: list[int]) -> None:
    rng = np.random.default_rng(0)
    trials = [rng.normal(size=(n, 2)) for n in lengths]
    a = from_ragged(trials, sampling_rate=10.0, unit=["p", "q"])
    sequences, index = to_sequences(a)
    assert all(np.array_equal(x, y) for x, y in zip(sequences, trials, strict=True))
    samples, _ = to_samples(a)
    assert np.array_equal(samples, np.concatenate(trials))
    restored = index.restore(samples)
    assert restored.identical(a)


def test_restored_results_have_new_units_and_holes() -> None:
    a = from_ragged([np.ones((3, 2)), np.ones((1, 2))])
    samples, index = to_samples(a)
    result = index.restore(samples.sum(axis=1, keepdims=True), units=["sum"], kind="feature")
    assert result["unit"].values.tolist() == ["sum"]
    assert result.values[..., 0].tolist()[0] == [2.0, 2.0, 2.0]
    assert np.isnan(result.values[1, 1:]).all()
    labels = index.restore(np.array([4, 5, 6, 7]))
    assert labels.values.tolist() == [[4, 5, 6], [7, 0, 0]]
    assert labels.dims == ("trial", "time")


def test_time_alone_is_one_unit() -> None:
    values, index = to_samples(make(np.arange(3.0)))
    assert values.shape == (3, 1)
    assert index.mask is None


def test_refusals() -> None:
    a = make(np.zeros((2, 3, 2)), coords={"phase": ("time", [0, 1, 2])})
    _, index = to_samples(a)
    with pytest.raises(ActivityError, match=r"one row per sample \(6\); got 5"):
        index.restore(np.zeros((5, 2)))
    with pytest.raises(ActivityError, match=r"f: there is no label 'x'; there are: \['phase'\]"):
        label_values(index, "x", owner="f")
    with pytest.raises(ActivityError, match="must ride on trial"):
        label_values(index, "phase", owner="f", per="trial")
    with pytest.raises(ActivityError, match="at least one trial; got none"):
        from_ragged([])
    with pytest.raises(ActivityError, match=r"trial 1 has shape \(2, 3\)"):
        from_ragged([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(ActivityError, match=r"trial 0 has shape \(2,\)"):
        from_ragged([np.zeros(2)])
