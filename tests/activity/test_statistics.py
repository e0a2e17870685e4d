"""Nulls, p-values, corrections, bootstraps and transition tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.signal import lfilter

from activome.activity.independence import IndependentUnits
from activome.activity.nulls import close_ends
from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.activity.statistics import (
    autocorrelation_time,
    block_shuffle,
    bootstrap_interval,
    circular_shift,
    max_statistic,
    monte_carlo_p,
    permute_labels,
    transition_test,
)
from activome.errors import ActivityError, ParameterError


def _power(series: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.fft.rfft(series, axis=0)))


def test_circular_shift_keeps_the_spectrum_of_each_unit_and_moves_each_by_its_own_lag() -> None:
    values = np.random.default_rng(0).normal(size=(64, 5)).cumsum(axis=0)
    shifted = circular_shift(values, np.random.default_rng(1), min_shift=8)
    np.testing.assert_allclose(_power(shifted), _power(values), atol=1e-10)
    lags = [int(np.flatnonzero(values[:, u] == shifted[0, u])[0]) for u in range(5)]
    assert len(set(lags)) > 1
    assert all(8 <= lag <= 56 for lag in lags)


def test_circular_shift_stays_within_segments_and_shifts_short_ones_by_half() -> None:
    values = np.arange(12)
    for seed in range(20):
        shifted = circular_shift(
            values, np.random.default_rng(seed), min_shift=3, offsets=[0, 4, 4, 12]
        )
        assert shifted[:4].tolist() == [2, 3, 0, 1]
        assert sorted(shifted[4:].tolist()) == list(range(4, 12))
        assert 3 <= shifted[4] - 4 <= 5


def test_circular_shift_covers_all_allowed_lags_alike() -> None:
    generator = np.random.default_rng(0)
    first = [int(circular_shift(np.arange(10), generator, min_shift=3)[0]) for _ in range(1000)]
    counts = np.bincount(first, minlength=10)
    assert np.flatnonzero(counts).tolist() == [3, 4, 5, 6, 7]
    assert counts[3:8].min() > 150  # 200 expected, standard deviation 12.6


def test_block_shuffle_keeps_blocks_whole() -> None:
    shuffled = block_shuffle(np.arange(20), np.random.default_rng(0), block=4).reshape(5, 4)
    assert (np.diff(shuffled, axis=1) == 1).all()
    assert sorted(shuffled[:, 0].tolist()) == [0, 4, 8, 12, 16]


def test_permute_labels_stays_within_groups() -> None:
    labels, groups = np.arange(30), np.repeat(["a", "b", "c"], 10)
    permuted = permute_labels(labels, groups, np.random.default_rng(0))
    for k in range(3):
        part = permuted[10 * k : 10 * k + 10]
        assert sorted(part.tolist()) == list(range(10 * k, 10 * k + 10))
        assert (part != labels[10 * k : 10 * k + 10]).any()


def test_monte_carlo_p_counts_ties_and_both_tails() -> None:
    draws = iter([1.0, 2.0, 3.0, -5.0])
    test = monte_carlo_p(2.0, lambda: next(draws), 4)
    assert (test.p_value, test.hits, test.stopped) == (3 / 5, 2, False)
    draws = iter([1.0, 2.0, 3.0, -5.0])
    assert monte_carlo_p(2.0, lambda: next(draws), 4, alternative="two-sided").p_value == 4 / 5
    draws = iter([1.0, 2.0, 3.0, -5.0])
    assert monte_carlo_p(-5.0, lambda: next(draws), 4, alternative="less").p_value == 2 / 5


def test_sequential_stopping_gives_hits_over_draws_and_stays_valid() -> None:
    draws = iter([5.0, 0.0, 5.0])
    test = monte_carlo_p(1.0, lambda: next(draws), 99, stop_after=2)
    assert (test.p_value, test.null.size, test.stopped) == (2 / 3, 3, True)
    generator = np.random.default_rng(0)
    found = np.array(
        [
            monte_carlo_p(
                float(generator.normal()), lambda: float(generator.normal()), 99, stop_after=5
            ).p_value
            for _ in range(2000)
        ]
    )
    for alpha in (0.02, 0.05, 0.2, 0.5):
        assert abs((found <= alpha).mean() - alpha) < 4 * np.sqrt(alpha * (1 - alpha) / 2000)


def test_max_statistic_equals_the_definition_and_controls_any_false_statement() -> None:
    generator = np.random.default_rng(0)
    observed, null = generator.normal(size=7), generator.normal(size=(99, 7))
    slow = [(1 + sum(row.max() >= value for row in null)) / 100 for value in observed]
    np.testing.assert_allclose(max_statistic(observed, null), slow)
    false = [
        max_statistic(generator.normal(size=20), generator.normal(size=(99, 20))).min() <= 0.05
        for _ in range(400)
    ]
    assert np.mean(false) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregression(coefficient: float) -> None:
    noise = np.random.default_rng(0).normal(size=(100_000, 4))
    series = lfilter([1.0], [1.0, -coefficient], noise, axis=0)
    expected = (1 + coefficient) / (1 - coefficient)
    np.testing.assert_allclose(autocorrelation_time(series), expected, rtol=0.15)


def test_autocorrelation_time_of_a_constant_is_one() -> None:
    assert autocorrelation_time(np.ones((10, 2))).tolist() == [1.0, 1.0]


def test_bootstrap_interval_of_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    found = bootstrap_interval(np.mean, values, n=1000, random_state=0)
    assert (found.high - found.low) / (2 * 1.96 / np.sqrt(2000)) == pytest.approx(1.0, abs=0.1)


def test_moving_blocks_widen_the_interval_of_a_slow_series() -> None:
    noise = np.random.default_rng(0).normal(size=20_000)
    series = lfilter([1.0], [1.0, -0.9], noise)
    # Standard error of the mean of an autoregression: innovation over (1 - a), over sqrt(n).
    expected = 2 * 1.96 * 10 / np.sqrt(20_000)
    found = bootstrap_interval(np.mean, series, block="auto", n=400, random_state=0)
    assert found.block > 19
    assert (found.high - found.low) / expected == pytest.approx(1.0, abs=0.25)
    plain = bootstrap_interval(np.mean, series, n=400, random_state=0)
    assert plain.high - plain.low < 0.5 * expected


def test_bootstrap_over_groups_draws_whole_groups() -> None:
    data, groups = np.repeat([0.0, 1.0, 2.0], [1, 2, 3]), np.repeat(["a", "b", "c"], [1, 2, 3])
    found = bootstrap_interval(
        lambda rows: float(np.bincount(rows.astype(int), minlength=3)[2]),
        data,
        groups=groups,
        n=50,
        random_state=0,
    )
    assert set(found.draws.tolist()) <= {0.0, 3.0, 6.0, 9.0}


def test_transition_test_equals_enumeration_of_all_orders() -> None:
    states = np.array([0, 1, 0, 2, 1, 0, 2])
    orders = {
        p
        for p in itertools.permutations(states.tolist())
        if not any(a == b for a, b in itertools.pairwise(p))
    }
    expected = np.zeros((3, 3))
    for order in orders:
        for a, b in itertools.pairwise(order):
            expected[a, b] += 1 / len(orders)
    found = transition_test(np.repeat(states, 3), n=4000, random_state=0)
    np.testing.assert_allclose(found.expected, expected, atol=0.06)
    assert found.counts[0].tolist() == [0, 1, 2]


def test_transition_test_keeps_dwells_in_their_trial() -> None:
    states = np.array([0, 1, 0, 1, 2, 3, 2, 3])
    found = transition_test(states, offsets=[0, 4, 8], n=200, random_state=0)
    assert found.null[:, :2, 2:].sum() == 0
    assert found.counts[1, 2] == 0
    assert found.counts.sum() == 6


def test_transition_test_on_random_sequences_is_calibrated() -> None:
    generator = np.random.default_rng(0)
    smallest = []
    for _ in range(80):
        states = generator.integers(0, 4, 60)
        smallest.append(transition_test(states, n=99, random_state=generator).corrected.min())
    assert np.mean(np.array(smallest) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)


def test_close_ends_leaves_white_noise_and_closes_a_walk() -> None:
    generator = np.random.default_rng(0)
    white = generator.normal(size=(2000, 5))
    assert close_ends(white) is white
    walk = white.cumsum(axis=0) + 0.2 * np.arange(2000)[:, np.newaxis]
    closed = close_ends(walk)
    np.testing.assert_allclose(closed[:100].mean(axis=0), closed[-100:].mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("n_samples", [40, 41])
def test_variance_equals_the_mean_square_over_all_lags(n_samples: int) -> None:
    values = np.random.default_rng(0).normal(size=(n_samples, 3)).cumsum(axis=0)
    units = IndependentUnits(values, owner="test", detrend=False)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    slow = np.mean([(z[:, 0] @ np.roll(z[:, 1], lag) / n_samples) ** 2 for lag in range(n_samples)])
    assert units.variance()[0, 1] == pytest.approx(slow, rel=1e-5)


def test_variance_of_whole_trials_equals_brute_force_and_the_surrogates() -> None:
    generator = np.random.default_rng(0)
    cube = generator.normal(size=(24, 6, 3)).cumsum(axis=1)
    units = IndependentUnits(make(cube), owner="test", detrend=False)
    assert units.by_trial
    residual = cube - cube.mean(axis=(0, 1))
    residual = residual - residual.mean(axis=0)
    residual /= np.sqrt((residual**2).sum(axis=(0, 1)))
    others = [
        float((residual[..., 0] * np.roll(residual[..., 1], lag, axis=0)).sum()) ** 2
        for lag in range(1, 24)
    ]
    assert units.variance()[0, 1] == pytest.approx(np.mean(others), rel=1e-4)
    drawn = np.array([units.surrogate(generator)[0, 1] for _ in range(600)])
    assert np.mean(drawn**2) == pytest.approx(np.mean(others), rel=0.4)


def test_ragged_trials_widen_the_null() -> None:
    generator = np.random.default_rng(0)
    trials = [np.repeat(generator.normal(size=(1, 2)), n, axis=0) for n in [5, 10] * 200]
    units = IndependentUnits(from_ragged(trials), owner="test", detrend=False)
    lengths = np.array([5, 10] * 200)
    # Activity constant over a trial: variance sum n^2 / (sum n)^2 of two independent units.
    expected = (lengths**2).sum() / lengths.sum() ** 2
    assert units.variance()[0, 1] == pytest.approx(expected, rel=0.25)


def test_refusals_say_what_and_where() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ParameterError, match="offsets must rise from 0"):
        circular_shift(np.arange(5), generator, offsets=[0, 3])
    with pytest.raises(ActivityError, match="values must be"):
        circular_shift(np.zeros((0, 2)), generator)
    with pytest.raises(ParameterError, match="block must be an integer at least 1"):
        block_shuffle(np.arange(5), generator, block=0)
    with pytest.raises(ActivityError, match="one group per label"):
        permute_labels([1, 2], [1], generator)
    with pytest.raises(ParameterError, match="unknown alternative"):
        monte_carlo_p(1.0, lambda: 0.0, 3, alternative="up")
    with pytest.raises(ActivityError, match="max_statistic"):
        max_statistic([1.0], np.zeros((0, 1)))
    with pytest.raises(ParameterError, match="groups or block"):
        bootstrap_interval(np.mean, np.arange(4.0), groups=[0, 0, 1, 1], block=2)
    with pytest.raises(ActivityError, match="at least two groups"):
        bootstrap_interval(np.mean, np.arange(4.0), groups=[0, 0, 0, 0])
    with pytest.raises(ParameterError, match="'auto' or a number"):
        bootstrap_interval(np.mean, np.arange(4.0), block="long")
    with pytest.raises(ActivityError, match="change of state"):
        transition_test([1, 1, 1])
    with pytest.raises(ActivityError, match="at least 10 samples"):
        IndependentUnits(np.zeros((4, 2)), owner="x")
    with pytest.raises(ActivityError, match="sample 3, unit 1"):
        IndependentUnits(np.where(np.arange(40).reshape(20, 2) == 7, np.nan, 1.0), owner="x")
    with pytest.raises(ActivityError, match="at least 20 trials"):
        IndependentUnits(np.random.default_rng(0).normal(size=(20, 2)), owner="x", shifts="trial")


def test_same_seed_same_null() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3))
    first = circular_shift(values, np.random.default_rng(5))
    np.testing.assert_array_equal(first, circular_shift(values, np.random.default_rng(5)))
