"""Affinities of change: by hand, by definition, what they do not depend on, gaps and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError, ResourceError
from activome.graphs.affinity import derivative_affinity

Array = np.ndarray[Any, Any]


def by_definition(traces: Array, i: int, j: int, smooth: float) -> Array:
    slopes = []
    for k in (i, j):
        trace = gaussian_filter1d(traces[:, k], smooth, mode="nearest") if smooth else traces[:, k]
        slope = np.gradient(trace)
        slopes.append(slope / np.sqrt(np.mean(slope**2)))
    up, down = (
        [np.sqrt(np.maximum(s * slope, 0)) for slope in slopes] for s in (1.0, -1.0)
    )  # fmt: skip
    return np.asarray(up[0] * up[1] + down[0] * down[1])


def test_by_hand() -> None:
    # Slopes 1, 1, 1 and 2, 0, -2, over root mean squares 1 and sqrt(8 / 3).
    a = derivative_affinity(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0]]), smooth=0.0)
    np.testing.assert_allclose(a.values[:, 0], [np.sqrt(2 / np.sqrt(8 / 3)), 0.0, 0.0], rtol=1e-6)
    raw = derivative_affinity(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0]]), 0.0, "none")
    np.testing.assert_allclose(raw.values[:, 0], [np.sqrt(2), 0.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("smooth", [0.0, 2.0])
def test_every_pair_by_definition(smooth: float) -> None:
    values = np.random.default_rng(0).normal(size=(2, 40, 4))
    found = derivative_affinity(make(values, sampling_rate=4.0, unit=list("abcd")), smooth)
    assert found.dims == ("trial", "time", "unit")
    assert found.dtype == np.float32
    assert found.attrs["kind"] == "feature"
    assert found.unit.values.tolist() == ["a|b", "a|c", "a|d", "b|c", "b|d", "c|d"]
    assert found["first"].values.tolist() == list("aaabbc")
    for trial in range(2):
        for k, (i, j) in enumerate(zip(*np.triu_indices(4, 1), strict=True)):
            wanted = by_definition(values[trial], int(i), int(j), smooth)
            np.testing.assert_allclose(found.values[trial, :, k], wanted, atol=1e-5)


def test_offset_and_scale_do_not_matter_and_signs_do() -> None:
    values = np.random.default_rng(1).normal(size=(60, 3))
    one = derivative_affinity(values)
    other = derivative_affinity(5.0 + values * np.array([0.1, 2.0, 1e6]))
    np.testing.assert_allclose(one.values, other.values, atol=1e-4)
    turned = derivative_affinity(values * np.array([1.0, -1.0, 1.0]))
    apart = (one.values[:, 0] > 0) & (turned.values[:, 0] > 0)
    assert not apart.any()
    assert one.values.min() >= 0


def test_chosen_pairs_missing_units_and_ragged_trials() -> None:
    values = np.random.default_rng(2).normal(size=(2, 30, 4))
    values[1, :, 2] = np.nan
    activity = make(values, unit=list("abcd"))
    whole = derivative_affinity(activity)
    some = derivative_affinity(activity, pairs=[("d", "a"), ("b", "c")])
    assert some.unit.values.tolist() == ["d|a", "b|c"]
    np.testing.assert_array_equal(some.values[..., 0], whole.sel(unit="a|d").values)
    missing = np.isnan(whole.values[1]).all(axis=0)
    assert missing.tolist() == [False, True, False, True, False, True]
    assert not np.isnan(whole.values[0]).any()
    trials = [np.random.default_rng(k).normal(size=(n, 3)) for k, n in enumerate((30, 20))]
    ragged = derivative_affinity(from_ragged(trials))
    np.testing.assert_array_equal(ragged.values[1, :20], derivative_affinity(trials[1]).values)
    assert np.isnan(ragged.values[1, 20:]).all()
    assert "valid" in ragged.coords


def test_refusals() -> None:
    good = np.random.default_rng(0).normal(size=(20, 3))
    gap = good.copy()
    gap[4, 1] = np.nan
    flat = good.copy()
    flat[:, 2] = 1.0
    cases: list[tuple[Any, str]] = [
        (good[np.newaxis], "must be .n_times, n_units."),
        (good[:2], "three samples or more"),
        (good[:, :1], "at least two units"),
        (gap, "trial 0"),
        (flat, "among them 2"),
        (make(good[:, 0]), "dims time and unit"),
    ]
    for values, message in cases:
        with pytest.raises(ActivityError, match=message):
            derivative_affinity(values)
    with pytest.raises(ParameterError, match="two different units"):
        derivative_affinity(good, pairs=[(0, 7)])
    with pytest.raises(ParameterError, match="at least one pair"):
        derivative_affinity(good, pairs=[])
    with pytest.raises(ParameterError, match="smooth"):
        derivative_affinity(good, -1.0)
    with pytest.raises(ResourceError, match="affinities of 3 pairs"):
        derivative_affinity(good, memory_limit=100)
    valid = np.ones((1, 20), bool)
    valid[0, 5] = False
    with pytest.raises(ActivityError, match="without gaps"):
        derivative_affinity(make(good[np.newaxis], valid=valid))
