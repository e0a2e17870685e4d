"""Participation ratio, its interval, and parallel analysis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from activome.activity.schema import make
from activome.activity.stacking import from_ragged
from activome.errors import ActivityError, ParameterError
from activome.geometry.dimensionality import (
    dimensionality,
    parallel_analysis,
    participation_interval,
    participation_ratio,
)


def _with_covariance(eigenvalues: list[float], n_samples: int, seed: int = 0) -> np.ndarray:
    """Samples whose covariance has exactly these eigenvalues, in a random basis."""
    generator = np.random.default_rng(seed)
    n = len(eigenvalues)
    raw = generator.normal(size=(n_samples, n))
    left = np.linalg.qr(raw - raw.mean(axis=0))[0]
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    return np.asarray(left * np.sqrt(eigenvalues) @ basis)


@pytest.mark.parametrize("eigenvalues", [[1.0] * 6, [3.0, 1.0, 1.0], [4.0, 1e-9, 1e-9]])
def test_participation_ratio_of_a_known_covariance(eigenvalues: list[float]) -> None:
    values = np.array(eigenvalues)
    expected = values.sum() ** 2 / (values**2).sum()
    found = participation_ratio(_with_covariance(eigenvalues, 200) + 7.0)
    assert found == pytest.approx(expected, rel=1e-9)


def test_participation_ratio_equals_eigenvalues_when_units_outnumber_samples() -> None:
    values = np.random.default_rng(0).normal(size=(10, 40))
    spectrum = np.linalg.eigvalsh(np.cov(values.T))
    assert participation_ratio(values) == pytest.approx(spectrum.sum() ** 2 / (spectrum**2).sum())


def test_participation_ratio_ignores_rotation_scale_and_order_of_samples() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(100, 5)) * [5, 3, 2, 1, 1]
    turn = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    changed = 3.0 * (values @ turn)[generator.permutation(100)]
    assert participation_ratio(changed) == pytest.approx(participation_ratio(values))


def test_participation_ratio_takes_the_valid_samples_of_an_activity() -> None:
    generator = np.random.default_rng(0)
    trials = [generator.normal(size=(n, 3)) for n in (5, 9)]
    found = participation_ratio(from_ragged(trials))
    assert found == pytest.approx(participation_ratio(np.concatenate(trials)))


def test_participation_interval_covers_the_truth() -> None:
    scales = np.array([3.0, 2.0, 1.0, 1.0])
    truth = (scales**2).sum() ** 2 / (scales**4).sum()
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        noise = lfilter([1.0], [1.0, -0.8], generator.normal(size=(3000, 4)), axis=0)
        found = participation_interval(noise * scales, random_state=seed)
        covered += found.low <= truth <= found.high
    assert covered >= 85  # 95 asked; the blocks of one recording are few


def test_interval_narrows_with_the_recording() -> None:
    values = np.random.default_rng(0).normal(size=(8000, 5)) * [3, 2, 1, 1, 1]
    short = participation_interval(values[:500], random_state=0)
    long = participation_interval(values, random_state=0)
    assert long.high - long.low < 0.5 * (short.high - short.low)


@pytest.mark.parametrize("rank", [1, 3])
def test_parallel_analysis_finds_the_planted_rank(rank: int) -> None:
    generator = np.random.default_rng(rank)
    values = generator.normal(size=(1000, rank)) @ generator.normal(size=(rank, 20))
    values += generator.normal(size=(1000, 20))
    found = parallel_analysis(make(values), random_state=0)
    assert found.n_components == rank
    assert found.p_value == 0.01
    assert found.eigenvalues.sum() == pytest.approx(20.0)
    assert found.null.shape == (99, 20)


def test_a_common_slow_drift_is_structure_and_independent_ones_are_not() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(1500, 12))
    common = noise + np.sin(2 * np.pi * 3 * np.arange(1500) / 1500)[:, np.newaxis]
    assert parallel_analysis(common, random_state=0).n_components == 1
    false = 0
    for seed in range(20):
        walks = np.random.default_rng(seed).normal(size=(1500, 12)).cumsum(axis=0)
        false += parallel_analysis(walks, n_surrogates=39, random_state=seed).n_components > 0
    assert false <= 4  # 1 expected; plain shuffles of time find components in all of them


def test_no_component_in_noise_and_drawing_stops_early() -> None:
    values = np.random.default_rng(1).poisson(0.2, (800, 15)).astype(float)
    found = parallel_analysis(values, random_state=0)
    assert found.n_components == 0
    assert found.null.shape[0] < 99
    assert found.p_value == 10 / found.null.shape[0]


def test_constant_units_have_no_variance_and_change_nothing() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(300, 4)) + generator.normal(size=(300, 1))
    padded = np.column_stack([values[:, :2], np.full(300, 3.0), values[:, 2:]])
    plain, more = (parallel_analysis(v, random_state=0) for v in (values, padded))
    np.testing.assert_array_equal(more.eigenvalues[:4], plain.eigenvalues)
    assert more.eigenvalues[4] == 0.0
    assert more.p_values[4] == 1.0
    assert more.n_components == plain.n_components


def test_summary_holds_the_parts() -> None:
    values = _with_covariance([4.0, 1.0, 1.0], 400)
    found = dimensionality(values, n_surrogates=39, random_state=0)
    np.testing.assert_allclose(found.explained, [4 / 6, 1 / 6, 1 / 6])
    assert found.participation.estimate == pytest.approx(2.0)
    assert (found.n_samples, found.n_units) == (400, 3)
    again = dimensionality(values, n_surrogates=39, random_state=0)
    np.testing.assert_array_equal(found.parallel.null, again.parallel.null)


def test_refusals() -> None:
    with pytest.raises(ActivityError, match="something must vary"):
        participation_ratio(np.ones((5, 3)))
    with pytest.raises(ActivityError, match="at least two samples"):
        participation_ratio(np.ones((1, 3)))
    with pytest.raises(ActivityError, match="sample 1, unit 0"):
        participation_ratio(np.array([[1.0, 2.0], [np.nan, 1.0]]))
    with pytest.raises(ActivityError, match="at least two units must vary; 1 of 2"):
        parallel_analysis(np.column_stack([np.arange(20.0), np.ones(20)]))
    with pytest.raises(ParameterError, match="alpha"):
        parallel_analysis(np.eye(20), alpha=1.0)
    with pytest.raises(ParameterError, match="unknown shifts"):
        parallel_analysis(np.eye(20), shifts="units")
