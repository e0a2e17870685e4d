"""RDMs: against scipy and rsatoolbox, by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError, ResourceError
from activome.geometry.rdm import rdm, rdm_movie
from activome.geometry.rdm_forms import n_conditions_of, to_condensed, to_square

SCIPY = ("correlation", "euclidean", "sqeuclidean", "cosine")


def patterns(*shape: int, seed: int = 0) -> np.ndarray:
    """Return patterns with an offset, as firing rates have."""
    return np.random.default_rng(seed).normal(size=shape) + 3.0


def precision(n_units: int) -> np.ndarray:
    """Return a precision matrix."""
    noise = np.random.default_rng(9).normal(size=(5 * n_units, n_units))
    return np.linalg.inv(np.cov(noise.T))


@pytest.mark.parametrize("metric", SCIPY)
def test_metrics_equal_scipy(metric: Any) -> None:
    values = patterns(30, 17)
    np.testing.assert_allclose(rdm(values, metric), pdist(values, metric), rtol=1e-10)


def test_mahalanobis_equals_scipy() -> None:
    values, noise = patterns(12, 7), precision(7)
    ours = rdm(values, "mahalanobis", noise_precision=noise)
    np.testing.assert_allclose(ours, pdist(values, "mahalanobis", VI=noise), rtol=1e-10)


def test_correlation_by_hand() -> None:
    # Row 1 is row 0 reversed (r = -1), row 2 is orthogonal to both after its mean is taken off.
    values = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(rdm(values), [2.0, 1.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("metric", [*SCIPY, "mahalanobis"])
def test_stacks_equal_one_by_one(metric: str) -> None:
    values = patterns(2, 3, 6, 5)
    single = [[rdm(values[i, j], metric) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(rdm(values, metric), single, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_correlation_distance_ignores_shift_and_scale_of_each_pattern(
    seed: int, shift: float, scale: float
) -> None:
    values = np.random.default_rng(seed).normal(size=(5, 8))
    moved = values.copy()
    moved[2] = moved[2] * scale + shift * scale
    np.testing.assert_allclose(rdm(moved), rdm(values), atol=1e-8)


def test_close_and_equal_patterns_keep_their_digits() -> None:
    # From products alone, distances this small next to the norms would be rounding.
    values = np.full((4, 50), 1e6) + 1e-3 * np.arange(200).reshape(4, 50) ** 2
    values[3] = values[0]
    metrics: tuple[Any, ...] = ("euclidean", "sqeuclidean")
    for metric in metrics:
        np.testing.assert_allclose(rdm(values, metric), pdist(values, metric), rtol=1e-9)
    assert rdm(values, "euclidean")[2] == 0.0
    assert rdm(values)[2] == 0.0
    assert rdm(values).min() >= 0.0


@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_extreme_units_do_not_overflow_or_vanish(scale: float) -> None:
    values = patterns(6, 9)
    np.testing.assert_allclose(rdm(scale * values), rdm(values), atol=1e-12)
    small = rdm(scale * values, "euclidean")
    np.testing.assert_allclose(small, scale * rdm(values, "euclidean"), rtol=1e-12)


def test_conditions_are_averaged_in_sorted_order() -> None:
    values = patterns(7, 4)
    labels = np.array(["c", "a", "b", "a", "c", "d", "a"])
    means = np.stack([values[labels == name].mean(axis=0) for name in "abcd"])
    np.testing.assert_allclose(rdm(values, conditions=labels), pdist(means, "correlation"))
    shuffled = rdm(values[:4], conditions=[3, 1, 2, 0])
    np.testing.assert_allclose(shuffled, pdist(values[[3, 1, 2, 0]], "correlation"))


def slow_crossnobis(
    values: np.ndarray, conditions: np.ndarray, folds: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Average the products of all pairs of observations from different folds."""
    names = np.unique(conditions)
    similar = np.zeros((names.size, names.size))
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            products = [
                values[a] @ noise @ values[b]
                for a in np.flatnonzero(conditions == first)
                for b in np.flatnonzero(conditions == second)
                if folds[a] != folds[b]
            ]
            similar[i, j] = np.mean(products) / values.shape[1]
    own = np.diag(similar)
    return squareform(own[:, None] + own - similar - similar.T, checks=False)


def unbalanced() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations, conditions and folds, some pairs missing and some repeated."""
    generator = np.random.default_rng(3)
    conditions = np.concatenate([np.repeat(np.arange(5), 2), generator.integers(0, 5, 30)])
    folds = np.concatenate([np.tile([0, 1], 5), generator.integers(0, 4, 30)])
    return generator.normal(size=(40, 6)), conditions, folds


def test_crossnobis_unbalanced_equals_all_pairs() -> None:
    values, conditions, folds = unbalanced()
    noise = precision(6)
    ours = rdm(values, "crossnobis", conditions=conditions, folds=folds, noise_precision=noise)
    np.testing.assert_allclose(ours, slow_crossnobis(values, conditions, folds, noise), atol=1e-12)


def test_crossnobis_of_equal_folds_is_squared_mahalanobis_per_unit() -> None:
    values, noise = patterns(6, 4), precision(4)
    crossed = rdm(np.stack([values] * 3), "crossnobis", noise_precision=noise)
    expected = rdm(values, "mahalanobis", noise_precision=noise) ** 2 / 4
    np.testing.assert_allclose(crossed, expected, rtol=1e-9)


def test_crossnobis_forms_agree_and_stack() -> None:
    values = np.random.default_rng(4).normal(size=(2, 3, 5, 6))
    stacked = rdm(values, "crossnobis")
    rows, folds = values[1].reshape(15, 6), np.repeat([10, 20, 30], 5)
    np.testing.assert_allclose(rdm(rows, "crossnobis", folds=folds), stacked[1], atol=1e-12)
    named = rdm(rows, "crossnobis", folds=folds, conditions=np.tile(np.arange(5), 3))
    np.testing.assert_allclose(named, stacked[1], atol=1e-12)


def test_crossnobis_is_zero_on_average_for_equal_conditions() -> None:
    values = np.random.default_rng(5).normal(size=(200, 4, 6, 20)) + 1.0
    crossed = rdm(values, "crossnobis")
    assert (crossed < 0).any()
    # 200 draws x 15 pairs: the mean of values of standard deviation 0.13 is within 4 errors.
    assert abs(crossed.mean()) < 4 * crossed.std() / np.sqrt(200)


# The peer fills an integer index with NaN.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_agrees_with_rsatoolbox() -> None:
    data = pytest.importorskip("rsatoolbox.data", reason="rsatoolbox is not installed")
    from rsatoolbox.rdm import calc_rdm
    from rsatoolbox.rdm.calc_unbalanced import calc_rdm_unbalanced

    values, noise = patterns(24, 6), precision(6)
    conditions, folds = np.tile(np.arange(6), 4), np.repeat(np.arange(4), 6)
    peer = data.Dataset(values, obs_descriptors={"c": conditions, "f": folds})

    def theirs(method: str, **options: Any) -> np.ndarray:
        result: np.ndarray = calc_rdm(peer, method, "c", **options).dissimilarities[0]
        return result

    def ours(metric: str, **options: Any) -> np.ndarray:
        return np.asarray(rdm(values, metric, conditions=conditions, **options))

    close: dict[str, Any] = {"atol": 1e-10, "rtol": 1e-10}
    np.testing.assert_allclose(ours("correlation"), theirs("correlation"), **close)
    # The peer's distances are squared and divided by the number of units.
    np.testing.assert_allclose(ours("sqeuclidean") / 6, theirs("euclidean"), **close)
    mahalanobis = ours("mahalanobis", noise_precision=noise) ** 2 / 6
    np.testing.assert_allclose(mahalanobis, theirs("mahalanobis", noise=noise), **close)
    crossed = ours("crossnobis", folds=folds, noise_precision=noise)
    np.testing.assert_allclose(
        crossed, theirs("crossnobis", noise=noise, cv_descriptor="f"), **close
    )
    values, conditions, folds = unbalanced()
    peer = data.Dataset(values, obs_descriptors={"c": conditions, "f": folds})
    ours_unbalanced = rdm(
        values, "crossnobis", conditions=conditions, folds=folds, noise_precision=noise
    )
    theirs_unbalanced = calc_rdm_unbalanced(peer, "crossnobis", "c", noise, "f")
    np.testing.assert_allclose(ours_unbalanced, theirs_unbalanced.dissimilarities[0], **close)


def activity(n_times: int = 4) -> xr.DataArray:
    """Return trials of four stimuli in two runs."""
    return make(
        patterns(16, n_times, 5, seed=8),
        sampling_rate=10.0,
        start=0.5,
        coords={
            "stimulus": ("trial", np.tile(["dog", "ant", "cow", "bee"], 4)),
            "run": ("trial", np.repeat([1, 2], 8)),
        },
    )


def test_activity_keeps_labels() -> None:
    trials = activity().mean("time")
    found = rdm(trials, "euclidean", conditions="stimulus")
    assert isinstance(found, xr.DataArray)
    assert found.dims == ("pair",)
    assert found.condition_a.values.tolist() == ["ant", "ant", "ant", "bee", "bee", "cow"]
    assert found.condition_b.values.tolist() == ["bee", "cow", "dog", "cow", "dog", "dog"]
    assert found.attrs["metric"] == "euclidean"
    plain = rdm(trials.values, "euclidean", conditions=trials.stimulus.values)
    np.testing.assert_array_equal(found.values, plain)
    square = to_square(found)
    assert isinstance(square, xr.DataArray)
    assert float(square.sel(condition_a="dog", condition_b="bee")) == float(found[4])


def test_every_trial_or_time_is_a_condition_by_default() -> None:
    trials = activity().isel(time=0)
    assert np.shape(rdm(trials)) == (120,)
    times = activity(n_times=6).isel(trial=0)
    found = rdm(times)
    assert isinstance(found, xr.DataArray)
    np.testing.assert_allclose(found.condition_b.values[:5], [0.6, 0.7, 0.8, 0.9, 1.0])


@pytest.mark.parametrize("metric", ["correlation", "crossnobis"])
def test_movie_equals_one_rdm_per_time(metric: str) -> None:
    trials = activity()
    folds: dict[str, Any] = {"folds": "run"} if metric == "crossnobis" else {}
    movie = rdm_movie(trials, "stimulus", metric, **folds)
    assert movie.dims == ("time", "pair")
    np.testing.assert_array_equal(movie.time, trials.time)
    for k in range(trials.sizes["time"]):
        single = rdm(trials.isel(time=k), metric, conditions="stimulus", **folds)
        np.testing.assert_allclose(movie.isel(time=k), single, atol=1e-12)


def test_input_is_left_alone_and_float32_is_computed_in_float64() -> None:
    values = patterns(5, 6).astype(np.float32)
    values.setflags(write=False)
    found = rdm(values, "euclidean")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, pdist(values.astype(np.float64)), rtol=1e-12)


def test_forms_round_trip() -> None:
    condensed = np.random.default_rng(0).random((2, 3, 10))
    square = to_square(condensed)
    np.testing.assert_array_equal(square[1, 2], squareform(condensed[1, 2]))
    np.testing.assert_array_equal(to_condensed(square), condensed)
    assert n_conditions_of(10) == 5
    lopsided = square[0, 0].copy()
    lopsided[0, 1] += 1e-12
    np.testing.assert_allclose(to_condensed(lopsided), condensed[0, 0], atol=1e-11)
    lopsided[0, 1] += 0.5
    with pytest.raises(ActivityError, match=r"symmetric.*conditions 0 and 1"):
        to_condensed(lopsided)
    averaged = to_condensed(lopsided, asymmetry="mean")
    assert averaged[0] == pytest.approx(condensed[0, 0, 0] + 0.25)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones((2, 4)), {}, "at least 3 conditions"),
        (np.ones((4, 4)), {}, r"not constant; 4 of 4 patterns are, the first of condition 0"),
        (np.eye(4) * [1, 1, 0, 1], {"metric": "cosine"}, "not zero"),
        (np.array([[np.nan, 1.0], [1, 2], [3, 4]]), {}, "finite.*row 0, unit 0"),
        (np.ones(4), {}, "shape"),
        (np.eye(4), {"conditions": [1, 2]}, "one label for each of the 4"),
        (np.eye(4), {"conditions": [1, 2, np.nan, 3]}, "NaN"),
        (np.eye(6), {"metric": "crossnobis", "folds": [0, 0, 0, 1, 1, 2]}, "same number of rows"),
        (
            np.eye(6),
            {"metric": "crossnobis", "folds": [0, 0, 0, 1, 1, 1], "conditions": list("abcabd")},
            "at least two folds; 2 of 4.*'c'",
        ),
    ],
)
def test_refuses_data(values: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        rdm(values, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "corelation"}, "Did you mean 'correlation'"),
        ({"noise_precision": np.eye(5)}, "serves the metrics"),
        ({"metric": "mahalanobis", "noise_precision": np.eye(4)}, r"shape \(5, 5\)"),
        ({"metric": "mahalanobis", "noise_precision": np.triu(np.ones((5, 5)))}, "symmetric"),
        ({"metric": "mahalanobis", "noise_precision": -np.eye(5)}, "positive semi-definite"),
        ({"folds": np.zeros(6)}, "crossnobis"),
        ({"metric": "crossnobis"}, "needs folds"),
        ({"conditions": "stimulus"}, "only for an Activity"),
    ],
)
def test_refuses_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        rdm(patterns(6, 5), **options)


def test_refuses_activity() -> None:
    with pytest.raises(ActivityError, match="rdm_movie"):
        rdm(activity(), conditions="stimulus")
    with pytest.raises(ActivityError, match="dims"):
        rdm_movie(activity().mean("time"), "stimulus")
    with pytest.raises(ParameterError, match="Did you mean 'stimulus'"):
        rdm_movie(activity(), "stimulos")
    ragged = activity().assign_coords(valid=(("trial", "time"), np.ones((16, 4), dtype=bool)))
    ragged.coords["valid"][0, 3] = False
    with pytest.raises(ActivityError, match="one length"):
        rdm_movie(ragged, "stimulus")


def test_refuses_a_result_that_is_too_large_before_computing_it() -> None:
    values = np.broadcast_to(np.float32(1.0), (20_000, 1))
    with pytest.raises(ResourceError, match="20000 conditions"):
        rdm(values, "euclidean")


@pytest.mark.parametrize("n_pairs", [0, 1, 2, 4, 11])
def test_refuses_lengths_of_no_rdm(n_pairs: int) -> None:
    with pytest.raises(ActivityError, match="condensed RDM"):
        n_conditions_of(n_pairs)


@pytest.mark.parametrize(
    ("square", "message"),
    [
        (np.ones((3, 3)), "diagonal"),
        (np.zeros((2, 2)), "at least 3"),
        (np.zeros((3, 4)), "shape"),
        (np.full((3, 3), np.nan), "finite"),
    ],
)
def test_refuses_squares(square: np.ndarray, message: str) -> None:
    with pytest.raises(ActivityError, match=message):
        to_condensed(square)
